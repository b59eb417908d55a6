"""Clips from files to an answer: gathered and kept, batched by their frames, learnt from, asked about."""

from __future__ import annotations

import json
from collections.abc import Callable
from dataclasses import replace
from itertools import pairwise
from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image
from typer.testing import CliRunner

import mien
from mien.app.cli import app
from mien.core.errors import BadInput
from mien.evaluate.predictions import read_predictions
from mien.face.decode.images import load_image
from mien.models.composite.evidence_inputs import Inputs, evidence_inputs
from mien.models.composite.facial_lm import FacialLM
from mien.models.registry import open_system
from mien.train.align import ClassificationTask, FaceBatches, emotion_frequency
from mien.train.data.clips import ClipFaces
from mien.train.data.drawn import draw_instructions
from mien.train.data.faces import Faces, gather, taught
from mien.train.data.instructions import InstructionCollator, Instructions, open_tokenizer
from mien.train.recipe import DataPart
from mien.train.recipe_files import load_recipe
from mien.train.runs import Run

INPUTS = Inputs(crop_size=28, image_size=28, face_map=4)
EMO_LLAMA = open_system("emo-llama")
LENGTHS = {"happiness": (3, 1), "neutral": (5, 4)}
"""Frames, a second each, of the clips of each class."""
SQUARES = ((160, 40, 300, 180), (130, 100, 390, 360))
"""The faces of the example portraits."""

pytestmark = pytest.mark.filterwarnings("ignore:.*mtime may not be reliable.*")


@pytest.fixture(scope="module")
def data(photos: list[Path], encoder: Callable[..., Path], tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Two classes of clips, each with a photo beside them, made of the example portraits."""
    root = tmp_path_factory.mktemp("clips")
    for number, (label, lengths) in enumerate(LENGTHS.items()):
        whole = Image.fromarray(load_image(photos[number]))
        picture = whole.resize((240, 240 * whole.height // whole.width // 2 * 2))
        for split in ("train", "val"):
            folder = root / split / label
            folder.mkdir(parents=True)
            for place, length in enumerate(lengths):
                views = [np.roll(np.asarray(picture), 4 * step, axis=1) for step in range(length)]
                encoder(folder / f"{place}.mp4", views, [100 * step for step in range(length)])
            whole.crop(SQUARES[number]).save(folder / "photo.png")
    (root / "train" / "happiness" / "blank.mp4").write_bytes(
        encoder(root / "blank.mp4", [np.full((120, 120, 3), 90, np.uint8)] * 3).read_bytes()
    )
    return root


@pytest.fixture(scope="module")
def cache(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("cache")


@pytest.fixture(scope="module")
def part(data: Path) -> DataPart:
    return DataPart(dataset="folder", split="train", root=data)


@pytest.fixture(scope="module")
def faces(part: DataPart, cache: Path) -> Faces:
    return gather([part], 28, cache, True, 32)


def test_clips_and_photos_in_the_order_of_the_data(faces: Faces) -> None:
    names = [f"{sample.labels.emotion}/{Path(sample.media).name}" for sample in faces.samples]
    assert names == [
        f"{label}/{name}" for label in ("happiness", "neutral") for name in ("0.mp4", "1.mp4", "photo.png")
    ], "the clip without a face is left out"
    assert [len(faces.frames(row)) for row in range(6)] == [3, 1, 1, 5, 4, 1]
    assert [faces.centre(row) for row in range(6)] == [1, 3, 4, 7, 11, 14]
    assert len(faces.crops) == len(faces.landmarks) == len(faces.transforms) == 15
    assert not np.isnan(faces.landmarks).any()
    moved = [float(faces.landmarks[frame, :, 0].mean()) for frame in faces.frames(4)]
    assert all(later - earlier == pytest.approx(4.0, abs=1.5) for earlier, later in pairwise(moved))
    half = faces.take([4, 0])
    assert [len(half.frames(row)) for row in range(2)] == [4, 3]
    assert np.array_equal(half.crops, faces.crops[[*faces.frames(4), *faces.frames(0)]])


def test_one_frame_where_a_system_reads_one_picture(part: DataPart, cache: Path) -> None:
    single = gather([part.model_copy(update={"limit": 2})], 28, cache, False)
    assert single.ends is None and len(single.crops) == len(single) == 2


def test_what_was_found_is_kept(part: DataPart, faces: Faces, cache: Path) -> None:
    kept = sorted((cache / "clips").iterdir())
    stamps = [path.stat().st_mtime_ns for path in kept]
    again = gather([part], 28, cache, True, 32)
    assert np.array_equal(again.crops, faces.crops) and np.array_equal(again.transforms, faces.transforms)
    assert [path.stat().st_mtime_ns for path in sorted((cache / "clips").iterdir())] == stamps
    fewer = ClipFaces(cache / "clips", 28, 2, 25.0).read(faces.samples[4])
    assert np.array_equal(fewer.crops, faces.crops[[faces.frames(4)[0], faces.frames(4)[2]]])


def test_a_teacher_measures_the_middle_frame(faces: Faces) -> None:
    told = taught(faces, "rules", 1)
    alone = taught(replace(faces, ends=None, samples=faces.samples[:1] * 15), "rules", 1)
    assert told.samples[4].labels.au_intensity == alone.samples[faces.centre(4)].labels.au_intensity


def batches(faces: Faces) -> tuple[FacialLM, InstructionCollator, Instructions]:
    items = draw_instructions(EMO_LLAMA, faces, {"image": 1}, 0.0, 1)
    tokenizer = open_tokenizer(EMO_LLAMA, None, items, 400)
    torch.manual_seed(0)
    model = FacialLM(EMO_LLAMA.configure("tiny", tokenizer.get_vocab_size())).eval()
    collator = InstructionCollator(EMO_LLAMA, model.config, INPUTS, faces, tokenizer, 0)
    return model, collator, Instructions(EMO_LLAMA, model.config, items, tokenizer)


def test_clips_of_different_length_in_one_batch_are_as_alone(faces: Faces) -> None:
    model, collator, items = batches(faces)
    chosen = [items[row] for row in (0, 1, 4, 2)]
    batch = collator(chosen)
    counts = [3, 1, 4, 1]
    assert (batch["input_ids"] == -200).sum(dim=1).tolist() == [3 * count for count in counts]
    assert batch["evidence"]["image"]["pixels"].shape[0] == sum(counts)
    with torch.no_grad():
        together = model(**{name: value for name, value in batch.items() if name != "labels"}).logits
        for row, one in enumerate(chosen):
            single = collator([one])
            alone = model(input_ids=single["input_ids"], evidence=single["evidence"]).logits[0]
            torch.testing.assert_close(together[row, : len(alone)], alone, atol=1e-4, rtol=1e-4)
    asked = [item.turns[0].text for item, _ in chosen]
    assert ["in the video?" in text for text in asked] == [True, False, True, False]


def test_rows_encoded_beforehand_are_those_of_each_frame(faces: Faces) -> None:
    _, collator, items = batches(faces)
    rows = torch.randn(2, 15, 3, 32).half()
    read = replace(collator, cached={"image": rows}).evidence([items[4][0], items[0][0]])["image"]
    assert torch.equal(read, rows[0, [*faces.frames(4), *faces.frames(0)]].float())
    torch.manual_seed(1)
    changed = replace(collator, cached={"image": rows}, augment=True)
    views = {
        tuple(
            int(torch.equal(one, rows[1, frame].float()))
            for one, frame in zip(changed.evidence([items[4][0]])["image"], faces.frames(4), strict=True)  # type: ignore[call-overload]
        )
        for _ in range(20)
    }
    assert views == {(0, 0, 0, 0), (1, 1, 1, 1)}, "all frames of a clip are changed alike"


def test_an_encoder_alone_reads_the_middle_frame_with_a_question(faces: Faces) -> None:
    model, collator, _ = batches(faces)
    question = "What is the emotion of this face?"
    asked = FaceBatches(
        model.config, "image", INPUTS, faces, question=question, tokenizer=collator.tokenizer
    )([4, 0])
    shown = [faces.evidence(faces.centre(row)) for row in (4, 0)]
    expected = evidence_inputs(model.config, INPUTS, shown, [question] * 2, collator.tokenizer)["image"]
    assert isinstance(expected, dict) and asked["items"].keys() == expected.keys()
    for name, value in expected.items():
        torch.testing.assert_close(asked["items"][name], value)
    task = ClassificationTask(model, "image", emotion_frequency(faces))
    task(**asked)["loss"].backward()
    gradients = [parameter.grad for parameter in model.model.encoders["image"].tower.parameters()]
    assert any(gradient is not None and bool(gradient.any()) for gradient in gradients)


def test_too_many_frames_are_said(faces: Faces) -> None:
    items = draw_instructions(EMO_LLAMA, faces, {"image": 1}, 0.0, 1)
    tokenizer = open_tokenizer(EMO_LLAMA, None, items, 400)
    config = EMO_LLAMA.configure("tiny", tokenizer.get_vocab_size())
    config.text_config.max_position_embeddings = 40
    with pytest.raises(BadInput, match="pass fewer frames"):
        Instructions(EMO_LLAMA, config, items, tokenizer)[4]


def test_emo_llama_learns_from_clips_and_is_asked_about_one(data: Path, cache: Path, tmp_path: Path) -> None:
    changes = [
        f"data=[{{dataset: folder, root: {data}}}]",
        f"validation=[{{dataset: folder, split: val, root: {data}}}]",
        "stages.0.batch=3",
        "stages.0.save_steps=100",
    ]
    folder = Run(load_recipe("emo-llama", "tiny", changes), tmp_path / "run", cache).train()
    rows = read_predictions(folder / "predictions.jsonl")
    shown = [row["questions"][0].count("<image>") for row in rows]
    assert (
        shown == [3, 1, 1, 5, 4, 1]
        and json.loads((folder / "run.json").read_text())["counts"]["dialogues"] == 6
    )

    clip, question = data / "val" / "neutral" / "1.mp4", "What is the emotion of this face?"
    answer = mien.ask(clip, question, folder, threads=1)
    assert answer.times == pytest.approx((0.0, 1.0, 2.0, 3.0)) and answer.scores is not None
    one = mien.ask(clip, question, folder, threads=1, frames=1)
    assert one.times == pytest.approx((1.0,)) and one.scores != answer.scores
    assert mien.ask(data / "val" / "neutral" / "photo.png", question, folder, threads=1).times == ()

    said = CliRunner().invoke(app, ["ask", str(clip), question, "--model", str(folder), "--threads", "1"])
    assert said.exit_code == 0 and said.stdout.strip() == answer.text
    assert "about 4 frames of the video, 0.0 s to 3.0 s" in said.stderr
    free = ["ask", str(clip), "Describe what you see.", "--model", str(folder), "--frames", "2"]
    assert "about 2 frames of the video, 0.0 s to 2.0 s" in CliRunner().invoke(app, free).stderr
