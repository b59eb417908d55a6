"""What ``mien analyze`` is asked for, and which of it decides the numbers."""

from __future__ import annotations

from dataclasses import asdict, dataclass
from pathlib import Path

from pydantic import JsonValue

from mien import __version__
from mien.analyze.stored import Points
from mien.analyze.tables.writing import Style
from mien.backends.base import DEFAULT_MODEL
from mien.face.decode.part import Part

__all__ = ["JobOptions"]

_WAYS = frozenset(("out", "resume", "replace"))
_HOUSEKEEPING = _WAYS | {"inputs", "format", "columns", "labels", "decimal", "fill", "formulas", "shard"}
"""Options that do not change what is measured, so a run may go on with others."""


@dataclass(frozen=True, slots=True)
class JobOptions:
    """Everything ``mien analyze`` was asked for."""

    inputs: tuple[str, ...]
    out: Path
    format: str = "csv"
    columns: str = "mien"
    labels: str | None = None
    decimal: str = "point"
    fill: str | None = None
    formulas: bool = False
    explain: bool = False
    overlay: bool = False
    report: bool = False
    redact: bool = False
    cropped: bool = False
    landmarks_only: bool = False
    landmarks: bool = False
    smooth: bool = False
    every: int = 1
    start: float = 0.0
    end: float | None = None
    fps: float | None = None
    model: str = DEFAULT_MODEL
    cut_off: int = 1
    threads: int | None = None
    batch_size: int = 16
    resume: bool = False
    replace: bool = False
    device: str = "cpu"
    precision: str | None = None
    shard: str = "1/1"

    @property
    def table(self) -> str:
        """Name of the table, or of the folder of tables where each input has its own."""
        return f"{self.columns}/" if self.columns.startswith("openface") else f"faces.{self.format}"

    @property
    def part(self) -> Part:
        """Which frames of clips are analysed."""
        return Part(self.every, self.start, self.end, self.fps)

    @property
    def style(self) -> Style:
        """Of text tables."""
        return Style(self.decimal, self.formulas)

    @property
    def points(self) -> Points:
        """The landmarks that the table needs."""
        return "all" if self.landmarks else "dlib68" if self.columns != "mien" else "none"

    def resolved(self) -> dict[str, JsonValue]:
        """All options as JSON values."""
        options = asdict(self)
        return {**options, "inputs": list(self.inputs), "out": str(self.out)}

    @property
    def asked(self) -> dict[str, JsonValue]:
        """All that makes one run another than the next."""
        return {key: value for key, value in self.resolved().items() if key not in _WAYS}

    @property
    def outputs(self) -> list[str]:
        """Names of all that the run may write in its folder."""
        names = [self.table, "schema.json", "errors.jsonl", "run.json"]
        return names + ["overlay/"] * self.overlay + ["report.html"] * self.report

    def measuring(self, model: str) -> dict[str, JsonValue]:
        """The options that decide the numbers and pictures; a resumed run must have the same.

        Args:
            model: what the opened model is.
        """
        kept = {key: value for key, value in self.resolved().items() if key not in _HOUSEKEEPING}
        return {**kept, "model": model, "points": self.points, "mien": __version__}
