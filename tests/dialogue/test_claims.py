"""Claims read from free chains of thought, and the withholding of contradicted sentences."""

from dataclasses import replace

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from mien.core.aus import AUS
from mien.core.nouns import AuReading, Explanation
from mien.dialogue.read.claims import ALL_WITHHELD, read_claims, split_sentences, withhold
from mien.dialogue.read.degrees import DEGREES, degrees_for
from mien.metrics.faithfulness import audit

CASES = {
    "AU6 (cheek raiser) is strongly present.": [("AU06", True, (4, 5))],
    "AU 6 and AU12 are active.": [("AU06", True, None), ("AU12", True, None)],
    "Action Unit 4 is visible.": [("AU04", True, None)],
    "Action Units 1, 2 and 5 are visible.": [("AU01", True, None), ("AU02", True, None), ("AU05", True, None)],
    "AU1, AU2 and AU4 are absent.": [("AU01", False, None), ("AU02", False, None), ("AU04", False, None)],
    "There is no AU4.": [("AU04", False, None)],
    "AU12 at intensity 0.42, AU25 at level 2 to 3.": [("AU12", True, (2, 2)), ("AU25", True, (2, 3))],
    "AU12C and AU6 (level 4).": [("AU12", True, (3, 3)), ("AU06", True, (4, 4))],
    "AU04: 0.00": [("AU04", False, None)],
    "AU99 is present.": [],
    "**AU4 (Brow Lowerer):** the brows are lowered.": [("AU04", True, None), ("AU04", True, None)],
    "The lip corner puller is moderately active.": [("AU12", True, (2, 3))],
    "The cheek raiser (0.6) and the lip corner puller (0.85).": [("AU06", True, (3, 3)), ("AU12", True, (4, 4))],
    "The cheeks are slightly raised.": [("AU06", True, (1, 2))],
    "The cheeks are slightly to moderately raised.": [("AU06", True, (1, 3))],
    "Slightly raised cheeks and strongly pulled-up lip corners.": [("AU06", True, (1, 2)), ("AU12", True, (4, 5))],
    "The raised cheeks, parted lips and wrinkled nose stand out.": [
        ("AU06", True, None), ("AU25", True, None), ("AU09", True, None),
    ],
    "The cheeks and lip corners are raised.": [("AU06", True, None), ("AU12", True, None)],
    "Neither the cheeks nor the lip corners are raised.": [("AU06", False, None), ("AU12", False, None)],
    "The brows are raised and drawn together.": [("AU01", True, None), ("AU02", True, None), ("AU04", True, None)],
    "The inner and outer brows rise.": [("AU01", True, None), ("AU02", True, None)],
    "The eyebrows are not raised but lowered.": [("AU01", False, None), ("AU02", False, None), ("AU04", True, None)],
    "The brows are not only raised.": [("AU01", True, None), ("AU02", True, None)],
    "The brows aren't lowered.": [("AU04", False, None)],
    "No brow lowering, nose wrinkling or lip parting is visible.": [
        ("AU04", False, None), ("AU09", False, None), ("AU25", False, None),
    ],
    "Raising of the cheeks is not seen.": [("AU06", False, None)],
    "There is no sign of lowered brows.": [("AU04", False, None)],
    "The face shows a smile without raised cheeks.": [("AU12", True, None), ("AU06", False, None)],
    "There is no trace of raising of the cheeks.": [("AU06", False, None)],
    "There is no doubt that the cheeks are raised.": [("AU06", True, None)],
    "A broad smile reaches the eyes.": [("AU12", True, (3, 5)), ("AU06", True, None)],
    "The smile does not reach the eyes.": [("AU12", True, None), ("AU06", False, None)],
    "There is no smile.": [("AU12", False, None)],
    "The mouth is wide open.": [("AU27", True, None)],
    "The mouth is slightly open.": [("AU25", True, (1, 2))],
    "The lips are closed and the eyes are open.": [("AU25", False, None), ("AU43", False, None)],
    "The eyes are wide open.": [("AU05", True, None)],
    "The eyes are narrowed and the lids tightened.": [("AU07", True, None), ("AU07", True, None)],
    "The brows are relaxed.": [("AU01", False, None), ("AU02", False, None), ("AU04", False, None)],
    "The corners of the mouth turn slightly down.": [("AU15", True, (1, 2))],
    "The corners of the lips are pulled down.": [("AU15", True, None)],
    "The upper lip is raised and the lower lip is pulled down.": [("AU10", True, None), ("AU16", True, None)],
    "The nose is not strongly wrinkled.": [],
    "If the brows were raised, surprise would fit.": [],
    "The face looks happy.": [],
    "The chin is small, the nose is long and the eyes are blue.": [],
    "": [],
}  # fmt: skip


@pytest.mark.parametrize("text", CASES)
def test_statements_of_free_text(text):
    found = read_claims(text)
    assert sorted((c.au, c.present, c.level or ()) for c in found) == sorted(
        (a, p, r or ()) for a, p, r in CASES[text]
    )
    for claim in found:
        assert 0 <= claim.start < claim.end <= len(text)
        assert claim.verdict == "unmeasured"


def test_spans_cover_the_statement():
    text = "Well, the cheeks are slightly raised here."
    (claim,) = read_claims(text)
    assert text[claim.start : claim.end] == "cheeks are slightly raised"


def test_facs_names_of_all_aus_are_understood():
    for key, info in AUS.items():
        sentence = f"{info.prose} ({info.name}) is present. Also {info.movement}."
        assert key in {claim.au for claim in read_claims(sentence) if claim.present}, sentence
        assert {claim.au for claim in read_claims(f"Also {info.movement}.")} == {key}, info.movement


@given(st.text(max_size=300))
@settings(max_examples=60, deadline=None)
def test_any_text_can_be_read(text):
    for claim in read_claims(text):
        assert claim.au in AUS
        assert text[claim.start : claim.end].strip()


def test_the_degree_table_covers_every_level_and_its_words_are_read():
    for level in range(1, 6):
        assert degrees_for(level)
    for entry in DEGREES:
        said = [f"The cheeks are {phrase} raised." for phrase in entry.before]
        said += [f"The cheeks are raised {phrase}." for phrase in entry.after]
        said += [f"There is {phrase} lift of the cheeks." for phrase in entry.noun]
        for sentence in said:
            assert [claim.level for claim in read_claims(sentence)] == [entry.levels], sentence


def test_sentences_end_at_stops_but_not_in_decimals():
    text = "AU6 at 0.42 is seen. Is it? Yes!\n\nNew part without stop"
    assert [text[a:b] for a, b in split_sentences(text)] == [
        "AU6 at 0.42 is seen.",
        "Is it?",
        "Yes!",
        "New part without stop",
    ]


def explanation_of(observations, interpretation="It looks warm.", conclusion="The label is happiness."):
    bare = Explanation(observations, interpretation, conclusion)
    return replace(bare, claims=read_claims(bare.text))


def test_contradicted_sentences_are_withheld_and_spans_follow():
    aus = {"AU06": AuReading.of(0.6), "AU12": AuReading.of(0.6), "AU04": AuReading.of(0.0)}
    said = explanation_of(
        "The brows are strongly lowered. The cheeks are raised. The nose is wrinkled.",
        "The smile is open. The lowered brows look stern.",
    )
    audited = replace(said, claims=audit(said.claims, aus))
    shown = withhold(audited)
    assert shown.withheld == ("The brows are strongly lowered.", "The lowered brows look stern.")
    assert shown.observations == "The cheeks are raised. The nose is wrinkled."
    assert shown.interpretation == "The smile is open."
    assert [claim.verdict for claim in shown.claims] == ["supported", "unmeasured", "supported"]
    spans = [shown.text[claim.start : claim.end] for claim in shown.claims]
    assert spans == ["cheeks are raised", "nose is wrinkled", "smile"]
    assert withhold(shown) == shown


def test_what_is_hidden_is_not_spoken_of():
    said = explanation_of("The brows are lowered. The cheeks are raised.", "The smile is open.")
    shown = withhold(said, unseen={"AU12", "AU25"})
    assert shown.withheld == ("The smile is open.",)
    assert {claim.au for claim in shown.claims} == {"AU04", "AU06"}


def test_an_emptied_part_says_so():
    said = explanation_of("The brows are lowered.")
    shown = withhold(replace(said, claims=audit(said.claims, {"AU04": AuReading.of(0.0)})))
    assert shown.observations == ALL_WITHHELD
    assert shown.claims == ()
    assert read_claims(ALL_WITHHELD) == ()


def test_nothing_is_withheld_without_contradiction():
    said = explanation_of("The brows are lowered.")
    assert withhold(said) is said
