"""Finished runs joined into one, above all the shares of a run: nothing is done again."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from mien.core.errors import BadConfig
from mien.work.folder import RunFolder
from mien.work.journal import JOURNAL, Journal
from mien.work.loop import Shard

__all__ = ["Part", "join", "read_part"]


@dataclass(frozen=True, slots=True)
class Part:
    """What the journal of a finished run says of it."""

    path: Path
    settings: dict[str, Any]
    asked: dict[str, Any]
    contents: dict[str, Any]
    """What the command keeps for writing its files."""


def read_part(run: Path) -> Part:
    """Read a run that is to be joined.

    Raises:
        BadConfig: no finished run of this mien there, or a process works on it.
    """
    if not (run / JOURNAL).is_file():
        raise BadConfig(
            got=f"{run} without {JOURNAL}", expected="the folder of a run", fix="Name the --out of each run"
        )
    with Journal(run / JOURNAL) as journal:
        if journal.meta("state") != "complete":
            raise BadConfig(
                got=f"{run}, whose run did not end", expected="finished runs", fix="Finish it with --resume"
            )
        found = [journal.told(key) for key in ("settings", "asked", "contents")]
    return Part(run, *found)


def join(folder: RunFolder, parts: Sequence[Part]) -> list[str]:
    """Take all runs into the journal of ``folder``, and give their items in order.

    Shares of one run are put in the order of the whole; other runs stand one behind the other.

    Raises:
        BadConfig: runs of other settings, a share that is missing or there twice, or one item in two runs.
    """
    shards = [Shard.parse(str(part.asked.get("shard", "1/1"))) for part in parts]
    whole = all(part.asked.get("inputs") == parts[0].asked.get("inputs") for part in parts)
    shares = whole and max(one.of for one in shards) > 1
    if shares and sorted(map(str, shards)) != sorted(f"{n + 1}/{shards[0].of}" for n in range(shards[0].of)):
        raise BadConfig(
            got=f"the shares {', '.join(map(str, shards))}",
            expected=f"each of the {shards[0].of} once",
            fix="Name the folders of all shares of one run",
        )
    ordered: list[tuple[int, int, str]] = []
    for number, part in enumerate(parts):
        folder.journal.check_settings(part.settings)
        found = folder.journal.take_in(part.path / JOURNAL)
        ordered += [(0 if shares else number, entry.place, entry.item) for entry in found]
    return [item for _, _, item in sorted(ordered)]
