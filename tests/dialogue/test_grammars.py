"""What is said is read back: AU lists and descriptions, facial evidence in words, and every task's own grammar."""

import random

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from mien.core.aus import AU_SETS, AUS
from mien.core.emotions import EMOTIONS
from mien.core.errors import BadConfig
from mien.core.nouns import AuReading
from mien.dialogue.read.au_arrays import say_array
from mien.dialogue.read.claims import read_claims
from mien.dialogue.read.grammars import read_answer
from mien.dialogue.say.attributes import ATTRIBUTES, read_attributes, say_attributes
from mien.dialogue.say.au_texts import NO_UNIT, names_codes, read_units, say_descriptions, say_list
from mien.dialogue.say.builders import TASKS
from mien.dialogue.say.emotion_words import say_emotion
from mien.dialogue.say.narrator import narrate

keys = st.lists(st.sampled_from(tuple(AUS)), unique=True, max_size=12)

WRITTEN = {
    "AU6": "6", "AU 6": "6", "AU06": "6", "Au6": "6", "AU-6": "6", "AU_06": "6", "AU #6": "6", "Action Unit 6": "6",
    "action units 6 and 12": "6 12", "(cheek raiser)": "6", "AU6 (cheek raiser)": "6", "Cheek Raiser": "6",
    "AU6, AU12": "6 12", "AUs 1, 2, and 4": "1 2 4", "AU1+2+5": "1 2 5", "AU6/AU12": "6 12", "AU6 & AU12": "6 12",
    "AUs: 6, 12": "6 12", "action units: 1, 4, 7": "1 4 7", "AU12b and AU6E": "6 12", "AU46 (wink)": None,
    # Ranges name what lies between, as far as FACS has it.
    "AUs 23-25": "23 24 25", "AU23 to AU25": "23 24 25", "AU23–25": "23 24 25", "AU1 through AU4": "1 2 4",
    "AU23 – AU25": "23 24 25", "AU1, AU4-6 and AU12": "1 4 5 6 12", "AU12 to AU6": "6 12",
    # An array that lost its brackets is no list of AUs.
    "AUs: 0, 1, 0, 1": None, "AUs: 1, 1, 1": None,
    # Denials.
    "AU4 is not present": "-4", "AU4: not present": "-4", "AU4 (brow lowerer): not visible": "-4", "AU4: absent": "-4",
    "AU4 - absent": "-4", "AU12: yes, AU4: no": "12 -4", "no AU4": "-4", "without AU6 or AU12": "-6 -12",
    "AU6 and AU12 are present, while AU4 is not.": "6 12 -4", "AU1 and AU2, but not AU4": "1 2 -4",
    "neither AU6 nor AU12": "-6 -12", "AU23-25 are absent": "-23 -24 -25", "no AU23 to AU25": "-23 -24 -25",
    "AU1 (inner brow raiser) and AU2 (outer brow raiser) are not active": "-1 -2",
    "no AU1 (inner brow raiser) or AU2 (outer brow raiser)": "-1 -2", "AU1+AU2 are absent": "-1 -2",
    "**AU4 (Brow Lowerer):** absent": "-4", "AU9 = 0": "-9", "AU9 at level 0": "-9",
    # The name at the head of an entry claims nothing that the entry denies.
    "AU26 (Jaw Drop): There is no evidence of jaw drop.": "-26", "AU43 - Eyes Closed: The eyes are open.": "-43",
    "**AU25 (Lips Part):** The lips are closed.": "-25", "AU12: The mouth corners are not raised, AU6 is": "-12 6",
    "AU17 (Chin Raiser): Not clearly visible.": "-17",
    # An exception says the opposite of what is said of all.
    "All action units except AU4 are absent": "4", "AU6 is present, apart from AU4 and AU9": "6",
    "No action units are present.": "", "None of the action units is visible.": "", "no facial movement": "",
    "": None, "happy": None, "AU4 is present. AU4 is absent.": None,
}  # fmt: skip
LEVELS = {
    "The lip corners are raised (0.2-0.5).": (1, 3), "The lip corners are raised (0.42).": (2, 2),
    "The lip corners are raised at an intensity of 0.4 to 0.8.": (2, 4), "The lip corners rise (0.05 to 0.4)": (1, 2),
    "AU12 at level 2 to 3": (2, 3), "AU12 (level 2-3)": (2, 3), "AU12 with intensity between 0.2 and 0.5": (1, 3),
    "AU12 (0.2-0.5)": (1, 3), "AU12: 0.2 to 0.5": (1, 3), "AU12 at level between 2 and 4": (2, 4),
    "AU12 (B-D)": (2, 4), "AU12 = 3": (3, 3), "AU12: 3/5": (3, 3), "AU12C": (3, 3),
    "AUs 12-14 at level 4": (4, 4), "AU12 is slightly to moderately present": (1, 3), "AU12": None,
}  # fmt: skip


@pytest.mark.parametrize("text", WRITTEN)
def test_ways_to_name_aus(text):
    answer = read_units(text)
    wanted = WRITTEN[text]
    if wanted is None:
        assert answer.status == "unparsed"
        assert answer.reason
        return
    assert answer.status == "answered", answer.reason
    numbers = [int(word) for word in wanted.split()]
    assert answer.labels.au_presence == {f"AU{abs(number):02d}": number > 0 for number in numbers}


@pytest.mark.parametrize("text", LEVELS)
def test_ways_to_give_a_range_of_levels(text):
    claim = next(claim for claim in read_claims(text) if claim.au == "AU12")
    assert claim.present
    assert claim.level == LEVELS[text]


def test_asked_units_fill_the_answer_and_leave_out_the_rest():
    answer = read_units("AU6 and AU9, no AU12.", units=("AU04", "AU06", "AU12"))
    assert answer.labels.au_presence == {"AU04": False, "AU06": True, "AU12": False}
    assert "AU4 is both affirmed and denied" in read_units("AU4 is present. AU4 is absent.").reason
    with pytest.raises(BadConfig, match="AU99"):
        read_units("AU6", units=("AU99",))
    with pytest.raises(BadConfig, match="AU99"):
        say_list(["AU99"])


@given(keys, st.booleans())
@settings(deadline=None)
def test_lists_round_trip(present, names):
    answer = read_units(say_list(present, names), units=tuple(AUS))
    assert answer.labels.au_presence == {key: key in present for key in AUS}


@given(
    st.dictionaries(st.sampled_from(tuple(AUS)), st.integers(0, 5), min_size=1, max_size=8),
    st.integers(0, 2**32),
)
@settings(deadline=None, max_examples=80)
def test_descriptions_round_trip_with_their_degrees(levels, seed):
    said = say_descriptions(
        {key: AuReading.of(level / 5) for key, level in levels.items()}, random.Random(seed)
    )
    answer = read_units(said, units=tuple(levels))
    assert answer.status == "answered", (said, answer.reason)
    assert answer.labels.au_presence == {key: level > 0 for key, level in levels.items()}, said
    assert names_codes(said) == any(levels.values())
    for claim in read_claims(said):
        low, high = claim.level or (1, 5)
        assert low <= levels[claim.au] <= high, said


@given(st.dictionaries(st.sampled_from(tuple(AUS)), st.booleans(), min_size=1), st.integers(0, 9))
@settings(deadline=None, max_examples=50)
def test_descriptions_of_mere_presence_round_trip(coded, seed):
    said = say_descriptions(coded, random.Random(seed))
    assert read_units(said, units=tuple(coded)).labels.au_presence == coded, said


def test_nothing_present_is_said_and_read():
    assert say_list([]) == say_descriptions({"AU06": False}, random.Random(0)) == NO_UNIT
    assert read_units(NO_UNIT, ("AU06",)).labels.au_presence == {"AU06": False}
    # A reading below its cut-off is absent.
    assert say_descriptions({"AU06": AuReading.of(0.4, cut_off=3)}, random.Random(0)) == NO_UNIT


words = st.text(alphabet="abcXYZ 0123456789-+", min_size=1, max_size=12).map(str.strip).filter(bool)


@given(st.dictionaries(st.sampled_from(ATTRIBUTES), words, min_size=1))
@settings(deadline=None)
def test_facial_evidence_round_trips(values):
    assert read_attributes(say_attributes(values)) == values


def test_facial_evidence_is_said_in_order_and_found_in_a_prompt():
    said = say_attributes({"race": "Asian", "age": "20-29"})
    assert said == "age 20-29, race Asian"
    assert read_attributes(f"Use the following information: {said}.") == {"age": "20-29", "race": "Asian"}
    assert read_attributes("What is the emotion?") == {}
    for wrong in ({}, {"name": "Ann"}, {"age": ""}, {"age": "20, or 30"}):
        with pytest.raises(BadConfig, match="age 20-29"):
            say_attributes(wrong)


levels_of_eight = st.lists(st.integers(0, 5), min_size=8, max_size=8)


@given(st.sampled_from(EMOTIONS), levels_of_eight, st.integers(0, 2**32))
@settings(deadline=None, max_examples=40)
def test_every_task_reads_what_is_said(emotion, levels, seed):
    rng, units = random.Random(seed), AU_SETS["disfa8"]
    known = {key: AuReading.of(level / 5) for key, level in zip(units, levels, strict=True)}
    chain = narrate(known, {name: 0.93 if name == emotion else 0.01 for name in EMOTIONS}, rng).text
    present = {key: reading.presence for key, reading in known.items()}
    description = say_descriptions(known, rng)
    said = {
        "emotion": (say_emotion(emotion), "emotion", emotion),
        "emotion-description": (f"The face shows {emotion}.", "description", f"The face shows {emotion}."),
        "au-list": (say_list([key for key in units if present[key]]), "au_presence", present),
        "au-description": (description, "description", description),
        "au-binary": (say_array(list(known.values()), "binary"), "au_presence", present),
        "au-level": (
            say_array(list(known.values()), "level"),
            "au_level",
            dict(zip(units, levels, strict=True)),
        ),
        "au-intensity": (
            say_array(list(known.values()), "intensity"),
            "au_intensity",
            {key: min(reading.intensity, 0.99) for key, reading in known.items()},
        ),
        "explanation": (chain, "emotion", emotion),
        "conversation": ("It looks calm and a bit tired.", "description", "It looks calm and a bit tired."),
    }
    assert set(said) == set(TASKS)
    for task, (text, field, value) in said.items():
        answer = read_answer(task, text, units)
        assert answer.status == "answered", (task, text, answer.reason)
        assert getattr(answer.labels, field) == value, (task, text)


@pytest.mark.parametrize("task", TASKS)
def test_empty_answers_are_unparsed_with_a_reason(task):
    answer = read_answer(task, " ", AU_SETS["disfa8"])
    assert (answer.status, answer.labels) == ("unparsed", None)
    assert answer.reason


def test_an_array_needs_its_units_and_a_task_its_name():
    with pytest.raises(BadConfig, match="Pass units"):
        read_answer("au-level", "[0]")
    with pytest.raises(BadConfig, match="pain"):
        read_answer("pain", "x")
