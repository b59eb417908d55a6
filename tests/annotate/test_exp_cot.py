"""The Exp-CoT engine with honest, lying, refusing and endless teachers."""

from __future__ import annotations

import importlib.util
import json
import random
from collections.abc import Callable
from pathlib import Path
from types import ModuleType

import pytest

from mien.annotate.drive import drive
from mien.annotate.engine import Item, Kept, Outcome, Rejected
from mien.annotate.exp_cot.engine import ExpCot, ExpCotOptions, exp_cot_engine
from mien.annotate.exp_cot.gates import read_expression, read_verdict, refined_faults
from mien.annotate.exp_cot.items import LabelAus, ReaderAus, TableAus, file_name, from_facs, open_aus
from mien.annotate.exp_cot.prompts import DES2EXP, REFLECT, au2des, refine, reflect_with_label, verify
from mien.annotate.rules_teacher import RulesTeacher, open_rules_teacher
from mien.annotate.runner import RunOptions, run
from mien.backends.base import open_reader
from mien.backends.chat import ChatRequest, Reply
from mien.core.aus import FEAFA_24
from mien.core.emotions import EMOTIONS
from mien.core.errors import BadConfig, BadData, BadInput
from mien.core.nouns import AuReading, Labels, Sample
from mien.data.expllm import read as read_expllm
from mien.data.ferplus import read as read_ferplus

NAMES = tuple(value.name for value in FEAFA_24)
SMILE = {"left lip corner pull": 0.62, "right lip corner pull": 0.58, "jaw drop": 0.31}


def face(values: dict[str, float], label: str | None = "happiness", name: str = "face") -> Sample:
    known = dict.fromkeys(NAMES, 0.0) | values
    return Sample(
        name, "made", "train", f"/faces/{name}.png", Labels(label, au_intensity=known), cropped=True
    )


def random_faces(count: int, seed: int = 0) -> list[Sample]:
    rng = random.Random(seed)
    faces = []
    for index in range(count):
        names = rng.sample(NAMES, rng.choice((0, 1, 2, 3, 5, 8, 13, 24)))
        values = {name: round(rng.random(), 2) for name in names}
        faces.append(face(values, rng.choice(EMOTIONS), f"face{index:03d}"))
    return faces


class Spoiled:
    """The rules teacher with its replies changed, keeping all requests."""

    model = "spoiled"

    def __init__(self, change: Callable[[ChatRequest, str], str | Reply]) -> None:
        self.rules, self.change = open_rules_teacher("exp-cot"), change
        self.requests: list[ChatRequest] = []

    def reply(self, request: ChatRequest) -> Reply:
        self.requests.append(request)
        said = self.change(request, self.rules.reply(request).text)
        return said if isinstance(said, Reply) else Reply(said)

    def steps(self) -> list[str]:
        return [request.step.removeprefix("exp-cot/") for request in self.requests]


def honest(_request: ChatRequest, text: str) -> str:
    return text


def spoil(step: str, change: Callable[[str], str | Reply], **others: str) -> Spoiled:
    """A teacher whose answers to steps that begin with ``step`` are changed; ``others`` fixes whole steps."""

    def changed(request: ChatRequest, text: str) -> str | Reply:
        name = request.step.removeprefix("exp-cot/")
        return others[name] if name in others else change(text) if name.startswith(step) else text

    return Spoiled(changed)


def outcome(sample: Sample, teacher: Spoiled, rounds: int = 3, hints: int = 1) -> Outcome:
    engine = exp_cot_engine([sample], LabelAus(), rounds, hints)
    return drive(engine, next(iter(engine.items())), teacher.reply)


def reason(found: Outcome) -> str:
    assert isinstance(found, Rejected), found
    return found.reason


@pytest.fixture(scope="module")
def check(repository: Path) -> ModuleType:
    spec = importlib.util.spec_from_file_location(
        "exp_cot_check", repository / "benchmarks" / "_exp_cot_check.py"
    )
    assert spec is not None and spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


# -- the paper's words ---------------------------------------------------------------------------------


def test_prompts_are_the_published_ones() -> None:
    assert au2des({"left eye close": 0.23}) == (
        "Provided step-by-step analysis of the face based on the specified Facial Action Units. The positive AUs are "
        "{'left eye close': 0.23}, and other AUs' density are 0."
    )
    assert DES2EXP.endswith(
        "'Surprise', 'Fear', 'Disgust', 'Happiness', 'Sadness', 'Anger', 'Neutral' and 'Contempt'."
    )
    assert verify({"left eye close": 0.23, "jaw drop": 0.5}, "sadness") == (
        "Determine whether the description contains AU {left eye close: 0.23, jaw drop: 0.50}, and the relevant degree "
        "corresponds to AU density. Also check if the generated expression label matches Sadness. "
        "Just give me the result 'Correct' or 'Incorrect', without any other words."
    )
    assert reflect_with_label("anger").startswith(
        "The generated expression and analysis remain incorrect. The correct expression is Anger. "
    )
    assert refine("The jaw drops.").endswith("(e.g., 'AU 1', 'AU 47') are included in the description. Original "
                                             "description: The jaw drops.")  # fmt: skip
    with pytest.raises(BadConfig, match="label 'bored'"):
        verify({}, "bored")


# -- a good run ----------------------------------------------------------------------------------------


def test_every_random_face_becomes_a_sound_row(check: ModuleType, tmp_path: Path) -> None:
    samples = random_faces(40)
    engine = exp_cot_engine(samples, LabelAus())
    rows = []
    for item in engine.items():
        found = drive(engine, item, open_rules_teacher("exp-cot").reply)
        assert isinstance(found, Kept), found
        rows.append(found.row)
    path = tmp_path / "items.jsonl"
    path.write_text("".join(json.dumps(row) + "\n" for row in rows))
    figures = check.check(path)
    assert figures["rows"] == 40 and figures["words_max"] <= 130
    assert {
        figures[name] for name in ("words", "heads", "label", "aus", "no_index", "no_pronoun", "au_list")
    } == {1.0}
    assert figures["different_texts"] == 1.0
    hinted = [row for row in rows if row["provenance"]["hinted"]]
    assert 0 < len(hinted) < 40 and all(row["provenance"]["reflections"] == 4 for row in hinted)


def test_the_check_finds_damage(check: ModuleType, tmp_path: Path) -> None:
    kept = outcome(face(SMILE), Spoiled(honest))
    assert isinstance(kept, Kept)
    good = dict(kept.row)
    text = str(good["description"])
    damaged = {
        "words": text + " more" * 131,
        "heads": text.replace("**Conclusion:**", ""),
        "label": text.replace("happiness", "sadness"),
        "aus": text.replace("jaw", "hair"),
        "no_index": text.replace("**Conclusion:**", "**Conclusion:** AU12."),
        "no_pronoun": text.replace("**Conclusion:**", "**Conclusion:** She smiles."),
    }
    assert all(check.look(good)[name] for name in damaged)
    for name, worse in damaged.items():
        assert worse != text and not check.look(good | {"description": worse})[name], name
    assert not check.look(good | {"au": [2.0] * 24})["au_list"]


def test_rows_read_as_expllm_items(tmp_path: Path) -> None:
    samples = random_faces(6, seed=3)
    engine = exp_cot_engine(samples, LabelAus(), root="/faces")
    found = [drive(engine, item, open_rules_teacher("exp-cot").reply) for item in engine.items()]
    rows = [dict(one.row) for one in found if isinstance(one, Kept)]
    (tmp_path / "data_list" / "train").mkdir(parents=True)
    (tmp_path / "cot.json").write_text(json.dumps(rows))
    (tmp_path / "data_list" / "train" / "cot.txt").write_text("cot.json,faces\n")
    read = list(read_expllm("train/cot", tmp_path))
    assert [Path(sample.media).name for sample in read] == [Path(sample.media).name for sample in samples]
    for sample, row, source in zip(read, rows, samples, strict=True):
        assert sample.labels.emotion == source.labels.emotion
        assert sample.labels.au_intensity == source.labels.au_intensity
        assert sample.labels.chain_of_thought == row["description"]


def test_a_run_keeps_rejects_and_counts(tmp_path: Path) -> None:
    samples = [
        *random_faces(5),
        face({}, None, "nameless"),
        Sample("bare", "made", "train", "x.png", Labels("fear")),
    ]
    summary = run(exp_cot_engine(samples, LabelAus()), open_rules_teacher(), tmp_path, RunOptions(workers=3))
    assert (summary.items, summary.kept) == (7, 5)
    assert dict(summary.rejected) == {"no label": 1, "no AU reading": 1}


def test_process_is_pure() -> None:
    def asked() -> list[str]:
        teacher = Spoiled(honest)
        outcome(face(SMILE, "sadness"), teacher)
        return [request.key("m") for request in teacher.requests]

    first = asked()
    assert first == asked() and len(set(first)) == len(first)


def test_faces_with_equal_values_get_their_own_texts_unless_asked_otherwise() -> None:
    def texts(seed: int | None) -> set[str]:
        engine = exp_cot_engine([face(SMILE, name=f"f{n}") for n in range(4)], LabelAus(), seed=seed)
        found = [drive(engine, item, open_rules_teacher("exp-cot").reply) for item in engine.items()]
        return {str(one.row["description"]) for one in found if isinstance(one, Kept)}

    assert len(texts(0)) == 4 and len(texts(None)) == 1


# -- who sees what -------------------------------------------------------------------------------------


def test_order_of_the_processes_and_the_memory() -> None:
    teacher = Spoiled(honest)
    kept = outcome(face(SMILE, "sadness"), teacher)
    assert isinstance(kept, Kept) and kept.row["provenance"]["hinted"]
    round_ = ["des2exp", "verify"]
    expected = ["au2des", *round_, *(["reflect", *round_] * 3), "reflect-with-label", *round_, "refine"]
    assert teacher.steps() == expected
    for request in teacher.requests:
        texts = [message.text for message in request.messages]
        assert not any(message.images for message in request.messages)
        roles = [message.role for message in request.messages]
        assert roles == ["user" if place % 2 == 0 else "assistant" for place in range(len(roles))]
        if request.step in {"exp-cot/au2des", "exp-cot/reflect"}:
            # No word of the true label before the hint; Des2Exp's list of all eight is no hint.
            rest = [text for text in texts if text != DES2EXP]
            assert not any("matches Sadness" in text or "correct expression is" in text for text in rest)
    last = teacher.requests[expected.index("reflect-with-label")].messages
    assert sum(message.text == REFLECT for message in last) == 3, "all earlier rounds are in the memory"
    assert last[-1].text == reflect_with_label("sadness")


def test_the_text_is_true_to_both_when_label_and_movements_disagree() -> None:
    kept = outcome(face(SMILE, "sadness"), Spoiled(honest))
    assert isinstance(kept, Kept)
    text = str(kept.row["description"])
    assert not refined_faults(text, SMILE, "sadness")
    assert "lip corner" in text or "corners of the mouth" in text
    conclusion = text.split("**Conclusion:**")[1]
    assert "sadness" in conclusion
    assert any(word in conclusion.lower() for word in ("despite", "in spite", "although", "do not decide"))


# -- lying and failing teachers ------------------------------------------------------------------------

ALWAYS = {"verify": "Correct", "des2exp": "Happiness"}


def drop_jaw(text: str) -> str:
    return ". ".join(sentence for sentence in text.split(". ") if "jaw" not in sentence.lower())


@pytest.mark.parametrize(
    ("change", "expected"),
    [
        (drop_jaw, "AU missing"),
        (lambda text: text + " The brows are strongly lowered.", "movement not given"),
        (lambda text: text + " The cheeks are raised.", "movement not given"),
        (lambda text: text + " The jaw is extremely dropped.", "degree mismatch"),
        (lambda text: text + " The jaw is not dropped.", "AU denied"),
        (lambda _text: "I'm sorry, but I can't help with that.", "refused"),
        (lambda _text: "  ", "empty"),
        (lambda text: Reply(text, "length", tokens_out=700), "cut off"),
    ],
)
def test_a_spoiled_description_never_passes_whatever_the_verifier_says(
    change: Callable[[str], str | Reply], expected: str
) -> None:
    """The verifier and the namer of expressions are bribed."""
    kept = outcome(face(SMILE), spoil("au2des", change, verify="Correct"))
    assert isinstance(kept, Kept) and kept.row["provenance"]["reflections"] > 0, "a later round is sound"

    def everywhere(request: ChatRequest, text: str) -> str | Reply:
        name = request.step.removeprefix("exp-cot/")
        return ALWAYS.get(name) or (text if name == "refine" else change(text))

    teacher = Spoiled(everywhere)
    assert reason(outcome(face(SMILE), teacher)) == f"not verified: {expected}"
    assert teacher.steps().count("reflect") == 3 and teacher.steps().count("reflect-with-label") == 1
    assert "refine" not in teacher.steps()


def test_a_verifier_that_always_disagrees_ends() -> None:
    teacher = spoil("verify", lambda _text: "Incorrect.")
    assert reason(outcome(face(SMILE), teacher, rounds=5, hints=2)) == "not verified: teacher disagrees"
    assert len(teacher.requests) == 8 * 3


@pytest.mark.parametrize(
    ("step", "said", "expected"),
    [
        ("verify", "I would rather not say.", "no verdict"),
        ("des2exp", "Happiness or Surprise", "no single label"),
        ("des2exp", "Bored", "no single label"),
        ("des2exp", "Anger", "label mismatch"),
    ],
)
def test_unreadable_or_wrong_answers(step: str, said: str, expected: str) -> None:
    found = outcome(
        face(SMILE), spoil(step, lambda _text: said, verify=said if step == "verify" else "Correct")
    )
    assert reason(found) == f"not verified: {expected}"


@pytest.mark.parametrize(
    ("change", "expected"),
    [
        (lambda text: text.split("**Conclusion:**")[0], "heads missing"),
        (lambda text: text + " word" * 130, "too long"),
        (lambda text: text + " AU 12 is seen.", "AU index"),
        (lambda text: text + " She is glad.", "personal pronoun"),
        (lambda text: text.replace("happiness", "sadness"), "label not concluded"),
        (
            lambda text: text.split("**Conclusion:**")[0] + "**Conclusion:** Anger and happiness.",
            "label not concluded",
        ),
        (lambda text: text.replace("jaw", "tongue"), "AU missing"),
        (lambda text: Reply(text, "length"), "cut off"),
        (lambda _text: "Unfortunately, I cannot do this.", "refused"),
    ],
)
def test_a_refined_text_must_keep_the_rules(change: Callable[[str], str | Reply], expected: str) -> None:
    stubborn = spoil("refine", change)
    assert reason(outcome(face(SMILE), stubborn)) == f"not refined: {expected}"
    asked = [request for request in stubborn.requests if request.step == "exp-cot/refine"]
    assert [request.attempt for request in asked] == [0, 1, 2]
    assert len({request.key("m") for request in asked}) == 3
    assert expected in asked[-1].messages[-1].text, "the teacher is told what is wrong"
    once = Spoiled(
        lambda request, text: (
            change(text) if request.step == "exp-cot/refine" and not request.attempt else text
        )
    )
    kept = outcome(face(SMILE), once)
    assert isinstance(kept, Kept) and kept.row["provenance"]["refinements"] == 2


def test_wrapping_and_markdown_are_cleaned() -> None:
    teacher = spoil(
        "refine", lambda text: "Sure! Here is the analysis I made:\n\n" + text.replace("**", "### ")
    )
    kept = outcome(face(SMILE), teacher)
    assert isinstance(kept, Kept) and str(kept.row["description"]).startswith("**Key Observations:** ")
    assert "Sure" not in str(kept.row["description"])


@pytest.mark.parametrize(
    ("text", "verdict"),
    [("Correct", True), ("'Correct'.", True), ("Incorrect", False), ("Not correct", False), ("Maybe", None),
     ("Correct or incorrect?", None), ("", None)],
)  # fmt: skip
def test_verdicts(text: str, verdict: bool | None) -> None:
    assert read_verdict(text) is verdict


@pytest.mark.parametrize(
    ("text", "label"), [("'Happiness'", "happiness"), ("The expression is Sad.", "sadness"), ("none", None)]
)
def test_expressions(text: str, label: str | None) -> None:
    assert read_expression(text) == label


def test_options_out_of_range() -> None:
    for options in ({"rounds": -1}, {"refinements": 0}, {"temperature": 3.0}):
        with pytest.raises(BadConfig):
            ExpCotOptions(**options)
    assert dict(exp_cot_engine([], LabelAus(), rounds=2).settings)["rounds"] == 2


# -- Img2AU --------------------------------------------------------------------------------------------


def test_facs_readings_become_feafa_values() -> None:
    units = {
        "AU01": 0.6,
        "AU02": 0.3,
        "AU12": 0.8,
        "AU27": 0.5,
        "AU26": 0.05,
        "AU06": 0.9,
        "AU28": float("nan"),
    }
    reading = from_facs({key: AuReading.of(value) for key, value in units.items()})
    positive = {name: value for name, value in reading.values.items() if value}
    assert positive == {
        "left brow raise": 0.6, "right brow raise": 0.6, "jaw drop": 0.5,
        "left lip corner pull": 0.8, "right lip corner pull": 0.8,
    }  # fmt: skip
    assert {"upper lip suck", "cheek puff", "jaw thrust", "chin raise"} <= set(reading.unmeasured)
    assert "jaw drop" not in reading.unmeasured


def test_labels_as_source() -> None:
    sample = Sample("a", "d", "train", "a.png", Labels("anger", au_level={"AU04": 4}))
    assert LabelAus().read(sample).values["left brow lower"] == 0.8
    with pytest.raises(BadInput, match="without AU intensities"):
        LabelAus().read(Sample("a", "d", "train", "a.png", Labels("anger")))


def test_tables_as_source(tmp_path: Path) -> None:
    sample = Sample("id7", "d", "train", "/faces/7.png", Labels("anger"))
    numbers = [0.0] * 8 + [0.4] + [0.0] * 15
    (tmp_path / "auw").mkdir()
    (tmp_path / "auw" / "7.auw").write_text(" ".join(map(str, numbers)))
    (tmp_path / "openface.csv").write_text("file, AU12_r, AU26_r\n7.png, 2.5, 2.0\n")
    (tmp_path / "mien.csv").write_text("input,AU26_i,AU12_i\n7.png,0.4,\n")
    (tmp_path / "feafa.csv").write_text("id,jaw drop,nose wrinkle\nid7,0.4,0\n")
    (tmp_path / "rows.jsonl").write_text(json.dumps({"file_name": "7.png", "au": numbers}) + "\n")
    for name in ("auw", "openface.csv", "mien.csv", "feafa.csv", "rows.jsonl"):
        source = open_aus(str(tmp_path / name))
        assert source.read(sample).values["jaw drop"] == pytest.approx(0.4), name
        assert source.name.startswith("table ")
        with pytest.raises(BadInput, match="no row in the table"):
            source.read(Sample("id8", "d", "train", "8.png", Labels()))
    assert TableAus(tmp_path / "openface.csv").read(sample).values["left lip corner pull"] == 0.5
    (tmp_path / "bad.csv").write_text("id,valence\n1,2\n")
    with pytest.raises(BadData, match="without AU columns"):
        TableAus(tmp_path / "bad.csv")
    (tmp_path / "auw" / "8.auw").write_text("0.1 0.2")
    with pytest.raises(BadData, match="2 values"):
        TableAus(tmp_path / "auw")
    with pytest.raises(BadConfig, match="AU source 'nothing'"):
        open_aus("nothing")


def test_file_names_are_relative_to_the_root() -> None:
    sample = Sample("a", "d", "train", "/data/ferplus/train.npz!12", Labels())
    assert file_name(sample, "/data") == "ferplus/train.npz!12"
    assert file_name(sample) == file_name(sample, "/elsewhere") == "train.npz!12"


def test_faces_of_a_pack_end_to_end(tiny_data: Path, check: ModuleType, tmp_path: Path) -> None:
    samples = [sample for sample in read_ferplus("train", tiny_data) if sample.labels.emotion][:8]
    engine = ExpCot(samples, ReaderAus(open_reader("pocket", 1), threads=1), str(tiny_data))
    summary = run(engine, open_rules_teacher("exp-cot"), tmp_path, RunOptions(workers=2))
    assert summary.kept == len(samples)
    figures = check.check(tmp_path / "items.jsonl")
    assert figures["aus"] == figures["label"] == figures["words"] == 1.0
    first = json.loads((tmp_path / "items.jsonl").read_text().splitlines()[0])
    assert first["file_name"].startswith("ferplus/train.npz!") and first["provenance"]["aus"] == "pocket"
    lost = Sample("gone", "d", "train", str(tmp_path / "gone.png"), Labels("fear"), cropped=True)
    found = drive(engine, Item("gone", lost), RulesTeacher({}).reply)
    assert reason(found) == "no AU reading"
