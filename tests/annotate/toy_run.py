"""A small engine, and a command that runs it against a server: what the kill tests kill.

python toy_run.py URL OUT --items N --workers N [--resume]
"""

from __future__ import annotations

import argparse
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from mien.annotate.engine import Item, Kept, Rejected, Steps
from mien.annotate.runner import RunOptions, run
from mien.backends.chat import ChatMessage, ChatRequest
from mien.backends.openai import OpenAITeacher


@dataclass
class ToyEngine:
    """Two steps per item; the second is the same for two neighbours, and every seventh item is rejected."""

    count: int = 10
    name: str = "toy"
    settings: Mapping[str, Any] = field(default_factory=lambda: {"wording": 1})

    def items(self) -> Iterable[Item]:
        return (Item(f"item{number:04d}", inputs={"number": number}) for number in range(self.count))

    def process(self, item: Item) -> Steps:
        number = item.inputs["number"]
        first = yield ask("first", f"say {number}")
        second = yield ask("second", f"say half of it: {number // 2}")
        if number % 7 == 6:
            return Rejected("a seventh", first.text)
        return Kept({"first": first.text, "second": second.text})


def ask(step: str, text: str) -> ChatRequest:
    return ChatRequest(f"toy/{step}", "1", (ChatMessage("user", text),), {"text": text}, max_tokens=16)


def main() -> None:
    options = argparse.ArgumentParser(description=__doc__)
    options.add_argument("url")
    options.add_argument("out", type=Path)
    options.add_argument("--items", type=int, required=True)
    options.add_argument("--workers", type=int, default=8)
    options.add_argument("--resume", action="store_true")
    chosen = options.parse_args()
    teacher = OpenAITeacher(chosen.url, "toy-1", timeout=10.0)
    run(
        ToyEngine(chosen.items),
        teacher,
        chosen.out,
        RunOptions(workers=chosen.workers, resume=chosen.resume, first_wait=0.01),
    )
    teacher.close()


if __name__ == "__main__":
    main()
