"""Outside nets that published systems lean on: opened from files that the user brings, once per process.

EmoLA's prior is the output of InsightFace's 106-point net, EMO-LLaMA's facial rows and landmarks come from
FaceXFormer, and the Q-Former of LLaMA-VID reads its question in BERT's words. None of them comes with mien; `EXPERTS`
says where they are published. A model folder holds those that it needs under ``experts``.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path
from types import MappingProxyType
from typing import TYPE_CHECKING, cast

import numpy as np
import torch
from safetensors.torch import save_file
from tokenizers import Tokenizer

from mien.core.errors import BadConfig, MissingWeights, reason_of, require
from mien.core.nouns import FloatArray, Image
from mien.core.objects import read_json
from mien.face.onnx_sessions import open_session
from mien.layers.facexformer import SHAPES, FaceEvidence, FaceXFormer, prepare_faces
from mien.layers.landmark_prior import PRIOR_SIZE, PRIOR_WIDTH, prior_input
from mien.models.formats.checkpoints import read_checkpoint
from mien.models.formats.importers import LAYOUTS, import_checkpoint

if TYPE_CHECKING:
    from onnxruntime import InferenceSession

__all__ = [
    "EXPERTS",
    "EXPERTS_FOLDER",
    "Expert",
    "FaceExpert",
    "InstructionWords",
    "LandmarkNet",
    "name_experts",
    "open_face_expert",
    "open_instruction_words",
    "open_landmark_net",
    "require_experts",
    "write_experts",
]

EXPERTS_FOLDER = "experts"
_BATCH = 16


@dataclass(frozen=True, slots=True)
class Expert:
    """One outside net: how it is called and where it comes from."""

    file: str
    """Its name in a model's ``experts`` folder."""
    purpose: str
    published: str
    """Where it is found, and under what terms."""
    suffixes: tuple[str, ...]
    """Endings of the published file."""


EXPERTS: Mapping[str, Expert] = MappingProxyType(
    {
        "landmarks": Expert(
            "2d106det.onnx",
            "EmoLA's facial prior",
            "in InsightFace's pack buffalo_l (deepinsight/insightface, model zoo; non-commercial research only)",
            (".onnx",),
        ),
        "face": Expert(
            "facexformer.safetensors",
            "EMO-LLaMA's facial rows and landmarks",
            "as ckpts/model.pt of kartiknarayan/facexformer (MIT)",
            (".pt", ".pth", ".bin", ".safetensors"),
        ),
        "instruction": Expert(
            "instruction_tokenizer.json",
            "the question that the Q-Former of LLaMA-VID and EMO-LLaMA reads",
            "as tokenizer.json of google-bert/bert-base-uncased (Apache-2.0)",
            (".json",),
        ),
    }
)


def require_experts(names: Iterable[str], folder: str | Path) -> None:
    """Make sure that files are there, before anything large is opened.

    Args:
        names: keys of `EXPERTS`.
        folder: where they should lie under the names of `EXPERTS`.

    Raises:
        MissingWeights: some are absent; says which, where they are published, and where to put them.
    """
    absent = {name: EXPERTS[name] for name in names if not (Path(folder) / EXPERTS[name].file).is_file()}
    if absent:
        convert = " (mien models import FILE --format facexformer --dtype float32 writes this safetensors)"
        raise MissingWeights(
            got=f"{folder} without {', '.join(one.file for one in absent.values())}",
            expected="; ".join(
                f"{one.file} for {one.purpose}, published {one.published}" for one in absent.values()
            ),
            fix=f"Put them there under these names{convert if 'face' in absent else ''}, import the model again with "
            "--expert FILE, or give a recipe their folder as inputs.experts",
        )


def _damaged(path: Path, expert: str, why: str) -> MissingWeights:
    one = EXPERTS[expert]
    return MissingWeights(
        got=f"{path}: {why}", expected=f"{one.purpose}, published {one.published}", fix="Download it again"
    )


# ---- InsightFace's landmarks


class LandmarkNet:
    """InsightFace's ``2d106det.onnx`` in ONNX Runtime: pictures of faces -> 212 numbers each.

    Args:
        path: the net; one input (1 or any, 3, 192, 192) and a first output of 212 numbers.
        threads: within one operator; torch's by default.

    Raises:
        MissingWeights: no file, or it is no such net.
        MissingDependency: the package ``onnx``, which reads the graph, is not installed.
    """

    def __init__(self, path: Path, threads: int | None = None) -> None:
        if not path.is_file():
            require_experts(["landmarks"], path.parent)
        self.path = path
        self.raw = _scales_itself(path)
        """The graph scales its pixels; see `prior_input`."""
        self._session = _open_session(path, threads or torch.get_num_threads())
        given, said = self._session.get_inputs(), self._session.get_outputs()
        if (
            len(given) != 1
            or given[0].shape[1:] != [3, PRIOR_SIZE, PRIOR_SIZE]
            or said[0].shape[-1] != PRIOR_WIDTH
        ):
            shapes = ", ".join(f"{one.name} {one.shape}" for one in (*given, *said))
            raise _damaged(path, "landmarks", f"a net with {shapes}, not of (N, 3, 192, 192) and (N, 212)")
        self._input, self._output = given[0].name, said[0].name
        self._single = given[0].shape[0] == 1

    def prior(
        self,
        faces: Sequence[tuple[Image, tuple[float, float, float, float] | None]],
        compat: str = "insightface",
    ) -> FloatArray:
        """(N, 212): x and y of 106 points in about -1..1 of the net's square.

        Args:
            faces: pictures (H, W, 3) uint8 RGB with the face's box in px; see `prior_input`.
            compat: see `prior_input`.

        Raises:
            BadInput: no RGB picture, or no box.
            BadConfig: another compat.
        """
        pictures = [prior_input(image, box, compat=compat, raw=self.raw) for image, box in faces]
        parts = pictures if self._single else [np.concatenate(pictures)]
        said = [self._session.run([self._output], {self._input: part})[0] for part in parts]
        return np.concatenate([np.asarray(one, np.float32).reshape(-1, PRIOR_WIDTH) for one in said])


def _scales_itself(path: Path) -> bool:
    """InsightFace's own rule: a node ``bn_data`` among the first three, or a subtraction and a multiplication among
    the first eight. It goes by the names of nodes, as exporters from MXNet and torch wrote them.
    """
    require("onnx", extra="train", purpose="reading the graph of a landmark net")
    import onnx
    from google.protobuf.message import DecodeError  # type: ignore[import-untyped]

    try:
        nodes = onnx.load(path, load_external_data=False).graph.node[:8]
    except DecodeError as error:
        raise _damaged(path, "landmarks", f"no ONNX graph ({error})") from error
    names = [node.name for node in nodes]
    subtracts = any(name.startswith(("Sub", "_minus")) for name in names)
    multiplies = any(name.startswith(("Mul", "_mul")) for name in names)
    return "bn_data" in names[:3] or (subtracts and multiplies)


def _open_session(path: Path, threads: int) -> InferenceSession:
    from onnxruntime.capi import onnxruntime_pybind11_state as failures

    try:
        # It runs beside towers and decoder: on their card, where this ONNX Runtime has one.
        return open_session(path, threads, "auto")
    except (failures.Fail, failures.InvalidGraph, failures.InvalidProtobuf, failures.NotImplemented) as error:
        raise _damaged(path, "landmarks", f"no usable graph ({reason_of(error)})") from error


# ---- FaceXFormer


class FaceExpert:
    """FaceXFormer from a file: crops -> facial rows, 68 landmarks, and age, gender and race in words.

    Args:
        path: the published checkpoint, or ``model.safetensors`` of ``mien models import --format facexformer``. Pickled
            files are read with ``weights_only=True``.

    Raises:
        MissingWeights: no file, keys are missing, or it cannot be read safely.
        BadInput: tensors of other shapes.
    """

    def __init__(self, path: Path) -> None:
        if not path.is_file():
            require_experts(["face"], path.parent)
        state = read_checkpoint(path)
        table = state.get("linear_c.0.proj.weight", state.get("encoder.linear_c.0.proj.weight"))
        sizes = {(shape.width, shape.embed): name for name, shape in SHAPES.items()}
        variant = None if table is None else sizes.get(cast("tuple[int, int]", tuple(table.shape)))
        if variant is None:
            raise _damaged(path, "face", f"{len(state)} tensors that are not FaceXFormer's")
        self.path = path
        self.model = _own_model(path, state, variant) if "encoder.linear_fuse.weight" in state else cast(
            FaceXFormer,
            import_checkpoint(
                cast("Mapping[str, object]", state), "facexformer", scale="paper" if variant == "base" else variant
            ).model,
        )  # fmt: skip
        self.model.float().eval().requires_grad_(False)
        shape = self.model.shape
        self.widths = {"fused": shape.width, "last": shape.embed * 2 ** (len(shape.depths) - 1)}
        """Of a facial row, by `mien.layers.facexformer.FEATURES`."""

    def read(self, crops: Sequence[Image], features: str = "fused") -> FaceEvidence:
        """Rows (N, n², width), landmarks (N, 68, 2) in -1..1 of the crop, and words of N crops (H, W, 3) uint8 RGB.

        Raises:
            BadInput: no crop, or no RGB picture.
        """
        parts: list[FaceEvidence] = []
        with torch.inference_mode():
            for start in range(0, max(len(crops), 1), _BATCH):
                pixels = prepare_faces(crops[start : start + _BATCH], self.model.shape.image)
                parts.append(self.model.evidence(pixels, features))
        # Joined outside the mode: what trains on these rows has to keep them for its backward pass.
        return FaceEvidence(
            torch.cat([part.face for part in parts]),
            torch.cat([part.landmarks for part in parts]),
            tuple(word for part in parts for word in part.words),
        )


def _own_model(path: Path, state: Mapping[str, torch.Tensor], variant: str) -> FaceXFormer:
    model = FaceXFormer(variant)
    expected = model.state_dict()
    wrong = sorted(
        key
        for key in expected.keys() | state.keys()
        if not re.fullmatch(LAYOUTS["facexformer"].derived, key)
        and (key not in expected or key not in state or expected[key].shape != state[key].shape)
    )
    if wrong:
        raise _damaged(path, "face", f"{len(wrong)} tensors missing, unknown or of another shape: {wrong[0]}")
    model.load_state_dict(dict(state), strict=False)
    return model


# ---- BERT's words


class InstructionWords:
    """BERT's tokenizer as LLaMA-VID uses it: ``[CLS]``, the end of the text, ``[SEP]``.

    Args:
        path: ``tokenizer.json``.

    Raises:
        MissingWeights: no file, or another tokenizer's.
    """

    def __init__(self, path: Path) -> None:
        if not path.is_file():
            require_experts(["instruction"], path.parent)
        try:
            text = path.read_text(encoding="utf-8")
            content = read_json(text)
        except ValueError as error:
            raise _damaged(path, "instruction", f"no JSON ({error})") from error
        model = content.get("model") if isinstance(content, dict) else None
        words = model.get("vocab") if isinstance(model, dict) else None
        if not isinstance(words, dict) or not {"[CLS]", "[SEP]", "[UNK]"} <= words.keys():
            raise _damaged(path, "instruction", "no tokenizer with the words [CLS], [SEP] and [UNK]")
        self.tokenizer: Tokenizer = Tokenizer.from_str(text)
        self.tokenizer.no_truncation()
        self.tokenizer.no_padding()
        self._start, self._end = int(words["[CLS]"]), int(words["[SEP]"])

    def encode(self, text: str, limit: int) -> list[int]:
        """Ids, at most ``limit`` of them; a long text loses its beginning."""
        ids: list[int] = self.tokenizer.encode(text, add_special_tokens=False).ids
        return [self._start, *ids[max(0, len(ids) - (limit - 2)) :], self._end]


# ---- opened once


@lru_cache(maxsize=4)
def open_landmark_net(path: Path) -> LandmarkNet:
    """The net of that file; the same one for the same path."""
    return LandmarkNet(path)


@lru_cache(maxsize=2)
def open_face_expert(path: Path) -> FaceExpert:
    """The expert of that file; the same one for the same path."""
    return FaceExpert(path)


@lru_cache(maxsize=4)
def open_instruction_words(path: Path) -> InstructionWords:
    """The tokenizer of that file; the same one for the same path."""
    return InstructionWords(path)


# ---- into a model's folder


def name_experts(files: Sequence[Path]) -> dict[str, Path]:
    """Which expert each file is, by its ending; each is opened, so that a wrong one is refused at once.

    Raises:
        BadConfig: an unknown ending, or two files for one expert.
        MissingWeights: a file is absent or is not what it should be.
    """
    named: dict[str, Path] = {}
    for file in files:
        name = next((name for name, one in EXPERTS.items() if file.suffix in one.suffixes), None)
        if name is None or name in named:
            endings = "; ".join(f"{', '.join(one.suffixes)} for {one.purpose}" for one in EXPERTS.values())
            raise BadConfig(
                got=f"expert {file}" + ("" if name is None else f" beside {named[name]}"),
                expected=f"one file each: {endings}",
                fix="Leave the other out",
            )
        if not file.is_file():
            one = EXPERTS[name]
            raise MissingWeights(
                got=f"no file {file}",
                expected=f"{one.purpose}, published {one.published}",
                fix="Correct the path",
            )
        named[name] = file
    openers: dict[str, Callable[[Path], object]] = {
        "landmarks": open_landmark_net, "face": open_face_expert, "instruction": open_instruction_words,
    }  # fmt: skip
    for name, file in named.items():
        openers[name](file)
    return named


def write_experts(named: Mapping[str, Path], folder: Path) -> None:
    """Copy experts into ``folder`` under the names of `EXPERTS`; FaceXFormer is written as safetensors.

    Args:
        named: key of `EXPERTS` -> its file.
        folder: made where needed.

    Raises:
        MissingWeights: a file is absent or is not what it should be.
    """
    for name, file in named.items():
        folder.mkdir(parents=True, exist_ok=True)
        target = folder / EXPERTS[name].file
        if name == "face":
            state = open_face_expert(file).model.state_dict()
            save_file({key: value.contiguous() for key, value in state.items()}, target)
        else:
            target.write_bytes(file.read_bytes())
