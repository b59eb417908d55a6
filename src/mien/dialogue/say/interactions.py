"""What Action Units say together: sentences for pairs and groups of AUs that are seen at once.

Every sentence of an entry states all of its present and all of its absent AUs, so that it can be audited.
"""

from __future__ import annotations

from dataclasses import dataclass

__all__ = ["INTERACTIONS", "Interaction"]


@dataclass(frozen=True, slots=True)
class Interaction:
    """A group of AUs with a meaning of its own."""

    present: tuple[str, ...]
    """AUs that must be present."""
    absent: tuple[str, ...]
    """AUs that must be measured at level 0."""
    fits: tuple[str, ...]
    """Emotions that the group supports; told only when the leading label is among them, or when it is empty."""
    sentences: tuple[str, ...]


INTERACTIONS: tuple[Interaction, ...] = (
    Interaction(("AU06", "AU12"), (), ("happiness",), (
        "The raised cheeks and the raised lip corners form a smile that reaches the eyes.",
        "A smile that reaches the eyes joins the raised cheeks.",
        "The cheeks are raised and the lip corners are pulled up, so that the smile reaches the eyes.",
        "The raised cheeks carry the smile up to the eyes.",
        "The smile and the raised cheeks support each other.",
        "The raised cheeks make the smile look complete.",
        "The smile is matched by the raised cheeks below the eyes.",
        "The lip corners are pulled up while the cheeks are raised, which is the mark of a full smile.",
    )),
    Interaction(("AU12",), ("AU06",), ("happiness", "neutral", "contempt"), (
        "The smile does not reach the eyes.",
        "The lip corners are pulled up, but the cheeks are not raised, so the smile looks polite.",
        "The smile stays at the mouth and does not reach the eyes.",
        "The raised lip corners form a smile without raised cheeks.",
        "The smile lacks the support of the eyes, since the cheeks are not raised.",
    )),
    Interaction(("AU12", "AU25"), (), ("happiness",), (
        "The smile comes with parted lips, which makes it look open.",
        "The raised lip corners and the parted lips form an open smile.",
        "The lips are parted by the smile.",
    )),
    Interaction(("AU12", "AU14"), (), ("contempt",), (
        "The smile and the tightened lip corners together look dismissive.",
        "The raised lip corners are also tightened, which gives the smile a cold touch.",
        "The smile is held back by the tightened lip corners.",
    )),
    Interaction(("AU12", "AU15"), (), (), (
        "The raised lip corners and the lowered lip corners work against each other, as in a mixed smile.",
        "The smile is dampened by the lowered lip corners.",
    )),
    Interaction(("AU12", "AU04"), (), (), (
        "The smile and the lowered brows point in different directions.",
        "The lowered brows do not match the smile.",
        "The lowered brows tell something else than the smile.",
    )),
    Interaction(("AU01", "AU04"), ("AU02",), ("sadness", "fear"), (
        "The raised inner brows and the lowered brows form a slope, while the outer brows are not raised.",
        "The lowered brows with raised inner brows, but without raised outer brows, look troubled.",
    )),
    Interaction(("AU01", "AU04"), (), ("sadness", "fear"), (
        "The raised inner brows and the lowered brows give the brows an oblique shape.",
        "The lowered brows and the raised inner brows together look troubled.",
        "The raised inner brows against the lowered brows are a sign of strain.",
    )),
    Interaction(("AU01", "AU15"), (), ("sadness",), (
        "The raised inner brows and the lowered lip corners fit together and look downcast.",
        "The lowered lip corners repeat the message of the raised inner brows.",
    )),
    Interaction(("AU15", "AU17"), (), ("sadness", "disgust"), (
        "The lowered lip corners and the raised chin form a downward curve of the mouth line.",
        "The raised chin adds weight to the lowered lip corners.",
    )),
    Interaction(("AU01", "AU02", "AU05", "AU26"), (), ("surprise",), (
        "The raised brows, the widened eyes and the dropped jaw open the whole face.",
        "The dropped jaw, the raised brows and the raised upper eyelids are the full pattern of a startled look.",
        "The raised brows and the widened eyes above the dropped jaw open the face at once.",
        "The raised brows, the raised upper eyelids and the dropped jaw come together as one.",
    )),
    Interaction(("AU01", "AU02", "AU05"), (), ("surprise", "fear"), (
        "The raised brows and the widened eyes give the upper face an open look.",
        "The raised brows together with the raised upper eyelids look alert.",
    )),
    Interaction(("AU01", "AU02", "AU26"), (), ("surprise",), (
        "The raised brows and the dropped jaw open the face.",
        "The dropped jaw goes along with the raised brows.",
        "From the raised brows down to the dropped jaw, the face opens.",
    )),
    Interaction(("AU05", "AU26"), (), ("surprise", "fear"), (
        "The widened eyes and the dropped jaw look startled.",
        "The dropped jaw and the raised upper eyelids are a sudden opening of the face.",
    )),
    Interaction(("AU01", "AU02"), ("AU04",), ("surprise",), (
        "The raised brows without lowered brows speak for an open upper face.",
        "The inner and outer brows are raised, and the brows are not lowered, which looks open.",
    )),
    Interaction(("AU04", "AU05"), (), ("fear", "anger"), (
        "The lowered brows above the widened eyes make a fixed stare.",
        "The lowered brows and the raised upper eyelids look tense.",
    )),
    Interaction(("AU05", "AU20"), (), ("fear",), (
        "The widened eyes and the stretched lips look alarmed.",
        "The stretched lips below the raised upper eyelids are a sign of alarm.",
        "The mouth answers the widened eyes with stretched lips.",
    )),
    Interaction(("AU04", "AU07"), (), ("anger", "disgust"), (
        "The lowered brows and the tightened eyelids make a hard stare.",
        "The tightened eyelids below the lowered brows look stern.",
        "The lowered brows press on the tightened eyelids.",
        "The lowered brows and the narrowed eyes focus the upper face.",
    )),
    Interaction(("AU04", "AU24"), (), ("anger",), (
        "The lowered brows and the pressed lips look stern.",
        "The pressed lips add to the force of the lowered brows.",
        "Both the lowered brows and the pressed lips show force held back.",
    )),
    Interaction(("AU04", "AU23"), (), ("anger",), (
        "The lowered brows and the tightened lips look stern.",
        "The tightened lips match the lowered brows.",
    )),
    Interaction(("AU09", "AU10"), (), ("disgust",), (
        "The wrinkled nose and the raised upper lip act as one, as if to keep something away.",
        "The raised upper lip below the wrinkled nose is a sign of rejection.",
        "The wrinkled nose and the raised upper lip are the core of a repelled look.",
        "The raised upper lip follows the wrinkled nose.",
        "The nose is wrinkled and the upper lip is raised, which looks like aversion.",
    )),
    Interaction(("AU04", "AU09"), (), ("disgust", "anger"), (
        "The lowered brows and the wrinkled nose draw the centre of the face in.",
        "The wrinkled nose and the lowered brows look repelled.",
    )),
    Interaction(("AU10", "AU17"), (), ("disgust",), (
        "The raised upper lip and the raised chin look repelled.",
        "The raised chin pushes against the raised upper lip.",
    )),
    Interaction(("AU14",), ("AU12",), ("contempt",), (
        "The tightened lip corners without raised lip corners look dismissive.",
        "The lip corners are tightened but not raised, which looks dismissive.",
    )),
    Interaction(("AU25", "AU26"), (), (), (
        "The dropped jaw and the parted lips leave the mouth loose.",
        "The parted lips go along with the dropped jaw.",
        "The parted lips and the dropped jaw belong together.",
        "The dropped jaw takes the parted lips with it.",
    )),
    Interaction(("AU17", "AU24"), (), (), (
        "The pressed lips and the raised chin close the lower face firmly.",
        "The raised chin goes along with the pressed lips.",
    )),
    Interaction(("AU06", "AU07"), (), (), (
        "The raised cheeks and the tightened eyelids frame the eyes.",
        "The tightened eyelids and the raised cheeks act around the eyes.",
        "The raised cheeks push against the tightened eyelids.",
        "The tightened eyelids go along with the raised cheeks.",
    )),
    Interaction(("AU43",), (), (), (
        "The closed eyes leave the upper face with little to read.",
        "With closed eyes, the upper face tells less.",
    )),
)  # fmt: skip
"""Most complete groups of one family first."""
