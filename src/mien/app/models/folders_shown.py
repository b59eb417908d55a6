"""A trained, imported or exported model's folder in the tables of ``mien models``; a run's holds it as ``model``."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

from mien.core.errors import BadConfig, MienError, require

__all__ = ["folder_facts", "folder_row", "folder_states"]

_CARD, _BUNDLE = "mien.json", "bundle.json"
_MB = 1e6


def _inner(folder: Path) -> Path:
    """The folder that holds the model itself.

    Raises:
        BadConfig: there is none.
    """
    for place in (folder, folder / "model"):
        if (place / _CARD).is_file() or (place / _BUNDLE).is_file():
            return place
    raise BadConfig(
        got=f"the folder {folder} without a model",
        expected=f"a run, or a model folder with {_CARD} or {_BUNDLE}",
        fix="Pass what 'mien train', 'mien models import' or 'mien models export' wrote",
    )


def _needs_torch() -> None:
    for package in ("torch", "transformers"):
        require(package, extra="train", purpose="trained systems")


def _listed(values: Mapping[str, Any]) -> str:
    return ", ".join(f"{name}={value}" for name, value in values.items()) or "none"


def folder_row(folder: Path) -> tuple[str, str, str, str]:
    """Folder, what it is, its size, and the number formats of its weights."""
    place = _inner(folder)
    size = sum(file.stat().st_size for file in place.rglob("*") if file.is_file())
    said = f"{size / _MB:.1f} MB"
    if not (place / _CARD).is_file():
        return str(folder), "pocket model", said, "onnx"
    _needs_torch()
    from mien.models.formats.loading import read_card
    from mien.models.formats.model_folders import described_parts

    card = read_card(place)
    what = card.get("system") or f"encoder {card.get('encoder', '')}"
    return str(folder), f"{what}, scale {card.get('scale')}", said, ", ".join(described_parts(place)[1])


def folder_facts(folder: Path) -> Iterator[tuple[str, str]]:
    """What there is to say about the model in a folder, as rows."""
    place = _inner(folder)
    if not (place / _CARD).is_file():
        yield "about", f"pocket model in {place}: --model {folder}"
        return
    _needs_torch()
    from mien.models.formats.loading import read_card

    card = read_card(place)
    yield "system", str(card.get("system", f"none: a single encoder ({card.get('encoder')})"))
    yield "scale", str(card.get("scale"))
    yield "origin", f"imported from {card['imported']}" if "imported" in card else "trained by mien"
    yield "options", _listed(card.get("options", {}))
    yield from _parts(place)
    if "system" in card:
        yield "tasks", ", ".join(card.get("tasks", [card.get("task", "not recorded")]))
        yield "inputs", _listed(card.get("inputs", {}))
        yield "calibration", "fitted" if "calibration" in card else "none"
        yield "outside nets", _experts(place, card)


def _parts(place: Path) -> Iterator[tuple[str, str]]:
    from mien.models.formats.model_folders import described_parts

    parts, formats = described_parts(place)
    for part in parts:
        yield part.name, f"{part.kind}: {part.parameters:,} parameters"
    yield "weights", f"{sum(part.parameters for part in parts):,} parameters in {', '.join(formats)}"


def _experts(place: Path, card: Mapping[str, Any]) -> str:
    from mien.models.composite.experts import EXPERTS
    from mien.models.formats.loading import open_facial_config
    from mien.models.formats.model_folders import experts_of

    lines = []
    for name, path in experts_of(card, place, open_facial_config(place)).items():
        where = (
            "there"
            if path.is_file()
            else f"MISSING, to be put at {path}; published {EXPERTS[name].published}"
        )
        lines.append(f"{path.name}, {EXPERTS[name].purpose}: {where}")
    return "\n".join(lines) or "none"


def folder_states(folder: Path) -> Iterator[tuple[str, str, str]]:
    """File, state and checksum (or what is wrong) of all that the model in a folder is made of."""
    place = _inner(folder)
    if not (place / _CARD).is_file():
        yield from _bundle_states(place)
        return
    _needs_torch()
    from mien.models.formats.model_folders import check_model

    try:
        for found in check_model(place):
            checksum = found.state in ("ok", "changed", "not recorded")
            detail = found.detail[:16] if checksum and found.name != "weights" else found.detail
            yield f"{place}/{found.name}", found.state, detail
    except MienError as error:
        yield str(place), "damaged", error.got


def _bundle_states(place: Path) -> Iterator[tuple[str, str, str]]:
    from mien.backends.onnx import open_pocket
    from mien.backends.pocket_bundle import FILES

    try:
        sums = open_pocket(place).bundle["sha256"]
    except MienError as error:
        yield str(place), "damaged", error.got
    else:
        yield from ((str(place / name), "ok", sums[name][:16]) for name in FILES)
