"""Sentences of the interpretation and the conclusion. None of them states a movement.

Slots: ``{x}`` the label word, ``{np}`` the label as a noun phrase ("an expression of fear", "a neutral
expression"), ``{y}`` the runner-up, ``{look}`` one of `LOOKS`.
"""

from __future__ import annotations

from collections.abc import Mapping
from types import MappingProxyType

__all__ = [
    "CONCLUSIONS",
    "CONTRASTS",
    "LINKS",
    "LOOKS",
    "NAMED_ONLY",
    "NOTHING_MEASURED",
    "NO_EVIDENCE",
    "NO_SUPPORT",
    "PADS",
    "PARTLY_MEASURED",
    "QUIET",
    "REMARKS",
]  # fmt: skip

LOOKS: Mapping[str, tuple[str, ...]] = MappingProxyType(
    {
        "neutral": ("a calm look", "an even look", "a plain and quiet look", "a composed look", "a still look"),
        "happiness": ("a warm look", "a friendly and open look", "a cheerful look", "a pleased look", "a bright look"),
        "sadness": ("a downcast look", "a heavy look", "a gloomy look", "a low and heavy look", "a sorrowful look"),
        "surprise": (
            "a startled look", "an alert and open look", "an astonished look", "a suddenly open look", "an amazed look",
        ),
        "fear": ("an alarmed look", "a tense and alert look", "a frightened look", "a worried look", "a look of alarm"),
        "disgust": (
            "a look of rejection", "a repelled look", "a look of aversion", "a displeased look", "a look of distaste",
        ),
        "anger": (
            "a stern look", "a hard and tense look", "an irritated look", "a forceful look", "a threatening look",
        ),
        "contempt": ("a dismissive look", "a cold look", "a scornful look", "a look from above", "a superior look"),
    }
)  # fmt: skip
"""How a face with each label looks; words for the appearance, not for a state of mind."""

LINKS: Mapping[str, tuple[str, ...]] = MappingProxyType(
    {
        "sure": (
            "Taken together, these signs give the face {look}, which is typical of {x}.",
            "The whole pattern gives the face {look} and fits {x} well.",
            "As a whole, the face has {look}, and the signs agree on {x}.",
            "All of this makes {look}, as is common for {x}.",
            "The parts of the face agree with one another and make {look}.",
            "Seen as a whole, the pattern is the usual one for {x}.",
            "Upper and lower face tell the same story, and it is {look}.",
            "The combination makes {look} and leaves {x} as the natural reading.",
            "Each of these signs is common for {x}, and together they make {look}.",
            "This is {look}, and {x} explains it best.",
            "No sign speaks against {x}.",
        ),
        "likely": (
            "Taken together, these signs give the face {look} and fit {x} better than other labels.",
            "The pattern is mostly in line with {x}, though not every sign is there.",
            "As a whole, the face has {look}, which speaks for {x}.",
            "Most of the signs point to {x}.",
            "Overall, the face appears to have {look}.",
            "The signs favour {x}, even if one or two are weak.",
            "The balance of the signs is on the side of {x}.",
            "There is {look} about the face, as is often seen with {x}.",
            "Although the pattern is not complete, it comes near to {x}.",
            "The face comes close to {look}.",
        ),
        "close": (
            "The pattern lies between {x} and {y}, with {x} slightly ahead.",
            "The signs may be read as {x} or as {y}.",
            "Some signs fit {x}, while others could also belong to {y}.",
            "The face seems to have {look}, yet {y} is almost as plausible.",
            "It is hard to choose between {x} and {y} from these signs.",
            "A part of the pattern suggests {x}, another part {y}.",
            "The signs favour {x} only just, with {y} next.",
        ),
        "unclear": (
            "The signs are mixed, and no label fits them well.",
            "The pattern is hard to read and allows several labels.",
            "The evidence is thin, so any reading is uncertain.",
            "The face gives few signs that speak for one label alone.",
            "Several labels are about equally plausible for this face.",
            "The signs do not add up to one known pattern.",
            "What is seen here may belong to more than one label.",
        ),
    }
)
"""How the signs lead to a label, by certainty."""

CONCLUSIONS: Mapping[str, tuple[str, ...]] = MappingProxyType(
    {
        "sure": (
            "The apparent expression is best described as {x}.",
            "The face appears to show {np}.",
            "The label that fits best is {x}.",
            "The facial signs clearly indicate {np}.",
            "The apparent expression is {x}.",
            "The most fitting label for this face is {x}.",
            "This is {np}.",
            "One word for the apparent expression is {x}.",
            "These signs are those of {np}.",
            "The face is labelled {x}.",
            "The reading is {x}, with good certainty.",
            "The expression reads as {x}.",
            "The face shows {np}.",
        ),
        "likely": (
            "The apparent expression is most likely {x}.",
            "The face most likely shows {np}.",
            "The label that fits best is probably {x}.",
            "The apparent expression is rather {x} than anything else.",
            "The most probable label is {x}.",
            "The evidence speaks for {np}.",
            "{x} is the likeliest label.",
            "This looks like {np}.",
            "The best guess is {x}.",
            "The face is best labelled {x}.",
            "It is reasonable to label the apparent expression {x}.",
        ),
        "close": (
            "The apparent expression is closest to {x}, but only by a narrow margin.",
            "With some doubt, the label that fits best is {x}.",
            "The closest label is {x}, by a small lead.",
            "By a narrow margin, the label is {x}.",
            "The reading leans towards {x}.",
            "It appears to be {np}, though this is not certain.",
        ),
        "unclear": (
            "With much doubt, the closest label is {x}.",
            "The nearest label is {x}, with low certainty.",
            "The closest label is {x}, but the evidence is weak.",
            "The closest match is {x}, and the certainty of it is low.",
            "No label is certain; the nearest one is {x}.",
        ),
    }
)
"""The label, named once, by certainty."""

REMARKS: Mapping[str, tuple[str, ...]] = MappingProxyType(
    {
        "sure": (
            "The signs agree well.",
            "There is little room for doubt.",
            "The evidence is consistent.",
            "No other label comes close.",
            "Other labels would leave these signs without an explanation.",
            "The certainty of this reading is high.",
            "This reading is a firm one.",
            "The face leaves no real choice between labels.",
            "The runner-up is far behind.",
            "Every other label is much less probable.",
            "The margin over the next label is wide.",
            "The next label follows at a great distance.",
            "The first label leads by far.",
            "A second look would hardly change this.",
            "Little speaks for any other label.",
            "The probabilities leave one label alone at the top.",
            "This is one of the clearer cases.",
            "No second label needs to be weighed against it.",
            "The other seven labels share what little is left.",
        ),
        "likely": (
            "Some room for doubt remains.",
            "Other labels fit less well.",
            "The evidence is mostly consistent.",
            "The certainty of this reading is moderate.",
            "Another label cannot be ruled out.",
            "The margin over the next label is moderate.",
            "This reading is likely and not more than that.",
            "This label leads, though not by much.",
            "The next label is some way behind, yet it is not out of the question.",
            "A part of the probability goes to other labels.",
            "The reading is better than a guess and less than a certainty.",
            "Another picture of the same face might change it.",
        ),
        "close": (
            "A second reading remains possible.",
            "The evidence does not settle the matter.",
            "Another view of the face might change this reading.",
            "The two labels are close together.",
            "A small change in the face would turn the order round.",
            "Neither label should be relied on alone.",
        ),
        "unclear": (
            "The reading should be taken with care.",
            "More evidence is needed for a firm answer.",
            "The certainty of this reading is low.",
            "The probabilities are spread over many labels.",
            "Better not to build on this label.",
            "A clearer picture would help.",
        ),
    }
)
"""Optional last sentence, by certainty."""

NO_SUPPORT: Mapping[bool, tuple[str, ...]] = MappingProxyType(
    {
        False: (
            "The measured movements alone do not explain this label; the overall appearance leads to {x}.",
            "Few of the usual signs of {x} were measured, so the reading rests on the overall appearance.",
            "The movements say little about {x}, yet the overall appearance points to it.",
            "The movements of this face are not typical of {x}; its look as a whole is.",
            "The single movements leave the label open, and the face as a whole decides for {x}.",
            "Hardly any of the movements that make up {x} were measured, but the face as a whole comes near to it.",
            "Seen one by one, the movements do not amount to {x}; seen together, the face has {look}.",
            "The label comes from the impression of the whole face, {look}, more than from its movements.",
            "It is the face as a whole, with {look}, that speaks for {x}, and not a single movement.",
            "The look of the face, more than any of its movements, is that of {x}.",
            "The movements are not those that {x} is known by; the face still has {look}.",
        ),
        True: (
            "Some movement is there, yet the face as a whole stays close to a neutral one.",
            "The movements are too few to change the neutral appearance of the face.",
            "In spite of some movement, the overall appearance is neutral.",
            "None of the movements gives the face another look than a calm one.",
            "The movements do not add up to an expression, and the face has {look}.",
            "These movements aside, this is {look}.",
            "What moves here does not form the pattern of any emotion.",
            "The face keeps {look} in spite of these movements.",
            "No known pattern of an emotion comes out of these movements.",
        ),
    }
)
"""When the movements do not support the label; key: the label is neutral."""

QUIET: tuple[str, ...] = (
    "No region of the face stands out.",
    "The face shows hardly any movement.",
    "The face is at rest in all measured regions.",
    "The measured regions of the face are quiet.",
    "Nothing in the face moves to a visible degree.",
    "From the brows to the chin, the face is still.",
    "There is almost no movement in the face.",
    "None of the measured regions moves.",
    "All measured parts of the face are relaxed.",
    "No movement stands out anywhere in the face.",
    "No measured part of the face departs from rest.",
)
"""When no AU is present."""

STILL: tuple[str, ...] = (
    "Nothing here points away from {x}.",
    "There is {look} about the whole face, and nothing against {x}.",
    "From top to bottom the face keeps {look}.",
    "Whichever part is taken, it goes with {x}.",
    "A face at rest like this has {look}.",
)
"""Links for a face at rest that is surely neutral, beside those of `LINKS` that need no sign."""

CONTRASTS: Mapping[str, tuple[str, ...]] = MappingProxyType(
    {
        "neutral": ("AU12", "AU04", "AU15", "AU01", "AU05", "AU09", "AU25"),
        "happiness": ("AU04", "AU15", "AU09", "AU01"),
        "sadness": ("AU12", "AU06", "AU09", "AU05"),
        "surprise": ("AU04", "AU12", "AU09", "AU15"),
        "fear": ("AU12", "AU09", "AU24", "AU06"),
        "disgust": ("AU12", "AU05", "AU01", "AU02"),
        "anger": ("AU12", "AU06", "AU01", "AU02"),
        "contempt": ("AU06", "AU09", "AU01", "AU25"),
    }
)
"""AUs whose absence tells something when the label leads, most telling first."""

PARTLY_MEASURED: tuple[str, ...] = (
    "Not every region could be measured.",
    "Some regions of the face could not be measured.",
)
PADS: tuple[str, ...] = (
    "The reading rests on the measured movements of the face.",
    "It describes how the face looks at this moment.",
    "Other regions of the face do not change this reading.",
    "The view of the face as a whole supports no further statement.",
    "The reading follows from what can be seen in the face alone.",
    "Each sign counts by its strength.",
)
"""Neutral sentences that fill a very short explanation."""

NOTHING_MEASURED: tuple[tuple[str, ...], ...] = (
    (
        "No facial movement could be measured in this picture, so nothing can be said about its single regions.",
        "The landmarks of the face were not found, or the face is turned too far to be read.",
    ),
    (
        "No region of the face could be measured here, and no movement is claimed.",
        "The face may be too small, turned away or covered, so that its landmarks tell nothing.",
    ),
)
"""Observations when not a single AU was measured."""

NO_EVIDENCE: tuple[str, ...] = (
    "Without measured movements, every label is as plausible as any other.",
    "Nothing speaks for one label or against another.",
)
"""Link when nothing was measured and all labels are equally probable."""

NAMED_ONLY: tuple[str, ...] = (
    "No label stands out, and {x} is named only because one word has to be given.",
    "The apparent expression is unknown; the word {x} stands here only because one label has to be named.",
)
"""Conclusion of the same case."""
