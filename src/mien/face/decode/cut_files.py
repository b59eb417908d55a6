"""Whether a video file ends early, told by its own structure: sizes that it promises and does not hold.

Decoders pass over a missing end in silence, and durations in headers are often wrong in files that are whole. The
sizes of boxes (ISO 14496-12), EBML elements (RFC 8794, RFC 9559), RIFF chunks and transport packets (ISO 13818-1) are
not: whoever wrote the file wrote them, or left them open.
"""

from __future__ import annotations

import os
import struct
from pathlib import Path
from typing import BinaryIO

__all__ = ["missing_end"]

_SEGMENT, _CLUSTER = 0x18538067, 0x1F43B675
_MOST_ELEMENTS = 2_000_000
"""A guard against files of empty elements."""
_PACKETS = (188, 192, 204)
_SYNC = 0x47


def missing_end(path: str | Path, container: str) -> str | None:
    """What shows that a file is cut off, in words; None when nothing does.

    Args:
        path: the file.
        container: FFmpeg's name of its format, such as ``"matroska,webm"``.
    """
    known = {"mov": _boxes, "matroska": _elements, "mpegts": _packets, "avi": _chunks}
    check = known.get(container.split(",")[0])
    if check is None:
        return None
    with open(path, "rb") as file:
        return check(file, os.fstat(file.fileno()).st_size)


def _lacks(what: str, promised: int, size: int) -> str | None:
    return f"its {what} should end at byte {promised:,} and the file at {size:,}" if promised > size else None


def _boxes(file: BinaryIO, size: int) -> str | None:
    at = 0
    for _ in range(_MOST_ELEMENTS):
        file.seek(at)
        head = file.read(16)
        if len(head) < 8:
            # A few stray bytes behind the last box are common and harmless.
            return None
        length, kind = struct.unpack(">I4s", head[:8])
        if length == 1 and len(head) == 16:
            length = int.from_bytes(head[8:], "big")
        if length < 8 or not kind.isalnum():
            return None  # 0: the box reaches to the end, wherever that is; else no box at all
        at += length
        if at >= size:
            return _lacks(f"part {kind.decode('latin-1')!r}", at, size)
    return None


def _number(file: BinaryIO, keep_marker: bool) -> tuple[int, bool] | None:
    """A number of variable length, and whether all its bits are set (which means: unknown)."""
    first = file.read(1)
    if not first or not first[0]:
        return None
    length = 9 - first[0].bit_length()
    rest = file.read(length - 1)
    if len(rest) < length - 1:
        return None
    marker = 1 << (7 * length)
    value = int.from_bytes(first + rest, "big")
    plain = value & (marker - 1)
    return (value if keep_marker else plain), plain == marker - 1


def _elements(file: BinaryIO, size: int) -> str | None:
    file.seek(0)
    for _ in range(_MOST_ELEMENTS):
        start = file.tell()
        name = _number(file, keep_marker=True)
        length = _number(file, keep_marker=False) if name else None
        if name is None or length is None:
            left = size - start
            return f"its last {left} bytes are the head of a part that is missing" if 0 < left < 12 else None
        if length[1]:
            if name[0] not in (_SEGMENT, _CLUSTER):
                return None
            continue  # of open length: its children follow
        end = file.tell() + length[0]
        if end > size:
            return _lacks("content", end, size)
        file.seek(end)
    return None


def _chunks(file: BinaryIO, size: int) -> str | None:
    at = 0
    for _ in range(_MOST_ELEMENTS):
        file.seek(at)
        head = file.read(8)
        if len(head) < 8 or head[:4] != b"RIFF":
            return None
        length = int.from_bytes(head[4:], "little")
        if not length:
            return None  # a recorder that never came to write it
        at += 8 + length + length % 2
        if at - length % 2 > size:
            return _lacks("content", at, size)
    return None


def _packets(file: BinaryIO, size: int) -> str | None:
    file.seek(0)
    head = file.read(8 * _PACKETS[-1])
    for length in _PACKETS:
        for first in range(length):
            marks = head[first::length]
            if len(marks) >= 4 and all(byte == _SYNC for byte in marks):
                before = 4 if length == 192 else 0
                rest = (size - first + before) % length
                return f"its last packet has {rest} of {length} bytes" if rest else None
    return None
