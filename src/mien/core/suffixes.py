"""Suffixes by which files are taken for pictures and videos, where nothing is opened to find out."""

from __future__ import annotations

__all__ = ["PICTURE_SUFFIXES", "VIDEO_SUFFIXES", "is_clip"]

PICTURE_SUFFIXES = frozenset(
    ".jpg .jpeg .jpe .jfif .png .apng .webp .gif .bmp .tif .tiff .ppm .pgm .avif .avifs .heic .heif .hif .jp2 "
    ".tga .ico .mpo".split()
)
VIDEO_SUFFIXES = frozenset(
    ".mp4 .m4v .mov .avi .mkv .webm .mpg .mpeg .wmv .flv .3gp .mts .m2ts .ts .ogv .mxf .vob".split()
)


def is_clip(media: str) -> bool:
    """Whether a name or data URL means a whole clip: a video, or ``frames/``; ``clip.mp4!12`` is one of its frames."""
    return (
        media.startswith("data:video/")
        or media.endswith("/")
        or media[media.rfind(".") :].lower() in VIDEO_SUFFIXES
    )
