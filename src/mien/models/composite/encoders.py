"""Which encoders a composite can hold, and the check of the entries that name them."""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import Any, cast

from torch import Tensor, nn

from mien.core.errors import BadConfig, require_range
from mien.core.registry import find, require_trusted

__all__ = [
    "ENCODERS",
    "check_entry",
    "check_fields",
    "encode_items",
    "encoder_class",
    "like_weights",
    "make_encoder",
]

ENCODERS: Mapping[str, str] = {
    "cached": "mien.layers.cached:CachedRows",
    "face-rows": "mien.layers.face_rows:FaceRows",
    "facial-clues": "mien.layers.facial_clues:FacialClues",
    "landmark-mlp": "mien.layers.landmark_mlp:LandmarkMLP",
    "point-groups": "mien.layers.point_groups:PointGroups",
    "pointmlp": "mien.layers.pointmlp:PointMLP",
    "vision": "mien.layers.vision_tower:VisionTower",
}
"""Encoder type -> ``"module:Class"``, imported when a configuration names it. A class takes the remaining entries of
``encoder`` as keyword arguments; it maps N items to (N, rows, width), or to (N, width) when rows is 1. It
keeps its own initialisation, so its layers are either torch's or have ``reset_parameters``; buffers are persistent.
One with ``float32_inputs = True`` reads its items in float32 and casts them itself, whatever its weights are in.
"""

_MOST, _MOST_LAYERS = 1 << 24, 1024
_SIZE = re.compile(
    r"(?:^|_)(?:(?P<layers>layers|depth|blocks)|size|width|dim|rows|features|heads|groups|points|channels|side|embeddings"
    r"|experts|tokens|queries)$"
)
_ENTRY_KEYS = {"encoder", "width", "rows", "projector", "token_id"}


def check_entry(name: str, entry: Mapping[str, Any]) -> None:
    """Refuse an evidence entry that cannot be built.

    Raises:
        BadConfig: it is incomplete, has unknown keys, or values out of range.
    """
    encoder = entry.get("encoder")
    kind = encoder.get("type") if isinstance(encoder, Mapping) else None
    if set(entry) != _ENTRY_KEYS or not name.isidentifier():
        raise BadConfig(
            got=f"evidence {name!r} with the keys {sorted(entry)}",
            expected=f"an identifier with the keys {sorted(_ENTRY_KEYS)}",
            fix="Correct the entry",
        )
    encoder_class(str(kind))
    require_range(entry["rows"], f"rows of evidence {name!r}", 1, _MOST, whole=True)
    require_range(entry["width"], f"width of evidence {name!r}", 1, _MOST, whole=True)
    require_range(entry["token_id"], f"token_id of evidence {name!r}", -_MOST, _MOST, whole=True)
    check_fields(entry)


def check_fields(fields: Mapping[str, Any], place: str = "") -> None:
    """Refuse a configuration of parts that no machine could build, or that is code, before anything of it is built.

    Args:
        fields: of the configuration; inner ones are looked at as well.
        place: where they stand, for the message.

    Raises:
        BadConfig: a number of layers, heads, rows … below 0 or beyond all models, or an attention from the hub.
    """
    for key, value in fields.items():
        if isinstance(value, Mapping):
            check_fields(value, f"{place}{key}.")
        elif str(key).endswith("attn_implementation") and "/" in str(value):
            raise BadConfig(
                got=f"{place}{key} {value!r}, code of the hub that would be run",
                expected="an attention of transformers, such as 'sdpa'",
                fix="Take the entry out",
            )
        elif (found := _SIZE.search(str(key))) and type(value) in (int, float):
            require_range(value, f"{place}{key}", 0, _MOST_LAYERS if found["layers"] else _MOST)


def encoder_class(kind: str) -> type[nn.Module]:
    """The class of a type of encoder: of `ENCODERS`, of an entry point ``mien.encoders``, or ``module:Class``.

    Raises:
        BadConfig: none of this name, it is no module of torch, or code that nobody but the configuration names.
    """
    require_trusted(kind, "mien.encoders", "encoder")
    return cast(type[nn.Module], find(kind, ENCODERS, "mien.encoders", "encoder type", nn.Module))


def make_encoder(options: Mapping[str, Any]) -> nn.Module:
    """The encoder of an entry, with new weights."""
    arguments = {key: value for key, value in options.items() if key != "type"}
    return encoder_class(options["type"])(**arguments)


def like_weights(tensor: Tensor, module: nn.Module, *, keep_precision: bool = False) -> Tensor:
    """A tensor on the device of the module that reads it; real numbers in the precision of its weights too."""
    weight = next(module.parameters(), None)
    if weight is None:
        return tensor
    # Weights of few bits are integers; their layer says itself what it reads.
    same = keep_precision or not (tensor.is_floating_point() and weight.is_floating_point())
    return tensor.to(weight.device, tensor.dtype if same else weight.dtype)


def encode_items(encoder: nn.Module, items: Tensor | Mapping[str, Tensor]) -> Tensor:
    """What an encoder makes of N items, wherever they lie and whatever their precision: (N, rows, width), rows >= 1."""
    exact = bool(getattr(encoder, "float32_inputs", False))
    if isinstance(items, Mapping):
        known = {key: like_weights(value, encoder, keep_precision=exact) for key, value in items.items()}
        rows = encoder(**known)
    else:
        rows = encoder(like_weights(items, encoder, keep_precision=exact))
    return cast(Tensor, rows.unsqueeze(1) if rows.ndim == 2 else rows)
