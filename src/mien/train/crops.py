"""Packed pictures of a dataset -> one array of grey crops, cached under a content hash."""

from __future__ import annotations

import hashlib
import zipfile
from collections.abc import Iterator, Sequence
from pathlib import Path

import numpy as np
import numpy.typing as npt

from mien.core.nouns import Image, Sample
from mien.face.images import load_image

__all__ = ["grey_crops", "iter_pixels", "sample_hash"]


def iter_pixels(samples: Sequence[Sample]) -> Iterator[Image]:
    """(H, W, 3) uint8 pictures of `samples` in order; archives and arrays are opened once."""
    archives: dict[str, zipfile.ZipFile] = {}
    arrays: dict[str, npt.NDArray[np.uint8]] = {}
    try:
        for sample in samples:
            path, _, member = sample.media.partition("!")
            if path.endswith(".npz"):
                if path not in arrays:
                    with np.load(path, allow_pickle=False) as pack:
                        arrays[path] = pack["images"]
                picture = arrays[path][int(member)]
                yield picture if picture.ndim == 3 else np.repeat(picture[..., None], 3, axis=2)
            else:
                if path not in archives:
                    archives[path] = zipfile.ZipFile(path)
                yield load_image(archives[path].read(member))
    finally:
        for archive in archives.values():
            archive.close()


def sample_hash(samples: Sequence[Sample], *settings: object) -> str:
    """Short content key of a list of samples and the settings applied to them."""
    digest = hashlib.sha256(repr(settings).encode())
    for sample in samples:
        path, _, member = sample.media.partition("!")
        digest.update(f"{Path(path).name}!{member}\n".encode())
    return digest.hexdigest()[:16]


def grey_crops(samples: Sequence[Sample], size: int, cache: Path) -> npt.NDArray[np.uint8]:
    """(N, size, size) uint8: whole pictures in grey, bicubic; read from `cache` when made before."""
    from PIL import Image as Pictures

    path = cache / f"crops-{size}-{sample_hash(samples, size)}.npy"
    if path.exists():
        return np.asarray(np.load(path, allow_pickle=False, mmap_mode="r"), dtype=np.uint8)
    out = np.empty((len(samples), size, size), np.uint8)
    for index, picture in enumerate(iter_pixels(samples)):
        grey = Pictures.fromarray(picture).convert("L")
        out[index] = np.asarray(grey.resize((size, size), Pictures.Resampling.BICUBIC))
    cache.mkdir(parents=True, exist_ok=True)
    partial = path.with_suffix(".partial.npy")
    np.save(partial, out, allow_pickle=False)
    partial.rename(path)
    return out
