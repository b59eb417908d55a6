"""Atoms that belong together become one: a motion with its direction, a bare number that goes on with a list of AUs."""

from __future__ import annotations

import re

from mien.core.aus import AUS, au_key
from mien.dialogue.read.lexicon import Act
from mien.dialogue.read.scan import Atom, Code

__all__ = ["compose", "numbers_as_codes"]


def compose(atoms: list[Atom]) -> list[Atom]:
    """Join motions with their directions ("pulled slightly upward", "upward pull", "pulling the corners down")."""
    made: list[Atom] = []
    place, count = 0, len(atoms)
    while place < count:
        atom = atoms[place]
        kind = atom.kind
        place += 1
        if kind not in "mavs":
            made.append(atom)
        elif kind == "v":
            place = _from_direction(atoms, place, made)
        elif kind == "s":
            one = atoms[place] if place < count else None
            if one is not None and one.kind == "f" and one.value in ("one", "ones"):
                place += 1
                made += [atom, Atom("p", atom.start, one.end, "same")]
            else:
                made.append(atom)
        elif atom.value.motion:
            place = _from_motion(atoms, place, made)
        else:
            made.append(atom)
    return made


def _points(atoms: list[Atom], place: int) -> bool:
    """Whether a direction stands there; "in" before a noun is a preposition."""
    if place >= len(atoms) or atoms[place].kind != "v":
        return False
    whole = atoms[place].value != "in" or atoms[place].end - atoms[place].start > 2
    return whole or place + 1 >= len(atoms) or atoms[place + 1].kind in ",.;:)(|jrdb?tT-"


def _directions(atoms: list[Atom], place: int) -> tuple[list[str], int]:
    """Directions from there on ("back and up"), and the place behind them."""
    found: list[str] = []
    while _points(atoms, place):
        found.append(str(atoms[place].value))
        place += 1
        ahead = place
        while ahead < len(atoms) and ahead < place + 3 and atoms[ahead].kind in ",jfd":
            ahead += 1
        if ahead > place and _points(atoms, ahead):
            place = ahead
    return found, place


def _act(directions: list[str], motion: Atom) -> Act:
    """The action of a motion: "pushed outward" is another one than "pulled outward"."""
    if "outward" in directions:
        pushes = motion.value.action in ("push", "out", "thrust")
        directions = [("out" if pushes else "side") if one == "outward" else one for one in directions]
    first = next((one for one in ("turnup", "turndown", "together") if one in directions), directions[0])
    return Act(first, True, False)


def _from_motion(atoms: list[Atom], place: int, made: list[Atom]) -> int:
    """Append what a motion just before ``place`` comes to; returns where to go on."""
    atom = atoms[place - 1]
    ahead = place
    while ahead < len(atoms) and ahead < place + 4 and atoms[ahead].kind in "fdx":
        ahead += 1
    found, behind = _directions(atoms, ahead)
    if found:
        made += [one for one in atoms[place:ahead] if one.kind == "d"]
        made.append(Atom("a", atom.start, atoms[behind - 1].end, _act(found, atom)))
        return behind
    part = next((at for at in range(place, min(place + 4, len(atoms))) if atoms[at].kind not in "fsd"), None)
    if part is not None and atoms[part].kind == "p":
        ahead = part + 1
        while ahead < len(atoms) and ahead < part + 3 and atoms[ahead].kind in "fd":
            ahead += 1
        found, behind = _directions(atoms, ahead)
        if found:
            made.append(Atom("a", atom.start, atom.end, _act(found, atom)))
            made += atoms[place:ahead]
            return behind
    act: Act = atom.value
    if act.action == "slide":
        if place < len(atoms) and atoms[place].value in ("left", "right"):
            act, place = Act(str(atoms[place].value), False, False), place + 1
        elif made and made[-1].value in ("left", "right"):
            act = Act(str(made.pop().value), False, False)
    made.append(Atom("a" if act.action else "w", atom.start, atoms[place - 1].end, act))
    return place


def _from_direction(atoms: list[Atom], place: int, made: list[Atom]) -> int:
    """The same for a direction just before ``place``: "upward pull", or alone ("downward lip corners")."""
    atom = atoms[place - 1]
    found, behind = _directions(atoms, place - 1)
    ahead = behind
    while ahead < len(atoms) and ahead < behind + 2 and atoms[ahead].kind in "fd":
        ahead += 1
    motion = atoms[ahead] if found and ahead < len(atoms) else None
    if motion is not None and motion.kind in "ma" and motion.value.motion:
        made += [one for one in atoms[behind:ahead] if one.kind == "d"]
        made.append(Atom("a", atom.start, motion.end, _act(found, motion)))
        return ahead + 1
    value = str(atom.value)
    if value in ("left", "right"):
        made.append(Atom("s", atom.start, atom.end, value))
    elif (
        found
        and value in ("turnup", "turndown", "together", "open")
        and not (place < len(atoms) and atoms[place].value == "to")
    ):
        made.append(Atom("V", atom.start, atom.end, Act(value, False, False)))
    else:
        made.append(Atom("o", atom.start, atom.end, value))
    return place


_BARE = re.compile(r"(?P<lead>u[fxznbholT]{0,4}:?|[knr]f?)(?P<list>#(?:(?:,[jr]?|[jr])f?#)*)")


def numbers_as_codes(atoms: list[Atom]) -> list[Atom]:
    """Numbers that go on with a list of AUs ("AU 1, 2 but not 5", "AUs present: 6 and 12") become codes."""
    kinds = "".join(atom.kind for atom in atoms)
    if "#" not in kinds or not ("c" in kinds or "u" in kinds):
        return atoms
    for match in _BARE.finditer(kinds):
        places = [place for place in range(*match.span("list")) if kinds[place] == "#"]
        keys = [au_key(int(atoms[place].value)) for place in places]
        known = all(
            key in AUS and atoms[place].end - atoms[place].start <= 2
            for key, place in zip(keys, places, strict=True)
        )
        led = match["lead"].startswith("u") or "c" in kinds[max(match.start() - 8, 0) : match.start()]
        if known and led:
            for key, place in zip(keys, places, strict=True):
                atoms[place] = atoms[place]._replace(kind="c", value=Code(key, None, None))
    return atoms
