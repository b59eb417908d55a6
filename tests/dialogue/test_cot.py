"""The three-part chain of thought: every published form is read, and round trips keep every word."""

import re
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from mien.core.nouns import Explanation
from mien.dialogue.read.cot import Unparsed, read_explanation, read_label, say_explanation

A, B, C = "The cheeks are raised.", "This looks warm.", "The label is happiness."
FORMS = (
    "**Key Observations:** {a}\n\n**Overall Emotional Interpretation:** {b}\n\n**Conclusion:** {c}",
    "Key Observations: {a}\n\nOverall Emotional Interpretation: {b}\n\nConclusion: {c}",
    "**Key Observations**: {a}\n\n**Emotional Interpretation**: {b}\n\n**Conclusion**: {c}",
    "Key Observations: {a} Overall Emotional Interpretation: {b} Conclusion: {c}",
    "**Key Observations:** {a} **Overall Emotional Interpretation:** {b} **Conclusion:** {c}",
    "### Key Observations\n{a}\n\n### Emotional Interpretation\n{b}\n\n### Conclusion\n{c}",
    "1. **Key Observations:** {a}\n2. **Overall Emotional Interpretation:** {b}\n3. **Conclusion:** {c}",
    "- Key observations: {a}\n- Overall interpretation: {b}\n- Conclusion: {c}",
    "KEY OBSERVATIONS: {a}\nOVERALL EMOTIONAL INTERPRETATION: {b}\nCONCLUSION: {c}",
    "Here it is.\n\n**Key Observations:**\n{a}\n\n**Overall Emotional Interpretation:**\n{b}\n\n**Conclusion:**\n{c}\n",
    "Observations: {a}\n\nInterpretation: {b}\n\nConclusions: {c}",
    "{a}\n\n{b}\n\n{c}",
    "\n\n{a}\n  \n{b}\n\n\n{c}\n\n",
    "**Key Observations** - {a}\n\n**Overall Emotional Interpretation** - {b}\n\n**Conclusion** - {c}",
    "**Face Analysis**\n\n**Key Observations:** {a}\n\n**Interpretation:** {b}\n\n**Conclusion:** {c}",
    # One heading left out.
    "{a}\n\n**Overall Emotional Interpretation:** {b}\n\n**Conclusion:** {c}",
    "**Key Observations:** {a}\n\n{b}\n\n**Conclusion:** {c}",
    "**Key Observations:** {a}\n\n**Overall Emotional Interpretation:** {b}\n\n{c}",
    # Two parts in one paragraph, with and without bold headings, with a list, with a tab.
    "**Key Observations:** {a} **Overall Emotional Interpretation:** {b}\n\n**Conclusion:** {c}",
    "**Key Observations:** {a}\n\n**Overall Emotional Interpretation:** {b} Conclusion: {c}",
    "__Key Observations:__ {a}\n__Overall Emotional Interpretation:__ {b}\n__Conclusion:__ {c}",
    "**1. Key Observations:** {a}\n\n**2. Emotional Interpretation:** {b}\n\n**3. Conclusion:** {c}",
    "**Key Observation:** {a}\r\n\r\n**Emotional Interpretation:** {b}\r\n\r\n**Conclusion:** {c}",
)
REFUSED = (
    "", "  \n ", "happiness", "One paragraph only. Nothing else.", "First.\n\nSecond.",
    "Conclusion: fear", "Key Observations: a", "Key Observations: a\n\nConclusion: b",
    "Key Observations: a\n\nOverall Emotional Interpretation: b",
    "Overall Emotional Interpretation: b\n\nConclusion: c",
    "Conclusion: c\n\nKey Observations: a\n\nOverall Emotional Interpretation: b",
    "Key Observations: a\n\nKey Observations: b\n\nOverall Emotional Interpretation: c\n\nConclusion: d",
    "Key Observations:\n\nOverall Emotional Interpretation: b\n\nConclusion: c",
    "Key Observations: a\n\nOverall Emotional Interpretation: b\n\nConclusion: ",
    "Key Observations: a\n\nOverall Emotional Interpretation: **\n\nConclusion: c",
    # Two headings left out leave too much open.
    "First.\n\nSecond.\n\nConclusion: c",
    "Key Observations: a\n\nSecond.\n\nThird.",
    "Conclusion: c\n\nKey Observations: a\n\nSecond.",
    "Here is the analysis:\n\nInterpretation: b\n\nConclusion: c",
)  # fmt: skip


@pytest.mark.parametrize("form", FORMS)
def test_published_forms(form):
    read = read_explanation(form.format(a=A, b=B, c=C))
    assert isinstance(read, Explanation), read
    assert (read.observations, read.interpretation, read.conclusion) == (A, B, C)
    (claim,) = read.claims
    assert read.text[claim.start : claim.end] == "cheeks are raised"


@pytest.mark.parametrize("text", REFUSED)
def test_other_texts_are_unparsed_with_a_reason(text):
    read = read_explanation(text)
    assert isinstance(read, Unparsed)
    assert read.reason
    assert read.text == text


def test_extra_bold_words_lose_their_marks():
    read = read_explanation(
        f"**Key Observations:** {A}\n\n**Interpretation:** {B}\n\n**Conclusion:** It is **sadness**."
    )
    assert read.conclusion == "It is sadness."


def test_bold_words_and_lists_inside_a_part_are_kept_as_words():
    body = "- **Eyes:** narrowed.\n- **Mouth:** **strongly** pressed."
    read = read_explanation(
        f"**Key Observations:**\n{body}\n\n**Interpretation:** {B}\n\n**Conclusion:** {C}"
    )
    assert read.observations == "- Eyes: narrowed. - Mouth: strongly pressed."


def test_a_left_out_heading_takes_the_paragraphs_of_its_place():
    read = read_explanation(f"**Key Observations:** {A}\n\n{B}\n\nIt is open.\n\n**Conclusion:** {C}")
    assert (read.observations, read.interpretation) == (A, f"{B} It is open.")
    read = read_explanation(f"Key Observations: {A}\n\nInterpretation: {B}\n\nIt is open.\n\n{C}")
    assert (read.interpretation, read.conclusion) == (f"{B} It is open.", C)


def test_words_inside_sentences_are_no_headings():
    body = "The observations of the mouth lead to no conclusion alone."
    read = read_explanation(f"Key Observations: {body}\n\nInterpretation: {B}\n\nConclusion: {C}")
    assert read.observations == body


sentences = (
    st.text(alphabet="abcdefghij klmno,.'", min_size=1, max_size=80)
    .map(lambda text: re.sub(r"\s+", " ", text).strip())
    .filter(bool)
)


@given(sentences, sentences, sentences, st.booleans())
@settings(deadline=None)
def test_round_trip(observations, interpretation, conclusion, markdown):
    said = Explanation(observations, interpretation, conclusion)
    read = read_explanation(say_explanation(said, markdown=markdown))
    assert isinstance(read, Explanation)
    assert read.text == said.text


def test_labels_of_conclusions_in_the_published_style():
    lines = (Path(__file__).parent / "conclusions.tsv").read_text(encoding="utf-8").splitlines()
    cases = [line.split("\t") for line in lines if line and not line.startswith("#")]
    head = "Key Observations: The face moves.\n\nOverall Emotional Interpretation: It looks so.\n\n"
    wrong = [text for label, text in cases if read_label(head + text) != label]
    assert not wrong


def test_a_label_left_open_by_the_conclusion_is_taken_from_the_parts_before():
    text = "Key Observations: {}\n\nOverall Emotional Interpretation: {}\n\nConclusion: {}"
    assert (
        read_label(text.format("The brows are low.", "This is anger.", "It is anger or **disgust**."))
        == "disgust"
    )
    assert (
        read_label(text.format("The brows are low.", "This is anger.", "A mix of anger and disgust."))
        == "anger"
    )
    assert (
        read_label(text.format("The brows are low.", "It is intense.", "A mix of anger and disgust.")) is None
    )
    assert read_label("It may be sadness.") == "sadness"
    assert read_label("") is None
