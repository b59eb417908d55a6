"""Asking a server politely and within limits: tries again, waits as told, keeps to a rate and a budget."""

from __future__ import annotations

import random
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass

from mien.backends.chat import ChatFailed, ChatRequest, Reply
from mien.core.errors import BadConfig, MienError

__all__ = [
    "IMAGE_TOKENS",
    "Budget",
    "BudgetSpent",
    "Limits",
    "Patience",
    "Prices",
    "Stopped",
    "estimate_text",
    "estimate_tokens",
]

IMAGE_TOKENS = 1000
"""Assumed per picture when tokens are estimated; servers count 85 to about 1,500."""
_CHARACTERS_PER_TOKEN = 4
_MILLION = 1e6


class BudgetSpent(MienError):
    """The next request might pass a limit of the run."""


class Stopped(MienError):
    """The run is being stopped; the request was not sent."""

    def __init__(self) -> None:
        super().__init__(got="a stop of the run", expected="no further request", fix="Go on with --resume")


@dataclass(frozen=True, slots=True)
class Prices:
    """Money per million tokens, in any currency."""

    input: float = 0.0
    output: float = 0.0

    def cost(self, tokens_in: int, tokens_out: int) -> float:
        """Money for these tokens."""
        return (tokens_in * self.input + tokens_out * self.output) / _MILLION


@dataclass(frozen=True, slots=True)
class Limits:
    """What a run may use in all, earlier parts of it included; None is no limit."""

    requests: int | None = None
    """Requests sent, tries without a reply included."""
    tokens: int | None = None
    """Input and output together."""
    cost: float | None = None
    """In the currency of the prices."""


def estimate_text(text: str) -> int:
    """Tokens of a text, roughly: four characters each."""
    return -(-len(text) // _CHARACTERS_PER_TOKEN)


def estimate_tokens(request: ChatRequest) -> int:
    """Input tokens of a request, roughly: its texts, and `IMAGE_TOKENS` per picture."""
    pictures = sum(len(message.images) for message in request.messages)
    return sum(estimate_text(message.text) for message in request.messages) + IMAGE_TOKENS * pictures


@dataclass(slots=True)
class _Use:
    """An amount of everything that is limited."""

    requests: int = 0
    tokens_in: int = 0
    tokens_out: int = 0

    def add(self, other: _Use, sign: int = 1) -> None:
        self.requests += sign * other.requests
        self.tokens_in += sign * other.tokens_in
        self.tokens_out += sign * other.tokens_out


class Budget:
    """What was used and what is reserved for requests under way; safe with threads.

    A request is sent only when all that is used and reserved and its own estimate (its longest reply included)
    stay within the limits, so a limit is passed at most by an error of the estimates.

    Args:
        limits: of the whole run.
        prices: for `Limits.cost`.
        requests, tokens_in, tokens_out: used by earlier parts of the run.

    Raises:
        BadConfig: a limit of money without prices, or a limit or price below 0.
    """

    def __init__(
        self, limits: Limits, prices: Prices, requests: int = 0, tokens_in: int = 0, tokens_out: int = 0
    ) -> None:
        numbers = [limits.requests, limits.tokens, limits.cost, prices.input, prices.output]
        if any(number is not None and not number >= 0 for number in numbers):
            raise BadConfig(got="a limit or price below 0", expected="0 or more")
        if limits.cost is not None and not (prices.input or prices.output):
            raise BadConfig(
                got=f"a limit of {limits.cost:g} without prices",
                expected="the prices of a million tokens",
                fix="Give --price-in and --price-out",
            )
        self._limits, self._prices = limits, prices
        self._used, self._reserved = _Use(requests, tokens_in, tokens_out), _Use()
        self._changed = threading.Condition()

    @property
    def cost(self) -> float:
        """Money used."""
        return self._prices.cost(self._used.tokens_in, self._used.tokens_out)

    @property
    def used(self) -> tuple[int, int, int]:
        """Requests, input tokens, output tokens."""
        with self._changed:
            return self._used.requests, self._used.tokens_in, self._used.tokens_out

    @contextmanager
    def reserved(self, request: ChatRequest) -> Iterator[Callable[[Reply], None]]:
        """Hold the estimate of a request while it is under way; call what is given with the reply.

        Waits while others are under way that may turn out cheaper than reserved.

        Raises:
            BudgetSpent: the request does not fit, and none is under way.
        """
        mine = _Use(1, estimate_tokens(request), request.max_tokens)
        with self._changed:
            while (spent := self._over(mine)) is not None:
                if not self._reserved.requests:
                    raise spent
                self._changed.wait()
            self._reserved.add(mine)
        real = _Use(1)

        def settle(reply: Reply) -> None:
            real.add(_Use(0, reply.tokens_in, reply.tokens_out))

        try:
            yield settle
        finally:
            with self._changed:
                self._reserved.add(mine, -1)
                self._used.add(real)
                self._changed.notify_all()

    def _over(self, more: _Use) -> BudgetSpent | None:
        total = _Use()
        for part in (self._used, self._reserved, more):
            total.add(part)
        limits, tokens = self._limits, total.tokens_in + total.tokens_out
        cost = self._prices.cost(total.tokens_in, total.tokens_out)
        if limits.requests is not None and total.requests > limits.requests:
            return _spent(f"{limits.requests} requests", f"{self._used.requests} were sent", "--max-requests")
        if limits.tokens is not None and tokens > limits.tokens:
            used = self._used.tokens_in + self._used.tokens_out
            return _spent(f"{limits.tokens} tokens", f"{used} are used", "--max-tokens")
        if limits.cost is not None and cost > limits.cost:
            return _spent(f"a cost of {limits.cost:g}", f"{self.cost:.4f} is spent", "--max-cost")
        return None


def _spent(limit: str, used: str, option: str) -> BudgetSpent:
    return BudgetSpent(
        got=f"a run at its limit of {limit} ({used}, and the next request might pass it)",
        expected="room for the next request",
        fix=f"All replies are kept: run the same command with --resume and a higher {option}",
    )


class Patience:
    """How requests are sent: rate, waits and tries. Shared by all threads of a run.

    Args:
        retries: further tries after the first.
        first_wait: seconds before the second try; doubles with each, times a random .5 to 1.
        longest_wait: bound of that, in seconds.
        longest_pause: a server that asks for a longer pause than this (s) stops the run.
        requests_per_minute: bound of the rate; None is none.
        budget: bound of use; None is none.
    """

    def __init__(
        self,
        retries: int = 6,
        first_wait: float = 1.0,
        longest_wait: float = 60.0,
        longest_pause: float = 600.0,
        requests_per_minute: float | None = None,
        budget: Budget | None = None,
    ) -> None:
        if requests_per_minute is not None and not requests_per_minute > 0:
            raise BadConfig(
                got=f"{requests_per_minute:g} requests per minute", expected="more than 0", fix="Raise --rpm"
            )
        self.budget = budget or Budget(Limits(), Prices())
        self._retries, self._first_wait, self._longest_wait = retries, first_wait, longest_wait
        self._longest_pause = longest_pause
        self._gap = 60.0 / requests_per_minute if requests_per_minute else 0.0
        self._random = random.Random()
        self._lock = threading.Lock()
        self._next_slot = self._not_before = 0.0
        self._stopped = threading.Event()

    def stop(self) -> None:
        """Send nothing more; threads that wait raise `Stopped`."""
        self._stopped.set()

    def ask(
        self, request: ChatRequest, send: Callable[[], Reply], failed: Callable[[ChatFailed], None]
    ) -> Reply:
        """Send until a reply comes or the tries are used up.

        Args:
            request: for the budget.
            send: one try.
            failed: told of every try that gave no reply.

        Raises:
            ChatFailed: of the last try, or the first that is not retryable.
            BudgetSpent: a limit is reached.
            Stopped: `stop` was called.
        """
        turn = 0
        while True:
            with self.budget.reserved(request) as settle:
                self._wait_for_slot()
                try:
                    reply = send()
                except ChatFailed as failure:
                    failed(failure)
                    if not failure.retryable or turn == self._retries:
                        raise
                    wait = self._wait_after(failure, turn)
                else:
                    settle(reply)
                    return reply
            turn += 1
            self._sleep(wait)

    def _wait_after(self, failure: ChatFailed, turn: int) -> float:
        wait = min(self._longest_wait, self._first_wait * 2.0**turn) * self._random.uniform(0.5, 1.0)
        asked = failure.retry_after
        if asked is None:
            return wait
        if asked > self._longest_pause:
            raise ChatFailed(
                reason=failure.reason,
                got=f"a server that asks to wait {asked:.0f} s",
                expected=f"at most {self._longest_pause:.0f} s",
                fix="All replies are kept: go on with --resume when that time is over",
                fatal=True,
            ) from failure
        # The limit is the account's: nobody else need try before.
        with self._lock:
            self._not_before = max(self._not_before, time.monotonic() + asked)
        return asked

    def _wait_for_slot(self) -> None:
        with self._lock:
            at = max(time.monotonic(), self._next_slot, self._not_before)
            self._next_slot = at + self._gap
        while (left := max(at, self._not_before) - time.monotonic()) > 0:
            self._sleep(left)
        self._sleep(0.0)

    def _sleep(self, seconds: float) -> None:
        if self._stopped.wait(seconds):
            raise Stopped
