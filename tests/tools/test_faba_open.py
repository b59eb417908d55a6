"""FABA-Open: statements that mien's reader understands, pairs of equal muscles, and a description others can read."""

from __future__ import annotations

import hashlib
import json
from collections import Counter
from pathlib import Path

import numpy as np
import pytest

import faba_open
from mien.core.aus import au_level
from mien.dialogue.read.claims import read_claims
from mien.evaluate.samples import asked_of
from mien.evaluate.suite import open_suite
from renderer.faces import AU_NAMES, data_folder
from renderer.leak import MOODS
from renderer.shards import Job, write_shards

DATA = data_folder()


@pytest.fixture(scope="module")
def made(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Two people as the tool renders them, small, and a leak file of known strengths."""
    if not (DATA / "ict_facekit" / "ict_light.npz").exists():
        pytest.skip("the ICT face is not there; set MIEN_DATA to the data folder")
    folder = tmp_path_factory.mktemp("faba-open")
    write_shards(Job(DATA, folder / "renders", 160, 24, faba_open.SEED, held_back=True), 1, lambda line: None)
    (folder / "leak").mkdir()
    strengths = np.zeros((4, len(AU_NAMES)), np.float32)
    strengths[:3, 0] = 0.5, 0.5, 0.3
    np.savez(folder / "leak/person_0000.npz", au=strengths, mood=np.asarray([0, 1, 2, 0], np.int8))
    faba_open.describe(folder)
    return folder


def rows(folder: Path, name: str) -> list[dict]:
    return [json.loads(line) for line in (folder / name).read_text(encoding="utf-8").splitlines()]


def test_every_statement_is_read_as_it_is_meant_and_half_of_them_are_true(made: Path) -> None:
    items = {one["id"]: one for one in rows(made, "items.jsonl")}
    claims = rows(made, "claims.jsonl")
    assert len(items) == 16 and len(claims) >= 16
    for one in claims:
        (read,) = read_claims(one["text"])
        assert (read.au, read.present) == (one["au"], one["affirms"]), one["text"]
        level = au_level(items[one["item"]][one["au"]])
        assert level == 0 or level >= 2
        assert one["true"] == (one["affirms"] == (level > 0))
    counts = Counter((one["true"], one["affirms"]) for one in claims)
    assert len(counts) == 4 and len(set(counts.values())) == 1


def test_pairs_hold_one_muscle_at_one_strength_with_and_without_a_mood(made: Path) -> None:
    assert rows(made, "pairs.jsonl") == [
        {"file": "leak/person_0000.npz", "au": AU_NAMES[0], "strength": 0.5, "neutral_row": 0, "mood_row": 1,
         "mood": MOODS[1]}
    ]  # fmt: skip


def test_the_suites_read_the_same_values(made: Path) -> None:
    found, _ = asked_of(open_suite("rendered-aus-intensity"), made / "renders")
    told = {one["id"]: one for one in rows(made, "items.jsonl")}
    assert len(found) == len(told)
    for asked in found:
        for key, value in asked.truth["aus"].items():
            assert told[asked.sample.id][key] == pytest.approx(value, abs=1e-4)


def test_the_description_is_the_same_again_and_names_every_file(made: Path) -> None:
    names = ("items.jsonl", "claims.jsonl", "pairs.jsonl", "README.md", "croissant.json")
    before = [(made / name).read_bytes() for name in names]
    faba_open.describe(made)
    assert [(made / name).read_bytes() for name in names] == before
    told = {one["@id"]: one["sha256"] for one in json.loads(before[-1])["distribution"]}
    kept = [path for path in made.rglob("*") if path.suffix in (".npz", ".jsonl")]
    assert told == {
        path.relative_to(made).as_posix(): hashlib.sha256(path.read_bytes()).hexdigest() for path in kept
    }
    assert "16 pictures of 2 people" in before[3].decode() and "{" not in before[3].decode()


# What mlcroissant leaves to Python's warnings is not ours.
@pytest.mark.filterwarnings("default")
def test_mlcroissant_validates_it_and_reads_its_tables(made: Path) -> None:
    library = pytest.importorskip(
        "mlcroissant", reason="mlcroissant is not installed: pip install mlcroissant"
    )
    dataset = library.Dataset(jsonld=str(made / "croissant.json"))
    assert not dataset.metadata.issues.errors
    read = list(dataset.records(record_set="claims"))
    assert len(read) == len(rows(made, "claims.jsonl"))
    assert read[0]["claims/text"].decode() == rows(made, "claims.jsonl")[0]["text"]
