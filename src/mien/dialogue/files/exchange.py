"""Dialogues in the formats that other tools train on: LLaVA, ShareGPT, OpenAI chat and Parquet.

Each keeps everything (turns with their evidence placeholders, task, sample id, paths of pictures), so that what was
written is read back the same. Pictures are named by path and never copied. `mien.dialogue.files.exchange_files`
streams the records to and from disk; FABA-Instruct's flat test items are in `mien.dialogue.files.faba_eval`.

    llava     {"id", "task", "image": path or list, "conversations": [{"from": "human", "value": "<image>\\n…"}, …]}
    sharegpt  {"id", "task", "images": [path, …], "system", "conversations": [{"from": "human", "value": "…"}, …]}
    openai    {"messages": [{"role": "user", "content": [{"type": "image_url", …}, {"type": "text", …}]}, …],
               "metadata": {"id", "task", "media"}}
    parquet   columns id, task, media (list of paths), turns (list of role, text)
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from types import MappingProxyType
from typing import Any, Literal, cast

from mien.core.errors import BadInput
from mien.core.nouns import Dialogue, Turn

__all__ = ["RECORDS", "Item", "Malformed", "RecordFormat"]

Role = Literal["system", "user", "assistant"]
Record = dict[str, Any]

_FROM = {"human": "user", "user": "user", "gpt": "assistant", "assistant": "assistant", "system": "system"}
_TO = {"user": "human", "assistant": "gpt", "system": "system"}
_IMAGE = "<image>"


class Malformed(ValueError):
    """A record that is not in its format; says which value is wrong. The file reader adds file and line."""


@dataclass(frozen=True, slots=True)
class Item:
    """A dialogue and the pictures or videos that it is about."""

    dialogue: Dialogue
    media: tuple[str, ...] = ()
    """Paths as they shall stand in the file, in the order of their placeholders."""


@dataclass(frozen=True, slots=True)
class RecordFormat:
    """How one item becomes one JSON-able record, and back."""

    name: str
    title: str
    suffix: str
    """File suffix that `mien.dialogue.files.exchange_files` gives it by default."""
    encode: Callable[[Item], Record]
    decode: Callable[[Mapping[str, Any]], Item]


def checked(item: Item) -> Item:
    """The item, if its turns can be told in every format: at most one system turn, in front, then user and assistant.

    Raises:
        BadInput: no turns, or turns in another order.
    """
    roles = [turn.role for turn in item.dialogue.turns]
    spoken = roles[1:] if roles[:1] == ["system"] else roles
    wanted = [("user", "assistant")[place % 2] for place in range(len(spoken))]
    if not spoken or spoken != wanted:
        raise BadInput(
            got=f"dialogue {item.dialogue.sample_id!r} with turns {', '.join(roles) or 'none'}",
            expected="user and assistant in turn, after at most one system turn",
            fix="Join or split its turns first",
        )
    return item


def _text(values: Mapping[str, Any], name: str, default: str | None = None) -> str:
    value = values.get(name, default)
    if not isinstance(value, str):
        raise Malformed(f"{name} is {_short(value)}, expected a text")
    return value


def _short(value: object) -> str:
    said = repr(value)
    return said if len(said) <= 60 else said[:57] + "..."


def _paths(value: object, name: str) -> tuple[str, ...]:
    listed = [value] if isinstance(value, str) else value
    if listed is None:
        return ()
    if not isinstance(listed, list) or not all(isinstance(path, str) for path in listed):
        raise Malformed(f"{name} is {_short(value)}, expected a path or a list of paths")
    return tuple(listed)


def _list(values: Mapping[str, Any], name: str) -> list[Mapping[str, Any]]:
    listed = values.get(name)
    if not isinstance(listed, list) or not listed or not all(isinstance(one, dict) for one in listed):
        raise Malformed(f"{name} is {_short(listed)}, expected a list of objects")
    return listed


def _item(values: Mapping[str, Any], turns: Sequence[Turn], media: tuple[str, ...]) -> Item:
    """``values`` holds ``id`` and ``task``; other tools leave the task out, and some number their items."""
    key = values.get("id")
    if key is not None and not isinstance(key, str | int):
        raise Malformed(f"id is {_short(key)}, expected a text or a number")
    task = _text(values, "task", "conversation")
    item = Item(Dialogue(task, tuple(turns), None if key is None else str(key)), media)
    try:
        return checked(item)
    except BadInput as error:
        raise Malformed(f"{error.got}, expected {error.expected}") from error


def _head(item: Item) -> Record:
    key = item.dialogue.sample_id
    return ({} if key is None else {"id": key}) | {"task": item.dialogue.task}


def _said(turns: Sequence[Turn]) -> list[dict[str, str]]:
    return [{"from": _TO[turn.role], "value": turn.text} for turn in turns]


def _heard(values: Mapping[str, Any]) -> list[Turn]:
    turns = []
    for one in _list(values, "conversations"):
        speaker = one.get("from")
        if not isinstance(speaker, str) or speaker not in _FROM:
            raise Malformed(f"from is {_short(speaker)}, expected one of {', '.join(_FROM)}")
        turns.append(Turn(cast(Role, _FROM[speaker]), _text(one, "value")))
    return turns


def _to_llava(item: Item) -> Record:
    record = _head(item)
    if item.media:
        record["image"] = item.media[0] if len(item.media) == 1 else list(item.media)
    return record | {"conversations": _said(item.dialogue.turns)}


def _from_llava(values: Mapping[str, Any]) -> Item:
    # LLaMA-VID names a clip under its own key.
    return _item(values, _heard(values), _paths(values.get("image", values.get("video")), "image"))


def _to_sharegpt(item: Item) -> Record:
    record, turns = _head(item), item.dialogue.turns
    if item.media:
        record["images"] = list(item.media)
    if turns[0].role == "system":
        record["system"] = turns[0].text
        turns = turns[1:]
    return record | {"conversations": _said(turns)}


def _from_sharegpt(values: Mapping[str, Any]) -> Item:
    turns = _heard(values)
    if "system" in values:
        turns.insert(0, Turn("system", _text(values, "system")))
    return _item(values, turns, _paths(values.get("images"), "images"))


def _to_openai(item: Item) -> Record:
    places = sum(turn.text.count(_IMAGE) for turn in item.dialogue.turns if turn.role == "user")
    # Frames of one video share a path, and FacePhi's landmarks have no image part: those paths go to the metadata.
    fits = places == len(item.media) and places > 0
    paths = iter(item.media)
    messages: list[Record] = []
    for turn in item.dialogue.turns:
        if fits and turn.role == "user" and _IMAGE in turn.text:
            messages.append({"role": turn.role, "content": list(_parts(turn.text, paths))})
        else:
            messages.append({"role": turn.role, "content": turn.text})
    metadata = _head(item)
    if item.media and not fits:
        metadata["media"] = list(item.media)
    return {"messages": messages, "metadata": metadata}


def _parts(text: str, paths: Iterator[str]) -> Iterator[Record]:
    for piece in re.split(f"({_IMAGE})", text):
        if piece == _IMAGE:
            yield {"type": "image_url", "image_url": {"url": next(paths)}}
        elif piece:
            yield {"type": "text", "text": piece}


def _from_openai(values: Mapping[str, Any]) -> Item:
    turns: list[Turn] = []
    media: list[str] = []
    for message in _list(values, "messages"):
        role = message.get("role")
        if role not in _TO:
            raise Malformed(f"role is {_short(role)}, expected one of {', '.join(_TO)}")
        content = message.get("content")
        pieces = (
            [{"type": "text", "text": content}] if isinstance(content, str) else _list(message, "content")
        )
        turns.append(Turn(cast(Role, role), "".join(_piece(piece, media) for piece in pieces)))
    metadata = values.get("metadata", {})
    if not isinstance(metadata, dict):
        raise Malformed(f"metadata is {_short(metadata)}, expected an object")
    return _item(metadata, turns, tuple(media) + _paths(metadata.get("media"), "media"))


def _piece(piece: Mapping[str, Any], media: list[str]) -> str:
    if piece.get("type") == "text":
        return _text(piece, "text")
    url = piece.get("image_url")
    if piece.get("type") != "image_url" or not isinstance(url, dict):
        raise Malformed(f"content part {_short(dict(piece))}, expected a text or an image_url")
    media.append(_text(url, "url"))
    return _IMAGE


def _to_columns(item: Item) -> Record:
    turns = [{"role": turn.role, "text": turn.text} for turn in item.dialogue.turns]
    head = {"id": item.dialogue.sample_id, "task": item.dialogue.task}
    return head | {"media": list(item.media), "turns": turns}


def _from_columns(values: Mapping[str, Any]) -> Item:
    turns = []
    for one in _list(values, "turns"):
        if one.get("role") not in _TO:
            raise Malformed(f"role is {_short(one.get('role'))}, expected one of {', '.join(_TO)}")
        turns.append(Turn(one["role"], _text(one, "text")))
    return _item(values, turns, _paths(values.get("media"), "media"))


RECORDS: Mapping[str, RecordFormat] = MappingProxyType(
    {
        one.name: one
        for one in (
            RecordFormat("llava", "LLaVA's training file, one JSON array", ".json", _to_llava, _from_llava),
            RecordFormat("sharegpt", "ShareGPT turns, one JSON array", ".json", _to_sharegpt, _from_sharegpt),
            RecordFormat("openai", "OpenAI chat messages, JSON lines", ".jsonl", _to_openai, _from_openai),
            RecordFormat("parquet", "a table, one row per dialogue", ".parquet", _to_columns, _from_columns),
        )
    }
)
"""Formats by name."""
