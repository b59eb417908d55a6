"""``mien verify``: statements of a text about a face, each with its verdict against the measurement."""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from rich.console import Console
from rich.table import Table

from mien.analyze.analyzer import Analyzer
from mien.annotate.pictures import PictureSize, encode_picture
from mien.app.terminal import say, shown
from mien.backends.chat import ChatMessage, ChatRequest
from mien.backends.openai import OpenAITeacher
from mien.core.errors import BadConfig, BadInput, MienError, reason_of
from mien.core.nouns import Verification
from mien.core.objects import read_json
from mien.face.decode.images import load_image

__all__ = ["ask_teacher", "run_verify"]


def run_verify(
    text: str, image: str | None, analyzer: Analyzer, as_json: bool, cropped: bool = False
) -> tuple[int, int, int]:
    """Verify one text, a text file, or a JSON-lines file of ``{"text": …, "image": …}``; print what was found.

    Returns:
        Rows, contradicted statements, and rows that could not be verified (each is named on standard error).

    Raises:
        BadInput: no text, no picture, or a file that cannot be read.
    """
    rows = contradicted = failed = 0
    console, errors = Console(), Console(stderr=True)
    for name, row in _rows(text, image):
        rows += 1
        try:
            said, picture = row if isinstance(row, tuple) else _row(row, image)
            found = analyzer.verify(said, picture, cropped)
        except MienError as error:
            failed += 1
            errors.print(shown(f"{name}: {error}"))
            continue
        contradicted += found.contradicted
        if as_json:
            console.print(
                json.dumps({"row": name, "image": picture, **found.to_dict()}), markup=False, soft_wrap=True
            )
        else:
            _show(console, name, said, found)
    return rows, contradicted, failed


def ask_teacher(
    image: str, question: str, analyzer: Analyzer, server: tuple[str, str | None, str | None], cropped: bool
) -> None:
    """Print a chat server's answer to a question about a picture, and what the measurement says of its statements.

    Args:
        image: a photo.
        question: as it is sent.
        analyzer: measures the face.
        server: address up to ``/v1``, its name of the model, and the environment variable with the key.
        cropped: the picture shows one face crop.

    Raises:
        BadConfig: no name of the model.
        ChatFailed: no reply.
    """
    address, name, key = server
    if name is None:
        raise BadConfig(
            got="--teacher without --served-as", expected="the server's name of its model", fix="Add it"
        )
    picture = encode_picture(load_image(image), PictureSize())
    teacher = OpenAITeacher(address, name, key)
    try:
        asked = ChatMessage("user", question, (picture,))
        said = teacher.reply(ChatRequest("ask", "1", (asked,))).text
    finally:
        teacher.close()
    say(said)
    _show(Console(stderr=True), name, said, analyzer.verify(said, image, cropped))


def _rows(text: str, image: str | None) -> Iterator[tuple[str, str | tuple[str, str]]]:
    """The name of each row, and its line, or its text and picture."""
    path = Path(text)
    is_name = len(text) < 256 and (len(text.split()) == 1 or path.is_file())
    suffix = path.suffix.lower() if is_name else ""
    if suffix in (".jsonl", ".txt", ".md"):
        text = _read(path)
    if suffix == ".jsonl":
        lines = [(number, line) for number, line in enumerate(text.split("\n"), start=1) if line.strip()]
        yield from ((f"{path.name}:{number}", line) for number, line in lines)
        if lines:
            return
    if not text.strip():
        raise BadInput(got="an empty text", expected="statements about a face", fix="Write some")
    if image is None:
        raise BadInput(
            got="a text without a picture",
            expected="--image, or a .jsonl file with text and image in each line",
            fix="Add --image PHOTO",
        )
    yield "text", (text, image)


def _read(path: Path) -> str:
    try:
        return path.read_text("utf-8-sig")
    except (OSError, ValueError) as error:
        raise BadInput(
            got=f"{path}, which cannot be read ({reason_of(error)})",
            expected="a text file in UTF-8",
            fix="Check the path",
        ) from error


def _row(line: str, image: str | None) -> tuple[str, str]:
    try:
        row: Any = read_json(line)
        said, picture = row["text"], row.get("image") or image
    except (ValueError, KeyError, AttributeError, TypeError):
        said = picture = None
    if not (isinstance(said, str) and isinstance(picture, str)):
        raise BadInput(got=f"{line[:60]!r}", expected='{"text": …, "image": …}', fix="Correct the line")
    return said, picture


def _show(console: Console, name: str, text: str, found: Verification) -> None:
    table = Table(title=shown(name), title_justify="left")
    for column in ("statement", "AU", "says", "verdict"):
        table.add_column(column)
    for claim in found.claims:
        verdict = "uncertain" if claim.uncertain else claim.verdict
        table.add_row(
            shown(text[claim.start : claim.end]), claim.au, "present" if claim.present else "absent", verdict
        )
    console.print(table)
    shares = f"precision {found.precision:.2f}, recall {found.recall:.2f}"
    console.print(
        f"{found.supported} supported, {found.contradicted} contradicted, {found.unmeasured} unmeasured; {shares}"
    )
    for fault in found.faults:
        console.print(shown(fault))
