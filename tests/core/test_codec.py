"""Every noun goes to JSON and back without loss; what is not a noun of ours is refused in a sentence."""

from __future__ import annotations

import dataclasses
import json
import math
import types
from collections.abc import Mapping
from typing import Any, Literal, Union, get_args, get_origin, get_type_hints

import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp

from mien.core import nouns
from mien.core.aus import AU_SETS
from mien.core.codec import VERSION, decode, encode
from mien.core.emotions import EMOTIONS
from mien.core.errors import BadInput
from mien.core.nouns import (
    Answer,
    AuReading,
    Claim,
    CropTransform,
    Explanation,
    Face,
    FaceResult,
    FrameResult,
    Pose,
    Quality,
    Verification,
)

NOUNS = [
    value
    for name in sorted(vars(nouns))
    if dataclasses.is_dataclass(value := vars(nouns)[name]) and isinstance(value, type)
]
SHAPES = {"landmarks": (478, 3), "matrix": (2, 3), "box": (4,), "crop": (2, 2, 3)}


def values(hint: Any, name: str) -> st.SearchStrategy[Any]:
    """Any value that the annotation allows."""
    origin, arguments = get_origin(hint), get_args(hint)
    if origin is Literal:
        return st.sampled_from(arguments)
    if origin in (Union, types.UnionType):
        return st.one_of(*(values(one, name) for one in arguments))
    if origin is tuple and arguments[-1] is Ellipsis:
        return st.lists(values(arguments[0], name), max_size=2).map(tuple)
    if origin is tuple:
        return st.tuples(*(values(one, name) for one in arguments))
    if origin is Mapping:
        return st.dictionaries(
            st.text(max_size=4), values(arguments[1], name), min_size=name == "emotions", max_size=2
        )
    if origin is np.ndarray:
        kind = np.dtype(get_args(arguments[1])[0])
        return hnp.arrays(kind, SHAPES[name], fill=st.just(7))
    if dataclasses.is_dataclass(hint):
        return instances(hint)
    return st.none() if hint is type(None) else st.from_type(hint)


def instances(kind: Any) -> st.SearchStrategy[Any]:
    hints = get_type_hints(kind)
    fields = {one.name: values(hints[one.name], one.name) for one in dataclasses.fields(kind)}
    return st.builds(kind, **fields)


def same(one: Any, other: Any) -> bool:
    if dataclasses.is_dataclass(one):
        return type(one) is type(other) and all(
            same(getattr(one, field.name), getattr(other, field.name)) for field in dataclasses.fields(one)
        )
    if isinstance(one, np.ndarray):
        return one.dtype == other.dtype and np.array_equal(one, other, equal_nan=one.dtype.kind == "f")
    if isinstance(one, Mapping):
        return list(one) == list(other) and all(same(one[key], other[key]) for key in one)
    if isinstance(one, tuple):
        return len(one) == len(other) and all(map(same, one, other))
    if isinstance(one, float):
        return isinstance(other, float) and (one == other or (math.isnan(one) and math.isnan(other)))
    return type(one) is type(other) and bool(one == other)


@pytest.mark.parametrize("kind", NOUNS, ids=lambda kind: kind.__name__)
def test_every_field_of_every_noun_comes_back(kind: type) -> None:
    @settings(max_examples=15, deadline=None, derandomize=True, suppress_health_check=list(HealthCheck))
    @given(noun=instances(kind))
    def check(noun: Any) -> None:
        text = json.dumps(encode(noun), allow_nan=False)
        assert same(noun, decode(kind, json.loads(text)))
        assert same(noun, decode(kind, json.loads(json.dumps(encode(noun, derived=True), allow_nan=False))))

    check()


def test_a_field_without_a_form_is_found() -> None:
    noun = dataclasses.make_dataclass("Odd", [("field", set[int])])
    with pytest.raises(TypeError, match="no JSON form of set"):
        encode(noun({1}))
    with pytest.raises(TypeError, match="no JSON form"):
        encode("no noun")


def a_frame() -> FrameResult:
    face = Face(
        box=np.array([1.1, 2, 3, 4], np.float32),
        score=0.75,
        pose=Pose(1.0, math.nan, -3.0),
        crop=CropTransform(np.eye(2, 3), 112),
        quality=Quality(hidden=("mouth",), flags={"hidden_mouth": "a mask covers it"}),
    )
    aus = {key: AuReading.of(0.6, 12.5, cut_off=2) for key in AU_SETS["pocket"]}
    text = Explanation(
        "The lip corners are pulled up.", "Joy.", "happiness", (Claim("AU12", True, None, 0, 9),)
    )
    emotions = dict.fromkeys(EMOTIONS, 0.05) | {"surprise": 0.65}
    return FrameResult("a.jpg", 0, 0.0, (FaceResult(face, emotions, aus, text),), 640, 480)


def test_the_form_is_the_documented_one() -> None:
    content = json.loads(a_frame().to_json())
    assert content["version"] == VERSION
    face = content["faces"][0]
    assert face["emotion"] == "surprise"
    assert face["face"]["box"] == [1.1, 2.0, 3.0, 4.0]  # float32 in its own digits
    assert face["face"]["pose"] == {"pitch": 1.0, "yaw": None, "roll": -3.0}
    assert face["face"]["presence"] is None
    assert face["aus"]["AU12"]["intensity"] == 0.6
    assert face["aus"]["AU12"]["left"] is None
    assert face["explanation"]["text"].endswith("Conclusion: happiness")
    assert "version" not in face
    assert same(decode(FrameResult, content), a_frame())


def test_fields_that_came_later_may_be_absent() -> None:
    content = encode(a_frame())
    del content["faces"][0]["face"]["quality"], content["version"]
    assert decode(FrameResult, content).faces[0].face.quality is None


def test_an_answer_of_an_earlier_version_is_read() -> None:
    assert decode(Answer, {"text": "a", "status": "parsed"}).status == "answered"
    assert decode(Answer, encode(Answer("no", "declined", "it is about age"))).status == "declined"


@pytest.mark.parametrize(
    ("kind", "content", "told"),
    [
        (
            Answer,
            {"version": 99, "text": "a", "status": "unparsed"},
            "Got a Answer of version 99. Expected version 1",
        ),
        (Answer, {"text": "a"}, "Answer without status"),
        (Answer, {"text": "a", "status": "unparsed", "mood": 1}, "with an unknown mood"),
        (Answer, {"text": 5, "status": "unparsed"}, "5 as Answer.text. Expected a text"),
        (Answer, {"text": "a", "status": "guessed"}, "one of "),
        (Answer, {"text": "a", "status": "unparsed", "times": [0, "x"]}, r"'x' as Answer.times\[1\]"),
        (Answer, {"text": "a", "status": "unparsed", "scores": [1]}, "as Answer.scores. Expected an object"),
        (Pose, {"pitch": 1, "yaw": True, "roll": 2}, "True as Pose.yaw. Expected a number or null"),
        (Claim, {"au": "AU12", "present": 1, "level": None, "start": 0, "end": 1}, "true or false"),
        (Claim, {"au": "AU12", "present": True, "level": [1], "start": 0, "end": 1}, "a list of 2"),
        (Face, {"box": [[1], [2, 3]], "score": 1}, "each as long as the next"),
        (Face, {"box": "x", "score": 1}, "'x' as Face.box. Expected a number or null"),
        (Face, {"box": [0, 0, 1, 1], "score": 1, "landmarks": [[1, 2, 3]]}, r"Expected \(478, 3\)"),
        (Pose, [1, 2, 3], "as Pose. Expected an object"),
    ],
)
def test_what_is_no_noun_is_refused(kind: type, content: object, told: str) -> None:
    with pytest.raises(BadInput, match=told):
        decode(kind, content)


def test_results_show_themselves_without_markup_of_strangers() -> None:
    html = dataclasses.replace(a_frame(), source="<script>x</script>.jpg")._repr_html_()
    assert "<script>" not in html
    assert "&lt;script&gt;" in html
    assert "surprise" in html


def test_a_verification_counts() -> None:
    def claim(au: str, present: bool, verdict: Any, uncertain: bool = False) -> Claim:
        return Claim(au, present, None, 0, 1, verdict, uncertain=uncertain)

    claims = (
        claim("AU12", True, "supported"),
        claim("AU04", True, "contradicted"),
        claim("AU01", False, "supported"),
        claim("AU45", True, "unmeasured"),
        claim("AU25", True, "supported", uncertain=True),
    )
    held = Verification(claims, ("AU12", "AU25"))
    assert (held.supported, held.contradicted, held.unmeasured) == (2, 1, 1)
    assert (held.precision, held.recall, held.format) == (0.5, 0.5, True)
    nothing = Verification((), (), ("no conclusion",))
    assert math.isnan(nothing.precision) and math.isnan(nothing.recall) and not nothing.format
    assert nothing.to_dict()["precision"] is None


def test_what_is_hidden_has_no_reading() -> None:
    frame = a_frame()
    face = frame.faces[0].without_hidden()
    assert not any(face.aus[key].measured for key in ("AU12", "AU25", "AU17", "AU26"))
    assert all(face.aus[key].measured for key in ("AU01", "AU06", "AU09", "AU43"))
    assert face.aus["AU12"].cut_off == 2
    seen = dataclasses.replace(
        face, face=dataclasses.replace(face.face, quality=None), aus=frame.faces[0].aus
    )
    assert seen.without_hidden() is seen
