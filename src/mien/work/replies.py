"""What teachers were asked and replied, in the journal of a run: a reply is stored before it is used."""

from __future__ import annotations

import time
from dataclasses import dataclass

from mien.backends.chat import ChatFailed, ChatRequest, Reply, canonical
from mien.backends.thoughts import join_thoughts, split_thoughts
from mien.work.journal import Journal

__all__ = ["Replies", "StepTotal", "Totals"]


@dataclass(frozen=True, slots=True)
class StepTotal:
    """What one step has cost so far."""

    requests: int
    tokens_in: int
    tokens_out: int


@dataclass(frozen=True, slots=True)
class Totals:
    """What all replies of a run have cost so far."""

    requests: int = 0
    tokens_in: int = 0
    tokens_out: int = 0
    seconds: float = 0.0
    """Sum over requests, from sending to the last byte."""
    failures: int = 0
    """Tries that gave no reply."""


class Replies:
    """The replies in ``journal``; a `mien.backends.memory.ReplyStore`."""

    def __init__(self, journal: Journal) -> None:
        self.journal = journal

    @property
    def name(self) -> str:
        """Of the file."""
        return self.journal.path.name

    def ask(self, key: str, request: ChatRequest, model: str) -> None:
        """Note that a request is about to be sent."""
        values = (key, request.step, model, canonical(request.body()), time.time())
        self.journal.write("INSERT OR REPLACE INTO requests VALUES (?, ?, ?, ?, ?)", values)

    def put(self, key: str, reply: Reply, seconds: float = 0.0) -> None:
        """Store the reply to a request that was noted."""
        text = join_thoughts(reply.text, reply.thoughts)
        values = (key, text, reply.finish, reply.tokens_in, reply.tokens_out, seconds)
        self.journal.write("INSERT OR REPLACE INTO replies VALUES (?, ?, ?, ?, ?, ?)", values)

    def get(self, key: str) -> Reply | None:
        """The stored reply, or None."""
        query = "SELECT text, finish, tokens_in, tokens_out FROM replies WHERE key = ?"
        found = self.journal.rows(query, (key,))
        if not found:
            return None
        text, finish, tokens_in, tokens_out = found[0]
        answer, thoughts = split_thoughts(text)
        return Reply(answer, finish, tokens_in, tokens_out, thoughts)

    def note_failure(self, key: str, failure: ChatFailed) -> None:
        """Store a try that gave no reply."""
        values = (key, failure.reason, str(failure), time.time())
        self.journal.write("INSERT INTO failures VALUES (?, ?, ?, ?)", values)

    def unanswered(self) -> list[str]:
        """Keys of requests that were sent and have neither a reply nor a failed try since.

        After a kill these are the requests that were under way: the server may have billed them.
        """
        query = (
            "SELECT key FROM requests WHERE key NOT IN (SELECT key FROM replies) AND NOT EXISTS "
            "(SELECT 1 FROM failures WHERE failures.key = requests.key AND failures.at >= requests.asked) "
            "ORDER BY key"
        )
        return [key for (key,) in self.journal.rows(query)]

    def totals(self) -> Totals:
        """What everything in this run has cost."""
        query = (
            "SELECT count(*), coalesce(sum(tokens_in), 0), coalesce(sum(tokens_out), 0), "
            "coalesce(sum(seconds), 0.0), (SELECT count(*) FROM failures) FROM replies"
        )
        return Totals(*self.journal.rows(query)[0])

    def steps(self) -> dict[str, StepTotal]:
        """What each step has cost, in the order of their names."""
        query = (
            "SELECT step, count(*), sum(tokens_in), sum(tokens_out) FROM replies JOIN requests USING (key) "
            "GROUP BY step ORDER BY step"
        )
        return {step: StepTotal(*total) for step, *total in self.journal.rows(query)}
