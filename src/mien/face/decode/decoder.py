"""The process in which a dear picture is decoded: ``python -m mien.face.decode.decoder SECONDS LIMITS… < picture``.

It writes ``pixels H W``, a line break and the RGB bytes; or ``refused`` and an error's three parts between NULs.
"""

from __future__ import annotations

import sys

from mien.core.errors import BadInput
from mien.face.decode.budget import NAMELESS
from mien.face.decode.images import ImageLimits, decode_here

__all__ = ["main"]

_MEMORY = 3_000_000_000
"""Bytes of address space: a guard for the machine; what a picture may take is checked before."""


def main() -> None:
    """Decode what comes in on standard input."""
    seconds, *limits = (int(argument) for argument in sys.argv[1:])
    _bound(seconds)
    out = sys.stdout.buffer
    try:
        pixels = decode_here(sys.stdin.buffer.read(), NAMELESS, ImageLimits(*limits))
    except BadInput as error:
        out.write(b"refused\n" + "\0".join((error.got, error.expected, error.fix)).encode())
    else:
        out.write(b"pixels %d %d\n" % pixels.shape[:2])
        out.write(pixels.data)


def _bound(seconds: int) -> None:
    try:
        import resource
    except ImportError:  # Windows: the parent's clock stops it
        return
    resource.setrlimit(resource.RLIMIT_CPU, (seconds, seconds + 1))
    resource.setrlimit(resource.RLIMIT_AS, (_MEMORY, _MEMORY))


if __name__ == "__main__":
    main()
