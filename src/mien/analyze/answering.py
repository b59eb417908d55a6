"""Answers about all that was measured of one source: which face is meant, comparisons, and the course of a clip."""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace

from mien.core.aus import level_edge
from mien.core.nouns import Answer, Explanation, FaceResult, FrameResult, Labels
from mien.dialogue.ask.answer import (
    about_tool,
    answered,
    declined,
    face_answer,
    holds,
    listed,
    percent,
    strongest,
)
from mien.dialogue.ask.inquiry import Inquiry
from mien.dialogue.ask.movements import Condition
from mien.study.events import Event, events, key_frames, stretches

__all__ = ["Seen", "key_faces", "main_face", "reply", "without_faces", "without_looking"]

_CLEAR = level_edge(2)
"""Intensity from which a movement counts in a clip: level B, above the trembling of level A."""
_LIKELY = 0.3
_EQUAL = 0.05
_BARE = frozenset(("emotion", "array", "list"))
"""Answers that other programs read; nothing is added to them."""
_NUMBERS = ("no", "one", "two", "three", "four", "five", "six", "seven", "eight", "nine", "ten")
_ORDINALS = ("first", "second", "third", "fourth", "fifth", "sixth", "seventh", "eighth", "ninth", "tenth")


@dataclass(frozen=True, slots=True, eq=False)
class Seen:
    """What was measured of one source."""

    frames: tuple[FrameResult, ...]
    """One for a photo; for a clip one, or all of them where the question needs its course."""
    aus: tuple[str, ...]
    """Keys that the reader measures."""
    explain: Callable[[int, int], Explanation]
    """(frame, face) -> its audited explanation."""
    video: bool = False


def without_looking(inquiry: Inquiry, aus: Sequence[str]) -> Answer | None:
    """The answer to a question that needs no picture; None for one that does."""
    if inquiry.intent in ("declined", "unclear"):
        status = declined(inquiry.reason, inquiry.topic)
        return status if inquiry.intent == "declined" else replace(status, status="unparsed")
    return about_tool(inquiry, aus) if inquiry.intent == "about" else None


def without_faces(inquiry: Inquiry) -> Answer | None:
    """The answer to a count where no face was found; None for any other question."""
    if inquiry.parts:
        return without_faces(inquiry.parts[0])
    if inquiry.intent == "several":
        return _several(inquiry, 0)
    if inquiry.intent == "compare" and inquiry.quantifier == "count":
        return answered("0 faces.")
    return None


def key_faces(results: Sequence[FaceResult]) -> list[int]:
    """Places of the faces to explain: all of photos; of a track in a clip where a movement starts, peaks and ends."""
    tracks: dict[int, list[int]] = {}
    chosen = []
    for place, result in enumerate(results):
        if result.face.track is None:
            chosen.append(place)
        else:
            tracks.setdefault(result.face.track, []).append(place)
    for places in tracks.values():
        times = [results[place].face.time for place in places]
        values = [
            max((one.intensity for one in results[place].aus.values() if one.measured), default=math.nan)
            for place in places
        ]
        chosen += [places[index] for index in key_frames(times, values, _CLEAR)]
    return sorted(chosen)


def main_face(seen: Seen) -> FaceResult:
    """The largest face of the frame that is meant where none is named."""
    return _main(seen.frames[_frame(Inquiry("explain"), seen.frames)])


def reply(inquiry: Inquiry, seen: Seen) -> Answer:
    """The answer, from the measurement alone."""
    if inquiry.parts:
        return _joined([without_looking(part, seen.aus) or reply(part, seen) for part in inquiry.parts])
    if inquiry.intent == "course":
        if not seen.video:
            return declined("A still picture has no course in time; ask about a clip.", "no clip")
        return _course(inquiry, seen.frames)
    number = _frame(inquiry, seen.frames)
    frame = seen.frames[number]
    answer = _of_frame(inquiry, seen, number)
    return replace(answer, times=(frame.time,)) if seen.video else answer


def _joined(answers: Sequence[Answer]) -> Answer:
    """The answers to the parts of one question, as one; what its first part says stands for it in labels."""
    told = [one for one in answers if one.status == "answered"] or list(answers)
    said = [f"{one.text[:1].upper()}{one.text[1:]}".removesuffix(".") + "." for one in answers]
    times = tuple(dict.fromkeys(time for one in told for time in one.times or ()))
    return replace(told[0], text=" ".join(said), times=times or told[0].times)


def _of_frame(inquiry: Inquiry, seen: Seen, number: int) -> Answer:
    faces = seen.frames[number].faces
    if inquiry.intent == "compare":
        return _compare(inquiry, faces)
    if inquiry.intent == "several":
        return _several(inquiry, len(faces))
    if inquiry.intent == "which":
        return _which(faces)
    chosen = _chosen(inquiry.place, faces)
    if chosen is None:
        return declined(f"There is no such face: I found {_tally(len(faces))}.", "no such face")
    result = faces[chosen]
    if inquiry.intent == "explain":
        explanation = seen.explain(number, chosen)
        answer = answered(
            explanation.text,
            Labels(emotion=result.emotion, chain_of_thought=explanation.text),
            result.emotions,
        )
    else:
        answer = face_answer(inquiry, result)
    if (
        len(faces) > 1
        and inquiry.place is None
        and answer.status == "answered"
        and inquiry.intent not in _BARE
    ):
        return replace(
            answer, text=f"{answer.text} This is the largest of {len(faces)} faces, {_called(result, faces)}."
        )
    return answer


def _frame(inquiry: Inquiry, frames: Sequence[FrameResult]) -> int:
    """The frame that is meant: the nearest to a moment in which a face is seen."""
    shown = [number for number, frame in enumerate(frames) if frame.faces] or list(range(len(frames)))
    if inquiry.moment == "start":
        return shown[0]
    if inquiry.moment == "end":
        return shown[-1]
    if isinstance(inquiry.moment, float):
        moment = inquiry.moment
        return min(shown, key=lambda number: abs(frames[number].time - moment))
    return shown[len(shown) // 2]


# -- which face --------------------------------------------------------------------------------------------


def _row(faces: Sequence[FaceResult]) -> list[FaceResult]:
    """From left to right, as the picture shows them."""
    return sorted(faces, key=lambda one: float(one.box[0] + one.box[2]))


def _area(face: FaceResult) -> float:
    return float((face.box[2] - face.box[0]) * (face.box[3] - face.box[1]))


def _chosen(place: str | int | None, faces: Sequence[FaceResult]) -> int | None:
    """Index of the face that is meant; None when there is none of that number."""
    row = _row(faces)
    if place is None:
        return max(range(len(faces)), key=lambda index: _area(faces[index]))
    if isinstance(place, int):
        if place > 100:
            return _index(row[place - 101], faces) if place - 100 <= len(row) else None
        if place < 0:
            return _index(row[place], faces) if -place <= len(row) else None
        return place - 1 if 1 <= place <= len(faces) else None
    if place == "smallest":
        return min(range(len(faces)), key=lambda index: _area(faces[index]))
    return _index(row[{"left": 0, "right": -1, "middle": len(row) // 2}[place]], faces)


def _index(face: FaceResult, faces: Sequence[FaceResult]) -> int:
    return next(index for index, one in enumerate(faces) if one is face)


def _called(face: FaceResult, faces: Sequence[FaceResult]) -> str:
    """``the left one``, ``the second from the left`` …"""
    count, place = len(faces), _index(face, _row(faces))
    if count == 1:
        return "the only one"
    if place in (0, count - 1):
        return f"the {'left' if place == 0 else 'right'} one"
    if count % 2 and place == count // 2:
        return "the middle one"
    from_left = place < count / 2
    return f"the {_ORDINALS[place if from_left else count - 1 - place]} from the {'left' if from_left else 'right'}"


def _which(faces: Sequence[FaceResult]) -> Answer:
    if len(faces) == 1:
        return answered("The only face that I found; it is the largest by necessity.")
    chosen = _chosen(None, faces)
    assert chosen is not None
    place = _called(faces[chosen], faces)
    return answered(
        f"The largest of {len(faces)} faces, {place}; name another by its place, such as left, middle or right."
    )


def _tally(count: int) -> str:
    return f"{_NUMBERS[count] if count < len(_NUMBERS) else count} face{'s' if count != 1 else ''}"


def _several(inquiry: Inquiry, count: int) -> Answer:
    yes = {"many": count > 1, "one": count == 1, "some": count > 0}[inquiry.quantifier] != inquiry.negated
    return answered(f"{'Yes' if yes else 'No'}: I found {_tally(count)}.")


# -- comparisons -------------------------------------------------------------------------------------------


def _asked(inquiry: Inquiry) -> Condition | None:
    if inquiry.condition is not None and not inquiry.units:
        return inquiry.condition
    return (
        Condition(inquiry.units, every=True, words=listed(f"AU{int(key[2:])}" for key in inquiry.units))
        if inquiry.units
        else None
    )


def _value(inquiry: Inquiry, face: FaceResult) -> float:
    condition = _asked(inquiry)
    if condition is None:
        return (
            face.emotions[inquiry.emotions[0]]
            if inquiry.emotions
            else max(v for k, v in face.emotions.items() if k != "neutral")
        )
    top = strongest(face, condition.aus)
    value = face.aus[top].intensity if top is not None else 0.0
    return 1.0 - value if condition.absent else value


def _named(inquiry: Inquiry) -> str:
    condition = _asked(inquiry)
    if condition is not None:
        return condition.words
    return inquiry.emotions[0] if inquiry.emotions else "expression"


def _fits(inquiry: Inquiry, face: FaceResult) -> bool:
    condition = _asked(inquiry)
    met = face.emotion in inquiry.emotions if condition is None else bool(holds(face, condition))
    return met != inquiry.negated


def _compare(inquiry: Inquiry, faces: Sequence[FaceResult]) -> Answer:
    kind = inquiry.quantifier
    if kind == "count" and not (inquiry.condition or inquiry.units or inquiry.emotions):
        return answered(f"{len(faces)} face{'s' if len(faces) != 1 else ''}.")
    if kind == "same":
        return _same(inquiry, faces)
    if kind in ("most", "least"):
        return _most(inquiry, faces)
    fitting = [face for face in _row(faces) if _fits(inquiry, face)]
    places = listed(_called(face, faces) for face in fitting) if fitting else ""
    tally = f"{len(fitting)} of {len(faces)}"
    said = f"{'without ' if inquiry.negated else ''}{_named(inquiry)}"
    if kind == "count":
        return answered(f"{len(fitting)} of {len(faces)} face{'s' if len(faces) != 1 else ''}: {said}.")
    if kind == "who":
        return answered(
            f"{places[:1].upper()}{places[1:]} ({said}, {tally} faces)."
            if places
            else f"None of the {len(faces)} faces ({said})."
        )
    yes = {"all": len(fitting) == len(faces), "any": bool(fitting), "none": not fitting}[kind]
    which = f", {places}" if places and len(fitting) < len(faces) else ""
    return answered(f"{'Yes' if yes else 'No'}: {tally} faces ({said}){which}.")


def _same(inquiry: Inquiry, faces: Sequence[FaceResult]) -> Answer:
    chosen = [_chosen(place, faces) for place in inquiry.among]
    shown = [faces[index] for index in chosen if index is not None] if len(chosen) > 1 else list(_row(faces))
    yes = len({face.emotion for face in shown}) == 1
    each = ", ".join(
        f"{_called(face, faces)} {face.emotion} ({percent(face.emotions[face.emotion])})" for face in shown
    )
    return answered(f"{'Yes' if yes else 'No'}: {each}.")


def _most(inquiry: Inquiry, faces: Sequence[FaceResult]) -> Answer:
    chosen = [_chosen(place, faces) for place in inquiry.among]
    shown = [faces[index] for index in dict.fromkeys(chosen) if index is not None]
    shown = shown if len(shown) > 1 else list(_row(faces))
    if len(shown) == 1:
        return answered(
            f"There is one face only; it has {_value(inquiry, shown[0]):.2f} ({_named(inquiry)})."
        )
    sign = -1.0 if inquiry.quantifier == "least" else 1.0
    ranked = sorted(shown, key=lambda face: -sign * _value(inquiry, face))
    first, second = (_value(inquiry, face) for face in ranked[:2])
    each = ", ".join(f"{_value(inquiry, face):.2f} for {_called(face, faces)}" for face in ranked)
    if abs(first - second) <= _EQUAL:
        return answered(
            f"{'Both about equally' if len(shown) == 2 else 'None stands out'}. {_named(inquiry).capitalize()}: {each}."
        )
    place = _called(ranked[0], faces)
    return answered(f"{place[:1].upper()}{place[1:]}. {_named(inquiry).capitalize()}: {each}.")


# -- the course of a clip ----------------------------------------------------------------------------------


def _course(inquiry: Inquiry, frames: Sequence[FrameResult]) -> Answer:
    shown = [
        frame
        for frame in frames
        if frame.faces and not math.isnan(next(iter(frame.faces[0].emotions.values())))
    ]
    if not shown:
        return declined("No face was measured in this clip.", "no face")
    main = [_main(frame) for frame in shown]
    times = [frame.time for frame in shown]
    if inquiry.course == "change" and not (inquiry.condition or inquiry.units):
        return _change(times, main)
    limit = _LIKELY if inquiry.emotions and _asked(inquiry) is None else _CLEAR
    values = [_value(inquiry, face) for face in main]
    found = events(times, values, limit)
    name = _named(inquiry)
    if not found:
        top = max(range(len(values)), key=lambda index: values[index])
        opening = "No: it" if inquiry.course == "ever" else "It"
        return answered(
            f"{opening} never gets clear ({name}): the largest value is {values[top]:.2f}, at {times[top]:.2f} s."
        )
    return answered(_told(inquiry.course, name, found))


def _main(frame: FrameResult) -> FaceResult:
    return max(frame.faces, key=_area)


def _told(course: str, name: str, found: Sequence[Event]) -> str:
    first, last = found[0], found[-1]
    top = max(found, key=lambda one: one.peak)
    spans = "; ".join(f"{one.onset:.2f} s to {one.offset:.2f} s" for one in found)
    return {
        "onset": f"At {first.onset:.2f} s ({name}).",
        "offset": f"At {last.offset:.2f} s ({name}).",
        "peak": f"At {top.apex:.2f} s ({name}, value {top.peak:.2f}).",
        "duration": f"{last.offset - first.onset:.2f} s in all ({name}): {spans}.",
        "ever": f"Yes, {_times(len(found))} ({name}): {spans}.",
        "times": f"{len(found)} time{'s' if len(found) > 1 else ''} ({name}): {spans}.",
        "change": f"{name.capitalize()}: {spans}; strongest at {top.apex:.2f} s.",
    }[course]


def _times(count: int) -> str:
    return {1: "once", 2: "twice"}.get(count, f"{count} times")


def _change(times: Sequence[float], faces: Sequence[FaceResult]) -> Answer:
    parts = stretches(times, [face.emotion for face in faces])
    told = ", then ".join(f"{part.label} ({part.start:.2f} s to {part.end:.2f} s)" for part in parts[:8])
    more = f", and {len(parts) - 8} further changes" if len(parts) > 8 else ""
    return answered(f"{told[:1].upper()}{told[1:]}{more}.")
