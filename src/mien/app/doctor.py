"""``mien doctor``: is this installation sound, what is missing, and how fast is this machine."""

from __future__ import annotations

import os
import platform
import sys
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from importlib import metadata
from pathlib import Path
from typing import Literal, TypeVar

import numpy as np
from rich.console import Console
from rich.table import Table

from mien import __version__
from mien.app.models.command import weight_sets
from mien.backends.base import DEFAULT_MODEL
from mien.core.errors import MienError
from mien.core.nouns import Evidence, Image
from mien.core.paths import PACKAGE

__all__ = ["Check", "examine", "show"]

_CORE = ("numpy", "pillow", "onnxruntime", "tokenizers", "safetensors", "pydantic", "typer", "rich", "jinja2")
_EXTRAS = {
    "video": (("av",), "videos"),
    "parquet": (("pyarrow",), "Parquet tables"),
    "study": (("pandas", "scipy"), "studies of clips (`mien summarize`)"),
    "train": (("torch", "transformers", "peft", "accelerate"), "training and the full-size systems"),
    "serve": (("fastapi", "uvicorn"), "the HTTP server and the page"),
    "mcp": (("mcp",), "the tool that agents call"),
    "llm": (("openai",), "teachers and judges behind an API"),
    "eval": (("scikit-learn",), "evaluation"),
    "cluster": (("ray",), "many machines"),
}
_COLOURS = {"ok": "green", "missing": "yellow", "bad": "red"}
_FACE_PX = 200.0
_T = TypeVar("_T")


@dataclass(frozen=True, slots=True)
class Check:
    """One line of the examination."""

    name: str
    state: Literal["ok", "missing", "bad"]
    """``missing`` marks optional things, ``bad`` what the core needs."""
    detail: str


def examine() -> list[Check]:
    """Examine this installation; nothing is changed and the network is not touched."""
    checks = [
        Check("mien", "ok", f"{__version__} in {PACKAGE}"),
        Check("python", "ok", f"{platform.python_version()}, {sys.executable}"),
        Check("machine", "ok", f"{platform.system()} {platform.machine()}, {_cores()} cores"),
        *(_package(name) for name in _CORE),
        *_weights(),
        *(_extra(name, packages, purpose) for name, (packages, purpose) in _EXTRAS.items()),
    ]
    if all(check.state != "bad" for check in checks):
        checks += [_providers(), *_self_test()]
    return checks


def show(checks: list[Check], console: Console | None = None) -> None:
    """Print the examination as a table."""
    console = console or Console()
    table = Table(show_header=False, box=None, pad_edge=False, padding=(0, 2, 0, 0))
    for check in checks:
        colour = _COLOURS[check.state]
        table.add_row(f"[{colour}]{check.state}[/{colour}]", check.name, check.detail.replace("[", r"\["))
    console.print(table, highlight=False)


def _cores() -> int:
    return len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1


def _version(package: str) -> str | None:
    try:
        return metadata.version(package)
    except metadata.PackageNotFoundError:
        return None


def _package(name: str) -> Check:
    version = _version(name)
    if version is None:
        return Check(name, "bad", "not installed; run: pip install mien")
    return Check(name, "ok", version)


def _extra(name: str, packages: tuple[str, ...], purpose: str) -> Check:
    versions = {package: _version(package) for package in packages}
    if None in versions.values():
        return Check(f"extra {name}", "missing", f"for {purpose}: pip install 'mien[{name}]'")
    found = ", ".join(f"{package} {version}" for package, version in versions.items())
    return Check(f"extra {name}", "ok", f"for {purpose}: {found}")


def _weights() -> Iterator[Check]:
    try:
        sets = weight_sets()
    except MienError as error:
        yield Check("weights", "bad", str(error))
        return
    for weights in sets:
        for file in weights.files:
            state = file.check()
            name = f"{weights.name}/{file.path.name}"
            if state == "ok":
                yield Check(name, "ok", f"{file.size / 1e6:.2f} MB, checksum fits")
            else:
                yield Check(name, "bad", f"{state}; install mien again: pip install --force-reinstall mien")


def _providers() -> Check:
    from onnxruntime import get_available_providers

    from mien.face.onnx_sessions import DEVICES

    present = get_available_providers()
    devices = ", ".join(name for name, provider in DEVICES.items() if provider in present)
    return Check("onnxruntime", "ok", f"devices: {devices} (providers: {', '.join(present)})")


def _self_test() -> Iterator[Check]:
    """Find faces and read one, with times; each step is one line."""
    try:
        yield from _timed_steps()
    except MienError as error:
        yield Check("self-test", "bad", str(error))


def _timed_steps() -> Iterator[Check]:
    from mien.analyze.analyzer import Analyzer
    from mien.face.finder import FaceFinder
    from mien.face.pose import mean_face

    analyzer, seconds = _timed(lambda: Analyzer(DEFAULT_MODEL))
    yield Check("open model", "ok", f"{DEFAULT_MODEL!r} in {1000 * seconds:.0f} ms")
    finder = FaceFinder()
    points = (mean_face().points * _FACE_PX + (320.0, 240.0, 0.0)).astype(np.float32)
    face = finder.from_landmarks(points, (640, 480))
    (result,), seconds = _timed(lambda: analyzer.reader.measure([Evidence(face)]))
    sound = len(result.aus) > 0 and abs(sum(result.emotions.values()) - 1.0) < 1e-3
    yield Check(
        "read landmarks",
        "ok" if sound else "bad",
        f"mean face looks like {result.emotion}, {1000 * seconds:.1f} ms",
    )
    image, expected = _test_picture()
    finder.find(image)  # the first run of a net is slower
    faces, seconds = _timed(lambda: finder.find(image))
    height, width = image.shape[:2]
    state: Literal["ok", "bad"] = "ok" if len(faces) == expected else "bad"
    yield Check(
        "find faces", state, f"{len(faces)} of {expected} in {width} x {height} px, {1000 * seconds:.0f} ms"
    )


def _timed(work: Callable[[], _T]) -> tuple[_T, float]:
    start = time.perf_counter()
    result = work()
    return result, time.perf_counter() - start


def _test_picture() -> tuple[Image, int]:
    """A portrait when mien runs from its checkout, else a plain grey picture; and its number of faces."""
    from mien.face.decode.images import load_image

    portrait = Path(PACKAGE.parents[1], "examples", "eileen_collins.jpg")
    if portrait.is_file():
        return load_image(portrait), 1
    return np.full((480, 640, 3), 127, dtype=np.uint8), 0
