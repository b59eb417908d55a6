"""Emotion words: mien's eight, and the spellings and orders of every dataset and tool we meet.

mien's own order is AffectNet's index order (Mollahosseini et al. 2017), lower case. A tool's order is
data, never an assumption: look it up in `ORDERS`, and turn a foreign word into ours by `canonical`.
"""

from __future__ import annotations

from collections.abc import Mapping
from types import MappingProxyType

from mien.core.errors import require_known

__all__ = ["EMFACS", "EMOTIONS", "ORDERS", "canonical", "order"]

EMOTIONS: tuple[str, ...] = (
    "neutral",
    "happiness",
    "sadness",
    "surprise",
    "fear",
    "disgust",
    "anger",
    "contempt",
)
"""The eight AffectNet emotions; every emotion vector in mien is in this order."""


def _words(text: str) -> tuple[str, ...]:
    return tuple(text.split())


ORDERS: Mapping[str, tuple[str, ...]] = MappingProxyType(
    {
        "mien": EMOTIONS,
        "affectnet": _words("Neutral Happiness Sadness Surprise Fear Disgust Anger Contempt"),
        "affectnet7": _words("Neutral Happiness Sadness Surprise Fear Disgust Anger"),
        "ferplus": _words("neutral happiness surprise sadness anger disgust fear contempt"),
        "fer2013": _words("angry disgust fear happy sad surprise neutral"),
        "rafdb": _words("Surprise Fear Disgust Happiness Sadness Anger Neutral"),
        "faba": _words("Happiness Sadness Surprise Anger Neutral Disgust Fear"),
        "expllm": _words("Neutral Happiness Sadness Surprise Fear Disgust Anger Contempt"),
        "emo-llama": _words("surprise fear disgust happiness sadness anger neutral"),
        "mafw": _words(
            "anger disgust fear happiness neutral sadness surprise contempt "
            "anxiety helplessness disappointment"
        ),
        "meld": _words("sadness joy surprise neutral fear anger disgust"),
        "dfew": _words("happy sad neutral angry surprise disgust fear"),
        "expw": _words("angry disgust fear happy sad surprise neutral"),
        "libreface": _words("Neutral Happiness Sadness Surprise Fear Disgust Anger Contempt"),
        "openface3": _words("Neutral Happy Sad Surprise Fear Disgust Anger Contempt"),
        "pyfeat": _words("Neutral Happy Sad Surprise Fear Disgust Anger"),
        "pyfeat1": _words("anger disgust fear happiness sadness surprise neutral"),
        "emotiefflib": _words("Anger Contempt Disgust Fear Happiness Neutral Sadness Surprise"),
        "emotiefflib7": _words("Anger Disgust Fear Happiness Neutral Sadness Surprise"),
        "deepface": _words("angry disgust fear happy sad surprise neutral"),
        "faceapi": _words("neutral happy sad angry fearful disgusted surprised"),
        "facereader": _words("neutral happy sad angry surprised scared disgusted contempt"),
        "affectiva": _words("joy sadness disgust contempt anger fear surprise"),
    }
)
"""Label words of each dataset and tool in its own index order (sources: facts on papers and peers)."""

_SPELLINGS: Mapping[str, tuple[str, ...]] = MappingProxyType(
    {
        "neutral": _words("neutral neutrality calm"),
        "happiness": _words("happiness happy joy joyful happily smile smiling"),
        "sadness": _words("sadness sad"),
        "surprise": _words("surprise surprised astonishment"),
        "fear": _words("fear fearful scared afraid"),
        "disgust": _words("disgust disgusted"),
        "anger": _words("anger angry mad"),
        "contempt": _words("contempt contemptuous scorn"),
    }
)
_CANONICAL = {spelling: emotion for emotion, spellings in _SPELLINGS.items() for spelling in spellings}

EMFACS: Mapping[str, tuple[tuple[str, ...], ...]] = MappingProxyType(
    {
        "happiness": (("AU06", "AU12"), ("AU12", "AU25"), ("AU12",)),
        "sadness": (("AU01", "AU04", "AU15"), ("AU01", "AU15"), ("AU01", "AU04"), ("AU15", "AU17")),
        "surprise": (("AU01", "AU02", "AU05", "AU26"), ("AU01", "AU02", "AU26"), ("AU05", "AU26")),
        "fear": (("AU01", "AU02", "AU04", "AU05", "AU07", "AU20", "AU26"), ("AU01", "AU04", "AU05", "AU20")),
        "anger": (("AU04", "AU05", "AU07", "AU23"), ("AU04", "AU07", "AU24"), ("AU04", "AU05", "AU24")),
        "disgust": (("AU09", "AU15", "AU16"), ("AU09", "AU10"), ("AU10", "AU17")),
        "contempt": (("AU12", "AU14"), ("AU14",)),
    }
)
"""EMFACS-style AU combinations of each emotion, most complete first (OpenDBM's table and its reductions)."""


def canonical(word: str) -> str | None:
    """mien's name of a foreign emotion word (``"Happy"`` -> ``"happiness"``), or None if it is none of the eight."""
    return _CANONICAL.get(word.strip().lower())


def order(name: str) -> tuple[str, ...]:
    """Label words of dataset or tool ``name`` in its own index order."""
    require_known(name, ORDERS, "label order")
    return ORDERS[name]
