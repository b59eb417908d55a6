"""Outside nets made here, with the published inputs and outputs: ``nets`` holds what makes and what checks them."""

from __future__ import annotations

from pathlib import Path
from types import SimpleNamespace

import numpy as np
import onnx
import pytest
import torch
from onnx import TensorProto, helper, numpy_helper
from safetensors.torch import save_file
from tokenizers import Tokenizer, decoders, models, normalizers, pre_tokenizers, processors

from mien.core.nouns import CropTransform, Evidence, Face, FloatArray, Image
from mien.layers.facexformer import FaceXFormer

Box = tuple[float, float, float, float]
PROBES = np.random.default_rng(5).choice(3 * 192 * 192, 212, replace=False)
"""Places in the flattened (3, 192, 192) input that the landmark net copies, so that its output shows all that
came before."""
WORDS = [
    "[PAD]",
    "[UNK]",
    "[CLS]",
    "[SEP]",
    "[MASK]",
    *"abcdefghijklmnopqrstuvwxyz?",
    "what",
    "##s",
    "face",
    "this",
]


def landmark_net(path: Path, scaling: str = "bn_data", batch: int | None = None) -> Path:
    """A net with the published input and output that copies `PROBES`; its graph scales as buffalo_l's, or not."""
    constants = {
        "probes": PROBES.astype(np.int64), "flat": np.asarray([0, -1], np.int64),
        "middle": np.float32(127.5), "step": np.float32(1 / 128),
        "one": np.ones(3, np.float32), "zero": np.zeros(3, np.float32),
        "mean": np.full(3, 127.5, np.float32), "variance": np.full(3, 128.0**2, np.float32),
    }  # fmt: skip
    nodes = {
        "bn_data": [
            helper.make_node(
                "BatchNormalization",
                ["data", "one", "zero", "mean", "variance"],
                ["x"],
                name="bn_data",
                epsilon=0.0,
            )
        ],
        "nodes": [
            helper.make_node("Sub", ["data", "middle"], ["shifted"], name="_minusscalar0"),
            helper.make_node("Mul", ["shifted", "step"], ["x"], name="_mulscalar0"),
        ],
        "none": [helper.make_node("Identity", ["data"], ["x"], name="conv_0")],
    }[scaling]
    nodes += [
        helper.make_node("Reshape", ["x", "flat"], ["rows"], name="rows"),
        helper.make_node("Gather", ["rows", "probes"], ["fc1"], name="fc1", axis=1),
    ]
    graph = helper.make_graph(
        nodes,
        "2d106",
        [helper.make_tensor_value_info("data", TensorProto.FLOAT, [batch or "N", 3, 192, 192])],
        [helper.make_tensor_value_info("fc1", TensorProto.FLOAT, [batch or "N", 212])],
        [numpy_helper.from_array(np.asarray(value), name) for name, value in constants.items()],
    )
    onnx.save(
        helper.make_model(graph, opset_imports=[helper.make_opsetid("", 17)], ir_version=8),  # type: ignore[arg-type]
        path,
    )
    return path


def seen(image: Image, box: Box) -> FloatArray:
    """What the net reads of a face: InsightFace's square, RGB, (x - 127.5) / 128, black outside; pixel by pixel."""
    side = 1.5 * max(box[2] - box[0], box[3] - box[1])
    values = []
    for probe in PROBES:
        channel, row, column = np.unravel_index(probe, (3, 192, 192))
        x = (column - 96) * side / 192 + (box[0] + box[2]) / 2
        y = (row - 96) * side / 192 + (box[1] + box[3]) / 2
        x0, y0 = int(np.floor(x)), int(np.floor(y))
        value = 0.0
        for ya, wy in ((y0, 1 - (y - y0)), (y0 + 1, y - y0)):
            for xa, wx in ((x0, 1 - (x - x0)), (x0 + 1, x - x0)):
                if 0 <= ya < image.shape[0] and 0 <= xa < image.shape[1]:
                    value += wy * wx * float(image[ya, xa, channel])
        values.append((value - 127.5) / 128)
    return np.asarray(values, np.float32)


def pictures(count: int, side: int = 96) -> list[Image]:
    rng = np.random.default_rng(1)
    coarse = rng.integers(0, 256, (count, side // 8, side // 8, 3), np.uint8)
    return [np.kron(one, np.ones((8, 8, 1), np.uint8)) for one in coarse]


def faces(count: int, size: int = 96) -> list[Evidence]:
    """Faces in pictures of another size than their crops."""
    rng = np.random.default_rng(0)
    transform = CropTransform(np.array([[0.5, 0.1, -7.0], [-0.1, 0.5, 9.0]]), size)
    made = []
    for crop in pictures(count, size):
        mesh = rng.uniform(40, 150, (478, 3)).astype(np.float32)
        made.append(Evidence(Face(np.asarray([0, 0, 190, 190], np.float32), 1.0, mesh, crop=transform), crop))
    return made


def placed_box(evidence: Evidence) -> Box:
    """The bounding box of the mesh in px of the crop."""
    assert evidence.face.landmarks is not None and evidence.face.crop is not None
    points = [
        evidence.face.crop.matrix @ np.array([x, y, 1.0]) for x, y in evidence.face.landmarks[:, :2].tolist()
    ]
    array = np.stack(points)
    return (*array.min(0).tolist(), *array.max(0).tolist())


def face_expert(path: Path) -> FaceXFormer:
    torch.manual_seed(3)
    model = FaceXFormer("tiny").eval()
    save_file({key: value.contiguous() for key, value in model.state_dict().items()}, path)
    return model


def bert(path: Path) -> Path:
    """A small tokenizer of BERT's kind: lower case, word pieces, [CLS] and [SEP]."""
    vocabulary = {word: place for place, word in enumerate(WORDS)}
    vocabulary |= {
        f"##{letter}": len(vocabulary) + place for place, letter in enumerate("abcdefghijklmnopqrtuvwxyz")
    }
    tokenizer = Tokenizer(models.WordPiece(vocabulary, unk_token="[UNK]"))
    tokenizer.normalizer = normalizers.BertNormalizer()
    tokenizer.pre_tokenizer = pre_tokenizers.BertPreTokenizer()
    tokenizer.post_processor = processors.BertProcessing(("[SEP]", 3), ("[CLS]", 2))
    tokenizer.enable_padding()
    tokenizer.save(str(path))
    return path


def letters(path: Path) -> Tokenizer:
    """Single bytes and the special tokens of a Llama."""
    names = ["<pad>", "<s>", "</s>", *sorted(pre_tokenizers.ByteLevel.alphabet())]
    tokenizer = Tokenizer(models.BPE(vocab={name: place for place, name in enumerate(names)}, merges=[]))
    tokenizer.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=False, use_regex=False)
    tokenizer.decoder = decoders.ByteLevel()
    tokenizer.add_special_tokens(["<pad>", "<s>", "</s>"])
    tokenizer.post_processor = processors.TemplateProcessing(single="<s> $A", special_tokens=[("<s>", 1)])
    tokenizer.save(str(path))
    return tokenizer


@pytest.fixture(scope="session")
def nets() -> SimpleNamespace:
    """The functions of this file."""
    return SimpleNamespace(
        probes=PROBES, landmark_net=landmark_net, seen=seen, pictures=pictures, faces=faces, placed_box=placed_box,
        face_expert=face_expert, bert=bert, letters=letters,
    )  # fmt: skip
