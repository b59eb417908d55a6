"""The rules reader on given landmarks: what it measures, says, and leaves open; and the table of readers."""

import math
import re

import numpy as np
import pytest

from mien.backends.base import FOLDER_FILES, READERS, open_reader
from mien.backends.rules import MOST_YAW, MOVEMENT_RULES, NEUTRAL, RulesReader, emotions_of
from mien.core.emotions import EMOTIONS
from mien.core.errors import BadConfig
from mien.core.nouns import AuReading, Evidence, Face, Pose
from mien.dialogue.read.cot import read_explanation
from mien.face.geometry import GEOMETRY_NAMES
from mien.face.pose import mean_face
from mien.metrics.faithfulness import audit, support_rate

BOX = np.array([0, 0, 200, 200], np.float32)
READER = RulesReader()
LIPS = {"right": 61, "left": 291}


def face(landmarks=None, yaw=0.0):
    return Face(BOX, 1.0, landmarks=landmarks, pose=Pose(0.0, yaw, 0.0))


def resting():
    """The mean face, upright, 200 px between the outer eye corners."""
    points = np.array(mean_face().points, dtype=np.float32)
    return (points - points.mean(axis=0)) * 200.0 + np.array([300, 300, 0], np.float32)


def smiling(strength):
    """Lip corners moved up and out, by shares of the distance between the outer eye corners."""
    points = resting()
    scale = np.linalg.norm(points[33] - points[263])
    for index, side in ((61, -1.0), (291, 1.0)):
        points[index] += np.array([side * 0.10, -0.07, 0.0], np.float32) * scale * strength
    return points


def gaping(strength):
    """Lower lip, chin and jaw moved down."""
    points = resting()
    scale = np.linalg.norm(points[33] - points[263])
    lower = points[:, 1] > points[13, 1] + 1e-3
    points[lower, 1] += 0.5 * scale * strength
    return points


def measured(landmarks, yaw=0.0):
    (result,) = READER.measure([Evidence(face(landmarks, yaw))])
    return result


def test_a_smile_grows_with_the_lip_corners():
    values = [measured(smiling(step)).aus["AU12"].intensity for step in (0.0, 0.5, 1.0)]
    assert values[0] < 0.1 < values[1] < values[2]
    assert measured(smiling(1.0)).emotion == "happiness"


def test_an_open_mouth_is_measured_and_a_closed_one_is_not():
    assert not measured(resting()).aus["AU25"].presence
    opened = measured(gaping(1.0)).aus
    assert opened["AU25"].presence
    assert opened["AU26"].presence


def test_results_are_complete_and_in_order():
    faces = [smiling(1.0), resting(), gaping(1.0)]
    results = READER.measure([Evidence(face(points)) for points in faces])
    assert [result.landmarks is points for result, points in zip(results, faces, strict=True)] == [True] * 3
    for result in results:
        assert tuple(result.aus) == READER.aus == tuple(MOVEMENT_RULES)
        assert tuple(result.emotions) == EMOTIONS
        assert sum(result.emotions.values()) == pytest.approx(1.0)
        assert result.explanation is None
    assert READER.measure([]) == []


def test_every_rule_uses_known_distances():
    for terms, start, full in MOVEMENT_RULES.values():
        assert 0 < start < full
        for term in terms:
            assert term[0] in "+-"
            assert term[1:] in NEUTRAL
    for name, (_, spread) in NEUTRAL.items():
        assert name in GEOMETRY_NAMES or {f"{name}_right", f"{name}_left"} <= set(GEOMETRY_NAMES)
        assert spread > 0
    used = {term[1:] for terms, _, _ in MOVEMENT_RULES.values() for term in terms}
    assert used == set(NEUTRAL)


@pytest.mark.parametrize(
    "given", [face(None), face(smiling(1.0), yaw=MOST_YAW + 1), face(smiling(1.0), yaw=-80.0)]
)
def test_without_a_readable_face_nothing_is_claimed(given):
    evidence = Evidence(given)
    (result,) = READER.measure([evidence])
    assert all(not reading.measured for reading in result.aus.values())
    assert set(result.emotions.values()) == {0.125}
    (explanation,) = READER.explain([evidence], [result])
    assert explanation.claims == ()
    assert "could be measured" in explanation.observations
    answer = READER.ask(evidence, "What is the emotion of this face?")
    assert answer.status == "unparsed"
    assert answer.reason == "nothing was measured on this face"


def test_emfacs_rules():
    def of(**present):
        aus = {au: AuReading.of(present.get(au, 0.0)) for au in MOVEMENT_RULES}
        chances = emotions_of(aus)
        return max(chances, key=chances.get)

    assert of() == "neutral"
    assert of(AU06=0.8, AU12=0.9) == "happiness"
    assert of(AU01=0.8, AU04=0.7, AU15=0.8) == "sadness"
    assert of(AU01=0.8, AU02=0.8, AU05=0.8, AU26=0.8) == "surprise"
    assert of(AU01=0.8, AU04=0.8, AU05=0.8, AU20=0.8) == "fear"
    assert of(AU09=0.9, AU10=0.9) == "disgust"
    assert of(AU04=0.9, AU05=0.8, AU24=0.9) == "anger"
    assert emotions_of({"AU12": AuReading.of(math.nan)}) == dict.fromkeys(EMOTIONS, 0.125)


def test_explanations_are_faithful_and_repeatable():
    batch = [
        Evidence(face(points)) for points in (resting(), smiling(0.5), smiling(1.0), gaping(0.6), gaping(1.0))
    ]
    results = READER.measure(batch)
    explanations = READER.explain(batch, results)
    audited = [audit(said.claims, result.aus) for said, result in zip(explanations, results, strict=True)]
    rate = support_rate(audited)
    assert rate.value == 1.0
    assert rate.n >= 10
    assert rate.parts["unmeasured"] == 0.0
    assert READER.explain(batch, results) == explanations


def test_answers():
    evidence = Evidence(face(smiling(1.0)))
    emotion = READER.ask(evidence, "What is the emotion of this face?")
    assert (emotion.text, emotion.labels.emotion) == ("happiness", "happiness")
    assert sum(emotion.scores.values()) == pytest.approx(1.0)
    listed = READER.ask(evidence, "Which AUs are active?")
    assert "AU12 - lip corner puller: " in listed.text
    assert listed.labels.au_presence["AU12"]
    told = READER.ask(evidence, "Explain the emotion of this face.")
    assert read_explanation(told.text).text == told.text
    levels = READER.ask(evidence, "Give the Action Units of this face as an array of levels from 0 to 5.")
    assert re.fullmatch(rf"\[[0-5](?:, [0-5]){{{len(READER.aus) - 1}}}\]", levels.text)
    two = READER.ask(evidence, "Give the intensities of AU12 and AU4 as decimals.")
    assert list(two.labels.au_intensity) == ["AU12", "AU04"]
    assert two.labels.au_intensity["AU12"] > 0.5
    unknown = READER.ask(evidence, "Give AU7 as a binary array.")
    assert (unknown.status, unknown.reason) == ("unparsed", "no rule measures AU7")
    assert READER.ask(evidence, "Who is this?").status == "unparsed"


def test_the_table_of_readers_opens_rules():
    reader = open_reader("rules", threads=2)
    assert (reader.name, reader.aus) == ("rules", READER.aus)
    assert FOLDER_FILES["bundle.json"] == READERS["pocket"]


def test_unknown_readers_are_refused(tmp_path):
    with pytest.raises(BadConfig, match="existing model folder"):
        open_reader("no-such-model")
    with pytest.raises(BadConfig, match="without a model"):
        open_reader(str(tmp_path))
