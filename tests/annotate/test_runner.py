"""The runner: files, resuming, limits, failures of single items and of the whole server."""

from __future__ import annotations

import json
from collections import Counter
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from types import ModuleType
from typing import Any

import pytest

from mien.annotate.engine import Item, Kept
from mien.annotate.plan import plan
from mien.annotate.runner import Progress, RunOptions, run
from mien.backends.chat import ChatFailed, ChatImage, ChatMessage, ChatRequest, Reply
from mien.backends.openai import OpenAITeacher
from mien.backends.patience import BudgetSpent, Limits, Prices
from mien.core.errors import BadConfig, BadData, BadInput, OutputFailed
from mien.core.run_record import RunRecord
from mien.work.journal import JOURNAL, Journal
from mien.work.replies import Replies

FILES = ("items.jsonl", "rejected.jsonl", "statistics.json")


class Echo:
    """An offline teacher that counts what it is asked."""

    model = "echo"

    def __init__(self) -> None:
        self.asked: Counter[str] = Counter()

    def reply(self, request: ChatRequest) -> Reply:
        self.asked[request.messages[-1].text] += 1
        return Reply(f"echo {request.facts['text']}", "stop", 10, 4)


@pytest.fixture(scope="module")
def remote(wire_process: Any) -> Iterator[OpenAITeacher]:
    found = OpenAITeacher(wire_process.url, "toy-1", timeout=2.5)
    yield found
    found.close()


def quick(**options: Any) -> RunOptions:
    return RunOptions(**{"workers": 8, "first_wait": 0.01, "retries": 3, **options})


def lines(path: Path) -> list[dict[str, Any]]:
    return [json.loads(line) for line in path.read_text(encoding="utf-8").splitlines()]


def refused(status: int) -> ChatFailed:
    return ChatFailed(reason="bad request", got=f"status {status}", expected="a reply", fix="", status=status)


def contents(out: Path) -> list[bytes]:
    return [(out / name).read_bytes() for name in FILES]


def test_files_hold_every_item_once_in_order(toy: ModuleType, tmp_path: Path) -> None:
    teacher = Echo()
    summary = run(toy.ToyEngine(50), teacher, tmp_path / "run", quick())
    kept, rejected = (lines(tmp_path / "run" / name) for name in FILES[:2])
    assert [row["id"] for row in kept] == [f"item{n:04d}" for n in range(50) if n % 7 != 6]
    assert kept[0] == {"id": "item0000", "first": "echo say 0", "second": "echo say half of it: 0"}
    assert rejected[0] == {"id": "item0006", "reason": "a seventh", "detail": "echo say 6"}
    assert (summary.items, summary.kept, summary.rejected) == (50, 43, {"a seventh": 7})
    assert (summary.requests, summary.reused, summary.tokens_in) == (75, 25, 750)
    assert set(teacher.asked.values()) == {1}
    statistics = json.loads((tmp_path / "run" / "statistics.json").read_text())
    assert statistics["items"] == statistics["kept"] + sum(statistics["rejected"].values())
    assert statistics["steps"]["toy/second"] == {"requests": 25, "tokens_in": 250, "tokens_out": 100}
    record = RunRecord.read(tmp_path / "run" / "run.json")
    assert record.counts == {"items": 50, "kept": 43, "rejected": 7}
    assert (record.config["engine"], record.config["teacher"], record.config["wording"]) == ("toy", "echo", 1)


def test_bytes_do_not_depend_on_workers(toy: ModuleType, tmp_path: Path) -> None:
    for workers in (1, 16):
        run(toy.ToyEngine(40), Echo(), tmp_path / str(workers), quick(workers=workers))
    assert contents(tmp_path / "1") == contents(tmp_path / "16")


def test_a_finished_run_asks_nothing_more(toy: ModuleType, tmp_path: Path) -> None:
    run(toy.ToyEngine(20), Echo(), tmp_path, quick())
    before, teacher = contents(tmp_path), Echo()
    (tmp_path / "items.jsonl").unlink()
    summary = run(toy.ToyEngine(20), teacher, tmp_path, quick(resume=True))
    assert (contents(tmp_path), teacher.asked, summary.kept) == (before, Counter(), 18)


def test_a_run_can_grow(toy: ModuleType, tmp_path: Path) -> None:
    run(toy.ToyEngine(20), Echo(), tmp_path / "grown", quick())
    teacher = Echo()
    run(toy.ToyEngine(30), teacher, tmp_path / "grown", quick(resume=True))
    run(toy.ToyEngine(30), Echo(), tmp_path / "whole", quick())
    assert contents(tmp_path / "grown") == contents(tmp_path / "whole")
    assert teacher.asked.total() == 15


def test_a_changed_item_is_decided_again(toy: ModuleType, tmp_path: Path) -> None:
    class Shifted(toy.ToyEngine):  # type: ignore[misc, name-defined]
        def items(self) -> Iterator[Item]:
            yield from super().items()
            yield Item("item9999", inputs={"number": self.shift})

    for shift in (100, 200):
        engine = Shifted(3)
        engine.shift = shift
        run(engine, Echo(), tmp_path, quick(resume=True))
        assert lines(tmp_path / "items.jsonl")[-1]["first"] == f"echo say {shift}"


@pytest.mark.parametrize(
    ("change", "named"),
    [({"settings": {"wording": 2}}, "wording 2 (was 1)"), ({"name": "other"}, "engine 'other' (was 'toy')")],
)
def test_other_settings_are_refused(
    toy: ModuleType, tmp_path: Path, change: dict[str, Any], named: str
) -> None:
    run(toy.ToyEngine(3), Echo(), tmp_path, quick())
    with pytest.raises(BadConfig) as caught:
        run(toy.ToyEngine(3, **change), Echo(), tmp_path, quick(resume=True))
    assert named in str(caught.value)
    with pytest.raises(BadConfig, match="--resume"):
        run(toy.ToyEngine(3), Echo(), tmp_path, quick())
    other = Echo()
    other.model = "echo-2"
    with pytest.raises(BadConfig, match="'echo-2' .was 'echo'."):
        run(toy.ToyEngine(3), other, tmp_path, quick(resume=True))


def test_two_items_with_one_id_are_named(toy: ModuleType, tmp_path: Path) -> None:
    class Double(toy.ToyEngine):  # type: ignore[misc, name-defined]
        def items(self) -> Iterator[Item]:
            yield from (*super().items(), *super().items())

    with pytest.raises(BadData, match="item0000"):
        run(Double(3), Echo(), tmp_path / "run", quick())
    assert not (tmp_path / "run").exists()


def test_items_that_change_while_they_are_read_are_named(toy: ModuleType, tmp_path: Path) -> None:
    class Growing(toy.ToyEngine):  # type: ignore[misc, name-defined]
        def items(self) -> Iterator[Item]:
            self.count += 1
            return super().items()

    with pytest.raises(BadData, match="item0004"):
        run(Growing(3), Echo(), tmp_path / "run", quick())


def test_an_error_of_the_engine_rejects_its_item_alone(toy: ModuleType, tmp_path: Path) -> None:
    class Faulty(toy.ToyEngine):  # type: ignore[misc, name-defined]
        def process(self, item: Item) -> Any:
            if item.id == "item0002":
                raise BadInput(got="a broken picture", expected="a picture", fix="Look at it")
            return (yield from super().process(item))

    summary = run(Faulty(5), Echo(), tmp_path, quick())
    assert (summary.kept, summary.rejected) == (4, {"error": 1})
    assert "a broken picture" in lines(tmp_path / "rejected.jsonl")[0]["detail"]


@pytest.mark.parametrize("fault", [ZeroDivisionError("x"), MemoryError(), RecursionError("deep")])
def test_a_fault_that_nobody_foresaw_is_its_items_alone(
    toy: ModuleType, tmp_path: Path, fault: Exception
) -> None:
    class Broken(toy.ToyEngine):  # type: ignore[misc, name-defined]
        def process(self, item: Item) -> Any:
            if item.id == "item0002":
                yield toy.ask("first", "x")
                raise fault
            return (yield from super().process(item))

    summary = run(Broken(5), Echo(), tmp_path, quick())
    assert (summary.kept, summary.rejected) == (4, {"error": 1})
    (row,) = lines(tmp_path / "rejected.jsonl")
    assert row["id"] == "item0002"
    assert type(fault).__name__ in row["detail"]
    # Once it is mended the run goes on from there.
    assert run(toy.ToyEngine(5), Echo(), tmp_path, quick(resume=True)).kept == 5
    run(toy.ToyEngine(5), Echo(), tmp_path / "fresh", quick())
    assert (tmp_path / FILES[0]).read_bytes() == (tmp_path / "fresh" / FILES[0]).read_bytes()


def test_a_full_disk_stops_the_run(toy: ModuleType, tmp_path: Path) -> None:
    class Full(Echo):
        def reply(self, request: ChatRequest) -> Reply:
            if self.asked.total() == 5:
                raise OutputFailed(got="no space", expected="some", fix="Free some")
            return super().reply(request)

    with pytest.raises(OutputFailed):
        run(toy.ToyEngine(10), Full(), tmp_path, quick(workers=1))
    assert run(toy.ToyEngine(10), Echo(), tmp_path, quick(resume=True)).rejected == {"a seventh": 1}


def test_rows_must_be_json(toy: ModuleType, tmp_path: Path) -> None:
    class Odd(toy.ToyEngine):  # type: ignore[misc, name-defined]
        def process(self, item: Item) -> Any:
            yield toy.ask("first", "x")
            return Kept({"x": float("nan")})

    assert run(Odd(2), Echo(), tmp_path, quick()).rejected == {"error": 2}
    assert "output row" in lines(tmp_path / "rejected.jsonl")[0]["detail"]


def test_passing_troubles_leave_no_trace_in_the_files(
    toy: ModuleType, wire: Any, remote: OpenAITeacher, tmp_path: Path
) -> None:
    run(toy.ToyEngine(30), remote, tmp_path / "calm", quick())
    calm = wire.stats()["received"]
    wire.reset()
    wire.faults(
        {"match": "say 1", "kind": "status", "status": 429, "times": 2},
        {"match": "say 20", "kind": "status", "status": 429, "after": "0.05"},
        {"match": "say 21", "kind": "stall"},
        {"match": "say 22", "kind": "malformed"},
        {"match": "say 23", "kind": "truncated"},
        {"match": "say 24", "kind": "disconnect", "times": 3},
        {"match": "half of it: 3", "kind": "status", "status": 503},
    )
    summary = run(toy.ToyEngine(30), remote, tmp_path / "rough", quick(workers=4))
    assert contents(tmp_path / "calm") == contents(tmp_path / "rough")
    stats = wire.stats()
    assert set(stats["answered"]) == set(calm)
    # A cut reply counts as answered, but never came.
    assert sorted(stats["answered"].values()) == [1] * (len(calm) - 1) + [2]
    assert summary.failures == sum(stats["received"].values()) - len(calm) == 30


def test_lasting_troubles_reject_their_items(
    toy: ModuleType, wire: Any, remote: OpenAITeacher, tmp_path: Path
) -> None:
    wire.faults(
        {"match": "say 1", "kind": "status", "status": 400, "times": 99},
        {"match": "half of it: 2", "kind": "refusal", "times": 99},
        {"match": "say 8", "kind": "content_filter", "times": 99},
        {"match": "say 9", "kind": "length", "times": 99},
    )
    summary = run(toy.ToyEngine(10), remote, tmp_path, quick())
    assert summary.rejected == {
        "a seventh": 1, "bad request": 1, "content filter": 1, "refused by the teacher": 2
    }  # fmt: skip
    rejected = {row["id"]: row for row in lines(tmp_path / "rejected.jsonl")}
    assert rejected["item0001"]["detail"].startswith("Got status 400")
    assert "cannot help" in rejected["item0004"]["detail"]
    assert "item0009" not in rejected  # a cut reply is the engine's affair
    before = wire.stats()["received"]
    run(toy.ToyEngine(10), remote, tmp_path, quick(resume=True))
    assert wire.stats()["received"] == before


def test_an_item_without_a_reply_is_asked_again_later(
    toy: ModuleType, wire: Any, remote: OpenAITeacher, tmp_path: Path
) -> None:
    wire.faults({"match": "say 5", "kind": "status", "status": 500, "times": 99})
    summary = run(toy.ToyEngine(10), remote, tmp_path, quick(workers=1))
    assert summary.rejected == {"a seventh": 1, "no reply": 1}
    wire.faults()
    summary = run(toy.ToyEngine(10), remote, tmp_path, quick(resume=True))
    assert summary.rejected == {"a seventh": 1}
    run(toy.ToyEngine(10), remote, tmp_path / "fresh", quick())
    assert contents(tmp_path) == contents(tmp_path / "fresh")


@pytest.mark.parametrize(
    "fault", [{"status": 401}, {"status": 503}, {"status": 400}, {"status": 422}, {"status": 404}]
)
def test_a_server_that_answers_nobody_stops_the_run(
    toy: ModuleType, wire: Any, remote: OpenAITeacher, tmp_path: Path, fault: dict[str, Any]
) -> None:
    wire.faults({"match": "", "kind": "status", "times": 9999, **fault})
    with pytest.raises(ChatFailed, match="--resume"):
        run(toy.ToyEngine(50), remote, tmp_path, quick(workers=2, retries=1))
    assert len(wire.stats()["received"]) < 20
    assert not (tmp_path / "items.jsonl").exists()
    wire.faults()
    assert run(toy.ToyEngine(50), remote, tmp_path, quick(resume=True)).kept == 43


@pytest.mark.parametrize("items", [1, 2, 6])
def test_a_server_that_refuses_all_judges_nothing(
    toy: ModuleType, wire: Any, remote: OpenAITeacher, tmp_path: Path, items: int
) -> None:
    wire.faults({"match": "", "kind": "status", "status": 400, "times": 9999})
    with pytest.raises(ChatFailed):
        run(toy.ToyEngine(items), remote, tmp_path, quick(workers=1))
    assert sum(wire.stats()["received"].values()) <= 3
    assert not (tmp_path / "rejected.jsonl").exists()
    wire.faults()
    assert run(toy.ToyEngine(items), remote, tmp_path, quick(resume=True)).kept == min(items, 6)


def test_a_setting_that_turns_bad_midway_judges_nothing_and_keeps_what_is_decided(
    toy: ModuleType, wire: Any, remote: OpenAITeacher, tmp_path: Path
) -> None:
    class Turned(Echo):
        def reply(self, request: ChatRequest) -> Reply:
            if self.asked.total() >= 8:
                raise refused(400)
            return super().reply(request)

    with pytest.raises(ChatFailed, match="in a row"):
        run(toy.ToyEngine(20), Turned(), tmp_path, quick(workers=1))
    assert len(lines(tmp_path / "items.jsonl")) > 2
    assert lines(tmp_path / "rejected.jsonl") == []
    run(toy.ToyEngine(20), Echo(), tmp_path, quick(resume=True))
    run(toy.ToyEngine(20), Echo(), tmp_path / "fresh", quick())
    assert contents(tmp_path) == contents(tmp_path / "fresh")


def test_items_in_a_row_that_a_sound_server_refuses_are_judged(toy: ModuleType, tmp_path: Path) -> None:
    class Picky(Echo):
        def reply(self, request: ChatRequest) -> Reply:
            if request.messages[-1].text in {f"say {number}" for number in range(5, 12)}:
                raise refused(413)
            return super().reply(request)

    summary = run(toy.ToyEngine(20), Picky(), tmp_path, quick(workers=1))
    assert summary.rejected["bad request"] == 7
    teacher = Picky()
    run(toy.ToyEngine(20), teacher, tmp_path, quick(resume=True))
    assert not teacher.asked


def test_a_teacher_that_only_thinks_stops_the_run_until_it_may_say_more(
    toy: ModuleType, tmp_path: Path
) -> None:
    class Thinker(Echo):
        def reply(self, request: ChatRequest) -> Reply:
            reply = super().reply(request)
            if request.max_tokens < 4000:
                return Reply("", "length", 10, request.max_tokens, "hm")
            return replace(reply, thoughts="hm </think> hm")

    with pytest.raises(ChatFailed, match="--reply-tokens") as caught:
        run(toy.ToyEngine(20), Thinker(), tmp_path, quick(workers=1))
    assert caught.value.reason == "cut off while thinking"
    run(toy.ToyEngine(20), Thinker(), tmp_path, quick(resume=True, reply_tokens=4000))
    run(toy.ToyEngine(20), Echo(), tmp_path / "fresh", quick())
    for name in ("items.jsonl", "rejected.jsonl"):
        assert (tmp_path / name).read_bytes() == (tmp_path / "fresh" / name).read_bytes()
    with Journal(tmp_path / JOURNAL) as journal:
        kept = Replies(journal).get(journal.rows("SELECT key FROM replies WHERE finish = 'stop'")[0][0])
    assert kept is not None
    assert (kept.thoughts.split(), kept.text[:4]) == (["hm", "hm"], "echo")


def test_one_item_cut_off_while_thinking_is_asked_again_later(toy: ModuleType, tmp_path: Path) -> None:
    class Slow(Echo):
        def reply(self, request: ChatRequest) -> Reply:
            reply = super().reply(request)
            cut = request.messages[-1].text == "say 5" and request.max_tokens < 4000
            return Reply("", "length", 10, 16, "hm") if cut else reply

    summary = run(toy.ToyEngine(10), Slow(), tmp_path, quick(workers=1))
    assert summary.rejected == {"a seventh": 1, "cut off while thinking": 1}
    assert run(toy.ToyEngine(10), Slow(), tmp_path, quick(resume=True, reply_tokens=4000)).kept == 9


def test_a_spent_budget_stops_cleanly_and_the_run_goes_on(
    toy: ModuleType, wire: Any, remote: OpenAITeacher, tmp_path: Path
) -> None:
    with pytest.raises(BudgetSpent, match="--resume and a higher --max-requests"):
        run(toy.ToyEngine(30), remote, tmp_path, quick(limits=Limits(requests=20)))
    assert sum(wire.stats()["received"].values()) == 20
    early = lines(tmp_path / "items.jsonl")  # what is paid for can be used
    with pytest.raises(BudgetSpent):
        run(toy.ToyEngine(30), remote, tmp_path, quick(limits=Limits(requests=25), resume=True))
    assert sum(wire.stats()["received"].values()) == 25
    summary = run(toy.ToyEngine(30), remote, tmp_path, quick(resume=True))
    assert set(wire.stats()["received"].values()) == {1}
    assert (summary.requests, summary.asked_again) == (45, 0)
    assert early
    assert [row for row in lines(tmp_path / "items.jsonl") if row in early] == early


def test_money_is_counted(toy: ModuleType, tmp_path: Path) -> None:
    prices = Prices(input=2.0, output=10.0)
    summary = run(toy.ToyEngine(10), Echo(), tmp_path, quick(prices=prices))
    assert summary.cost == pytest.approx(15 * (10 * 2.0 + 4 * 10.0) / 1e6)


def test_progress_is_told(toy: ModuleType, tmp_path: Path) -> None:
    seen: list[Progress] = []
    run(toy.ToyEngine(20), Echo(), tmp_path, quick(watch=seen.append, prices=Prices(1.0, 1.0)))
    last = seen[-1]
    assert (last.items, last.done, last.kept, last.rejected) == (20, 20, 18, 2)
    assert (last.requests, last.reused, last.tokens_in) == (30, 10, 300)
    assert last.pace.rate > 0
    assert last.pace.left == 0
    assert last.cost == pytest.approx(30 * 14 / 1e6)


def test_the_key_is_in_no_file_of_the_run(
    toy: ModuleType, wire: Any, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    key = "sk-very-secret-4711"
    monkeypatch.setenv("TOY_KEY", key)
    wire.faults({"match": "say 1", "kind": "echo-key", "times": 99})
    teacher = OpenAITeacher(wire.url, "toy-1", "TOY_KEY", timeout=2.5)
    run(toy.ToyEngine(5), teacher, tmp_path, quick())
    teacher.close()
    assert set(wire.stats()["keys"]) == {f"Bearer {key}"}
    files = [path for path in tmp_path.rglob("*") if path.is_file()]
    found = [path for path in files if key.encode() in path.read_bytes()]
    assert (found, len(files)) == ([], 5)


def test_a_plan_counts_and_sends_nothing(toy: ModuleType, tmp_path: Path) -> None:
    engine = toy.ToyEngine(1000)
    found = plan(engine, Echo(), Prices(1.0, 2.0), sample=10)
    assert (found.items, found.sampled, found.complete) == (1000, 10, True)
    assert found.steps == {"toy/first": 1.0, "toy/second": 1.0}
    assert (found.requests, found.tokens_out_most) == (2000, 32000)
    assert found.cost == pytest.approx((found.tokens_in + 2 * found.tokens_out) / 1e6)
    blind = plan(engine, None, Prices(), sample=10)
    assert (blind.complete, blind.requests) == (False, 1000)
    assert blind.example is not None
    assert blind.example.messages[-1].text == "say 0"
    assert plan(toy.ToyEngine(0), None, Prices()).requests == 0


def test_a_run_without_items_writes_empty_files(toy: ModuleType, tmp_path: Path) -> None:
    summary = run(toy.ToyEngine(0), Echo(), tmp_path, quick())
    assert (summary.items, (tmp_path / "items.jsonl").read_bytes()) == (0, b"")


def test_an_interrupted_run_goes_on(toy: ModuleType, tmp_path: Path) -> None:
    class Interrupt(toy.ToyEngine):  # type: ignore[misc, name-defined]
        stop = False

        def items(self) -> Iterator[Item]:
            for item in super().items():
                if self.stop and item.id == "item0030":
                    raise KeyboardInterrupt
                yield item
            self.stop = True

    with pytest.raises(KeyboardInterrupt):
        run(Interrupt(50), Echo(), tmp_path / "cut", quick(workers=1))
    assert lines(tmp_path / "cut" / "items.jsonl")  # what is paid for can be used
    run(toy.ToyEngine(50), Echo(), tmp_path / "cut", quick(resume=True))
    run(toy.ToyEngine(50), Echo(), tmp_path / "whole", quick())
    assert contents(tmp_path / "cut") == contents(tmp_path / "whole")


def test_pictures_are_stored_as_their_hash_only(toy: ModuleType, tmp_path: Path) -> None:
    picture = ChatImage(b"pixels of a face" * 100)

    class Seeing(toy.ToyEngine):  # type: ignore[misc, name-defined]
        def process(self, item: Item) -> Any:
            message = ChatMessage("user", "Who?", (picture,))
            yield ChatRequest("toy/see", "1", (message,), {"text": item.id})
            return Kept({})

    run(Seeing(1), Echo(), tmp_path, quick())
    with Journal(tmp_path / JOURNAL) as journal:
        ((body,),) = journal.rows("SELECT body FROM requests")
    assert json.loads(body)["messages"][0]["images"] == [f"image/jpeg {picture.hash}"]
    assert b"pixels of a face" not in (tmp_path / JOURNAL).read_bytes()
