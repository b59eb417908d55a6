"""AU arrays: round trips, the decoding grammar, and answers that must not be repaired."""

import math
import random

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from mien.core.aus import AU_SETS
from mien.core.errors import BadConfig, BadInput
from mien.core.nouns import AuReading
from mien.dialogue.read.au_arrays import FORMATS, QUESTIONS, question, read_array, say_array, slots
from mien.dialogue.say.questions import classify_question

KEYS = AU_SETS["disfa8"]
GOOD = {"binary": "[0, 1, 0]", "level": "[0, 5, 3]", "intensity": "[0.00, 0.35, 1.00]"}
READ = {
    "binary": [(0, 1, 0), "au_presence"],
    "level": [(0, 5, 3), "au_level"],
    "intensity": [(0, 0.35, 1.0), "au_intensity"],
}
AROUND = (
    "{}", " {} ", "{}\n", "Answer: {}", "The array is {}.", "**{}**", "`{}`", "```\n{}\n```", "AUs = {}</s>",
    "{} {}", "Sure! {} I hope this helps.", "\t{}", "[no", "{} and then [9]",
)  # fmt: skip
WRITTEN = {
    "binary": ("[0,1,0]", "[ 0 , 1 , 0 ]", "[0;1;0]", "[0, 1, 0,]", "['0', '1', '0']", '["0","1","0"]', "[0,\n1,\n0]"),
    "level": ("[0,5,3]", "[ 0 , 5 , 3 ]", "[0;5;3]", "[0, 5, 3,]", "['0', '5', '3']", '["0","5","3"]', "[0,\n5,\n3]"),
    "intensity": (
        "[0,.35,1]", "[0.0, 0.35, 1.0]", "[0.00;0.35;1.00]", "[0., 0.350, 1.]", "['0.00', '0.35', '1.00']",
        "[ 0 , 0.35 , 1 ]", "[0.00,\n0.35,\n1.00,]",
    ),
}  # fmt: skip
NEVER = (
    "", " ", "no array", "0, 1, 0", "(0, 1, 0)", "{0, 1, 0}", "[]", "[ ]", "[,]", "[0]", "[0, 1]", "[0, 1, 0, 1]",
    "[0, , 0]", "[0 1 0]", "[-1, 0, 1]", "[6, 0, 1]", "[a, b, c]", "[0, 1, yes]", "[NaN, 0, 1]", "[inf, 0, 1]",
    "[1e0, 0, 1]", "[0x1, 0, 1]", "[0, 1, 1.01]", "[0, 1, 2.5]", "[0, 1, 0", "0, 1, 0]", "[[0, 1], 0]", "[0, 1, 1%]",
    "[0, 1, 1/2]", "[AU1, AU2, AU4]", "[True, False, True]", "[None, 0, 1]", "[0, 1, ?]", "[0, 1, +1]", "[0,, 1, 0]",
    "[0, 1, 10]", "[00, 01, 00]", "[0, 1, ٣]", "[0, 1, ½]", "[0, 1, -0]", "[0, 1, 0] 1]"[:6], "[0: 1: 0]",
)  # fmt: skip
ONLY = {
    "binary": ("[0, 2, 0]", "[0, 1, 0.5]", "[0.0, 1.0, 0.0]", "[0, 5, 3]"),
    "level": ("[0, 1.5, 2]", "[0.0, 1.0, 2.0]", "[0, 1, 0.35]", "[7, 0, 0]"),
    "intensity": ("[0, 1, 2]", "[0.5, 1.5, 0]", "[0.5, 0.5, 5]", "[.5, .5, .]"),
}

intensities = st.lists(st.floats(0, 1), min_size=1, max_size=24)


@pytest.mark.parametrize("format", FORMATS)
@pytest.mark.parametrize("around", AROUND)
def test_words_around_the_array(format, around):
    answer = read_array(around.replace("{}", GOOD[format]), format, 3)
    if "{}" not in around:
        assert answer.status == "unparsed"
        return
    values, field = READ[format]
    assert answer.status == "answered", answer.reason
    assert tuple(getattr(answer.labels, field).values()) == values


@pytest.mark.parametrize(("format", "text"), [(name, text) for name in FORMATS for text in WRITTEN[name]])
def test_other_ways_to_write_the_same(format, text):
    values, field = READ[format]
    assert tuple(getattr(read_array(text, format, 3).labels, field).values()) == values


@pytest.mark.parametrize("format", FORMATS)
def test_awkward_answers_are_unparsed_with_a_reason(format):
    awkward = (*NEVER, *ONLY[format])
    assert len(awkward) >= 40
    for text in awkward:
        answer = read_array(text, format, 3)
        assert answer.status == "unparsed", text
        assert answer.reason
        assert answer.labels is None


@given(intensities, st.sampled_from(FORMATS), st.integers(1, 5))
@settings(max_examples=150, deadline=None)
def test_round_trip(values, format, cut_off):
    readings = [AuReading.of(value, cut_off=cut_off) for value in values]
    keys = [f"AU{place:02d}" for place in range(len(values))]
    answer = read_array(say_array(readings, format), format, len(values), keys)
    assert answer.status == "answered"
    if format == "binary":
        assert list(answer.labels.au_presence.values()) == [reading.presence for reading in readings]
    elif format == "level":
        assert list(answer.labels.au_level.values()) == [reading.level for reading in readings]
    else:
        read = list(answer.labels.au_intensity.values())
        assert read == pytest.approx([min(value, 0.99) for value in values], abs=0.0051)
        assert list(answer.labels.au_intensity) == keys


@given(st.integers(0, 2**32), st.sampled_from(FORMATS), st.integers(1, 24))
@settings(max_examples=150, deadline=None)
def test_whatever_the_grammar_decodes_is_readable(seed, format, n):
    rng = random.Random(seed)
    text = "".join(rng.choice(allowed) for allowed in slots(format, n))
    assert read_array(text, format, n).status == "answered", text


@given(intensities, st.sampled_from(FORMATS))
@settings(max_examples=80, deadline=None)
def test_what_is_said_is_in_the_grammar(values, format):
    rest = say_array([AuReading.of(value) for value in values], format)
    for allowed in slots(format, len(values)):
        token = next(token for token in sorted(allowed, key=len, reverse=True) if rest.startswith(token))
        rest = rest.removeprefix(token)
    assert rest == ""


def test_slots_are_small_sets_of_known_tokens():
    tokens = {token for format in FORMATS for allowed in slots(format, 22) for token in allowed}
    assert tokens == {*"0123456789", "[", "]", ", ", "."}
    assert len(slots("intensity", 22)) == 1 + 22 * 4 + 21 + 1


@pytest.mark.parametrize("format", FORMATS)
def test_the_question_alone_tells_the_format(format):
    for text in (*QUESTIONS[format], question(format, KEYS)):
        assert classify_question(text) == f"au-{format}", text
    assert len(QUESTIONS[format]) >= 5


def test_the_full_question_lists_the_aus_in_order():
    text = question("level", KEYS)
    places = [text.index(f"AU{int(key[2:])} (") for key in KEYS]
    assert places == sorted(places)
    assert "8 numbers" in text
    assert "1 number," in question("binary", ["AU12"])


def test_bad_requests_are_refused():
    with pytest.raises(BadConfig, match="ternary"):
        say_array([], "ternary")
    with pytest.raises(BadConfig, match="AU99"):
        question("binary", ["AU99"])
    with pytest.raises(BadConfig, match="no AU"):
        question("binary", [])
    with pytest.raises(BadConfig, match="at least one"):
        slots("binary", 0)
    with pytest.raises(BadConfig, match="one key per value"):
        read_array("[0]", "binary", 1, ["AU01", "AU02"])
    with pytest.raises(BadInput, match="1 of 2"):
        say_array([AuReading.of(0.5), AuReading.of(math.nan)], "binary")
