"""What an exported dialogue points at: pictures cut out and written, encoded into the file, and EmoLA's priors."""

from __future__ import annotations

import base64
import hashlib
import io
import os
import re
from dataclasses import dataclass, replace
from functools import cached_property
from pathlib import Path, PurePath
from typing import TYPE_CHECKING

import numpy as np

from mien.core.errors import BadInput, OutputFailed
from mien.core.paths import write_whole
from mien.core.suffixes import is_clip

if TYPE_CHECKING:
    from mien.core.nouns import FloatArray, Image, Sample
    from mien.face.decode.media import MediaReader
    from mien.face.finder import FaceFinder
    from mien.models.composite.experts import LandmarkNet

__all__ = ["Media", "Placed", "Priors", "cut", "jpeg", "write_file"]

_ENCODED = {".jpg": "jpeg", ".jpeg": "jpeg", ".png": "png", ".webp": "webp", ".gif": "gif"}
_MOST_BYTES = 20 * 1024 * 1024
_QUALITY = 95
_CROP = 224


@dataclass(frozen=True, slots=True)
class Placed:
    """Where a dialogue finds its sample."""

    media: str
    box: tuple[float, float, float, float] | None = None
    """Of the face, where the picture shows more than it."""
    landmark: str | None = None
    """File of EmoLA's 212 numbers."""


class Media:
    """Turns samples into what dialogues name.

    Args:
        reader: opens pictures.
        pictures: folder for crops of given boxes, and for frames of videos and members of archives; None writes none.
        embed: name data URLs instead of files.
        priors: folder for landmark priors; None makes none.
        net: InsightFace's ``2d106det.onnx`` for them; None takes the 106 points of mien's own mesh.
        beside: folder to which paths are told relative; None tells them as they are.
    """

    def __init__(
        self,
        reader: MediaReader,
        *,
        pictures: Path | None = None,
        embed: bool = False,
        priors: Path | None = None,
        net: Path | None = None,
        beside: Path | None = None,
    ) -> None:
        self._reader, self._pictures, self._embed = reader, pictures, embed
        self._priors, self._maker, self._beside = priors, Priors(reader, net), beside
        self.members = self.boxes = 0
        """Samples so far whose file only mien opens, and whose face is told by a box alone."""

    def place(self, sample: Sample, prior: bool = False) -> Placed:
        """Where ``sample`` is found; its crop, frame or prior is written on the way.

        Args:
            sample: the sample.
            prior: whether its dialogue needs a landmark prior.
        """
        landmark = self._prior(sample) if prior and self._priors is not None else None
        box = None if sample.cropped else sample.box
        member = "!" in sample.media and not os.path.exists(sample.media)
        if self._embed:
            return Placed(self._data_url(sample, box), landmark=landmark)
        if self._pictures is not None and (box is not None or member):
            path = self._pictures / f"{_file_name(sample)}.jpg"
            write_file(path, jpeg(cut(self._reader.open(sample.media), box)))
            return Placed(self._told(path), landmark=landmark)
        self.members += member
        self.boxes += box is not None
        # The slash tells a folder of frames from a picture without a suffix.
        clip = "/" if os.path.isdir(sample.media) else ""
        return Placed(self._told(sample.media) + clip, box, landmark)

    def _told(self, path: str | Path) -> str:
        return str(path) if self._beside is None else os.path.relpath(path, self._beside)

    def _data_url(self, sample: Sample, box: tuple[float, float, float, float] | None) -> str:
        suffix = os.path.splitext(sample.media)[1].lower()
        if box is None and (is_clip(sample.media) or suffix in _ENCODED) and os.path.isfile(sample.media):
            kind = f"video/{suffix[1:]}" if is_clip(sample.media) else f"image/{_ENCODED[suffix]}"
            if (size := os.path.getsize(sample.media)) > _MOST_BYTES:
                raise BadInput(
                    got=f"{sample.media} of {size:,} bytes",
                    expected=f"at most {_MOST_BYTES:,} to be encoded into a line",
                    fix="Leave it out, or name the file instead of --embed",
                )
            data = Path(sample.media).read_bytes()
        else:
            kind, data = "image/jpeg", jpeg(cut(self._reader.open(sample.media), box))
        return f"data:{kind};base64,{base64.b64encode(data).decode('ascii')}"

    def _prior(self, sample: Sample) -> str:
        beside = _released_prior(sample.media)
        if beside is not None:
            return self._told(beside)
        assert self._priors is not None
        path = self._priors / f"{_file_name(replace(sample, box=None))}.npy"
        write_file(path, self._maker.prior_file(sample))
        return self._told(path)


class Priors:
    """EmoLA's landmark priors: (212,) x and y of 106 points in about -1..1 of the face's crop.

    Args:
        reader: opens pictures.
        net: InsightFace's ``2d106det.onnx`` (needs torch's runtime); None takes 106 points of mien's own mesh.
    """

    def __init__(self, reader: MediaReader, net: Path | None = None) -> None:
        self._reader, self._file = reader, net

    def prior_file(self, sample: Sample) -> bytes:
        """The content of the ``.npy`` file of the face that ``sample`` means."""
        content = io.BytesIO()
        np.save(content, self._numbers(sample), allow_pickle=False)
        return content.getvalue()

    def _numbers(self, sample: Sample) -> FloatArray:
        from mien.face.crop import canonical_crop
        from mien.face.topology import MESH106
        from mien.work.faces import face_of

        image = self._reader.open(sample.media)
        try:
            face = face_of(sample, image, self._finder)
        except BadInput:
            if sample.cropped or sample.box is not None:
                raise
            face = face_of(replace(sample, cropped=True), image, self._finder)
        if self._file is not None:
            left, top, right, bottom = map(float, face.box)
            made: FloatArray = self._net.prior([(image, (left, top, right, bottom))])[0]
            return made
        if face.landmarks is None:
            raise BadInput(
                got=f"no landmarks in {sample.media}",
                expected="a face whose mesh is found",
                fix="Leave it out",
            )
        _, transform = canonical_crop(image, face, _CROP)
        points = transform.place(face.landmarks[list(MESH106), :2])
        return (2.0 * points / transform.size - 1.0).astype(np.float32).ravel()

    @cached_property
    def _finder(self) -> FaceFinder:
        from mien.face.finder import FaceFinder

        return FaceFinder()

    @cached_property
    def _net(self) -> LandmarkNet:
        from mien.models.composite.experts import open_landmark_net

        assert self._file is not None
        return open_landmark_net(self._file)


def _released_prior(media: str) -> Path | None:
    """The file that FABA-Instruct's tree brings for a picture: ``images/…jpg`` -> ``landmarks/…npy``."""
    parts = list(PurePath(media).parts)
    if "images" not in parts:
        return None
    place = len(parts) - 1 - parts[::-1].index("images")
    path = Path(*parts[:place], "landmarks", *parts[place + 1 :]).with_suffix(".npy")
    return path if path.is_file() else None


def _file_name(sample: Sample) -> str:
    """A name that no other sample has, on any system: the id's letters, and a hash of what is shown."""
    digest = hashlib.sha256(
        repr((sample.id, sample.media, sample.box)).encode("utf-8", "replace")
    ).hexdigest()
    return f"{re.sub(r'[^A-Za-z0-9-]+', '_', sample.id)[-60:]}-{digest[:10]}"


def cut(image: Image, box: tuple[float, float, float, float] | None) -> Image:
    """The pixels inside ``box`` (left, top, right, bottom in px), all without one.

    Raises:
        BadInput: the box lies outside.
    """
    if box is None:
        return image
    height, width = image.shape[:2]
    left, top = max(0, int(np.floor(box[0]))), max(0, int(np.floor(box[1])))
    right, bottom = min(width, int(np.ceil(box[2]))), min(height, int(np.ceil(box[3])))
    if right <= left or bottom <= top:
        raise BadInput(
            got=f"the box {', '.join(f'{edge:g}' for edge in box)} in a picture of {width} x {height} px",
            expected="left < right and top < bottom, inside the picture",
            fix="Run `mien data check` on the dataset",
        )
    return image[top:bottom, left:right]


def jpeg(image: Image) -> bytes:
    """(H, W, 3) uint8 RGB as JPEG, nearly without loss."""
    from PIL import Image as Pictures

    data = io.BytesIO()
    Pictures.fromarray(np.ascontiguousarray(image)).save(data, "JPEG", quality=_QUALITY, subsampling=0)
    return data.getvalue()


def write_file(path: Path, data: bytes) -> None:
    """Write a file whole, its folder too where there is none.

    Raises:
        OutputFailed: it cannot be written.
    """
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        write_whole(path, data)
    except OSError as error:
        raise OutputFailed(
            got=f"{path}, which cannot be written ({error.strerror or error})",
            expected="a folder for pictures with free space",
            fix="Choose another folder or free some space",
        ) from error
