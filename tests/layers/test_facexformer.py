"""FaceXFormer: size, preprocessing, what EMO-LLaMA takes from it, export, errors. Equality with the published forward
pass is tested where checkpoints are imported."""

from __future__ import annotations

import warnings
from collections.abc import Iterator
from dataclasses import fields
from pathlib import Path

import numpy as np
import onnxruntime
import pytest
import torch
from PIL import Image as pillow
from torch import Tensor

from mien.core.errors import BadConfig, BadInput
from mien.layers.facexformer import (
    AGES,
    ATTRIBUTES,
    GENDERS,
    RACES,
    FaceXFormer,
    describe,
    prepare_faces,
)
from mien.layers.facial_clues import FacialClues


@pytest.fixture(scope="module")
def expert() -> FaceXFormer:
    torch.manual_seed(0)
    return FaceXFormer("tiny").eval()


def pixels(count: int, seed: int = 0) -> Tensor:
    return torch.randn(count, 3, 64, 64, generator=torch.Generator().manual_seed(seed))


def test_parameters_are_the_published_ones() -> None:
    """91,985,943 in all (the paper prints 92.0 M), 86.7 M of them Swin-B, 4.49 M the decoder."""
    with torch.device("meta"):
        model = FaceXFormer("base")
    count = {
        name: sum(p.numel() for p in part.parameters())
        for name, part in (
            ("all", model),
            ("swin", model.encoder.backbone),
            ("decoder", model.face_decoder),
        )
    }
    assert count == {"all": 91_985_943, "swin": 86_743_224, "decoder": 4_488_031}


def test_full_width_map_is_256_by_56_by_56() -> None:
    with torch.device("meta"):
        model = FaceXFormer("base").eval()
        face = model.encoder(torch.empty(2, 3, 224, 224))
        prediction = model.decode(face)
    assert face.shape == (2, 256, 56, 56)
    shapes = {part.name: tuple(getattr(prediction, part.name).shape) for part in fields(prediction)}
    assert shapes == {
        "landmarks": (2, 68, 2), "pose": (2, 3), "attributes": (2, 40), "visibility": (2, 29), "age": (2, 8),
        "gender": (2, 2), "race": (2, 5), "parsing": (2, 11, 224, 224),
    }  # fmt: skip


def test_pixels_as_the_released_inference() -> None:
    """PIL's bicubic on 8-bit values, both axes stretched, then /255 and ImageNet's mean and deviation."""
    y, x = np.mgrid[:90, :70]
    crop = np.stack([x * 3, y * 2, (x + y) % 256], 2).astype(np.uint8)
    got = prepare_faces([crop, crop[:50]])
    assert got.shape == (2, 3, 224, 224) and got.dtype == torch.float32
    scaled = np.asarray(pillow.fromarray(crop).resize((224, 224), pillow.Resampling.BICUBIC)) / 255.0
    for channel, (mean, deviation) in enumerate([(0.485, 0.229), (0.456, 0.224), (0.406, 0.225)]):
        expected = (scaled[..., channel] - mean) / deviation
        np.testing.assert_allclose(got[0, channel].numpy(), expected, atol=1e-6)


def test_a_face_does_not_depend_on_its_company(expert: FaceXFormer) -> None:
    with torch.no_grad():
        together, alone = expert(pixels(3)), expert(pixels(3)[1:2])
    for part in fields(alone):
        torch.testing.assert_close(
            getattr(together, part.name)[1:2], getattr(alone, part.name), atol=1e-5, rtol=1e-4
        )


def test_evidence_fits_emo_llama(expert: FaceXFormer) -> None:
    """Rows, landmarks and words go into the frame encoder and its prompt as they come."""
    evidence = expert.evidence(pixels(2))
    assert evidence.face.shape == (2, 16 * 16, 16) and evidence.landmarks.shape == (2, 68, 2)
    with torch.no_grad():
        face = expert.encoder(pixels(2))
    torch.testing.assert_close(evidence.face[1, 5 * 16 + 3], face[1, :, 5, 3])
    tower = {
        "model_type": "instructblip_vision_model", "hidden_size": 16, "intermediate_size": 24,
        "num_hidden_layers": 2, "num_attention_heads": 2, "image_size": 28, "patch_size": 14,
    }  # fmt: skip
    qformer = {
        "hidden_size": 16, "num_hidden_layers": 2, "num_attention_heads": 2, "intermediate_size": 24,
        "vocab_size": 30, "max_position_embeddings": 32,
    }  # fmt: skip
    frame = FacialClues(tower, 10, 16, {"qformer": qformer, "queries": 3}, {"heads": 2}).eval()
    ids = torch.tensor([[3, 4], [5, 6]])
    rows = frame(torch.zeros(2, 3, 28, 28), ids, torch.ones_like(ids), evidence.face, evidence.landmarks)
    assert rows.shape == (2, 3, 10) and bool(rows.isfinite().all())


def test_words(expert: FaceXFormer) -> None:
    with torch.no_grad():
        prediction = expert(pixels(1))
    for logits, place in ((prediction.age, 2), (prediction.gender, 1), (prediction.race, 3)):
        logits[0, place] = 99.0
    assert describe(prediction) == ["age 20-29, gender female, race Asian"]
    assert (len(AGES), len(GENDERS), len(RACES), len(ATTRIBUTES)) == (8, 2, 5, 40)
    assert ATTRIBUTES.index("Male") == 20 and ATTRIBUTES.index("Smiling") == 31


@pytest.fixture
def traced() -> Iterator[None]:
    with warnings.catch_warnings():
        # The tracer warns of every Python branch on shapes, which are fixed here.
        warnings.simplefilter("ignore")
        yield


def test_encoder_runs_in_onnx(expert: FaceXFormer, traced: None, tmp_path: Path) -> None:
    """Traced with two faces, it runs with three."""
    path = tmp_path / "face.onnx"
    torch.onnx.export(
        expert.encoder, (pixels(2),), path, dynamo=False, input_names=["pixels"], output_names=["face"],
        dynamic_axes={"pixels": {0: "faces"}, "face": {0: "faces"}},
    )  # fmt: skip
    session = onnxruntime.InferenceSession(path, providers=["CPUExecutionProvider"])
    got = session.run(None, {"pixels": pixels(3, seed=1).numpy()})[0]
    with torch.no_grad():
        expected = expert.encoder(pixels(3, seed=1)).numpy()
    np.testing.assert_allclose(got, expected, atol=1e-5)


@pytest.mark.slow
def test_encoder_exports(expert: FaceXFormer, traced: None) -> None:
    with torch.no_grad():
        program = torch.export.export(expert.encoder, (pixels(2),))
        torch.testing.assert_close(program.module()(pixels(2, 1)), expert.encoder(pixels(2, 1)))


def test_speaks_about_bad_input(expert: FaceXFormer) -> None:
    with pytest.raises(BadConfig, match="base, tiny"):
        FaceXFormer("large")
    with pytest.raises(BadInput, match=r"\(faces, 3, 64, 64\).*prepare_faces"):
        expert(torch.zeros(1, 3, 224, 224))
    for crops in ([], [np.zeros((4, 4), np.uint8)], [np.zeros((4, 4, 3))], [np.zeros((0, 4, 3), np.uint8)]):
        with pytest.raises(BadInput, match="uint8 RGB with pixels"):
            prepare_faces(crops)  # type: ignore[arg-type]
