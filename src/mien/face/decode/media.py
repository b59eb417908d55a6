"""From the ``media`` of a `Sample` to its picture, for every reader.

=========================  ==========================================================================
``faces/1.jpg``            a picture
``pack.zip!img/1.jpg``     a member of an archive
``train.npz!17``           row 17 of the array ``images``, rows from 0
``fer2013.csv!17``         row 17 of a table with a column ``pixels``, rows from 0, without the header
``data.arrow!17``          row 17 of an Arrow stream (Hugging Face ``datasets``); ``.parquet`` likewise
``clip.mp4!120``           frame 120 of a video, frames from 0
``clip.mp4!4.5s``          the frame on show 4.5 seconds after the start
``clip.mp4``               the middle frame
``clip/``                  a folder of frames: the middle one; ``clip/!7`` the eighth in order of number
=========================  ==========================================================================

Archives, arrays, tables and videos are opened once and read in place; nothing is unpacked to disk.
"""

from __future__ import annotations

import os
from collections import OrderedDict
from collections.abc import Iterable, Iterator
from pathlib import Path
from types import TracebackType
from typing import Self

from mien.core.errors import BadConfig, MienError
from mien.core.nouns import Image
from mien.face.decode.containers import Container, open_container
from mien.face.decode.images import LIMITS, ImageLimits, load_image, media_kind

__all__ = ["MediaReader", "is_clip", "iter_media", "open_media", "split_media"]


def split_media(media: str) -> tuple[str, str]:
    """``"pack.zip!img/1.jpg"`` -> ``("pack.zip", "img/1.jpg")``; the second is empty for a whole file.

    A ``!`` that belongs to the name of a file or folder on disk is told apart by looking.
    """
    place = media.find("!")
    if place < 0 or os.path.exists(media):
        return media, ""
    first = place
    while place >= 0:
        if os.path.exists(media[:place]):
            return media[:place], media[place + 1 :]
        place = media.find("!", place + 1)
    return media[:first], media[first + 1 :]


def is_clip(media: str) -> bool:
    """Whether a media string names a whole video or folder of frames, of which `open_media` gives the middle frame."""
    path, member = split_media(media)
    return not member and (os.path.isdir(path) or media_kind(path) == "video")


class MediaReader:
    """Opens pictures one after another and keeps the last few archives, arrays, tables and videos open.

    Not for several threads at once: give each its own.

    Args:
        limits: what one picture may cost.
        keep: at most this many containers stay open.
    """

    def __init__(self, limits: ImageLimits = LIMITS, keep: int = 4) -> None:
        if keep < 1:
            raise BadConfig(got=f"keep={keep}", expected="1 or more")
        self._limits, self._keep = limits, keep
        # A container that cannot be opened is remembered as its error, not tried again for each member.
        self._open: OrderedDict[str, Container | MienError] = OrderedDict()

    def open(self, media: str) -> Image:
        """(H, W, 3) uint8 RGB, upright.

        Raises:
            BadInput: no such file or member, or one that is damaged or beyond the limits.
            MissingDependency: pyarrow (Arrow, Parquet) or PyAV (videos) is not installed.
        """
        path, member = split_media(media)
        if not member and not is_clip(path):
            return load_image(path, self._limits)
        container = self._container(path)
        if isinstance(container, MienError):
            raise container
        return container.picture(member)

    def _container(self, path: str) -> Container | MienError:
        if path in self._open:
            self._open.move_to_end(path)
            return self._open[path]
        while len(self._open) >= self._keep:
            self._close(self._open.popitem(last=False)[1])
        try:
            self._open[path] = open_container(Path(path), self._limits)
        except MienError as error:
            self._open[path] = error
        return self._open[path]

    @staticmethod
    def _close(container: Container | MienError) -> None:
        if not isinstance(container, MienError):
            container.close()

    def close(self) -> None:
        """Close all files; the reader may be used again."""
        while self._open:
            self._close(self._open.popitem()[1])

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()


def open_media(media: str, *, limits: ImageLimits = LIMITS) -> Image:
    """The picture of one media string; use `iter_media` or `MediaReader` for many.

    Returns:
        (H, W, 3) uint8 RGB, upright.
    """
    with MediaReader(limits) as reader:
        return reader.open(media)


def iter_media(
    medias: Iterable[str], *, limits: ImageLimits = LIMITS, keep: int = 4
) -> Iterator[Image | MienError]:
    """The pictures of many media strings, in order; an item that cannot be read comes out as its error.

    Args:
        medias: as the readers emit them; frames of one video in rising order cost one pass.
        limits: what one picture may cost.
        keep: at most this many containers stay open.
    """
    with MediaReader(limits, keep) as reader:
        for media in medias:
            try:
                yield reader.open(media)
            except MienError as error:
                yield error
