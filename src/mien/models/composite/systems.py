"""What every system is made of: configuration, layout of the dialogue, training stages, generation, reading.

A system's own folder holds its facts and nothing of another's; `mien.models.registry` finds it by name.
"""

from __future__ import annotations

import inspect
import random
import re
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import Any, Literal

from peft import LoraConfig, inject_adapter_in_model
from tokenizers import Tokenizer
from torch import nn

from mien.core.errors import BadConfig, BadInput, require_known
from mien.core.nouns import Answer, Dialogue, Sample, Turn
from mien.dialogue.say.builders import show
from mien.models.composite.facial_lm import FacialLMConfig
from mien.models.composite.precision import freeze_in, learn_in_float32
from mien.models.composite.processing import TEMPLATES, Encoded, Template, encode, lay_out

__all__ = ["SPOKEN", "Arrays", "Builder", "Generation", "LabelTask", "Lora", "Stage", "System", "prepare"]

Builder = Callable[..., Dialogue | None]
"""``builder(sample, rng, **options)``: one training item, or None where the sample lacks the label."""


@dataclass(frozen=True, slots=True)
class Lora:
    """Low-rank adapters W = W0 + (alpha / rank) B A on the named layers."""

    targets: tuple[str, ...]
    """Regular expressions over the names of linear layers; each has to match something."""
    rank: int
    alpha: int
    dropout: float = 0.05


@dataclass(frozen=True, slots=True)
class Stage:
    """One training stage with its published figures; None stands for one that was not published."""

    trains: tuple[str, ...]
    """Beginnings of the names of the parameters that learn, adapters not counted."""
    learning_rate: float
    batch: int
    """Samples per optimiser step, over all devices and accumulation steps."""
    epochs: float | None
    lora: Lora | None = None
    objective: Literal["language", "contrastive", "classification", "reward"] = "language"
    rates: Mapping[str, float] = field(default_factory=dict)
    """Own learning rate of parameters by the beginning of their names."""
    schedule: Literal["cosine", "constant"] | None = "cosine"
    warmup: float = 0.0
    """Share of all steps below 1, else a number of steps."""
    weight_decay: float = 0.0
    betas: tuple[float, float] = (0.9, 0.999)
    """AdamW's."""
    last_rate: float = 0.0
    """Where the cosine ends."""
    precision: Literal["fp32", "fp16", "bf16"] = "bf16"
    loss: Literal["token", "sample", "micro_batch"] = "token"
    """What counts alike in an optimiser step: each learnt token of it; each item, as the mean of its tokens; or each
    micro-batch, as the mean of its tokens."""
    template: str | None = None
    """Layout of this stage's dialogues where it is not the system's: one of
    `mien.models.composite.processing.TEMPLATES`."""
    data: str = ""


SPOKEN = ("language", "reward")
"""Objectives of stages whose model answers questions."""


@dataclass(frozen=True, slots=True)
class Generation:
    """How answers are generated; names as in transformers' ``generate``."""

    max_new_tokens: int
    do_sample: bool = False
    temperature: float | None = None
    top_p: float | None = None
    stop: tuple[str, ...] = ()
    """Texts that end an answer beside the end token."""

    def arguments(self) -> dict[str, object]:
        """Keyword arguments of ``generate``; what is None stays out."""
        named = {
            name: getattr(self, name) for name in ("max_new_tokens", "do_sample", "temperature", "top_p")
        }
        return {name: value for name, value in named.items() if value is not None}


@dataclass(frozen=True, slots=True)
class LabelTask:
    """A closed question: the answers whose likelihoods are compared."""

    question: str
    """The user's turn, placeholders included."""
    answers: Mapping[str, str]
    """Label -> answer up to and including the label; none begins another."""


@dataclass(frozen=True, slots=True)
class Arrays:
    """How a system codes AUs: an array per task, read by its grammar."""

    forms: Mapping[str, str]
    """Task -> one of `mien.dialogue.read.au_arrays.FORMATS`."""
    units: Callable[[str], tuple[str, ...]]
    """Names of a task's values."""
    asked: Callable[..., tuple[str, tuple[str, ...]] | Answer]
    """``asked(kind, question, trained)``: task and values that answer a question, or what can be said instead."""
    pick: Callable[[str, str, Sequence[str]], Answer]
    """``pick(text, task, names)``: the values that were asked for, as an array of their own."""


@dataclass(frozen=True, slots=True)
class System:
    """One published system on the composite."""

    name: str
    configure: Callable[..., FacialLMConfig]
    """``configure(scale, vocabulary=None, **options)``; options are the paper's ablations and open points."""
    template: Template
    placeholders: Mapping[str, str]
    """Placeholder in a prompt -> evidence name."""
    stages: Mapping[str, Stage]
    generation: Generation
    ask: Callable[..., str]
    """A user's turn for a task, placeholders included."""
    read: Callable[..., Answer]
    """``read(text, task=…)``: what the answer says."""
    builders: Mapping[str, Builder]
    """Task -> what makes a training item of a sample. Where a task is one of ``read`` too, they agree."""
    wrap: Callable[[str, Mapping[str, Any]], str]
    """``wrap(question, options)``: a user's own question as a turn, for a model built with these options."""
    labels: Callable[[Mapping[str, Any]], LabelTask] | None = None
    """The closed question on the emotion, for a model built with these options; None where there is none."""
    evidence: str = ""
    """What `adapt` puts before the first question of a foreign dialogue; nothing where the template shows the face."""
    shows_again: bool = False
    """Whether each later question of a conversation shows the evidence again."""
    unbalanced: tuple[str, ...] = ()
    """Tasks that a sampler by label leaves as they are."""
    mix: Mapping[str, float] = field(default_factory=dict)
    """Share of each task among the training items, where published."""
    arrays: Arrays | None = None
    """How it measures AUs, for a system that answers with arrays of them."""
    explaining: Callable[[str], Sequence[Turn]] | None = None
    """The dialogue that asks for an explanation of a label; None: a free answer to the emotion question stands for
    it."""
    alignment_text: Callable[[str], str] = "A face with the emotion of {}.".format
    """The text that a face of an emotion is aligned with, in a contrastive stage."""
    needs_mesh: Callable[[Any], bool] = lambda inputs: False
    """Whether it cannot read a face without landmarks, when prepared as these
    `mien.models.composite.evidence_inputs.Inputs` say."""
    published_inputs: Mapping[str, str] = field(default_factory=dict)
    """Fields of `Inputs` that its published weights were trained on."""
    present_above: Mapping[str, float] = field(default_factory=dict)
    """Task -> value above which an AU counts as present when answers are scored; 0 for tasks that are not named."""
    clips: bool = False
    """Whether one answer may be about several frames of a video. Then the options of ``wrap`` and ``labels``, and those
    of its ``builders``, name their number as ``frames``, and each frame is an item of evidence."""
    max_length: int = 2048
    padding: Literal["left", "right"] = "right"
    """Side of padding in training; generation always pads left."""
    special_tokens: bool = True
    """Whether the tokenizer adds its start token; False where the template writes it."""
    weights: Mapping[str, str] = field(default_factory=dict)
    """Part -> where its published weights are (hub id), at scale ``paper``."""
    start: str = ""
    """How to make the one model that training at scale ``paper`` starts from, where its parts alone are not enough."""
    base_weights: Mapping[str, str] = field(default_factory=dict)
    """The same at scale ``base``."""

    def build(self, task: str, sample: Sample, rng: random.Random, **options: object) -> Dialogue | None:
        """One training item; None when the sample lacks the label that the task needs.

        Args:
            task: a key of ``builders``.
            sample: the labelled face or clip.
            rng: chooses question, answer template and order.
            **options: of this task's builder; see the ``BUILDERS`` of the system's words.

        Raises:
            BadConfig: unknown task, option or value of one.
        """
        require_known(task, self.builders, "task", of=self.name)
        known = tuple(inspect.signature(self.builders[task]).parameters)[2:]
        unknown = [name for name in options if name not in known]
        if unknown:
            raise BadConfig(
                got=f"option {', '.join(unknown)} of {self.name} {task}",
                expected=f"one of {', '.join(known)}" if known else "no options",
                fix="Leave it out",
            )
        return self.builders[task](sample, rng, **options)

    def adapt(self, dialogue: Dialogue, frames: int = 1, rng: random.Random | None = None) -> Dialogue:
        """A dialogue of the data itself (FABA-Instruct's turns, a data engine's) with the evidence in its place.

        Evidence goes to the front of the first question, wherever the data put it, as in the released preprocessing.
        A system of ``shows_again`` shows it with each later question too: at its head, or with ``rng`` at its end as
        often.

        Args:
            dialogue: turns with or without placeholders.
            frames: of a clip, for a system that reads clips.
            rng: draws the places of later evidence.
        """
        shown = "".join(one * frames if one in self.placeholders else one for one in _pieces(self.evidence))
        told = show(dialogue, shown)
        if not self.shows_again:
            return told
        turns, seen = [], False
        for turn in told.turns:
            if turn.role == "user" and seen:
                ends = rng is not None and rng.random() < 0.5
                text = f"{turn.text}\n{shown.rstrip()}" if ends else shown + turn.text
                turns.append(Turn("user", text))
            else:
                turns.append(turn)
            seen = seen or turn.role == "user"
        return replace(told, turns=tuple(turns))

    def laid_out(self, template: str | None) -> System:
        """The system with another of `mien.models.composite.processing.TEMPLATES`; None keeps its own."""
        if template is None:
            return self
        require_known(template, TEMPLATES, "template")
        return replace(self, template=TEMPLATES[template])

    def expansions(self, config: FacialLMConfig) -> dict[str, tuple[int, ...]]:
        """Placeholder text -> ids of the rows it becomes, for the evidence that this configuration has."""
        entries = config.evidence
        return {
            text: (entries[name]["token_id"],) * entries[name]["rows"]
            for text, name in self.placeholders.items()
            if name in entries
        }

    def limit(self, config: FacialLMConfig) -> int:
        """Most tokens of a dialogue: `max_length`, or the decoder's context where it is shorter."""
        context = getattr(config.text_config, "max_position_embeddings", None)
        return self.max_length if context is None else min(self.max_length, int(context))

    def instructions(self, turns: Sequence[Turn]) -> list[str]:
        """What an encoder that reads a question is told, once for every question that shows the evidence.

        That is the question without its placeholders; of a layout that itself shows the evidence, the first one.
        """
        asked = [turn.text for turn in turns if turn.role == "user"]
        shown = [text for text in asked if any(one in text for one in self.placeholders)] or asked[:1]
        for placeholder in self.placeholders:
            shown = [text.replace(placeholder, "") for text in shown]
        return [text.strip() for text in shown]

    def instruction(self, turns: Sequence[Turn]) -> str:
        """The first of `instructions`."""
        return next(iter(self.instructions(turns)), "")

    def begun(
        self, turns: Sequence[Turn], said: str, tokenizer: Tokenizer, config: FacialLMConfig
    ) -> tuple[int, ...]:
        """Tokens of an open dialogue whose answer has begun with ``said``.

        Raises:
            BadInput: as `encode`, or it is too long.
        """
        self.encode(turns, tokenizer, config)
        parts = [*lay_out(turns, self.template), (self.template.blank + said, True)]
        known = self.expansions(config)
        ids = encode(parts, tokenizer, known, special_tokens=self.special_tokens).ids
        if len(ids) > self.limit(config):
            raise BadInput(
                got=f"a prompt and the start of an answer of {len(ids)} tokens",
                expected=f"at most {self.limit(config)}",
                fix="Shorten the question, or pass fewer frames",
            )
        return ids

    def encode(self, turns: Sequence[Turn], tokenizer: Tokenizer, config: FacialLMConfig) -> Encoded:
        """A dialogue as tokens and labels, in the system's published layout; the end is cut at `limit`.

        Raises:
            BadInput: turns do not alternate, evidence has no place in this configuration, or the cut goes through
                evidence, leaves nothing to learn, or takes from a question that waits for its answer.
        """
        parts = lay_out(turns, self.template)
        text = "".join(part for part, _ in parts)
        known = self.expansions(config)
        lost = [name for name in self.placeholders if name in text and name not in known]
        if lost:
            raise BadInput(
                got=f"placeholders {', '.join(lost)}",
                expected=f"evidence of this configuration: {', '.join(known) or 'none'}",
                fix="Build the prompt with the options that the model was built with",
            )
        whole = encode(parts, tokenizer, known, special_tokens=self.special_tokens)
        limit = self.limit(config)
        if len(whole.ids) <= limit:
            return whole
        cut = Encoded(whole.ids[:limit], whole.labels[:limit])
        rows = {token for ids in known.values() for token in ids}
        learnt = parts[-1][1] and any(label >= 0 for label in cut.labels)
        if not learnt or any(token in rows for token in whole.ids[limit:]):
            raise BadInput(
                got=f"a prompt of {len(whole.ids)} tokens",
                expected=f"at most {limit}, evidence and the start of an answer included",
                fix="Shorten the question, or pass fewer frames",
            )
        return cut


def prepare(model: nn.Module, stage: Stage) -> list[str]:
    """Freeze and adapt a model for a stage; the sorted names of the parameters that learn, in float32."""
    model.requires_grad_(False)
    if stage.lora is not None:
        modules = [name for name, module in model.named_modules() if isinstance(module, nn.Linear)]
        adapted: dict[str, None] = {}
        for target in stage.lora.targets:
            found = [name for name in modules if _expression(target).fullmatch(name)]
            _require(target, found)
            adapted |= dict.fromkeys(found)
        settings = LoraConfig(
            r=stage.lora.rank,
            lora_alpha=stage.lora.alpha,
            lora_dropout=stage.lora.dropout,
            # By name: an expression for all layers of a block would match the block itself too.
            target_modules="|".join(map(re.escape, adapted)),
        )
        inject_adapter_in_model(settings, model)
    # A tied head has its embedding's name; both names may be given.
    names = [name for name, _ in model.named_parameters(remove_duplicate=False)]
    for beginning in (*stage.trains, *stage.rates):
        _require(beginning, [name for name in names if name.startswith(beginning)])
    for name, parameter in model.named_parameters(remove_duplicate=False):
        if name.startswith(tuple(stage.trains)) and ".lora_" not in name:
            parameter.requires_grad_(True)
    learn_in_float32(model)
    freeze_in(model, stage.precision)
    return sorted(name for name, parameter in model.named_parameters() if parameter.requires_grad)


def _pieces(text: str) -> list[str]:
    return re.split(r"(<\w+>|\[[\w ]+\])", text)


def _expression(target: str) -> re.Pattern[str]:
    try:
        return re.compile(target)
    except re.error as error:
        raise BadConfig(
            got=f"{target!r}, which is no regular expression ({error})",
            expected=r"one over the names of linear layers, such as '.*\.[qv]_proj'",
            fix="Write .* where a shell has *",
        ) from error


def _require(pattern: str, matches: Sequence[str]) -> None:
    if not matches:
        raise BadConfig(
            got=f"{pattern!r}, which matches no part of the model",
            expected="a name or expression that matches",
            fix="Compare it with model.named_parameters(); towers differ in the names of their layers",
        )
