"""The ``rules`` teacher: answers every step of the data engines offline, by rules, from the facts of the request.

It is no model. Its answers are drawn from word lists with a seed that follows from the request, so that they vary from
item to item and never from run to run. Each engine brings the rules of its own steps.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from importlib import import_module
from types import MappingProxyType

from mien.backends.chat import ChatRequest, Reply
from mien.core.errors import BadConfig, require_known

__all__ = ["STEP_TABLES", "RulesTeacher", "Step", "all_steps", "open_rules_teacher"]

Step = Callable[[ChatRequest], str]
"""A pure function of the request's facts (and of its key, as a seed)."""

STEP_TABLES: Mapping[str, str] = MappingProxyType(
    {
        "exp-cot": "mien.annotate.exp_cot.rules:STEPS",
        "faba": "mien.annotate.faba.rules:FABA_STEPS",
        "conversations": "mien.annotate.conversations.rules:CONVERSATION_STEPS",
    }
)
"""Engine -> ``module:table``; a table maps step names to functions."""


class RulesTeacher:
    """Answers by rules.

    Args:
        steps: step name -> function of the request.
    """

    model = "rules"

    def __init__(self, steps: Mapping[str, Step]) -> None:
        self._steps = MappingProxyType(dict(steps))

    @property
    def steps(self) -> tuple[str, ...]:
        """Names of the steps that it can answer."""
        return tuple(self._steps)

    def reply(self, request: ChatRequest) -> Reply:
        """The answer; costs nothing, and is never cut.

        Raises:
            BadConfig: there are no rules for this step.
        """
        if request.step not in self._steps:
            raise BadConfig(
                got=f"step {request.step!r}",
                expected=f"one of {', '.join(self._steps) or 'no step at all'}",
                fix="Use a model server as teacher for this engine",
            )
        return Reply(self._steps[request.step](request))


def all_steps(*engines: str) -> dict[str, Step]:
    """The rules of the named engines (default: all), loaded now."""
    merged: dict[str, Step] = {}
    for engine in engines or tuple(STEP_TABLES):
        require_known(engine, STEP_TABLES, "engine")
        module, table = STEP_TABLES[engine].split(":")
        merged |= getattr(import_module(module), table)
    return merged


def open_rules_teacher(*engines: str) -> RulesTeacher:
    """The teacher for the named engines, or for all."""
    return RulesTeacher(all_steps(*engines))
