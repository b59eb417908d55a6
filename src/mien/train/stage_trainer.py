"""One training stage on the Hugging Face Trainer: own rates per group, small checkpoints, resume to the same bytes."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
from safetensors.torch import load_file, save_file
from torch import nn
from torch.utils.data import Dataset
from transformers import PreTrainedModel, PrinterCallback, Trainer, TrainerCallback, TrainingArguments
from transformers.modeling_layers import GradientCheckpointingLayer

from mien.core.errors import BadConfig, MissingWeights
from mien.models.composite.adapters import trained_state
from mien.models.composite.systems import Stage
from mien.train.resume import train_resumed

__all__ = ["StageOptions", "StageTrainer", "parameter_groups", "run_stage", "trained_state"]

_CHECKPOINT = "trained.safetensors"


@dataclass(frozen=True, slots=True)
class StageOptions:
    """How a stage runs here; none of it is published."""

    folder: Path
    """Of its checkpoints."""
    seed: int = 1
    micro_batch: int | None = None
    save_steps: int = 200
    gradient_checkpointing: bool = False
    callbacks: tuple[TrainerCallback, ...] = ()


def parameter_groups(model: nn.Module, stage: Stage) -> list[dict[str, Any]]:
    """Parameters that learn, grouped by learning rate and by weight decay (none for vectors: norms and biases)."""
    groups: dict[tuple[float, float], list[nn.Parameter]] = {}
    for name, parameter in model.named_parameters():
        if not parameter.requires_grad:
            continue
        rate = next(
            (value for start, value in stage.rates.items() if name.startswith(start)), stage.learning_rate
        )
        decay = stage.weight_decay if parameter.ndim >= 2 else 0.0
        groups.setdefault((rate, decay), []).append(parameter)
    return [
        {"params": parameters, "lr": rate, "weight_decay": decay}
        for (rate, decay), parameters in sorted(groups.items(), key=lambda pair: pair[0])
    ]


class StageTrainer(Trainer):
    """The stock Trainer with a stage's parameter groups; what is frozen stays in evaluation mode."""

    def __init__(self, stage: Stage, **settings: Any) -> None:
        super().__init__(**settings)
        self.stage = stage

    def create_optimizer(self, model: nn.Module | None = None) -> torch.optim.Optimizer:
        made: torch.optim.Optimizer | None = self.__dict__.get("optimizer")
        if made is None:
            groups = parameter_groups(model or self.model, self.stage)
            made = self.optimizer = torch.optim.AdamW(
                groups, lr=self.stage.learning_rate, betas=self.stage.betas
            )
        return made

    def compute_loss(self, model: nn.Module, *arguments: Any, **options: Any) -> Any:
        rest_frozen(model)
        return super().compute_loss(model, *arguments, **options)

    def _save(self, output_dir: str | None = None, state_dict: Mapping[str, Any] | None = None) -> None:
        # Only what learns: a checkpoint of a 7B decoder's adapters is megabytes, not 14 GB.
        folder = Path(output_dir or self.args.output_dir)
        folder.mkdir(parents=True, exist_ok=True)
        state = trained_state(self.accelerator.unwrap_model(self.model))
        if state_dict is not None:  # gathered from shards
            state = {name: state_dict[name].contiguous() for name in state}
        save_file(state, folder / _CHECKPOINT)

    def _load_from_checkpoint(self, resume_from_checkpoint: str, model: nn.Module | None = None) -> None:
        state = load_file(Path(resume_from_checkpoint) / _CHECKPOINT)
        target = self.accelerator.unwrap_model(model or self.model)
        expected = trained_state(target)
        if state.keys() != expected.keys():
            odd = sorted(state.keys() ^ expected.keys())
            raise MissingWeights(
                got=f"a checkpoint in {resume_from_checkpoint} of other parameters, such as {odd[0]}",
                expected="a checkpoint of this very stage",
                fix="Choose another run folder, or remove the old checkpoints",
            )
        target.load_state_dict(state, strict=False)


def rest_frozen(model: nn.Module) -> None:
    """Evaluation mode for every part in which nothing learns: no dropout, and statistics stay as they are.

    Layers whose activations are to be recomputed are in training mode themselves, as that is when transformers does
    so; what they hold, dropout included, is not.
    """
    for module in model.modules():
        own = list(module.parameters())
        if module.training and own and not any(parameter.requires_grad for parameter in own):
            module.eval()
    for module in model.modules():
        if isinstance(module, GradientCheckpointingLayer) and module.gradient_checkpointing:
            module.training = True


def run_stage(
    model: nn.Module,
    stage: Stage,
    data: Dataset[Any],
    collator: Callable[[Sequence[Any]], Mapping[str, Any]],
    options: StageOptions,
) -> None:
    """Train ``model``, whose parameters are frozen for the stage already; a killed run goes on from its checkpoint.

    Raises:
        BadConfig: a batch that the micro-batch does not divide, or fp16 without a GPU.
        MissingWeights: the folder holds checkpoints of another stage.
    """
    settings = _settings(stage, len(data), options)  # type: ignore[arg-type]
    if options.gradient_checkpointing:
        _recompute(model, True)
    trainer = StageTrainer(
        stage,
        model=model,
        args=settings,
        train_dataset=data,
        data_collator=collator,
        callbacks=list(options.callbacks),
    )
    # It prints the Trainer's own dictionaries; `mien.train.terminal` says the same in words.
    trainer.remove_callback(PrinterCallback)
    train_resumed(trainer)
    # Mixed precision wraps the forward of this very object; what follows the stage runs in its own precision.
    trainer.accelerator.unwrap_model(trainer.model_wrapped, keep_fp32_wrapper=False)
    if options.gradient_checkpointing:
        _recompute(model, False)
    model.eval()


def _recompute(model: nn.Module, on: bool) -> None:
    """Activations of a decoder's layers: recomputed on the way back, or kept."""
    if not isinstance(model, PreTrainedModel):
        return
    # transformers renamed it within version 5.
    kind = "activation" if hasattr(model, "activation_checkpointing_enable") else "gradient"
    if on:
        getattr(model, f"{kind}_checkpointing_enable")({"use_reentrant": False})
    else:
        getattr(model, f"{kind}_checkpointing_disable")()


def _schedule(stage: Stage) -> str:
    if stage.schedule != "cosine":
        return "constant_with_warmup"
    return "cosine_with_min_lr" if stage.last_rate else "cosine"


def _settings(stage: Stage, items: int, options: StageOptions) -> TrainingArguments:
    cpu = not torch.cuda.is_available()
    if stage.precision == "fp16" and cpu:
        raise BadConfig(
            got="precision fp16 without a GPU",
            expected="fp32 or bf16 on a CPU",
            fix="Write precision: bf16 into the stage",
        )
    arguments = TrainingArguments(
        output_dir=str(options.folder),
        use_cpu=cpu,
        bf16=stage.precision == "bf16",
        fp16=stage.precision == "fp16",
        per_device_train_batch_size=1,
        num_train_epochs=float(stage.epochs or 1),
        learning_rate=stage.learning_rate,
        lr_scheduler_type=_schedule(stage),
        lr_scheduler_kwargs={"min_lr": stage.last_rate} if stage.last_rate else {},
        save_steps=options.save_steps,
        save_total_limit=1,
        logging_steps=20,
        report_to=[],
        log_level_replica="error",
        seed=options.seed,
        remove_unused_columns=False,
        dataloader_pin_memory=not cpu,
        disable_tqdm=True,
        ddp_backend="gloo" if cpu and torch.distributed.is_initialized() else None,
    )
    devices = max(1, arguments.world_size)
    share = -(-stage.batch // devices) if options.micro_batch is None else options.micro_batch
    if stage.batch % (share * devices):
        raise BadConfig(
            got=f"a batch of {stage.batch} over {devices} devices in steps of {share}",
            expected="a batch that these divide",
            fix="Change micro_batch or batch",
        )
    arguments.per_device_train_batch_size = share
    arguments.gradient_accumulation_steps = stage.batch // (share * devices)
    steps = -(-items // stage.batch) * float(stage.epochs or 1)
    arguments.warmup_steps = int(stage.warmup * steps) if stage.warmup < 1.0 else int(stage.warmup)
    return arguments
