"""The review sheet: one HTML file in which a person checks descriptions against their pictures and corrects them.

    write_review_sheet(rows, Path("review.html"), open_picture=open_media)
    # … open it in a browser, check, press Export …
    reviewed = apply_corrections(rows, read_corrections(Path("review.json")))   # mien.annotate.faba.review

The file holds its pictures, style and script and asks for nothing from outside. What is typed is kept in the browser
until it is exported, and an exported file can be loaded again to go on.
"""

from __future__ import annotations

import base64
import hashlib
import json
from collections.abc import Callable, Mapping, Sequence
from functools import lru_cache
from pathlib import Path
from typing import Any

from jinja2 import Environment, StrictUndefined, Template
from markupsafe import Markup

from mien.analyze.palette import EMOTION_COLOURS
from mien.annotate.faba.filters import affirmed_units
from mien.annotate.faba.review import FORMAT, row_key, sheet_key
from mien.annotate.faba.rows import EMOTION_LABELS, UNITS, Rows, row_text, say_units
from mien.annotate.faba.statistics import described_emotion
from mien.annotate.pictures import PictureSize, cut_face, encode_picture
from mien.core.aus import AUS
from mien.core.errors import MienError
from mien.core.nouns import Image
from mien.core.paths import write_whole

__all__ = ["render_review_sheet", "write_review_sheet"]

_HERE = Path(__file__).parent
_PICTURE = PictureSize(side=360, quality=80, max_bytes=40_000)


def write_review_sheet(
    rows: Rows, path: Path, open_picture: Callable[[str], Image], title: str = "Review of descriptions"
) -> int:
    """Write the sheet of some rows of the faba engine, usually the test part.

    Args:
        rows: rows with ``id``, ``image``, ``box``, ``conversations``, ``task``, ``label``.
        path: the HTML file.
        open_picture: opens a row's ``image``; one that cannot be opened is shown as a note, not an error.
        title: heading.

    Returns:
        The number of pictures that could not be shown.
    """
    text, missing = render_review_sheet(rows, open_picture, title)
    write_whole(path, text)
    return missing


def render_review_sheet(
    rows: Rows, open_picture: Callable[[str], Image], title: str = "Review of descriptions"
) -> tuple[str, int]:
    """The sheet's HTML, and the number of pictures that could not be shown. Equal rows give equal text."""
    groups: dict[str, list[Mapping[str, Any]]] = {}
    for row in rows:
        groups.setdefault(str(row["image"]), []).append(row)
    cards, missing = [], 0
    for image, own in groups.items():
        picture, note = _picture(image, own[0].get("box"), open_picture)
        missing += picture is None
        cards.append({"image": image, "picture": picture, "note": note, "rows": [_view(row) for row in own]})
    script = (_HERE / "review_sheet.js").read_text("utf-8")
    digest = base64.b64encode(hashlib.sha256(script.encode()).digest()).decode("ascii")
    html = _template().render(
        title=title,
        cards=cards,
        rows=sum(len(own) for own in groups.values()),
        tasks=sorted({str(row["task"]) for row in rows}, reverse=True),
        emotions=[(label, EMOTION_COLOURS[label.lower()]) for label in EMOTION_LABELS],
        units=[(str(AUS[key].number), AUS[key].name) for key in UNITS],
        sheet=sheet_key(rows),
        format=FORMAT,
        script=Markup(script),
        script_hash=digest,
        style=Markup((_HERE / "review_sheet.css").read_text("utf-8")),
    )
    return html, missing


def _picture(
    image: str, box: Sequence[float] | None, open_picture: Callable[[str], Image]
) -> tuple[str | None, str]:
    """JPEG as base64 of what the teacher was shown, and why there is none."""
    try:
        pixels = open_picture(image)
    except MienError as error:
        return None, error.got
    if box is not None:
        left, top, right, bottom = box
        pixels = cut_face(pixels, (left, top, right, bottom))
    return base64.b64encode(encode_picture(pixels, _PICTURE).data).decode("ascii"), ""


def _view(row: Mapping[str, Any]) -> dict[str, Any]:
    """What the template shows of one row."""
    text, task = row_text(row), str(row["task"])
    label = str(row["label"])
    question = str(row["conversations"][0]["value"]).replace("<image>", "").strip()
    return {
        "id": str(row["id"]),
        "key": row_key(row),
        "task": task,
        "question": question,
        "text": text,
        "words": len(text.split()),
        "lines": min(max(_lines(text), 4), 18),
        "label": label,
        "chosen": [number.strip() for number in label.split(",")] if task == "au" else [label],
        "source": str(row.get("label_source", "")),
        "doubt": _doubt(task, label, text),
    }


def _lines(text: str, width: int = 96) -> int:
    return sum(max(-(-len(line) // width), 1) for line in text.split("\n"))


def _doubt(task: str, label: str, text: str) -> str:
    """Where label and text disagree; empty when they agree."""
    if task == "emotion":
        told = described_emotion(text)
        if told is None or told == label.lower():
            return ""
        return f"The text tells of {told}."
    said, given = set(affirmed_units(text, UNITS)), {number.strip() for number in label.split(",")}
    numbers = {str(AUS[key].number) for key in said}
    only_text = say_units(key for key in UNITS if key in said and str(AUS[key].number) not in given)
    only_label = ", ".join(sorted(given - numbers - {""}, key=int))
    parts: Sequence[str] = [
        f"only in the text: {only_text}" if only_text else "",
        f"only in the label: {only_label}" if only_label else "",
    ]
    joined = "; ".join(part for part in parts if part)
    return f"Action Units {joined}." if joined else ""


@lru_cache(maxsize=1)
def _template() -> Template:
    environment = Environment(
        autoescape=True, undefined=StrictUndefined, trim_blocks=True, lstrip_blocks=True
    )
    environment.filters["json"] = json.dumps
    return environment.from_string((_HERE / "review_sheet.html").read_text("utf-8"))
