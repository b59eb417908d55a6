"""What a training recipe holds; `mien.train.recipe_files` reads it from YAML.

A stage starts from the published one of the same name (`mien.models.composite.systems.Stage`); what the recipe
writes beside the name replaces its figures.
"""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Annotated, Any, Literal

from pydantic import BaseModel, ConfigDict, Field

from mien.core.errors import BadConfig
from mien.face.decode.clips import FOLDER_RATE
from mien.models.composite.systems import Stage, System
from mien.train.values import read_stage

__all__ = ["DataPart", "Evaluation", "Recipe", "Rewarding", "StageRun", "resolve_stage"]


class _Part(BaseModel):
    model_config = ConfigDict(extra="forbid", frozen=True)


class DataPart(_Part):
    """Faces of one dataset."""

    dataset: str
    """A reader of `mien.data`, or ``renders`` for the shards of ``tools/render_faces.py``."""
    split: str = "train"
    root: Path | None = None
    """Folder of the copy; the packs are found by themselves."""
    limit: int | None = Field(default=None, ge=1)
    """At most so many, evenly spread."""
    labelled: bool = True
    """Leave out samples without an emotion, votes, AUs or a description."""
    rate: float = Field(default=FOLDER_RATE, gt=0.0)
    """Frames per second of clips that are folders of pictures; a video file knows its own."""
    options: dict[str, Any] = Field(default_factory=dict)
    """Options of the reader."""
    tasks: dict[str, Annotated[float, Field(gt=0.0)]] | None = Field(default=None, min_length=1)
    """What this part is asked; None: the recipe's ``tasks``. So are the next two."""
    dialogues: dict[str, dict[str, Any]] = Field(default_factory=dict)
    """Task -> options of its dialogues, laid on the recipe's."""
    balance: float | None = Field(default=None, ge=0.0, le=1.0)
    conversations: Path | None = None
    """File of dialogues about this part's samples, by their ids, which the task ``conversation`` learns turn by turn:
    what `mien annotate conversations` writes (``items.jsonl``), or any LLaVA rows or Parquet of dialogues."""


class Rewarding(_Part):
    """A stage with the objective ``reward``: answers are drawn in groups, and the better ones made likelier."""

    group: int = Field(default=4, ge=2)
    """Answers per face and step, compared with one another."""
    temperature: float = Field(default=1.0, gt=0.0)
    top_p: float = Field(default=1.0, gt=0.0, le=1.0)
    max_new_tokens: int = Field(default=120, ge=4)
    """Of one answer; one that does not end earlier earns nothing."""
    kl: float = Field(default=0.02, ge=0.0)
    """Weight of the distance from where the stage began."""
    weights: dict[str, float] = Field(default_factory=dict)
    """Of the parts of `mien.backends.audit.WEIGHTS`."""
    shuffled: bool = False
    """Judge each answer by another face's labels: the control that tells form from sight."""


class StageRun(_Part):
    """One stage as it is to run."""

    name: str
    """A stage of the system; or, with ``objective``, the recipe's own."""
    changes: dict[str, Any] = Field(default_factory=dict)
    """Fields of `Stage` that replace the published ones."""
    micro_batch: int | None = Field(default=None, ge=1)
    """Samples per device and step; the published batch is reached by accumulation. None: the whole batch at once."""
    cache: int = Field(default=0, ge=0)
    """Encode each face so many times before training (1, or augmented copies too) where its encoder is frozen."""
    augment: bool | Literal["expllm", "locllm", "locllm-sides"] = False
    """Change crops at random, as a camera or a detector could have; a name: by that system's published list."""
    tasks: tuple[str, ...] | None = None
    """Those of the recipe's tasks that this stage learns; None for all."""
    gradient_checkpointing: bool = False
    workers: int = Field(default=0, ge=0)
    """Processes beside the training one that prepare batches; what is learnt is the same."""
    target: Literal["pair", "label"] = "label"
    """Target of the alignment; see `contrastive_loss`."""
    encoder: str | None = None
    """Evidence whose encoder is aligned or classifies; the first one by default."""
    rare: float = Field(default=0.3, ge=0.0)
    """Classification: power of the inverse frequency that weighs an emotion; 0 for plain cross-entropy."""
    reward: Rewarding = Rewarding()
    """Where the objective is ``reward``; its ``batch`` counts answers."""
    unless: str | None = None
    """Left out where the recipe's weights bring this part."""
    save_steps: int = Field(default=200, ge=1)


class Sampling(_Part):
    """How answers are drawn; names as in transformers' ``generate``."""

    temperature: float = Field(gt=0.0)
    top_p: float = Field(default=1.0, gt=0.0, le=1.0)
    seed: int = 0


class Evaluation(_Part):
    """What is asked of the trained model."""

    task: str
    limit: int | None = Field(default=None, ge=1)
    """Faces, evenly spread; None for all."""
    max_new_tokens: int = Field(default=64, ge=1)
    batch: int = Field(default=64, ge=1)
    dialogue: dict[str, Any] = Field(default_factory=dict)
    """Options of the dialogue; see `mien.models.composite.systems.System.build`."""
    reading: dict[str, Any] = Field(default_factory=dict)
    """Options of the system's reader, such as the AU set ``units`` of EmoLA's task ``au``."""
    template: str | None = None
    """Layout of the dialogue where it is not that of training: one of `mien.models.composite.processing.TEMPLATES`."""
    sampling: Sampling | None = None
    """None: greedy."""


class Recipe(_Part):
    """Everything that decides what a run trains."""

    system: str
    scale: Literal["tiny", "small", "base", "paper"]
    options: dict[str, Any] = Field(default_factory=dict)
    """Of the system's ``configure``."""
    config: dict[str, Any] = Field(default_factory=dict)
    """Entries of `FacialLMConfig` that replace those of the scale, merged key by key."""
    inputs: dict[str, Any] = Field(default_factory=dict)
    """See `mien.models.composite.evidence_inputs.Inputs`."""
    data: tuple[DataPart, ...] = Field(min_length=1)
    validation: tuple[DataPart, ...] = ()
    frames: int = Field(default=32, ge=1)
    """Most frames of a clip, about one per second, of a longer one spread evenly; for systems that read clips."""
    teacher: str | None = None
    """A reader (``rules``, ``pocket``) that measures AUs and tells the chain of thought where data holds none."""
    tasks: dict[str, Annotated[float, Field(gt=0.0)]] = Field(min_length=1)
    """Task -> passes over the faces per epoch; a fraction takes a random part."""
    dialogues: dict[str, dict[str, Any]] = Field(default_factory=dict)
    """Task -> options of its dialogues; see `mien.models.composite.systems.System.build`."""
    balance: float = Field(default=0.0, ge=0.0, le=1.0)
    """0: faces as they are; 1: drawn by 1 / count of their label (EMO-LLaMA's sampler); between: a power of it."""
    tokenizer: Path | None = None
    """A ``tokenizer.json``; else that of ``weights.model`` or ``weights.decoder``, or with neither a small one that is
    trained on the dialogues."""
    vocabulary: int = Field(default=1000, ge=300)
    """Of a tokenizer that is trained."""
    weights: dict[str, str] = Field(default_factory=dict)
    """``decoder`` or evidence name -> folder or hub id of its published weights, around which the model is built;
    ``text``: the text tower of an alignment; ``model`` alone: a whole model to go on from."""
    precision: Literal["fp32", "bf16", "fp16"] | None = None
    """Of what is frozen, and of the written model; what learns is float32. None: the precision of the stages with
    dialogues on pretrained weights where they agree, else fp32."""
    bits: Literal[4, 8] | None = None
    """Hold the decoder in 4 or 8 bits while adapters learn beside it; they are merged into the whole one."""
    attention: str | None = None
    """``sdpa``, ``flash_attention_2`` …; transformers' choice by default."""
    stages: tuple[StageRun, ...]
    """In order."""
    evaluation: tuple[Evaluation, ...] = ()
    seed: int = Field(default=1, ge=0, lt=2**31)

    def asked(self, part: DataPart) -> Mapping[str, float]:
        """Tasks of a part -> passes."""
        return self.tasks if part.tasks is None else part.tasks

    @property
    def every_task(self) -> tuple[str, ...]:
        """All tasks, each once: the recipe's where a part takes them, then the parts' own."""
        return tuple(dict.fromkeys(task for part in self.data for task in self.asked(part)))


def resolve_stage(system: System, run: StageRun) -> Stage:
    """The stage with the recipe's changes.

    Raises:
        BadConfig: the system has no such stage and the recipe does not define it, or a figure cannot be.
    """
    published = system.stages.get(run.name)
    if published is None and not {"objective", "trains", "learning_rate", "batch", "epochs"} <= set(
        run.changes
    ):
        raise BadConfig(
            got=f"stage {run.name!r} of {system.name}",
            expected=f"one of {', '.join(system.stages)}, or objective, trains, learning_rate, batch and epochs",
            fix="Correct the name, or give these figures",
        )
    return read_stage(run.name, published, run.changes)
