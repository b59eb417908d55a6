"""Sample -> Dialogue: one small builder per task, each None where the sample lacks the label.

The functions with an ``asked`` argument take the question as it shall stand, evidence placeholders included, so that a
published system brings its own words (``words.py`` of each system). `build` uses mien's own questions.
"""

from __future__ import annotations

import random
import re
from collections.abc import Callable, Iterable, Sequence
from dataclasses import replace

from mien.core.aus import AUS, level_intensity
from mien.core.emotions import EMOTIONS
from mien.core.errors import BadInput, require_known
from mien.core.nouns import AuReading, Dialogue, Labels, Sample, Turn
from mien.dialogue.read import au_arrays
from mien.dialogue.say import emotion_words
from mien.dialogue.say.au_texts import names_codes, say_descriptions, say_list
from mien.dialogue.say.faba_instructions import AU_INSTRUCTIONS, EMOTION_INSTRUCTIONS
from mien.dialogue.say.questions import AU_LIST_QUESTIONS, EXPLANATION_QUESTIONS

__all__ = [
    "EVIDENCE",
    "TASKS",
    "ask_array",
    "au_array",
    "au_description",
    "au_list",
    "build",
    "description",
    "emotion",
    "explanation",
    "readings",
    "rounds",
    "show",
    "without_evidence",
]

EVIDENCE = "<image>\n"
"""What mien's own dialogues put before the first question."""

TASKS: tuple[str, ...] = (
    "emotion", "emotion-description", "au-list", "au-description", "au-binary", "au-level", "au-intensity",
    "explanation", "conversation",
)  # fmt: skip
"""Tasks of `build`."""

_FIELDS = {"binary": "au_presence", "level": "au_level", "intensity": "au_intensity"}


def _dialogue(task: str, sample: Sample, asked: str, said: str) -> Dialogue:
    return Dialogue(task, (Turn("user", asked), Turn("assistant", said)), sample.id)


def emotion(
    sample: Sample,
    asked: str,
    say: Callable[[str], str] = emotion_words.say_emotion,
    words: Sequence[str] = EMOTIONS,
) -> Dialogue | None:
    """The emotion category; None when the sample's label is missing or none of ``words``."""
    label = sample.labels.emotion
    return None if label is None or label not in words else _dialogue("emotion", sample, asked, say(label))


def description(sample: Sample, asked: str) -> Dialogue | None:
    """The emotion description that the data brings; a text that names AUs by number is one of AUs, and not taken."""
    text = sample.labels.description
    return _dialogue("emotion-description", sample, asked, text) if text and not names_codes(text) else None


def readings(labels: Labels, cut_off: int | None = None) -> dict[str, AuReading | bool]:
    """What is known of every FACS AU, the finest label first: intensity, level, presence.

    Args:
        labels: may hold any of the three. FEAFA's names are no FACS keys and are left out.
        cut_off: level from which an AU counts as present. None: level 1, as `AuReading` has it.
    """
    cut = 1 if cut_off is None else cut_off
    known: dict[str, AuReading | bool] = dict(labels.au_presence or {})
    known |= {
        key: AuReading.of(level_intensity(level), cut_off=cut)
        for key, level in (labels.au_level or {}).items()
    }
    known |= {key: AuReading.of(value, cut_off=cut) for key, value in (labels.au_intensity or {}).items()}
    return {key: known[key] for key in AUS if key in known}


def au_list(
    sample: Sample, asked: str, units: Sequence[str] | None = None, names: bool = False
) -> Dialogue | None:
    """The present AUs as a list; None when presence is not coded for each of ``units`` (all coded ones by default)."""
    coded = sample.labels.au_presence
    if not coded or any(key not in coded for key in units or ()):
        return None
    keys = [key for key in (units or coded) if coded[key]]
    return _dialogue("au-list", sample, asked, say_list(keys, names))


def au_description(
    sample: Sample, asked: str, rng: random.Random, cut_off: int | None = None
) -> Dialogue | None:
    """The AU description that the data brings, else one that says the coded AUs with their degrees."""
    text = sample.labels.description
    if not text or not names_codes(text):
        known = readings(sample.labels, cut_off)
        if not known:
            return None
        text = say_descriptions(known, rng)
    return _dialogue("au-description", sample, asked, text)


def au_array(
    sample: Sample, asked: str, format: str, keys: Sequence[str], cut_off: int | None = None
) -> Dialogue | None:
    """One array of the values of ``keys``, in that order; None when one of them is not coded in this format.

    Args:
        sample: an item with ``au_presence``, ``au_level`` or ``au_intensity``, by format.
        asked: the question.
        format: one of `mien.dialogue.read.au_arrays.FORMATS`.
        keys: AU keys or FEAFA's names.
        cut_off: makes presence of levels where the data has no presence. There is no default: DISFA's thresholds
            differ from paper to paper.
    """
    labels = sample.labels
    if format == "binary" and labels.au_presence is None and cut_off is not None:
        values: dict[str, float] = {
            key: float(AuReading.of(level_intensity(level), cut_off=cut_off).presence)
            for key, level in (labels.au_level or {}).items()
        }
    else:
        to_scale = level_intensity if format == "level" else float
        values = {key: to_scale(value) for key, value in (getattr(labels, _FIELDS[format]) or {}).items()}
    if not keys or any(key not in values for key in keys):
        return None
    said = au_arrays.say_array([AuReading.of(values[key]) for key in keys], format)
    return _dialogue(f"au-{format}", sample, asked, said)


def ask_array(sample: Sample, format: str) -> tuple[str, tuple[str, ...]] | None:
    """The full question about all FACS AUs that are coded in a format, and their keys; None when there are none."""
    coded = getattr(sample.labels, _FIELDS[format]) or {}
    keys = tuple(key for key in AUS if key in coded)
    return (au_arrays.question(format, keys), keys) if keys else None


def explanation(sample: Sample, asked: str) -> Dialogue | None:
    """The chain of thought that the data brings, as it is."""
    text = sample.labels.chain_of_thought
    return _dialogue("explanation", sample, asked, text) if text else None


def rounds(
    dialogues: Iterable[Dialogue | None], evidence: str = EVIDENCE, rng: random.Random | None = None
) -> Dialogue | None:
    """Several dialogues about one sample as the rounds of one, the evidence with the first question only.

    Args:
        dialogues: None among them is left out; nothing left gives None.
        evidence: beginning of the questions that shows the evidence.
        rng: shuffles the rounds; None keeps their order.

    Raises:
        BadInput: they are not about one sample.
    """
    kept = [one for one in dialogues if one is not None]
    if not kept:
        return None
    ids = {one.sample_id for one in kept}
    if len(ids) > 1:
        raise BadInput(
            got=f"dialogues about {', '.join(sorted(map(str, ids)))}",
            expected="one sample",
            fix="Join the dialogues of one sample at a time",
        )
    if rng is not None:
        rng.shuffle(kept)
    shown = any(turn.text.startswith(evidence) for one in kept for turn in one.turns)
    bare = [
        Turn(turn.role, turn.text.removeprefix(evidence)) if turn.role == "user" else turn
        for one in kept
        for turn in one.turns
    ]
    first = next((place for place, turn in enumerate(bare) if turn.role == "user"), None)
    if shown and first is not None:
        bare[first] = Turn("user", evidence + bare[first].text)
    return Dialogue(kept[0].task if len(kept) == 1 else "conversation", tuple(bare), kept[0].sample_id)


_PLACEHOLDER = re.compile(r"\s*(?:<(?:image|video|landmark|prior)>)+\s*")


def without_evidence(text: str) -> str:
    """A question without ``<image>``-like placeholders and the line breaks around them."""
    return _PLACEHOLDER.sub("\n", text).strip("\n")


def show(dialogue: Dialogue, evidence: str = EVIDENCE) -> Dialogue:
    """The dialogue with ``evidence`` before its first question and no other ``<image>``-like placeholder."""
    turns: list[Turn] = []
    shown = False
    for turn in dialogue.turns:
        if turn.role != "user":
            turns.append(turn)
            continue
        text = without_evidence(turn.text)
        turns.append(Turn("user", text if shown else evidence + text))
        shown = True
    return replace(dialogue, turns=tuple(turns))


def _build_array(sample: Sample, format: str) -> Dialogue | None:
    asked = ask_array(sample, format)
    return None if asked is None else au_array(sample, EVIDENCE + asked[0], format, asked[1])


def build(task: str, sample: Sample, rng: random.Random) -> Dialogue | None:
    """A dialogue in mien's own words, or None when the sample lacks what the task needs.

    ``conversation`` joins every other task that the sample has labels for, in a drawn order.
    """
    require_known(task, TASKS, "task")
    if task == "conversation":
        return rounds([build(one, sample, rng) for one in TASKS if one != task], rng=rng)
    if task in ("au-binary", "au-level", "au-intensity"):
        return _build_array(sample, task.removeprefix("au-"))
    if task == "emotion":
        return emotion(sample, EVIDENCE + rng.choice(emotion_words.QUESTIONS))
    if task == "emotion-description":
        return description(sample, EVIDENCE + rng.choice(EMOTION_INSTRUCTIONS))
    if task == "au-list":
        return au_list(sample, EVIDENCE + rng.choice(AU_LIST_QUESTIONS))
    if task == "au-description":
        return au_description(sample, EVIDENCE + rng.choice(AU_INSTRUCTIONS), rng)
    return explanation(sample, EVIDENCE + rng.choice(EXPLANATION_QUESTIONS))
