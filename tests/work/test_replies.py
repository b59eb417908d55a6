"""Replies in a journal: keys, replies, requests under way, one process at a time."""

from __future__ import annotations

import threading
import time
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path

import pytest

from mien.backends.chat import ChatFailed, ChatImage, ChatMessage, ChatRequest, Reply
from mien.backends.memory import Remembering, Replay
from mien.backends.patience import Budget, BudgetSpent, Limits, Patience, Prices, Stopped
from mien.core.errors import BadConfig, BadInput, OutputFailed
from mien.work.journal import Journal
from mien.work.replies import Replies, StepTotal

ASKED = ChatRequest("toy/say", "1", (ChatMessage("user", "hello"),), {"au": ["AU06"]})


@contextmanager
def replies_in(folder: Path) -> Iterator[Replies]:
    with Journal(folder / "m.sqlite") as journal:
        yield Replies(journal)


class Slow:
    """Answers after a while and counts."""

    model = "toy-1"

    def __init__(self, failures: int = 0, retryable: bool = True) -> None:
        self.asked = 0
        self.failures, self.retryable = failures, retryable

    def reply(self, request: ChatRequest) -> Reply:
        self.asked += 1
        time.sleep(0.02)
        if self.asked <= self.failures:
            raise ChatFailed(
                reason="server error", got="500", expected="200", fix="Wait", retryable=self.retryable
            )
        return Reply(f"reply to {request.messages[-1].text}", "stop", 7, 3)


@pytest.mark.parametrize(
    "other",
    [
        replace(ASKED, step="toy/ask"),
        replace(ASKED, version="2"),
        replace(ASKED, messages=(ChatMessage("user", "hello!"),)),
        replace(ASKED, messages=(ChatMessage("system", "hello"),)),
        replace(ASKED, messages=(ChatMessage("user", "hello", (ChatImage(b"a"),)),)),
        replace(ASKED, facts={"au": ["AU12"]}),
        replace(ASKED, temperature=0.1),
        replace(ASKED, max_tokens=513),
        replace(ASKED, json=True),
        replace(ASKED, seed=0),
        replace(ASKED, attempt=1),
    ],
)
def test_whatever_may_change_the_answer_changes_the_key(other: ChatRequest) -> None:
    assert other.key("toy-1") != ASKED.key("toy-1")


def test_a_key_depends_on_content_only() -> None:
    facts = {"b": 1, "a": 2}
    same = replace(ASKED, facts={"a": 2, "b": 1})
    assert replace(ASKED, facts=facts).key("toy-1") == same.key("toy-1") != same.key("toy-2")
    pictures = [(ChatImage(data),) for data in (b"one", b"two")]
    keys = {replace(ASKED, messages=(ChatMessage("user", "x", one),)).key("m") for one in pictures}
    assert len(keys) == 2


def test_facts_must_be_json() -> None:
    with pytest.raises(BadConfig, match="JSON cannot hold"):
        replace(ASKED, facts={"path": Path("x")}).key("m")
    with pytest.raises(BadConfig, match="JSON cannot hold"):
        replace(ASKED, facts={"x": float("nan")}).key("m")


def test_a_reply_survives_reopening(tmp_path: Path) -> None:
    teacher = Slow()
    with replies_in(tmp_path) as memory:
        first = Remembering(teacher, memory).reply(ASKED)
    with replies_in(tmp_path) as memory:
        again = Remembering(teacher, memory)
        assert again.reply(ASKED) == first == Replay(memory, "toy-1").reply(ASKED)
        assert (teacher.asked, again.reused) == (1, 1)
        assert memory.steps() == {"toy/say": StepTotal(1, 7, 3)}
        totals = memory.totals()
        assert (totals.requests, totals.tokens_in, totals.tokens_out, totals.failures) == (1, 7, 3, 0)
        assert totals.seconds >= 0.02
        with pytest.raises(BadInput, match="toy/say"):
            Replay(memory, "toy-2").reply(ASKED)


def test_equal_requests_under_way_are_asked_once(tmp_path: Path) -> None:
    teacher = Slow(failures=2)
    with replies_in(tmp_path) as memory, ThreadPoolExecutor(8) as pool:
        remembering = Remembering(teacher, memory, Patience(first_wait=0.01))
        replies = list(pool.map(remembering.reply, [ASKED] * 8))
        assert memory.totals().failures == 2
    assert len(set(replies)) == 1
    assert (teacher.asked, remembering.reused) == (3, 7)


def test_a_failure_reaches_all_who_wait(tmp_path: Path) -> None:
    teacher = Slow(failures=99, retryable=False)
    with replies_in(tmp_path) as memory, ThreadPoolExecutor(4) as pool:
        remembering = Remembering(teacher, memory)
        errors = [pool.submit(remembering.reply, ASKED).exception() for _ in range(4)]
        assert all(isinstance(error, ChatFailed) for error in errors)
        assert memory.unanswered() == []


def test_requests_under_way_are_known(tmp_path: Path) -> None:
    with replies_in(tmp_path) as memory:
        memory.ask("one", ASKED, "toy-1")
        memory.ask("two", ASKED, "toy-1")
        memory.put("two", Reply("x"))
        assert memory.unanswered() == ["one"]


def test_one_process_at_a_time(tmp_path: Path) -> None:
    with Journal(tmp_path / "m.sqlite"), pytest.raises(BadConfig, match="another process"):
        Journal(tmp_path / "m.sqlite")
    Journal(tmp_path / "m.sqlite").close()


def test_a_file_of_another_kind_is_named(tmp_path: Path) -> None:
    path = tmp_path / "m.sqlite"
    path.write_text("no database at all, but long enough to look at" * 50)
    with pytest.raises(OutputFailed, match="m.sqlite"):
        Journal(path)


def test_a_full_disk_is_named_and_harms_nothing(tmp_path: Path) -> None:
    with replies_in(tmp_path) as memory:
        memory.put("before", Reply("x"))
        memory.journal._database.execute("PRAGMA max_page_count=20")
        with pytest.raises(OutputFailed, match="full"):
            for number in range(200):
                memory.put(str(number), Reply("x" * 1000))
        kept = memory.totals().requests
        memory.journal._database.execute("PRAGMA max_page_count=2000")
        memory.put("after", Reply("y"))
        assert memory.totals().requests == kept + 1
        assert (memory.get("before"), memory.get("after")) == (Reply("x"), Reply("y"))


def test_many_threads_write(tmp_path: Path) -> None:
    with replies_in(tmp_path) as memory, ThreadPoolExecutor(16) as pool:
        list(pool.map(lambda number: memory.put(str(number), Reply(str(number))), range(400)))
        assert memory.totals().requests == 400


def test_the_rate_is_kept() -> None:
    patience = Patience(requests_per_minute=60 * 50)
    started = time.monotonic()
    with ThreadPoolExecutor(8) as pool:
        list(pool.map(lambda _: patience.ask(ASKED, lambda: Reply("x"), lambda _: None), range(21)))
    assert time.monotonic() - started >= 20 / 50


def test_a_pause_that_the_server_asks_for_holds_for_all() -> None:
    patience = Patience(first_wait=0.001)
    failures = [ChatFailed(reason="rate limit", got="", expected="", fix="", retryable=True, retry_after=0.3)]

    def send() -> Reply:
        if failures:
            raise failures.pop()
        return Reply("x")

    started = time.monotonic()
    with ThreadPoolExecutor(2) as pool:
        first = pool.submit(patience.ask, ASKED, send, lambda _: None)
        while failures:
            time.sleep(0.001)
        time.sleep(0.01)
        pool.submit(patience.ask, ASKED, lambda: Reply("y"), lambda _: None).result()
        assert time.monotonic() - started >= 0.3
        first.result()


def test_a_very_long_pause_stops_the_run() -> None:
    def send() -> Reply:
        raise ChatFailed(reason="rate limit", got="", expected="", fix="", retryable=True, retry_after=9000.0)

    with pytest.raises(ChatFailed, match="9000 s") as caught:
        Patience().ask(ASKED, send, lambda _: None)
    assert caught.value.fatal


def test_tries_end() -> None:
    tries: list[ChatFailed] = []

    def send() -> Reply:
        raise ChatFailed(reason="timeout", got="", expected="", fix="", retryable=True)

    started = time.monotonic()
    with pytest.raises(ChatFailed):
        Patience(retries=3, first_wait=0.02).ask(ASKED, send, tries.append)
    assert len(tries) == 4
    assert time.monotonic() - started >= 0.5 * (0.02 + 0.04 + 0.08)  # waits double; half of each is sure


def test_a_stop_wakes_those_who_wait() -> None:
    patience = Patience(requests_per_minute=0.1)
    patience.ask(ASKED, lambda: Reply("x"), lambda _: None)
    threading.Timer(0.1, patience.stop).start()
    with pytest.raises(Stopped):
        patience.ask(ASKED, lambda: Reply("x"), lambda _: None)


@pytest.mark.parametrize(
    ("limits", "most"),
    [(Limits(requests=5), 5), (Limits(tokens=1100), 2), (Limits(cost=2.2), 2)],
    ids=["requests", "tokens", "cost"],
)
def test_a_budget_is_never_passed(limits: Limits, most: int) -> None:
    # A request is reserved with 2 + 512 tokens, and uses all of them.
    patience = Patience(budget=Budget(limits, Prices(1000.0, 2000.0)))
    sent = []

    def send() -> Reply:
        sent.append(1)
        time.sleep(0.01)
        return Reply("x", "stop", 2, 512)

    with ThreadPoolExecutor(8) as pool:
        errors = [pool.submit(patience.ask, ASKED, send, lambda _: None).exception() for _ in range(12)]
    assert len(sent) == most
    assert all(isinstance(error, BudgetSpent) for error in errors if error is not None)
    assert "--resume and a higher --max-" in str(next(error for error in errors if error is not None))


def test_what_was_cheaper_than_reserved_can_be_used() -> None:
    patience = Patience(budget=Budget(Limits(tokens=1100), Prices()))
    with ThreadPoolExecutor(8) as pool:
        done = [
            pool.submit(patience.ask, ASKED, lambda: Reply("x", "stop", 2, 8), lambda _: None)
            for _ in range(12)
        ]
        assert sum(one.exception() is None for one in done) == 12


def test_a_limit_of_money_needs_prices() -> None:
    with pytest.raises(BadConfig, match="price"):
        Budget(Limits(cost=1.0), Prices())
    with pytest.raises(BadConfig, match="below 0"):
        Budget(Limits(requests=-1), Prices())
