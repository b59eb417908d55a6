"""Outside nets and what systems read of them, on files that are made here (``nets`` of conftest.py).

What the landmark net should see is computed pixel by pixel.
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import onnx
import pytest
import torch
from safetensors.torch import save_file
from torch import Tensor
from transformers import PreTrainedTokenizerFast

from mien.core.errors import BadConfig, BadInput, MissingWeights
from mien.core.nouns import Evidence, Face
from mien.layers.facexformer import describe, prepare_faces
from mien.models.composite.evidence_inputs import Inputs, evidence_inputs, expert_words
from mien.models.composite.experts import (
    FaceExpert,
    InstructionWords,
    LandmarkNet,
    open_landmark_net,
)
from mien.models.composite.facial_lm import FacialLM
from mien.models.emo_llama import system as emo_llama
from mien.models.emo_llama.inputs import instruction_inputs
from mien.models.emola import system as emola

Box = tuple[float, float, float, float]


@pytest.mark.parametrize(
    ("scaling", "batch", "raw"),
    [("bn_data", None, True), ("bn_data", 1, True), ("nodes", None, True), ("none", None, False)],
)
def test_landmark_net_sees_insightfaces_square(
    nets: Any, tmp_path: Path, scaling: str, batch: int | None, raw: bool
) -> None:
    """Whether the graph scales or we do, the net's first layer gets the same values."""
    net = LandmarkNet(nets.landmark_net(tmp_path / "2d106det.onnx", scaling, batch))
    assert net.raw is raw
    boxes: list[Box] = [(20.0, 10.0, 80.0, 95.0), (-9.5, 30.0, 40.0, 70.0), (0.0, 0.0, 96.0, 96.0)]
    got = net.prior(list(zip(nets.pictures(3), boxes, strict=True)))
    assert got.shape == (3, 212) and got.dtype == np.float32
    expected = [nets.seen(image, box) for image, box in zip(nets.pictures(3), boxes, strict=True)]
    np.testing.assert_allclose(got, np.stack(expected), atol=1e-4)


def test_landmark_net_as_the_released_code_feeds_it(nets: Any, tmp_path: Path) -> None:
    """Blue first, the whole picture, 0..1, which the graph scales once more."""
    net = LandmarkNet(nets.landmark_net(tmp_path / "2d106det.onnx"))
    image = np.random.default_rng(2).integers(0, 256, (192, 192, 3), np.uint8)
    (got,) = net.prior([(image, None)], "emola")
    flat = image[..., ::-1].transpose(2, 0, 1).ravel()[nets.probes] / 255.0
    np.testing.assert_allclose(got, (flat - 127.5) / 128, atol=1e-5)


def test_landmark_net_refuses_other_files(nets: Any, tmp_path: Path) -> None:
    with pytest.raises(MissingWeights, match=r"2d106det\.onnx.*buffalo_l.*--expert"):
        LandmarkNet(tmp_path / "2d106det.onnx")
    (tmp_path / "text.onnx").write_text("Not found")
    with pytest.raises(MissingWeights, match=r"no ONNX graph.*buffalo_l"):
        LandmarkNet(tmp_path / "text.onnx")
    model = onnx.load(nets.landmark_net(tmp_path / "good.onnx"))
    model.graph.input[0].type.tensor_type.shape.dim[2].dim_value = 112
    onnx.save(model, tmp_path / "small.onnx")
    with pytest.raises(MissingWeights, match=r"\[.N., 3, 112, 192\]"):
        LandmarkNet(tmp_path / "small.onnx")
    model.graph.node[0].op_type = "NoSuchOperator"
    onnx.save(model, tmp_path / "odd.onnx")
    with pytest.raises(MissingWeights, match="no usable graph"):
        LandmarkNet(tmp_path / "odd.onnx")


# ---- FaceXFormer


def test_face_expert_reads_crops_in_batches(nets: Any, tmp_path: Path) -> None:
    """Rows, landmarks and words are those of the model itself, whatever the batch; they may train what follows."""
    model = nets.face_expert(tmp_path / "facexformer.safetensors")
    expert = FaceExpert(tmp_path / "facexformer.safetensors")
    crops = nets.pictures(19)
    read = expert.read(crops)
    assert read.face.shape == (19, 256, 16) and read.landmarks.shape == (19, 68, 2) and len(read.words) == 19
    with torch.no_grad():
        pixels = prepare_faces([crops[17]], 64)
        rows = model.encoder(pixels).flatten(2)[0].T
        said = model(pixels)
    torch.testing.assert_close(read.face[17], rows, atol=1e-5, rtol=1e-4)
    torch.testing.assert_close(read.landmarks[17], said.landmarks[0], atol=1e-5, rtol=1e-4)
    assert read.words[17] == describe(said)[0] and re.fullmatch(
        r"age .+, gender (fe)?male, race .+", read.words[17]
    )
    weight = torch.zeros(16, requires_grad=True)
    (read.face @ weight).sum().backward()
    assert weight.grad is not None and weight.grad.abs().sum() > 0.0
    with pytest.raises(BadInput, match="at least one"):
        expert.read([])


def test_face_expert_refuses_other_files(nets: Any, tmp_path: Path) -> None:
    with pytest.raises(MissingWeights, match=r"facexformer\.safetensors.*kartiknarayan/facexformer"):
        FaceExpert(tmp_path / "facexformer.safetensors")
    save_file({"weight": torch.zeros(2)}, tmp_path / "other.safetensors")
    with pytest.raises(MissingWeights, match=r"1 tensors that are not FaceXFormer's"):
        FaceExpert(tmp_path / "other.safetensors")
    state = dict(nets.face_expert(tmp_path / "whole.safetensors").state_dict())
    del state["face_decoder.race_token.weight"]
    save_file({key: value.contiguous() for key, value in state.items()}, tmp_path / "half.safetensors")
    with pytest.raises(MissingWeights, match=r"1 tensors missing.*race_token"):
        FaceExpert(tmp_path / "half.safetensors")


# ---- BERT's words


@pytest.mark.parametrize("limit", [7, 64])
def test_instruction_words_are_those_of_a_left_truncated_bert(nets: Any, tmp_path: Path, limit: int) -> None:
    words = InstructionWords(nets.bert(tmp_path / "tokenizer.json"))
    theirs = PreTrainedTokenizerFast(
        tokenizer_file=str(tmp_path / "tokenizer.json"), truncation_side="left", pad_token="[PAD]"
    )
    for text in ("What's this face?", "faces", "What\nis THIS, what is this face doing?", ""):
        expected = theirs(text, truncation=True, max_length=limit)["input_ids"]
        assert words.encode(text, limit) == expected and len(expected) <= limit


def test_instruction_words_refuse_other_tokenizers(nets: Any, tmp_path: Path) -> None:
    with pytest.raises(MissingWeights, match="google-bert/bert-base-uncased"):
        InstructionWords(tmp_path / "none.json")
    (tmp_path / "text.json").write_text("<html>")
    with pytest.raises(MissingWeights, match="no JSON"):
        InstructionWords(tmp_path / "text.json")
    nets.letters(tmp_path / "bpe.json")
    with pytest.raises(MissingWeights, match=r"\[CLS\]"):
        InstructionWords(tmp_path / "bpe.json")


# ---- as evidence


def test_priors_are_the_nets_of_the_box_placed_into_the_crop(nets: Any, tmp_path: Path) -> None:
    nets.landmark_net(tmp_path / "2d106det.onnx")
    config = emola.configure("tiny")
    inputs = Inputs(28, 28, prior="insightface", experts=str(tmp_path))
    batch = nets.faces(3)
    made = evidence_inputs(config, inputs, batch, names=["prior"])["prior"]
    assert isinstance(made, Tensor)
    expected = []
    for one in batch:
        assert one.crop is not None
        expected.append(nets.seen(one.crop, nets.placed_box(one)))
    np.testing.assert_allclose(made.numpy(), np.stack(expected), atol=1e-3)
    boxed = [replace(one, face=replace(one.face, landmarks=None)) for one in batch[:1]]
    (without,) = evidence_inputs(config, inputs, boxed, names=["prior"])["prior"]
    assert boxed[0].crop is not None
    # The box 0, 0, 190, 190 under the transform, corner by corner.
    np.testing.assert_allclose(without, nets.seen(boxed[0].crop, (-7.0, -10.0, 107.0, 104.0)), atol=1e-3)
    released = replace(inputs, prior="insightface-emola")
    other = evidence_inputs(config, released, batch, names=["prior"])["prior"]
    assert isinstance(other, Tensor) and (other - made).abs().max() > 0.1
    pixels_only = [Evidence(Face(one.face.box, 1.0), one.crop) for one in batch]
    assert torch.equal(evidence_inputs(config, released, pixels_only, names=["prior"])["prior"], other)  # type: ignore[arg-type]


def test_a_net_is_opened_once(nets: Any, tmp_path: Path) -> None:
    path = nets.landmark_net(tmp_path / "2d106det.onnx")
    assert open_landmark_net(path) is open_landmark_net(tmp_path / "2d106det.onnx")
    inputs = Inputs(28, 28, prior="insightface", experts=str(tmp_path))
    first = evidence_inputs(emola.configure("tiny"), inputs, nets.faces(1), names=["prior"])["prior"]
    path.unlink()
    again = evidence_inputs(emola.configure("tiny"), inputs, nets.faces(1), names=["prior"])["prior"]
    assert torch.equal(first, again)  # type: ignore[arg-type]


def frames(
    nets: Any, tmp_path: Path, batch: Sequence[Evidence], asked: Sequence[str], **encoder: Any
) -> dict[str, Tensor]:
    config = emo_llama.configure("tiny", priors=encoder.pop("priors", "all"))
    config.evidence["image"]["encoder"].update(encoder)
    inputs = Inputs(28, 28, face_rows="facexformer", instruction="bert", experts=str(tmp_path))
    made = evidence_inputs(config, inputs, batch, asked, nets.letters(tmp_path / "letters.json"))["image"]
    assert isinstance(made, dict)
    return made


def test_facial_rows_and_words_reach_emo_llama(nets: Any, tmp_path: Path) -> None:
    nets.face_expert(tmp_path / "facexformer.safetensors")
    nets.bert(tmp_path / "instruction_tokenizer.json")
    batch, asked = nets.faces(3), ["What's this?", "faces", "What is this face?"]
    made = frames(nets, tmp_path, batch, asked, face_width=16)
    crops = [one.crop for one in batch if one.crop is not None]
    read = FaceExpert(tmp_path / "facexformer.safetensors").read(crops)
    assert torch.equal(made["face"], read.face) and torch.equal(made["landmarks"], read.landmarks)
    words = InstructionWords(tmp_path / "instruction_tokenizer.json")
    for text, ids, mask in zip(asked, made["instruction_ids"], made["instruction_mask"], strict=True):
        assert ids[mask.bool()].tolist() == words.encode(text, 256)
    inputs = Inputs(28, 28, face_rows="facexformer", experts=str(tmp_path))
    assert expert_words(inputs, batch) == read.words
    config = emo_llama.configure("tiny")
    fields = config.evidence["image"]["encoder"]
    fields["face_width"] = 16
    model = FacialLM(config)
    assert model.model.project("image", made).shape == (3, 3, 32)
    with pytest.raises(BadConfig, match="16 numbers for a model of 8"):
        frames(nets, tmp_path, batch, asked)
    assert "face" not in frames(nets, tmp_path, batch, asked, priors="none")


def test_the_last_stage_as_facial_rows(nets: Any, tmp_path: Path) -> None:
    """The other reading of X^F: the backbone's last map, 1024 x 7 x 7 at full size, 64 x 2 x 2 here."""
    expert = nets.face_expert(tmp_path / "facexformer.safetensors")
    batch = nets.faces(2)
    inputs = Inputs(28, 28, face_rows="facexformer-last", experts=str(tmp_path))
    config = emo_llama.configure("tiny", face_width=64)
    words = nets.letters(tmp_path / "letters.json")
    config.evidence["image"]["encoder"]["clue"]["qformer"]["vocab_size"] = words.get_vocab_size()
    made: Any = evidence_inputs(config, inputs, batch, ["What?"] * 2, words)["image"]
    with torch.no_grad():
        pixels = prepare_faces([one.crop for one in batch], 64)
        states = expert.encoder.backbone(pixels, output_hidden_states=True).reshaped_hidden_states
        fused = expert.evidence(pixels)
    torch.testing.assert_close(made["face"], states[-1].flatten(2).transpose(1, 2))
    torch.testing.assert_close(made["landmarks"], fused.landmarks)
    assert made["face"].shape == (2, 4, 64)
    assert FacialLM(config).model.project("image", made).shape == (2, 3, 32)
    with pytest.raises(BadConfig, match="face_width=64"):
        evidence_inputs(emo_llama.configure("tiny"), inputs, batch, ["What?"] * 2, words)
    with pytest.raises(BadConfig, match="fused, last"):
        expert.evidence(pixels, "first")


def test_words_beyond_the_qformer_are_refused(nets: Any, tmp_path: Path) -> None:
    """The decoder's tokens in a Q-Former of BERT's words would read arbitrary rows."""
    config = emo_llama.configure("tiny", priors="none")
    config.evidence["image"]["encoder"]["clue"]["qformer"]["vocab_size"] = 40
    tokenizer = nets.letters(tmp_path / "letters.json")
    assert int(instruction_inputs(["What?"], tokenizer, 64)["instruction_ids"].max()) >= 40
    with pytest.raises(BadConfig, match=r"Q-Former of 40 words.*instruction: bert"):
        evidence_inputs(config, Inputs(28, 28), nets.faces(1), ["What?"], tokenizer)


def test_paper_scale_has_the_published_words() -> None:
    encoder = emo_llama.configure("paper").evidence["image"]["encoder"]
    assert encoder["clue"]["qformer"]["vocab_size"] == 30_523


def test_a_stand_in_stays_one_and_other_words_are_refused() -> None:
    old = Inputs.of_card({"system": "emola", "inputs": {"crop_size": 28, "prior": "mesh106"}}, Path("x"))
    assert (old.prior, old.face_rows, old.instruction) == ("mesh106", "gradients", "decoder")
    for field in ("prior", "face_rows", "instruction"):
        with pytest.raises(BadConfig, match=f"{field}='mediapipe'"):
            Inputs.of({field: "mediapipe"})
