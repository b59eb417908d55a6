"""Statements about movements: parts beside actions, AU codes and names, each with side, degree and scope.

A part takes the action that a phrase or clause ties to it ("furrowed brows and raised cheeks": each its own), a list of
parts shares one ("the cheeks and lip corners are raised"), a list of actions one part ("raised and drawn together").
FACS and FEAFA are two views of the same statements.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from dataclasses import dataclass
from typing import NamedTuple

from mien.core.aus import AUS
from mien.dialogue.read.levels import Levels, level_at
from mien.dialogue.read.lexicon import DEFAULT_PARTS, Act, Move, movement_of
from mien.dialogue.read.phrases import compose, numbers_as_codes
from mien.dialogue.read.scan import Atom, Code, Side, scan, sentences
from mien.dialogue.read.scope import DENIED, EXCEPTED, HEDGED, NONE, Heading, Mark, after, find_scopes, joined

__all__ = ["ANSWER", "Statement", "find_statements"]

_HIGHEST_DENIED = 2
"""Denying a degree whose range starts here or lower ("not noticeably raised") denies the movement itself; denying
a higher one ("not strongly raised") neither claims nor denies it, and is only a hedge."""


class Statement(NamedTuple):
    """One thing said of a movement."""

    move: Move
    denied: bool
    """Whether the movement is said to be absent; the sense of its own words ("closed lips") is in it."""
    hedged: bool
    """Only supposed, asked, or true under a condition."""
    level: Levels | None
    side: Side
    start: int
    end: int
    code: bool
    """Named by its number."""


_NODES = frozenset("caVFp")
_NUMBERED = {key: Move((key,), ()) for key in AUS}
_NEAR = re.compile(r"[fsdox(-]*")
_TIED = re.compile(
    r"(?:[,-][fwos;]{1,5}[,-]|\([^()]{0,8}\))?,?T?:?[fsdnqxy]*"
    r"(?:(?<=:)|(?<=:[fsdnqxy])|(?<=:[fsdnqxy]{2})|b[fsdnqxlobhTy]*(?:w[fsdnqxbh]*j?[fd]*){0,2}|[hn][fsdnqxlobhTy]*)"
)
_CHAIN = re.compile(r"[fdos]*(?:,[jr]?|[jr]|,?;|,?k|,?;?n)[fsdnqxb]*")
_LEVEL_OF = re.compile(r"l[of]{1,2}$")
"""Words before a code that give it the number behind it: "the intensity of AU4 is 2"."""
_DEGREE = re.compile(r"\)?[,:(-]?[ftohbxls]*(?P<degree>d(?:[fr]d)*)(?=[fxlb]*(?:[.,;()|?:jrtT-]|$))")
_LOOKS = frozenset(("appearance", "look", "impression", "effect"))
_PLACE = re.compile(r"[)fobxdlwh]{0,5}of?s")
_AGREED = re.compile(r"(?:definitely|certainly|absolutely|clearly|sure|both|all)\W*", re.IGNORECASE)
_ECHO = re.compile(r"[fsbh]*(?:(?P<no>n)[fb]*(?=[.,;|]|$)|M)")
ANSWER = re.compile(
    r"(?:[wf]{1,2}:)?f*(?:(?P<yes>\+|(?:w?b)?f*x(?=[.,;|]|$)|wb(?=[.,;|]|$))"
    r"|(?P<no>!|(?:w?b)?n[fobx]*(?=[.,;|]|$)|(?:wb)?z))"
)


@dataclass(slots=True)
class _Item:
    """A statement under construction, with the places of its first and last node."""

    move: Move
    low: int
    high: int
    negated: bool
    hedged: bool
    level: Levels | None
    side: Side
    start: int
    end: int
    action: str = ""
    excepted: bool = False
    code: bool = False
    spread: Levels | None = None
    """Level that words behind it give to all of its list."""
    clause: bool = False
    """A verb ties its words, so that words behind it speak of it alone."""

    def mark(self, mark: Mark) -> None:
        """What words behind it, or behind its list, say."""
        if self.excepted and bool(mark & DENIED):
            mark = NONE
        if bool(mark & HEDGED):
            self.hedged = True
        else:
            self.negated = bool(mark & DENIED)

    def settle(self) -> Statement:
        absent = self.negated != self.move.denies
        level = None if absent or self.level is None else (max(self.level[0], 1), max(self.level[1], 1))
        return Statement(
            self.move, absent, self.hedged, level, self.side, self.start, self.end, self.code
        )  # fmt: skip


def find_statements(text: str) -> list[Statement]:
    """All statements of ``text`` in the order of their words."""
    atoms = numbers_as_codes(compose(scan(text)))
    kinds = "".join(atom.kind for atom in atoms)
    found: list[Statement] = []
    asked = 0
    heading = Heading()
    for first, last in sentences(atoms):
        closing = atoms[last - 1]
        if last - first == 1 and closing.kind == "|":
            heading.line(str(closing.value))
            continue
        if asked:
            answer = ANSWER.match(kinds, first, last)
            agrees = _AGREED.fullmatch(text, atoms[first].start, closing.end) is not None
            if answer is not None or agrees:
                no = answer is not None and answer["no"] is not None
                found[-asked:] = [
                    one._replace(denied=one.denied != no, hedged=False) for one in found[-asked:]
                ]
            asked = 0
        nodes = [place for place in range(first, last) if kinds[place] in _NODES]
        if nodes or ":" in kinds[first:last]:
            scopes = find_scopes(atoms, kinds, first, last, _NODES, heading.mark)
            heading.sentence(scopes.heading, bool(nodes))
            items = _Sentence(
                text, atoms, kinds, last, nodes, scopes.marks, scopes.before, scopes.opened
            ).items()
            settled = [item.settle() for item in items]
            if closing.kind == "?":
                settled = [one._replace(hedged=True) for one in settled]
                asked = len(settled)
            found += settled
        heading.end(closing)
    return found


@dataclass(slots=True)
class _Sentence:
    """One sentence while its nodes are tied to statements."""

    text: str
    atoms: list[Atom]
    kinds: str
    last: int
    nodes: list[int]
    marks: dict[int, Mark]
    before: bool
    opened: bool
    """It begins with "instead of", "despite" … and a thing of its own."""

    def items(self) -> list[_Item]:
        """Its statements, in order."""
        kinds, nodes = self.kinds, self.nodes
        items: list[_Item] = []
        tied: dict[int, list[int]] = {}
        """Place of an action's node -> its parts, when a clause or compound ties them."""
        for place, node in enumerate(nodes):
            kind = kinds[node]
            if kind == "c":
                items.append(self._code(node))
            elif kind == "F":
                part, action = self.atoms[node].value
                move = movement_of(part, action)
                if move is not None:
                    items.append(self._item(move, [node], False, (node, node)))
            elif kind in "aV":
                items += self._action(place, tied)
            elif kind == "p" and items:
                items += self._echo(place, items[-1])
        items.sort(key=lambda item: (item.start, item.end))
        self._look_behind(items)
        return items

    # -- codes -------------------------------------------------------------------------------------

    def _listed(self, node: int) -> bool:
        """Whether nothing but another code stands behind a node."""
        return self.kinds[node + 1 : node + 2] == "c"

    def _code(self, node: int) -> _Item:
        atom = self.atoms[node]
        code: Code = atom.value
        mark = self.marks[node]
        item = _Item(
            _NUMBERED[code.au], node, node, bool(mark & DENIED), bool(mark & HEDGED), code.level,
            code.side, atom.start, atom.end, excepted=bool(mark & EXCEPTED), code=True,
        )  # fmt: skip
        if self.kinds[max(node - 1, 0) : node] != "c" or not self._listed(node):
            item.side = item.side or self._side(node)
            if item.level is None:
                self._level(item, self._before(node))
        return item

    # -- parts and actions -------------------------------------------------------------------------

    def _part(self, place: int) -> str:
        """The part at a node; "the right one" is the part named before."""
        value = str(self.atoms[self.nodes[place]].value)
        while value == "same" and place > 0:
            place -= 1
            if self.kinds[self.nodes[place]] == "p":
                value = str(self.atoms[self.nodes[place]].value)
        return value

    def _near(self, one: int, other: int) -> bool:
        return _NEAR.fullmatch(self.kinds, self.nodes[one] + 1, self.nodes[other]) is not None

    def _gap(self, one: int, other: int) -> str:
        return self.kinds[self.nodes[one] + 1 : self.nodes[other]]

    def _action(self, place: int, tied: dict[int, list[int]]) -> Iterator[_Item]:
        """Statements of the action at one node, by the parts it belongs to."""
        node = self.nodes[place]
        act: Act = self.atoms[node].value
        known, clause = self._left(place, act, tied)
        left = [part for part in known if movement_of(self._part(part), act.action)]
        right = self._right(place, act, tied, bool(left))
        if left and right:
            gap = self._gap(place - 1, place)
            verb = "b" in gap or "n" in gap
            behind = self._gap(place, right[0])
            if self.kinds[self.nodes[place - 1]] != "p":
                keep_left = False
            elif clause and not ("h" in gap and "b" not in gap):
                keep_left = "j" not in gap
            elif clause:
                keep_left = False
            else:
                keep_left = (gap == "" and not ("f" in behind or "o" in behind)) or verb
            left, right = (left, []) if keep_left else ([], right)
        if known and (left or not right):
            tied[place] = known
        parts = left or right
        if not parts:
            yield from self._alone(place, act)
            return
        for part in parts:
            move = movement_of(self._part(part), act.action)
            if move is not None:
                nodes = [self.nodes[one] for one in (*parts, place)]
                item = self._item(move, nodes, clause and bool(left), (self.nodes[part], node))
                item.action = act.action
                item.hedged = item.hedged or self._only_looks(node, act)
                yield item

    def _left(self, place: int, act: Act, tied: dict[int, list[int]]) -> tuple[list[int], bool]:
        """Parts in front that the action belongs to, and whether a verb ties them."""
        if not place:
            return [], False
        before, kind = place - 1, self.kinds[self.nodes[place - 1]]
        if kind in "aV" and before in tied:
            if _CHAIN.fullmatch(self.kinds, self.nodes[before] + 1, self.nodes[place]):
                return tied[before], True
            return [], False
        if kind != "p":
            return [], False
        gap = self._gap(before, place)
        near = self._near(before, place) and "o" not in gap
        part = self._part(before)
        gazes = "eye" in part and act.action in ("up", "down", "turnup", "turndown")
        if (act.action == "tight" or gazes) and "look" in self.text[
            self.atoms[self.nodes[before]].end : self.atoms[self.nodes[place]].start
        ]:
            return [], False  # An impression: "the brows look tense"; a gaze: "the eyes look down".
        clause = (
            not near and _TIED.fullmatch(self.kinds, self.nodes[before] + 1, self.nodes[place]) is not None
        )
        alone = (
            self.kinds[self.nodes[place]] == "V" and self.kinds[self.nodes[place] + 1 : self.nodes[place] + 2]
        )
        if not near and (not clause or (alone and alone not in ".,;)|j?")):
            return [], False
        parts = [before]
        while parts[-1] > 0 and self.kinds[self.nodes[parts[-1] - 1]] == "p":
            one = parts[-1] - 1
            if not joined(self.kinds, self.nodes[one], self.nodes[parts[-1]]):
                break
            gap = self._gap(one, before)
            if len(parts) == 1 and not set("jr") & set(gap):
                break
            if near and ("d" in gap or self._aside(one, before)):
                break
            if one > 0 and self.kinds[self.nodes[one - 1]] in "aV" and self._near(one - 1, one):
                break
            parts.append(one)
        return parts[::-1], clause

    def _aside(self, one: int, other: int) -> bool:
        """Whether two parts are joined by more than "and": "the brows, along with a jaw drop"."""
        ends = self.nodes[one] + 1, self.nodes[other]
        return any(self.atoms[at].kind == "j" and " " in str(self.atoms[at].value) for at in range(*ends))

    def _modifies(self, node: int) -> bool:
        """Whether a part only describes the next noun: "lip movements"."""
        return self.kinds[node + 1 : node + 2] == "w" and self.text[self.atoms[node].end - 1] not in "sS"

    def _right(self, place: int, act: Act, tied: dict[int, list[int]], has_left: bool) -> list[int]:
        """Parts behind that the action stands before: "raised cheeks and lip corners", "raising of the brows"."""
        nodes, kinds = self.nodes, self.kinds
        first = place + 1
        while not has_left and first < len(nodes) and first < place + 4 and kinds[nodes[first]] in "aV":
            if "o" in self._gap(first - 1, first) or not (
                self._near(first - 1, first) or _CHAIN.fullmatch(kinds, nodes[first - 1] + 1, nodes[first])
            ):
                return []
            first += 1
        if first >= len(nodes) or kinds[nodes[first]] != "p" or not self._near(first - 1, first):
            return []
        if movement_of(self._part(first), act.action) is None:
            return []
        parts = [first]
        while parts[-1] + 1 < len(nodes) and kinds[nodes[parts[-1] + 1]] == "p":
            one = parts[-1] + 1
            gap = self._gap(parts[-1], one)
            if not joined(kinds, nodes[parts[-1]], nodes[one]) or (
                "f" in gap and "o" not in self._gap(place, first)
            ):
                break
            if one + 1 < len(nodes) and kinds[nodes[one + 1]] in "aV" and self._owns(one):
                break
            if self._modifies(nodes[one]):
                break
            parts.append(one)
        return [part for part in parts if movement_of(self._part(part), act.action)]

    def _owns(self, part: int) -> bool:
        """Whether the part has an action of its own behind it."""
        act: Act = self.atoms[self.nodes[part + 1]].value
        if movement_of(self._part(part), act.action) is None:
            return False
        ends = self.nodes[part] + 1, self.nodes[part + 1]
        return (
            _NEAR.fullmatch(self.kinds, *ends) is not None or _TIED.fullmatch(self.kinds, *ends) is not None
        )

    def _alone(self, place: int, act: Act) -> Iterator[_Item]:
        """An action that needs no part: "a frown", "without furrowing"; "to smile" is only an intention."""
        node = self.nodes[place]
        before = self.atoms[node - 1] if node else None
        if not act.alone or (before is not None and before.kind == "f" and before.value == "to"):
            return
        back = range(place - 1, max(place - 4, -1), -1)
        last = next((self.nodes[one] for one in back if self.kinds[self.nodes[one]] == "p"), None)
        part = str(self.atoms[last].value) if last is not None else ""
        move = movement_of(part, act.action)
        side = self._side(last) if move is not None and last is not None else None
        move = move or movement_of(DEFAULT_PARTS[act.action], act.action)
        if move is not None:
            item = self._item(move, [node], False, (node, node))
            item.side = item.side or side
            item.hedged = item.hedged or self._only_looks(node, act)
            yield item

    def _only_looks(self, node: int, act: Act) -> bool:
        """Whether an action is an impression: "a furrowed look" is what raised brows make, and not yet a frown."""
        ahead = self.atoms[node + 1] if node + 1 < self.last else None
        word = "" if ahead is None else self.text[ahead.start : ahead.end].lower()
        return act.action == "furrow" and word in _LOOKS

    def _echo(self, place: int, last: _Item) -> Iterator[_Item]:
        """A part without an action that takes up the last one: "the right one is not", "the left brow mirrors this"."""
        node = self.nodes[place]
        match = _ECHO.match(self.kinds, node + 1, self.last)
        if match is None or last.code:
            return
        move = movement_of(self._part(place), last.action)
        if move is None:
            return
        item = self._item(move, [node], False, (node, node))
        item.action, item.level = last.action, None if match["no"] else last.level
        item.negated = match["no"] is not None
        yield item

    def _item(self, move: Move, nodes: list[int], clause: bool, pair: tuple[int, int]) -> _Item:
        """A statement whose words lie between the outermost nodes; ``pair`` are its part and its action."""
        low, high = min(nodes), max(nodes)
        part, action = pair
        # An attributive action lends its scope to its part: in "raised instead of lowered brows" only one is denied.
        mark = self.marks[action]
        if part < action or part != min((node for node in nodes if node > action), default=part):
            mark |= self.marks[part]
        item = _Item(
            move, low, high, bool(mark & DENIED), bool(mark & HEDGED), None, self._side(part),
            self.atoms[low].start, self.atoms[high].end, excepted=bool(mark & EXCEPTED), clause=clause,
        )  # fmt: skip
        degrees = [one for one in range(min(pair) + 1, max(pair)) if self.kinds[one] == "d"]
        if not clause:
            degrees = self._before(low) + degrees
        elif not degrees and action != low:
            degrees = [one for one in range(max(low, action - 4), action) if self.kinds[one] == "d"]
        self._level(item, degrees)
        return item

    # -- degrees and sides -------------------------------------------------------------------------

    def _before(self, node: int) -> list[int]:
        """Degree words right before a node."""
        found: list[int] = []
        place = node - 1
        while place >= 0 and place > node - 6 and self.kinds[place] in "fsdxo-":
            if self.kinds[place] == "d":
                found.append(place)
            place -= 1
        return found[::-1]

    def _level(self, item: _Item, degrees: list[int]) -> None:
        """Set the level from degree words in or before the statement, else from words or numbers behind it."""
        spread = False
        if not degrees:
            match = _DEGREE.match(self.kinds, item.high + 1, self.last)
            if (
                match is not None
                and "look" in self.text[self.atoms[item.high].end : self.atoms[match.end("degree") - 1].start]
            ):
                match = None
            if match is not None and "n" not in self.kinds[item.high + 1 : match.start("degree")]:
                degrees = [place for place in range(*match.span("degree")) if self.kinds[place] == "d"]
                item.end = max(item.end, self.atoms[degrees[-1]].end)
                spread = bool({"b", "s"} & set(match.group()))
        if degrees:
            ranges = [self.atoms[place].value for place in degrees]
            item.level = min(low for low, _ in ranges), max(high for _, high in ranges)
            item.start = min(item.start, self.atoms[degrees[0]].start)
            item.spread = item.level if spread else None
            if item.negated and item.level[0] > _HIGHEST_DENIED:
                item.hedged = True
        # A number counts before words: "slightly raised (0.31)".
        named = _LEVEL_OF.search(self.kinds, max(item.low - 4, 0), item.low) is not None
        number = level_at(self.text, max(item.end, self.atoms[item.high].end), named)
        if number is not None:
            item.level, item.end = number.levels, number.end
            item.spread = number.levels if number.spread else None
            if item.level == (0, 0) and (item.code or not number.some):
                item.negated, item.level = True, None

    def _side(self, node: int) -> Side:
        """The side named right before a part or code, else right behind it."""
        place = node - 1
        while place >= 0 and place > node - 6 and self.kinds[place] in "fsdxaV":
            if self.kinds[place] == "s":
                return _side_of(self.atoms[place])
            place -= 1
        behind = _PLACE.match(self.kinds, node + 1, self.last)
        return None if behind is None else _side_of(self.atoms[behind.end() - 1])

    # -- what stands behind ------------------------------------------------------------------------

    def _look_behind(self, items: list[_Item]) -> None:
        """Apply what words behind statements say, also to those that a list joins with them."""
        mark: Mark | None = None
        spread: Levels | None = None
        for place in reversed(range(len(items))):
            item = items[place]
            listed = self._listed(item.high) and not self.opened
            own = None if listed else after(self.atoms, self.kinds, item.high, self.last, self.before)
            linked = listed or (place + 1 < len(items) and self._linked(item, items[place + 1]))
            same = place + 1 < len(items) and items[place + 1].high == item.high
            if own is not None:
                mark = own
            elif not same and (item.clause or not linked):
                mark = None
            if mark is not None:
                item.mark(mark)
            if item.level is not None or item.spread is not None or not linked:
                spread = item.spread
            elif spread is not None and item.level is None and item.code:
                item.level, item.negated = (None, True) if spread == (0, 0) else (spread, item.negated)

    def _linked(self, one: _Item, other: _Item) -> bool:
        """Whether a list joins two statements, or the second names the first: "AU6 (cheek raiser)"."""
        if joined(self.kinds, one.high, other.low):
            # "Despite AU12, AU6 is missing": the comma ends what opens the sentence.
            return not self.opened or not one.code or "," not in self.text[one.end : other.start]
        return one.move.aus == other.move.aus and self.kinds[one.high + 1 : other.low] in (
            "",
            "(",
            "-",
            ":",
            "f",
        )


def _side_of(atom: Atom) -> Side:
    words = str(atom.value)
    left, right = "left" in words, "right" in words
    return None if left == right else "left" if left else "right"
