"""Answers about one measured face: every number, yes, no, level, list and array is rendered from the measurement."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterable, Mapping
from types import MappingProxyType

from mien.core.aus import AUS, HIDES, Region
from mien.core.emotions import EMOTIONS
from mien.core.nouns import Answer, AuReading, FaceResult, Labels, Pose
from mien.dialogue.ask.inquiry import Inquiry
from mien.dialogue.ask.movements import Condition
from mien.dialogue.ask.scope import HELP

__all__ = ["about_tool", "answered", "au_words", "declined", "face_answer", "holds", "percent", "strongest"]

_SURE, _FAIR = 0.8, 0.55
"""Top probabilities from which an emotion is called certain, and fairly sure."""
_TIE = 0.1
_RARE = 0.02
_TURNED, _TILTED, _UP, _DOWN = 15.0, 11.0, 9.0, -11.0
"""Degrees: middle of the ranges in which either word would be fair."""
_REGIONS: Mapping[str, tuple[str, ...]] = MappingProxyType(
    {
        "brows": ("brow",),
        "eyes": ("eye", "cheek"),
        "nose": ("nose",),
        "cheeks": ("cheek",),
        "mouth": ("mouth", "jaw"),
        "chin": ("chin", "jaw"),
        "upper face": ("brow", "eye", "cheek"),
        "lower face": ("nose", "mouth", "chin", "jaw"),
    }
)
_OTHERS = {
    "AU19": " (tongue show)",
    "AU31": " (jaw clencher)",
    "AU32": " (lip bite)",
    "AU34": " (cheek puff)",
    "AU45": " (blink)",
    "AU46": " (wink)",
}
"""Names of units that are asked for and not measured."""
_AT = {"brows": "At", "eyes": "Around", "nose": "At", "mouth": "At", "chin": "At"}
_PARTS = {"upper face": "brows, eyes, cheeks", "lower face": "nose, mouth, chin"}
_MOST_MOVEMENTS = 5


def answered(text: str, labels: Labels | None = None, scores: Mapping[str, float] | None = None) -> Answer:
    """An answer from the measurement."""
    return Answer(text, "answered", labels=labels, scores=scores)


def declined(text: str, reason: str) -> Answer:
    """A question that is not answered, and why."""
    return Answer(text, "declined", reason)


def percent(share: float) -> str:
    """``0.8412`` -> ``"84 %"``; small shares keep a digit."""
    return f"{100 * share:.0f} %" if share >= 0.1 else f"{100 * share:.1f} %"


def listed(items: Iterable[str]) -> str:
    """``a, b and c``."""
    parts = list(items)
    return parts[0] if len(parts) == 1 else f"{', '.join(parts[:-1])} and {parts[-1]}"


def au_words(key: str, reading: AuReading, named: bool = True) -> str:
    """``AU12 (lip corner puller) is at level 4 (D), intensity 0.78``."""
    called = f"{AUS[key].prose} ({AUS[key].name})" if named else AUS[key].prose
    letter = f" ({reading.letter})" if reading.letter else ""
    return f"{called} is at level {reading.level}{letter}, intensity {reading.intensity:.2f}"


def strongest(result: FaceResult, keys: Iterable[str]) -> str | None:
    """The measured AU of ``keys`` with the largest intensity."""
    known = [key for key in keys if key in result.aus and result.aus[key].measured]
    return max(known, key=lambda key: result.aus[key].intensity, default=None)


def holds(result: FaceResult, condition: Condition) -> bool | None:
    """Whether a condition is met; None where none (or, for all of them, one) of its AUs was measured."""
    seen = [
        result.aus[key].presence for key in condition.aus if key in result.aus and result.aus[key].measured
    ]
    if not seen or (condition.every and len(seen) < len(condition.aus)):
        return None
    return (all(seen) if condition.every else any(seen)) != condition.absent


def face_answer(inquiry: Inquiry, result: FaceResult) -> Answer:
    """The answer about one face to an inquiry of one of the intents in `_ANSWERS`.

    A face that was not measured (no evidence) is declined with that reason.
    """
    if any(math.isnan(value) for value in result.emotions.values()) and inquiry.intent not in (
        "pose",
        "gaze",
        "quality",
    ):
        return declined(
            "I found too little evidence of a face here, so nothing was measured and I say nothing about it.",
            "no evidence",
        )
    return _ANSWERS[inquiry.intent](inquiry, result)


# -- emotion ----------------------------------------------------------------------------------------------


def _ranked(result: FaceResult) -> list[tuple[str, float]]:
    return sorted(result.emotions.items(), key=lambda pair: -pair[1])


def _emotion(inquiry: Inquiry, result: FaceResult) -> Answer:
    (first, p), (second, q) = _ranked(result)[:2]
    text = first if p - q >= _TIE else f"{first} ({percent(p)}), closely followed by {second} ({percent(q)})"
    return answered(text, Labels(emotion=first), result.emotions)


def _is_emotion(inquiry: Inquiry, result: FaceResult) -> Answer:
    top, p = _ranked(result)[0]
    asked = inquiry.emotions[0]
    yes = (top in inquiry.emotions) != inquiry.negated
    if top == asked:
        text = f"{'Yes' if yes else 'No'}: {top} is the likeliest emotion ({percent(p)})."
    else:
        text = f"{'Yes' if yes else 'No'}: {asked} has {percent(result.emotions[asked])}. The likeliest is {top} ({percent(p)})."
    return answered(text, Labels(emotion=top), result.emotions)


def _choice(inquiry: Inquiry, result: FaceResult) -> Answer:
    top, p = _ranked(result)[0]
    offered = sorted(inquiry.emotions, key=lambda name: -result.emotions[name])
    odds = listed(f"{name} ({percent(result.emotions[name])})" for name in offered if name != top)
    if top in inquiry.emotions:
        text = f"{top.capitalize()} ({percent(p)}) rather than {odds}."
    else:
        text = f"{top.capitalize()} ({percent(p)}) rather than either; of those named {offered[0]} is likelier: {odds}."
    return answered(text, Labels(emotion=top), result.emotions)


def _second(inquiry: Inquiry, result: FaceResult) -> Answer:
    (first, p), (second, q) = _ranked(result)[:2]
    near = f"{second.capitalize()} ({percent(q)})"
    rare = f" comes next, but no emotion beside {first} ({percent(p)}) is worth naming."
    return answered(
        near + (rare if q < _RARE else f", after {first} ({percent(p)})."), scores=result.emotions
    )


def _certainty(inquiry: Inquiry, result: FaceResult) -> Answer:
    (first, p), (second, q) = _ranked(result)[:2]
    word = "Quite certain" if p >= _SURE else "Fairly sure" if p >= _FAIR else "Not certain"
    return answered(
        f"{word}: {first} has a calibrated probability of {percent(p)}; next comes {second} with {percent(q)}.",
        scores=result.emotions,
    )


def _probabilities(inquiry: Inquiry, result: FaceResult) -> Answer:
    text = ", ".join(f"{name} {100 * value:.1f} %" for name, value in _ranked(result))
    return answered(f"{text[:1].upper()}{text[1:]}.", scores=result.emotions)


def _probability(inquiry: Inquiry, result: FaceResult) -> Answer:
    text = ", ".join(f"{name} {100 * result.emotions[name]:.1f} %" for name in inquiry.emotions)
    return answered(f"{text[:1].upper()}{text[1:]}.", scores=result.emotions)


def _absent_emotions(inquiry: Inquiry, result: FaceResult) -> Answer:
    rare = [(name, value) for name, value in reversed(_ranked(result)[1:]) if value < 2 * _TIE]
    return answered(
        f"Least likely are {listed(f'{name} ({percent(value)})' for name, value in rare[:4])}.",
        scores=result.emotions,
    )


# -- Action Units -----------------------------------------------------------------------------------------


def _unmeasured(keys: Iterable[str], result: FaceResult) -> Answer | None:
    """Why AUs were not measured; None when all were."""
    unknown = [key for key in keys if key not in result.aus]
    if unknown:
        names = listed(f"AU{int(key[2:])}{_OTHERS.get(key, '')}" for key in unknown)
        hint = " Ask about AU43 instead." if "AU45" in unknown else ""
        return declined(
            f"{names} {'is' if len(unknown) == 1 else 'are'} not among the {len(result.aus)} Action Units that I measure.{hint}",
            "not measured",
        )
    blank = [key for key in keys if not result.aus[key].measured]
    if blank and len(blank) == len(list(keys)):
        where = [region for region in result.hidden if blank[0] in HIDES[region]]
        why = f"the {where[0]} region is hidden" if where else "there is too little evidence for it"
        return declined(
            f"{listed(f'AU{int(key[2:])}' for key in blank)} was not measured: {why}.", "not measured"
        )
    return None


def _movement(inquiry: Inquiry, result: FaceResult) -> Answer:
    condition = inquiry.condition
    assert condition is not None
    missing = _unmeasured(condition.aus, result)
    if missing is not None:
        return missing
    if "smile" in condition.words and condition.every:
        return _smile(condition, result)
    if condition.words == "teeth":
        return _teeth(result)
    met = holds(result, condition)
    yes = bool(met) != inquiry.negated
    there = bool(met) != condition.absent
    present = [key for key in condition.aus if result.aus[key].presence]
    shown = present if there and not condition.every else list(condition.aus)
    opening = "Yes" if yes else "No"
    states = "; ".join(au_words(key, result.aus[key], named=not condition.absent) for key in shown[:3])
    if there:
        opening += "" if yes else ": it is present"
        text = f"{opening}. {states}."
    else:
        called = f", {condition.words}. Absent" if condition.absent else ", absent"
        text = f"{opening}{called}: {states.replace('; ', ', ')}."
    return answered(text, Labels(au_presence={key: result.aus[key].presence for key in condition.aus}))


def _either(inquiry: Inquiry, result: FaceResult) -> Answer:
    """The one of two movements that is there, or both, or neither."""
    keys = tuple(dict.fromkeys(key for condition in inquiry.either for key in condition.aus))
    missing = _unmeasured(keys, result)
    if missing is not None:
        return missing
    there = [condition for condition in inquiry.either if holds(result, condition)]
    tops = (strongest(result, condition.aus) for condition in there or inquiry.either)
    states = "; ".join(dict.fromkeys(au_words(key, result.aus[key]) for key in tops if key is not None))
    said = f"{listed(one.words for one in there).capitalize()}" if there else "Neither"
    return answered(f"{said}: {states}.", Labels(au_presence={key: result.aus[key].presence for key in keys}))


def _smile(condition: Condition, result: FaceResult) -> Answer:
    """A genuine (Duchenne) smile is AU12 with AU6; a posed one is AU12 alone (Ekman, Davidson and Friesen 1990)."""
    lips, cheeks = result.aus["AU12"], result.aus["AU06"]
    labels = Labels(au_presence={"AU06": cheeks.presence, "AU12": lips.presence})
    states = f"{au_words('AU12', lips)}; {au_words('AU06', cheeks, named=False)}"
    if not lips.presence:
        return answered(
            f"No: there is no smile, AU12 is at level 0 (intensity {lips.intensity:.2f}).", labels
        )
    genuine = cheeks.presence
    opening = "Yes" if genuine != condition.absent else "No"
    verdict = (
        "it looks genuine, as a Duchenne pattern"
        if genuine
        else "it looks posed or social rather than genuine"
    )
    return answered(f"{opening}: {verdict}. {states}.", labels)


def _teeth(result: FaceResult) -> Answer:
    """Teeth show where the lips part and something draws them back or apart."""
    parted = result.aus["AU25"]
    drawn = strongest(result, ("AU10", "AU12", "AU16", "AU20", "AU27"))
    if not parted.presence:
        return answered(
            f"No: that takes parted lips, and AU25 is at level 0 (intensity {parted.intensity:.2f})."
        )
    if drawn is not None and result.aus[drawn].at(2).presence:
        return answered(
            f"Yes, most likely. {au_words('AU25', parted)}; {au_words(drawn, result.aus[drawn])}."
        )
    return answered(f"Hard to say from movements alone: {au_words('AU25', parted)}.")


def _degree(inquiry: Inquiry, result: FaceResult) -> Answer:
    keys = inquiry.units or (inquiry.condition.aus if inquiry.condition is not None else ())
    missing = _unmeasured(keys, result)
    if missing is not None:
        return missing
    if inquiry.units:
        shown = list(keys)
    else:
        top = strongest(result, keys)
        shown = [] if top is None else [top]
    states = [
        ("Absent: " if not result.aus[key].level else "") + au_words(key, result.aus[key]) for key in shown
    ]
    labels = Labels(
        au_level={key: result.aus[key].level for key in shown},
        au_intensity={key: result.aus[key].intensity for key in shown},
    )
    return answered("; ".join(states) + ".", labels)


def _list(inquiry: Inquiry, result: FaceResult) -> Answer:
    present = [key for key, reading in result.aus.items() if reading.presence]
    labels = Labels(
        au_presence={key: reading.presence for key, reading in result.aus.items() if reading.measured}
    )
    if not present:
        return answered(
            f"No Action Unit is present: all {len(result.aus)} that I measure are at level 0.", labels
        )
    if inquiry.letters:
        code = "+".join(f"{AUS[key].number}{result.aus[key].letter}" for key in present)
        return answered(f"{code}.", labels)
    return answered(f"{listed(f'{AUS[key].prose} ({AUS[key].name})' for key in present)}.", labels)


def _array(inquiry: Inquiry, result: FaceResult) -> Answer:
    form = inquiry.form

    def value(reading: AuReading) -> str:
        if not reading.measured:
            return "nan"
        return (
            f"{reading.intensity:.2f}"
            if form == "intensity"
            else str(reading.level if form == "level" else int(reading.presence))
        )

    values = {key: value(reading) for key, reading in result.aus.items()}
    known = {key: reading for key, reading in result.aus.items() if reading.measured}
    labels = {
        "binary": lambda: Labels(au_presence={key: reading.presence for key, reading in known.items()}),
        "level": lambda: Labels(au_level={key: reading.level for key, reading in known.items()}),
        "intensity": lambda: Labels(au_intensity={key: reading.intensity for key, reading in known.items()}),
    }[form]()
    if inquiry.json:
        fields = (f'"{key}": {"null" if one == "nan" else one}' for key, one in values.items())
        return answered(f"{{{', '.join(fields)}}}", labels)
    pairs = [f"{key}: {one}" for key, one in values.items()]
    return answered("\n".join(pairs) if inquiry.lines else f"[{', '.join(pairs)}]", labels)


def _absent(inquiry: Inquiry, result: FaceResult) -> Answer:
    gone = [AUS[key].prose for key, reading in result.aus.items() if reading.measured and not reading.level]
    if not gone:
        return answered("Every Action Unit that I measure is at least faintly there.")
    return answered(f"Not seen, at level 0: {listed(gone)}.")


def _region(inquiry: Inquiry, result: FaceResult) -> Answer:
    said = [_of_region(region, result) for region in inquiry.regions[:2]]
    return answered(" ".join(said))


def _of_region(region: str, result: FaceResult) -> str:
    keys = [key for key in result.aus if AUS[key].region in _REGIONS[region]]
    names: tuple[Region, ...] = ("brow", "eyes", "mouth")
    hidden = [name for name in names if name in result.hidden and set(keys) <= set(HIDES[name])]
    verb = "are" if region in ("brows", "eyes", "cheeks") else "is"
    if hidden:
        return f"The {region} {verb} hidden, so nothing is measured there."
    if region in _PARTS:
        region = f"{region} ({_PARTS[region]})"
    moving = sorted(
        (key for key in keys if result.aus[key].presence), key=lambda key: -result.aus[key].intensity
    )
    if not moving:
        return f"The {region} {verb} at rest: no movement is measured there."
    states = "; ".join(
        f"{AUS[key].movement} ({AUS[key].prose}, level {result.aus[key].level})"
        for key in moving[:_MOST_MOVEMENTS]
    )
    return f"{_AT.get(region, 'In')} the {region}: {states}."


# -- head, eyes, picture -----------------------------------------------------------------------------------


def _side(angle: float) -> str:
    return "left" if angle > 0 else "right"


def _pose_words(pose: Pose) -> str:
    return f"yaw {pose.yaw:.0f}, pitch {pose.pitch:.0f} and roll {pose.roll:.0f} degrees (plus: turned to the person's left, chin up, tilted to the person's left)"


def _pose(inquiry: Inquiry, result: FaceResult) -> Answer:
    pose = result.face.pose
    if pose is None:
        return declined("The head pose was not measured on this face.", "not measured")
    if inquiry.angle == "all":
        return answered(f"{_pose_words(pose)[:1].upper()}{_pose_words(pose)[1:]}.")
    if inquiry.angle == "frontal":
        front = abs(pose.yaw) < _TURNED and abs(pose.pitch) < _TURNED + 1
        return answered(
            f"{'Yes' if front else 'No'}: the head is at yaw {pose.yaw:.0f} and pitch {pose.pitch:.0f} degrees, {'facing the camera' if front else 'away from the camera'}."
        )
    value, limit = {"yaw": (pose.yaw, _TURNED), "roll": (pose.roll, _TILTED), "pitch": (pose.pitch, _UP)}[
        inquiry.angle
    ]
    verb = {"yaw": "turned", "roll": "tilted", "pitch": "raised" if value > 0 else "lowered"}[inquiry.angle]
    if inquiry.way:
        met = pose.pitch >= _UP if inquiry.way == "up" else pose.pitch <= _DOWN
        return answered(
            f"{'Yes' if met != inquiry.negated else 'No'}: the head is {verb} by {abs(value):.0f} degrees."
        )
    side = "" if inquiry.angle == "pitch" else f" to the person's {_side(value)}"
    if abs(value) < limit:
        opening = ("Yes: " if inquiry.negated else "No: ") if inquiry.yes_no else ""
        text = f"{opening}the head is straight, {verb} by only {abs(value):.0f} degrees{side}."
    else:
        opening = ("No: " if inquiry.negated else "Yes: ") if inquiry.yes_no else ""
        text = f"{opening}the head is {verb} by {abs(value):.0f} degrees{side}."
    return answered(f"{text[:1].upper()}{text[1:]}")


def _gaze(inquiry: Inquiry, result: FaceResult) -> Answer:
    pose = result.face.pose
    head = "" if pose is None else f" The head is at yaw {pose.yaw:.0f} and pitch {pose.pitch:.0f} degrees."
    return declined(
        f"I do not measure gaze, so I cannot tell where the eyes look.{head}", "gaze is not measured"
    )


def _quality(inquiry: Inquiry, result: FaceResult) -> Answer:
    quality = result.face.quality
    if inquiry.topic == "glasses":
        return declined("I do not look for glasses and cannot tell whether any are worn.", "not measured")
    if quality is None or (inquiry.topic == "hidden" and math.isnan(quality.eyes) and not quality.hidden):
        return declined(
            "I did not measure the quality of this picture: light, blur, size and hidden regions.",
            "not measured",
        )
    if inquiry.topic == "hidden":
        covered = listed(quality.hidden) if quality.hidden else ""
        return answered(
            f"Yes, something covers: {covered}."
            if covered
            else "No hidden region was found: brows, eyes and mouth are visible."
        )
    size = f"The size is {quality.eyes:.0f} px between the eyes"
    if quality.flags:
        return answered(f"Only in part. {size}. Limits: {'; '.join(quality.flags.values())}.")
    return answered(
        f"Yes, good enough. {size}, and no limit of light, blur, angle or hidden regions was found."
    )


# -- about mien itself -------------------------------------------------------------------------------------


def about_tool(inquiry: Inquiry, aus: Iterable[str]) -> Answer:
    """What the words mean, and what can be asked. ``aus``: keys that the reader measures."""
    measured = [AUS[key] for key in aus]
    texts: Mapping[str, Callable[[], str]] = {
        "facs": lambda: "FACS is the Facial Action Coding System (Ekman and Friesen): it describes a face by Action Units, "
        "single visible movements, each absent or graded A (trace) to E (maximum).",
        "tool": lambda: f"I describe the apparent expression of faces in pictures and clips: the emotion and its probability, {len(measured)} Action Units "
        f"with level and intensity, head pose, and an explanation. {HELP}",
        "emotions": lambda: f"Eight labels of apparent emotion: {listed(EMOTIONS)}.",
        "units_are": lambda: "An Action Unit is the smallest visible movement of the face in FACS, the Facial Action Coding System: the effect of one "
        "muscle or a few that act together, such as AU12, the lip corner puller.",
        "units": lambda: f"These {len(measured)}: {listed(f'{info.prose} ({info.name})' for info in measured)}.",
        "unit": lambda: " ".join(_defined(key) for key in inquiry.units),
        "scale": lambda: "An intensity runs from 0 to 1; levels are FACS letters: 0 absent, 1 or A a trace, 2 or B slight, 3 or C pronounced, "
        "4 or D severe, 5 or E maximum.",
    }  # fmt: skip
    return answered(texts[inquiry.topic]())


def _defined(key: str) -> str:
    if key not in AUS:
        return f"AU{int(key[2:])} is not in my table of Action Units."
    info = AUS[key]
    return f"{info.prose} is the {info.name}: {info.movement}; the muscle is {info.muscle}."


_ANSWERS: Mapping[str, Callable[[Inquiry, FaceResult], Answer]] = MappingProxyType(
    {
        "emotion": _emotion, "is_emotion": _is_emotion, "choice": _choice, "second": _second, "certainty": _certainty,
        "probabilities": _probabilities, "probability": _probability, "absent_emotions": _absent_emotions, "movement": _movement, "either": _either,
        "degree": _degree, "list": _list, "array": _array, "absent": _absent, "region": _region, "pose": _pose, "gaze": _gaze, "quality": _quality,
    }
)  # fmt: skip
