"""Tensors of a checkpoint on disk or in memory, read without running code that came with it."""

from __future__ import annotations

import argparse
import os
import re
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np
import torch
from safetensors import safe_open
from safetensors.torch import load_file
from torch import Tensor

from mien.core.errors import MissingWeights, weights_of_strangers
from mien.core.objects import read_object

__all__ = ["finite_file", "read_checkpoint", "require_finite", "require_inside"]

_SUFFIXES = (".bin", ".pt", ".pth", ".safetensors")
_INDEXES = ("model.safetensors.index.json", "pytorch_model.bin.index.json")
# What trainers leave beside the weights; the first holds pickled classes.
_TRAINING_STATE = re.compile(r"(?:training_args|optimizer|scheduler|scaler|rng_state|trainer_state).*")
_WRAPPERS = ("state_dict", "state_dict_backbone", "net", "model")
_SCALAR: Any = np.float64(0.0).__reduce__()[0]
# What trainers keep beside the tensors (ULIP: its command line, its best accuracy); making these runs no code.
_PLAIN: list[Any] = [
    argparse.Namespace, np.dtype, np.dtypes.Float64DType, np.dtypes.Float32DType, np.dtypes.Int64DType,
    _SCALAR, (_SCALAR, "numpy.core.multiarray.scalar"), (_SCALAR, "numpy._core.multiarray.scalar"),
]  # fmt: skip
# EmoLA's builder loads this file after the others, so its projector counts where both have one.
_LAST = "landmark_feature_projector.bin"


def _read_file(path: Path) -> Mapping[str, object]:
    with weights_of_strangers(
        f"{path.name} as plain weights",
        "a whole .safetensors file, or a pickled one that holds tensors only",
        "Download it again, or convert it to .safetensors where you trust it",
    ):
        if path.suffix == ".safetensors":
            return load_file(path)
        with torch.serialization.safe_globals(_PLAIN):
            loaded = torch.load(path, map_location="cpu", weights_only=True)
    if not isinstance(loaded, Mapping):
        raise MissingWeights(
            got=f"{path.name}, which holds a {type(loaded).__name__}",
            expected="a dictionary of tensors",
            fix="Save the model's state_dict()",
        )
    return loaded


def _indexed(index: Path) -> list[Path]:
    """The shards that an index names, all of them in its folder."""
    wanted = 'an index of shards: JSON with a "weight_map" from keys to file names'
    places = read_object(index, wanted).get("weight_map")
    if not isinstance(places, dict) or not all(isinstance(name, str) for name in places.values()):
        raise MissingWeights(
            got=f"{index}, which is no index of shards", expected=wanted, fix="Download it again"
        )
    names = sorted(set(places.values()))
    for name in names:
        _require_inside(index.parent, name)
    absent = [name for name in names if not (index.parent / name).is_file()]
    if absent:
        raise MissingWeights(
            got=f"{index.parent} without {len(absent)} of {len(names)} shards: {', '.join(absent[:4])}",
            expected=f"every file that {index.name} names",
            fix="Download the missing ones into this folder",
        )
    return [index.parent / name for name in names]


def _require_inside(folder: Path, name: str) -> None:
    # The hub's cache keeps each file as a link to its blobs, beside the folders of its revisions.
    homes = (folder.resolve(), folder.resolve().parent.parent / "blobs")
    plain = name == Path(name).name and not re.search(r"[\\/:\0]", name)
    if not plain or (folder / name).resolve().parent not in homes:
        raise MissingWeights(
            got=f"a shard {name!r} that lies outside the folder {folder}",
            expected="names of files in the same folder as their index",
            fix="Do not use this model: no tool writes such an index",
        )


def require_inside(folder: Path) -> None:
    """Refuse a folder in which an index of shards names a file that does not lie there, or a file is none.

    Raises:
        MissingWeights: it does, it is no index, a shard is absent, or a pipe, device or folder has a file's name.
    """
    for path in sorted(folder.iterdir()):
        if path.suffix in (*_SUFFIXES, ".json") and not os.path.isfile(path):
            raise MissingWeights(
                got=f"{path}, which is no file",
                expected="a file",
                fix="Do not use this model, or copy its whole folder again",
            )
    for index in sorted(folder.glob("*.index.json")):
        _indexed(index)


def require_finite(tensors: Mapping[str, Tensor], place: str) -> None:
    """Refuse weights that are NaN or infinite: what they answer looks like any other answer.

    Raises:
        MissingWeights: names the first.
    """
    for name, value in tensors.items():
        if value.is_floating_point() and value.numel() and not value.is_meta and not _finite(value):
            raise MissingWeights(
                got=f"{place} with weights that are not finite, such as {name}",
                expected="numbers",
                fix="Train, import or download the model again",
            )


def _finite(value: Tensor) -> bool:
    wide = value.float() if value.element_size() == 1 else value  # no extremes of 8-bit floats
    return all(bool(one.isfinite()) for one in wide.aminmax())


def finite_file(path: Path) -> bool:
    """Whether all weights of a file of safetensors are finite; one tensor is in memory at a time."""
    with safe_open(path, framework="pt") as file:
        for name in file.keys():
            value = file.get_tensor(name)
            if value.is_floating_point() and value.numel() and not _finite(value):
                return False
    return True


def _files(path: Path) -> list[Path]:
    if not os.path.isdir(path):
        return [path] if os.path.isfile(path) and path.suffix in _SUFFIXES else []
    files = [
        file
        for file in sorted(path.iterdir())
        if file.is_file() and file.suffix in _SUFFIXES and not _TRAINING_STATE.fullmatch(file.name)
    ]
    shards: list[Path] = []
    for index in (path / name for name in _INDEXES):
        if index.is_file() and not shards:
            shards = _indexed(index)
    whole = shards or [file for file in files if file.name == "model.safetensors"]
    if whole:
        # The same weights in the other form are left alone; adapters and projectors beside them are read.
        files = [file for file in files if not re.match(r"(?:pytorch_)?model\b", file.name)]
    return sorted({*whole, *files}, key=lambda file: (file.name == _LAST, file))


def _tensors(source: str | Path | Mapping[str, object]) -> dict[str, Tensor]:
    state: dict[str, object]
    if isinstance(source, Mapping):
        state = dict(source)
    else:
        files = _files(Path(source))
        if not files:
            raise MissingWeights(
                got=f"{source}, where no weight file is",
                expected=f"a file or a folder with {', '.join(_SUFFIXES)}",
                fix="Download the published weights and pass their path",
            )
        state = {}
        for file in files:
            read = _read_file(file)
            state.update(_unwrapped(read))
    return {key: value for key, value in _unwrapped(state).items() if isinstance(value, Tensor)}


def _unwrapped(state: Mapping[str, object]) -> dict[str, object]:
    for wrapper in _WRAPPERS:
        inner = state.get(wrapper)
        if isinstance(inner, Mapping):
            state = inner
    return dict(state)


def read_checkpoint(*sources: str | Path | Mapping[str, object]) -> dict[str, Tensor]:
    """The tensors of one or several checkpoints, with the dictionaries of training scripts unwrapped.

    Args:
        sources: files (.safetensors, .bin, .pt, .pth), folders with such files (with an index of shards: the shards
            that it names), or dictionaries. What a later source holds replaces an earlier one's.

    Raises:
        MissingWeights: nothing there, a shard is absent, or nothing that can be read safely.
    """
    tensors: dict[str, Tensor] = {}
    for source in sources:
        tensors.update(_tensors(source))
    require_finite(tensors, "a checkpoint")
    return tensors
