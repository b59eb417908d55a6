"""Read a TensorFlow Lite model file (a FlatBuffer) into plain Python objects.

Only what the face nets of MediaPipe use is understood: float16, float32 and int32 constants, sparse constants,
the options of fifteen built-in operators, and the FlexBuffer parameters of custom operators. The numbers of
the fields follow ``tensorflow/lite/schema/schema.fbs`` (version 3).
"""

from __future__ import annotations

import struct
from collections.abc import Iterator
from dataclasses import dataclass, field
from typing import Any, Literal

import numpy as np
from numpy.typing import NDArray

__all__ = ["Model", "Operator", "Tensor", "read_model"]

Scalar = Literal["<b", "<B", "<H", "<i", "<I"]

_TENSOR_TYPES: dict[int, np.dtype[Any]] = {0: np.dtype("<f4"), 1: np.dtype("<f2"), 2: np.dtype("<i4")}
_OPERATORS = {
    0: "ADD", 2: "CONCATENATION", 3: "CONV_2D", 4: "DEPTHWISE_CONV_2D", 5: "DEPTH_TO_SPACE", 6: "DEQUANTIZE",
    17: "MAX_POOL_2D", 18: "MUL", 19: "RELU", 22: "RESHAPE", 23: "RESIZE_BILINEAR", 32: "CUSTOM", 34: "PAD",
    45: "STRIDED_SLICE", 54: "PRELU", 124: "DENSIFY",
}  # fmt: skip
# operator -> (option, number of its field, type, default)
_OPTIONS: dict[str, tuple[tuple[str, int, Scalar, int], ...]] = {
    "CONV_2D": (
        ("valid", 0, "<b", 0), ("stride_w", 1, "<i", 0), ("stride_h", 2, "<i", 0), ("activation", 3, "<b", 0),
        ("dilation_w", 4, "<i", 1), ("dilation_h", 5, "<i", 1),
    ),
    "DEPTHWISE_CONV_2D": (
        ("valid", 0, "<b", 0), ("stride_w", 1, "<i", 0), ("stride_h", 2, "<i", 0), ("multiplier", 3, "<i", 0),
        ("activation", 4, "<b", 0), ("dilation_w", 5, "<i", 1), ("dilation_h", 6, "<i", 1),
    ),
    "MAX_POOL_2D": (
        ("valid", 0, "<b", 0), ("stride_w", 1, "<i", 0), ("stride_h", 2, "<i", 0), ("filter_w", 3, "<i", 0),
        ("filter_h", 4, "<i", 0), ("activation", 5, "<b", 0),
    ),
    "ADD": (("activation", 0, "<b", 0),),
    "MUL": (("activation", 0, "<b", 0),),
    "CONCATENATION": (("axis", 0, "<i", 0), ("activation", 1, "<b", 0)),
    "RESIZE_BILINEAR": (("align_corners", 2, "<B", 0), ("half_pixel_centers", 3, "<B", 0)),
    "DEPTH_TO_SPACE": (("block_size", 0, "<i", 0),),
}  # fmt: skip


class _Table:
    """One FlatBuffer table; fields are addressed by their number in the schema."""

    def __init__(self, data: bytes, position: int) -> None:
        self.data = data
        self.position = position
        self._vtable = position - struct.unpack_from("<i", data, position)[0]
        self._vtable_size = struct.unpack_from("<H", data, self._vtable)[0]

    def _offset(self, number: int) -> int:
        slot = 4 + 2 * number
        if slot >= self._vtable_size:
            return 0
        offset: int = struct.unpack_from("<H", self.data, self._vtable + slot)[0]
        return offset

    def _follow(self, number: int) -> int:
        offset = self._offset(number)
        if not offset:
            return 0
        at = self.position + offset
        target: int = at + struct.unpack_from("<I", self.data, at)[0]
        return target

    def scalar(self, number: int, kind: Scalar, default: int = 0) -> int:
        offset = self._offset(number)
        if not offset:
            return default
        value: int = struct.unpack_from(kind, self.data, self.position + offset)[0]
        return value

    def table(self, number: int) -> _Table | None:
        at = self._follow(number)
        return _Table(self.data, at) if at else None

    def tables(self, number: int) -> Iterator[_Table]:
        at = self._follow(number)
        count = struct.unpack_from("<I", self.data, at)[0] if at else 0
        for index in range(count):
            entry = at + 4 + 4 * index
            yield _Table(self.data, entry + struct.unpack_from("<I", self.data, entry)[0])

    def array(self, number: int, dtype: str) -> NDArray[Any]:
        at = self._follow(number)
        count = struct.unpack_from("<I", self.data, at)[0] if at else 0
        return np.frombuffer(self.data, dtype=dtype, count=count, offset=at + 4 if at else 0)

    def text(self, number: int) -> str:
        return self.array(number, "<u1").tobytes().decode("utf-8")


@dataclass(frozen=True, slots=True)
class Tensor:
    """A tensor: ``shape`` as in the file (NHWC for images), ``data`` None unless it is a constant."""

    name: str
    shape: tuple[int, ...]
    data: NDArray[Any] | None


@dataclass(frozen=True, slots=True)
class Operator:
    """One step of the graph; ``kind`` is the built-in name, or the custom name for custom operators."""

    kind: str
    version: int
    inputs: tuple[int, ...]
    outputs: tuple[int, ...]
    options: dict[str, Any] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class Model:
    """The first subgraph of a model file; inputs and outputs are tensor numbers."""

    tensors: list[Tensor]
    operators: list[Operator]
    inputs: tuple[int, ...]
    outputs: tuple[int, ...]


def _sparse_indices(metadata: _Table, field_number: int) -> NDArray[Any]:
    vector = metadata.table(field_number)
    if vector is None:
        raise ValueError("a sparse dimension lacks its index vector")
    kind = metadata.scalar(field_number - 1, "<B")
    return vector.array(0, {1: "<i4", 2: "<u2", 3: "<u1"}[kind])


def _densify(sparsity: _Table, values: NDArray[Any], shape: tuple[int, ...]) -> NDArray[Any]:
    """Spread the stored values of one sparse tensor over a zero array (no blocks, natural order of dimensions)."""
    order = sparsity.array(0, "<i4")
    if sparsity.array(1, "<i4").size or not np.array_equal(order, np.arange(len(shape))):
        raise ValueError("block-sparse or re-ordered tensors are not understood")
    positions = np.zeros((1, 0), dtype=np.int64)
    for metadata in sparsity.tables(2):
        if metadata.scalar(0, "<b") == 0:
            size = metadata.scalar(1, "<i")
            repeats = np.full(len(positions), size)
            last = np.tile(np.arange(size), len(positions))
        else:
            segments = _sparse_indices(metadata, 3).astype(np.int64)
            last = _sparse_indices(metadata, 5).astype(np.int64)
            repeats = np.diff(segments)
        positions = np.concatenate([np.repeat(positions, repeats, axis=0), last[:, None]], axis=1)
    dense = np.zeros(shape, dtype=values.dtype)
    dense[tuple(positions.T)] = values
    return dense


def _read_tensor(table: _Table, buffers: list[_Table]) -> Tensor:
    shape = tuple(int(side) for side in table.array(0, "<i4"))
    kind = table.scalar(1, "<b")
    raw = buffers[table.scalar(2, "<I")].array(0, "<u1")
    if not raw.size:
        return Tensor(table.text(3), shape, None)
    if kind not in _TENSOR_TYPES:
        raise ValueError(f"tensor {table.text(3)!r} has the type number {kind}, which is not understood")
    values = raw.view(_TENSOR_TYPES[kind])
    sparsity = table.table(6)
    dense = values.reshape(shape) if sparsity is None else _densify(sparsity, values, shape)
    return Tensor(table.text(3), shape, dense)


def _read_operator(table: _Table, codes: list[tuple[str, int]]) -> Operator:
    from flatbuffers import flexbuffers  # type: ignore[import-untyped]

    kind, version = codes[table.scalar(0, "<I")]
    options: dict[str, Any] = {}
    built_in = table.table(4)
    if built_in is not None:
        for name, number, scalar, default in _OPTIONS.get(kind, ()):
            options[name] = built_in.scalar(number, scalar, default)
    custom = table.array(5, "<u1")
    if custom.size:
        options = dict(flexbuffers.Loads(custom.tobytes()))
    inputs = tuple(int(number) for number in table.array(1, "<i4"))
    outputs = tuple(int(number) for number in table.array(2, "<i4"))
    return Operator(kind, version, inputs, outputs, options)


def read_model(data: bytes) -> Model:
    """Parse the bytes of a ``.tflite`` file; ValueError when it is something else or uses an unknown feature."""
    if data[4:8] != b"TFL3":
        raise ValueError("these bytes are not a TensorFlow Lite model (the mark TFL3 is missing)")
    root = _Table(data, struct.unpack_from("<I", data, 0)[0])
    codes = []
    for code in root.tables(1):
        number = max(code.scalar(0, "<b"), code.scalar(3, "<i"))
        name = _OPERATORS.get(number, f"operator {number}")
        codes.append((code.text(1) if name == "CUSTOM" else name, code.scalar(2, "<i", 1)))
    graph = next(root.tables(2))
    buffers = list(root.tables(4))
    return Model(
        tensors=[_read_tensor(table, buffers) for table in graph.tables(0)],
        operators=[_read_operator(table, codes) for table in graph.tables(3)],
        inputs=tuple(int(number) for number in graph.array(1, "<i4")),
        outputs=tuple(int(number) for number in graph.array(2, "<i4")),
    )
