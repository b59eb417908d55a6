"""What a run would ask and cost, found out on a few items without sending anything."""

from __future__ import annotations

from collections import Counter
from dataclasses import dataclass, replace

from mien.annotate.drive import drive
from mien.annotate.engine import Engine, Rejected
from mien.annotate.listing import list_items
from mien.backends.chat import ChatRequest, Reply, Teacher
from mien.backends.patience import Prices, estimate_text, estimate_tokens

__all__ = ["Plan", "plan"]


@dataclass(frozen=True, slots=True)
class Plan:
    """An estimate; tokens are counted as four characters each, plus a fixed number per picture."""

    items: int
    sampled: int
    """Items that were driven."""
    complete: bool
    """False when only the first request of each item is known, since nobody answered it."""
    steps: dict[str, float]
    """Step -> requests per item."""
    requests: int
    """For all items."""
    tokens_in: int
    tokens_out: int
    """As long as the offline teacher's replies are."""
    tokens_out_most: int
    """If every reply is as long as it may be."""
    cost: float
    cost_most: float
    rejected: dict[str, int]
    """Reasons among the sampled items."""
    example: ChatRequest | None
    """The first request."""


class _FirstOnly(Exception):
    """There is nobody to answer the first request."""


@dataclass(slots=True)
class _Count:
    steps: Counter[str]
    tokens_in: int = 0
    tokens_out: int = 0
    most: int = 0
    example: ChatRequest | None = None

    def note(self, request: ChatRequest) -> None:
        self.example = self.example or request
        self.steps[request.step] += 1
        self.tokens_in += estimate_tokens(request)
        self.most += request.max_tokens


def plan(
    engine: Engine, guide: Teacher | None, prices: Prices, sample: int = 20, reply_tokens: int | None = None
) -> Plan:
    """Drive up to ``sample`` items, evenly spread, and scale up.

    Args:
        reply_tokens: longest reply, in place of the engine's.
        guide: an offline teacher whose replies lead through all steps; None counts first requests only.

    Raises:
        BadData: two items have one id.
    """
    ids = list_items(engine)
    every = max(1, -(-len(ids) // max(1, sample)))
    chosen = set(ids[::every])
    count, rejected = _Count(Counter()), Counter[str]()

    def reply_to(request: ChatRequest) -> Reply:
        count.note(request if reply_tokens is None else replace(request, max_tokens=reply_tokens))
        if guide is None:
            raise _FirstOnly
        reply = guide.reply(request)
        count.tokens_out += estimate_text(reply.text)
        return reply

    for item in engine.items():
        if item.id not in chosen:
            continue
        try:
            outcome = drive(engine, item, reply_to)
        except _FirstOnly:
            continue
        if isinstance(outcome, Rejected):
            rejected[outcome.reason] += 1
    return _scaled(count, rejected, len(ids), len(chosen), guide is not None, prices)


def _scaled(
    count: _Count, rejected: Counter[str], items: int, sampled: int, complete: bool, prices: Prices
) -> Plan:
    def scaled(number: int) -> int:
        return round(number * items / sampled) if sampled else 0

    tokens_in, tokens_out, most = scaled(count.tokens_in), scaled(count.tokens_out), scaled(count.most)
    return Plan(
        items=items,
        sampled=sampled,
        complete=complete,
        steps={step: number / sampled for step, number in sorted(count.steps.items())},
        requests=scaled(count.steps.total()),
        tokens_in=tokens_in,
        tokens_out=tokens_out,
        tokens_out_most=most,
        cost=prices.cost(tokens_in, tokens_out),
        cost_most=prices.cost(tokens_in, most),
        rejected=dict(sorted(rejected.items())),
        example=count.example,
    )
