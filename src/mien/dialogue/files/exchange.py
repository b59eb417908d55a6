"""Dialogues in the formats that other tools train on, each held against its consumer's loading rules.

Pictures and clips are named by path and never copied here. `mien.dialogue.files.exchange_files` streams the records to
and from disk; FABA-Instruct's flat test items are in `mien.dialogue.files.faba_eval`.

    llava     {"id", "task", "image": path or list, "video": path or list, "conversations": [{"from": "human", "value":
               "<image>\\n…"}, …], "box", "landmark"}
    sharegpt  {"id", "task", "images": [path, …], "videos": […], "system", "conversations": [{"from": "human", …}, …]}
    messages  {"id", "task", "messages": [{"role": "user", "content": "<image>\\n…"}, …], "images": […], "videos": […]}
    openai    {"messages": [{"role": "user", "content": [{"type": "image_url", …}, {"type": "text", …}]}, …]}
    parquet   columns id, task, media (list of paths), turns (list of role, text), box, landmark

The rules, as the loaders have them: LLaVA's and EmoLA's ``train.py`` know the speakers human and gpt only, so a system
turn goes before the first question and is named beside it; EmoLA loads ``landmark`` of every row; LLaMA-Factory wants
as many ``<image>`` and ``<video>`` in the text as paths beside it, and TRL's ``messages`` are the same rows; OpenAI's
service takes ``messages`` and no other key. So a picture is named where its placeholder stands and nowhere else
(FacePhi's rows have none), a clip is a ``<video>``, and ``<prior>`` and ``<landmark>``, which no other tool knows, are
left out. Parquet keeps everything as it is.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from types import MappingProxyType
from typing import Any, Literal, cast

from mien.core.errors import BadInput
from mien.core.nouns import Dialogue, Turn
from mien.core.suffixes import is_clip

__all__ = ["RECORDS", "Item", "Malformed", "RecordFormat", "shown"]

Role = Literal["system", "user", "assistant"]
Record = dict[str, Any]
Box = tuple[float, float, float, float]

_FROM = {"human": "user", "user": "user", "gpt": "assistant", "assistant": "assistant", "system": "system"}
_TO = {"user": "human", "assistant": "gpt", "system": "system"}
_IMAGE, _VIDEO = "<image>", "<video>"
_PLACES = re.compile(f"{_IMAGE}|{_VIDEO}")
_FOREIGN = re.compile("<prior>|<landmark>")
_PARTS = {"image_url": _IMAGE, "video_url": _VIDEO}


class Malformed(ValueError):
    """A record that is not in its format; says which value is wrong. The file reader adds file and line."""


@dataclass(frozen=True, slots=True)
class Item:
    """A dialogue and the pictures or videos that it is about."""

    dialogue: Dialogue
    media: tuple[str, ...] = ()
    """Paths as they shall stand in the file, in the order of their placeholders."""
    box: Box | None = None
    """Left, top, right, bottom in px of the face that is meant, where the picture is not a crop of it."""
    landmark: str | None = None
    """Path of EmoLA's landmark prior."""


@dataclass(frozen=True, slots=True)
class RecordFormat:
    """How one item becomes one JSON-able record, and back."""

    name: str
    title: str
    suffix: str
    """File suffix that `mien.dialogue.files.exchange_files` gives it by default."""
    encode: Callable[[Item], Record]
    decode: Callable[[Mapping[str, Any]], Item]
    lines: bool = False
    """Whether it is JSON lines whatever the file's suffix says."""
    priors: bool = False
    """Whether a trainer of it loads EmoLA's landmark priors."""


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


def shown(item: Item) -> Item:
    """The item as a trainer sees it: a path for every placeholder, clips as ``<video>``, nothing that it cannot know.

    Raises:
        BadInput: as many placeholders as paths cannot be had.
    """
    turns = [replace(turn, text=_FOREIGN.sub("", turn.text)) for turn in item.dialogue.turns]
    places = sum(len(_PLACES.findall(turn.text)) for turn in turns if turn.role == "user")
    if len(item.media) == 1 and places > 1 and is_clip(item.media[0]):
        # A published system shows a clip as so many frames; a trainer draws its own.
        turns = [replace(turn, text=re.sub(f"(?:{_IMAGE})+", _VIDEO, turn.text)) for turn in turns]
        places = sum(len(_PLACES.findall(turn.text)) for turn in turns if turn.role == "user")
    if places and places != len(item.media):
        raise BadInput(
            got=f"dialogue {item.dialogue.sample_id!r} with {places} placeholders for {len(item.media)} paths",
            expected="a path for every <image> and <video> of its questions",
            fix="Write Parquet, which keeps what is there, or correct the dialogue",
        )
    paths = iter(item.media)
    told = tuple(_with_kinds(turn, paths) if turn.role == "user" and places else turn for turn in turns)
    return replace(item, dialogue=replace(item.dialogue, turns=told), media=item.media if places else ())


def _with_kinds(turn: Turn, paths: Iterator[str]) -> Turn:
    """The turn with ``<video>`` where a clip is meant, whatever stood there."""

    def placeholder(match: re.Match[str]) -> str:
        return _VIDEO if is_clip(next(paths)) else match.group()

    return replace(turn, text=_PLACES.sub(placeholder, turn.text))


def _by_kind(item: Item) -> tuple[list[str], list[str]]:
    """Pictures and clips of a shown item."""
    said = [
        place for turn in item.dialogue.turns if turn.role == "user" for place in _PLACES.findall(turn.text)
    ]
    pairs = list(zip(said, item.media, strict=True)) if item.media else []
    pictures = [path for place, path in pairs if place == _IMAGE]
    return pictures, [path for place, path in pairs if place == _VIDEO]


def _in_order(turns: Sequence[Turn], pictures: Sequence[str], clips: Sequence[str]) -> tuple[str, ...]:
    """The paths in the order of their placeholders; what no placeholder asks for comes last."""
    rest = {_IMAGE: list(pictures), _VIDEO: list(clips)}
    said = [place for turn in turns if turn.role == "user" for place in _PLACES.findall(turn.text)]
    # LLaVA-NeXT and LLaMA-VID show a clip by <image>.
    ordered = [(rest[place] or rest[_VIDEO]).pop(0) for place in said if rest[place] or rest[_VIDEO]]
    return (*ordered, *rest[_IMAGE], *rest[_VIDEO])


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
    landmark = None if values.get("landmark") is None else _text(values, "landmark")
    item = Item(
        Dialogue(task, tuple(turns), None if key is None else str(key)),
        media,
        _box(values.get("box")),
        landmark,
    )
    try:
        return checked(item)
    except BadInput as error:
        raise Malformed(f"{error.got}, expected {error.expected}") from error


def _box(value: object) -> Box | None:
    if value is None:
        return None
    if not isinstance(value, list) or len(value) != 4 or not all(type(one) in (int, float) for one in value):
        raise Malformed(f"box is {_short(value)}, expected four numbers")
    left, top, right, bottom = map(float, value)
    return left, top, right, bottom


def _head(item: Item) -> Record:
    key = item.dialogue.sample_id
    return ({} if key is None else {"id": key}) | {"task": item.dialogue.task}


def _tail(item: Item) -> Record:
    known = {"box": None if item.box is None else list(item.box), "landmark": item.landmark}
    return {name: value for name, value in known.items() if value is not None}


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
    item = shown(item)
    turns = item.dialogue.turns
    record = _head(item)
    for name, paths in zip(("image", "video"), _by_kind(item), strict=True):
        if paths:
            record[name] = paths[0] if len(paths) == 1 else paths
    if turns[0].role == "system":
        system, asked, *others = turns
        record["system"] = system.text
        turns = (replace(asked, text=f"{system.text}\n{asked.text}"), *others)
    return record | {"conversations": _said(turns)} | _tail(item)


def _from_llava(values: Mapping[str, Any]) -> Item:
    turns = _heard(values)
    if "system" in values and turns[0].role == "user":
        system = _text(values, "system")
        asked = turns[0].text.removeprefix(f"{system}\n")
        turns[:1] = [Turn("system", system), Turn("user", asked)]
    pictures, clips = _paths(values.get("image"), "image"), _paths(values.get("video"), "video")
    return _item(values, turns, _in_order(turns, pictures, clips))


def _to_sharegpt(item: Item) -> Record:
    item = shown(item)
    record, turns = _head(item) | _lists(item), item.dialogue.turns
    if turns[0].role == "system":
        record["system"] = turns[0].text
        turns = turns[1:]
    return record | {"conversations": _said(turns)} | _tail(item)


def _lists(item: Item) -> Record:
    return {name: paths for name, paths in zip(("images", "videos"), _by_kind(item), strict=True) if paths}


def _listed(values: Mapping[str, Any], turns: Sequence[Turn]) -> Item:
    pictures, clips = _paths(values.get("images"), "images"), _paths(values.get("videos"), "videos")
    return _item(values, turns, _in_order(turns, pictures, clips))


def _from_sharegpt(values: Mapping[str, Any]) -> Item:
    turns = _heard(values)
    if "system" in values:
        turns.insert(0, Turn("system", _text(values, "system")))
    return _listed(values, turns)


def _to_messages(item: Item) -> Record:
    item = shown(item)
    said = [{"role": turn.role, "content": turn.text} for turn in item.dialogue.turns]
    return _head(item) | {"messages": said} | _lists(item) | _tail(item)


def _from_messages(values: Mapping[str, Any]) -> Item:
    turns = [Turn(_role(message), _text(message, "content")) for message in _list(values, "messages")]
    return _listed(values, turns)


def _role(message: Mapping[str, Any]) -> Role:
    role = message.get("role")
    if not isinstance(role, str) or role not in _TO:
        raise Malformed(f"role is {_short(role)}, expected one of {', '.join(_TO)}")
    return cast(Role, role)


def _to_openai(item: Item) -> Record:
    item = shown(item)
    if item.box is not None and item.media:
        raise BadInput(
            got=f"dialogue {item.dialogue.sample_id!r} about one face of a picture",
            expected="a picture of that face: the format has no place for a box",
            fix="Let the faces be cut out: --pictures FOLDER or --embed",
        )
    paths = iter(item.media)
    messages: list[Record] = []
    for turn in item.dialogue.turns:
        if item.media and turn.role == "user" and _PLACES.search(turn.text):
            messages.append({"role": turn.role, "content": list(_parts(turn.text, paths))})
        else:
            messages.append({"role": turn.role, "content": turn.text})
    return {"messages": messages}


def _parts(text: str, paths: Iterator[str]) -> Iterator[Record]:
    for piece in re.split(f"({_PLACES.pattern})", text):
        if piece in (_IMAGE, _VIDEO):
            kind = "image_url" if piece == _IMAGE else "video_url"
            yield {"type": kind, kind: {"url": next(paths)}}
        elif piece:
            yield {"type": "text", "text": piece}


def _from_openai(values: Mapping[str, Any]) -> Item:
    turns: list[Turn] = []
    media: list[str] = []
    for message in _list(values, "messages"):
        role, content = _role(message), message.get("content")
        pieces = (
            [{"type": "text", "text": content}] if isinstance(content, str) else _list(message, "content")
        )
        turns.append(Turn(role, "".join(_piece(piece, media) for piece in pieces)))
    metadata = values.get("metadata") or {}
    if not isinstance(metadata, dict):
        raise Malformed(f"metadata is {_short(metadata)}, expected an object")
    return _item(metadata, turns, tuple(media) + _paths(metadata.get("media"), "media"))


def _piece(piece: Mapping[str, Any], media: list[str]) -> str:
    kind = piece.get("type")
    if kind == "text":
        return _text(piece, "text")
    url = piece.get(kind) if isinstance(kind, str) else None
    if kind not in _PARTS or not isinstance(url, dict):
        raise Malformed(f"content part {_short(dict(piece))}, expected a text, an image_url or a video_url")
    media.append(_text(url, "url"))
    return _PARTS[kind]


def _to_columns(item: Item) -> Record:
    turns = [{"role": turn.role, "text": turn.text} for turn in item.dialogue.turns]
    head = {"id": item.dialogue.sample_id, "task": item.dialogue.task}
    box = None if item.box is None else list(item.box)
    return head | {"media": list(item.media), "turns": turns, "box": box, "landmark": item.landmark}


def _from_columns(values: Mapping[str, Any]) -> Item:
    turns = [Turn(_role(one), _text(one, "text")) for one in _list(values, "turns")]
    return _item(values, turns, _paths(values.get("media"), "media"))


RECORDS: Mapping[str, RecordFormat] = MappingProxyType(
    {
        one.name: one
        for one in (
            RecordFormat("llava", "LLaVA's training file, one JSON array", ".json",
                         _to_llava, _from_llava, priors=True),
            RecordFormat("sharegpt", "ShareGPT turns, one JSON array", ".json", _to_sharegpt, _from_sharegpt),
            RecordFormat("messages", "messages beside their images and videos, one JSON array", ".json",
                         _to_messages, _from_messages),
            RecordFormat("openai", "OpenAI chat messages, JSON lines", ".jsonl", _to_openai, _from_openai, lines=True),
            RecordFormat("parquet", "a table, one row per dialogue", ".parquet", _to_columns, _from_columns),
        )
    }
)  # fmt: skip
"""Formats by name."""
