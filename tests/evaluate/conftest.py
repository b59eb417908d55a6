"""Miniature datasets for suites, those of the readers' tests and a few renders, and a model that knows the truth."""

from __future__ import annotations

import importlib.util
import json
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from types import ModuleType
from typing import Any

import numpy as np
import pytest

from mien.core.aus import AU_SETS
from mien.core.nouns import AuReading
from mien.evaluate.answering import Said, Shown
from mien.evaluate.forms import say, truth_of
from mien.evaluate.run import Plan, evaluate, read_rows
from mien.evaluate.suite import Suite, open_suite


def _miniatures() -> ModuleType:
    spec = importlib.util.spec_from_file_location(
        "mien_miniatures", Path(__file__).parents[1] / "data" / "conftest.py"
    )
    assert spec is not None and spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


MINIATURES = _miniatures()


def _renders(root: Path) -> None:
    rng = np.random.default_rng(0)
    root.mkdir(parents=True, exist_ok=True)
    np.savez(
        root / "shard_0000.npz",
        images=rng.integers(0, 255, (6, 16, 16, 3), np.uint8),
        au=np.round(rng.random((6, 22)), 2).astype(np.float32),
        au_names=np.asarray(AU_SETS["pocket"]),
        identity=np.asarray([0, 1, 10, 2, 20, 30], np.int32),
        landmarks68=np.zeros((6, 68, 2), np.float32),
    )


_TOLD = (
    "**Key Observations:** The brows are raised.\n\n**Overall Emotional Interpretation:** They speak for it.\n\n"
    "**Conclusion:** The face shows {word}."
)


def _expllm(root: Path) -> None:
    """The released list of chains of thought beside the readers' miniature."""
    MINIATURES.COPIES["expllm"](root)
    items = [
        {"file_name": f"test_{i:05d}_aligned.jpg", "emo": word, "description": _TOLD.format(word=word)}
        for i, word in enumerate(("Neutral", "Happiness", "Sadness"))
    ]
    MINIATURES.write(root / "data_list/anno_json/told.json", json.dumps(items))
    MINIATURES.write(
        root / "data_list/test/raf-db-gt_emo-des.txt", "data_list/anno_json/told.json,data/raf-db/aligned\n"
    )


@pytest.fixture
def miniature(tmp_path: Path, tiny_data: Path) -> Callable[[str], Path]:
    """Makes a miniature of a suite's dataset and tells its root."""

    def make(name: str) -> Path:
        root = tmp_path / "data" / name
        own = {"renders": _renders, "expllm": _expllm}
        if name in own:
            own[name](root)
        elif name in MINIATURES.PACKS:
            MINIATURES.write(root / f"{name}.zip", (tiny_data / name / f"{name}.zip").read_bytes())
        else:
            MINIATURES.COPIES[name](root)
        return root

    return make


class Gold:
    """Answers every question with the truth, in the suite's form."""

    name, crop_size, clips = "gold", None, False

    def answers(self, shown: Sequence[Shown], suite: Suite) -> list[Said]:
        said = []
        for one in shown:
            assert one.picture is not None
            truth = truth_of(suite, one.sample.labels)
            assert truth is not None
            if suite.form == "explanation":
                said.append(Said("AU12 is visible, AU4 is absent.", measured=_SEEN))
                continue
            if suite.form == "description" and suite.task != "text":
                truth = {key: value for key, value in truth.items() if key != "text"}
            text = say(suite, truth)
            if "conclusion" in suite.readings.values():
                text = _TOLD.format(word=suite.labels[truth["emotion"]])
            said.append(Said(text))
        return said


_SEEN = {"AU12": AuReading.of(0.6).intensity, "AU04": 0.0}


@pytest.fixture
def gold() -> Gold:
    return Gold()


class Recorded:
    """Replies in the order of the faces; every third one is beside the point."""

    name, crop_size, clips = "recorded", None, False

    def __init__(self, gold: Gold) -> None:
        self.gold, self.replies = gold, list[str]()

    def answers(self, shown: Sequence[Shown], suite: Suite) -> list[Said]:
        for one in self.gold.answers(shown, suite):
            beside = len(self.replies) % 3 == 2
            self.replies.append("I cannot see a face, happiness perhaps" if beside else one.answer)
        return [Said(reply) for reply in self.replies[-len(shown) :]]


@dataclass(frozen=True)
class RecordedRun:
    """Replies that ``mien eval`` got and scored, to be given in another harness."""

    suite: str
    root: Path
    replies: list[str]
    readings: dict[str, dict[str, Any]]

    def agreeing(self, told: Mapping[str, float]) -> int:
        """How many figures another harness tells as ``mien eval`` does; one that differs fails the test."""
        compared = 0
        for reading, found in self.readings.items():
            for figure, one in found.items():
                value = one.get("value") if isinstance(one, dict) else one
                if isinstance(value, int | float):
                    assert told[f"{reading}/{figure}"] == pytest.approx(value, abs=1e-9), figure
                    compared += 1
        return compared


@pytest.fixture(params=["rafdb", "disfa", "feafa-12", "ferbench-ferplus-val", "faba-emotion"])
def recorded(
    request: pytest.FixtureRequest, miniature: Callable[[str], Path], gold: Gold, tmp_path: Path
) -> RecordedRun:
    suite = open_suite(request.param)
    root, said = miniature(suite.data.dataset), Recorded(gold)
    found = evaluate(Plan([suite], tmp_path / "run", {"": root}), lambda _: said, {})
    assert len(read_rows(tmp_path / "run")) == len(said.replies) > 0
    return RecordedRun(suite.name, root, said.replies, found["suites"][suite.name]["readings"])
