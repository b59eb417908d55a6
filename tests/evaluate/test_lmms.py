"""The suites in lmms-eval's own runner: the same recorded replies give the figures of ``mien eval``."""

from __future__ import annotations

import pytest

from mien.core.errors import BadConfig
from mien.evaluate.lmms_tasks import write_tasks
from mien.evaluate.suite import open_suite


def _model(replies):
    from lmms_eval.api.model import lmms

    class Replay(lmms):
        def __init__(self):
            super().__init__()
            self.seen = []

        def generate_until(self, requests):
            said = []
            for request in requests:
                text, _, look, place, task, split = request.args
                pictures = look(self.task_dict[task][split][place])
                self.seen.append((text, len(pictures)))
                said.append(replies[place])
            return said

        def loglikelihood(self, requests):
            raise NotImplementedError

        def generate_until_multi_round(self, requests):
            raise NotImplementedError

    return Replay()


@pytest.mark.filterwarnings("default")  # what lmms-eval itself leaves to Python's warnings is not ours
@pytest.mark.slow
def test_recorded_replies_give_the_figures_of_mien_eval(recorded, tmp_path, monkeypatch):
    evaluator = pytest.importorskip("lmms_eval.evaluator", reason="lmms-eval is not installed")
    from lmms_eval.tasks import TaskManager

    monkeypatch.setenv("HF_HOME", str(tmp_path / "hub"))
    (task,) = write_tasks([recorded.suite], tmp_path / "tasks", recorded.root)
    model = _model(recorded.replies)
    done = evaluator.simple_evaluate(
        model, tasks=[task], batch_size=1, bootstrap_iters=0, log_samples=True,
        task_manager=TaskManager(include_path=str(tmp_path / "tasks"), include_defaults=False),
    )  # fmt: skip
    told = {name.removesuffix(",none"): value for name, value in done["results"][task].items()}
    assert recorded.agreeing(told) >= 3
    assert model.seen == [(open_suite(recorded.suite).asked, 1)] * len(recorded.replies)


def test_a_suite_that_needs_a_judge_is_refused_before_anything_is_written(miniature, tmp_path):
    root = miniature("expllm")
    with pytest.raises(BadConfig, match="follow from the replies"):
        write_tasks(["exp-cot"], tmp_path / "tasks", root)
    assert not (tmp_path / "tasks").exists()
