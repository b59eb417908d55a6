"""The stage ``reward``: answers are drawn, judged by the auditor, and the better ones of a group made likelier.

Group-relative policy optimisation (GRPO) in its on-policy form: each step draws ``group`` answers per face,
`mien.backends.audit.reward` gives each a number, what lies above the group's mean is made likelier, and a KL term
holds the model near where the stage began. One update per draw, so there is no ratio to clip. What the reward knows
of a face is its labels (AUs as the data or the recipe's teacher say them, and the emotion), never a validation
face.

TRL's trainer is not used: it draws from a text model or one of transformers' own vision models; evidence rows beside
the prompt have no place there.
"""

from __future__ import annotations

import copy
import json
import math
import random
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from statistics import fmean
from types import SimpleNamespace
from typing import Any

import torch
from safetensors import safe_open
from safetensors.torch import save_file
from tokenizers import Tokenizer
from torch import Tensor

from mien.backends.audit import reward
from mien.core.emotions import EMOTIONS
from mien.core.errors import BadConfig, BadData
from mien.core.nouns import AuReading, FaceResult, Turn
from mien.core.paths import write_whole, written_whole
from mien.models.composite.conversing import converse
from mien.models.composite.evidence_inputs import Inputs
from mien.models.composite.facial_lm import FacialLM
from mien.models.composite.processing import IGNORED
from mien.models.composite.readouts import Readouts
from mien.models.composite.systems import Stage, System
from mien.train.data.drawn import Instruction
from mien.train.data.faces import Faces
from mien.train.data.instructions import InstructionCollator
from mien.train.recipe import Rewarding
from mien.train.stage_trainer import StageOptions, parameter_groups, trained_state
from mien.train.supervised import cached_encoders, cached_rows, reading_cached

__all__ = ["labelled_face", "run_reward"]

_STATE = "state.safetensors"
_CLIP = 1.0


def labelled_face(faces: Faces, row: int) -> FaceResult:
    """What the labels of a face say, in the form of a measurement; AUs without a label are unmeasured."""
    labels = faces.samples[row].labels
    emotions = {name: float(name == labels.emotion) for name in EMOTIONS} if labels.emotion else {}
    aus = {key: AuReading.of(value) for key, value in (labels.au_intensity or {}).items()}
    return FaceResult(faces.evidence(faces.centre(row)).face, emotions, aus)


@dataclass(slots=True)
class _Progress:
    step: int
    rewards: list[float]


@dataclass
class _Rollout:
    """A model that answers, the faces it answers about, and what each answer is worth.

    Args:
        truths: item's face -> what the reward knows of it; of another face in the shuffled control.
    """

    model: FacialLM
    system: System
    tokenizer: Tokenizer
    collator: InstructionCollator
    how: Rewarding
    truths: Mapping[int, FaceResult]

    def draw(self, items: Sequence[Instruction], seed: int) -> tuple[list[Instruction], Tensor]:
        """The items as the model answers them, ``group`` times each, and (N,) rewards."""
        asked = [item for item in items for _ in range(self.how.group)]

        def seen(told: Sequence[Sequence[Turn]]) -> Mapping[str, Any]:
            return self.collator.evidence(
                [
                    Instruction(item.face, item.task, tuple(turns))
                    for item, turns in zip(asked, told, strict=True)
                ]
            )

        readouts = Readouts(self.model, self.collator.pad_id)
        dialogues = [item.turns for item in asked]
        said = converse(
            self.system, readouts, self.tokenizer, dialogues, seen, do_sample=True, seed=seed,
            temperature=self.how.temperature, top_p=self.how.top_p, max_new_tokens=self.how.max_new_tokens,
        )  # fmt: skip
        told = [_answered(item, texts) for item, texts in zip(asked, said, strict=True)]
        found = reward(
            [texts[-1] for texts in said], [self.truths[item.face] for item in asked], dict(self.how.weights)
        )
        # An answer that does not end is worth nothing: else a model learns to go on for ever.
        kept = [0.0 if self._endless(texts[-1]) else value for texts, value in zip(said, found, strict=True)]
        return told, torch.tensor(kept)

    def _endless(self, text: str) -> bool:
        return len(self.tokenizer.encode(text, add_special_tokens=False).ids) >= self.how.max_new_tokens - 1

    def batch(self, told: Sequence[Instruction]) -> dict[str, Any]:
        """The dialogues as training reads them: all answers learnt."""
        config = self.collator.config
        return self.collator(
            [(item, self.system.encode(item.turns, self.tokenizer, config)) for item in told]
        )


def _answered(item: Instruction, texts: Sequence[str]) -> Instruction:
    left = iter(texts)
    turns = [Turn("assistant", next(left) or " ") if one.role == "assistant" else one for one in item.turns]
    return Instruction(item.face, item.task, tuple(turns))


def _advantages(rewards: Tensor, group: int) -> Tensor:
    """(N,) how far each lies from its group's mean, in deviations; 0 where all are alike."""
    rows = rewards.view(-1, group)
    spread = rows.std(dim=1, keepdim=True)
    return ((rows - rows.mean(dim=1, keepdim=True)) / (spread + 1e-4)).flatten()


def _told(model: FacialLM, batch: Mapping[str, Any]) -> tuple[Tensor, Tensor]:
    """(N, T - 1) log-likelihoods of the learnt tokens, and which these are."""
    labels = batch["labels"][:, 1:]
    kept = labels != IGNORED
    inputs = {name: value for name, value in batch.items() if name != "labels"}
    logits = model(**inputs).logits[:, :-1].float().log_softmax(-1)
    return logits.gather(2, labels.clamp(min=0)[..., None])[..., 0] * kept, kept


def _loss(
    model: FacialLM, first: FacialLM | None, batch: Mapping[str, Any], worth: Tensor, kl: float
) -> Tensor:
    """Each answer counts alike, as the mean of its tokens; the KL term is Schulman's third estimator."""
    said, kept = _told(model, batch)
    counts = kept.sum(dim=1).clamp(min=1)
    loss = -(worth * said.sum(dim=1) / counts).mean()
    if first is None:
        return loss
    with torch.no_grad():
        began, _ = _told(first, batch)
    away = (began - said).where(kept, torch.zeros(()))
    return loss + kl * (((away.exp() - away - 1.0) * kept).sum(dim=1) / counts).mean()


def _share(stage: Stage, step: int, steps: int) -> float:
    """Share of the learning rate at a step."""
    warm = stage.warmup * steps if stage.warmup < 1.0 else stage.warmup
    if step < warm:
        return (step + 1) / warm
    if stage.schedule != "cosine":
        return 1.0
    lowest = stage.last_rate / stage.learning_rate
    return lowest + (1.0 - lowest) * 0.5 * (1.0 + math.cos(math.pi * (step - warm) / max(1.0, steps - warm)))


def _chosen(count: int, step: int, prompts: int, seed: int) -> list[int]:
    """Places of the items of a step: every item once before any comes again, in an order of its own each time."""
    places = range(step * prompts, (step + 1) * prompts)
    orders = {
        epoch: random.Random(f"{seed}/{epoch}").sample(range(count), count)
        for epoch in {place // count for place in places}
    }
    return [orders[place // count][place % count] for place in places]


def _truths(faces: Faces, rows: Sequence[int], shuffled: bool, seed: int) -> dict[int, FaceResult]:
    known = {row: labelled_face(faces, row) for row in dict.fromkeys(rows)}
    if not shuffled:
        return known
    order = random.Random(f"{seed}/shuffled").sample(list(known), len(known))
    # Each face gets the next one's truth, so none keeps its own.
    return {row: known[other] for row, other in zip(order, [*order[1:], order[0]], strict=True)}


def _save(path: Path, model: FacialLM, optimiser: torch.optim.AdamW, progress: _Progress) -> None:
    tensors = {f"model/{name}": value for name, value in trained_state(model).items()}
    names = {parameter: name for name, parameter in model.named_parameters()}
    for parameter, moments in optimiser.state.items():
        tensors |= {f"{key}/{names[parameter]}": value for key, value in moments.items()}
    path.parent.mkdir(parents=True, exist_ok=True)
    with written_whole(path) as partial:
        save_file(tensors, partial, {"progress": json.dumps([progress.step, progress.rewards])})


def _resume(path: Path, model: FacialLM, optimiser: torch.optim.AdamW) -> _Progress:
    if not path.is_file():
        return _Progress(0, [])
    with safe_open(path, framework="pt") as file:
        tensors = {name: file.get_tensor(name) for name in file.keys()}
        step, rewards = json.loads(file.metadata()["progress"])
    model.load_state_dict(
        {name[6:]: value for name, value in tensors.items() if name.startswith("model/")}, strict=False
    )
    for name, parameter in model.named_parameters():
        moments = {key: tensors.get(f"{key}/{name}") for key in ("step", "exp_avg", "exp_avg_sq")}
        if moments["step"] is not None:
            optimiser.state[parameter] = moments
    return _Progress(step, rewards)


def run_reward(
    model: FacialLM,
    system: System,
    stage: Stage,
    items: Sequence[Instruction],
    faces: Faces,
    inputs: Inputs,
    tokenizer: Tokenizer,
    options: StageOptions,
    how: Rewarding,
    *,
    cache: bool = False,
) -> list[float]:
    """Train a prepared composite on the reward of its own answers; a killed run goes on to the same bytes.

    Args:
        model: prepared for the stage.
        system: whose layout the dialogues have.
        stage: its figures; ``batch`` counts answers, ``epochs`` passes over the items.
        items: whose questions are asked; what they answer is not looked at.
        faces: what they are about, with the labels that the reward knows.
        inputs: how faces become tensors.
        tokenizer: of the dialogues.
        options: how it runs here.
        how: groups, sampling and the reward.
        cache: encode the faces once where their encoder is frozen.

    Returns:
        Mean reward of each step.

    Raises:
        BadConfig: several processes, another precision than fp32, or a batch that groups do not divide.
        BadData: a loss that is not finite.
    """
    _check(stage, how)
    system = system.laid_out(stage.template)
    pad = tokenizer.token_to_id("<pad>") or 0
    names = cached_encoders(model) if cache else []
    rows = {name: cached_rows(model, name, inputs, faces, 1, options.seed) for name in names}
    collator = InstructionCollator(system, model.config, inputs, faces, tokenizer, pad, cached=rows or None)
    truths = _truths(faces, [item.face for item in items], how.shuffled, options.seed)
    prompts = stage.batch // how.group
    steps = math.ceil(len(items) * float(stage.epochs or 1) / prompts)
    optimiser = torch.optim.AdamW(parameter_groups(model, stage), betas=stage.betas)
    rates = [group["lr"] for group in optimiser.param_groups]
    options.folder.mkdir(parents=True, exist_ok=True)
    with reading_cached(model, names):
        first = copy.deepcopy(model).eval().requires_grad_(False) if how.kl else None
        rollout = _Rollout(model.eval(), system, tokenizer, collator, how, truths)
        progress = _resume(options.folder / _STATE, model, optimiser)
        state = SimpleNamespace(global_step=progress.step, max_steps=steps, is_world_process_zero=True)
        shown = SimpleNamespace(output_dir=str(options.folder))
        for told in options.callbacks:
            told.on_train_begin(shown, state, None)
        while progress.step < steps:
            step = progress.step
            chosen = [items[place] for place in _chosen(len(items), step, prompts, options.seed)]
            drawn, rewards = rollout.draw(chosen, options.seed * 1_000_003 + step)
            loss = _loss(model, first, rollout.batch(drawn), _advantages(rewards, how.group), how.kl)
            _require_finite(loss, step, drawn, faces)
            optimiser.zero_grad()
            loss.backward()
            torch.nn.utils.clip_grad_norm_(model.parameters(), _CLIP)
            for group, rate in zip(optimiser.param_groups, rates, strict=True):
                group["lr"] = rate * _share(stage, step, steps)
            optimiser.step()
            progress.step += 1
            progress.rewards.append(round(fmean(rewards.tolist()), 6))
            if progress.step % options.save_steps == 0:
                _save(options.folder / _STATE, model, optimiser, progress)
            state.global_step = progress.step
            for told in options.callbacks:
                told.on_step_end(shown, state, None)
    write_whole(options.folder / "rewards.json", json.dumps(progress.rewards) + "\n")
    return progress.rewards


def _check(stage: Stage, how: Rewarding) -> None:
    if torch.distributed.is_available() and torch.distributed.is_initialized():
        raise BadConfig(
            got="a stage reward on several processes", expected="one", fix="Run it without torchrun"
        )
    if stage.precision != "fp32":
        raise BadConfig(
            got=f"a stage reward in {stage.precision}",
            expected="fp32",
            fix="Write precision: fp32 into the stage",
        )
    if stage.batch % how.group:
        raise BadConfig(
            got=f"a batch of {stage.batch} in groups of {how.group}",
            expected="whole groups",
            fix="Change batch or reward.group",
        )


def _require_finite(loss: Tensor, step: int, drawn: Sequence[Instruction], faces: Faces) -> None:
    if not bool(loss.isfinite()):
        named = ", ".join(dict.fromkeys(faces.samples[item.face].id for item in drawn))
        raise BadData(
            got=f"a loss that is not finite at step {step + 1}: {named}",
            expected="finite numbers; nothing of this step was learnt",
            fix="Lower the learning rate",
        )
