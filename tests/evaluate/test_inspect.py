"""The suites in inspect_ai's own runner: the same recorded replies give the figures of ``mien eval``."""

from __future__ import annotations

import tomllib
from pathlib import Path

import pytest

from mien.evaluate.suite import suite_names

pytest.importorskip("inspect_ai", reason="inspect_ai is not installed: pip install 'mien[inspect]'")
# What inspect_ai itself leaves to Python's warnings is not ours.
pytestmark = [pytest.mark.filterwarnings("default"), pytest.mark.slow]


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


def test_recorded_replies_give_the_figures_of_mien_eval(recorded, tmp_path):
    told = _in_inspect(recorded.suite, recorded.root, recorded.replies, tmp_path / "log")
    compared = recorded.agreeing(told)
    assert compared >= 3 and compared == len(told)


def test_every_suite_is_a_task_that_a_stranger_finds():
    from inspect_ai._util.registry import registry_find

    from mien.evaluate import inspect_tasks

    found = {one.__registry_info__.name for one in registry_find(lambda info: info.type == "task")}
    assert {f"mien/{name}" for name in (*suite_names(), "suite")} <= found
    project = tomllib.loads((Path(__file__).parents[2] / "pyproject.toml").read_text(encoding="utf-8"))
    assert project["project"]["entry-points"]["inspect_ai"] == {"mien": inspect_tasks.__name__}
