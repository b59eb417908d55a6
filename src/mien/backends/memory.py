"""Teachers with a memory: one that never asks twice, and one that only repeats what was answered before."""

from __future__ import annotations

import threading
import time
from dataclasses import replace
from typing import Protocol

from mien.backends.chat import ChatFailed, ChatRequest, Reply, Teacher
from mien.backends.patience import Patience
from mien.core.errors import BadInput, require_range

__all__ = ["Remembering", "Replay", "ReplyStore"]

_IN_A_ROW = 3
"""Requests that fail alike, with no answer between, after which the fault is not theirs."""


class ReplyStore(Protocol):
    """Where replies are kept (`mien.work.replies.Replies`). Called from many threads; a write is safe on return."""

    @property
    def name(self) -> str:
        """What to call it in messages."""

    def ask(self, key: str, request: ChatRequest, model: str) -> None:
        """Note that a request is about to be sent."""

    def put(self, key: str, reply: Reply, seconds: float = 0.0) -> None:
        """Store the reply to a request that was noted."""

    def get(self, key: str) -> Reply | None:
        """The stored reply, or None."""

    def note_failure(self, key: str, failure: ChatFailed) -> None:
        """Store a try that gave no reply."""


class _UnderWay:
    """A request that one thread has sent and others wait for."""

    def __init__(self) -> None:
        self.done = threading.Event()
        self.outcome: Reply | ChatFailed | None = None


class Remembering:
    """A teacher that never asks twice: known requests are answered from memory, equal ones under way are shared.

    A server that refuses three requests in a row with one status, or spends three replies in a row on thoughts
    alone, is set up wrongly: that failure is fatal. One exception: where a request of the same step that was
    answered before is answered again, the server refuses those three for what they hold.

    Args:
        teacher: who is asked.
        memory: where replies are kept.
        patience: tries, rate and budget; six retries and no limits when omitted.
        reply_tokens: longest reply, in place of what each request says.
    """

    def __init__(
        self,
        teacher: Teacher,
        memory: ReplyStore,
        patience: Patience | None = None,
        reply_tokens: int | None = None,
    ) -> None:
        if reply_tokens is not None:
            require_range(reply_tokens, "--reply-tokens", 1, whole=True)
        self._teacher, self._memory, self._patience = teacher, memory, patience or Patience()
        self._reply_tokens = reply_tokens
        self._streak: tuple[str, int] = ("", 0)
        self._answered: dict[str, ChatRequest] = {}
        self._lock = threading.Lock()
        self._under_way: dict[str, _UnderWay] = {}
        self.reused = 0
        """Requests that were answered without asking."""

    @property
    def model(self) -> str:
        """The teacher's model."""
        return self._teacher.model

    def reply(self, request: ChatRequest) -> Reply:
        """The remembered reply, else the teacher's, stored before it is returned.

        Raises:
            ChatFailed: the teacher gave no reply; also to all who waited for the same request.
            BudgetSpent: a limit is reached.
            Stopped: the patience was stopped.
        """
        if self._reply_tokens is not None:
            request = replace(request, max_tokens=self._reply_tokens)
        key = request.key(self.model)
        with self._lock:
            known = self._memory.get(key)
            if known is not None:
                self.reused += 1
                return known
            shared = self._under_way.get(key)
            if shared is None:
                mine = self._under_way[key] = _UnderWay()
            else:
                self.reused += 1
        if shared is not None:
            return self._wait(shared, request)
        try:
            mine.outcome = self._ask(key, request)
            return mine.outcome
        except ChatFailed as failure:
            mine.outcome = failure
            raise
        finally:
            with self._lock:
                del self._under_way[key]
            mine.done.set()

    def _ask(self, key: str, request: ChatRequest) -> Reply:
        seconds = 0.0

        def send() -> Reply:
            nonlocal seconds
            self._memory.ask(key, request, self.model)
            started = time.monotonic()
            reply = self._teacher.reply(request)
            seconds = time.monotonic() - started
            return reply

        try:
            reply = self._patience.ask(request, send, lambda failure: self._memory.note_failure(key, failure))
        except ChatFailed as failure:
            if failure.status is not None and self._fails_again(f"status {failure.status}"):
                self._ask_known(request.step, failure)
            raise
        self._memory.put(key, reply, seconds)
        if reply.unsaid is None:
            with self._lock:
                self._streak, self._answered[request.step] = ("", 0), request
        elif self._fails_again(reply.unsaid):
            raise ChatFailed(
                reason=reply.unsaid,
                got=f"{_IN_A_ROW} replies in a row that were {reply.unsaid} (at most {request.max_tokens} tokens)",
                expected="an answer after the thoughts",
                fix="Raise --reply-tokens, or tell the server to think less; then go on with --resume",
                fatal=True,
            )
        return reply

    def _fails_again(self, how: str) -> bool:
        """Whether one more request that fails so makes it too many."""
        with self._lock:
            kind, times = self._streak
            self._streak = (how, times + 1 if kind == how else 1)
            return self._streak[1] >= _IN_A_ROW

    def _ask_known(self, step: str, failure: ChatFailed) -> None:
        """Ask what was answered before; the failure is fatal where that is refused too."""
        known = self._answered.get(step)
        try:
            if known is not None:
                self._patience.ask(known, lambda: self._teacher.reply(known), lambda _: None)
                self._streak = ("", 0)
                return
        except ChatFailed:
            pass
        raise ChatFailed(
            reason="refused by the server",
            got=f"{_IN_A_ROW} requests in a row refused: {failure.got}",
            expected="a server that takes such requests",
            fix="Correct the setting that the server names (model, pictures, options); then go on with --resume",
            fatal=True,
        ) from failure

    def _wait(self, shared: _UnderWay, request: ChatRequest) -> Reply:
        shared.done.wait()
        if isinstance(shared.outcome, Reply):
            return shared.outcome
        if isinstance(shared.outcome, ChatFailed):
            raise shared.outcome
        # The asking thread was stopped by something else than a failed reply: ask for ourselves.
        return self.reply(request)


class Replay:
    """A teacher that knows only what a memory holds: repeats a run without a network.

    Args:
        memory: of an earlier run.
        model: the model that was asked then.
    """

    def __init__(self, memory: ReplyStore, model: str) -> None:
        self._memory, self.model = memory, model

    def reply(self, request: ChatRequest) -> Reply:
        """The remembered reply.

        Raises:
            BadInput: this request was never answered.
        """
        key = request.key(self.model)
        known = self._memory.get(key)
        if known is None:
            raise BadInput(
                got=f"a request of step {request.step} that {self._memory.name} holds no reply to",
                expected="the requests of the run that wrote it",
                fix="Use the same items, prompts, settings and model, or ask a teacher",
            )
        return known
