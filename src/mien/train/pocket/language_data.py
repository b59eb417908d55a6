"""Instruction dialogues for the pocket model, made from what was measured on each face.

Emotion words are drawn from the raters' votes; AU arrays and explanations say the frozen measurement (ExpLLM's
Img2AU step) in the rules narrator's many phrasings. Each item is reproducible from the seed and its number.
"""

from __future__ import annotations

import random
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt
from tokenizers import Tokenizer

from mien.core.aus import AU_SETS, AUS
from mien.core.emotions import EMOTIONS
from mien.core.nouns import AuReading, FloatArray, Turn
from mien.dialogue.read.au_arrays import FORMATS, say_array
from mien.dialogue.say.emotion_words import say_emotion
from mien.dialogue.say.narrator import narrate
from mien.dialogue.say.questions import ALL_QUESTIONS
from mien.models.pocket.prompt import training_parts

__all__ = [
    "READOUT_QUESTION",
    "SINGLE_TOKENS",
    "Faces",
    "Item",
    "make_turns",
    "say_units",
    "task_mix",
    "tokenise",
    "vocabulary_texts",
]

UNITS = AU_SETS["pocket"]
READOUT_QUESTION = "Emotion?"
"""The question of the likelihood read-out; short, so that the read-out is cheap."""

SINGLE_TOKENS: tuple[str, ...] = (*EMOTIONS, *"0123456789.[]", ", ")
"""What likelihood read-out and constrained decoding need as one token each."""


@dataclass(frozen=True, slots=True)
class Faces:
    """What the frozen encoders say of N faces, and what raters said."""

    intensity: FloatArray
    """(N, 22) calibrated."""
    emotion: FloatArray
    """(N, 8) raters' distribution; zeros where there is none."""
    belief: FloatArray
    """(N, 8) the classifier head's probabilities."""

    def __len__(self) -> int:
        return len(self.intensity)


@dataclass(frozen=True, slots=True)
class Item:
    """One dialogue as token ids."""

    face: int
    ids: npt.NDArray[np.int32]
    learnt: npt.NDArray[np.bool_]
    """Where the loss counts: answers and their end token."""


def say_units(readings: dict[str, AuReading]) -> str:
    """The present AUs in words, EmoLA's naming: ``"AU6 (cheek raiser), AU12 (lip corner puller)."``"""
    present = [AUS[key] for key, reading in readings.items() if reading.presence]
    if not present:
        return "No Action Unit is visible."
    return ", ".join(f"{unit.prose} ({unit.name})" for unit in present) + "."


def task_mix(rng: random.Random, has_votes: bool) -> str:
    """A task for one item: labels more often where raters gave them."""
    tasks = ("emotion", "explanation", "au-binary", "au-level", "au-intensity", "au-list")
    weights = (0.50, 0.30, 0.06, 0.06, 0.04, 0.04) if has_votes else (0.12, 0.52, 0.11, 0.11, 0.07, 0.07)
    return rng.choices(tasks, weights)[0]


def make_turns(faces: Faces, face: int, task: str, rng: random.Random) -> list[Turn]:
    """One dialogue about one face."""
    readings = {
        key: AuReading.of(float(value)) for key, value in zip(UNITS, faces.intensity[face], strict=True)
    }
    question = rng.choice(ALL_QUESTIONS[task])
    if task == "emotion":
        question = READOUT_QUESTION if rng.random() < 0.6 else question
        return [Turn("user", question), Turn("assistant", say_emotion(_drawn(faces, face, rng)))]
    if task == "explanation":
        return _explained(faces, face, readings, question, rng)
    if task == "au-list":
        return [Turn("user", question), Turn("assistant", say_units(readings))]
    form = task.removeprefix("au-")
    assert form in FORMATS
    return [Turn("user", question), Turn("assistant", say_array(list(readings.values()), form))]


def _drawn(faces: Faces, face: int, rng: random.Random) -> str:
    weights = faces.emotion[face] if faces.emotion[face].any() else faces.belief[face]
    return rng.choices(EMOTIONS, weights.tolist())[0]


def _explained(
    faces: Faces, face: int, readings: dict[str, AuReading], question: str, rng: random.Random
) -> list[Turn]:
    """Label turn, then the chain of thought; the label is the leading belief, now and then a drawn one."""
    belief = faces.belief[face].astype(float)
    label = (
        EMOTIONS[int(belief.argmax())] if rng.random() < 0.9 else rng.choices(EMOTIONS, belief.tolist())[0]
    )
    order = np.argsort(-belief)
    told = belief.copy()
    # The told distribution leads with the label, so that text and label agree.
    told[EMOTIONS.index(label)], told[order[0]] = belief[order[0]], belief[EMOTIONS.index(label)]
    text = narrate(readings, dict(zip(EMOTIONS, told.tolist(), strict=True)), rng).text
    asked = READOUT_QUESTION if rng.random() < 0.8 else rng.choice(ALL_QUESTIONS["emotion"])
    return [Turn("user", asked), Turn("assistant", label), Turn("user", question), Turn("assistant", text)]


def tokenise(tokenizer: Tokenizer, turns: Sequence[Turn], face: int) -> Item:
    """Token ids of a dialogue and where the loss counts."""
    ids: list[int] = []
    learnt: list[bool] = []
    for text, counts in training_parts(turns):
        piece = tokenizer.encode(text).ids
        ids += piece
        learnt += [counts] * len(piece)
    return Item(face, np.asarray(ids, np.int32), np.asarray(learnt))


def vocabulary_texts(faces: Faces, seed: int, count: int = 6000) -> list[str]:
    """Dialogue texts to train the tokenizer on: every question, and `count` drawn dialogues."""
    rng = random.Random(seed)
    texts = [question for questions in ALL_QUESTIONS.values() for question in questions]
    tasks = list(ALL_QUESTIONS)
    for number in range(count):
        for turn in make_turns(faces, rng.randrange(len(faces)), tasks[number % len(tasks)], rng):
            texts.append(turn.text)
    return [*texts, *EMOTIONS * 50]
