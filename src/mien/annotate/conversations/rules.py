"""The offline teacher's side of the *conversations* engine: captions and conversations from the request's facts.

`CONVERSATION_STEPS` maps step names to functions of the request, for the rules teacher. It cannot see: it speaks of the
label, of measured Action Units and emotion probabilities, and of plain facts of the pixels (light, colour, size).
"""

from __future__ import annotations

import json
import random
from collections.abc import Callable, Mapping, Sequence
from types import MappingProxyType
from typing import Any

from mien.annotate.faba.rules import present_units, request_rng
from mien.backends.chat import ChatRequest
from mien.core.nouns import AuReading
from mien.dialogue.say.verdicts import LOOKS
from mien.dialogue.say.wording import capitalise, say_absence, say_movement

__all__ = ["CONVERSATION_STEPS", "say_caption", "say_conversation"]

Round = tuple[str, str]

_FEELS: Mapping[str, tuple[str, ...]] = MappingProxyType(
    {
        "neutral": ("neutral", "calm and neutral"),
        "happiness": ("happy", "joyful", "happy and at ease"),
        "sadness": ("sad", "sad and downcast"),
        "surprise": ("surprised", "surprised and wide awake"),
        "fear": ("afraid", "scared", "fearful"),
        "disgust": ("disgusted", "disgusted and put off"),
        "anger": ("angry", "angry and tense"),
        "contempt": ("contemptuous", "full of contempt"),
        "anxiety": ("anxious", "anxious and restless"),
        "helplessness": ("helpless", "helpless and lost"),
        "disappointment": ("disappointed", "disappointed and let down"),
    }
)
_ASK_EMOTION = (
    "What is the emotion of the person in the {medium}?",
    "How does the person in the {medium} appear to feel?",
    "Which emotion does the face express?",
    "Can you tell what the person might be feeling?",
    "What is the facial expression of the person in the {medium}?",
    "What kind of mood does the person seem to be in?",
    "Is the person happy, sad or something else?",
    "What does the expression in this {medium} tell about the person?",
    "How would you describe the emotional state of the person?",
    "What feeling stands out in this {medium}?",
)
_SAY_EMOTION = (
    "The person appears to be {feels}; the expression is one of {label}.",
    "The facial expression in the {medium} is {label}.",
    "The person looks {feels}.",
    "From the face, the emotion is best described as {label}.",
    "The person seems {feels}, which makes {label} the natural reading.",
    "It is {label}: the person looks {feels}.",
    "The face shows {label}.",
    "The expression conveys {label}, and the person has {look}.",
    "The person has {look}, in short {label}.",
)
_ASK_SIGNS = (
    "Which signs in the face lead to this impression?",
    "What makes you think so?",
    "Which facial movements can be seen?",
    "Can you describe the details of the face?",
    "What do the eyes and the mouth look like?",
    "Which parts of the face are most telling?",
    "How can this be recognized in the face?",
)
_SAY_SIGNS = (
    "{m}.",
    "Several details tell it: {l}.",
    "It can be seen in the face: {l}.",
    "Looking closely, {l}.",
    "The most telling details are these: {l}.",
)
_NO_SIGNS = (
    "It is an impression of the whole face; no single movement stands out.",
    "Brows, eyes and mouth work together, and none of them stands out alone.",
    "There is no single telling movement; it is the face as a whole that leaves this impression.",
)
_PARTS: Mapping[str, tuple[str, tuple[str, ...]]] = MappingProxyType(
    {
        "AU25": ("Are the person's lips parted?", ("Is the mouth open?", "Are the lips closed or parted?")),
        "AU12": ("What are the corners of the mouth doing?", ("Are the corners of the mouth raised?",)),
        "AU04": (
            "Are the brows lowered?",
            ("Does the person frown with the brows?", "What do the brows look like?"),
        ),
        "AU01": ("Are the brows raised?", ("What is happening at the inner brows?",)),
        "AU05": ("Are the eyes opened wide?", ("What do the upper eyelids do?",)),
        "AU43": ("Are the person's eyes open?", ("Are the eyes open or closed?",)),
        "AU26": ("Has the jaw dropped?", ("What does the jaw do?",)),
        "AU09": ("Is the nose wrinkled?", ("Is there any movement at the nose?",)),
    }
)
_ASK_STRENGTH = (
    "How strong is the expression?",
    "Is the expression subtle or intense?",
    "How pronounced is this expression?",
    "Would you call this a strong expression?",
)
_STRENGTHS = (
    (0.25, ("It is subtle, only a trace of {label}.", "Rather faint; the {label} is easy to miss.")),
    (
        0.5,
        (
            "It is moderate: the {label} is visible without being strong.",
            "The {label} is of medium strength.",
        ),
    ),
    (0.75, ("It is quite pronounced; the {label} is easy to see.", "The {label} is clear and distinct.")),
    (1.1, ("It is very intense; the {label} is unmistakable.", "The {label} could hardly be stronger.")),
)
_ASK_LIGHT = (
    "What is the lighting like?",
    "Is the {medium} bright or dark?",
    "How is the light in this {medium}?",
    "Can you describe the light in the {medium}?",
)
_LIGHTS = (
    (70.0, ("The {medium} is rather dark.", "It is dim, with little light on the scene.")),
    (110.0, ("The light is subdued.", "The {medium} is a little dark, though everything can be made out.")),
    (170.0, ("The light is balanced, neither dark nor glaring.", "It is evenly lit.")),
    (256.0, ("The {medium} is bright.", "There is plenty of light.")),
)
_ASK_COLOUR = (
    "Is the {medium} in colour?",
    "Is this a colour or a black-and-white {medium}?",
    "Are there any colours in this {medium}?",
)
_COLOURS: Mapping[bool, tuple[str, ...]] = MappingProxyType(
    {
        True: (
            "No, it is in shades of grey.",
            "It is black and white.",
            "There are no colours, only shades of grey.",
        ),
        False: ("Yes, it is in colour.", "It is a colour {medium}.", "Yes, colours can be seen."),
    }
)
_ASK_COURSE = (
    "How does the face change in the course of the video?",
    "What happens from the beginning to the end?",
    "Does the expression change over time?",
)
_STEADY = (
    "It stays much the same from beginning to end, and {label} remains the overall impression.",
    "There is little change; the {label} holds throughout.",
)
_CAPTION_FACES = (
    "A person faces the camera, and {l}.",
    "One face is seen close up: {l}.",
    "A face fills the frame. {m}.",
)
_CAPTION_PLAIN = (
    "A person is seen, and the face is at rest.",
    "A face is seen close up, without a marked movement.",
    "A person looks ahead with a quiet face.",
)


def _clauses(aus: Mapping[str, float], most: int, rng: random.Random) -> list[str]:
    """Clauses on the strongest movements."""
    units = present_units(aus, most)
    return [say_movement(key, AuReading.of(units[key]).level, rng).text for key in units]


def _listed(clauses: Sequence[str]) -> str:
    return clauses[0] if len(clauses) == 1 else f"{', '.join(clauses[:-1])} and {clauses[-1]}"


def _graded(table: Sequence[tuple[float, tuple[str, ...]]], value: float, rng: random.Random) -> str:
    return rng.choice(next(words for limit, words in table if value < limit))


def say_caption(facts: Mapping[str, Any], rng: random.Random) -> str:
    """One or two sentences on a frame.

    Args:
        facts: ``aus``, ``light`` and ``grey`` of the frame.
        rng: the same state gives the same text.
    """
    clauses = _clauses(facts.get("aus") or {}, 2, rng)
    if clauses:
        text = rng.choice(_CAPTION_FACES).format(l=_listed(clauses), m=capitalise(_listed(clauses)))
    else:
        text = rng.choice(_CAPTION_PLAIN)
    if rng.random() < 0.5:
        text += " " + _graded(_LIGHTS, float(facts["light"]), rng).format(medium="scene")
    return text


def say_conversation(facts: Mapping[str, Any], rng: random.Random) -> list[Round]:
    """Questions and answers, as many as ``facts["rounds"]`` where the facts give enough to talk about.

    Args:
        facts: ``label``, ``medium``, ``rounds``; ``aus``, ``emotions``, ``light``, ``grey`` and ``captions``.
        rng: the same state gives the same conversation.
    """
    label, medium = str(facts["label"]), str(facts["medium"])
    feels = rng.choice(_FEELS.get(label, (f"marked by {label}",)))
    look = rng.choice(LOOKS.get(label, (f"a look of {label}",)))
    words = {"label": label, "medium": medium, "feels": feels, "look": look}
    first = rng.choice(_ASK_EMOTION).format(**words), rng.choice(_SAY_EMOTION).format(**words)
    further = _about_face(facts, words, rng)
    plain = [
        (rng.choice(_ASK_LIGHT), _graded(_LIGHTS, float(facts["light"]), rng)),
        (rng.choice(_ASK_COLOUR), rng.choice(_COLOURS[bool(facts["grey"])])),
    ]
    if facts.get("captions"):
        further.append(_course(facts["captions"], rng))
    rng.shuffle(further)
    room = int(facts["rounds"]) - 1
    # Most of a conversation is about the face; what is around it comes first or last.
    chosen = further[: room if rng.random() < 0.4 else max(room - 1, 0)]
    side = rng.sample(plain, min(room - len(chosen), len(plain)))
    body = [first, *chosen]
    rounds = [*side, *body] if rng.random() < 0.4 else [*body, *side]
    return [(question.format(**words), answer.format(**words)) for question, answer in rounds]


def _about_face(facts: Mapping[str, Any], words: Mapping[str, str], rng: random.Random) -> list[Round]:
    aus: Mapping[str, float] = facts.get("aus") or {}
    clauses = _clauses(aus, rng.randint(2, 4), rng)
    told = rng.choice(_NO_SIGNS)
    if clauses:
        told = rng.choice(_SAY_SIGNS).format(l=_listed(clauses), m=capitalise(_listed(clauses)))
    rounds = [(rng.choice(_ASK_SIGNS), told)]
    known = [key for key in _PARTS if key in aus]
    for key in rng.sample(known, min(2, len(known))):
        question, others = _PARTS[key]
        reading = AuReading.of(aus[key])
        said = say_movement(key, reading.level, rng) if reading.presence else say_absence((key,), rng)
        rounds.append((rng.choice((question, *others)), capitalise(said.text) + "."))
    shares: Mapping[str, float] = facts.get("emotions") or {}
    strength = shares.get(words["label"]) if shares else max(aus.values(), default=None)
    if strength is not None and words["label"] != "neutral":
        rounds.append((rng.choice(_ASK_STRENGTH), _graded(_STRENGTHS, float(strength), rng)))
    return rounds


def _course(captions: Sequence[Sequence[Any]], rng: random.Random) -> Round:
    """What the descriptions of the first and the last second say."""
    start, end = str(captions[0][1]), str(captions[-1][1])
    if len(captions) == 1 or start == end:
        return rng.choice(_ASK_COURSE), rng.choice(_STEADY)
    return rng.choice(_ASK_COURSE), f"At first: {start} Later: {end}"


def _caption_step(request: ChatRequest) -> str:
    rng = request_rng(request)
    # Each second of a clip has a chance of its own.
    rng.seed(f"{rng.random()}:{request.facts['time']}")
    return say_caption(request.facts, rng)


def _conversation_step(request: ChatRequest) -> str:
    rounds = say_conversation(request.facts, request_rng(request))
    listed = [{"question": question, "answer": answer} for question, answer in rounds]
    return json.dumps({"conversation": listed}, ensure_ascii=False)


CONVERSATION_STEPS: Mapping[str, Callable[[ChatRequest], str]] = MappingProxyType(
    {
        "conversations/caption": _caption_step,
        "conversations/image": _conversation_step,
        "conversations/video": _conversation_step,
    }
)
"""Step name -> the offline teacher's reply."""
