"""What every system is made of: configuration, layout of the dialogue, training stages, generation, reading.

`SYSTEMS` is looked up lazily; a system's own file holds its facts and nothing of another's.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from importlib import import_module
from types import MappingProxyType
from typing import Literal, cast

from peft import LoraConfig, inject_adapter_in_model
from tokenizers import Tokenizer
from torch import nn

from mien.core.errors import BadConfig, BadInput
from mien.core.nouns import Answer, Turn
from mien.models.facial_lm import FacialLMConfig
from mien.models.processing import Encoded, Template, encode, lay_out

__all__ = ["SYSTEMS", "Generation", "Lora", "Stage", "System", "open_system", "prepare"]

SYSTEMS: Mapping[str, str] = MappingProxyType(
    {
        "facephi": "mien.models.facephi:SYSTEM",
        "emola": "mien.models.emola:SYSTEM",
        "emo-llama": "mien.models.emo_llama:SYSTEM",
        "au-llava": "mien.models.au_llava:SYSTEM",
        "expllm": "mien.models.expllm:SYSTEM",
    }
)
"""System name -> ``"module:SYSTEM"``."""


@dataclass(frozen=True, slots=True)
class Lora:
    """Low-rank adapters W = W0 + (alpha / rank) B A on the named layers."""

    targets: tuple[str, ...]
    """Regular expressions over module names; each has to match something."""
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
    objective: Literal["language", "contrastive", "classification"] = "language"
    rates: Mapping[str, float] = field(default_factory=dict)
    """Own learning rate of parameters by the beginning of their names."""
    schedule: Literal["cosine", "constant"] | None = "cosine"
    warmup: float = 0.0
    """Share of all steps below 1, else a number of steps."""
    weight_decay: float = 0.0
    precision: Literal["fp32", "fp16", "bf16"] = "bf16"
    data: str = ""


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
    max_length: int = 2048
    padding: Literal["left", "right"] = "right"
    """Side of padding in training; generation always pads left."""
    special_tokens: bool = True
    """Whether the tokenizer adds its start token; False where the template writes it."""
    weights: Mapping[str, str] = field(default_factory=dict)
    """Part -> where its published weights are (hub id), at scale ``paper``."""

    def expansions(self, config: FacialLMConfig) -> dict[str, tuple[int, ...]]:
        """Placeholder text -> ids of the rows it becomes, for the evidence that this configuration has."""
        entries = config.evidence
        return {
            text: (entries[name]["token_id"],) * entries[name]["rows"]
            for text, name in self.placeholders.items()
            if name in entries
        }

    def encode(self, turns: Sequence[Turn], tokenizer: Tokenizer, config: FacialLMConfig) -> Encoded:
        """A dialogue as tokens and labels, in the system's published layout; the end is cut at `max_length`.

        Raises:
            BadInput: turns do not alternate, evidence has no place in this configuration, or the cut goes through
                evidence or leaves nothing to learn or to answer.
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
        if len(whole.ids) <= self.max_length:
            return whole
        cut = Encoded(whole.ids[: self.max_length], whole.labels[: self.max_length])
        rows = {token for ids in known.values() for token in ids}
        spoken = {label for label in cut.labels if label >= 0}
        if not spoken or any(token in rows for token in whole.ids[self.max_length :]):
            raise BadInput(
                got=f"a prompt of {len(whole.ids)} tokens",
                expected=f"at most {self.max_length}, evidence and the start of an answer included",
                fix="Shorten the question, or pass fewer frames",
            )
        return cut


def open_system(name: str) -> System:
    """A system by name.

    Raises:
        BadConfig: the name is not in `SYSTEMS`.
    """
    if name not in SYSTEMS:
        raise BadConfig(
            got=f"system {name!r}", expected=f"one of {', '.join(SYSTEMS)}", fix="Choose one of these"
        )
    module, _, attribute = SYSTEMS[name].partition(":")
    return cast(System, getattr(import_module(module), attribute))


def prepare(model: nn.Module, stage: Stage) -> list[str]:
    """Freeze and adapt a model for a stage; the sorted names of the parameters that learn.

    Raises:
        BadConfig: a target of the adapters, or a name of ``stage.trains`` or ``stage.rates``, matches nothing: a silent
            miss would train less than was declared.
    """
    model.requires_grad_(False)
    if stage.lora is not None:
        modules = [name for name, module in model.named_modules() if isinstance(module, nn.Linear)]
        for target in stage.lora.targets:
            _require(target, [name for name in modules if re.fullmatch(target, name)])
        settings = LoraConfig(
            r=stage.lora.rank,
            lora_alpha=stage.lora.alpha,
            lora_dropout=stage.lora.dropout,
            target_modules="|".join(f"(?:{target})" for target in stage.lora.targets),
        )
        inject_adapter_in_model(settings, model)
    names = [name for name, _ in model.named_parameters()]
    for beginning in (*stage.trains, *stage.rates):
        _require(beginning, [name for name in names if name.startswith(beginning)])
    for name, parameter in model.named_parameters():
        if name.startswith(tuple(stage.trains)) and ".lora_" not in name:
            parameter.requires_grad_(True)
    return sorted(name for name, parameter in model.named_parameters() if parameter.requires_grad)


def _require(pattern: str, matches: Sequence[str]) -> None:
    if not matches:
        raise BadConfig(
            got=f"{pattern!r}, which matches no part of the model",
            expected="a name or expression that matches",
            fix="Compare it with model.named_parameters(); towers differ in the names of their layers",
        )
