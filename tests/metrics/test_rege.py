"""REGE: verdicts of the released script on traps (it was run on these texts), the `rouge` package, the strict mode."""

import math

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from mien.core.errors import BadConfig, BadData
from mien.metrics.rege import SYNONYMS, RegeRow, read_aus, read_emotion, rege, rouge

TRAPS = {
    # The first hit of the first sentence wins, in the order of the words and then of the emotions.
    "She looks sad but happy.": "happiness",
    "A calm smile.": "neutral",
    "Displeased.": "anger",
    "Curiosity.": "surprise",
    "Discomfort.": "sadness",
    # "no" counts inside words: "nose" and "another" drop their sentences.
    "The nose is wrinkled in anger. It is joy.": "happiness",
    "Fear is another word. He is stern.": "anger",
    # Every sentence denied: the whole text is read after all.
    "This is not anger.": "anger",
    # A sentence ends at "." or "?" with a space behind it; "!" ends only the first sentence.
    "Wow! It is fear. It is no joy.": "fear",
    # Counts run over the rest of the text; ties go to the earlier emotion, no hit is happiness.
    "A face. Fear and fear. Sadness.": "fear",
    "A face. Fear and sadness.": "sadness",
    "A face.": "happiness",
    "He is angry, afraid and sad.": "happiness",
    # The script stops where what is kept has no end of sentence in its first line.
    "Happiness": None,
    "fear\nand joy.": None,
    "": None,
}


@pytest.mark.parametrize(("text", "verdict"), TRAPS.items())
def test_official_verdicts_on_traps(text, verdict):
    assert read_emotion(text) == verdict
    assert read_emotion(text, "official-all-aus") == verdict


def test_strict_guesses_nothing():
    assert read_emotion("The nose is wrinkled in anger. It is joy.", "strict") == "anger"
    assert read_emotion("He is angry, afraid and sad.", "strict") == "anger"
    assert read_emotion("Happiness", "strict") == "happiness"
    assert read_emotion("This is not anger. It is fear!", "strict") == "fear"
    for text in ("", "A face.", "This is not anger.", "She isn’t happy.", "A face. Fear. Distress."):
        assert read_emotion(text, "strict") is None, text


def test_each_published_word_alone_means_its_first_emotion():
    order = list(SYNONYMS)
    assert sum(map(len, SYNONYMS.values())) == 84  # "wonder" stands twice in the script
    for emotion, words in SYNONYMS.items():
        for word in words:
            if "no" not in word:
                first = next(name for name in order if word in SYNONYMS[name])
                assert read_emotion(f"{word}.") == first
                assert order.index(first) <= order.index(emotion)


def test_aus_are_read_as_written():
    text = "AU4 and AU 6, AU06 and no AU12; AU99. au1"
    official = [key for key, there in read_aus(text).items() if there]
    assert official == ["AU04", "AU12"]
    strict = [key for key, there in read_aus(text, "strict").items() if there]
    assert strict == ["AU01", "AU04", "AU06"]
    assert len(read_aus("", index="disfa8")) == 8


@pytest.mark.parametrize(
    ("prediction", "reference", "value"),
    [
        ("the brows are lowered.", "the brows are raised.", 0.7499999950000001),
        ("the brows are lowered", "The brows are lowered.", 0.7499999950000001),
        ("a b. c d.", "c d. a b.", 0.999999995),
        ("a a a a", "a", 0.999999995),
        ("x", "y", 0.0),
        (" . ", "a. ", 0.66666666222222224),
    ],
)
def test_rouge_by_the_package(prediction, reference, value):
    assert rouge(prediction, reference) == pytest.approx(value, abs=1e-15)


def test_rouge_that_fails_is_left_out_or_nothing():
    assert rouge("", "a") is None and rouge("...", "a") is None
    assert rouge("", "a", "strict") == 0.0
    long = ["a b c " * 400, "a b d " * 400]
    assert rouge(*long) is None
    assert rouge(*long, "strict") == pytest.approx(2 / 3, abs=1e-6)


_TEXT = st.lists(st.sampled_from([*"abcde", "A", "a.", ".", " ", "\n", "..", "b,", "é"]), max_size=30).map(
    " ".join
)


@settings(max_examples=200, deadline=None)
@given(_TEXT, _TEXT)
def test_rouge_equals_the_package(prediction, reference):
    package = pytest.importorskip("rouge", reason="the package 'rouge' is not installed")
    try:
        expected = package.Rouge().get_scores(prediction, reference, avg=True)["rouge-l"]["f"]
    except (ValueError, AssertionError):
        expected = None
    assert rouge(prediction, reference) == expected


@given(st.text(max_size=200))
def test_any_text_has_a_verdict(text):
    for mode in ("official", "strict"):
        assert read_emotion(text, mode) in {None, *SYNONYMS}
        assert len(read_aus(text, mode)) == 20


def test_an_au_that_never_shows_leaves_the_official_mean_and_shifts_the_names():
    rows = [RegeRow("AU1, AU4", "1, 4"), RegeRow("AU1", "1"), RegeRow("AU12", "1,12")]
    score = rege(rows, "au")
    # "1,12" is no label to the script; AU2 never shows and is skipped, so AU4's figure is printed as AU2's.
    assert score.recognition.parts["AU01"] == pytest.approx(100.0)
    assert score.recognition.parts["AU04"] == pytest.approx(100.0)
    assert score.recognition.parts["AU12"] == 0.0
    assert math.isnan(score.recognition.parts["AU02"]) and "AU02" in score.skipped
    assert score.recognition.value == pytest.approx(200 / 3) and score.recognition.n == 3
    assert dict(score.printed) == pytest.approx({"AU01": 100.0, "AU02": 100.0, "AU04": 0.0})
    whole = rege(rows, "au", "official-all-aus")
    assert whole.recognition.n == 12 and whole.recognition.value == pytest.approx(200 / 12)
    strict = rege(rows, "au", "strict")
    assert strict.recognition.parts["AU12"] == pytest.approx(100.0)
    assert strict.recognition.parts["AU01"] == pytest.approx(80.0)
    assert "AU43" in strict.absent and "AU43" in whole.absent


def test_an_au_that_always_shows_is_skipped_too():
    score = rege([RegeRow("AU1 AU4", "1, 4"), RegeRow("AU1", "1")], "au")
    assert "AU01" in score.skipped and "AU01" not in score.absent


def test_emotion_score_in_percent():
    rows = [
        RegeRow("A happy face.", "Happiness", "A happy face."),
        RegeRow("A face.", "1", "A sad face."),
        RegeRow("Fear", "Fear", "..."),
    ]
    score = rege(rows, "emotion")
    assert score.recognition.value == pytest.approx(100 / 3) and score.unread == 1
    assert score.generation.n == 2 and score.unscored == 1
    assert score.total == score.recognition.value + score.generation.value
    strict = rege(rows, "emotion", "strict")
    assert strict.recognition.value == pytest.approx(200 / 3)
    assert strict.generation.n == 3 and strict.unscored == 1
    assert math.isnan(rege([], "emotion").total)


def test_wrong_use_is_told():
    with pytest.raises(BadData, match="Contempt"):
        rege([RegeRow("Fear.", "Contempt")], "emotion")
    with pytest.raises(BadConfig, match="kind"):
        read_emotion("Fear.", "kind")
    with pytest.raises(BadConfig, match="AU set"):
        read_aus("AU1", index="none")
