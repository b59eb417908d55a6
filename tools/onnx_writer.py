"""Write a MediaPipe face net, read by ``tflite_reader``, as an ONNX graph.

Images change from NHWC to NCHW, the batch becomes free, float16 weights stay float16 and are cast on loading.
The three custom operators of the attention mesh become ordinary ONNX operators. Their meaning is that of
``mediapipe/util/tflite/operations/{landmarks_to_transform_matrix,transform_tensor_bilinear,transform_landmarks}.cc``.
"""

from __future__ import annotations

import hashlib
from typing import Any

import numpy as np
import onnx
from numpy.typing import NDArray
from onnx import TensorProto, helper, numpy_helper

from tflite_reader import Model, Operator

__all__ = ["GraphWriter"]

OPSET = 17
IR_VERSION = 9  # of onnx 1.15; every onnxruntime from 1.17 on reads it
_ACTIVATIONS = {0: None, 1: "Relu"}


def _same_padding(size: int, kernel: int, stride: int) -> tuple[int, int]:
    """Zeros before and after one dimension under TensorFlow's SAME rule (the odd one goes behind)."""
    total = max((-(-size // stride) - 1) * stride + kernel - size, 0)
    return total // 2, total - total // 2


class GraphWriter:
    """Translate a model operator by operator.

    Args:
        model: the parsed TFLite file.
        value_range: (low, high) of the net's input; the graph takes uint8 pixels 0..255 and maps them to it.
    """

    def __init__(self, model: Model, value_range: tuple[float, float]) -> None:
        self.model = model
        self.nodes: list[onnx.NodeProto] = []
        self.constants: dict[str, onnx.TensorProto] = {}
        self.names: dict[int, str] = {}
        self.arrays: dict[int, NDArray[Any]] = {
            number: tensor.data for number, tensor in enumerate(model.tensors) if tensor.data is not None
        }
        self._pads: dict[int, tuple[int, NDArray[Any]]] = {}
        self._matrices: dict[int, tuple[str, str]] = {}
        self._count = 0
        self._write_input(value_range)
        for operator in model.operators:
            method = getattr(self, f"_op_{operator.kind.lower()}", None)
            if method is None:
                raise ValueError(f"no rule writes the operator {operator.kind} version {operator.version}")
            method(operator)

    # --- small pieces ------------------------------------------------------------------------------------

    def add(self, kind: str, inputs: list[str], outputs: int = 1, name: str = "", **attributes: Any) -> Any:
        """Append one node; returns the name of its output (or a list of names when ``outputs`` > 1)."""
        self._count += 1
        names = (
            [name or f"t{self._count}"] if outputs == 1 else [f"t{self._count}_{i}" for i in range(outputs)]
        )
        self.nodes.append(helper.make_node(kind, inputs, names, **attributes))
        return names[0] if outputs == 1 else names

    def constant(self, values: Any, dtype: str = "float32") -> str:
        """A stored array, shared between equal arrays."""
        array = np.ascontiguousarray(values, dtype=dtype)
        digest = hashlib.sha256(array.tobytes()).hexdigest()[:16]
        key = f"c_{dtype}_{'x'.join(map(str, array.shape))}_{digest}"
        if key not in self.constants:
            self.constants[key] = numpy_helper.from_array(array, key)
        return key

    def weight(
        self, number: int, axes: tuple[int, ...] | None = None, shape: tuple[int, ...] | None = None
    ) -> str:
        """A constant tensor of the model, transposed or reshaped, stored as it is in the file (float16)."""
        array = self.arrays[number]
        array = array.transpose(axes) if axes else array
        array = np.ascontiguousarray(array.reshape(shape) if shape else array)
        name = f"w{number}_{self._count}"
        self.constants[name] = numpy_helper.from_array(array, name)
        if array.dtype == np.float32:
            return name
        return str(self.add("Cast", [name], to=TensorProto.FLOAT))

    def shape(self, number: int) -> tuple[int, ...]:
        return self.model.tensors[number].shape

    def _finish(self, operator: Operator, name: str) -> None:
        activation = _ACTIVATIONS[operator.options.get("activation", 0)]
        self.names[operator.outputs[0]] = self.add(activation, [name]) if activation else name

    def _write_input(self, value_range: tuple[float, float]) -> None:
        low, high = value_range
        pixels = self.add("Cast", ["image"], to=TensorProto.FLOAT)
        planes = self.add("Transpose", [pixels], perm=[0, 3, 1, 2])
        scaled = self.add("Mul", [planes, self.constant((high - low) / 255.0)])
        shifted = self.add("Add", [scaled, self.constant(low)]) if low else scaled
        self.names[self.model.inputs[0]] = shifted

    # --- built-in operators ------------------------------------------------------------------------------

    def _op_dequantize(self, operator: Operator) -> None:
        self.arrays[operator.outputs[0]] = self.arrays[operator.inputs[0]]

    _op_densify = _op_dequantize  # the reader has already filled in the zeros

    def _convolution(self, operator: Operator, kernel: str, size: tuple[int, int], groups: int) -> None:
        options, source = operator.options, operator.inputs[0]
        strides = (options["stride_h"], options["stride_w"])
        if source in self._pads:
            source, paddings = self._pads[source]
            pads = [paddings[1, 0], paddings[2, 0], paddings[1, 1], paddings[2, 1]]
        elif options["valid"]:
            pads = [0, 0, 0, 0]
        else:
            top, bottom = _same_padding(self.shape(source)[1], size[0], strides[0])
            left, right = _same_padding(self.shape(source)[2], size[1], strides[1])
            pads = [top, left, bottom, right]
        inputs = [self.names[source], kernel, self.weight(operator.inputs[2])]
        name = self.add(
            "Conv", inputs, kernel_shape=size, strides=strides, pads=[int(pad) for pad in pads], group=groups
        )
        self._finish(operator, name)

    def _op_conv_2d(self, operator: Operator) -> None:
        kernel = operator.inputs[1]
        _, height, width, _ = self.arrays[kernel].shape
        self._convolution(operator, self.weight(kernel, axes=(0, 3, 1, 2)), (height, width), 1)

    def _op_depthwise_conv_2d(self, operator: Operator) -> None:
        kernel = operator.inputs[1]
        _, height, width, channels = self.arrays[kernel].shape
        self._convolution(operator, self.weight(kernel, axes=(3, 0, 1, 2)), (height, width), channels)

    def _op_pad(self, operator: Operator) -> None:
        source, paddings = operator.inputs[0], self.arrays[operator.inputs[1]]
        if paddings[3].any():
            order = [0, 3, 1, 2]
            pads = np.concatenate([paddings[order, 0], paddings[order, 1]])
            self.names[operator.outputs[0]] = self.add(
                "Pad", [self.names[source], self.constant(pads, "int64")]
            )
        else:
            self._pads[operator.outputs[0]] = (source, paddings)  # the convolution that follows takes it in

    def _op_max_pool_2d(self, operator: Operator) -> None:
        options = operator.options
        size = (options["filter_h"], options["filter_w"])
        name = self.add(
            "MaxPool",
            [self.names[operator.inputs[0]]],
            kernel_shape=size,
            strides=(options["stride_h"], options["stride_w"]),
        )
        self._finish(operator, name)

    def _op_prelu(self, operator: Operator) -> None:
        """``slope x + (1 - slope) relu(x)`` by two depthwise convolutions of size 1.

        ONNX Runtime runs these in its blocked layout, while its PRelu leaves that layout and is slow: the mesh takes
        half the time.
        """
        source = self.names[operator.inputs[0]]
        channels = self.arrays[operator.inputs[1]].size
        slope = self.weight(operator.inputs[1], shape=(channels, 1, 1, 1))
        rest = self.add("Sub", [self.constant(1.0), slope])
        settings: dict[str, Any] = {"kernel_shape": (1, 1), "group": channels}
        low = self.add("Conv", [source, slope], **settings)
        high = self.add("Conv", [self.add("Relu", [source]), rest], **settings)
        self.names[operator.outputs[0]] = self.add("Add", [low, high])

    def _op_relu(self, operator: Operator) -> None:
        self.names[operator.outputs[0]] = self.add("Relu", [self.names[operator.inputs[0]]])

    def _op_add(self, operator: Operator) -> None:
        self._finish(operator, self.add("Add", [self.names[number] for number in operator.inputs]))

    def _op_mul(self, operator: Operator) -> None:
        source, factors = operator.inputs[0], self.arrays[operator.inputs[1]]
        if source in self._matrices:
            linear, offset = self._matrices[source]
            rows = factors.astype(np.float32).reshape(4, 4)[:2]
            factor = self.constant(rows[:, :2].T[None])
            shift = self.constant(rows[None, None, :, 3])
            scaled = (self.add("Mul", [linear, factor]), self.add("Mul", [offset, shift]))
            self._matrices[operator.outputs[0]] = scaled
        else:
            self._finish(operator, self.add("Mul", [self.names[source], self.constant(factors)]))

    def _op_reshape(self, operator: Operator) -> None:
        source, before = self.names[operator.inputs[0]], self.shape(operator.inputs[0])
        if len(before) == 4 and before[1:3] != (1, 1):
            source = self.add("Transpose", [source], perm=[0, 2, 3, 1])
        target = self.constant([0, *self.shape(operator.outputs[0])[1:]], "int64")
        self.names[operator.outputs[0]] = self.add("Reshape", [source, target])

    def _op_strided_slice(self, operator: Operator) -> None:
        if self.shape(operator.inputs[0]) != self.shape(operator.outputs[0]):
            raise ValueError("only a slice that keeps everything is understood")
        self.names[operator.outputs[0]] = self.names[operator.inputs[0]]

    def _op_concatenation(self, operator: Operator) -> None:
        parts = [self.names[number] for number in operator.inputs]
        self.names[operator.outputs[0]] = self.add("Concat", parts, axis=operator.options["axis"])

    def _op_resize_bilinear(self, operator: Operator) -> None:
        if operator.options["align_corners"] or not operator.options["half_pixel_centers"]:
            raise ValueError("only resizing with half-pixel centres is understood")
        before, after = self.shape(operator.inputs[0]), self.shape(operator.outputs[0])
        scales = self.constant([1.0, 1.0, after[1] / before[1], after[2] / before[2]])
        self.names[operator.outputs[0]] = self.add(
            "Resize",
            [self.names[operator.inputs[0]], "", scales],
            mode="linear",
            coordinate_transformation_mode="half_pixel",
        )

    def _op_depth_to_space(self, operator: Operator) -> None:
        self.names[operator.outputs[0]] = self.add(
            "DepthToSpace",
            [self.names[operator.inputs[0]]],
            blocksize=operator.options["block_size"],
            mode="DCR",
        )

    # --- custom operators of the attention mesh ----------------------------------------------------------

    def _op_landmarks2transformmatrix(self, operator: Operator) -> None:
        """Rotated box around a subset of points -> affine map from the cells of its grid to the points' frame.

        The map is kept as (linear part transposed (N, 2, 2), offset (N, 1, 2)): ``q = p @ linear + offset``.
        """
        options = operator.options
        if operator.version != 2 or options["target_rotation_radians"]:
            raise ValueError(
                "only Landmarks2TransformMatrix version 2 without a target rotation is understood"
            )
        axis = self.constant([0, 1], "int64")
        points = self.add("Gather", [self.names[operator.inputs[0]], axis], axis=2)
        ends = [
            self.add("Gather", [points, self.constant([options[key]], "int64")], axis=1)
            for key in ("left_rotation_idx", "right_rotation_idx")
        ]
        across = self.add("Sub", [ends[1], ends[0]])  # (N, 1, 2)
        length = self.add("ReduceL2", [across], axes=[2], keepdims=1)
        direction = self.add("Div", [across, length])  # (cos, sin) of the tilt
        # rows (cos, sin) and (-sin, cos): turns the upright frame back into the tilted one
        sideways = self.add("Gather", [direction, self.constant([1, 0], "int64")], axis=2)
        sideways = self.add("Mul", [sideways, self.constant([-1.0, 1.0])])
        tilt = self.add("Concat", [direction, sideways], axis=1)  # (N, 2, 2)
        upright = self.add("Transpose", [tilt], perm=[0, 2, 1])
        subset = self.add("Gather", [points, self.constant(options["subset_idxs"], "int64")], axis=1)
        turned = self.add("MatMul", [subset, upright])
        high = self.add("ReduceMax", [turned], axes=[1], keepdims=1)
        low = self.add("ReduceMin", [turned], axes=[1], keepdims=1)
        centre = self.add(
            "MatMul", [self.add("Mul", [self.add("Add", [high, low]), self.constant(0.5)]), tilt]
        )
        grid = np.array([options["output_width"], options["output_height"]], dtype=np.float32)
        scale = np.array([options["scale_x"], options["scale_y"]], dtype=np.float32) / grid
        cell = self.add("Mul", [self.add("Sub", [high, low]), self.constant(scale)])  # (N, 1, 2)
        linear = self.add("Mul", [self.add("Transpose", [cell], perm=[0, 2, 1]), tilt])
        back = self.add("MatMul", [self.constant(-grid[None, None] / 2), linear])
        self._matrices[operator.outputs[0]] = (linear, self.add("Add", [centre, back]))

    def _op_transformtensorbilinear(self, operator: Operator) -> None:
        """Sample feature maps on an affine grid; a sample outside of the map's pixel centres is zero."""
        if operator.version != 2:
            raise ValueError("only TransformTensorBilinear version 2 is understood")
        linear, offset = self._matrices[operator.inputs[1]]
        height, width = operator.options["output_height"], operator.options["output_width"]
        cells = np.stack(np.meshgrid(np.arange(width), np.arange(height)), axis=-1).reshape(1, -1, 2) + 0.5
        _, rows, columns, _ = self.shape(operator.inputs[0])
        edge = np.array([columns - 1, rows - 1], dtype=np.float32)
        places = self.add("Add", [self.add("MatMul", [self.constant(cells), linear]), offset])
        scaled = self.add("Mul", [places, self.constant(2.0 / edge)])
        grid = self.add(
            "Sub", [scaled, self.constant(1.0 + 1.0 / edge)]
        )  # -1..1 between the outer pixel centres
        reach = self.add("ReduceMax", [self.add("Abs", [grid])], axes=[2], keepdims=1)
        outside = self.add("Greater", [reach, self.constant(1.0)])
        grid = self.add("Where", [outside, self.constant(-3.0), grid])
        grid = self.add("Reshape", [grid, self.constant([0, height, width, 2], "int64")])
        self.names[operator.outputs[0]] = self.add(
            "GridSample", [self.names[operator.inputs[0]], grid], align_corners=1, padding_mode="zeros"
        )

    def _op_transformlandmarks(self, operator: Operator) -> None:
        linear, offset = self._matrices[operator.inputs[1]]
        moved = self.add("MatMul", [self.names[operator.inputs[0]], linear])
        self.names[operator.outputs[0]] = self.add("Add", [moved, offset])

    # --- the finished file -------------------------------------------------------------------------------

    def finish(
        self, outputs: dict[str, tuple[str, list[Any]]], title: str, notes: dict[str, str]
    ) -> onnx.ModelProto:
        """The checked ONNX model; ``outputs``: public name -> (name in the graph, shape)."""
        _, height, width, _ = self.shape(self.model.inputs[0])
        for public, (name, _) in outputs.items():
            self.add("Identity", [name], name=public)
        image = helper.make_tensor_value_info("image", TensorProto.UINT8, ["batch", height, width, 3])
        results = [
            helper.make_tensor_value_info(name, TensorProto.FLOAT, shape)
            for name, (_, shape) in outputs.items()
        ]
        used = {name for node in self.nodes for name in node.input}
        stored = [tensor for name, tensor in self.constants.items() if name in used]
        graph = helper.make_graph(self.nodes, title, [image], results, stored)
        model = helper.make_model(
            graph,
            producer_name="mien",
            opset_imports=[helper.make_opsetid("", OPSET)],
            ir_version=IR_VERSION,
        )
        helper.set_model_props(model, notes)
        onnx.checker.check_model(model, full_check=True)
        return model
