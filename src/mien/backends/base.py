"""What every reader can do, and where each one is found."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from importlib import import_module
from pathlib import Path
from typing import Protocol, cast

from mien.core.errors import BadConfig, require
from mien.core.nouns import Answer, Evidence, Explanation, FaceResult

__all__ = ["FOLDER_FILES", "READERS", "Reader", "open_reader"]

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
_NEEDS = {"mien.backends.torch": ("torch", "transformers")}


class Reader(Protocol):
    """Answers about faces from their evidence. All methods keep the order of the batch."""

    name: str
    """As in `READERS`."""
    crop_size: int
    """Side in px of the canonical crop it wants; a reader of landmarks alone names one too."""
    aus: tuple[str, ...]
    """Keys of the AUs it measures, in order."""

    def measure(self, batch: Sequence[Evidence]) -> list[FaceResult]:
        """Emotions and AU readings of each face, without explanation."""

    def explain(self, batch: Sequence[Evidence], results: Sequence[FaceResult]) -> list[Explanation]:
        """Explanations as generated: claims read, not yet audited, nothing withheld."""

    def ask(self, evidence: Evidence, question: str) -> Answer:
        """Answer one question about one face."""


def _reader_of(folder: Path) -> tuple[str, Path]:
    """The factory for a model folder, and the folder itself: a run keeps its model in ``model``."""
    for inner in (folder, folder / "model"):
        for file, factory in FOLDER_FILES.items():
            if (inner / file).is_file():
                return factory, inner
    raise BadConfig(
        got=f"the folder {folder} without a model",
        expected=f"a model folder with one of {', '.join(FOLDER_FILES)}",
        fix="Pass a folder that mien exported, or a reader's name",
    )


def open_reader(name_or_dir: str, threads: int | None = None) -> Reader:
    """Open a reader by name, or the one that opens a model folder.

    Args:
        name_or_dir: a key of `READERS`, or the path of a model folder with one of `FOLDER_FILES`.
        threads: CPU threads; None leaves the choice to the reader.

    Raises:
        BadConfig: no such reader, or the folder holds no model.
        MissingWeights: the reader's weights are absent or damaged.
        MissingDependency: a trained system's folder, but no torch.
    """
    folder = None
    if name_or_dir in READERS:
        place = READERS[name_or_dir]
    else:
        folder = Path(name_or_dir)
        if not folder.is_dir():
            raise BadConfig(
                got=f"model {name_or_dir!r}",
                expected=f"one of {', '.join(READERS)}, or an existing model folder",
                fix="Run `mien models list` to see the models",
            )
        place, folder = _reader_of(folder)
    module, factory = place.split(":")
    for package in _NEEDS.get(module, ()):
        require(package, extra="train", purpose="trained systems")
    opened = cast(Callable[..., Reader], getattr(import_module(module), factory))
    return opened(folder=folder, threads=threads)
