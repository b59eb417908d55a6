"""The conversations engine: pictures and clips, gates, replies in many forms, and teachers that misbehave."""

from __future__ import annotations

import json
from collections.abc import Callable, Sequence
from dataclasses import replace
from pathlib import Path
from random import Random
from typing import Any

import numpy as np
import pytest
from PIL import Image as pillow

from mien.annotate.conversations.engine import ConversationEngine, conversations_engine, with_captioner
from mien.annotate.conversations.gates import (
    REASONS,
    ConversationLimits,
    judge_caption,
    judge_rounds,
    names_label,
    read_rounds,
)
from mien.annotate.conversations.rules import say_conversation
from mien.annotate.drive import drive
from mien.annotate.engine import Kept, Outcome, Rejected
from mien.annotate.measuring import FaceMeasurer
from mien.annotate.pictures import seconds_of
from mien.annotate.rules_teacher import open_rules_teacher
from mien.annotate.runner import RunOptions, run
from mien.backends.base import open_reader
from mien.backends.chat import ChatRequest, Reply
from mien.backends.openai import OpenAITeacher
from mien.core.errors import BadConfig, BadInput
from mien.core.nouns import Image, Labels, Sample
from mien.dialogue.files.exchange import RECORDS
from mien.face.decode.media import open_media

GOOD = [
    ("What is the emotion of the person in the image?", "The person looks happy."),
    ("Which signs speak for it?", "The lip corners are pulled up and the cheeks are raised."),
    ("Is it bright?", "Yes, there is plenty of light."),
]


def said(rounds: Sequence[tuple[str, str]]) -> str:
    return json.dumps({"conversation": [{"question": q, "answer": a} for q, a in rounds]})


def noise(seed: int, side: int = 96) -> Image:
    return np.random.default_rng(seed).integers(0, 255, (side, side, 3), np.uint8)


def samples(count: int = 4, label: str | None = "happiness") -> list[Sample]:
    aus = {"AU06": 0.6, "AU12": 0.8, "AU25": 0.4, "AU04": 0.0}
    return [
        Sample(f"face{i:03d}", "rafdb", "train", f"/data/f{i}.jpg", Labels(emotion=label, au_intensity=aus))
        for i in range(count)
    ]  # fmt: skip


def engine(faces: Sequence[Sample], **options: Any) -> ConversationEngine:
    pixels: Callable[[str], Image] = lambda media: noise(sum(media.encode()))  # noqa: E731
    return conversations_engine(faces, **({"open_picture": pixels} | options))


def outcomes(made: ConversationEngine, say: Callable[[ChatRequest], str]) -> list[Outcome]:
    return [drive(made, item, lambda request: Reply(say(request))) for item in made.items()]


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """A clip of three seconds as a folder of frames."""
    place = tmp_path / "clip"
    place.mkdir()
    for number in range(15):
        pillow.fromarray(noise(number)).save(place / f"{number:04d}.png")
    return place


def test_a_picture_goes_out_with_its_label() -> None:
    seen: list[ChatRequest] = []
    found = outcomes(engine(samples(1)), lambda request: (seen.append(request), said(GOOD))[1])
    assert isinstance(found[0], Kept)
    (request,) = seen
    assert request.step == "conversations/image" and request.json
    system, user = request.messages
    assert "'happiness'" in system.text and user.text == "Expression label: happiness"
    assert len(user.images) == 1 and request.facts["label"] == "happiness"
    assert f"Write {request.facts['rounds']} rounds" in system.text
    row = found[0].row
    assert row["image"] == "/data/f0.jpg" and "video" not in row
    assert row["conversations"][0] == {"from": "human", "value": f"<image>\n{GOOD[0][0]}"}
    assert [turn["from"] for turn in row["conversations"]] == ["human", "gpt"] * 3


def test_rows_are_llava_items() -> None:
    row = outcomes(engine(samples(1)), lambda _: said(GOOD))[0]
    assert isinstance(row, Kept)
    back = RECORDS["llava"].decode(row.row)
    assert back.dialogue.sample_id == "face000" and back.media == ("/data/f0.jpg",)
    assert [turn.text for turn in back.dialogue.turns[1::2]] == [answer for _, answer in GOOD]


@pytest.mark.parametrize(
    "text",
    [
        said(GOOD),
        f"Here it is:\n```json\n{said(GOOD)}\n```\nI hope it helps.",
        json.dumps([{"Question": q, "Answer": a} for q, a in GOOD]),
        json.dumps([{"from": w, "value": t} for p in GOOD for w, t in zip(("human", "gpt"), p, strict=True)]),
        json.dumps({"messages": [{"role": w, "content": t} for p in GOOD
                                 for w, t in zip(("user", "assistant"), p, strict=True)]}),
        "\n".join(f"Q: {q}\nA: {a}" for q, a in GOOD),
        "\n\n".join(f"**Question {n}:** {q}\n**Answer:** {a}" for n, (q, a) in enumerate(GOOD, 1)),
        "\n".join(f"User: {q.rstrip('?')}\nAssistant: {a.split()[0]}\n{' '.join(a.split()[1:])}" for q, a in GOOD),
    ],
)  # fmt: skip
def test_conversations_are_read_in_many_forms(text: str) -> None:
    assert read_rounds(text) == GOOD


@pytest.mark.parametrize(
    ("text", "reason"),
    [
        ("", "malformed reply"),
        ("{\"conversation\": [{\"question\": \"What", "malformed reply"),
        ("{}", "malformed reply"),
        ("[1, 2]", "malformed reply"),
        ('{"conversation": [{"question": "What?"}]}', "malformed reply"),
        ('[{"from": "human", "value": "What?"}, {"from": "human", "value": "Who?"}]', "turns do not alternate"),
        ('[{"from": "gpt", "value": "It is."}, {"from": "human", "value": "Who?"}]', "turns do not alternate"),
        ("Q: What?\nA: That.\nQ: And now?", "turns do not alternate"),
        ("I'm sorry, but I can't help with identifying people.", "refused"),
        (said([*GOOD[:1], ("Who is it?", "I'm sorry, I cannot identify people.")]), "refused"),
        (said(GOOD[:1]), "too few rounds"),
        (said([*GOOD, *[(f"And {n}?", "Yes.") for n in range(9)]]), "too many rounds"),
        (said([GOOD[0], ("Why?", "blah " * 200)]), "too long"),
        (said([GOOD[0], ("why " * 99, "Yes.")]), "too long"),
        (said([GOOD[0], GOOD[0]]), "question twice"),
        (said([("What is it?", "The expression label says happiness."), GOOD[1]]), "reveals the label's source"),
        (said([("What is it?", "According to the description, the person is happy."), GOOD[1]]),
         "reveals the label's source"),
        (said(GOOD[1:]), "label not named"),
        (said([("How does she feel?", "She is not happy."), GOOD[1]]), "label not named"),
        (said([("How does she feel?", "The woman looks angry."), GOOD[0]]), "other emotion than the label"),
        (said([("How does she feel?", "The face shows sadness and fear."), GOOD[0]]), "other emotion than the label"),
    ],
)  # fmt: skip
def test_useless_conversations_have_stable_reasons(text: str, reason: str) -> None:
    found = outcomes(engine(samples(1)), lambda _: text)
    assert [one.reason for one in found if isinstance(one, Rejected)] == [reason]
    assert reason in REASONS


def test_the_words_of_objects_do_not_count_as_emotions() -> None:
    rounds = [*GOOD, ("What is behind?", "A calm lake and a mad pattern of clouds.")]
    assert judge_rounds(rounds, "happiness", ConversationLimits()) is None


@pytest.mark.parametrize(
    ("text", "label", "named"),
    [
        ("She looks anxious and afraid.", "anxiety", True),
        ("She looks calm.", "anxiety", False),
        ("He is disappointed.", "disappointment", True),
        ("He is disapproving.", "disappointment", False),
        ("Joyful, with a hint of surprise.", "happiness", True),
        ("Not joyful at all.", "happiness", False),
    ],
)
def test_labels_are_known_by_their_forms(text: str, label: str, named: bool) -> None:
    assert names_label(text, label) is named


def test_a_second_try_may_save_the_item() -> None:
    asked: list[int] = []

    def moody(request: ChatRequest) -> str:
        asked.append(request.attempt)
        return said(GOOD) if request.attempt else "no"

    assert isinstance(outcomes(engine(samples(1)), moody)[0], Kept) and asked == [0, 1]
    assert isinstance(outcomes(engine(samples(1), tries=1), moody)[0], Rejected)


def test_small_and_unlabelled_pictures_are_left_out() -> None:
    found = outcomes(engine(samples(1), open_picture=lambda _: noise(0, 48)), lambda _: said(GOOD))
    assert isinstance(found[0], Rejected) and found[0].reason == "low resolution"
    found = outcomes(engine(samples(1, None)), lambda _: said(GOOD))
    assert isinstance(found[0], Rejected) and found[0].reason == "no label"


def test_a_clip_is_captioned_by_the_second(folder: Path) -> None:
    seen: list[ChatRequest] = []

    def say(request: ChatRequest) -> str:
        seen.append(request)
        if request.step != "conversations/caption":
            return said(GOOD)
        return "I cannot see anything." if request.facts["time"] == 1.0 else "A person smiles at the camera"

    clip = replace(samples(1)[0], media=str(folder))
    found = outcomes(engine([clip], folder_fps=5.0), say)
    assert [request.step for request in seen] == ["conversations/caption"] * 3 + ["conversations/video"]
    assert all("happiness" not in json.dumps(request.body()) for request in seen[:3]), (
        "the captioner gets no label"
    )
    told = seen[3].messages[1].text
    assert told == (
        "Expression label: happiness\nSecond 0: A person smiles at the camera.\n"
        "Second 2: A person smiles at the camera."
    )
    assert isinstance(found[0], Kept) and found[0].row["video"] == str(folder)
    assert RECORDS["llava"].decode(found[0].row).media == (str(folder),)
    refused = outcomes(engine([clip], folder_fps=5.0), lambda _: "As an AI, I cannot.")
    assert isinstance(refused[0], Rejected) and refused[0].reason == "no captions"


def test_seconds_of_a_folder_and_a_file(folder: Path, clip: Path) -> None:
    found = seconds_of(str(folder), 16, 5.0)
    assert [frame.time for frame in found.frames] == [0.0, 1.0, 2.0] and found.centre.time == 1.4
    assert np.array_equal(found.frames[1].image, noise(5)) and np.array_equal(found.centre.image, noise(7))
    assert [frame.time for frame in seconds_of(str(folder), 2, 5.0).frames] == [0.0, 1.0]
    video = seconds_of(str(clip), 2)
    assert len(video.frames) == 2 and video.frames[0].time == 0.0
    assert video.frames[0].time < video.centre.time
    with pytest.raises(BadInput, match="without pictures"):
        seconds_of(str(folder.parent), 2)


def test_frames_without_leading_zeros_and_the_earlier_of_two_in_the_middle(tmp_path: Path) -> None:
    for number in (10, 9, 8, 11):
        pillow.fromarray(noise(number)).save(tmp_path / f"img{number}.png")
    found = seconds_of(str(tmp_path), 16, 1.0)
    for frame, number in zip(found.frames, (8, 9, 10, 11), strict=True):
        assert np.array_equal(frame.image, noise(number))
    assert np.array_equal(found.centre.image, open_media(str(tmp_path))) and found.centre.time == 1.0


def test_the_centre_of_a_file_is_the_frame_that_its_name_means(clip: Path) -> None:
    assert np.array_equal(seconds_of(str(clip), 2).centre.image, open_media(str(clip)))


def test_the_rules_teacher_talks_of_real_photos_and_clips(photos: list[Path], clip: Path) -> None:
    measure = FaceMeasurer(open_reader("rules"))
    shown = [
        Sample(p.stem, "examples", "train", str(p), Labels(emotion="happiness")) for p in [*photos[:2], clip]
    ]
    made = conversations_engine(shown, read_face=measure, reader_name=measure.name, max_seconds=2)
    teacher = open_rules_teacher("conversations")
    found = [drive(made, item, teacher.reply) for item in made.items()]
    assert all(isinstance(one, Kept) for one in found), found


def test_rules_conversations_pass_the_gates_and_vary() -> None:
    texts = set()
    for seed in range(120):
        rng = Random(seed)
        label = rng.choice(("neutral", "happiness", "sadness", "fear", "contempt", "anxiety", "helplessness"))
        facts: dict[str, Any] = {
            "label": label, "medium": "image", "rounds": rng.randint(2, 5), "light": rng.uniform(0, 255),
            "grey": seed % 2 == 0, "aus": {"AU04": rng.random(), "AU25": rng.random(), "AU43": 0.0} if seed % 3 else {},
        }  # fmt: skip
        rounds = say_conversation(facts, rng)
        assert judge_rounds(rounds, label, ConversationLimits()) is None, rounds
        texts.add(said(rounds))
    assert len(texts) == 120


def test_two_teachers_share_the_steps(folder: Path) -> None:
    class Named:
        def __init__(self, model: str) -> None:
            self.model, self.steps = model, list[str]()

        def reply(self, request: ChatRequest) -> Reply:
            self.steps.append(request.step)
            return Reply(said(GOOD) if self.model == "writer" else "A person smiles at the camera.")

    writer, captioner = Named("writer"), Named("captioner")
    both = with_captioner(writer, captioner)
    made = engine([replace(samples(1)[0], media=str(folder))], folder_fps=5.0)
    assert isinstance(drive(made, next(made.items()), both.reply), Kept)
    assert writer.steps == ["conversations/video"] and captioner.steps == ["conversations/caption"] * 3
    assert both.model == "writer, captions captioner"


def test_captions_are_gated() -> None:
    limits = ConversationLimits(caption_words=5)
    assert judge_caption("A person smiles.", limits) is None
    reasons = [
        judge_caption(text, limits) for text in ("I'm sorry, I can't.", "Hm.", "one two three four five six")
    ]
    assert [one.reason for one in reasons if one] == ["refused", "malformed reply", "too long"]


def test_a_run_is_the_same_with_any_number_of_workers(tmp_path: Path) -> None:
    for name, workers in (("a", 1), ("b", 4)):
        summary = run(
            engine(samples(10)),
            open_rules_teacher("conversations"),
            tmp_path / name,
            RunOptions(workers=workers),
        )
        assert (summary.kept, summary.rejected) == (10, {})
    assert (tmp_path / "a/items.jsonl").read_bytes() == (tmp_path / "b/items.jsonl").read_bytes()


def test_wrong_options_are_named() -> None:
    with pytest.raises(BadConfig, match="options colour"):
        conversations_engine([], colour=1)
    with pytest.raises(BadConfig, match="tries=0"):
        conversations_engine([], tries=0)
    with pytest.raises(BadConfig, match="rounds"):
        ConversationLimits(rounds=(3, 2))


def test_a_real_server_that_answers_nonsense_and_refuses(wire: Any, tmp_path: Path) -> None:
    """The stand-in server echoes the prompt as JSON of another form; every third picture is refused."""
    wire.faults(
        {"match": "sadness", "kind": "refusal", "times": 99}, {"match": "fear", "kind": "length", "times": 99}
    )
    faces = [
        replace(sample, labels=replace(sample.labels, emotion=("happiness", "sadness", "fear")[i % 3]))
        for i, sample in enumerate(samples(6))
    ]
    teacher = OpenAITeacher(wire.url, "toy-1", timeout=10.0)
    summary = run(engine(faces), teacher, tmp_path / "run", RunOptions(workers=3, first_wait=0.01))
    teacher.close()
    assert summary.kept == 0
    assert summary.rejected == {"malformed reply": 2, "refused by the teacher": 2, "cut off": 2}
    body = wire.stats()["bodies"][0]
    assert body["response_format"] == {"type": "json_object"}
    parts = body["messages"][1]["content"]
    assert [part["type"] for part in parts] == ["image_url", "text"]
    assert parts[0]["image_url"]["url"].startswith("data:image/jpeg;base64,")
