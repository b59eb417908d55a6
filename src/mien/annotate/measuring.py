"""The face that a sample means, measured by one of mien's readers: what the offline teacher knows instead of seeing."""

from __future__ import annotations

import hashlib
import threading
from collections import OrderedDict

import numpy as np

from mien.backends.base import Reader
from mien.core.errors import BadInput
from mien.core.nouns import Evidence, FaceResult, Image, Sample
from mien.face.crop import canonical_crop
from mien.face.finder import FaceFinder
from mien.work.faces import face_of

__all__ = ["FaceMeasurer"]

_KEPT = 64
"""Measured faces that are remembered."""


class FaceMeasurer:
    """Pass it as ``read_face`` to `faba_engine` or `conversations_engine`, its ``name`` as ``reader_name``.

    Args:
        reader: from `mien.backends.base.open_reader`.
        finder: the face front-end; a new one when left out.
    """

    def __init__(self, reader: Reader, finder: FaceFinder | None = None) -> None:
        self._reader, self._finder = reader, finder or FaceFinder()
        self._lock = threading.Lock()
        self._known: OrderedDict[tuple[str, bytes], FaceResult | None] = OrderedDict()

    @property
    def name(self) -> str:
        """The reader's name."""
        return self._reader.name

    def __call__(self, sample: Sample, image: Image) -> FaceResult | None:
        """The measured face of ``sample`` in ``image``, (H, W, 3) uint8 RGB; None when there is none.

        May be called from many threads: faces are measured one at a time.
        """
        key = sample.id, hashlib.blake2b(np.ascontiguousarray(image).data, digest_size=16).digest()
        with self._lock:
            # Both tasks of a picture come one after the other.
            if key not in self._known:
                self._known[key] = self._measure(sample, image)
            while len(self._known) > _KEPT:
                self._known.popitem(last=False)
            return self._known[key]

    def _measure(self, sample: Sample, image: Image) -> FaceResult | None:
        try:
            face = face_of(sample, image, self._finder)
        except BadInput:
            return None
        crop, _ = canonical_crop(image, face, self._reader.crop_size)
        return self._reader.measure([Evidence(face, crop)])[0]
