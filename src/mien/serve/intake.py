"""From a request to pictures and clips: JSON with data URLs, multipart forms, or the bytes themselves.

Photos stay in memory. What must be a file for its reader (clips, moving pictures, landmark tables) lies in a folder of
this server's own while its request lasts; what killed servers left there is removed by the next one.
"""

from __future__ import annotations

import asyncio
import base64
import binascii
import contextlib
import io
import os
import re
import secrets
import shutil
import tempfile
from collections.abc import AsyncIterator, Mapping
from dataclasses import dataclass, replace
from pathlib import Path
from typing import IO, Any
from urllib.parse import unquote_to_bytes, urlsplit

from PIL import Image as pillow
from starlette.datastructures import UploadFile
from starlette.requests import Request

from mien.analyze.packed import PACKS
from mien.analyze.sources import Source, expand
from mien.core.errors import MienError
from mien.core.objects import read_json
from mien.face.decode.images import ImageLimits, decoding, opened_picture
from mien.face.decode.video import probe
from mien.serve.fetching import fetch
from mien.serve.settings import Refused, Settings

__all__ = ["Given", "Intake", "own_folder"]

_MEDIA_FIELDS = ("image", "images", "clip", "file", "files")
_SUFFIX = re.compile(r"\.[A-Za-z0-9]{1,8}")
_LONGEST_NAME = 200
_PIECE = 1 << 20
_FORM_FIELDS = 64


@dataclass(slots=True)
class Given:
    """What a request holds."""

    sources: list[Source]
    """Named as the client did."""
    fields: dict[str, Any]
    """All else of its body."""

    @property
    def moving(self) -> bool:
        """Whether there is a clip (or a landmark table) among the sources."""
        return any(one.kind != "image" for one in self.sources)


def own_folder() -> Path:
    """A new folder that only this user can read; those of servers that were killed are removed."""
    parent = Path(tempfile.gettempdir())
    for old in parent.glob("mien-serve-*-*"):
        with contextlib.suppress(OSError, ValueError):
            if old.stat().st_uid == os.getuid() and not _lives(int(old.name.split("-")[2])):
                shutil.rmtree(old)
    return Path(tempfile.mkdtemp(prefix=f"mien-serve-{os.getpid()}-"))


def _lives(process: int) -> bool:
    try:
        os.kill(process, 0)
    except ProcessLookupError:
        return False
    except PermissionError:
        return True
    return True


class Intake:
    """Takes in requests within the limits.

    Args:
        settings: what the server was told.
        folder: for what must be a file.
    """

    def __init__(self, settings: Settings, folder: Path) -> None:
        self._settings, self._limits, self._folder = settings, settings.limits, folder

    @contextlib.asynccontextmanager
    async def of(self, request: Request) -> AsyncIterator[Given]:
        """The media and fields of a request; its files are deleted when the block ends.

        Args:
            request: with its body not yet read.

        Raises:
            Refused: a body that is not what it says (400), or something beyond the limits (413).
        """
        with self.files() as keep:
            kind = request.headers.get("content-type", "").split(";")[0].strip().lower()
            if kind == "multipart/form-data":
                sources, fields = await self._form(request, keep)
            elif kind == "application/json":
                fields = _json(await request.body())
                sources = await self._named(fields, keep)
            else:  # also what curl and urllib call a form where they are given bytes
                sources, fields = await self._bytes(request, keep), {}
            if len(sources) > self._limits.images:
                raise Refused(413, got=f"{len(sources)} pictures", expected=f"at most {self._limits.images}")
            for source in sources:
                await asyncio.to_thread(self._check, source)
            yield Given(sources, fields)

    @contextlib.contextmanager
    def files(self) -> Any:
        """A function that gives new file names, all deleted when the block ends."""
        made: list[Path] = []

        def keep(suffix: str = "") -> Path:
            made.append(self._folder / f"{secrets.token_hex(12)}{suffix}")
            return made[-1]

        try:
            yield keep
        finally:
            for path in made:
                path.unlink(missing_ok=True)

    async def media(self, text: str, name: str, keep: Any) -> Source:
        """The source of a data URL, of bare base64, or of an address on a host that was allowed.

        Raises:
            Refused: none of these.
        """
        if text[:5].lower() == "data:":
            head, comma, rest = text[5:].partition(",")
            if not comma:
                raise Refused(400, got="a data URL without a comma", expected="data:image/jpeg;base64,…")
            data = _base64(rest) if head.lower().endswith(";base64") else unquote_to_bytes(rest)
        elif "://" in text[:64]:
            if _hostname(text) not in self._settings.hosts:
                raise Refused(
                    400,
                    got="an address of a picture on the network",
                    expected="the picture itself as a data URL (data:image/jpeg;base64,…)",
                    fix="Send the bytes, or let the server allow that host with --allow-host",
                )
            data = await asyncio.to_thread(fetch, text, self._limits.image_bytes)
        else:
            data = _base64(text)
        return await self.source(name, io.BytesIO(data), len(data), keep)

    async def checked_media(self, text: str, name: str, keep: Any) -> Source:
        """As `media`, held against the limits.

        Raises:
            Refused: as `media`, or beyond them.
        """
        source = await self.media(text, name, keep)
        await asyncio.to_thread(self._check, source)
        return source

    async def source(self, name: str, file: IO[bytes], size: int, keep: Any) -> Source:
        """The source of encoded bytes, in memory where they are a still photo.

        Raises:
            Refused: too many bytes, or a pack of pictures.
        """
        if Path(name).suffix.lower() in PACKS:
            raise Refused(
                415,
                got=f"{name}, a file of many pictures",
                expected="a picture or clip",
                fix="Send them one by one",
            )
        head = file.read(4096)
        file.seek(0)
        still = head[:3] == b"\xff\xd8\xff" or (head[:4] == b"\x89PNG" and b"acTL" not in head)
        most = self._limits.image_bytes if still else self._limits.clip_bytes
        if size > most:
            raise Refused(413, got=f"{name} of {size:,} bytes", expected=f"at most {most:,} bytes")
        if still:
            return Source(name, "image", file.read())
        suffix = Path(name).suffix
        path = keep(suffix if _SUFFIX.fullmatch(suffix) else "")
        await asyncio.to_thread(_copy, file, path)
        return next(replace(one, name=name) for one in expand(path))

    async def _form(self, request: Request, keep: Any) -> tuple[list[Source], dict[str, Any]]:
        sources: list[Source] = []
        fields: dict[str, Any] = {}
        async with request.form(max_files=self._limits.images + 1, max_fields=_FORM_FIELDS) as form:
            for key, value in form.multi_items():
                if isinstance(value, UploadFile):
                    name = _shown(value.filename, len(sources))
                    sources.append(await self.source(name, value.file, value.size or 0, keep))
                elif key in _MEDIA_FIELDS:
                    sources.append(await self.media(value, f"{key}:{len(sources)}", keep))
                else:
                    fields[key] = value
        return sources, fields

    async def _named(self, fields: dict[str, Any], keep: Any) -> list[Source]:
        """Takes the media out of the fields of a JSON body."""
        given: list[tuple[str, object]] = []
        for key in _MEDIA_FIELDS:
            value = fields.pop(key, None)
            many = value if isinstance(value, list) else [] if value is None else [value]
            given += [(f"{key}:{place}", one) for place, one in enumerate(many)]
        for name, one in given:
            if not isinstance(one, str):
                raise Refused(400, got=f"{name} of type {type(one).__name__}", expected="a data URL as text")
        if len(given) > self._limits.images:
            raise Refused(413, got=f"{len(given)} pictures", expected=f"at most {self._limits.images}")
        return [await self.media(str(one), name, keep) for name, one in given]

    async def _bytes(self, request: Request, keep: Any) -> list[Source]:
        size = 0
        with tempfile.SpooledTemporaryFile(self._limits.image_bytes, dir=str(self._folder)) as file:
            async for piece in request.stream():
                file.write(piece)
                size += len(piece)
            file.seek(0)
            name = _shown(request.headers.get("x-filename"), 0)
            return [await self.source(name, file, size, keep)] if size else []

    def _check(self, source: Source) -> None:
        """Refuse by what the head says; what is broken is left to the analyzer, which says why.

        Raises:
            Refused: too many pixels or seconds.
        """
        try:
            pixels, seconds = _size(source, self._limits.pixels)
        except MienError:
            return
        except pillow.DecompressionBombError:
            raise Refused(413, got=f"{source.name}, a bomb of pixels", expected="a picture") from None
        if pixels > self._limits.pixels:
            raise Refused(
                413, got=f"{source.name} of {pixels:,} pixels", expected=f"at most {self._limits.pixels:,}"
            )
        longest = self._limits.clip_seconds
        if seconds > longest:
            raise Refused(
                413,
                got=f"{source.name} of {seconds:.0f} s",
                expected=f"at most {longest:g} s",
                fix="Send long clips to /v1/jobs",
            )


def _size(source: Source, most: int) -> tuple[int, float]:
    """Pixels of a picture or frame, and seconds of a clip; 0 where nothing tells."""
    if source.kind == "landmarks":
        return 0, 0.0
    if source.kind == "video":
        about = probe(str(source.payload))
        return about.width * about.height, about.duration or 0.0
    if isinstance(source.payload, bytes):
        with (
            decoding(source.name),
            pillow.open(io.BytesIO(source.payload), formats=("JPEG", "PNG")) as opened,
        ):
            return opened.width * opened.height, 0.0
    with opened_picture(str(source.payload), ImageLimits(max_pixels=most)) as opened:
        return opened.width * opened.height, 0.0


def _json(body: bytes) -> dict[str, Any]:
    try:
        fields = read_json(body)
    except ValueError as error:
        raise Refused(400, got="a body that is no JSON", expected="a JSON object") from error
    if not isinstance(fields, Mapping):
        raise Refused(400, got=f"JSON of type {type(fields).__name__}", expected="an object")
    return dict(fields)


def _base64(text: str) -> bytes:
    try:
        return base64.b64decode(text, validate=True)
    except (binascii.Error, ValueError) as error:
        raise Refused(400, got="a picture that is no base64", expected="data:image/jpeg;base64,…") from error


def _hostname(address: str) -> str | None:
    try:
        return urlsplit(address).hostname
    except ValueError:
        return None


def _shown(name: str | None, place: int) -> str:
    """A client's file name without folders and control characters; it is shown, and never opened."""
    plain = "".join(sign for sign in re.split(r"[\\/]", name or "")[-1] if sign.isprintable())
    return plain.strip(". ")[-_LONGEST_NAME:] or f"picture:{place}"


def _copy(file: IO[bytes], path: Path) -> None:
    with path.open("xb") as out:
        shutil.copyfileobj(file, out, _PIECE)
