"""One lexicon of facial language: parts, actions, small words of scope, emotion words, and what they come to.

Words stand in families of one *kind* (a letter); `LEXICON` maps a first word to its phrases, longest first. A movement
is a part beside an action; `movement_of` gives its FACS units and FEAFA's name for it, from one table.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from functools import cache
from itertools import product
from types import MappingProxyType
from typing import NamedTuple

from mien.dialogue.read.degrees import DEGREES

__all__ = [
    "DEFAULT_PARTS",
    "EXAMPLES",
    "LEXICON",
    "Act",
    "Entry",
    "Move",
    "movement_of",
    "phrases_of",
    "table_of",
]

Entry = tuple[tuple[str, ...], str, object]
"""(words of the phrase, kind, value)."""

_IRREGULAR = {
    "draw": "draw draws drew drawn drawing", "rise": "rise rises rose risen rising",
    "knit": "knit knits knitted knitting", "shut": "shut shuts shutting", "bring": "bring brings brought bringing",
    "drop": "drop drops dropped dropping", "sag": "sag sags sagged sagging", "tug": "tug tugs tugged tugging",
    "come": "come comes came coming", "blow": "blow blows blown blew blowing", "jut": "jut juts jutted jutting",
    "show": "show shows showed shown showing", "see": "see sees seen saw seeing",
    "hold": "hold holds held holding", "drag": "drag drags dragged dragging", "grin": "grin grins grinned grinning",
    "bend": "bend bends bent bending", "spread": "spread spreads spreading", "slide": "slide slides slid sliding",
    "funnel": "funnel funnels funneled funnelled funneling funnelling", "dip": "dip dips dipped dipping",
}  # fmt: skip


def _forms(verb: str) -> list[str]:
    """The forms of a verb; irregular ones from a table."""
    if verb in _IRREGULAR:
        return _IRREGULAR[verb].split()
    stem = verb[:-1] if verb.endswith("e") else verb
    third = verb + ("es" if re.search(r"(?:s|sh|ch|x|z)$", verb) else "s")
    return [verb, third, f"{stem}ed", f"{stem}ing"]


def phrases_of(source: str) -> Iterator[str]:
    """Phrases of a list with ``|`` between; ``raise*`` stands for all forms of the verb."""
    for phrase in source.split("|"):
        words = [_forms(word[:-1]) if word.endswith("*") else [word] for word in phrase.split()]
        heads: list[str] = [""]
        for choices in words:
            heads = [f"{head} {choice}".strip() for head in heads for choice in choices]
        yield from heads


_PARTS = {
    "brow": "brow|brows|eyebrow|eyebrows|eye brow|eye brows",
    "lid": "lid|lids|eyelid|eyelids|eye lid|eye lids|upper and lower eyelids|upper and lower lids",
    "eye": "eye|eyes|eye aperture|palpebral fissure",
    "nose": "nose|nostril|nostrils|bridge of the nose|nose bridge|nasal bridge|nasal|nasal root|root of the nose",
    "cheek": "cheek|cheeks|cheekbone|cheekbones|cheek area|cheek region|cheek muscle|cheek muscles",
    "nasolabial": (
        "nasolabial fold|nasolabial folds|nasolabial furrow|nasolabial furrows|nasolabial lines|nasolabial"
    ),
    "lips": "lips|lip|both lips",
    "mouth": "mouth",
    "jaw": "jaw|jaws|lower jaw|mandible",
    "chin": "chin|chin boss",
    "upper lid": "upper lid|upper lids|upper eyelid|upper eyelids",
    "lower lid": "lower lid|lower lids|lower eyelid|lower eyelids",
    "upper lip": "upper lip|upper lips|top lip",
    "lower lip": "lower lip|lower lips|bottom lip",
    "corner": "corners|lip corner of the mouth|lip corners of the mouth",
    "inner brow": "inner ones",
    "outer brow": "outer ones",
    "forehead": "forehead|glabella",
}
_BROW_ENDS = (
    "corner|corners|end|ends|part|parts|portion|portions|edge|edges|half|halves|third|thirds|section|sections"
)


_OF = ("of", "of the", "of both", "of his", "of her", "of their", "of its", "of the left", "of the right")
_BROWS = ("brow", "brows", "eyebrow", "eyebrows")


def _pieces(owners: Iterable[str], pieces: Iterable[str], where: str = "") -> Iterator[str]:
    """A piece of a part in every order: "inner brow corner", "brow inner corner", "inner corner of the brow"."""
    where = f"{where} " if where else ""
    for owner, piece in product(owners, pieces):
        yield f"{where}{owner} {piece}"
        yield f"{owner} {where}{piece}"
        yield from (f"{where}{piece} {of} {owner}" for of in _OF)


def _part_phrases() -> Iterator[tuple[str, str]]:
    for part, source in _PARTS.items():
        yield from ((phrase, part) for phrase in phrases_of(source))
    for where in ("inner", "outer"):
        own = [f"{where} {brow}" for brow in _BROWS]
        yield from (
            (phrase, f"{where} brow") for phrase in (*own, *_pieces(_BROWS, _BROW_ENDS.split("|"), where))
        )
    for brow in ("brows", "eyebrows", "corners of the brows", "corners of the eyebrows", "ends of the brows"):
        yield from ((phrase, "brow") for phrase in (f"inner and outer {brow}", f"outer and inner {brow}"))
    ends = ("corner", "corners", "edges")
    for where in ("", "outer"):
        yield from ((phrase, "corner") for phrase in _pieces(("mouth", "lips", "lip"), ends, where))
        yield from ((phrase, "eye corner") for phrase in _pieces(("eye", "eyes"), ends, where))


_ACTIONS = {
    "up": (
        "raise*|lift*|elevate*|elevation|elevations|rise*|rose|raiser|raisers|uplift*|heighten*|higher|hike*|"
        "raise* up|lift* up|rise* up|cock*|go* up|goes up|went up"
    ),
    "turnup": "upturn*|upcurved",
    "down": (
        "lower*|lowerer|depress*|depression|depressor|drop*|droop*|droopy|sag*|fall|falls|fallen|falling|dip*|"
        "descend*|descent|lower* down|drop* down"
    ),
    "turndown": "downturn*|downcurved",
    "furrow": "furrow*|knit*|contract*|contraction|corrugate*|bunch*|crease*|pinch*",
    "frown": "frown*|scowl*|glower*",
    "arch": "arch*",
    "wide": "widen*|wide|wider|enlarge*|bulge*|pop* out|pop* open",
    "wideopen": (
        "wide open|wide opened|open* wide|open* widely|widely open|widely opened|gape*|agape|opened very wide"
    ),
    "close": "close*|closure|closures|shut*|seal*",
    "narrow": "narrow*|squint*|slit|slits",
    "tight": "tighten*|tightener|tight|tightness|tense*|tension|taut",
    "wrinkle": "wrinkle*|wrinkler|crinkle*|scrunch*|scrunch* up|wrinkle* up|crinkle* up",
    "deepen": "deepen*|deepener|deep|deeper",
    "dimple": "dimple*|dimpler|dimpling",
    "stretch": "stretch*|stretcher",
    "vstretch": (
        "stretch* open|stretch* wide|stretch* wide open|stretch* vertically|vertical stretch|vertical stretching|"
        "vertically stretch*|stretch* downward|stretch* very wide"
    ),
    "in": "suck*|tuck*|fold*|roll*",
    "pucker": "pucker*|puckerer|purse*|pout*",
    "funnel": "funnel*|funneler|funneller",
    "out": "protrude*|protrusion|flare*|evert*",
    "press": "press*|pressor|presser|compress*|compression|clamp*|press* together|press* shut|clamp* shut",
    "squeeze": "squeeze*|squeeze* together|squeeze* shut|scrunch* shut|scrunch* closed|screwed shut|screwed up",
    "open": "open*|part*|separate*|separation|apart|ajar",
    "slack": "slack|slacken*|hang*|hang* open|hung|hung open|fall* open|fell open|drop* open",
    "puff": "puff*|puffer|inflate*|inflation|blow*|swell*|puff* out|blow* up|blow* out|balloon*",
    "thrust": "thrust*|jut*",
    "slide": "slide*|shift*|deviate*|deviation",
    "blink": "blink*",
    "rest": (
        "smooth|relaxed|relax*|at rest|resting|unmoved|motionless|still|neutral|unfurrowed|in a neutral position|"
        "in their neutral position|in its neutral position|in a resting position"
    ),
    "retract": "retract*|retraction",
    "smile": "smile*|grin*|beam*|smirk*|laugh*|half smile",
    "reach": (
        "reach* the eyes|reach* his eyes|reach* her eyes|reach* their eyes|reaches into the eyes|touch* the eyes|"
        "extend* to the eyes|reach* to the eyes|reach* up to the eyes"
    ),
}
"""Action -> words. Some are parts of speech of their own ("depressor" in FACS names)."""
_FIXED: Mapping[str, tuple[str, str]] = {
    # Whole phrases that are a movement by themselves: part and action.
    "mouth stretch": ("mouth", "vstretch"), "mouth stretcher": ("mouth", "vstretch"),
    "mouth stretching": ("mouth", "vstretch"), "crow's feet": ("eye", "wrinkle"), "crows feet": ("eye", "wrinkle"),
    "wide eyed": ("eye", "wide"), "tight lipped": ("lips", "press"), "open mouthed": ("mouth", "open"),
    "closed mouth": ("mouth", "close"), "closed lipped": ("lips", "close"), "slack jawed": ("jaw", "slack"),
    "furrowed browed": ("brow", "together"), "narrow eyed": ("eye", "narrow"), "half lidded": ("lid", "close"),
    "duchenne smile": ("", "duchenne"), "duchenne marker": ("cheek", "up"), "dimples": ("corner", "dimple"),
    "heavy lidded": ("lid", "close"), "wide eyes": ("eye", "wide"), "smiling eyes": ("eye", "wrinkle"),
}  # fmt: skip
DEFAULT_PARTS: Mapping[str, str] = MappingProxyType(
    {"smile": "corner", "frown": "brow", "reach": "cheek", "dimple": "corner", "furrow": "brow", "narrow": "eye",
     "blink": "eye", "pucker": "lips"}
)  # fmt: skip
"""Part of an action that may stand alone: "a frown", "without furrowing". Only these words do: `_ALONE`."""
_ALONE = frozenset(
    phrases_of(
        "smile*|grin*|beam*|smirk*|laugh*|half smile|frown*|scowl*|glower*|squint*|dimple*|dimpler|furrow*|pout*|"
        f"blink*|pucker*|puckerer|{_ACTIONS['reach']}"
    )
)  # fmt: skip
"""Action words that may stand without their part."""
_MOTIONS = (
    "pull*|puller|push*|draw*|turn*|move*|movement|movements|motion|curve*|curl*|tilt*|tug*|shift*|come*|bring*|roll*|"
    "suck*|tuck*|fold*|squeeze*|press*|stretch*|stretcher|drag*|bend*|point*|slant*|slope*|spread*|flick*|thrust*|slide*|"
    "displacement|position*|angled|quirk*|jut*|protrude*|blow*|bow*|retract*|retraction"
)
"""Verbs that make an action of a direction beside them."""
_MOTION_ALONE = {"pull": "pull", "curl": "curl", "curv": "curl", "push": "push"}
_DIRECTIONS = {
    "turnup": "up|upward|upwards", "turndown": "down|downward|downwards", "in": "in|inward|inwards|inside",
    "outward": "outward|outwards", "open": "apart", "together": "together", "out": "out|forward|forwards",
    "side": "sideways|lateral|laterally|horizontal|horizontally|back|backward|backwards|to the sides|to the side",
    "left": "to the left|leftward|leftwards", "right": "to the right|rightward|rightwards",
}  # fmt: skip
_SMALL = {
    "f": (
        "activity|s|can|will|line|the|a|an|his|her|their|its|your|my|our|this|these|those|person's|subject's|"
        "individual's|child's|man's|woman's|two|to|then|now|just|quite|itself|any|some|sign|signs|sign of|"
        "signs of|evidence of|indication of|indications of|degree|extent|rather|more|most|less|even|each|all|"
        "same|also|very|so|such|other|along|once|again|facial|skin|muscle|muscles|following|one|ones|mere|having|"
        "by|movement of|presence of|activation|activation of|kind of|sort of|pair of|certain|appearance of|"
        "not only|not just|not merely|e.g|i.e|eg|ie|etc|into|onto|against|each other|one another|as if|position|"
        "state|entire|whole|own|no doubt|no doubt that|without doubt|without a doubt|without question|of course|"
        "amount of|engagement of|instance of|only"
    ),
    "s": (
        "left|right|both|unilateral|bilateral|unilaterally|bilaterally|left and right|right and left|"
        "left or right|left as well as right|left and the right|right and the left|both left and right|both sides"
    ),
    "o": "of|at|in|around|on|near|across|between|within|over|from|above|below|under|beneath|throughout",
    "b": (
        "is|are|was|were|be|been|being|seem*|appear*|look*|remain*|stay*|keep|keeps|kept|become|becomes|became|"
        "'s|'re|hold|holds|held|get|gets"
    ),
    "h": (
        "dominate*|prevail*|emerge*|predominate*|stand* out|show*|exhibit*|display*|have|has|had|feature*|"
        "include*|demonstrate*|presents|contain*|undergo|undergoes|reveal*|there is|there are|there was|there's|"
        "note*|create*|form|forms|forming|produce*|give|gives|characterized by|characterised by|marked by|do|"
        "does|did|perform*"
    ),
    "x": (
        "present|visible|seen|observed|apparent|detected|found|noted|active|activated|involved|engaged|shown|"
        "displayed|exhibited|observable|discernible|detectable|perceptible|in evidence|to be seen|occur*|at play|"
        "in play|positive|confirmed|coded|evident|evidently|there|visibly|firing"
    ),
    "z": (
        "goes away|go away|gone away|cease*|subside*|off|wears off|dies away|imperceptible|undetectable|"
        "unnoticeable|absent|missing|lacking|inactive|nowhere to be seen|nowhere|invisible|nonexistent|"
        "non existent|disappear*|vanish*|ruled out|excluded|none|false|n/a|not there|inactivated|gone|fade*|"
        "fade* away|zero|nil|unseen|ceased|deactivated|unengaged|uninvolved|negative|undetected|dormant"
    ),
    "n": (
        "nowhere near|nowhere close to|not anywhere near|not remotely|could not|couldn't|no|without|lack*|"
        "lack of|lacking|absence of|absences of|free of|free from|devoid of|neither|nor|no longer|none of|"
        "without any|zero|void of|non|rule* out|exclude*|eliminate*|minus|hardly any|scarcely any|little to no|"
        "little or no|not|never|cannot|can't|isn't|aren't|wasn't|weren't|doesn't|don't|didn't|hasn't|haven't|"
        "fail* to|far from|won't|anything but|nothing like|nothing|un|not any|not a|not a single|nothing of|"
        "nothing resembling|absent any|deny|denies|cease* to"
    ),
    "k": "rather than|instead of|as opposed to|in place of|in lieu of|and not|but not",
    "q": (
        "conceivable|plausible|imaginable|tentative|cannot be told|can't be told|cannot be assessed|"
        "can't be judged|can't be determined|cannot be confirmed|cannot be verified|may|might|could|possibly|"
        "perhaps|maybe|potentially|presumably|possible|potential|conceivably|unlikely|uncertain|unclear|"
        "ambiguous|questionable|doubtful|debatable|undetermined|unknown|indeterminate|hard to tell|hard to judge|"
        "difficult to judge|difficult to tell|difficult to determine|hard to determine|hard to say|not certain|"
        "not sure|unsure|cannot tell|can't tell|cannot be determined|cannot be judged|not clear|cannot say|"
        "can't say|probably|likely|probable|suspect*|arguably|supposedly|i think|i guess|in doubt|chance of|"
        "unlike|should|inconclusive|improbable|cannot be ruled out|not ruled out|can't be ruled out|borderline|"
        "presumed"
    ),
    "y": "stands for|stand for|refers to|refer to|is defined as|is called|is known as|is what|are what|"
    "if|unless|whether|would|were there|in case|suppose|supposing|assuming|imagine",
    "i": (
        "suggest*|hint* at|hint*|imply|implies|implied|implying|associated with|indicative of|characteristic of|"
        "typical of|resemble*|similar to|linked to|component of|reminiscent of|related to|seen as|interpreted as|"
        "connected with|correlate* with|consistent with|akin to|trying to|tries to|try to|tend to|tends to|"
        "able to|ability to|attempt* to|about to|look* like|part of"
    ),
    "g": (
        "point* to|lead* to|speak* for|signal*|signify|signifies|signifying|indicate*|convey*|express*|reflect*|"
        "mean|means|meaning|denote*|because|since"
    ),
    "M": "mirror*|match*|likewise|similarly|too|follow* suit|does so|do so|as well",
    "j": (
        "and|as well as|along with|together with|plus|in addition to|coupled with|combined with|accompanied by|&|"
        "followed by|paired with|and also"
    ),
    "r": "or|nor|and or",
    ";": (
        "but|while|whereas|although|though|however|yet|but rather|but instead|whilst|even though|nevertheless|"
        "nonetheless|on the other hand|by contrast|conversely"
    ),
    "t": "with|as|where|when|thereby|thus|hence|therefore|giving|so",
    "T": "which|that|who",
    "e": (
        "except|except for|excepting|apart from|other than|aside from|with the exception of|save for|but for|"
        "excluding"
    ),
    "O": "despite|in spite of|besides",
    "l": "level|levels|intensity|intensities|grade|score|density|strength|value",
    "+": "yes|yeah|yep|correct|indeed|affirmative|\u2713|\u2714|\u2705|\u2611",
    "!": "nope|incorrect|\u2717|\u2718|\u274c|\u2715|\u2716|\xd7|\u2612",
    "u": "au|aus|action unit|action units",
}
"""Kind -> words. f filler, s side, o place, b being, h having, x seen, z absent, n denial, k contrast, q hedge,
y condition, i mere suggestion, g meaning, j and, r or, ; but, t with, T that, e except, l level, M taking up, + yes,
! no, u AU."""

EXAMPLES = frozenset(("such as", "including", "for example", "for instance", "namely"))
"""Fillers behind a comma that go on with what was said."""

_TABLE = """
brow: up turnup arch = AU01 AU02 / brow raise
brow: down turndown furrow together squeeze frown tight wrinkle in = AU04 / brow lower
brow: rest = -AU01 -AU02 -AU04
inner brow: up turnup = AU01 / brow raise
outer brow: up turnup arch = AU02 / brow raise
inner brow: furrow together in down = AU04 / brow lower
outer brow: down = AU04 / brow lower
upper lid: up turnup = AU05 / lid raise
lower lid: up tight = AU07 / eye close
lid: up turnup wide = AU05 / lid raise
lid: tight narrow = AU07 / eye close
lid: close down = AU43 / eye close
lid: rest = -AU05 -AU07
eye: wide wideopen up = AU05 / lid raise
eye: narrow tight = AU07 / eye close
eye: close squeeze down = AU43 / eye close
eye: open = -AU43
eye: blink = AU45 / eye close
lid: blink = AU45 / eye close
eye: wrinkle = AU06 / cheek raise
eye corner: wrinkle = AU06 / cheek raise
nose: wrinkle up = AU09 / nose wrinkle
cheek: up turnup = AU06 / cheek raise
cheek: reach = AU06 / cheek raise
cheek: puff = / cheek puff
cheek: dimple = AU14
cheek: rest = -AU06
nasolabial: deepen = AU11
corner: up turnup smile pull curl = AU12 / lip corner pull
corner: down turndown = AU15 / lip corner depress
corner: side stretch = AU20 / lip corner stretch
corner: in tight dimple press = AU14
upper lip: up turnup curl retract = AU10 / upper lip raise
upper lip: in = AU28 / upper lip suck
lower lip: down turndown = AU16 / lower lip depress
lower lip: up turnup = AU17 / chin raise
lower lip: in = AU28 / lower lip suck
lips: pucker = AU18 / lip pucker
lips: press squeeze together = AU24 / lip press
lips: tight narrow = AU23 / lip press
lips: side stretch = AU20 / lip corner stretch
lips: funnel out = AU22 / lip pucker
lips: open slack = AU25 / mouth open
lips: wideopen vstretch = AU25 / mouth open
lips: close = -AU25 / -mouth open
lips: in = AU28 / upper lip suck, lower lip suck
lips: turnup smile curl = AU12 / lip corner pull
lips: turndown down = AU15 / lip corner depress
mouth: open slack = AU25 / mouth open
mouth: wideopen vstretch = AU27 / mouth open
mouth: close = -AU25 / -mouth open
mouth: side = AU20 / lip corner stretch
mouth: pucker = AU18 / lip pucker
mouth: press = AU24 / lip press
mouth: tight narrow = AU23 / lip press
mouth: turnup smile = AU12 / lip corner pull
mouth: turndown down = AU15 / lip corner depress
mouth: dimple = AU14
mouth: funnel = AU22 / lip pucker
jaw: down open slack = AU26 / jaw drop
jaw: wideopen vstretch = AU27 / jaw drop
jaw: close = -AU26
jaw: thrust out = / jaw thrust
jaw: left = / jaw slide left
jaw: right = / jaw slide right
jaw: slide side = / jaw slide left, jaw slide right
chin: up turnup wrinkle push out tight dimple = AU17 / chin raise
"""
_FALLBACK = {"turnup": "up", "turndown": "down", "vstretch": "wideopen"}


class Act(NamedTuple):
    """Value of an action word."""

    action: str
    """Empty for a motion that says nothing without a direction."""
    motion: bool
    """A direction beside it counts instead: "rolled inward"."""
    alone: bool
    """It may stand without its part: "a frown"."""


@dataclass(frozen=True, slots=True)
class Move:
    """What one part's action comes to."""

    aus: tuple[str, ...]
    feafa: tuple[str, ...]
    denies: bool = False
    """True for an action that denies its movement: closed lips."""


def _read_table() -> dict[tuple[str, str], Move]:
    table: dict[tuple[str, str], Move] = {}
    for line in _TABLE.strip().splitlines():
        head, _, tail = line.partition("=")
        part, _, actions = head.partition(":")
        units, _, names = tail.partition("/")
        denies = units.strip().startswith("-")
        feafa = tuple(name.strip().lstrip("-") for name in names.split(",") if name.strip())
        move = Move(tuple(unit.lstrip("-") for unit in units.split()), feafa, denies)
        table |= {(part.strip(), action): move for action in actions.split()}
    table["", "duchenne"] = Move(("AU06", "AU12"), ("cheek raise", "lip corner pull"))
    return table


_MOVES = _read_table()
_WIDER = {"upper lid": "lid", "lower lid": "lid", "inner brow": "brow", "outer brow": "brow"}


@cache
def movement_of(part: str, action: str) -> Move | None:
    """The movement of ``part`` by ``action``, or None when this part does no such thing."""
    for where in (part, _WIDER.get(part, part)):
        for how in (action, _FALLBACK.get(action, action)):
            if (where, how) in _MOVES:
                return _MOVES[where, how]
    return None


def _degree_phrases() -> Iterator[tuple[str, tuple[int, int]]]:
    for entry in DEGREES:
        for phrase in (*entry.before, *entry.after, *entry.noun, *entry.also_read):
            bare = (
                re.sub(r"^(?:an?|to an?|by a|to the) ", "", phrase)
                if phrase not in {"a little", "a bit"}
                else phrase
            )
            yield re.sub(r" (?:of|degree|degree of)$", "", bare), entry.levels


def _entries() -> Iterator[tuple[str, str, object]]:
    for kind, source in _SMALL.items():
        for phrase in phrases_of(source):
            yield phrase, kind, phrase
    for phrase, levels in _degree_phrases():
        if phrase not in {"evident", "evidently"}:
            yield phrase, "d", levels
    motions = frozenset(phrases_of(_MOTIONS))
    for phrase in motions:
        yield phrase, "m", Act(_MOTION_ALONE.get(phrase[:4], ""), True, False)
    for direction, source in _DIRECTIONS.items():
        for phrase in phrases_of(source):
            yield phrase, "v", direction
    for action, source in _ACTIONS.items():
        for phrase in phrases_of(source):
            yield phrase, "a", Act(action, phrase in motions, phrase in _ALONE)
    yield from ((phrase, "p", part) for phrase, part in _part_phrases())
    yield from ((phrase, "f", phrase) for phrase in EXAMPLES)
    yield from ((phrase, "F", pair) for phrase, pair in _FIXED.items())


def table_of(entries: Iterable[tuple[str, str, object]]) -> dict[str, tuple[Entry, ...]]:
    """Entries by their first word, longest phrases first; of equal phrases the last one counts."""
    by_phrase = {tuple(phrase.replace("'", "'").split()): (kind, value) for phrase, kind, value in entries}
    table: dict[str, list[Entry]] = {}
    for words, (kind, value) in by_phrase.items():
        table.setdefault(words[0], []).append((words, kind, value))
    return {first: tuple(sorted(found, key=lambda one: -len(one[0]))) for first, found in table.items()}


LEXICON: Mapping[str, tuple[Entry, ...]] = MappingProxyType(table_of(_entries()))
"""First word -> its phrases as (words, kind, value), longest first."""
