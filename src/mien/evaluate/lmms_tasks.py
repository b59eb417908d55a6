"""Suites as tasks of lmms-eval: a folder for its ``--include_path``, and what the YAML files in it call.

    mien eval lmms-eval --suite rafdb --root /data/RAF-DB --out tasks
    python -m lmms_eval --include_path tasks --tasks mien_rafdb --model openai --model_args model=gpt-4o

Questions, pictures, readings and figures are those of `mien eval`: a task's documents name the suite's items, each of
its metrics is one figure of `mien.evaluate.figures.score_suite`, computed over all replies at once.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping, Sequence
from functools import cache
from pathlib import Path
from typing import Any

from PIL import Image as pillow

from mien.core.errors import BadConfig, MienError
from mien.core.nouns import Image
from mien.core.paths import output_errors, write_whole
from mien.evaluate.answering import Said, Shown, shown_face
from mien.evaluate.figures import numbers_of, score_suite
from mien.evaluate.forms import say
from mien.evaluate.run import row_of
from mien.evaluate.samples import Asked, items_of
from mien.evaluate.suite import Suite
from mien.face.decode.media import MediaReader
from mien.work.loop import attempt

__all__ = ["figure_names", "picture", "replies", "write_tasks"]

Doc = Mapping[str, Any]
_HERE = __name__
_LESS_IS_BETTER = frozenset({"unparsed", "mae", "ece", "brier", "nll", "unread", "unmarked", "unscored"})


def write_tasks(names: Sequence[str], folder: Path, root: Path | None, limit: int | None = None) -> list[str]:
    """Write a task per suite: ``mien_SUITE.yaml`` and its documents; returns the tasks' names.

    Each picture is opened once: one that cannot be read stays in the task as a failed answer, as in `mien eval`.

    Args:
        names: of suites, or YAML files.
        folder: for ``--include_path``; its place is written into the files.
        root: of the datasets; None for the packs of the data folder.
        limit: at most so many faces per part.

    Raises:
        BadConfig: a suite that is marked by a judge or audited with an instrument, which lmms-eval has not.
    """
    written = []
    for name in names:
        suite, items = items_of(name, None if root is None else str(root), limit)
        if suite.judge or suite.form == "explanation":
            raise BadConfig(
                got=f"suite {suite.name} for lmms-eval",
                expected="a suite whose figures follow from the replies",
                fix="Run it with mien eval",
            )
        with MediaReader() as media:
            docs = [_doc(suite, item, media, name, root, limit) for item in items]
        task, place = f"mien_{suite.name}", folder.resolve() / f"{suite.name}.jsonl"
        with output_errors(place):
            folder.mkdir(parents=True, exist_ok=True)
            write_whole(place, "".join(json.dumps(doc, ensure_ascii=False) + "\n" for doc in docs))
            write_whole(folder / f"{task}.yaml", _yaml(task, suite, place, items))
        written.append(task)
    return written


def _doc(
    suite: Suite, item: Asked, media: MediaReader, name: str, root: Path | None, limit: int | None
) -> dict[str, Any]:
    shown = attempt(lambda: media.open(item.sample.media), item.sample.media)
    return {
        "place": item.place,
        "id": item.sample.id,
        "question": suite.asked,
        "target": say(suite, item.truth),
        "suite": name if suite.name == name else str(Path(name).resolve()),
        "root": "" if root is None else str(root.resolve()),
        "limit": limit or 0,
        "failed": str(shown) if isinstance(shown, MienError) else "",
    }


def _yaml(task: str, suite: Suite, documents: Path, items: Sequence[Asked]) -> str:
    """JSON is YAML; lmms-eval's own tag names the functions."""
    sampled = suite.sampling.get("temperature", 0.0)
    decoding = {
        "max_new_tokens": suite.max_new_tokens,
        "temperature": sampled,
        "do_sample": sampled > 0,
        **({"top_p": suite.sampling["top_p"]} if "top_p" in suite.sampling else {}),
        "until": [],
    }
    lines = [
        f"# {suite.title}. Written by: mien eval lmms-eval",
        f"task: {json.dumps(task)}",
        "dataset_path: json",
        f"dataset_kwargs: {json.dumps({'data_files': {'test': str(documents)}})}",
        "test_split: test",
        "output_type: generate_until",
        f"doc_to_visual: !function {_HERE}.picture",
        "doc_to_text: question",
        "doc_to_target: target",
        f"process_results: !function {_HERE}.replies",
        f"generation_kwargs: {json.dumps(decoding)}",
        "metric_list:",
    ]
    for figure in figure_names(suite, items):
        better = json.dumps(figure.rpartition("/")[2] not in _LESS_IS_BETTER)
        lines += [
            f"  - metric: {json.dumps(figure)}",
            f"    aggregation: !function {_HERE}.{figure}",
            f"    higher_is_better: {better}",
        ]
    return "\n".join([*lines, ""])


def figure_names(suite: Suite, items: Sequence[Asked]) -> list[str]:
    """Figures that right answers to these items have, as ``reading/figure``."""
    rows = [row_of(item, suite, Said(say(suite, item.truth))) for item in items]
    return list(numbers_of(score_suite(suite, rows), undefined=True))


# -- called by lmms-eval --------------------------------------------------------------------------------


@cache
def _media() -> MediaReader:
    """Archives stay open between documents."""
    return MediaReader()


def _of(doc: Doc) -> tuple[Suite, tuple[Asked, ...]]:
    return items_of(str(doc["suite"]), doc["root"] or None, doc["limit"] or None)


def picture(doc: Doc) -> list[pillow.Image]:
    """The face as a server would be sent it; nothing where it cannot be read."""
    if doc["failed"]:
        return []
    suite, items = _of(doc)
    sample = items[int(doc["place"])].sample
    opened: Image = _media().open(sample.media)
    return [shown_face(Shown(sample, (), opened), suite)]


@cache
def _names(suite: str, root: str, limit: int) -> tuple[str, ...]:
    return tuple(figure_names(*items_of(suite, root or None, limit or None)))


def replies(doc: Doc, results: Sequence[str]) -> dict[str, Any]:
    """The reply of one document, for every figure: each looks at all of them."""
    kept = {key: doc[key] for key in ("suite", "root", "limit", "place", "failed")}
    said = {**kept, "answer": results[0]}
    return {name: said for name in _names(doc["suite"], doc["root"], doc["limit"])}


@cache
def _figures(replied: str) -> dict[str, float | None]:
    docs = json.loads(replied)
    suite, items = _of(docs[0])
    rows = [
        row_of(
            items[int(doc["place"])],
            suite,
            Said(None, doc["failed"]) if doc["failed"] else Said(doc["answer"]),
        )
        for doc in sorted(docs, key=lambda one: int(one["place"]))
    ]
    return numbers_of(score_suite(suite, rows), undefined=True)


def __getattr__(name: str) -> Callable[[Sequence[Doc]], float | None]:
    """A figure as lmms-eval's aggregation: its YAML names functions alone, so each figure is one."""
    if "/" not in name:
        raise AttributeError(f"module {_HERE!r} has no attribute {name!r}")

    def figure(told: Sequence[Doc]) -> float | None:
        return _figures(json.dumps(list(told)))[name]

    return figure
