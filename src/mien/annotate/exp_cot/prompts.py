"""Prompts of the Exp-CoT engine, word for word as published (Lan et al. 2025, section III-B), and where they go.

The paper gives the instructions and says what each process sees, not how the parts are put into messages. Here every
process continues one conversation: AU2Des opens it, Des2Exp asks about its answer, Verification asks about both, and
Reflection takes up the memory of earlier rounds. Verification names the true label, so its turn is never put into
memory: a teacher that is asked to think again has not seen the answer before the hint.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from mien.core.emotions import EMOTIONS
from mien.core.errors import require_known

__all__ = [
    "DES2EXP",
    "REFINE_AGAIN",
    "REFLECT",
    "VERSION",
    "au2des",
    "refine",
    "refine_again",
    "reflect_with_label",
    "verify",
]  # fmt: skip

VERSION = "1"
"""Version of all prompts of this file; part of every request's key."""

_AU2DES = (
    "Provided step-by-step analysis of the face based on the specified Facial Action Units. "
    "The positive AUs are {values}, and other AUs' density are 0."
)
DES2EXP = (
    "Based on the description, just give me the expression result without other words. The result should only be one "
    "of the following: 'Surprise', 'Fear', 'Disgust', 'Happiness', 'Sadness', 'Anger', 'Neutral' and 'Contempt'."
)
_VERIFY = (
    "Determine whether the description contains AU {values}, and the relevant degree corresponds to AU density. "
    "Also check if the generated expression label matches {label}. "
    "Just give me the result 'Correct' or 'Incorrect', without any other words."
)
REFLECT = (
    "The just expression and analysis are incorrect. A revised response is requested based on the observations and "
    "analysis."
)
_REFLECT_WITH_LABEL = (
    "The generated expression and analysis remain incorrect. The correct expression is {label}. "
    "Please provide a revised analysis that aligns with this expression."
)
_REFINE = (
    "Enhance the expression description to make it more reasonable, presenting a logical flow of thought. Avoid the "
    "use of personal pronouns. New analysis should contain 3 parts: key observations, overall emotional "
    "interpretation, and conclusion. The word count does not exceed 130. Ensure that no AU indices (e.g., 'AU 1', "
    "'AU 47') are included in the description. Original description: {description}."
)
REFINE_AGAIN = (
    "The new analysis does not keep to the request: {faults}. Please write it again under the same rules, with the "
    "three headings 'Key Observations:', 'Overall Emotional Interpretation:' and 'Conclusion:'."
)
"""Ours: the paper does not say what happens when a refined text breaks the rules."""


def au2des(values: Mapping[str, float]) -> str:
    """Opening prompt; ``values`` are the positive ones by FEAFA name, 0..1."""
    inside = ", ".join(f"'{name}': {value:.2f}" for name, value in values.items())
    return _AU2DES.replace("{values}", f"{{{inside}}}")


def verify(values: Mapping[str, float], label: str) -> str:
    """Verification prompt; ``label`` is one of `EMOTIONS`."""
    inside = ", ".join(f"{name}: {value:.2f}" for name, value in values.items())
    return _VERIFY.replace("{values}", f"{{{inside}}}").replace("{label}", _capital(label))


def reflect_with_label(label: str) -> str:
    """Reflection prompt that names the true label."""
    return _REFLECT_WITH_LABEL.replace("{label}", _capital(label))


def refine(description: str) -> str:
    """Refinement prompt; the description's own final stop stands for the prompt's."""
    return _REFINE.replace("{description}", description.strip().removesuffix("."))


def refine_again(faults: Sequence[str]) -> str:
    """What the last refined text does wrong."""
    return REFINE_AGAIN.replace("{faults}", "; ".join(faults))


def _capital(label: str) -> str:
    require_known(label, EMOTIONS, "label")
    return label.capitalize()
