"""The embedded model on real photos: reads, speaks, answers, and says clearly when its files are wrong."""

from __future__ import annotations

import json
import shutil
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from mien.backends.base import open_reader
from mien.backends.onnx import PocketReader, open_pocket
from mien.backends.pocket_bundle import FILES, verify_bundle
from mien.core.emotions import EMOTIONS
from mien.core.errors import MissingWeights
from mien.core.nouns import Evidence, FaceResult
from mien.core.paths import pocket_weights
from mien.dialogue.read.au_arrays import FORMATS, read_array
from mien.dialogue.read.claims import read_claims
from mien.face.crop import canonical_crop
from mien.face.decode.images import load_image
from mien.face.finder import FaceFinder
from mien.metrics.faithfulness import audit


@pytest.fixture(scope="module")
def reader() -> PocketReader:
    return open_pocket(threads=1)


@pytest.fixture(scope="module")
def batch(reader: PocketReader, photos: list[Path]) -> list[Evidence]:
    found = []
    for path in photos:
        image = load_image(path)
        face = FaceFinder(threads=1).find(image)[0]
        crop, transform = canonical_crop(image, face, reader.crop_size)
        found.append(Evidence(replace(face, crop=transform), crop))
    return found


@pytest.fixture(scope="module")
def results(reader: PocketReader, batch: list[Evidence]) -> list[FaceResult]:
    return reader.measure(batch)


def test_a_smile_reads_as_a_smile_and_a_serious_face_does_not(results: list[FaceResult]) -> None:
    astronaut, admiral = results
    assert astronaut.emotion == "happiness"
    assert astronaut.aus["AU12"].level >= 2 and astronaut.aus["AU25"].presence
    assert admiral.emotion == "neutral"
    assert not admiral.aus["AU25"].presence
    assert not any(result.aus["AU27"].presence for result in results)


def test_probabilities_are_eight_and_sum_to_one(results: list[FaceResult]) -> None:
    for result in results:
        assert tuple(result.emotions) == EMOTIONS
        assert sum(result.emotions.values()) == pytest.approx(1.0, abs=1e-5)


def test_reading_twice_and_alone_gives_the_same(
    reader: PocketReader, batch: list[Evidence], results: list[FaceResult]
) -> None:
    again = reader.measure(batch)
    alone = [reader.measure([one])[0] for one in batch]
    for first, second, third in zip(results, again, alone, strict=True):
        assert first.emotions == second.emotions
        assert third.emotions == pytest.approx(first.emotions, abs=1e-4)
        for key in reader.aus:
            assert third.aus[key].intensity == pytest.approx(first.aus[key].intensity, abs=1e-4)


def test_landmarks_alone_and_pixels_alone_are_read_too(reader: PocketReader, batch: list[Evidence]) -> None:
    points = [replace(one, crop=None) for one in batch]
    pixels = [replace(one, face=replace(one.face, landmarks=None)) for one in batch]
    for result in reader.measure([points[0], pixels[0]]):
        assert result.emotion == "happiness"
        assert result.aus["AU12"].presence
    assert all(result.emotion != "happiness" for result in reader.measure([points[1], pixels[1]]))


def test_without_any_evidence_nothing_is_measured(reader: PocketReader, batch: list[Evidence]) -> None:
    blind = Evidence(replace(batch[0].face, landmarks=None), None)
    (result,) = reader.measure([blind])
    assert not any(reading.measured for reading in result.aus.values())


def test_explanations_name_the_label_and_hold_against_the_measurement(
    reader: PocketReader, batch: list[Evidence], results: list[FaceResult]
) -> None:
    for explanation, result in zip(reader.explain(batch, results), results, strict=True):
        assert result.emotion in explanation.conclusion.lower()
        assert 40 <= len(explanation.text.split()) <= 140
        claims = audit(read_claims(explanation.text), result.aus)
        assert len(claims) >= 2
        assert sum(claim.verdict == "supported" for claim in claims) >= 0.8 * len(claims)


@pytest.mark.parametrize("form", FORMATS)
def test_arrays_are_always_readable(reader: PocketReader, batch: list[Evidence], form: str) -> None:
    for text in reader.arrays(batch, form):
        assert read_array(text, form, len(reader.aus)).status == "answered"


def test_questions_are_answered_by_kind(reader: PocketReader, batch: list[Evidence]) -> None:
    emotion = reader.ask(batch[0], "What is the emotion of this face?")
    assert emotion.text == "happiness" and emotion.scores is not None
    levels = reader.ask(batch[0], "Give the Action Units of this face as an array of levels from 0 to 5.")
    assert levels.status == "answered" and levels.labels is not None and levels.labels.au_level is not None
    assert set(levels.labels.au_level) == set(reader.aus)
    units = reader.ask(batch[0], "Which Action Units are present on this face?")
    assert "AU12" in units.text


def test_readout_and_classifier_head_agree_on_these_faces(
    reader: PocketReader, batch: list[Evidence], results: list[FaceResult]
) -> None:
    head = reader.classify(batch)
    assert [EMOTIONS[int(np.argmax(row))] for row in head] == [result.emotion for result in results]


def test_the_model_is_small_and_complete() -> None:
    folder = pocket_weights()
    verify_bundle(folder)
    assert sum(path.stat().st_size for path in folder.iterdir()) <= 20_000_000


@pytest.mark.parametrize("name", FILES)
def test_a_damaged_file_is_named(name: str, tmp_path: Path) -> None:
    folder = tmp_path / "pocket"
    shutil.copytree(pocket_weights(), folder)
    path = folder / name
    path.write_bytes(path.read_bytes()[:-1])
    with pytest.raises(MissingWeights, match=name.replace(".", r"\.")):
        open_pocket(folder)


def test_foreign_label_order_is_refused(tmp_path: Path) -> None:
    folder = tmp_path / "pocket"
    shutil.copytree(pocket_weights(), folder)
    path = folder / "bundle.json"
    bundle = json.loads(path.read_text())
    bundle["emotions"] = list(reversed(bundle["emotions"]))
    path.write_text(json.dumps(bundle))
    with pytest.raises(MissingWeights, match="label order"):
        open_pocket(folder)


def test_a_copied_folder_opens_by_path(tmp_path: Path, batch: list[Evidence]) -> None:
    folder = tmp_path / "mine"
    shutil.copytree(pocket_weights(), folder)
    assert open_reader(str(folder), threads=1).measure(batch[:1])[0].emotion == "happiness"
