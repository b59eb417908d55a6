"""Pictures of a dataset -> one array of grey crops, cached under a hash of the files' contents."""

from __future__ import annotations

import hashlib
from collections.abc import Iterator, Sequence
from pathlib import Path

import numpy as np
import numpy.typing as npt

from mien.core.errors import MienError
from mien.core.nouns import Image, Sample
from mien.face.decode.media import iter_media, split_media
from mien.work.rows import write_npy

__all__ = ["grey_crops", "iter_pixels", "sample_hash"]


def iter_pixels(samples: Sequence[Sample]) -> Iterator[Image]:
    """(H, W, 3) uint8 pictures of `samples` in order; archives and arrays are opened once.

    Raises:
        MienError: at the first picture that cannot be read; a training set has none of these.
    """
    for picture in iter_media(sample.media for sample in samples):
        if isinstance(picture, MienError):
            raise picture
        yield picture


def sample_hash(samples: Sequence[Sample], *settings: object) -> str:
    """Short key of the pixels of a list of samples and the settings applied to them.

    Files are hashed whole, each once, and named by their content: a pack may lie anywhere.
    """
    digest, contents = hashlib.sha256(repr(settings).encode()), dict[str, str]()
    for sample in samples:
        path, member = split_media(sample.media)
        if path not in contents:
            contents[path] = _file_hash(Path(path))
        digest.update(f"{contents[path]}!{member}\n".encode())
    return digest.hexdigest()[:16]


def _file_hash(path: Path) -> str:
    if path.is_dir():
        inside = sorted(file for file in path.rglob("*") if file.is_file())
        return hashlib.sha256(
            "".join(f"{file.name}{_file_hash(file)}" for file in inside).encode()
        ).hexdigest()
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


def grey_crops(samples: Sequence[Sample], size: int, cache: Path) -> npt.NDArray[np.uint8]:
    """(N, size, size) uint8: whole pictures in grey, bicubic; read from `cache` when made before."""
    from PIL import Image as Pictures

    path = cache / f"crops-{size}-{sample_hash(samples, size)}.npy"
    if path.exists():
        return np.asarray(np.load(path, allow_pickle=False, mmap_mode="r"), dtype=np.uint8)
    cache.mkdir(parents=True, exist_ok=True)
    greys = (Pictures.fromarray(picture).convert("L") for picture in iter_pixels(samples))
    crops = (np.asarray(grey.resize((size, size), Pictures.Resampling.BICUBIC)) for grey in greys)
    write_npy(path, crops, (len(samples), size, size), np.uint8)
    return np.asarray(np.load(path, allow_pickle=False, mmap_mode="r"), dtype=np.uint8)
