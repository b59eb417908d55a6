"""Sample -> Dialogue: every task in mien's own words."""

import random

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from mien.core.aus import AU_SETS, AUS, FEAFA_24
from mien.core.errors import BadConfig, BadInput
from mien.core.nouns import AuReading, Dialogue, Labels, Sample, Turn
from mien.dialogue.read.grammars import read_answer
from mien.dialogue.say import builders
from mien.dialogue.say.builders import EVIDENCE, TASKS, build, rounds, show
from mien.dialogue.say.faba_instructions import AU_INSTRUCTIONS, EMOTION_INSTRUCTIONS
from mien.dialogue.say.questions import classify_question

CHAIN = "**Key Observations:** a\n\n**Overall Emotional Interpretation:** b\n\n**Conclusion:** fear"
LEVELS = {key: place % 6 for place, key in enumerate(AU_SETS["disfa8"])}
PRESENT = {key: place % 3 == 0 for place, key in enumerate(AU_SETS["bp4d12"])}
FEAFA = {value.name: place / 30 for place, value in enumerate(FEAFA_24)}
FULL = Labels(
    "fear", au_presence=PRESENT, au_level=LEVELS, au_intensity={"AU06": 0.37, "AU12": 1.0},
    description="The person looks afraid.", chain_of_thought=CHAIN,
)  # fmt: skip


def sample_of(labels: Labels, key: str = "1") -> Sample:
    return Sample(key, "made", "train", "1.jpg", labels)


def rng() -> random.Random:
    return random.Random(7)


@pytest.mark.parametrize("task", TASKS)
def test_each_task_asks_with_evidence_and_answers_from_the_labels(task):
    dialogue = build(task, sample_of(FULL), rng())
    asked, said = dialogue.turns[:2]
    assert (dialogue.sample_id, asked.role, said.role) == ("1", "user", "assistant")
    assert asked.text.startswith(EVIDENCE)
    assert sum("<image>" in turn.text for turn in dialogue.turns) == 1
    assert dialogue == build(task, sample_of(FULL), rng())
    assert dialogue.task == task


@pytest.mark.parametrize("task", TASKS)
def test_a_missing_label_gives_no_dialogue(task):
    assert build(task, sample_of(Labels()), rng()) is None


def test_the_answers_are_read_back_as_the_labels():
    sample = sample_of(FULL)
    said = {task: build(task, sample, rng()).turns[1].text for task in TASKS[:-1]}
    units = {"au-binary": AU_SETS["bp4d12"], "au-list": AU_SETS["bp4d12"], "au-level": AU_SETS["disfa8"],
             "au-intensity": ("AU06", "AU12")}  # fmt: skip
    in_order = {task: tuple(key for key in AUS if key in keys) for task, keys in units.items()}
    read = {task: read_answer(task, text, in_order.get(task)).labels for task, text in said.items()}
    assert read["emotion"].emotion == read["explanation"].emotion == "fear"
    assert read["emotion-description"].description == FULL.description
    assert read["au-binary"].au_presence == read["au-list"].au_presence == PRESENT
    assert read["au-level"].au_level == LEVELS
    assert read["au-intensity"].au_intensity == {"AU06": 0.37, "AU12": 0.99}


@given(st.integers(0, 2**32))
@settings(deadline=None, max_examples=30)
def test_descriptions_say_the_finest_label(seed):
    dialogue = build("au-description", sample_of(Labels(au_level=LEVELS)), random.Random(seed))
    answer = read_answer("au-description", dialogue.turns[1].text, tuple(LEVELS))
    assert answer.labels.au_presence == {key: level > 0 for key, level in LEVELS.items()}


def test_finest_label_wins():
    labels = Labels(
        au_presence={"AU06": False, "AU04": True}, au_level={"AU06": 2}, au_intensity={"AU06": 0.7}
    )
    assert builders.readings(labels) == {"AU04": True, "AU06": AuReading.of(0.7)}
    assert builders.readings(labels, cut_off=5)["AU06"].presence is False
    assert builders.readings(Labels(au_intensity=FEAFA)) == {}


def test_a_text_with_au_numbers_describes_aus_and_no_other_does():
    told = sample_of(Labels(description="AU6 - Cheek Raiser: the cheeks are raised."))
    assert build("emotion-description", told, rng()) is None
    assert build("au-description", told, rng()).turns[1].text == told.labels.description
    assert build("au-description", sample_of(Labels(description="Afraid.")), rng()) is None


def test_every_question_is_drawn_sometime():
    sample, source = sample_of(FULL), random.Random(0)
    for task, pool in (("emotion-description", EMOTION_INSTRUCTIONS), ("au-description", AU_INSTRUCTIONS)):
        drawn = {build(task, sample, source).turns[0].text.removeprefix(EVIDENCE) for _ in range(2000)}
        assert drawn == set(pool)


def test_the_question_tells_the_array_format():
    for task in ("au-binary", "au-level", "au-intensity"):
        assert classify_question(build(task, sample_of(FULL), rng()).turns[0].text) == task


def test_presence_of_levels_needs_a_threshold_by_name():
    sample, keys = sample_of(Labels(au_level={"AU06": 2, "AU12": 3})), ("AU06", "AU12")
    assert builders.au_array(sample, "?", "binary", keys) is None
    said = [builders.au_array(sample, "?", "binary", keys, cut_off).turns[1].text for cut_off in (2, 3)]
    assert said == ["[1, 1]", "[0, 1]"]
    assert builders.au_array(sample, "?", "level", ("AU06", "AU04")) is None


def test_rounds_keep_the_evidence_with_the_first_question():
    one, two = (build(task, sample_of(FULL), rng()) for task in ("emotion", "explanation"))
    joined = rounds([one, None, two])
    assert joined.task == "conversation"
    assert [turn.role for turn in joined.turns] == ["user", "assistant"] * 2
    assert joined.turns[0] == one.turns[0]
    assert joined.turns[2].text == two.turns[0].text.removeprefix(EVIDENCE)
    assert rounds([None]) is None
    assert rounds([one]) == one
    orders = {rounds([one, two], rng=random.Random(seed)).turns[1].text for seed in range(20)}
    assert len(orders) == 2
    with pytest.raises(BadInput, match="one sample"):
        rounds([one, build("emotion", sample_of(FULL, "2"), rng())])


def test_evidence_moves_to_the_front_wherever_the_data_put_it():
    turns = (
        Turn("user", "What is it?\n<image>"),
        Turn("assistant", "Joy <image>."),
        Turn("user", "<image>\nWhy?"),
    )
    shown = show(Dialogue("conversation", turns, "1"), "<image><prior>\n")
    assert [turn.text for turn in shown.turns] == ["<image><prior>\nWhat is it?", "Joy <image>.", "Why?"]
    assert show(shown, "<image><prior>\n") == shown


def test_unknown_tasks_are_refused():
    with pytest.raises(BadConfig, match="pain"):
        build("pain", sample_of(FULL), rng())
