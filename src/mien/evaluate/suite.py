"""A suite is data: faces of a dataset, what is asked about them, how answers are read, and which figures are told.

    title: RAF-DB, seven expressions
    data: {dataset: rafdb, split: test}
    task: emotion
    words: rafdb
    question: "What is the facial expression … from the following options: {words}."
    form: word
    readings: {official: exact, strict: word}

One file each in ``evaluate/suites``; a path of your own works as well. Published figures are found from the other side:
the cells of ``published.json`` name suites.
"""

from __future__ import annotations

from functools import cache
from pathlib import Path
from typing import Any, Literal

from pydantic import BaseModel, ConfigDict, Field, ValidationError, model_validator

from mien.core.aus import AU_SETS, FEAFA_24
from mien.core.emotions import ORDERS, canonical
from mien.core.errors import BadConfig, require
from mien.core.objects import read_yaml

__all__ = ["FORMS", "Data", "Own", "Suite", "open_suite", "suite_names"]

_FOLDER = Path(__file__).with_name("suites")
FORMS: tuple[str, ...] = (
    "word", "tags", "sentence", "codes", "binary", "level", "intensity", "description", "explanation",
)  # fmt: skip
_SETS = {**AU_SETS, "feafa24": tuple(value.name for value in FEAFA_24)}


class _Strict(BaseModel):
    model_config = ConfigDict(frozen=True, extra="forbid")


class Data(_Strict):
    """Which faces."""

    dataset: str
    split: str = ""
    """One split; or `folds`."""
    folds: tuple[str, ...] = ()
    """Splits that are tested in turn; a model per fold may be named with ``{fold}``."""
    options: dict[str, Any] = Field(default_factory=dict)
    """Of the dataset's reader."""
    limit: int | None = None
    """So many faces, spread evenly over the split."""

    @model_validator(mode="after")
    def _one(self) -> Data:
        if bool(self.split) == bool(self.folds):
            raise ValueError("give either split or folds")
        return self

    @property
    def parts(self) -> tuple[str, ...]:
        """Splits in the order in which they are tested."""
        return self.folds or (self.split,)


class Own(_Strict):
    """How a system is asked by its own published evaluation."""

    rounds: tuple[dict[str, Any], ...]
    """Arguments of the system's ``ask``, one for each question; the last answer is read."""
    template: str | None = None
    max_new_tokens: int | None = None
    sampling: dict[str, float] | None = None
    """Empty: greedy; None: as the suite says."""

    @property
    def options(self) -> dict[str, Any]:
        """Of generation."""
        found: dict[str, Any] = {}
        if self.max_new_tokens is not None:
            found["max_new_tokens"] = self.max_new_tokens
        if self.sampling is not None:
            found |= {"do_sample": bool(self.sampling), **self.sampling}
        return found


class Suite(_Strict):
    """One protocol."""

    name: str
    title: str
    data: Data
    task: Literal["emotion", "au-presence", "au-level", "au-intensity", "text"]
    """What truth is: a label word, values of AUs, or a reference text."""
    words: tuple[str, ...] = ()
    """Emotion words as they are printed in the question, in its order."""
    units: tuple[str, ...] = ()
    """AU keys, or FEAFA's names, in the order of an array."""
    present_from: int = 1
    """FACS level from which an AU is present, where truth or reading is a level."""
    question: str
    """May hold ``{words}``: the words with commas."""
    asks: dict[str, Own] = Field(default_factory=dict)
    """System -> its own questions, which stand in for this one when it answers in words."""
    form: Literal[FORMS]  # type: ignore[valid-type]
    """What an answer looks like."""
    readings: dict[str, str]
    """Name -> way of reading (`mien.evaluate.forms.READINGS`); the first one is the published one."""
    readout: Literal["likelihood", "text"] = "likelihood"
    """How a model that offers both answers: by its likelihoods and measurements, or in words."""
    side: int | None = None
    """A server is sent the picture scaled to a square of this side in px; None sends it as it is."""
    max_new_tokens: int = 512
    sampling: dict[str, float] = Field(default_factory=dict)
    """Temperature and top-p of the published decoding; empty: greedy."""
    judge: bool = False
    """Whether a judge marks the answers."""
    protocol: str
    """How the literature does it, and what it leaves open."""

    @model_validator(mode="before")
    @classmethod
    def _named_sets(cls, values: dict[str, Any]) -> dict[str, Any]:
        words, units = values.get("words"), values.get("units")
        if isinstance(words, str):
            if words not in ORDERS:
                raise ValueError(f"words {words!r} are no label order of mien.core.emotions.ORDERS")
            values = values | {"words": ORDERS[words]}
        if isinstance(units, str):
            if units not in _SETS:
                raise ValueError(f"units {units!r} are no AU set")
            values = values | {"units": _SETS[units]}
        return values

    @model_validator(mode="after")
    def _complete(self) -> Suite:
        if self.task == "emotion" and not self.words:
            raise ValueError("task emotion needs words")
        if self.task.startswith("au-") and not self.units:
            raise ValueError(f"task {self.task} needs units")
        return self

    @property
    def labels(self) -> dict[str, str]:
        """mien's name of each label (a dataset's own word where mien has none) -> the word as printed."""
        return {canonical(word) or word.lower(): word for word in self.words}

    @property
    def asked(self) -> str:
        """The question in full."""
        return self.question.replace("{words}", ", ".join(self.words))


@cache
def suite_names() -> tuple[str, ...]:
    """Names of the suites that come with mien."""
    return tuple(sorted(path.stem for path in _FOLDER.glob("*.yaml")))


def open_suite(name: str) -> Suite:
    """A suite by name, or from a YAML file; ``extends: NAME`` takes the rest from another.

    Raises:
        BadConfig: no such suite, or a file that is none.
        MissingDependency: PyYAML is not installed.
    """
    path = Path(name) if name.endswith((".yaml", ".yml")) else _FOLDER / f"{name}.yaml"
    if not path.is_file():
        raise BadConfig(
            got=f"suite {name!r}",
            expected=f"one of {', '.join(suite_names())}, or a YAML file",
            fix="Choose one of these",
        )
    try:
        return Suite.model_validate({"name": path.stem} | _fields(path))
    except ValidationError as error:
        first = error.errors()[0]
        place = ".".join(map(str, first["loc"]))
        raise BadConfig(
            got=f"{path.name}: {place or 'suite'}: {first['msg']}",
            expected="the fields of mien.evaluate.suite.Suite",
            fix="Correct the suite; docs/evaluate.md shows one",
        ) from error


def _fields(path: Path) -> dict[str, Any]:
    require("yaml", extra="eval", purpose="suites")
    try:
        fields = read_yaml(path.read_text(encoding="utf-8"))
    except (OSError, ValueError) as error:
        raise BadConfig(
            got=f"{path}: {error}", expected="a YAML file with a suite", fix="Correct the file"
        ) from error
    if not isinstance(fields, dict):
        raise BadConfig(got=f"{path} without fields", expected="a suite", fix="See docs/evaluate.md")
    base = fields.pop("extends", None)
    if base is None:
        return fields
    below = _FOLDER / f"{base}.yaml"
    if not below.is_file() or below == path:
        raise BadConfig(
            got=f"{path.name} extends {base!r}", expected="another suite of mien", fix="Correct extends"
        )
    return _fields(below) | fields
