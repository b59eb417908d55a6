"""FACS Action Units: names, regions, ARKit shapes, and the AU set of every dataset and paper.

Here alone stands the arithmetic of intensities (0..1), FACS levels (0..5) and presence at a cut-off.
Keys are zero-padded (``"AU06"``). FEAFA numbers its 24 action values by its own list: FEAFA's AU1 is
*left eye close*, not FACS AU1; `FEAFA_24` keeps them apart by name.
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass
from types import MappingProxyType
from typing import Any, Literal

from mien.core.errors import BadConfig, require_known, require_range

__all__ = [
    "AUS",
    "AU_SETS",
    "FEAFA_24",
    "HIDES",
    "LEVEL_LETTERS",
    "AuInfo",
    "FeafaValue",
    "Region",
    "au_key",
    "au_level",
    "au_probability",
    "au_set",
    "check_cut_off",
    "level_edge",
    "level_intensity",
    "level_position",
    "rounded_intensity",
]

LEVEL_LETTERS: tuple[str, ...] = ("", "A", "B", "C", "D", "E")
"""FACS intensity letters by level 0..5: 0 absent, A trace, B slight, C pronounced, D severe, E maximum."""
Region = Literal["brow", "eyes", "mouth"]
"""A part of the face that something may hide."""
_BELIEF_STEP = 1e-6


@dataclass(frozen=True, slots=True)
class AuInfo:
    """One FACS Action Unit."""

    number: int
    """FACS number, e.g. 6."""
    name: str
    """FACS name, lower case, e.g. ``"cheek raiser"``."""
    region: str
    """``brow``, ``eye``, ``nose``, ``cheek``, ``mouth``, ``chin`` or ``jaw``."""
    muscle: str
    """Main muscle (FACS manual)."""
    arkit: tuple[str, ...]
    """Nearest ARKit blendshapes, without Left/Right when both exist; empty if there is none."""
    movement: str
    """What is seen, as a clause with a plural or mass subject, e.g. ``"the cheeks are raised"``."""

    @property
    def key(self) -> str:
        """Zero-padded key, e.g. ``"AU06"``."""
        return f"AU{self.number:02d}"

    @property
    def prose(self) -> str:
        """Form used in running text, e.g. ``"AU6"``."""
        return f"AU{self.number}"


_TABLE = (
    AuInfo(
        1, "inner brow raiser", "brow", "frontalis (medial)", ("browInnerUp",), "the inner brows are raised"
    ),
    AuInfo(
        2, "outer brow raiser", "brow", "frontalis (lateral)", ("browOuterUp",), "the outer brows are raised"
    ),
    AuInfo(
        4,
        "brow lowerer",
        "brow",
        "corrugator supercilii",
        ("browDown",),
        "the brows are lowered and drawn together",
    ),
    AuInfo(
        5,
        "upper lid raiser",
        "eye",
        "levator palpebrae superioris",
        ("eyeWide",),
        "the upper eyelids are raised",
    ),
    AuInfo(
        6, "cheek raiser", "cheek", "orbicularis oculi (orbital)", ("cheekSquint",), "the cheeks are raised"
    ),
    AuInfo(
        7,
        "lid tightener",
        "eye",
        "orbicularis oculi (palpebral)",
        ("eyeSquint",),
        "the eyelids are tightened",
    ),
    AuInfo(
        9,
        "nose wrinkler",
        "nose",
        "levator labii superioris alaeque nasi",
        ("noseSneer",),
        "the nose is wrinkled",
    ),
    AuInfo(
        10,
        "upper lip raiser",
        "mouth",
        "levator labii superioris",
        ("mouthUpperUp",),
        "the upper lip is raised",
    ),
    AuInfo(11, "nasolabial deepener", "cheek", "zygomaticus minor", (), "the nasolabial folds are deepened"),
    AuInfo(
        12,
        "lip corner puller",
        "mouth",
        "zygomaticus major",
        ("mouthSmile",),
        "the lip corners are pulled up",
    ),
    AuInfo(14, "dimpler", "mouth", "buccinator", ("mouthDimple",), "the lip corners are tightened inward"),
    AuInfo(
        15,
        "lip corner depressor",
        "mouth",
        "depressor anguli oris",
        ("mouthFrown",),
        "the lip corners are pulled down",
    ),
    AuInfo(
        16,
        "lower lip depressor",
        "mouth",
        "depressor labii inferioris",
        ("mouthLowerDown",),
        "the lower lip is pulled down",
    ),
    AuInfo(17, "chin raiser", "chin", "mentalis", ("mouthShrugLower",), "the chin is raised"),
    AuInfo(18, "lip pucker", "mouth", "incisivii labii", ("mouthPucker",), "the lips are puckered"),
    AuInfo(20, "lip stretcher", "mouth", "risorius", ("mouthStretch",), "the lips are stretched sideways"),
    AuInfo(
        22, "lip funneler", "mouth", "orbicularis oris", ("mouthFunnel",), "the lips are funnelled outward"
    ),
    AuInfo(23, "lip tightener", "mouth", "orbicularis oris", ("mouthPress",), "the lips are tightened"),
    AuInfo(24, "lip pressor", "mouth", "orbicularis oris", ("mouthPress",), "the lips are pressed together"),
    AuInfo(
        25,
        "lips part",
        "mouth",
        "depressor labii inferioris, relaxed orbicularis oris",
        ("jawOpen",),
        "the lips are parted",
    ),
    AuInfo(26, "jaw drop", "jaw", "masseter relaxed", ("jawOpen",), "the jaw is dropped"),
    AuInfo(
        27, "mouth stretch", "jaw", "pterygoids, digastric", ("jawOpen",), "the mouth is stretched wide open"
    ),
    AuInfo(
        28,
        "lip suck",
        "mouth",
        "orbicularis oris",
        ("mouthRollLower", "mouthRollUpper"),
        "the lips are sucked in",
    ),
    AuInfo(
        43, "eyes closed", "eye", "relaxed levator palpebrae superioris", ("eyeBlink",), "the eyes are closed"
    ),
    AuInfo(45, "blink", "eye", "relaxed levator palpebrae superioris", ("eyeBlink",), "the eyes blink"),
)
AUS: Mapping[str, AuInfo] = MappingProxyType({info.key: info for info in _TABLE})
"""All Action Units that mien knows, by key, in FACS order."""
HIDES: Mapping[Region, tuple[str, ...]] = MappingProxyType(
    {
        "brow": tuple(info.key for info in _TABLE if info.region == "brow"),
        # The cheek raiser is told by the skin and the lids around the eye.
        "eyes": tuple(info.key for info in _TABLE if info.region == "eye" or info.number == 6),
        "mouth": tuple(info.key for info in _TABLE if info.region in ("mouth", "chin", "jaw")),
    }
)
"""AUs that cannot be read when the region is hidden."""


# -- intensity, level, presence ------------------------------------------------------------------------


def level_position(intensity: Any) -> Any:
    """Intensities 0..1, also as an array or tensor of any library -> 0.5..5.5, whose floor is the FACS level."""
    return 5.0 * intensity + 0.5


def au_level(intensity: float) -> int:
    """FACS level 0..5 of an intensity (clipped to 0..1): A from 0.1, B from 0.3, C from 0.5, D from 0.7, E from 0.9."""
    position: float = level_position(min(max(intensity, 0.0), 1.0))
    return math.floor(position)


def level_intensity(level: float) -> float:
    """The middle of a level's intensities: 0, 0.2 … 1."""
    return level / 5.0


def level_edge(level: int) -> float:
    """The lowest intensity of a level 1..5: 0.1, 0.3, 0.5, 0.7, 0.9."""
    return (level - 0.5) / 5.0


def au_probability(intensity: float, sharpness: float, cut_off: int) -> float:
    """Belief 0..1 that an AU of this intensity is present: a logistic around the lower edge of the cut-off's level.

    It rises with the intensity, is above one half exactly where the level reaches the cut-off, and stays so
    when it is written with six decimals.
    """
    belief = 1.0 / (1.0 + math.exp(min(sharpness * (level_edge(cut_off) - intensity), 700.0)))
    present = au_level(intensity) >= cut_off
    return max(belief, 0.5 + _BELIEF_STEP) if present else min(belief, 0.5 - _BELIEF_STEP)


def rounded_intensity(intensity: float, scale: float = 1.0, decimals: int = 6) -> float:
    """``scale * intensity`` rounded so that it stays on its own side of the levels' edges.

    A reader that derives the level from the written number gets the level of the intensity itself.
    """
    value, level = round(scale * intensity, decimals), au_level(intensity)
    written = au_level(value / scale)
    step = math.copysign(10.0**-decimals, level - written)
    return value if written == level else round(value + step, decimals)


def check_cut_off(cut_off: object) -> None:
    """Refuse what is no cut-off.

    Raises:
        BadConfig: it is no FACS level 1 to 5.
    """
    require_range(cut_off, "cut_off", 1, 5, whole=True, fix="Use 1, or 2 as DISFA's protocol does")


@dataclass(frozen=True, slots=True)
class FeafaValue:
    """One of FEAFA's 24 action values (Yan et al. 2019), 0..1."""

    name: str
    """Name in the engine prompt, e.g. ``"left eye close"``."""
    facs: str | None
    """Nearest FACS key, or None (jaw slides and thrust, which mien does not measure)."""
    side: str
    """``left``, ``right`` or ``both``."""


_FEAFA = (
    ("left eye close", "AU43", "left"), ("right eye close", "AU43", "right"),
    ("left lid raise", "AU05", "left"), ("right lid raise", "AU05", "right"),
    ("left brow lower", "AU04", "left"), ("right brow lower", "AU04", "right"),
    ("left brow raise", "AU02", "left"), ("right brow raise", "AU02", "right"),
    ("jaw drop", "AU26", "both"), ("jaw slide left", None, "left"), ("jaw slide right", None, "right"),
    ("left lip corner pull", "AU12", "left"), ("right lip corner pull", "AU12", "right"),
    ("left lip corner stretch", "AU20", "left"), ("right lip corner stretch", "AU20", "right"),
    ("upper lip suck", "AU28", "both"), ("lower lip suck", "AU28", "both"), ("jaw thrust", None, "both"),
    ("upper lip raise", "AU10", "both"), ("lower lip depress", "AU16", "both"),
    ("chin raise", "AU17", "both"), ("lip pucker", "AU18", "both"), ("cheek puff", None, "both"),
    ("nose wrinkle", "AU09", "both"),
)  # fmt: skip
FEAFA_24: tuple[FeafaValue, ...] = tuple(FeafaValue(*row) for row in _FEAFA)
"""FEAFA's action values in index order (AU1 of FEAFA is ``FEAFA_24[0]``)."""


def au_key(unit: int | str) -> str:
    """``6``, ``"6"``, ``"AU6"`` or ``"AU06"`` -> ``"AU06"``.

    Raises:
        BadConfig: the text holds no AU number.
    """
    digits = str(unit).upper().removeprefix("AU").strip()
    if not digits.isdigit():
        raise BadConfig(got=f"Action Unit {unit!r}", expected="a FACS number such as 6 or 'AU06'")
    return f"AU{int(digits):02d}"


def _keys(numbers: str) -> tuple[str, ...]:
    return tuple(au_key(number) for number in numbers.split())


AU_SETS: Mapping[str, tuple[str, ...]] = MappingProxyType(
    {
        "pocket": _keys("1 2 4 5 6 7 9 10 12 14 15 16 17 18 20 22 24 25 26 27 28 43"),
        "disfa8": _keys("1 2 4 6 9 12 25 26"),
        "disfa12": _keys("1 2 4 5 6 9 12 15 17 20 25 26"),
        "bp4d12": _keys("1 2 4 6 7 10 12 14 15 17 23 24"),
        "gft10": _keys("1 2 4 6 10 12 14 15 23 24"),
        "gft19": _keys("1 2 4 5 6 7 9 10 12 14 15 16 17 18 20 23 24 25 26"),
        "faba12": _keys("1 2 4 5 6 10 12 17 24 25 26 43"),
        "faba20": _keys("1 2 4 5 6 7 9 10 12 14 15 16 17 20 23 24 25 26 27 43"),
        "emotionet12": _keys("1 2 4 5 6 9 12 17 20 25 26 43"),
        "openface_r": _keys("1 2 4 5 6 7 9 10 12 14 15 17 20 23 25 26 45"),
        "openface_c": _keys("1 2 4 5 6 7 9 10 12 14 15 17 20 23 25 26 28 45"),
        "pyfeat20": _keys("1 2 4 5 6 7 9 10 11 12 14 15 17 20 23 24 25 26 28 43"),
    }
)
"""AU sets by name, in each source's own order. FEAFA's 24 values are no FACS set: see `FEAFA_24`."""


def au_set(name: str) -> tuple[str, ...]:
    """Keys of AU set ``name``."""
    require_known(name, AU_SETS, "AU set")
    return AU_SETS[name]
