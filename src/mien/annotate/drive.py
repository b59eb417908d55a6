"""One item through an engine: its steps are driven by a teacher's replies until there is an outcome."""

from __future__ import annotations

from collections.abc import Callable

from mien.annotate.engine import Engine, Item, Outcome, Rejected, Steps
from mien.backends.chat import ChatRequest, Reply
from mien.core.errors import MienError

__all__ = ["drive"]

_REFUSED = {"refusal": "refused by the teacher", "content_filter": "content filter"}


def drive(engine: Engine, item: Item, reply_to: Callable[[ChatRequest], Reply]) -> Outcome:
    """Run the engine's steps on one item.

    A reply marked as refused or filtered, or of thoughts alone, rejects the item; so does a `MienError` of the
    engine. Errors of ``reply_to`` pass through.
    """
    steps = engine.process(item)
    try:
        taken = _advance(steps, None)
        while isinstance(taken, ChatRequest):
            reply = reply_to(taken)
            if reply.finish in _REFUSED:
                return Rejected(_REFUSED[reply.finish], f"{taken.step}: {reply.text}")
            if reply.unsaid is not None:
                return Rejected(
                    reply.unsaid, f"{taken.step}: {reply.tokens_out} tokens; raise --reply-tokens"
                )
            taken = _advance(steps, reply)
        return taken
    finally:
        steps.close()


def _advance(steps: Steps, reply: Reply | None) -> ChatRequest | Outcome:
    try:
        return next(steps) if reply is None else steps.send(reply)
    except StopIteration as end:
        outcome: Outcome = end.value
        return outcome
    except MienError as error:
        return Rejected("error", str(error))
