"""The rules reader: no learning, every number stated here. A floor to compare with, and a fallback by choice.

    landmarks -> named distances -> signed deviation from a neutral face -> AU intensity -> EMFACS -> emotion

Constants were set on training data only: `NEUTRAL` on neutral faces of FER+ (1,449 that at least five raters call
neutral) and of London (60); `MOVEMENT_RULES` so that about one neutral face in ten or fewer reaches an AU's
start; `RESTING_SCORE` and `SHARPNESS` by likelihood on 3,859 FER+ training faces. On 2,961 FER+
validation faces with landmarks its accuracy is .598 (recall: neutral .88, happiness .77, surprise .33; sadness,
anger, fear and disgust at most .10; contempt cannot be seen); AUC on London validation: AU12 .935, AU25 1.00.
"""

from __future__ import annotations

import math
import random
import re
from collections.abc import Mapping, Sequence
from pathlib import Path

from mien.backends.base import AnswersByAsking
from mien.core.aus import AUS, au_key
from mien.core.emotions import EMFACS, EMOTIONS
from mien.core.nouns import Answer, AuReading, Evidence, Explanation, Face, FaceResult, FloatArray, Labels
from mien.dialogue.read import au_arrays
from mien.dialogue.say.emotion_words import say_emotion
from mien.dialogue.say.narrator import narrate
from mien.dialogue.say.questions import classify_question
from mien.dialogue.say.wording import capitalise, say_movement
from mien.face.geometry import GEOMETRY_NAMES, geometry_features

__all__ = ["MOVEMENT_RULES", "NEUTRAL", "RulesReader", "emotions_of", "open_rules"]

NEUTRAL: Mapping[str, tuple[float, float]] = {
    "brow_inner_height": (0.2078, 0.0336),
    "brow_middle_height": (0.2495, 0.0370),
    "brow_outer_height": (0.1916, 0.0315),
    "brow_slope": (0.0155, 0.0177),
    "cheek_to_lid": (0.2179, 0.0180),
    "corner_height": (-0.7620, 0.0446),
    "corner_lift": (-0.0171, 0.0178),
    "eye_aspect": (0.3135, 0.0639),
    "jaw_drop": (0.7252, 0.0657),
    "lid_above_iris": (-0.0149, 0.0119),
    "lip_gap": (0.0049, 0.0203),
    "lower_lid_height": (-0.0328, 0.0097),
    "lower_lip_thickness": (0.1033, 0.0199),
    "mouth_aspect": (0.0103, 0.0433),
    "mouth_height": (0.1863, 0.0420),
    "mouth_width": (0.5398, 0.0548),
    "nose_to_lip": (0.1778, 0.0364),
    "nose_wing_height": (-0.3952, 0.0226),
    "side_lip_gap": (0.0036, 0.0135),
    "upper_lip_height": (-0.1932, 0.0335),
    "upper_lip_thickness": (0.0739, 0.0150),
}
"""Mean and spread of each distance on neutral faces, in the unit of `mien.face.geometry`; two-sided ones as the
mean of both sides."""

MOVEMENT_RULES: Mapping[str, tuple[tuple[str, ...], float, float]] = {
    "AU01": (("+brow_inner_height", "+brow_slope"), 1.2, 3.5),
    "AU02": (("+brow_outer_height", "+brow_middle_height"), 1.2, 3.5),
    "AU04": (("-brow_inner_height", "-brow_middle_height"), 1.0, 3.0),
    "AU05": (("+eye_aspect", "+lid_above_iris"), 1.0, 3.0),
    "AU06": (("+lower_lid_height", "-cheek_to_lid"), 0.8, 2.5),
    "AU09": (("+nose_wing_height", "+upper_lip_height", "-brow_inner_height"), 0.8, 2.5),
    "AU10": (("-nose_to_lip", "+upper_lip_height"), 1.5, 4.0),
    "AU12": (("+corner_lift", "+mouth_width"), 0.8, 3.6),
    "AU15": (("-corner_lift",), 1.2, 3.5),
    "AU18": (("-mouth_width", "+upper_lip_thickness"), 1.0, 3.0),
    "AU20": (("+mouth_width", "-corner_lift", "-corner_height"), 0.8, 2.5),
    "AU24": (("-upper_lip_thickness", "-lower_lip_thickness", "-mouth_height"), 1.2, 3.0),
    "AU25": (("+lip_gap", "+side_lip_gap"), 1.5, 13.0),
    "AU26": (("+mouth_aspect", "+jaw_drop"), 2.0, 8.0),
    "AU27": (("+mouth_aspect", "+jaw_drop"), 8.0, 14.0),
    "AU43": (("-eye_aspect",), 1.5, 4.0),
}
"""AU -> (signed distances, start, full): the mean signed deviation in spreads, 0 up to ``start``, 1 from ``full``.
AUs that landmarks do not show well (7, 14, 16, 17, 22, 28) are left out."""

RESTING_SCORE = 0.25
"""Score of neutral, against the mean intensities of EMFACS combinations."""
COMPLETENESS = 0.05
"""Bonus per AU of a combination, so that of two that fit the more complete one wins."""
SHARPNESS = 8.0
"""Factor of the scores in the softmax."""
MOST_YAW = 50.0
"""Degrees; a face turned further hides one side, and nothing is measured."""

_UNMEASURED = AuReading.of(math.nan)
_MENTIONED = re.compile(r"\bAU\s?0?(\d{1,2})\b", re.IGNORECASE)


def _distance(features: FloatArray, name: str) -> float:
    if name in GEOMETRY_NAMES:
        return float(features[GEOMETRY_NAMES.index(name)])
    sides = (f"{name}_right", f"{name}_left")
    return math.fsum(float(features[GEOMETRY_NAMES.index(side)]) for side in sides) / 2.0


def _intensity(features: FloatArray, au: str) -> float:
    terms, start, full = MOVEMENT_RULES[au]
    deviations = []
    for term in terms:
        mean, spread = NEUTRAL[term[1:]]
        sign = 1.0 if term[0] == "+" else -1.0
        deviations.append(sign * (_distance(features, term[1:]) - mean) / spread)
    deviation = math.fsum(deviations) / len(deviations)
    return min(max((deviation - start) / (full - start), 0.0), 1.0)


def _score(emotion: str, intensities: Mapping[str, float]) -> float:
    """The best EMFACS combination of which more than half is measured: mean intensity, raised a little per AU."""
    best = 0.0
    for combination in EMFACS.get(emotion, ()):
        seen = [intensities[au] for au in combination if au in intensities]
        if 2 * len(seen) > len(combination):
            best = max(best, math.fsum(seen) / len(seen) * (1.0 + COMPLETENESS * len(seen)))
    return best


def emotions_of(aus: Mapping[str, AuReading]) -> dict[str, float]:
    """EMFACS rules as a softmax over the eight emotions; all equal when nothing was measured.

    Emotions whose combinations cannot be measured keep the score 0.
    """
    intensities = {au: reading.intensity for au, reading in aus.items() if reading.measured}
    if not intensities:
        return dict.fromkeys(EMOTIONS, 1.0 / len(EMOTIONS))
    scores = {name: RESTING_SCORE if name == "neutral" else _score(name, intensities) for name in EMOTIONS}
    weights = {name: math.exp(SHARPNESS * score) for name, score in scores.items()}
    total = math.fsum(weights.values())
    return {name: weight / total for name, weight in weights.items()}


class RulesReader(AnswersByAsking):
    """Landmark geometry, EMFACS rules and templates; labelled "rules" wherever it speaks."""

    name = "rules"
    crop_size = 64
    """Pixels are not looked at; a small crop serves the report."""
    aus: tuple[str, ...] = tuple(MOVEMENT_RULES)
    grounded = True

    def measure(self, batch: Sequence[Evidence]) -> list[FaceResult]:
        """AU readings from landmarks, emotions from the readings.

        A face without landmarks, or turned by more than `MOST_YAW` degrees, gets unmeasured readings and eight
        equal probabilities.
        """
        return [self._measure(item.face) for item in batch]

    def _measure(self, face: Face) -> FaceResult:
        turned = face.pose is not None and abs(face.pose.yaw) > MOST_YAW
        if face.landmarks is None or turned:
            aus = dict.fromkeys(self.aus, _UNMEASURED)
        else:
            features = geometry_features(face.landmarks)
            aus = {au: AuReading.of(_intensity(features, au)) for au in self.aus}
        return FaceResult(face, emotions_of(aus), aus)

    def explain(self, batch: Sequence[Evidence], results: Sequence[FaceResult]) -> list[Explanation]:
        """The narrator's text on each result; the same readings always give the same text."""
        return [narrate(result.aus, result.emotions, _rng(result)) for result in results]

    def ask(self, evidence: Evidence, question: str) -> Answer:
        """Answer by template on emotion, AUs in words, AU arrays or an explanation; other questions stay open."""
        task = classify_question(question)
        if task == "conversation":
            text = "This reader answers questions about the emotion, the Action Units and the explanation of a face."
            return Answer(text, "unparsed", "the question is none that rules can answer")
        result = self._measure(evidence.face)
        if not any(reading.measured for reading in result.aus.values()):
            return Answer(
                "No facial movement could be measured.", "unparsed", "nothing was measured on this face"
            )
        if task == "emotion":
            labels = Labels(emotion=result.emotion)
            return Answer(
                say_emotion(result.emotion), "answered", labels=labels, scores=dict(result.emotions)
            )
        if task == "explanation":
            (explanation,) = self.explain([evidence], [result])
            return Answer(explanation.text, "answered", labels=Labels(chain_of_thought=explanation.text))
        if task == "au-list":
            return _au_list(result)
        return self._array(result, task.removeprefix("au-"), question)

    def _array(self, result: FaceResult, form: str, question: str) -> Answer:
        """An array over the AUs that the question lists, else over all that this reader measures."""
        asked = tuple(dict.fromkeys(au_key(number) for number in _MENTIONED.findall(question))) or self.aus
        missing = [key for key in asked if key not in result.aus]
        if missing:
            names = ", ".join(AUS[key].prose if key in AUS else key for key in missing)
            return Answer(f"{names} cannot be measured by rules.", "unparsed", f"no rule measures {names}")
        text = au_arrays.say_array([result.aus[key] for key in asked], form)
        return au_arrays.read_array(text, form, len(asked), asked)


def _rng(result: FaceResult) -> random.Random:
    """Seeded by what was measured, so that a text can be made again."""
    readings = ",".join(f"{au}={reading.intensity:.3f}" for au, reading in result.aus.items())
    return random.Random(readings)


def _au_list(result: FaceResult) -> Answer:
    present = {au: reading for au, reading in result.aus.items() if reading.presence}
    rng = _rng(result)
    lines = [
        f"{AUS[au].prose} - {AUS[au].name}: {capitalise(say_movement(au, reading.level, rng).text)}."
        for au, reading in present.items()
    ]
    labels = Labels(au_presence={au: reading.presence for au, reading in result.aus.items()})
    return Answer("\n".join(lines) or "No Action Unit is present.", "answered", labels=labels)


def open_rules(folder: Path | None = None, threads: int | None = None, device: str = "cpu") -> RulesReader:
    """The rules reader; it has no nets, so all arguments are without effect."""
    return RulesReader()
