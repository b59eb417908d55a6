"""From an encoder's rows to rows of the decoder's width."""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from itertools import pairwise
from typing import Any

from torch import nn

from mien.core.errors import BadConfig

__all__ = ["make_projector"]

_MLP = re.compile(r"mlp(\d+)x_gelu")


def make_projector(options: Mapping[str, Any], width: int, decoder_width: int) -> nn.Module:
    """A module (..., width) -> (..., decoder_width).

    Args:
        options: ``{"type": ...}`` with one of

            * ``"identity"``: the rows already have the decoder's width;
            * ``"linear"``: one layer (AU-LLaVA);
            * ``"mlp2x_gelu"``, ``"mlp3x_gelu"`` …: so many layers with GELU between (LLaVA-1.5, EmoLA, ExpLLM), keys
              as in LLaVA's ``mm_projector``; ``"hidden"`` sets the inner width (default: the decoder's), or
              lists them.
        width: width of the incoming rows.
        decoder_width: hidden size of the decoder.

    Raises:
        BadConfig: an unknown type or option, or ``identity`` between different widths.
    """
    kind, hidden = str(options.get("type", "")), options.get("hidden", decoder_width)
    unknown = set(options) - {"type", "hidden"}
    if unknown:
        raise BadConfig(
            got=f"projector options {sorted(unknown)}",
            expected="'type' and 'hidden' only",
            fix="Remove the others",
        )
    if kind == "identity":
        if width != decoder_width:
            raise BadConfig(
                got=f"an identity projector from width {width} to {decoder_width}",
                expected="equal widths",
                fix="Use 'linear' or 'mlp2x_gelu'",
            )
        return nn.Identity()
    if kind == "linear":
        return nn.Linear(width, decoder_width)
    match = _MLP.fullmatch(kind)
    if match is None or int(match[1]) < 1:
        raise BadConfig(
            got=f"projector type {kind!r}",
            expected="'identity', 'linear' or 'mlp2x_gelu' (any number of layers)",
            fix="Choose one of these",
        )
    inner = list(hidden) if isinstance(hidden, Sequence) else [int(hidden)] * (int(match[1]) - 1)
    if len(inner) != int(match[1]) - 1:
        raise BadConfig(
            got=f"{len(inner)} inner widths for {kind!r}",
            expected=f"{int(match[1]) - 1}",
            fix="Give one width, or one less than there are layers",
        )
    widths = [width, *inner, decoder_width]
    layers: list[nn.Module] = [nn.Linear(widths[0], widths[1])]
    for before, after in pairwise(widths[1:]):
        layers += [nn.GELU(), nn.Linear(before, after)]
    return nn.Sequential(*layers)
