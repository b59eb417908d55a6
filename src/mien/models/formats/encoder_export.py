"""Encoders of a composite as graphs: evidence in, rows of the decoder's width out, for runtimes without torch."""

from __future__ import annotations

import warnings
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import cast

import torch
from torch import Tensor, nn

from mien.core.errors import BadInput
from mien.models.composite.encoders import encode_items, like_weights
from mien.models.composite.facial_lm import EvidenceInput, FacialLM

__all__ = ["EvidenceGraph", "export_onnx", "export_torch"]

_OPSET = 17


class EvidenceGraph(nn.Module):
    """One encoder with its projector; inputs by position.

    Args:
        model: the composite; its weights are shared, not copied.
        name: of the evidence.
        arguments: names of the encoder's inputs, where it takes several.

    Raises:
        BadInput: the composite has no such evidence.
    """

    def __init__(self, model: FacialLM, name: str, arguments: tuple[str, ...] = ()) -> None:
        super().__init__()
        if name not in model.model.encoders:
            raise BadInput(
                got=f"evidence {name!r}",
                expected=f"one of {', '.join(model.model.encoders)}",
            )
        self.encoder, self.projector = model.model.encoders[name], model.model.projectors[name]
        self.arguments = arguments

    def forward(self, *inputs: Tensor) -> Tensor:
        named = dict(zip(self.arguments, inputs, strict=True)) if self.arguments else {}
        rows = encode_items(self.encoder, named or inputs[0])
        return cast(Tensor, self.projector(like_weights(rows, self.projector)))


def _inputs(items: EvidenceInput) -> tuple[tuple[str, ...], tuple[Tensor, ...]]:
    return (tuple(items), tuple(items.values())) if isinstance(items, Mapping) else ((), (items,))


@contextmanager
def _plain_attention() -> Iterator[None]:
    """Torch's fused attention for evaluation has no ONNX counterpart."""
    before = torch.backends.mha.get_fastpath_enabled()
    torch.backends.mha.set_fastpath_enabled(False)
    try:
        yield
    finally:
        torch.backends.mha.set_fastpath_enabled(before)


@contextmanager
def _quiet_tracing() -> Iterator[None]:
    """The tracer warns of every look at a shape, and of itself; the shapes it looks at do not change."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", torch.jit.TracerWarning)  # type: ignore[attr-defined]
        warnings.simplefilter("ignore", DeprecationWarning)
        warnings.filterwarnings("ignore", "Exporting aten::index", UserWarning)
        yield


@torch.no_grad()
def export_onnx(model: FacialLM, name: str, items: EvidenceInput, path: Path) -> list[str]:
    """Write the ONNX graph of evidence ``name``: N items -> ``rows`` (N, rows, decoder width), N free.

    The number of tokens of an instruction is free too; it must be below the Q-Former's ``max_position_embeddings``.

    Args:
        model: in evaluation mode.
        name: of the evidence.
        items: an example, at least two items.
        path: of the file.

    Returns:
        Names of the graph's inputs; a single input is called as the evidence is.
    """
    arguments, example = _inputs(items)
    names = list(arguments) or [name]
    axes = {key: {0: "n"} for key in [*names, "rows"]}
    for key, value in zip(names, example, strict=True):
        if value.ndim == 2 and not value.is_floating_point():
            axes[key][1] = "tokens"
    with _plain_attention(), _quiet_tracing():
        torch.onnx.export(
            EvidenceGraph(model, name, arguments).eval(), example, str(path), input_names=names,
            output_names=["rows"], dynamic_axes=axes, opset_version=_OPSET, dynamo=False,
        )  # fmt: skip
    return names


@torch.no_grad()
def export_torch(model: FacialLM, name: str, items: EvidenceInput) -> torch.export.ExportedProgram:
    """The same graph as a ``torch.export`` program, for batches as large as the example."""
    arguments, example = _inputs(items)
    with _plain_attention():
        return torch.export.export(EvidenceGraph(model, name, arguments).eval(), example)
