"""What lies in the folder of an exported pocket model, and whether it is whole."""

from __future__ import annotations

import hashlib
from pathlib import Path
from typing import Annotated, Any

from pydantic import BaseModel, ConfigDict, Field

from mien.core.aus import AU_SETS
from mien.core.emotions import EMOTIONS
from mien.core.errors import MissingWeights
from mien.core.objects import check_object, read_object

__all__ = ["AGAIN", "FILES", "verify_bundle"]

FILES = (
    "evidence.onnx", "units.onnx", "expression.onnx", "decoder.onnx", "regions.onnx", "tokens.safetensors",
    "tokenizer.json",
)  # fmt: skip
_MOST_BYTES = 2 << 30
"""Of one file; protobuf, and so ONNX, ends there."""
_OUTSIDE = b"\x0a\x08location\x12"
"""How an ONNX file says that weights lie in another file (onnx.proto: TensorProto.external_data)."""
AGAIN = "Reinstall mien, or export the model again"

_Finite = Annotated[float, Field(allow_inf_nan=False)]
_Size = Annotated[int, Field(ge=1, le=4096)]


class _Calibration(BaseModel):
    model_config = ConfigDict(strict=True)
    temperature: Annotated[float, Field(gt=0, allow_inf_nan=False)]
    bias: Annotated[list[_Finite], Field(min_length=len(EMOTIONS), max_length=len(EMOTIONS))]


class _Decoder(BaseModel):
    model_config = ConfigDict(strict=True)
    layers: _Size
    groups: _Size
    head_size: _Size


class _Bundle(BaseModel):
    """What ``bundle.json`` has to say."""

    model_config = ConfigDict(strict=True)
    crop_size: Annotated[int, Field(ge=16, le=1024)]
    emotions: list[str]
    aus: list[str]
    au_sharpness: dict[str, Annotated[float, Field(gt=0, allow_inf_nan=False)]]
    emotion_calibration: _Calibration
    evidence_ids: Annotated[list[Annotated[int, Field(ge=0)]], Field(min_length=1)]
    decoder: _Decoder
    readout_question: str
    array_questions: dict[str, str]
    sha256: dict[str, str]


def verify_bundle(folder: Path) -> dict[str, Any]:
    """Read ``bundle.json`` and check every file beside it.

    Raises:
        MissingWeights: it cannot be, or a file is absent, too large, or differs from its checksum.
    """
    path = folder / "bundle.json"
    bundle = read_object(path, "the description of an exported pocket model: 'mien train pocket' writes it")
    sums = check_object(_Bundle, bundle, path).sha256
    for name in FILES:
        file = folder / name
        actual = _sum(file) if file.is_file() else "no file"
        if actual != sums.get(name):
            raise MissingWeights(
                got=f"{file} with sha256 {actual[:16]}",
                expected=sums.get(name, "its checksum in bundle.json")[:32],
                fix=AGAIN,
            )
    if tuple(bundle["emotions"]) != EMOTIONS or tuple(bundle["aus"]) != AU_SETS["pocket"]:
        raise MissingWeights(
            got=f"a model with labels {bundle['emotions']} and {len(bundle['aus'])} AUs",
            expected="this version's label order",
            fix="Export the model with this version of mien",
        )
    return bundle


def _sum(file: Path) -> str:
    """SHA-256 of a file of bounded size that names no other file."""
    size = file.stat().st_size
    content = file.read_bytes() if size <= _MOST_BYTES else b""
    if size > _MOST_BYTES or _OUTSIDE in content:
        raise MissingWeights(
            got=f"{file} {'of' if size > _MOST_BYTES else 'with weights in another file, of'} {size:,} bytes",
            expected=f"one whole file of at most {_MOST_BYTES:,} bytes",
            fix=AGAIN,
        )
    return hashlib.sha256(content).hexdigest()
