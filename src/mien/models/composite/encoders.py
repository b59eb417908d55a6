"""Which encoders a composite can hold, and the check of the entries that name them."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, cast

from torch import Tensor, nn

from mien.core.errors import BadConfig
from mien.core.registry import find

__all__ = ["ENCODERS", "check_entry", "encode_items", "encoder_class", "like_weights", "make_encoder"]

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

_ENTRY_KEYS = {"encoder", "width", "rows", "projector", "token_id"}


def check_entry(name: str, entry: Mapping[str, Any]) -> None:
    """Refuse an evidence entry that cannot be built.

    Raises:
        BadConfig: it is incomplete, has unknown keys, or values out of range.
    """
    kind = entry.get("encoder", {}).get("type")
    if set(entry) != _ENTRY_KEYS or not name.isidentifier():
        raise BadConfig(
            got=f"evidence {name!r} with the keys {sorted(entry)}",
            expected=f"an identifier with the keys {sorted(_ENTRY_KEYS)}",
            fix="Correct the entry",
        )
    encoder_class(str(kind))
    if entry["rows"] < 1 or entry["width"] < 1:
        raise BadConfig(
            got=f"evidence {name!r} with rows {entry['rows']}, width {entry['width']}",
            expected="both >= 1",
            fix="Correct the entry",
        )


def encoder_class(kind: str) -> type[nn.Module]:
    """The class of a type of encoder: of `ENCODERS`, of an entry point ``mien.encoders``, or ``module:Class``.

    Raises:
        BadConfig: none of this name, or it is no module of torch.
    """
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
