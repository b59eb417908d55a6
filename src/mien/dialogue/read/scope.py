"""The one model of scope: which things of a sentence are denied, which are only supposed.

A *node* is what a reader looks for (an AU, a part, an action, an emotion). `find_scopes` goes once over the atoms of a
sentence and says of each node whether a denial or a hedge before it reaches it; `after` looks at the words behind one
("AU4 is absent", "AU12 may be present"). A denial runs along a list and ends at a contrast, a new clause, "with" …
"""

from __future__ import annotations

import re
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field

from mien.dialogue.read.lexicon import EXAMPLES
from mien.dialogue.read.scan import Atom

__all__ = [
    "DENIED",
    "EXCEPTED",
    "HEDGED",
    "NONE",
    "Heading",
    "Mark",
    "Scopes",
    "after",
    "find_scopes",
    "joined",
]

# "no" and "without" deny the things behind them, "not" and "never" the verb or adjective.
_VERBAL = frozenset(
    "not never cannot fail fails failed failing isn't aren't wasn't weren't doesn't don't didn't hasn't haven't can't "
    "won't could couldn't".split()
)
_END = r"(?=[.,;)|?:!-]|$|(?(mark)(?!)|[jrt][^x]))"
_ONE = r"[pcaFVE]"
_AFTER = re.compile(
    rf"[)fxl]*(?P<mark>[,:(-])?[)f]*(?:"
    rf"(?P<double>(?:[bh]f*)?n[fd]*z)"
    rf"|(?P<deny>(?<=c)z|(?:[bhx][fdjxb]*)?(?:z(?![fsdo]*{_ONE})|n[fbdh]*x(?![fsdo]*{_ONE})|n[fbh]*{_END}"
    rf"|n[fb]*(?P<vague>d)x?{_END})|!)"
    rf"|(?P<yes>\+)"
    rf"|(?P<hedge>y|q[fn]*[bh]?[fdbn]*(?:x|{_END})|b[fdn]*q(?:[fbd]*x|f*{_END}))"
    rf")"
)
_LIST = re.compile(r"[)fs]*(?:,[jr]?|[jr])[fsdonx(z]*")
_CLAUSE = re.compile(
    rf",?[jr]?[fsdxo]*(?:c{{1,4}}|{_ONE})(?:[fsdo]*[,jr][jr]?[fsdo]*{_ONE}){{0,3}}[fsdxqo]*(?:[bh]|n[bhxaz]|q[bh])"
    r"|,[jr]?[fw]{1,4}[bhg]|,?j[fd]*g"
)
_ABSENT = re.compile(rf"z[fu]*b?f*{_ONE}")
_SUBJECT = re.compile(r"(?<=c)c[fsdx]*[bh]")
_MORE = re.compile(r",?[jr]?[fdn]*[aV]")
_DEGREES_DENIED = 3
_ARTICLES = ("the", "his", "her", "their")
"""Denying a degree word that begins here or lower, alone behind "is not" ("not evident"), denies the thing itself."""


Mark = int
"""What is said of a node, as bits."""
NONE, DENIED, HEDGED, EXCEPTED = 0, 1, 2, 4
"""Bits of `Mark`. Excepted: taken out of what is said of all, so denied unless the others are."""


@dataclass(slots=True)
class Scopes:
    """Marks of the nodes of one sentence, and the heading that it leaves open."""

    marks: dict[int, Mark]
    """By place of the node's atom."""
    heading: Mark | None = None
    """Mark that a heading such as "Absent:" sets for what follows; None when the sentence has no heading."""
    before: bool = False
    """Ticks and crosses stand before what they mark."""
    opened: bool = False
    """The sentence begins with "instead of", "despite" … and a thing of its own."""


@dataclass(slots=True)
class _Reach:
    """One running denial or hedge."""

    kind: str = ""
    """``no``, ``not``, ``hedge``, ``implied``; empty when none runs."""
    seen: int = 0
    verb: bool = False
    """A verb came after a node: what the scope stood in is over."""
    words: int = 0
    lack: bool = False
    """It is a noun ("the lack of a smile")."""

    def start(self, kind: str) -> None:
        self.kind, self.seen, self.verb, self.words = kind, 0, False, 0


@dataclass(slots=True)
class Heading:
    """Which heading ("Absent:") the lines below it stand under."""

    mark: Mark = NONE
    fresh: bool = False
    stopped: bool = True

    def line(self, kind: str) -> None:
        if kind == "item" or self.fresh or (kind == "" and not self.stopped):
            return
        self.mark = NONE

    def sentence(self, opened: Mark | None, nodes: bool) -> None:
        if opened is not None:
            self.mark, self.fresh = (NONE, False) if nodes else (opened, True)
        elif nodes:
            self.fresh = False

    def end(self, closing: Atom) -> None:
        self.stopped = closing.kind != "|"
        if closing.kind == "|":
            self.line(str(closing.value))


def find_scopes(
    atoms: Sequence[Atom], kinds: str, first: int, last: int, nodes: frozenset[str], head: Mark
) -> Scopes:
    """Marks of all nodes between two places.

    Args:
        atoms: of the whole text.
        kinds: their kinds as one string.
        first: place of the sentence's first atom.
        last: one past its last.
        nodes: kinds that count as nodes.
        head: mark of the heading that the sentence stands under.
    """
    walk = _Walk(atoms, kinds, first, last, nodes, head, first)
    walk.scopes.opened = kinds[first] in "keO"
    for place in range(first, last):
        if kinds[place] in nodes:
            walk.node(place)
        elif kinds[place] in _STEPS:
            _STEPS[kinds[place]](walk, place)
    return walk.scopes


@dataclass(slots=True)
class _Walk:
    """One pass over a sentence."""

    atoms: Sequence[Atom]
    kinds: str
    first: int
    last: int
    nodes: frozenset[str]
    head: Mark
    segment: int
    """Where the current clause begins."""
    deny: _Reach = field(default_factory=_Reach)
    hedge: _Reach = field(default_factory=_Reach)
    scopes: Scopes = field(default_factory=lambda: Scopes({}))
    condition: bool = False
    gone: bool = False
    """Something was denied before: what an exception takes out of it is affirmed."""

    def node(self, place: int) -> None:
        """Mark a node by all that reaches it."""
        mark = self.head
        if self.scopes.opened and self.deny.seen and _SUBJECT.match(self.kinds, place, self.last):
            self.deny.kind = ""
        if self.deny.kind:
            mark = mark | HEDGED if self.deny.kind == "hedge" else mark ^ DENIED
            mark |= EXCEPTED if self.deny.kind == "except" else NONE
            self.deny.seen += 1
        if self.hedge.kind or self.condition:
            mark |= HEDGED
            self.hedge.seen += 1
        self.scopes.marks[place] = mark

    def word(self, _place: int) -> None:
        """A word of no meaning here: too many of them, and a scope has lost its object."""
        for reach, most in ((self.deny, 3 if self.deny.kind == "no" else 2), (self.hedge, 4)):
            if reach.kind and not reach.seen:
                reach.words += 1
                if reach.words > most:
                    reach.kind = ""

    def verb(self, place: int) -> None:
        """A verb ends the noun phrase that "no" denied; "suggests" only supposes what follows."""
        if self.kinds[place + 1 : place + 2] in (",", ".") and self.kinds[place] == "h":
            return  # A noun: "tense features, …".
        implied = self.kinds[place] == "i"
        if self.deny.kind == "no" and not self.deny.seen and self.deny.words and not implied:
            self.deny.kind = ""
        self.deny.verb = self.deny.verb or self.deny.seen > 0
        self.hedge.verb = self.hedge.verb or self.hedge.seen > 0
        if implied:
            self.hedge.start("implied")
        if self.kinds[place] == "h" and self.deny.kind == "no" and self.deny.seen:
            self.deny.kind = ""

    def denial(self, place: int) -> None:
        """ "No", "not", "rather than", "absent"; two in a row cancel out."""
        self.gone = True
        kind = self.kinds[place]
        behind = self.kinds[max(place - 1, self.first) : place]
        if kind == "z" and (behind in self.nodes or not _ABSENT.match(self.kinds, place, self.last)):
            return
        if kind == "n" and self.deny.kind and not self.deny.seen:
            self.deny.kind = ""
            return
        verbal = kind == "n" and str(self.atoms[place].value).split()[0] in _VERBAL
        self.deny.start("not" if verbal else "no")
        # "The lack of a smile and the lowered brows": another thing begins with an article of its own.
        article = self.atoms[place + 1].value if place + 1 < self.last else None
        self.deny.lack = str(self.atoms[place].value).endswith(" of") and article not in _ARTICLES

    def supposition(self, _place: int) -> None:
        """ "May", "possibly"."""
        self.hedge.start("hedge")

    def conditional(self, place: int) -> None:
        """ "If": to the end of the sentence; "would": as far as a hedge."""
        if self.atoms[place].value == "would":
            self.hedge.start("hedge")
        else:
            self.condition = True

    def exception(self, place: int) -> None:
        """ "Except AU4" says the opposite of what is said of the others; "apart from" says it only of a denial."""
        aside = str(self.atoms[place].value).split()[-1] in ("from", "than")
        self.deny.start("" if self.gone else "hedge" if aside else "except")
        if self.gone:
            self.hedge.kind = ""

    def choice(self, place: int) -> None:
        """ "Or" goes on with a list; "nor" denies by itself."""
        if self.atoms[place].value == "nor" and not self.deny.kind:
            self.deny.start("no")

    def taking_up(self, _place: int) -> None:
        """ "Does not match the smile" does not deny the smile."""
        self.deny.kind = ""

    def tick(self, place: int) -> None:
        """A tick or cross that stands before what it marks."""
        marks = self.atoms[place].value in (None, "before")
        behind = any(self.kinds[one] in self.nodes for one in range(max(place - 2, self.segment), place))
        if marks and (self.scopes.before or not behind):
            self.scopes.before = self.scopes.before or not self.scopes.marks
            if self.scopes.before:
                self.deny.start("no" if self.kinds[place] == "!" else "")

    def stop(self, place: int) -> None:
        """ "But", a semicolon or a dash ends everything."""
        words = self.kinds[self.segment : place]
        if self.kinds[place] == ";":
            self.segment = place + 1
        elif words.strip("fu") in ("z", "x", "nx"):
            self.colon(place)  # "Absent AUs - AU1".
        self.deny.kind = self.hedge.kind = ""

    def colon(self, place: int) -> None:
        """Words without a node before a colon are a heading."""
        words = self.kinds[self.segment : place]
        if len(words) <= 12 and not self.nodes.intersection(words):
            self.head = self.scopes.heading = _heading(words)
        self.deny.kind = self.hedge.kind = ""

    def link(self, place: int) -> None:
        """ "With", "which": another thing begins; a bracket closes."""
        closes = self.kinds[place] == ")"
        if (self.deny.seen > 0) != closes:
            self.deny.kind = ""
        if self.hedge.seen or self.kinds[place] != "T":
            self.hedge.kind = ""

    def joint(self, place: int) -> None:
        """A comma or "and" that does not go on with the list ends scopes; "or" goes on."""
        kinds, kind = self.kinds, self.kinds[place]
        deny, hedge = self.deny, self.hedge
        if kinds[place - 1] in "xz":
            # "AU9 was not detected, AU10 was": what was denied stood in front.
            deny.kind, hedge.kind = (one.kind if one.seen else "" for one in (deny, hedge))
        follows = kinds[place + 1 : place + 2]
        example = follows == "f" and self.atoms[place + 1].value in EXAMPLES
        if not (deny.kind or hedge.kind) or (kind == "," and (follows == "r" or example)):
            return
        clause = _CLAUSE.match(kinds, place, self.last) is not None
        comma = hedge.kind == "implied" and kind == ","
        if hedge.kind and (clause or comma or (hedge.seen and hedge.verb)):
            hedge.kind = "" if hedge.seen or kinds[place - 1] not in "nqk" else hedge.kind
        if deny.kind and not deny.seen:
            lost = clause or kind == ","
            deny.kind = "" if lost and kinds[place - 1] not in "nqk" else deny.kind
        elif deny.kind == "not":
            more = _MORE.match(kinds, place, self.last) or (kind == "j" and follows == "c")
            deny.kind = "" if deny.verb or clause or not more else deny.kind
        elif deny.kind:
            opens = kinds[self.first : self.first + 2].lstrip("f")[:1] == "n"
            subject = kind == "j" and not deny.verb and opens
            own = follows == "f" and self.atoms[place + 1].value in _ARTICLES
            lack = kind == "j" and own and deny.lack
            only = follows == "f" and self.atoms[place + 1].value in ("only", "just")
            other = kind == "," and (only or follows in tuple("tTigw"))
            deny.kind = "" if deny.verb or other or lack or (clause and not subject) else deny.kind


_STEPS: dict[str, Callable[[_Walk, int], None]] = {
    "w": _Walk.word, **dict.fromkeys("bhig", _Walk.verb), **dict.fromkeys("nkz", _Walk.denial),
    "q": _Walk.supposition, "y": _Walk.conditional, "e": _Walk.exception, "M": _Walk.taking_up, "r": _Walk.choice,
    "+": _Walk.tick, "!": _Walk.tick, ";": _Walk.stop, "-": _Walk.stop, ":": _Walk.colon,
    **dict.fromkeys("tT)", _Walk.link), ",": _Walk.joint, "j": _Walk.joint,
}  # fmt: skip


def _heading(words: str) -> Mark:
    """Mark of a heading without nodes: "Absent", "Not present", "Active AUs", "Possible"."""
    if words.strip("f") == "!":
        return DENIED
    odd = (words.count("z") + words.count("n")) % 2 == 1
    if odd and ("z" in words or "x" in words or len(words) <= 3):
        return DENIED
    return HEDGED if "q" in words and len(words) <= 4 else NONE


def after(atoms: Sequence[Atom], kinds: str, place: int, last: int, before: bool = False) -> Mark | None:
    """What the words behind the node at ``place`` say of it; None when they say nothing.

    Args:
        atoms: of the whole text.
        kinds: their kinds.
        place: of the node.
        last: end of the sentence.
        before: ticks belong to the next node (`Scopes.before`).
    """
    match = _AFTER.match(kinds, place + 1, last)
    if match is None or (before and kinds[match.end() - 1] in "+!"):
        return None
    if match["hedge"]:
        return HEDGED
    if match["vague"]:
        low, _ = atoms[match.start("vague")].value
        return DENIED if low <= _DEGREES_DENIED else HEDGED
    return DENIED if match["deny"] else NONE


def joined(kinds: str, one: int, other: int) -> bool:
    """Whether only a comma, "and" or "or" stands between two nodes."""
    return kinds[one:other] == "c" or _LIST.fullmatch(kinds, one + 1, other) is not None
