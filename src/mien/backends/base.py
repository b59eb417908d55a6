"""What every reader can do, and where each one is found."""

from __future__ import annotations

import os
from collections.abc import Callable, Mapping, Sequence
from importlib import import_module
from pathlib import Path
from typing import Literal, Protocol, cast, runtime_checkable

from mien.backends import DEFAULT_MODEL
from mien.core.errors import BadConfig, require
from mien.core.nouns import Answer, Evidence, Explanation, FaceResult, Region, Turn
from mien.face.onnx_sessions import providers_for

__all__ = [
    "DEFAULT_MODEL",
    "FOLDER_FILES",
    "READERS",
    "AnswersByAsking",
    "ClipReader",
    "DrawingReader",
    "Reader",
    "Readout",
    "RegionsReader",
    "SidesReader",
    "open_reader",
]


READERS: dict[str, str] = {
    "pocket": "mien.backends.onnx:open_pocket",
    "rules": "mien.backends.rules:open_rules",
}
"""Reader name -> ``module:factory``. A factory takes ``folder`` (None for the embedded weights) and ``threads``."""

FOLDER_FILES: dict[str, str] = {
    "bundle.json": READERS["pocket"],
    "mien.json": "mien.backends.torch:open_torch",
}
"""File that marks a model folder -> factory of the reader that opens it."""
_SERVED = "mien.backends.vllm:open_served"
_NEEDS = dict.fromkeys(("mien.backends.torch", "mien.backends.vllm"), ("torch", "transformers"))


Readout = Literal["own", "generation"]
"""How an answer is found: by likelihood, grammar, measurement or words, as `Reader.ask` does; or generated."""


class Reader(Protocol):
    """Answers about faces from their evidence. All methods keep the order of the batch."""

    name: str
    """As in `READERS`."""
    crop_size: int
    """Side in px of the canonical crop it wants; a reader of landmarks alone names one too."""
    aus: tuple[str, ...]
    """Keys of the AUs it measures, in order."""
    grounded: bool
    """Whether answers and explanations are rendered from its measurement (`mien.dialogue.ask`); a trained system
    speaks for itself."""

    def measure(self, batch: Sequence[Evidence]) -> list[FaceResult]:
        """Emotions and AU readings of each face, without explanation."""

    def explain(self, batch: Sequence[Evidence], results: Sequence[FaceResult]) -> list[Explanation]:
        """Explanations as generated: claims read, not yet audited, nothing withheld."""

    def ask(self, evidence: Evidence, question: str) -> Answer:
        """Answer one question about one face."""

    def answer(
        self, batch: Sequence[Evidence], dialogues: Sequence[str | Sequence[Turn]], readout: Readout = "own"
    ) -> list[Answer]:
        """Answer the last question of one dialogue per face: as `ask` does, or generated where the reader can."""


class AnswersByAsking:
    """`Reader.answer` of a reader that renders what it measured: each last question by itself."""

    def answer(
        self: Reader,
        batch: Sequence[Evidence],
        dialogues: Sequence[str | Sequence[Turn]],
        readout: Readout = "own",
    ) -> list[Answer]:
        """Answers to the last questions.

        Raises:
            BadConfig: free words were asked for, or not as many dialogues as faces.
        """
        if readout != "own" or len(batch) != len(dialogues):
            raise BadConfig(
                got=f"{len(batch)} faces, {len(dialogues)} dialogues, read-out {readout!r} of {self.name}",
                expected="a dialogue for each face, read-out 'own': this reader says what it measured",
                fix="Use a trained system for free words",
            )
        asked = [one if isinstance(one, str) else _last_question(one) for one in dialogues]
        return [self.ask(face, question) for face, question in zip(batch, asked, strict=True)]


def _last_question(turns: Sequence[Turn]) -> str:
    return next((turn.text for turn in reversed(turns) if turn.role == "user"), "")


@runtime_checkable
class SidesReader(Protocol):
    """A reader that tells the sides of some AUs apart."""

    sides: tuple[str, ...]
    """Keys of these AUs."""


@runtime_checkable
class RegionsReader(Protocol):
    """A reader that sees what is covered."""

    def hidden(self, batch: Sequence[Evidence]) -> Sequence[Mapping[Region, float]]:
        """Of each face the probability by region that something covers it; empty where it cannot tell."""


@runtime_checkable
class DrawingReader(Protocol):
    """A reader that can explain the same face in other words."""

    def draw(self, batch: Sequence[Evidence], results: Sequence[FaceResult]) -> list[Explanation]:
        """Explanations as generated, drawn by chance; the same for the same face."""

    def redraw(self, batch: Sequence[Evidence], results: Sequence[FaceResult]) -> list[str]:
        """The observations of a second draw, in other words than `draw`'s."""


@runtime_checkable
class ClipReader(Protocol):
    """A reader that may answer about several frames of a video at once."""

    def clip_limit(self, question: str) -> int:
        """Most frames that one answer to ``question`` may be about; 1 when it reads one picture after all."""

    def ask(self, evidence: Evidence | Sequence[Evidence], question: str) -> Answer:
        """Answer one question about one face, or about one face in several frames, in order of time."""


def _reader_of(folder: Path) -> tuple[str, Path]:
    """The factory for a model folder, and the folder itself: a run keeps its model in ``model``."""
    for inner in (folder, folder / "model"):
        for file, factory in FOLDER_FILES.items():
            if os.path.isfile(inner / file):
                return factory, inner
    raise BadConfig(
        got=f"the folder {folder} without a model",
        expected=f"a model folder with one of {', '.join(FOLDER_FILES)}",
        fix="Pass a folder that mien exported, or a reader's name",
    )


def open_reader(
    name_or_dir: str, threads: int | None = None, device: str = "cpu", precision: str | None = None
) -> Reader:
    """Open a reader by name, or the one that opens a model folder.

    Args:
        name_or_dir: a key of `READERS`, or the path of a model folder with one of `FOLDER_FILES`.
        threads: CPU threads; None leaves the choice to the reader.
        device: ``"cpu"``, ``"cuda"``, ``"cuda:1"`` … or ``"auto"``; of the embedded model also ``"coreml"`` and
            ``"dml"``; of trained systems ``"mps"``, or a vLLM server for their decoder, ``"http://host:8000/v1"``.
        precision: of a trained system: ``"fp32"``, ``"bf16"`` or ``"fp16"``; None for that of its file.

    Raises:
        BadConfig: no such reader, the folder holds no model, or the reader or the machine has no such device.
        MissingWeights: the reader's weights are absent or damaged.
        MissingDependency: a trained system's folder, but no torch.
    """
    folder = None
    if name_or_dir in READERS:
        place = READERS[name_or_dir]
    else:
        folder = Path(name_or_dir)
        if not os.path.isdir(folder):
            raise BadConfig(
                got=f"model {name_or_dir!r}",
                expected=f"one of {', '.join(READERS)}, or an existing model folder",
                fix="Run `mien models list` to see the models",
            )
        place, folder = _reader_of(folder)
    if "://" in device and place != READERS.get(name_or_dir):
        place = _SERVED
    module, factory = place.split(":")
    for package in _NEEDS.get(module, ()):
        require(package, extra="train", purpose="trained systems")
    opened = cast(Callable[..., Reader], getattr(import_module(module), factory))
    if module in _NEEDS:
        return opened(folder=folder, threads=threads, device=device, precision=precision)
    if precision is not None:
        raise BadConfig(
            got=f"precision {precision!r} for model {name_or_dir!r}",
            expected="no precision: only trained systems run in another",
            fix="Leave it out, or pass the folder of a trained system",
        )
    providers_for(device)
    return opened(folder=folder, threads=threads, device=device)
