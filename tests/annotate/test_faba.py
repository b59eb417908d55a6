"""The faba engine: prompts, filters, rows in the published format, statistics, and teachers that misbehave."""

from __future__ import annotations

import io
import json
import re
from collections.abc import Callable, Sequence
from copy import deepcopy
from dataclasses import replace
from functools import cache
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image as pillow

from mien.annotate.drive import drive
from mien.annotate.engine import Kept, Outcome, Rejected
from mien.annotate.faba import review as faba_review
from mien.annotate.faba import rows as faba_rows
from mien.annotate.faba import rules as faba_rules
from mien.annotate.faba import statistics as faba_statistics
from mien.annotate.faba.engine import INSTRUCTIONS, PROMPTS, FabaEngine, choose_instruction, faba_engine
from mien.annotate.faba.filters import (
    PICTURE_REASONS,
    REPLY_REASONS,
    PictureLimits,
    TextLimits,
    affirmed_units,
    judge_reply,
    tidy,
)
from mien.annotate.measuring import FaceMeasurer
from mien.annotate.pictures import PictureSize, cut_face, encode_picture
from mien.annotate.rules_teacher import open_rules_teacher
from mien.annotate.runner import RunOptions, run
from mien.backends.base import open_reader
from mien.backends.chat import ChatRequest, Reply
from mien.core.aus import AU_SETS
from mien.core.errors import BadConfig, BadData, BadInput
from mien.core.nouns import Image, Labels, Sample
from mien.data import faba_instruct

SMILE = {"AU06": 0.6, "AU12": 0.8, "AU25": 0.4}
GOOD = {
    "emotion": "The face shows clear happiness: the lip corners are pulled up and the cheeks are raised in a smile.",
    "au": "AU6 - Cheek Raiser: The cheeks are raised.\n\nAU12 (Lip Corner Puller): The lip corners are pulled up.",
}


def noise(seed: int, side: int = 96) -> Image:
    return np.random.default_rng(seed).integers(0, 255, (side, side, 3), np.uint8)


def samples(count: int = 4, **changes: Any) -> list[Sample]:
    emotions = ("happiness", "sadness", "neutral", "anger", "surprise")
    return [
        replace(
            Sample(
                f"face{index:03d}",
                "affectnet",
                "train" if index % 4 else "val",
                f"/data/images/{index % 3}/face{index:03d}.jpg",
                Labels(emotion=emotions[index % 5], au_intensity=SMILE | {"AU04": (index % 6) / 6}),
                cropped=True,
            ),
            **changes,
        )
        for index in range(count)
    ]


def engine(faces: Sequence[Sample], task: Any = "both", **options: Any) -> FabaEngine:
    pixels: Callable[[str], Image] = lambda media: noise(sum(media.encode()))  # noqa: E731
    return faba_engine(faces, task, **({"open_picture": pixels} | options))


def outcomes(made: FabaEngine, say: Callable[[ChatRequest], str | Reply]) -> list[Outcome]:
    def reply(request: ChatRequest) -> Reply:
        said = say(request)
        return Reply(said) if isinstance(said, str) else said

    return [drive(made, item, reply) for item in made.items()]


def good(request: ChatRequest) -> str:
    return GOOD[request.step.removeprefix("faba/")]


@cache
def _made(count: int, options: tuple[tuple[str, Any], ...]) -> list[dict[str, Any]]:
    teacher = open_rules_teacher("faba")
    found = outcomes(engine(samples(count), **dict(options)), lambda request: teacher.reply(request))
    return [dict(one.row) for one in found if isinstance(one, Kept)]


def rules_rows(count: int = 40, **options: Any) -> list[dict[str, Any]]:
    return deepcopy(_made(count, tuple(options.items())))


def test_a_request_holds_the_instruction_the_picture_and_no_label() -> None:
    seen: list[ChatRequest] = []
    made = engine(samples(2))
    kept = outcomes(made, lambda request: (seen.append(request), good(request))[1])
    assert all(isinstance(one, Kept) for one in kept)
    assert [request.step for request in seen] == ["faba/emotion", "faba/au"] * 2
    for request in seen:
        system, user = request.messages
        task = request.step.removeprefix("faba/")
        assert system.text == PROMPTS[task] and not system.images
        assert user.text in INSTRUCTIONS[task]
        assert request.facts["emotion"] not in f"{system.text} {user.text}".lower()
        decoded = pillow.open(io.BytesIO(user.images[0].data))
        assert decoded.format == "JPEG" and decoded.size == (96, 96)
        assert len(request.key("any")) == 64


def test_instructions_are_a_seeded_choice_that_uses_all_of_them() -> None:
    chosen = [choose_instruction("au", f"face{index}", 0) for index in range(2000)]
    assert chosen == [choose_instruction("au", f"face{index}", 0) for index in range(2000)]
    assert set(chosen) == set(INSTRUCTIONS["au"]) and len(INSTRUCTIONS["au"]) == 100
    assert chosen != [choose_instruction("au", f"face{index}", 1) for index in range(2000)]


def test_rules_teacher_describes_what_the_facts_say() -> None:
    rows = rules_rows(40)
    assert len(rows) == 80
    for row in rows:
        text = faba_rows.row_text(row)
        if row["task"] == "emotion":
            assert faba_statistics.described_emotion(text) == row["label"].lower()
        else:
            assert faba_rows.say_units(affirmed_units(text)) == row["label"]
    assert len({faba_rows.row_text(row) for row in rows}) == len(rows)
    _made.cache_clear()
    assert rows[:16] == rules_rows(8)
    assert [row["conversations"] for row in rows[:16]] != [
        row["conversations"] for row in rules_rows(8, seed=1)
    ]


def test_rules_teacher_says_nothing_without_facts() -> None:
    teacher = open_rules_teacher("faba")
    found = outcomes(engine(samples(1, labels=Labels())), lambda r: teacher.reply(r))
    assert [one.reason for one in found if isinstance(one, Rejected)] == [
        "teacher could not read the face"
    ] * 2


def test_rows_come_back_through_the_reader(tmp_path: Path) -> None:
    rows = rules_rows(16, root="/data")
    train, test = faba_rows.split_rows(rows)
    assert {row["split"] for row in train} == {"train"} and {row["split"] for row in test} == {"val"}
    counts = faba_rows.write_faba(tmp_path, train, test)
    tree = "FABAInstruct"
    assert counts == {
        f"{tree}/{part}/{part}_{task}_anno.json": number
        for part, number in (("train", 12), ("eval", 4)) for task in ("emotion", "au")
    }  # fmt: skip
    raw = json.loads((tmp_path / tree / "train/train_au_anno.json").read_text())
    assert set(raw[0]) == {"source", "image", "id", "conversations", "landmark"}
    assert raw[0]["image"].startswith(f"{tree}/train/images/")
    assert raw[0]["landmark"] == raw[0]["image"].replace("images", "landmarks").removesuffix("jpg") + "npy"
    assert raw[0]["conversations"][0]["value"].endswith("\n<image>")
    flat = json.loads((tmp_path / tree / "eval/eval_emotion_anno.json").read_text())
    assert set(flat[0]) == {"image", "label", "gpt4", "landmark"}
    for task in ("emotion", "au"):
        own = [row for row in train if row["task"] == task]
        back = list(faba_instruct.read(f"train-{task}", tmp_path))
        assert [sample.id for sample in back] == [row["id"] for row in own]
        assert [sample.labels.description for sample in back] == [faba_rows.row_text(row) for row in own]
        turns = [dialogue.turns for dialogue in faba_instruct.dialogues(f"train-{task}", tmp_path)]
        assert [turn[0].text for turn in turns] == [row["conversations"][0]["value"] for row in own]
    emotions = [sample.labels.emotion for sample in faba_instruct.read("eval-emotion", tmp_path)]
    assert emotions == [row["label"].lower() for row in test if row["task"] == "emotion"]
    units = [sample.labels.au_presence or {} for sample in faba_instruct.read("eval-au", tmp_path)]
    said = [faba_rows.say_units(key for key, here in one.items() if here) for one in units]
    assert said == [row["label"] for row in test if row["task"] == "au"]


@pytest.mark.parametrize(
    ("image", "box", "name"),
    [
        ("images/a/1.jpg", None, "FABAInstruct/train/images/a/1.jpg"),
        ("FABAInstruct/train/images/AffectNet/1.jpg", None, "FABAInstruct/train/images/AffectNet/1.jpg"),
        ("../up/1.PNG", None, "FABAInstruct/train/images/up/1.PNG"),
        ("1.heic", None, "FABAInstruct/train/images/1_heic.jpg"),
        ("clip.mp4!12", None, "FABAInstruct/train/images/clip.mp4/12.jpg"),
        ("1.jpg", [1, 2, 3, 4], "FABAInstruct/train/images/1-9127d88b32.jpg"),
        ("/far/away/faces/1.jpg", None, "FABAInstruct/train/images/faces/1-fd1e7d5af4.jpg"),
    ],
)
def test_every_picture_has_its_place_in_the_tree(image: str, box: list[int] | None, name: str) -> None:
    got = faba_rows.tree_name({"image": image, "box": box}, "train")
    assert re.sub(r"-[0-9a-f]{10}\.", "-X.", got) == re.sub(r"-[0-9a-f]{10}\.", "-X.", name)
    assert faba_rows.prior_name(got).startswith("FABAInstruct/train/landmarks/")


@pytest.mark.parametrize(
    ("text", "units"),
    [
        ("The face shows AU 6 + 12.", ("AU06", "AU12")),
        ("AU6 and 12, no AU4 + 7", ("AU06", "AU12")),
        ("AU 6 + 12 are not visible.", ()),
        ("AU12 without AU6 and 7", ("AU12",)),
    ],
)
def test_joined_units_are_all_kept(text: str, units: tuple[str, ...]) -> None:
    assert affirmed_units(text) == units


def test_drawn_split_keeps_pictures_and_subjects_apart() -> None:
    rows = [row | {"subject": f"s{index // 4}"} for index, row in enumerate(rules_rows(40))]
    train, test = faba_rows.split_rows(rows, test_pictures=9, seed=3)
    assert len(train) + len(test) == len(rows)
    assert not {row["image"] for row in train} & {row["image"] for row in test}
    assert not {row["subject"] for row in train} & {row["subject"] for row in test}
    assert 9 <= len({row["image"] for row in test}) <= 10
    assert (train, test) == faba_rows.split_rows(rows, test_pictures=9, seed=3)
    with pytest.raises(BadConfig, match="41 test pictures"):
        faba_rows.split_rows(rows, test_pictures=41)


def test_test_items_need_a_label() -> None:
    row = rules_rows(1)[0] | {"label": ""}
    with pytest.raises(BadData, match="without a label"):
        faba_rows.eval_items([row])


@pytest.mark.parametrize(
    ("task", "text", "finish", "reason"),
    [
        ("emotion", "", "stop", "empty reply"),
        ("emotion", "   \n", "stop", "empty reply"),
        ("emotion", "I'm sorry, but I can't assist with that request.", "stop", "refused"),
        ("au", "As an AI language model, I am unable to analyse faces of real people.", "stop", "refused"),
        ("au", "UNUSABLE: low resolution", "stop", "teacher saw low resolution"),
        ("au", "The picture is too blurry; the action units cannot be told.", "stop", "teacher saw low resolution"),
        ("au", "The mouth is covered by a mask, so it is not possible to tell.", "stop", "teacher saw occlusion"),
        ("emotion", "UNUSABLE.", "stop", "teacher could not read the face"),
        ("emotion", GOOD["emotion"], "length", "cut off"),
        ("emotion", "Happiness.", "stop", "too short"),
        ("emotion", " ".join([GOOD["emotion"]] * 2 + [f"It seems word{n}." for n in range(90)]), "stop", "too long"),
        ("emotion", " ".join([GOOD["emotion"]] * 4), "stop", "repeats itself"),
        ("emotion", "A wooden table stands in the middle of a large room with two big windows.", "stop",
         "no emotion described"),
        ("au", "The face in this picture seems quite calm and there is little that could be said of it.", "stop",
         "no action unit named"),
        ("au", "AU99 - Ear Wiggler: the ears move a lot in this picture of a person.", "stop", "unknown action unit"),
        ("au", "AU12 - Brow Lowerer: the brows are lowered as is seen in anger and in deep thought.", "stop",
         "action unit misnamed"),
        ("au", "AU12 - Lip Corner Puller: not visible in this face, and no other unit can be seen at all.", "stop",
         "no action unit named"),
    ],
)  # fmt: skip
def test_useless_replies_have_stable_reasons(task: str, text: str, finish: str, reason: str) -> None:
    found = outcomes(engine(samples(1), task), lambda _: Reply(text, finish))
    assert [one.reason for one in found if isinstance(one, Rejected)] == [reason]
    assert reason in REPLY_REASONS


def test_a_useless_reply_is_asked_again_and_then_kept() -> None:
    asked: list[ChatRequest] = []

    def moody(request: ChatRequest) -> str:
        asked.append(request)
        return good(request) if request.attempt else "I cannot help with that."

    found = outcomes(engine(samples(1), "emotion"), moody)
    assert isinstance(found[0], Kept) and [request.attempt for request in asked] == [0, 1]
    assert asked[0].key("m") != asked[1].key("m")
    assert asked[0].temperature == 0.0 < asked[1].temperature and asked[0].seed != asked[1].seed
    assert isinstance(outcomes(engine(samples(1), "emotion", tries=1), moody)[0], Rejected)


def test_tidy_ends_every_description() -> None:
    assert tidy("```\nThe face is happy\n```") == "The face is happy."
    assert tidy('"Quite  calm.\n\n\n It seems so"') == "Quite calm.\n\nIt seems so."
    assert tidy(" ") == ""
    assert judge_reply(tidy(GOOD["au"]), "au", TextLimits()) is None


def test_picture_filters() -> None:
    face = samples(1)[0]
    points = np.zeros((478, 3), np.float32)
    points[:, :2] = np.random.default_rng(0).uniform(-90, 90, (478, 2))
    cases: list[tuple[Sample, Image, str]] = [
        (face, noise(1, 40), "low resolution"),
        (face, np.full((96, 96, 3), 7, np.uint8), "empty picture"),
        (replace(face, landmarks=points), noise(1), "occluded"),
        (replace(face, cropped=False, box=(10, 10, 40, 40)), noise(1, 200), "low resolution"),
    ]
    for sample, image, reason in cases:
        made = engine([sample], "au", open_picture=lambda _, image=image: image)
        found = outcomes(made, good)[0]
        assert isinstance(found, Rejected) and found.reason == reason and reason in PICTURE_REASONS
    # 50 px are enough for the emotion, not for AUs.
    kinds = [type(one) for one in outcomes(engine([face], open_picture=lambda _: noise(1, 50)), good)]
    assert kinds == [Kept, Rejected]


def test_a_measured_face_feeds_filters_and_teacher(photos: list[Path]) -> None:
    measure = FaceMeasurer(open_reader("rules"))
    shown = [Sample(path.stem, "examples", "train", str(path), Labels()) for path in photos]
    teacher = open_rules_teacher("faba")
    made = faba_engine(shown, "both", read_face=measure, reader_name=measure.name)
    found = outcomes(made, lambda request: teacher.reply(request))
    rows = [one.row for one in found if isinstance(one, Kept)]
    assert len(rows) >= len(shown)
    image = np.asarray(pillow.open(photos[0]).convert("RGB"))
    assert measure(shown[0], image) is measure(shown[0], image), "one picture is measured once"
    assert measure(shown[0], noise(3, 300)) is None
    blank = faba_engine(shown[:1], "au", read_face=measure, open_picture=lambda _: noise(3, 300))
    nothing = outcomes(blank, good)[0]
    assert isinstance(nothing, Rejected) and nothing.reason == "no face"
    shy = faba_engine(shown[:1], "au", read_face=measure, picture_limits=PictureLimits(max_yaw=0.01))
    turned = outcomes(shy, good)[0]
    assert isinstance(turned, Rejected) and turned.reason == "turned away"


def test_a_label_can_be_asked_for() -> None:
    found = outcomes(engine(samples(2), "emotion", check_label=True), good)
    assert isinstance(found[0], Kept)
    assert isinstance(found[1], Rejected) and found[1].reason == "other emotion than the label"


def test_pictures_are_bounded() -> None:
    small = encode_picture(noise(0, 900), PictureSize(side=256, max_bytes=12_000))
    assert len(small.data) <= 12_000
    assert small == encode_picture(noise(0, 900), PictureSize(side=256, max_bytes=12_000))
    assert max(pillow.open(io.BytesIO(small.data)).size) <= 256
    assert pillow.open(io.BytesIO(encode_picture(noise(0, 50), PictureSize()).data)).size == (50, 50)
    assert cut_face(noise(0, 100), (40, 40, 60, 60)).shape == (32, 32, 3)
    assert cut_face(noise(0, 100), (-10, -10, 20, 20)).shape == (29, 29, 3)
    with pytest.raises(BadConfig, match="quality"):
        PictureSize(quality=0)


def test_a_run_accounts_for_every_item(tmp_path: Path) -> None:
    faces = samples(12) + samples(1, id="blind", labels=Labels())
    summary = run(engine(faces), open_rules_teacher("faba"), tmp_path / "a", RunOptions(workers=3))
    assert summary.items == 26 == summary.kept + sum(summary.rejected.values())
    assert summary.rejected == {"teacher could not read the face": 2}
    run(engine(faces), open_rules_teacher("faba"), tmp_path / "b", RunOptions(workers=1))
    assert (tmp_path / "a/items.jsonl").read_bytes() == (tmp_path / "b/items.jsonl").read_bytes()
    rows = [json.loads(line) for line in (tmp_path / "a/items.jsonl").read_text().splitlines()]
    assert faba_rows.train_items(rows)[0]["id"] == "face000#emotion"


def test_wrong_options_are_named() -> None:
    with pytest.raises(BadConfig, match="options colour"):
        faba_engine([], "emotion", colour=1)
    with pytest.raises(BadConfig, match="task 'mood'"):
        faba_engine([], "mood")  # type: ignore[arg-type]
    with pytest.raises(BadConfig, match="tries=0"):
        faba_engine([], "au", tries=0)


def test_statistics_count_table_and_figure() -> None:
    rows = rules_rows(40)
    train, test = faba_rows.split_rows(rows, test_pictures=10)
    found = faba_statistics.faba_statistics(train, test)
    table = dict(found.table())
    assert table["Total images"] == 40
    assert table["Emotion training samples"] == 30 and table["AU testing samples"] == 10
    words = [len(faba_rows.row_text(row).split()) for row in rows if row["task"] == "au"]
    assert table["AU description average length"] == round(sum(words) / len(words), 2)
    assert sum(found.emotions.values()) == 30 and found.emotions["none"] == 0
    assert found.emotions["happiness"] == sum(row["label"] == "Happiness" for row in train)
    assert found.aus["AU12"] == 30 and found.aus["AU27"] == 0
    assert tuple(found.aus) == AU_SETS["faba20"]
    assert sum(found.lengths["au"].values()) == 40
    assert next(iter(found.cloud["au"].values())) == max(found.cloud["au"].values())
    content = json.loads(json.dumps(found.to_json()))
    assert content["table"]["Total images"] == {"here": 40, "published": 19877}
    assert set(table) == set(faba_statistics.PUBLISHED)


@pytest.mark.parametrize(
    ("text", "emotion"),
    [
        ("The face is not happy. It shows anger.", "anger"),
        ("A noticeable, knowing smile.", "happiness"),
        ("Calm and neutral, with a trace of joy.", "neutral"),
        ("Joy, or anger.", "happiness"),
        ("A table.", None),
    ],
)
def test_described_emotion(text: str, emotion: str | None) -> None:
    assert faba_statistics.described_emotion(text) == emotion


def test_rules_vary() -> None:
    from random import Random

    facts = {"emotion": "happiness", "emotions": {"happiness": 0.5, "surprise": 0.4}, "aus": SMILE}
    texts = {faba_rules.describe_emotion(facts, Random(seed)) for seed in range(200)}
    assert len(texts) >= 195
    lengths = [len(text.split()) for text in texts]
    assert 35 <= sum(lengths) / len(lengths) <= 65


def write_corrections(path: Path, rows: Sequence[Any], **changes: dict[str, str]) -> Path:
    items = {}
    for row in rows:
        told = {"was": faba_review.row_key(row), "verdict": "ok", "text": faba_rows.row_text(row),
                "label": row["label"], "note": ""}  # fmt: skip
        items[row["id"]] = told | changes.get(row["id"].replace("#", "_"), {})
    content = {"format": faba_review.FORMAT, "sheet": faba_review.sheet_key(rows), "items": items}
    path.write_text(json.dumps(content))
    return path


def test_corrections_are_applied(tmp_path: Path) -> None:
    rows = rules_rows(4)
    path = write_corrections(
        tmp_path / "c.json",
        rows[:6],
        face000_emotion={"text": "The face shows sadness", "label": "Sadness"},
        face000_au={"label": "12,6"},
        face001_emotion={"verdict": "drop"},
    )
    found = faba_review.apply_corrections(rows, faba_review.read_corrections(path))
    assert (found.checked, found.texts, found.labels, found.dropped) == (5, 1, 2, 1)
    assert len(found.rows) == 7 and found.unchecked == tuple(row["id"] for row in rows[6:])
    first, second = found.rows[:2]
    assert faba_rows.row_text(first) == "The face shows sadness." and first["label"] == "Sadness"
    assert first["label_source"] == "review" and first["reviewed"] is True
    assert second["label"] == "6, 12"
    assert found.rows[-1]["reviewed"] is False
    assert faba_rows.row_text(rows[0]) != "The face shows sadness.", "the given rows stay as they are"
    assert faba_rows.eval_items(found.rows)


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"text": " "}, "an empty text"),
        ({"label": "Bliss"}, "label 'Bliss'"),
        ({"was": "0" * 16}, "as it was before"),
    ],
)
def test_wrong_corrections_are_refused(tmp_path: Path, changes: dict[str, str], message: str) -> None:
    rows = rules_rows(1)
    read = faba_review.read_corrections(write_corrections(tmp_path / "c.json", rows, face000_emotion=changes))
    with pytest.raises(BadData, match=message):
        faba_review.apply_corrections(rows, read)
    with pytest.raises(BadData, match="not among"):
        faba_review.apply_corrections(rows[:1], read)


@pytest.mark.parametrize(
    "text", ["no json", "[]", '{"format": "mien-review-1"}', '{"format":"mien-review-1","sheet":"x","items":{"a":1}}',
             '{"format":"mien-review-1","sheet":"x","items":{"a":{"was":"","verdict":"?","text":"","label":"","note":""}}}']
)  # fmt: skip
def test_files_of_another_kind_are_refused(tmp_path: Path, text: str) -> None:
    path = tmp_path / "c.json"
    path.write_text(text)
    with pytest.raises(BadInput):
        faba_review.read_corrections(path)
    with pytest.raises(BadInput, match="cannot be read"):
        faba_review.read_corrections(tmp_path / "none.json")


MIXED = "are a mix of emotions, with a mix of emotions that are mixed with another emotion. "
BABBLE = {
    f"The face appears to be a mix of emotions. The features {MIXED}The features {MIXED}": "repeats itself",
    "The face on this picture appears to express a mix of very different emotions.": "no emotion described",
    "The face appears to express a mix of emotions, including sadness, anger, joy and confusion.": "no one emotion",
    "The person appears to be a woman with a smile on her face and raised cheeks.": None,
    "The person looks sad, with a hint of fear in the raised inner brows and parted lips.": None,
}
"""Replies of the kind that a small language model gives to any face, and two descriptions."""


@pytest.mark.parametrize("text", BABBLE)
def test_babble_is_no_description(text: str) -> None:
    rejected = judge_reply(text.strip(), "emotion", TextLimits())
    assert (rejected and rejected.reason) == BABBLE[text]
