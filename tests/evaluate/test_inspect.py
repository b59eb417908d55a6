"""The suites in inspect_ai's own runner: the same recorded replies give the figures of ``mien eval``."""

from __future__ import annotations

import tomllib
from pathlib import Path

import pytest

from mien.evaluate.answering import Said
from mien.evaluate.run import Plan, evaluate, read_rows
from mien.evaluate.suite import open_suite, suite_names

pytest.importorskip("inspect_ai", reason="inspect_ai is not installed: pip install 'mien[inspect]'")
# What inspect_ai itself leaves to Python's warnings is not ours.
pytestmark = [pytest.mark.filterwarnings("default"), pytest.mark.slow]

SUITES = ["rafdb", "disfa", "feafa-12", "ferbench-ferplus-val", "faba-emotion"]


class Recorded:
    """Replies in the order of the faces; every third one is beside the point."""

    name, crop_size, clips = "recorded", None, False

    def __init__(self, gold) -> None:
        self.gold, self.replies = gold, []

    def answers(self, shown, suite):
        for one in self.gold.answers(shown, suite):
            beside = len(self.replies) % 3 == 2
            self.replies.append("I cannot see a face, happiness perhaps" if beside else one.answer)
        return [Said(reply) for reply in self.replies[-len(shown) :]]


def _in_inspect(suite: str, root: Path, replies: list[str], log: Path):
    from inspect_ai import eval as run
    from inspect_ai.model import ModelOutput, ModelUsage, get_model

    outputs = [ModelOutput.from_content("mockllm/model", reply) for reply in replies]
    for output in outputs:  # else it counts tokens, and fetches a vocabulary to do so
        output.usage = ModelUsage()
    (done,) = run(
        f"mien/{suite}", get_model("mockllm/model", custom_outputs=outputs), task_args={"root": str(root)},
        log_dir=str(log), display="none", max_connections=1, max_samples=1,
    )  # fmt: skip
    assert done.status == "success", done.error
    return (
        {name: one.value for name, one in done.results.scores[0].metrics["figures"].items()}
        if (isinstance(done.results.scores[0].metrics.get("figures"), dict))
        else {name: one.value for name, one in done.results.scores[0].metrics.items()}
    )


@pytest.mark.parametrize("suite", SUITES)
def test_recorded_replies_give_the_figures_of_mien_eval(suite, miniature, gold, tmp_path):
    root = miniature(open_suite(suite).data.dataset)
    recorded = Recorded(gold)
    ours = evaluate(Plan([open_suite(suite)], tmp_path / "run", {"": root}), lambda _: recorded, {})
    assert len(read_rows(tmp_path / "run")) == len(recorded.replies) > 0
    told = _in_inspect(suite, root, recorded.replies, tmp_path / "log")
    readings = ours["suites"][suite]["readings"]
    compared = 0
    for reading, found in readings.items():
        for figure, one in found.items():
            value = one.get("value") if isinstance(one, dict) else one
            if isinstance(value, int | float):
                assert told[f"{reading}/{figure}"] == pytest.approx(value, abs=1e-9), figure
                compared += 1
    assert compared >= 3 and compared == len(told)


def test_every_suite_is_a_task_that_a_stranger_finds():
    from inspect_ai._util.registry import registry_find

    from mien.evaluate import inspect_tasks

    found = {one.__registry_info__.name for one in registry_find(lambda info: info.type == "task")}
    assert {f"mien/{name}" for name in (*suite_names(), "suite")} <= found
    project = tomllib.loads((Path(__file__).parents[2] / "pyproject.toml").read_text(encoding="utf-8"))
    assert project["project"]["entry-points"]["inspect_ai"] == {"mien": inspect_tasks.__name__}
