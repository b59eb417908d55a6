"""Questions in people's words are understood or declined; answers are rendered from the measurement."""

from __future__ import annotations

import math
import time
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from mien.analyze.answering import Seen, key_faces, reply, without_looking
from mien.core.aus import AU_SETS
from mien.core.emotions import EMOTIONS
from mien.core.nouns import AuReading, Explanation, Face, FaceResult, FrameResult, Pose
from mien.dialogue.ask.inquiry import Inquiry
from mien.dialogue.ask.scope import LANGUAGES, TOPICS
from mien.dialogue.ask.understand import understand
from mien.study.events import events, key_frames, stretches

BANK = [
    line.split("\t") for line in Path(__file__).with_name("questions.tsv").read_text("utf-8").splitlines()[1:]
]


@pytest.mark.parametrize(("question", "intent", "detail"), BANK, ids=[row[0][:40] for row in BANK])
def test_the_intent(question: str, intent: str, detail: str) -> None:
    found = understand(question)
    assert found.intent == intent, found
    if detail:
        name, value = detail.split("=")
        shown = {
            "words": found.condition.words if found.condition else "",
            "units": " ".join(found.units),
            "regions": " ".join(found.regions),
            "emotions": " ".join(found.emotions),
        }
        assert value in shown[name] if name in shown else str(getattr(found, name)) == value


def test_the_bank_covers_what_can_be_asked() -> None:
    assert len(BANK) >= 1500
    assert {row[1] for row in BANK} >= {
        "declined",
        "unclear",
        "about",
        "course",
        "compare",
        "array",
        "region",
    }


@given(st.text(max_size=300))
def test_any_text_is_understood_or_declined(text: str) -> None:
    found = understand(text)
    assert isinstance(found, Inquiry)
    if found.intent in ("declined", "unclear"):
        assert found.reason
        assert len(found.reason.split()) <= 60


def test_a_long_question_takes_no_longer() -> None:
    understand("warm")
    for text in ("a" * 5000, "Thank you. " * 500 + "Is the mouth open?", "au1, " * 1000, "left right " * 500):
        started = time.process_time()
        understand(text)
        assert time.process_time() - started <= 0.05
    assert understand("Thank you for all this. " * 400 + "Is the mouth open?").intent == "movement"


def test_refusals_name_no_reading() -> None:
    for _, sentence in TOPICS.values():
        assert not any(f" {name}" in sentence.lower() for name in EMOTIONS if name != "contempt")
    assert len(LANGUAGES) >= 10


def a_face(left: float = 0.0, emotion: str = "happiness", share: float = 0.84, **aus: float) -> FaceResult:
    rest = (1.0 - share) / (len(EMOTIONS) - 1)
    readings = {key: AuReading.of(aus.get(key, 0.0)) for key in AU_SETS["pocket"]}
    box = np.array([left, 0.0, left + 100.0, 100.0], np.float32)
    face = Face(box, 1.0, pose=Pose(3.0, -20.0, 1.0))
    return FaceResult(face, {name: share if name == emotion else rest for name in EMOTIONS}, readings)


def ask(question: str, *frames: tuple[FaceResult, ...], video: bool = False) -> tuple[str, str]:
    inquiry = understand(question)
    answer = without_looking(inquiry, AU_SETS["pocket"])
    if answer is None:
        shown = tuple(FrameResult("x", i, i / 10, faces, 500, 400, video) for i, faces in enumerate(frames))
        told = Explanation("The cheeks are raised.", "", "The label is happiness.")
        answer = reply(inquiry, Seen(shown, AU_SETS["pocket"], lambda frame, face: told, video))
    return answer.text, answer.status


SMILE = a_face(AU12=0.78, AU06=0.55, AU25=0.4)
FLAT = a_face(200.0, "neutral", 0.6)


@pytest.mark.parametrize(
    ("question", "opening"),
    [
        ("Is she smiling?", "Yes. AU12 (lip corner puller) is at level 4 (D), intensity 0.78."),
        ("Is it true that the person isn't smiling?", "No: it is present."),
        ("Is AU4 present?", "No, absent: AU4"),
        ("Is AU43 absent?", "Yes, absent: AU43"),
        ("Is it a genuine smile?", "Yes: it looks genuine"),
        ("Is the smile fake?", "No: it looks genuine"),
        ("Is the mouth closed?", "No: it is present"),
        ("Is he happy?", "Yes: happiness"),
        ("Is he angry?", "No: anger has 2.3 %"),
        ("Which Action Units are present?", "AU6 (cheek raiser), AU12 (lip corner puller) and AU25 (lips part)."),
        ("Give the FACS code of the AUs", "6C+12D+25B."),
        ("How strong is AU12?", "AU12 (lip corner puller) is at level 4 (D), intensity 0.78."),
        ("How strong is AU4?", "Absent: AU4 (brow lowerer) is at level 0, intensity 0.00."),
        ("What is the second most likely emotion?", "Neutral (2.3 %)"),
        ("Which way is the head turned?", "The head is turned by 20 degrees to the person's right."),
        ("Is the person lying?", "No face shows whether someone lies"),
        ("Is AU45 present?", "AU45 (blink) is not among the 22 Action Units"),
        ("When does the smile start?", "A still picture has no course"),
        ("What does AU6 mean?", "AU6 is the cheek raiser"),
    ],
)  # fmt: skip
def test_an_answer_is_what_was_measured(question: str, opening: str) -> None:
    text, _ = ask(question, (SMILE,))
    assert text.startswith(opening), text


def test_arrays_name_every_position() -> None:
    text, _ = ask("Give the Action Units of this face as an array of levels from 0 to 5.", (SMILE,))
    assert text.startswith("[AU01: 0, AU02: 0") and "AU12: 4" in text and text.count(":") == 22
    lines, _ = ask("All AU intensities, one per line", (SMILE,))
    assert lines.splitlines()[0] == "AU01: 0.00" and "AU12: 0.78" in lines


def test_several_faces() -> None:
    both = (SMILE, FLAT)
    assert ask("How many faces are there?", both)[0] == "2 faces."
    assert ask("Is the person on the right smiling?", both)[0].startswith("No, absent")
    assert ask("Who smiles more, the left or the right person?", both)[0].startswith("The left one.")
    assert ask("Does everybody smile?", both)[0].startswith("No: 1 of 2 faces")
    assert ask("Is anybody not smiling?", both)[0].startswith("Yes: 1 of 2 faces")
    assert ask("Tell me about face 9.", both) == ("There is no such face: I found two faces.", "declined")
    assert ask("Is she smiling?", both)[0].endswith("This is the largest of 2 faces, the left one.")
    assert ask("Do both show the same emotion?", both)[0].startswith("No: the left one happiness")


def test_the_course_of_a_clip() -> None:
    frames = [(FLAT,)] * 5 + [(SMILE,)] * 4 + [(FLAT,)] * 3
    assert ask("When does the smile start?", *frames, video=True)[0].startswith("At 0.50 s")
    assert ask("when does the smile end", *frames, video=True)[0].startswith("At 0.80 s")
    assert ask("Does he blink?", *frames, video=True)[0].startswith("No: it never gets clear")
    told = ask("How does the expression change over the clip?", *frames, video=True)[0]
    assert told.startswith("Neutral (0.00 s to 0.40 s), then happiness (0.50 s to 0.80 s), then neutral")
    assert ask("What is the emotion at 0.7 seconds?", *frames, video=True)[0] == "happiness"


def test_nothing_is_said_without_evidence() -> None:
    blank = FaceResult(
        SMILE.face, dict.fromkeys(EMOTIONS, math.nan), {key: AuReading.of(math.nan) for key in SMILE.aus}
    )
    for question in (
        "What is the emotion?",
        "Is she smiling?",
        "Which AUs are present?",
        "Describe the mouth.",
    ):
        text, status = ask(question, (blank,))
        assert status == "declined" and "too little evidence" in text


def test_events_have_onset_apex_and_offset() -> None:
    times = [i / 10 for i in range(12)]
    values = [0.0, 0.1, 0.4, 0.9, 0.9, 0.5, 0.1, 0.0, 0.0, 0.6, math.nan, 0.0]
    first, second = events(times, values, 0.3)
    assert (first.onset, first.apex, first.offset, first.peak) == (0.2, 0.4, 0.5, 0.9)
    assert (second.onset, second.offset, second.duration) == (0.9, 0.9, 0.0)
    runs = stretches(times, list("aaabaaacccca"), least=0.1)
    assert [(run.label, run.start, run.end) for run in runs] == [("a", 0.0, 0.6), ("c", 0.7, 1.1)]


def test_a_clip_is_told_by_its_key_frames() -> None:
    times = [place / 10 for place in range(9)]
    assert key_frames(times, [0, 0, 0.5, 0.9, 0.6, 0, 0, 0, 0], 0.3) == (2, 3, 4)
    assert key_frames(times, [0.5, 0.9, 0.6, 0, 0, 0, 0, 0.4, 0.5], 0.3) == (1, 2, 7, 8)
    assert key_frames(times, [0, 0, 0.1, 0.2, math.nan, 0, 0, 0, 0], 0.3) == (3,)
    assert key_frames(times[:1], [0.0], 0.3) == key_frames(times[:1], [math.nan], 0.3) == (0,)
    still = [a_face(AU12=value) for value in (0.0, 0.5, 0.9, 0.5, 0.0)]
    assert key_faces(still) == [0, 1, 2, 3, 4]
    moving = [
        replace(one, face=replace(one.face, time=place / 10, track=1)) for place, one in enumerate(still)
    ]
    assert key_faces([*moving, *moving[:0]]) == [1, 2, 3]
