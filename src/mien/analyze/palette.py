"""Colours of overlays and reports: one per emotion, told apart by people with colour blindness too.

Values follow the idea of Okabe & Ito (2008): hue and lightness both differ. Every colour stands next to
its word wherever it is used, so that none has to be told by colour alone.
"""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from types import MappingProxyType

__all__ = ["ACCENT", "EMOTION_COLOURS", "STYLESHEET", "ink_on", "rgb"]

EMOTION_COLOURS: Mapping[str, str] = MappingProxyType(
    {
        "neutral": "#8d99ae",
        "happiness": "#f0ad2e",
        "sadness": "#3f7fd6",
        "surprise": "#25b3b8",
        "fear": "#8a63d2",
        "disgust": "#5d9c3f",
        "anger": "#dc4f3f",
        "contempt": "#c8659f",
    }
)
"""Hex colour per emotion of `mien.core.emotions.EMOTIONS`."""

ACCENT = "#3fb6d9"
"""Hex colour of Action Unit bars and curves."""

STYLESHEET = Path(__file__).with_name("report.css")
"""The style of every page that mien writes; pages carry it inline."""


def rgb(colour: str) -> tuple[int, int, int]:
    """``"#f0ad2e"`` -> ``(240, 173, 46)``."""
    return int(colour[1:3], 16), int(colour[3:5], 16), int(colour[5:7], 16)


def ink_on(colour: str) -> str:
    """Text colour with the better WCAG contrast on ``colour``: near-black or white."""
    channels = [value / 255 for value in rgb(colour)]
    linear = [c / 12.92 if c <= 0.04045 else ((c + 0.055) / 1.055) ** 2.4 for c in channels]
    luminance = 0.2126 * linear[0] + 0.7152 * linear[1] + 0.0722 * linear[2]
    on_white, on_black = 1.05 / (luminance + 0.05), (luminance + 0.05) / 0.06
    return "#ffffff" if on_white > on_black else "#11151c"
