"""What a model's folder holds, read without loading a weight: its description, its parts, and whether it is whole."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal

import torch
from safetensors import safe_open
from torch import nn

from mien.core.errors import MienError, MissingWeights, weights_of_strangers
from mien.core.paths import let_read, write_whole
from mien.models.composite.evidence_inputs import Inputs, needed_experts
from mien.models.composite.experts import EXPERTS, EXPERTS_FOLDER
from mien.models.composite.facial_lm import FacialLM, FacialLMConfig
from mien.models.formats.checkpoints import finite_file, require_inside
from mien.models.formats.loading import (
    CARD,
    announce,
    open_facial_config,
    open_tokenizer_file,
    quiet,
    read_card,
)
from mien.models.registry import open_system

__all__ = ["FileState", "Part", "check_model", "described_parts", "experts_of", "seal", "weight_files"]

_CONFIG, _TOKENIZER, _SUMS = "config.json", "tokenizer.json", "sha256"
_CHUNK = 1 << 24
_AGAIN = "Train or import the model again, or copy its folder again"
State = Literal["ok", "missing", "changed", "damaged", "not recorded"]
Header = dict[str, tuple[tuple[int, ...], str]]
"""Name of a tensor -> its shape and its number format."""


@dataclass(frozen=True, slots=True)
class Part:
    """An encoder, a projector or the decoder of a model."""

    name: str
    kind: str
    parameters: int


@dataclass(frozen=True, slots=True)
class FileState:
    """One file, or all weights together, and what was found."""

    name: str
    state: State
    detail: str = ""
    """The checksum, or what is wrong."""


def weight_files(folder: Path) -> list[Path]:
    """The files with the weights, in order; no pipe or device of that name is one."""
    return sorted(path for path in folder.glob("*.safetensors") if path.is_file())


def _sum(path: Path) -> str:
    digest = hashlib.sha256()
    with path.open("rb") as file:
        while chunk := file.read(_CHUNK):
            digest.update(chunk)
    return digest.hexdigest()


def _files(folder: Path) -> Iterator[Path]:
    yield from weight_files(folder)
    yield from (path for path in (folder / _CONFIG, folder / _TOKENIZER) if path.is_file())
    yield from sorted(path for path in (folder / EXPERTS_FOLDER).glob("*") if path.is_file())


def seal(folder: Path) -> None:
    """Write the checksum of each file into ``mien.json``, once the folder is complete, and let others read it.

    Raises:
        MissingWeights: the folder has no readable ``mien.json``.
    """
    card = {
        **read_card(folder),
        _SUMS: {str(path.relative_to(folder)): _sum(path) for path in _files(folder)},
    }
    write_whole(folder / CARD, json.dumps(card, indent=2, sort_keys=True) + "\n")
    if "system" in card:
        announce(folder)
    let_read(folder)


def check_model(folder: Path) -> Iterator[FileState]:
    """State of every file that the folder has or should have, then of the weights against the configuration.

    Raises:
        MissingWeights: the folder has no readable ``mien.json``.
    """
    card = read_card(folder)
    recorded: Mapping[str, str] = card.get(_SUMS) or {}
    there = {str(path.relative_to(folder)): path for path in _files(folder)}
    for name in sorted({*recorded, *there}):
        if name not in there:
            yield FileState(name, "missing")
            continue
        found = _sum(there[name])
        same: State = "ok" if recorded.get(name) == found else "changed"
        yield FileState(name, same if name in recorded else "not recorded", found)
    if "system" in card:
        yield from _check_system(folder, card)


def _check_system(folder: Path, card: Mapping[str, Any]) -> Iterator[FileState]:
    try:
        open_tokenizer_file(folder / _TOKENIZER)
    except MienError as error:
        yield FileState(_TOKENIZER, "damaged" if (folder / _TOKENIZER).is_file() else "missing", error.got)
    try:
        open_system(str(card["system"]), card.get("scale"))
        config = open_facial_config(folder)
        yield _check_keys(folder, config)
        for name, place in experts_of(card, folder, config).items():
            if not place.is_file():
                one = EXPERTS[name]
                yield FileState(one.file, "missing", f"{one.purpose}; published {one.published}")
    except MienError as error:
        yield FileState("weights", "damaged", error.got)


def _check_keys(folder: Path, config: FacialLMConfig) -> FileState:
    """Whether the files hold every weight that the configuration describes, in its shape, and no other."""
    held = _headers(folder)
    require_inside(folder)
    with quiet(), weights_of_strangers(f"the model in {folder}", "what its configuration describes", _AGAIN):
        # By transformers' own loading, as a file may hold weights under older names; nothing is loaded on this device.
        _, report = FacialLM.from_pretrained(
            folder, config=config, device_map="meta", ignore_mismatched_sizes=True, output_loading_info=True,
            trust_remote_code=False,
        )  # fmt: skip
    found = {
        "missing": sorted(report["missing_keys"]),
        "unknown": sorted(report["unexpected_keys"]),
        "of another shape": sorted(key for key, *_ in report["mismatched_keys"]),
    }
    odd = next((path.name for path in weight_files(folder) if not finite_file(path)), None)
    if odd is not None:
        return FileState("weights", "damaged", f"{odd} with weights that are not finite")
    wrong = [f"{len(names)} {word}, such as {names[0]}" for word, names in found.items() if names]
    return FileState("weights", "damaged" if wrong else "ok", "; ".join(wrong) or f"{len(held)} tensors")


def _headers(folder: Path) -> Header:
    """Shape and number format of each tensor in the folder.

    Raises:
        MissingWeights: no file of weights, or one cannot be read.
    """
    held: Header = {}
    for path in weight_files(folder):
        with (
            weights_of_strangers(path.name, "a whole file of safetensors", _AGAIN),
            safe_open(path, framework="pt") as file,
        ):
            for name in file.keys():
                part = file.get_slice(name)
                held[name] = (tuple(part.get_shape()), str(part.get_dtype()))
    if not held:
        raise MissingWeights(
            got=f"{folder} without weights",
            expected="model.safetensors, or its parts",
            fix=_AGAIN,
        )
    return held


def described_parts(folder: Path) -> tuple[list[Part], list[str]]:
    """The parts of a model with their parameters, and the number formats of its weights.

    Raises:
        MissingWeights: the configuration or the weights cannot be read.
        BadConfig: an entry of the configuration cannot be.
    """
    held = _headers(folder)
    formats = sorted({kind for _, kind in held.values()})
    if not (folder / _CONFIG).is_file():
        kind = str(read_card(folder).get("encoder", "encoder"))
        return [Part("encoder", kind, sum(_numel(shape) for shape, _ in held.values()))], formats
    config = open_facial_config(folder)
    with torch.device("meta"):
        model = FacialLM(config)
    parts: list[Part] = []
    for name, entry in config.evidence.items():
        parts.append(Part(f"encoder {name}", entry["encoder"]["type"], _count(model.model.encoders[name])))
        rows = f"{entry['projector']['type']}, {entry['rows']} rows per item"
        parts.append(Part(f"projector {name}", rows, _count(model.model.projectors[name])))
    decoder = {
        id(one): one.numel()
        for one in (*model.model.language_model.parameters(), *model.lm_head.parameters())
    }
    parts.append(Part("decoder", type(model.model.language_model).__name__, sum(decoder.values())))
    return parts, formats


def _numel(shape: tuple[int, ...]) -> int:
    return int(torch.Size(shape).numel())


def _count(part: nn.Module) -> int:
    return sum(one.numel() for one in part.parameters())


def experts_of(card: Mapping[str, Any], folder: Path, config: FacialLMConfig) -> dict[str, Path]:
    """The outside nets that a model reads -> where each has to lie.

    Raises:
        BadConfig: the card's inputs cannot be.
    """
    inputs = Inputs.of_card(card, folder)
    return {name: Path(inputs.experts) / EXPERTS[name].file for name in needed_experts(config, inputs)}
