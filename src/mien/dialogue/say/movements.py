"""How each Action Unit is said: who moves, in which words; the narrator's half of the AU vocabulary.

One *family* is a set of subjects that share their verb forms, so that every subject of a family combines with
every form: "the cheeks" with "raised", "rise", "raising of". The reader's half is in `mien.dialogue.read.statements`.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from types import MappingProxyType

__all__ = ["MOVEMENTS", "REGIONS", "Family"]


@dataclass(frozen=True, slots=True)
class Family:
    """Subjects and the verb forms that fit all of them."""

    subjects: tuple[str, ...]
    """Noun phrases with article."""
    participles: tuple[str, ...]
    """After "is/are": ``"raised"``."""
    verbs: tuple[str, ...]
    """Present tense, agreeing with the subjects' number: ``"rise"``."""
    nouns: tuple[str, ...]
    """Before a subject: ``"raising of"``."""
    plural: bool = True

    @property
    def be(self) -> str:
        """``is`` or ``are``."""
        return "are" if self.plural else "is"

    @property
    def show(self) -> str:
        """``shows`` or ``show``."""
        return "show" if self.plural else "shows"


_CORNERS = ("the lip corners", "the corners of the mouth", "the mouth corners")


def _brow_raise(part: str) -> tuple[Family, ...]:
    subjects = (f"the {part} brows", f"the {part} corners of the brows", f"the {part} ends of the eyebrows")
    return (
        Family(subjects, ("raised", "lifted", "drawn up"), ("rise", "move up"), ("raising of", "lift of")),
    )


MOVEMENTS: Mapping[str, tuple[Family, ...]] = MappingProxyType(
    {
        "AU01": _brow_raise("inner"),
        "AU02": _brow_raise("outer"),
        "AU04": (
            Family(
                ("the brows", "the eyebrows"),
                ("lowered", "drawn together", "pulled down", "lowered and drawn together", "furrowed"),
                ("draw together", "move down"),
                ("lowering of", "furrowing of"),
            ),
        ),
        "AU05": (
            Family(
                ("the upper eyelids", "the upper lids"),
                ("raised", "lifted", "pulled up"), ("rise", "move up"), ("raising of", "lift of"),
            ),
            Family(("the eyes",), ("widened", "opened wide"), ("widen",), ("widening of",)),
        ),
        "AU06": (
            Family(
                ("the cheeks", "both cheeks"),
                ("raised", "lifted", "pushed up"), ("rise", "move up"), ("raising of", "lift of"),
            ),
        ),
        "AU07": (
            Family(("the eyelids", "the lids"), ("tightened", "tensed"), ("tighten",), ("tightening of",)),
            Family(("the eyes",), ("narrowed",), ("narrow",), ("narrowing of",)),
        ),
        "AU09": (
            Family(
                ("the nose", "the bridge of the nose"),
                ("wrinkled", "scrunched", "wrinkled up"), ("wrinkles", "wrinkles up"), ("wrinkling of",), plural=False,
            ),
        ),
        "AU10": (
            Family(
                ("the upper lip",),
                ("raised", "lifted", "pulled up", "drawn up"), ("rises", "moves up"), ("raising of", "lift of"),
                plural=False,
            ),
        ),
        "AU11": (Family(("the nasolabial folds",), ("deepened",), ("deepen",), ("deepening of",)),),
        "AU12": (
            Family(
                _CORNERS,
                ("pulled up", "raised", "turned up", "drawn upward"), ("rise", "turn up", "curl upward"),
                ("raising of", "lift of"),
            ),
        ),
        "AU14": (
            Family(
                _CORNERS,
                ("tightened", "pulled inward", "tucked in"), ("tighten", "press inward"), ("tightening of",),
            ),
            Family(("the cheeks",), ("dimpled",), ("dimple",), ("dimpling of",)),
        ),
        "AU15": (
            Family(
                _CORNERS,
                ("pulled down", "turned down", "drawn downward", "lowered"), ("turn down", "move downward"),
                ("lowering of",),
            ),
        ),
        "AU16": (
            Family(
                ("the lower lip",),
                ("pulled down", "drawn downward", "lowered"), ("moves down", "drops"), ("lowering of",), plural=False,
            ),
        ),
        "AU17": (
            Family(
                ("the chin",),
                ("raised", "pushed up", "lifted"), ("rises", "pushes up"), ("raising of", "lift of"), plural=False,
            ),
            Family(("the lower lip",), ("pushed up",), ("pushes up",), ("raising of",), plural=False),
        ),
        "AU18": (
            Family(("the lips",), ("puckered", "pursed"), ("pucker",), ("puckering of", "pursing of")),
            Family(("the mouth",), ("puckered", "pursed"), ("puckers",), ("puckering of",), plural=False),
        ),
        "AU20": (
            Family(
                ("the lips",),
                ("stretched sideways", "pulled sideways", "drawn sideways"), ("stretch sideways",),
                ("sideways stretch of", "stretching of"),
            ),
            Family(
                ("the mouth",),
                ("stretched sideways",), ("stretches sideways",), ("sideways stretch of",), plural=False,
            ),
        ),
        "AU22": (
            Family(
                ("the lips", "both lips"),
                ("funnelled", "funnelled outward", "pushed outward"), ("funnel", "push outward"), ("funnelling of",),
            ),
        ),
        "AU23": (
            Family(("the lips", "both lips"), ("tightened", "narrowed"), ("tighten", "narrow"), ("tightening of",)),
        ),
        "AU24": (
            Family(
                ("the lips", "both lips"),
                ("pressed together", "pressed", "pressed shut"), ("press together",), ("pressing of",),
            ),
        ),
        "AU25": (
            Family(
                ("the lips", "both lips"),
                ("parted", "separated", "opened"), ("part", "open"), ("parting of", "opening of"),
            ),
            Family(("the mouth",), ("open",), ("opens",), ("opening of",), plural=False),
        ),
        "AU26": (
            Family(
                ("the jaw", "the lower jaw"),
                ("dropped", "lowered"), ("drops", "moves down"), ("dropping of", "lowering of"), plural=False,
            ),
        ),
        "AU27": (
            Family(
                ("the mouth",),
                ("stretched open", "stretched wide open", "stretched wide"), ("stretches open", "stretches wide"),
                ("vertical stretch of", "vertical stretching of"), plural=False,
            ),
        ),
        "AU28": (
            Family(
                ("the lips", "both lips"),
                ("sucked in", "rolled in", "drawn inward"), ("roll in", "roll inward"), ("inward rolling of",),
            ),
        ),
        "AU43": (
            Family(("the eyes", "both eyes"), ("closed", "shut"), ("close",), ("closing of",)),
            Family(("the eyelids",), ("closed", "shut"), ("close",), ("closing of",)),
        ),
        "AU45": (Family(("the eyes", "both eyes"), ("blinking",), ("blink",), ("blinking of",)),),
    }
)  # fmt: skip
"""Families by AU key."""

REGIONS: Mapping[str, tuple[str, ...]] = MappingProxyType(
    {
        "brow": ("at the brows", "in the upper face", "in the brow area"),
        "eye": ("around the eyes", "at the eyes", "in the eye area"),
        "nose": ("in the middle of the face", "around the nose"),
        "cheek": ("in the cheek area", "in the middle of the face"),
        "mouth": ("around the mouth", "at the mouth", "in the lower face"),
        "chin": ("in the lower face", "below the mouth"),
        "jaw": ("in the lower face", "in the jaw area"),
    }
)
"""Ways to say where a movement is, by region of `mien.core.aus.AuInfo`."""
