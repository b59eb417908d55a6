"""Camera faults: blur, noise, low resolution, JPEG, grey."""

from __future__ import annotations

import io

import numpy as np
from numpy.typing import NDArray
from PIL import Image, ImageFilter

__all__ = ["develop", "wear"]

FloatArray = NDArray[np.float32]
ByteArray = NDArray[np.uint8]


def develop(image: FloatArray, size: tuple[int, int], gamma: float = 2.2) -> ByteArray:
    """Linear RGB at drawing size to sRGB-like uint8 [height, width, 3], shrunk by averaging."""
    height, width = size
    bright = np.clip(image, 0.0, None)
    # A soft shoulder keeps highlights from clipping hard.
    bright = np.where(bright > 0.7, 0.7 + 0.3 * (1.0 - np.exp(-(bright - 0.7) / 0.3)), bright)
    drawn_height, drawn_width = bright.shape[:2]
    factor = drawn_height // height
    if drawn_height != height * factor or drawn_width != width * factor:
        raise ValueError(f"drawing {bright.shape} is no whole multiple of {size}")
    shrunk = np.zeros((height, width, 3), np.float32)
    for offset in range(factor * factor):
        shrunk += bright[offset // factor :: factor, offset % factor :: factor]
    values = np.power(shrunk / np.float32(factor * factor), np.float32(1.0 / gamma)) * 255.0
    out: ByteArray = np.round(values).clip(0, 255).astype(np.uint8)
    return out


def wear(rng: np.random.Generator, picture: ByteArray) -> ByteArray:
    """Random camera faults on a uint8 picture [H, W, 3]; same size out."""
    height, width = picture.shape[:2]
    image = Image.fromarray(picture)
    if rng.random() < 0.25:
        small = int(rng.uniform(0.33, 0.8) * height)
        image = image.resize((small * width // height, small), Image.Resampling.BILINEAR)
        image = image.resize((width, height), Image.Resampling.BICUBIC)
    elif rng.random() < 0.35:
        image = image.filter(ImageFilter.GaussianBlur(float(rng.uniform(0.3, 1.3))))
    values = np.asarray(image, dtype=np.float32)
    contrast, offset = rng.uniform(0.8, 1.2), rng.uniform(-14, 14)
    values = (values - 118.0) * np.float32(contrast) + np.float32(118.0 + offset)
    if rng.random() < 0.6:
        grain = rng.standard_normal(values.shape, dtype=np.float32)
        values = values + grain * np.float32(rng.uniform(0.5, 8.0))
    if rng.random() < 0.15:
        values = np.repeat(values @ np.array([[0.299], [0.587], [0.114]], np.float32), 3, axis=2)
    out = np.clip(values, 0, 255).astype(np.uint8)
    if rng.random() < 0.6:
        buffer = io.BytesIO()
        Image.fromarray(out).save(buffer, "JPEG", quality=int(rng.integers(35, 96)))
        out = np.asarray(Image.open(buffer), dtype=np.uint8)
    return out
