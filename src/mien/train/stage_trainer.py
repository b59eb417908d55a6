"""One training stage on the Hugging Face Trainer: its own loss and rates, small checkpoints, resume to the same bytes.

A step whose loss or gradient is not finite ends the run before the optimiser moves: the last checkpoint stays good.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
from safetensors.torch import load_file, save_file
from torch import Tensor, nn
from torch.nn import functional
from torch.utils.data import DataLoader, Dataset
from transformers import PreTrainedModel, PrinterCallback, Trainer, TrainerCallback, TrainingArguments
from transformers.modeling_layers import GradientCheckpointingLayer

from mien.core.errors import BadConfig, BadData, MissingWeights
from mien.core.paths import let_read
from mien.models.composite.adapters import trained_state
from mien.models.composite.processing import IGNORED
from mien.models.composite.systems import Stage
from mien.train.processes import meet, rank, share_batches
from mien.train.resume import train_resumed
from mien.train.visits import LEARNT, NAMES, PLACES, SEED, Epochs, Steps, Visited, loader

__all__ = [
    "StageOptions",
    "StageTrainer",
    "counted",
    "learnt_loss",
    "parameter_groups",
    "run_stage",
    "trained_state",
]

_CHECKPOINT, _NAMED = "trained.safetensors", 8


@dataclass(frozen=True, slots=True)
class StageOptions:
    """How a stage runs here; none of it is published."""

    folder: Path
    """Of its checkpoints."""
    seed: int = 1
    micro_batch: int | None = None
    save_steps: int = 200
    workers: int = 0
    """Processes beside the training one that prepare batches."""
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


def learnt_loss(
    logits: Tensor, targets: Tensor, counts: Sequence[int], kind: str, count: Tensor | int
) -> tuple[Tensor, Tensor]:
    """A micro-batch's share of the loss of a step, and each item's own mean (B,), detached.

    Args:
        logits: (P, V) at the places that are learnt, item by item.
        targets: (P,) what is learnt there.
        counts: of such places, by item.
        kind: `Stage.loss`.
        count: of what counts alike (`counted`) in the whole step, over all micro-batches and processes.
    """
    spent = functional.cross_entropy(logits.float(), targets, reduction="none")
    each = torch.tensor(counts).to(spent.device, non_blocking=True)
    item = torch.repeat_interleave(each, output_size=len(targets))
    means = spent.new_zeros(len(counts)).index_add(0, item, spent / each[item])
    if kind == "token":
        return spent.sum() / count, means.detach()
    share = means.sum() if kind == "sample" else spent.sum() / max(1, len(targets))
    return share / count, means.detach()


def counted(labels: Tensor, kind: str) -> Tensor:
    """Of one micro-batch, what counts alike under a `Stage.loss`: learnt tokens, items, or the micro-batch itself."""
    kept = labels[:, 1:] != IGNORED
    if kind == "token":
        return kept.sum()
    return kept.any(dim=1).sum() if kind == "sample" else kept.any().long()


class StageTrainer(Trainer):
    """The stock Trainer with a stage's loss and parameter groups; what is frozen stays in evaluation mode."""

    def __init__(self, stage: Stage, batches: DataLoader[Any], **settings: Any) -> None:
        super().__init__(**settings)
        self.stage, self.batches = stage, batches
        # Of the step that runs: names, tokens and losses of each micro-batch.
        self._seen: list[tuple[Sequence[str], Sequence[int], Tensor]] = []

    def create_optimizer(self, model: nn.Module | None = None) -> torch.optim.Optimizer:
        made: torch.optim.Optimizer | None = self.__dict__.get("optimizer")
        if made is None:
            groups = parameter_groups(model or self.model, self.stage)
            made = self.optimizer = torch.optim.AdamW(
                groups,
                lr=self.stage.learning_rate,
                betas=self.stage.betas,
                fused=not self.args.use_cpu or None,
            )
        return made

    def get_train_dataloader(self) -> DataLoader[Any]:
        """The process's own micro-batches, dealt by `Steps`: accelerate would repeat items to fill the last step."""
        return self.batches

    def compute_loss(
        self,
        model: nn.Module,
        inputs: dict[str, Any],
        return_outputs: bool = False,
        num_items_in_batch: Tensor | int | None = None,
    ) -> Any:
        names, counts = inputs.pop(NAMES, ()), inputs.pop(LEARNT, ())
        own = inputs.pop(SEED, 0)
        if "labels" not in inputs:
            # Of all processes' rows together; see `share_batches`.
            torch.manual_seed(self.args.seed * 1_000_003 + self.state.global_step)
            loss, outputs = super().compute_loss(model, inputs, return_outputs=True)
            self._seen.append((names, [0] * len(names), loss.detach()))
            return (loss, outputs) if return_outputs else loss
        torch.manual_seed(own)
        labels, places = inputs.pop("labels"), inputs.pop(PLACES)
        # Logits of what is learnt alone: of a long prompt that is little.
        outputs = model(**inputs, places=places)
        targets = labels.flatten()[places + 1]
        count = counted(labels, self.stage.loss) if num_items_in_batch is None else num_items_in_batch
        loss, means = learnt_loss(outputs.logits, targets, counts, self.stage.loss, count)
        self._seen.append((names, counts, means))
        # Gradients are averaged over the processes, and the step's count is that of all of them.
        loss = loss * self.accelerator.num_processes
        return (loss, outputs) if return_outputs else loss

    def _get_num_items_in_batch(self, batch_samples: list[Any], device: torch.device) -> Any:
        if not batch_samples or "labels" not in batch_samples[0]:
            return None
        count = torch.stack([counted(batch["labels"], self.stage.loss) for batch in batch_samples]).sum()
        if self.accelerator.num_processes > 1:
            count = self.accelerator.gather(count.to(device)).sum()
        return count.to(device)

    def _clip_grad_norm(self, model: nn.Module) -> Any:
        norm = super()._clip_grad_norm(model)
        self._require_finite(norm)
        self._seen.clear()
        return norm

    def _require_finite(self, norm: Any) -> None:
        """Raises before the optimiser moves.

        Raises:
            BadData: a loss or the gradient of this step is not finite; the items are named.
        """
        good = bool(torch.stack([losses.isfinite().all() for *_, losses in self._seen]).all())
        # With fp16 a scaled gradient may overflow; the scaler then leaves the step out and lowers its scale.
        if good and (self.args.fp16 or norm is None or math.isfinite(float(norm))):
            return
        told = [
            (float(loss), f"{name} ({tokens} tokens, loss {float(loss):.3g})")
            for names, counts, losses in self._seen
            for name, tokens, loss in zip(names, counts, losses.expand(len(names)), strict=True)
        ]
        odd = [text for loss, text in told if not math.isfinite(loss)] or [text for _, text in told]
        more = f" and {len(odd) - _NAMED} more" if len(odd) > _NAMED else ""
        what = "gradient" if good else "loss"
        raise BadData(
            got=f"a {what} that is not finite at step {self.state.global_step + 1}: {', '.join(odd[:_NAMED])}{more}",
            expected="finite numbers; nothing of this step was learnt, and the last checkpoint is good",
            fix="Look at these items, lower the learning rate, or use precision bf16 in place of fp16",
        )

    def _save(self, output_dir: str | None = None, state_dict: Mapping[str, Any] | None = None) -> None:
        # Only what learns: a checkpoint of a 7B decoder's adapters is megabytes, not 14 GB.
        folder = Path(output_dir or self.args.output_dir)
        folder.mkdir(parents=True, exist_ok=True)
        state = trained_state(self.accelerator.unwrap_model(self.model))
        if state_dict is not None:  # gathered from shards
            state = {name: state_dict[name].contiguous() for name in state}
        save_file(state, folder / _CHECKPOINT)
        let_read(folder)

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


@contextmanager
def _arranged(model: nn.Module, alone: bool) -> Iterator[None]:
    """What is frozen rests, once for the whole stage: the Trainer turns a model to training at every micro-batch.

    An encoder that learns ``alone`` does so by the statistics of a step's whole batch, over all processes.
    """
    rest_frozen(model.train())
    shared = share_batches(model) if alone else {}
    model.train = lambda mode=True: model  # type: ignore[method-assign]
    try:
        yield
    finally:
        del model.train
        for part, before in shared.items():
            part.__class__ = before


def run_stage(
    model: nn.Module,
    stage: Stage,
    data: Dataset[Any],
    collator: Callable[[Sequence[Any]], Mapping[str, Any]],
    options: StageOptions,
    name: Callable[[Any], str] = str,
) -> None:
    """Train ``model``, whose parameters are frozen for the stage already; a killed run goes on from its checkpoint.

    Args:
        model: what learns.
        stage: its figures.
        data: items; one with ``turn_to(epoch)`` is told which epoch begins.
        collator: makes a batch of items; its random choices (torch's) are seeded by seed, epoch and items.
        options: how it runs here.
        name: of an item, for messages and seeds.
    """
    settings = _settings(stage, len(data), options)  # type: ignore[arg-type]
    if options.gradient_checkpointing:
        _recompute(model, True)
    visited = Visited(collator, name, options.seed)
    steps = Steps(
        len(data),  # type: ignore[arg-type]
        stage.batch,
        settings.per_device_train_batch_size,
        options.seed,
        max(1, settings.world_size),
        rank(),
        getattr(data, "length", None),
        even=stage.objective != "language",
    )
    trainer = StageTrainer(
        stage,
        loader(data, steps, visited, options.workers, pinned=settings.dataloader_pin_memory),
        model=model,
        args=settings,
        train_dataset=data,
        callbacks=[*options.callbacks, Epochs(data, steps, visited)],
    )
    # It prints the Trainer's own dictionaries; `mien.train.terminal` says the same in words.
    trainer.remove_callback(PrinterCallback)
    with _arranged(model, alone=stage.objective != "language"):
        meet()
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
        # It would wait for the device at every micro-batch; `_require_finite` looks once a step.
        logging_nan_inf_filter=False,
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
