"""Dialogues that come with the data: what `mien annotate conversations` wrote trains as it is."""

from __future__ import annotations

from pathlib import Path

from mien.core.errors import BadData
from mien.core.nouns import Dialogue
from mien.dialogue.files.exchange_files import read_items

__all__ = ["read_conversations"]


def read_conversations(path: Path) -> dict[str, Dialogue]:
    """Sample id -> its dialogue. An answer before the first question is dropped, as LLaVA's loader does.

    Args:
        path: LLaVA rows (``.jsonl`` or ``.json``), or Parquet as `mien.dialogue.files.exchange` has it.

    Raises:
        BadData: it cannot be read, a row has no id or comes twice, or its turns do not alternate.
    """
    found: dict[str, Dialogue] = {}
    for item in read_items(path, "parquet" if path.suffix == ".parquet" else "llava"):
        dialogue = item.dialogue
        turns = dialogue.turns[1:] if dialogue.turns[0].role == "assistant" else dialogue.turns
        roles = [turn.role for turn in turns if turn.role != "system"]
        fault = (
            "no id"
            if dialogue.sample_id is None
            else f"id {dialogue.sample_id!r} twice"
            if dialogue.sample_id in found
            else f"turns of {', '.join(roles) or 'nobody'}"
            if not roles or roles != ["user", "assistant"] * (len(roles) // 2)
            else None
        )
        if fault is not None:
            raise BadData(
                got=f"{path} with {fault}",
                expected="one row per sample, question and answer in turn",
                fix="Write the file again with mien annotate conversations, or correct the row",
            )
        found[str(dialogue.sample_id)] = Dialogue(dialogue.task, turns, dialogue.sample_id)
    return found
