"""A run of suites: items in blocks, each block written down before the next, resumed after a kill to the same bytes.

The folder holds ``run.json`` (what was run, the suites in full), ``predictions.jsonl`` (or one file per shard) and
``result.json``; in ``.mien`` a journal per shard, with the answers so far and what servers replied.
"""

from __future__ import annotations

import hashlib
import json
from collections import deque
from collections.abc import Callable, Iterator, Mapping, Sequence
from concurrent.futures import Future, ThreadPoolExecutor, wait
from contextlib import closing
from dataclasses import asdict, dataclass, field, replace
from pathlib import Path
from typing import Any

from mien.backends.chat import Teacher
from mien.backends.patience import BudgetSpent, Stopped
from mien.core.errors import BadConfig, BadData, MienError, require_known
from mien.core.paths import output_errors, write_whole
from mien.core.run_record import RunRecord
from mien.evaluate.answering import NO_REPLY, Answerer, Said, Shown
from mien.evaluate.exp_cot_judge import ExpCotCase, Unmarked, judge_cases
from mien.evaluate.figures import GROUPS, score_suite
from mien.evaluate.predictions import read_predictions, write_predictions
from mien.evaluate.samples import Asked, Faces, asked_of
from mien.evaluate.suite import Suite
from mien.work.journal import JOURNAL, Entry, Journal, Row
from mien.work.loop import Shard, attempt

__all__ = ["BLOCK", "Plan", "evaluate", "read_rows", "row_of", "score_run", "shares_in", "suites_of"]

BLOCK = 32
"""Items that are answered together: always the same ones, so that a resumed run gives the same numbers."""
_PREDICTIONS, _RESULT, _RECORD = "predictions{}.jsonl", "result.json", "run.json"
_STOPS = (BadConfig, BudgetSpent, Stopped)
"""What no other item would escape."""
Watch = Callable[[int, int], None]


@dataclass(frozen=True)
class Plan:
    """What to run.

    Args:
        suites: one or several (cross-set) protocols.
        out: the run's folder.
        roots: dataset -> folder of the user's copy; ``""`` for all others.
        limit: at most so many faces per part of a suite.
        shard: which blocks; all shards share the folder.
        by: attributes of people to tell the figures by.
        landmarks_only: readers see points and no pixels.
        threads: of the face nets.
    """

    suites: Sequence[Suite]
    out: Path
    roots: Mapping[str, Path] = field(default_factory=dict)
    limit: int | None = None
    shard: Shard = field(default_factory=Shard)
    by: Sequence[str] = ()
    landmarks_only: bool = False
    threads: int | None = None

    def __post_init__(self) -> None:
        if len({suite.name for suite in self.suites}) < len(self.suites) or not self.suites:
            raise BadConfig(
                got=f"{len(self.suites)} suites",
                expected="one or more, each once",
                fix="Name each suite once",
            )
        for one in self.by:
            require_known(one, GROUPS, "attribute of people")

    @property
    def journal(self) -> Path:
        """The journal of this shard."""
        return self.out / JOURNAL.parent / f"journal{_mark(self.shard)}.sqlite"

    def root_of(self, suite: Suite) -> Path | None:
        """Folder of a suite's data."""
        return self.roots.get(suite.data.dataset, self.roots.get(""))


def evaluate(
    plan: Plan,
    open_model: Callable[[str], Answerer],
    config: Mapping[str, Any],
    watch: Watch | None = None,
    judge: Teacher | None = None,
) -> dict[str, Any]:
    """Answer all items, write predictions and figures, and return the figures.

    Args:
        plan: what to run.
        open_model: the model for a fold (``""`` without folds); called again when the fold changes.
        config: further options for ``run.json``; no secrets.
        watch: called with the number of items done and of all.
        judge: marks the answers of suites that want one; without it they stay unmarked.

    Raises:
        BadConfig: the folder holds another run; no sample with a suite's labels.
        BadData: a dataset is not in its published format.
        OutputFailed: the folder cannot be written.
    """
    items: list[Asked] = []
    left_out: dict[str, int] = {}
    for suite in plan.suites:
        found, left_out[suite.name] = asked_of(suite, plan.root_of(suite), plan.limit)
        items += found
    items = [replace(item, place=place) for place, item in enumerate(items)]
    settings = _settings(plan, items, config)
    asker = _Asker(plan, open_model)
    if not (plan.out / _RECORD).is_file():
        # A model that cannot be opened leaves no folder behind.
        asker.turn_to(items[0].fold)
    record = _begin(plan.out, settings, items)
    suites = {suite.name: suite for suite in plan.suites}
    blocks = [block for number, block in enumerate(_blocks(items)) if plan.shard.takes(number)]
    total = sum(map(len, blocks))
    rows: list[dict[str, Any]] = []
    with output_errors(plan.journal):
        plan.journal.parent.mkdir(parents=True, exist_ok=True)
    with Journal(plan.journal) as journal, closing(asker):
        known = {key for key, entry in journal.entries().items() if entry.final}
        keyed = [(_key(block), block) for block in blocks]
        waiting = deque(block for key, block in keyed if key not in known)
        for key, block in keyed:
            if key not in known:
                waiting.popleft()
                answered = asker.rows(block, suites[block[0].suite], waiting[0] if waiting else ())
                kept = [
                    Row(key, "row", number, json.dumps(row, ensure_ascii=False))
                    for number, row in enumerate(answered)
                ]
                # A server that did not answer is asked again by the next run; what it said is remembered.
                final = not any(str(row["reason"]).startswith(NO_REPLY) for row in answered)
                journal.add(kept, [Entry(key, key, final=final, place=block[0].place)])
            rows += [json.loads(body) for _, body in journal.bodies([key], "row")]
            if watch is not None:
                watch(len(rows), total)
    if judge is not None:
        _mark_all(rows, suites, judge)
    path = plan.out / _PREDICTIONS.format(_mark(plan.shard))
    write_predictions(path, rows)
    failures = sum(row["status"] == "failed" for row in rows)
    record.finish(items=len(rows), failed=failures, left_out=sum(left_out.values())).write(plan.out / _RECORD)
    return score_run(plan.out) if plan.shard.of == 1 else {}


def _mark_all(rows: Sequence[dict[str, Any]], suites: Mapping[str, Suite], judge: Teacher) -> None:
    """The judge's marks of every answered row of a suite that wants them, or why there are none."""
    wanted = [row for row in rows if suites[row["suite"]].judge and row["answer"]]
    cases = [
        ExpCotCase(f"{place}", str(row["truth"]["text"]), row["answer"]) for place, row in enumerate(wanted)
    ]
    marks = judge_cases(cases, judge).marks if cases else {}
    for place, row in enumerate(wanted):
        mark = marks[f"{place}"]
        row["judge"] = judge.model
        row["marks"] = None if isinstance(mark, Unmarked) else asdict(mark)


def _settings(plan: Plan, items: Sequence[Asked], config: Mapping[str, Any]) -> dict[str, Any]:
    """All that decides the answers."""
    return {
        **config,
        "suites": [suite.model_dump(mode="json") for suite in plan.suites],
        "shards": plan.shard.of,
        "by": list(plan.by),
        "limit": plan.limit,
        "landmarks_only": plan.landmarks_only,
    }


def _begin(out: Path, settings: Mapping[str, Any], items: Sequence[Asked]) -> RunRecord:
    """The record of a new run, or of one that goes on with the same settings and items.

    Raises:
        BadConfig: the folder holds another run.
    """
    digest = hashlib.sha256("\n".join(f"{one.suite} {one.fold} {one.sample.id}" for one in items).encode())
    record = RunRecord.start(dict(settings), split_hash=digest.hexdigest())
    if (out / _RECORD).is_file():
        earlier = RunRecord.read(out / _RECORD)
        if earlier.config != record.config or earlier.split_hash != record.split_hash:
            changed = [key for key in record.config if record.config[key] != earlier.config.get(key)]
            raise BadConfig(
                got=f"{out}, which holds a run with another {', '.join(changed) or 'list of items'}",
                expected="an empty folder, or the same command again",
                fix="Choose another --out",
            )
    elif out.is_dir() and any(not path.name.startswith(".") for path in out.iterdir()):
        raise BadConfig(
            got=f"{out}, which holds files but no run.json",
            expected="an empty folder",
            fix="Choose another --out",
        )
    with output_errors(out):
        out.mkdir(parents=True, exist_ok=True)
    record.write(out / _RECORD)
    return record


def shares_in(out: Path) -> int:
    """Into how many shares the run in a folder is divided; 0 without a run."""
    return _shares(RunRecord.read(out / _RECORD)) if (out / _RECORD).is_file() else 0


def _shares(record: RunRecord) -> int:
    return int(record.config.get("shards") or 1)  # type: ignore[arg-type]


def _mark(shard: Shard) -> str:
    return "" if shard.of == 1 else f"-{shard.number:04d}-of-{shard.of:04d}"


def _blocks(items: Sequence[Asked]) -> Iterator[list[Asked]]:
    """Runs of items of one suite and fold, at most `BLOCK` long."""
    block: list[Asked] = []
    for item in items:
        if block and (len(block) == BLOCK or (item.suite, item.fold) != (block[0].suite, block[0].fold)):
            yield block
            block = []
        block.append(item)
    if block:
        yield block


def _key(block: Sequence[Asked]) -> str:
    text = "\n".join(f"{one.suite} {one.fold} {one.sample.id} {json.dumps(one.truth)}" for one in block)
    return hashlib.sha256(text.encode()).hexdigest()[:24]


@dataclass
class _Asker:
    """Answers blocks; holds the model of the present fold and the open pictures."""

    plan: Plan
    open_model: Callable[[str], Answerer]
    _fold: str = ""
    _opened: tuple[Answerer, Faces] | None = None
    _coming: Future[list[Shown | MienError]] | None = None
    _pool: ThreadPoolExecutor = field(default_factory=lambda: ThreadPoolExecutor(1, "mien-faces"))

    def turn_to(self, fold: str) -> tuple[Answerer, Faces]:
        """The model of a fold, and faces as it sees them."""
        if self._opened is None or self._fold != fold:
            self.close()
            model = self.open_model(fold)
            faces = Faces(model, self.plan.landmarks_only, self.plan.threads)
            self._fold, self._opened = fold, (model, faces)
        return self._opened

    def rows(self, block: Sequence[Asked], suite: Suite, after: Sequence[Asked] = ()) -> list[dict[str, Any]]:
        """Rows of a block; the faces of the one ``after`` it are looked for while the model answers."""
        model, faces = self.turn_to(block[0].fold)
        coming = self._coming or self._pool.submit(faces.of, block)
        shown, self._coming = coming.result(), None
        if after and after[0].fold == block[0].fold:
            self._coming = self._pool.submit(faces.of, after)
        answers = iter(_tried([one for one in shown if isinstance(one, Shown)], suite, model))
        said = [Said(None, str(one)) if isinstance(one, MienError) else next(answers) for one in shown]
        return [row_of(item, suite, one) for item, one in zip(block, said, strict=True)]

    def close(self) -> None:
        if self._coming is not None:
            self._coming.cancel()
            wait([self._coming])
            self._coming = None
        if self._opened is not None:
            self._opened[1].close()


def _tried(ready: Sequence[Shown], suite: Suite, model: Answerer) -> list[Said]:
    """Answers of a block; should one item break it, each is asked alone."""
    if not ready:
        return []
    found = attempt(lambda: model.answers(ready, suite), ready[0].sample.media, _STOPS)
    if not isinstance(found, MienError):
        return found
    if getattr(found, "fatal", False):
        raise found
    if len(ready) == 1:
        return [Said(None, str(found))]
    return [said for one in ready for said in _tried([one], suite, model)]


def row_of(item: Asked, suite: Suite, said: Said) -> dict[str, Any]:
    """The row of predictions of one item."""
    status = "failed" if said.answer is None else "answered"
    return {
        "place": item.place,
        "suite": item.suite,
        "fold": item.fold,
        "id": item.sample.id,
        "media": item.sample.media,
        "subject": item.sample.subject,
        "group": dict(item.sample.labels.group),
        "question": suite.asked,
        "truth": item.truth,
        "status": status,
        "reason": said.reason,
        "answer": said.answer,
        "scores": None if said.scores is None else {k: round(v, 6) for k, v in said.scores.items()},
        "measured": None if said.measured is None else dict(said.measured),
    }


# -- figures again --------------------------------------------------------------------------------------


def suites_of(out: Path) -> tuple[dict[str, Suite], RunRecord]:
    """The suites that a run was made with, by name, and its record.

    Raises:
        BadInput: no ``run.json`` of mien.
        BadData: it names no suites.
    """
    record = RunRecord.read(out / _RECORD)
    suites = record.config.get("suites")
    if not isinstance(suites, list):
        raise BadData(got=f"{out} without suites", expected="a run of `mien eval`", fix="Name such a folder")
    found = [Suite.model_validate(suite) for suite in suites]
    return {suite.name: suite for suite in found}, record


def read_rows(out: Path) -> list[dict[str, Any]]:
    """All rows of a run, of every shard, in the order of the data.

    Raises:
        BadData: no finished predictions, a shard is missing, or a line is damaged.
    """
    paths = sorted(out.glob("predictions*.jsonl"))
    expected = _shares(RunRecord.read(out / _RECORD))
    if len(paths) != expected:
        raise BadData(
            got=f"{out} with {len(paths)} of {expected} finished prediction files",
            expected="all of them",
            fix="Let the other shards end, or run the same command again",
        )
    return sorted(
        (row for path in paths for row in read_predictions(path)), key=lambda row: int(row["place"])
    )


def score_run(out: Path) -> dict[str, Any]:
    """Figures of a run's predictions, written to ``result.json``: no model, no picture.

    Raises:
        BadData: see `read_rows`.
    """
    suites, record = suites_of(out)
    rows = read_rows(out)
    by = [str(one) for one in record.config.get("by") or ()]  # type: ignore[union-attr]
    result: dict[str, Any] = {
        "model": record.config.get("model"),
        "suites": {
            name: score_suite(suite, [row for row in rows if row["suite"] == name], by)
            for name, suite in suites.items()
        },
    }
    with output_errors(out / _RESULT):
        write_whole(out / _RESULT, json.dumps(result, indent=1, ensure_ascii=False, allow_nan=False) + "\n")
    return result
