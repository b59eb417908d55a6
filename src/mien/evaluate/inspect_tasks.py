"""Every suite as a task of inspect_ai: its runner, log and viewer; our faces, questions, readings and figures.

    pip install 'mien[inspect]'
    inspect eval mien/ferplus-val --model openai/gpt-4o -T root=/data/ferplus -T limit=500
    inspect eval mien/suite --model vllm/local -T name=own-suite.yaml

inspect_ai finds this module by the entry point ``mien`` of the group ``inspect_ai``. A task asks what `mien eval` asks
of a server, picture first, one face a message, and its figures are those of `mien.evaluate.figures.score_suite` over
the same rows: the same replies give the same numbers.
"""

from __future__ import annotations

import atexit
from collections.abc import Callable
from typing import Any

from inspect_ai import Task, task
from inspect_ai.dataset import MemoryDataset
from inspect_ai.dataset import Sample as Entry
from inspect_ai.model import ChatMessageUser, ContentImage, ContentText, GenerateConfig
from inspect_ai.scorer import Metric, SampleScore, Score, Scorer, Target, metric, scorer
from inspect_ai.solver import Generate, Solver, TaskState, solver

from mien.core.errors import MienError
from mien.core.nouns import Image
from mien.evaluate.answering import Said, Shown, encoded, shown_face
from mien.evaluate.figures import label_of, numbers_of, score_suite
from mien.evaluate.forms import read, say
from mien.evaluate.run import row_of
from mien.evaluate.samples import Asked, items_of
from mien.evaluate.suite import Suite, open_suite, suite_names
from mien.face.decode.media import MediaReader
from mien.work.loop import attempt

__all__ = ["answers", "figures", "show", "suite_task"]

_FAILED = "mien_failed"
_MEDIA = MediaReader()
"""Archives stay open between samples, of all tasks: a solver is never told that it is over."""
atexit.register(_MEDIA.close)


def suite_task(name: str, root: str | None = None, limit: int | None = None) -> Task:
    """A suite as a task.

    Args:
        name: of a suite, or a YAML file.
        root: folder of the dataset; None for the packs of the data folder.
        limit: at most so many faces per part.

    Raises:
        BadConfig, BadData: as `mien eval`.
    """
    suite, items = items_of(name, root, limit)
    return Task(
        dataset=MemoryDataset([_entry(suite, item) for item in items], name=suite.name),
        solver=show(name, root, limit),
        scorer=answers(name, root, limit),
        config=GenerateConfig(
            max_tokens=suite.max_new_tokens,
            temperature=suite.sampling.get("temperature", 0.0),
            top_p=suite.sampling.get("top_p"),
        ),
        metadata={"title": suite.title, "protocol": suite.protocol},
    )


def _entry(suite: Suite, item: Asked) -> Entry:
    about = {"dataset": item.sample.dataset, "id": item.sample.id, "fold": item.fold}
    return Entry(input=suite.asked, target=say(suite, item.truth), id=item.place, metadata=about)


@solver
def show(name: str, root: str | None = None, limit: int | None = None) -> Solver:
    """Shows the face with the question; a picture that cannot be read is not asked about."""
    suite, items = items_of(name, root, limit)

    async def solve(state: TaskState, generate: Generate) -> TaskState:
        sample = items[int(state.sample_id)].sample
        picture: Image | MienError = attempt(lambda: _MEDIA.open(sample.media), sample.media)
        if isinstance(picture, MienError):
            state.metadata[_FAILED] = str(picture)
            return state
        shown = encoded(shown_face(Shown(sample, (), picture), suite))
        content = [ContentImage(image=shown.url), ContentText(text=suite.asked)]
        state.messages = [ChatMessageUser(content=content)]
        return await generate(state)

    return solve


@metric
def figures() -> Metric:
    """All figures of the suite, as ``reading/figure``; a figure that is undefined is left out."""

    def measure(scores: list[SampleScore]) -> Any:
        kept = [score.score.metadata or {} for score in scores]
        if not kept:
            return {}
        rows = sorted((one["row"] for one in kept), key=lambda row: int(row["place"]))
        return numbers_of(score_suite(open_suite(kept[0]["suite"]), rows))

    return measure


@scorer(metrics=[figures()])
def answers(name: str, root: str | None = None, limit: int | None = None) -> Scorer:
    """Reads each answer as the suite does; a sample's own score is 1 where its published reading is right."""
    suite, items = items_of(name, root, limit)
    how = next(iter(suite.readings.values()))

    async def score(state: TaskState, target: Target) -> Score:
        item, said = items[int(state.sample_id)], _said(state)
        row = row_of(item, suite, said)
        value = read(suite, said.answer or "", how)[0] if said.answer is not None else None
        right = value is not None
        if right and suite.task == "emotion":
            right = label_of(value, item.truth["emotion"]) == item.truth["emotion"]
        return Score(
            value=float(right),
            answer=said.answer,
            explanation=said.reason,
            metadata={"suite": name, "row": row},
        )

    return score


def _said(state: TaskState) -> Said:
    """What the model said, with the reasons that `mien eval` gives."""
    if _FAILED in state.metadata:
        return Said(None, str(state.metadata[_FAILED]))
    stop, text = state.output.stop_reason, state.output.completion
    if stop == "content_filter":
        return Said(text, f"declined: {stop}")
    return Said(text, "cut off" if stop in ("max_tokens", "model_length") else None)


def _named(name: str) -> Callable[..., Task]:
    def made(root: str | None = None, limit: int | None = None) -> Task:
        return suite_task(name, root, limit)

    named: Callable[..., Task] = task(name=name)(made)
    return named


task(name="suite")(suite_task)
for _name in suite_names():
    _named(_name)
