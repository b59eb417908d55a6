"""Tests that tell what a question asks, from the most precise to the vaguest: `INTENTS`."""

# fmt: off
from __future__ import annotations

import re
from collections.abc import Callable
from dataclasses import replace

from mien.dialogue.ask.inquiry import YES_NO, Form, Inquiry, places_in
from mien.dialogue.ask.movements import PEOPLE, Condition

__all__ = ["INTENTS", "WEAK"]

WEAK = frozenset(("emotion", "explain", "second", "certainty", "absent", "greeting"))
"""Intents that a word or two can suggest; a topic outside scope is stronger."""
_UNITS = r"\b(?:aus?|action ?units?|units?|muscles?|movements?|facs)\b"
_SERIES = r"\b(?:when|at (?:what|which) (?:second|time|moment|point|frame)|how long|start(?:s|ed|ing)?|begin(?:s|ning)?|onset|offset|apex|ends?|ending|stop(?:s|ped)?|peak(?:s)?|over time|over the (?:clip|video)|during|throughout|course|timeline|chang(?:e|es|ed|ing)|develop\w*|evol\w+|unfold\w*|in the course|blink(?:s|ing)?|how often|how many (?:times|seconds|frames|minutes)|count|at any (?:time|point|moment)|ever|sequence|first .* then|duration|last(?:s|ing)?|what happen(?:s|ed) (?:after|before|between|first|then))\b"


def _has(text: str, *patterns: str) -> bool:
    """Whether one of the patterns stands somewhere in the text."""
    return any(re.search(pattern, text) is not None for pattern in patterns)


def _about_tool(text: str, about: Inquiry) -> Inquiry | None:
    facs, named = "facs" in text, bool(about.units)
    if not named and _has(
        text,
        r"\bwhat (?:is|are|does)\b.*\b(?:facs|action units?)\b(?! (?:of|in|on|are|is|does|do|present|active|visible))\W*(?:mean|stand for|exactly|then)?\W*$",
        r"\b(?:explain|define|meaning of|definition of) (?:me )?(?:the )?(?:term |word |concept |notion |idea )?(?:of )?\W?(?:an? )?(?:action units?|aus?|facs)\W*(?:means?|to me|please|is|are)?\W*$",
    ):
        return replace(about, intent="about", topic="facs" if facs else "units_are")
    if facs and _has(text, r"\b(?:what|mean|stand|explain|define|who)\b") and not _has(text, r"\bcodes?\b|\bletter|grade"):
        return replace(about, intent="about", topic="facs")
    if _has(text, r"\bwhat can (?:you|i|this|mien)\b|\bwhat (?:do|could|are) you (?:do|offer|know|answer|measure|detect|good)\b|\bhow (?:can|do|does|would|should) (?:i|you|this|it|mien) (?:use|work)|\bwhat (?:may|should|could) i ask\b|\b(?:who|what) are you\b|\byour (?:capabilities|limits|functions|abilities|accuracy|error rate|performance|weaknesses)\b|\bhow (?:good|accurate|well) (?:are|do) you\b|\blanguages? (?:do|can|are) you\b|\bwhat (?:questions|(?:kinds?|sorts?) of (?:questions?|things?|stuff|answers?|tasks?))\b"):
        return replace(about, intent="about", topic="tool")
    able = re.search(r"^\W*(?:can|do|could) you (?:read|detect|recogni[sz]e|measure|know|see|tell) (?:facial )?(emotions|expressions|action units|aus)\W*$", text)
    if able is not None:
        return replace(about, intent="about", topic="units" if able[1] in ("action units", "aus") else "emotions")
    knows = _has(text, r"\b(?:do|can|could|are) you\b.*\b(?:know|measure|recogni[sz]e|detect|tell apart|distinguish|support|name|read|handle|able|classif\w+)\b|\byou (?:can |could )?(?:know|measure|recogni[sz]e|detect|tell apart|distinguish|support|classify)\b|\bsupported\b|\bavailable\b|\bknown to you\b|\bin your (?:list|vocabulary)\b")
    whole = _has(text, r"\b(?:which|what|how many|list|all|name)\b") and not _has(text, r"\b(?:here|this (?:face|person|picture)|on (?:the|this|his|her) face|in (?:the|this) (?:picture|image|photo|face))\b")
    if knows and whole and not named and _has(text, r"\bemotions\b|expressions\b|labels\b|categor\w+|classes\b|\bhow many emotion"):
        return replace(about, intent="about", topic="emotions")
    if knows and whole and _has(text, r"\baus?\b|\baction units?\b|\bmuscles?\b|\bmovements?\b"):
        return replace(about, intent="about", topic="units")
    if named and not _has(text, r"\blevel|intensity|here\b") and _has(
        text, r"\b(?:(?<!i )mean(?:s|ing)?|stands? for|definition|define|called|difference|differ|distinguish)\b|\bwhat (?:is|are) (?:an? |the )?au\s?\d|\bwhich muscles?\b|\bname of\b"
    ):
        return replace(about, intent="about", topic="unit")
    if _has(text, r"\b(?:level|letter|scale|grade)s?\b.*\bmean\b|\b(?:what|which) scales?\b|\bdifference between (?:the )?(?:facs )?(?:level|letter|grade)s? \w\b|\bwhat (?:does|do) (?:level|letter|grade)s?\b|\bhow (?:are|is) .* (?:computed|measured|calculated|scored|obtained|estimated)\b|\bhow (?:do|does|did) (?:you|it|this|mien|the \w+) (?:\w+ )?(?:compute|measure|calculate|score|determine|obtain|estimate|work out) (?:the |an? |all )?(?:\w+ )?(?:levels?|intensit\w+|aus?|action units?|probabilit\w+|scores?|values?|emotions?)\b|\b(?:explain|meaning|define|what (?:is|are))\b.*\b(?:a ?(?:to|-) ?e|0 ?(?:to|-) ?5|facs) (?:levels?|letters?|scales?|grades?|intensit\w+)\b"):
        return replace(about, intent="about", topic="scale")
    return None


def _count(text: str, about: Inquiry) -> Inquiry | None:
    named = bool(about.condition or about.emotions or about.units)
    if _has(text, rf"\bwhich {PEOPLE}\b.*\b(?:you|your|answer|talking|mean|refer|this about|describ\w+)\b|\bwhom? (?:are|do) you (?:talk|mean|refer|describ)\w*|\bwhom do you mean\b"):
        return replace(about, intent="which")
    if _has(text, rf"\b(?:how many|number of|count(?: of| up)?|amount of)\b.*\b{PEOPLE}\b|\bhow many\b\W*$|\bhow many (?!seconds|times|frames|minutes).*\b(?:smil|happy|sad|angry|there)\w*|\b{PEOPLE} count\b|\bhead ?count\b|^\W*how many\b.*\b(?:are|is) \w+ing\b") and not _has(text, r"\bemotions?|units?|aus?\b|\bhow many times\b"):
        return replace(about, intent="compare", quantifier="count", place=None)
    if not named and _has(text, rf"\b(?:one|two|three|1|2|3)(?: {PEOPLE})? or (?:more|several|two|three|four|2|3|4)\b") and _has(text, rf"\b{PEOPLE}\b"):
        return replace(about, intent="compare", quantifier="count", place=None)
    if not named and _has(text, rf"\b(?:more than one|several|multiple|many|two|other|another|only one|just one|a single|alone|a group of)\b.*\b{PEOPLE}\b|\balone\b|\banybody else\b|\banyone else\b"):
        return replace(about, intent="several", quantifier="one" if _has(text, r"only one|just one|single|alone") else "many")
    if not named and _has(text, r"\b(?:is|are) there (?:(?:an?|any)\b.*\b)?(?:faces?|persons?|people|human|somebody|someone)\b|\b(?:do|can|did) you (?:see|find|detect) (?:an?|any) (?:faces?|persons?|people)\b|\bface found\b|\b(?:see|find|detect) (?:any|some)(?:one|body)\W*$|\b(?:anybody|anyone|somebody|someone|any people|a person|a face|nobody)\b.*\b(?:in|on) (?:the|this|that) (?:picture|photo|image|clip|video|frame)\b"):
        return replace(about, intent="several", quantifier="some")
    return None


def _compare(text: str, about: Inquiry) -> Inquiry | None:
    asked = bool(about.condition or about.units or about.emotions)
    places = places_in(text)
    among = replace(about, intent="compare", among=places, place=None)
    if _has(text, r"\b(?:same|different|equal|alike|similar)\b.*\b(?:emotions?|expressions?|feel\w*|mood)\b|\b(?:feel|look)(?:ing)? the same\b|\bfeel(?:ing)? (?:alike|similar)\b"):
        return replace(among, quantifier="same")
    most = _has(text, r"\b(?:who|whose|which|what|the)\b.*\b(more|most|wider|widest|bigger|biggest|strong(?:er|est)|bright(?:er|est)|broad(?:er|est)|larg(?:er|est)|high(?:er|est)|happi(?:er|est)|sadd(?:er|est)|angri(?:er|est)|less|least|weak(?:er|est)|fewest|narrower)\b|\bcompare\b|\b(?:happier|sadder|angrier) than\b|\bmore \w+ than\b|\bwider than\b|\bcompared (?:to|with)\b")
    people = len(places) > 1 or _has(text, rf"\bwho(?:se)?\b|\bwhich (?:of (?:them|the|these)|{PEOPLE})\b|\b(?:two|three|four|five|all|both)(?: the)? {PEOPLE}\b|\bthan the\b|\b(?:whose|which) (?:face|smile|mouth)\b|\bcompare (?:the )?\w+s\b|\b{PEOPLE} .*\bmost\b")
    if most and people and (asked or _has(text, r"\bcompare\b|\bexpress\w*")):
        return replace(among, quantifier="least" if _has(text, r"\b(?:less|least|weak(?:er|est)|narrower|fewest)\b") else "most")
    if asked and len(places) > 1 and _has(text, r"\bwho\b|\bor\b"):
        return replace(among, quantifier="most")
    if asked and about.place is None and not (about.units and _has(text, r"\bof (?:them|these)\b")) and _has(text, rf"\bwho(?:se)?\b|\bwhich (?:of (?:them|the|these)|{PEOPLE})\b"):
        return replace(about, intent="compare", quantifier="who")
    for name, words in (
        ("all", r"\b(?:all(?: of)? (?:them|faces|people|persons|the (?:faces|people|persons|women|men))|everyone|everybody|every (?:face|person|one)|each (?:face|person|of them)|both (?:of them|faces|people|persons|women|men)|(?:do|are) both (?:look|seem|appear|feel|smil|frown|happy|sad|angry)\w*|do they all|are they all|they (?:all|both))\b"),
        ("none", r"\b(?:no ?one|nobody|none of (?:them|these|the))\b"),
        ("any", r"\b(?:anyone|anybody|someone|somebody|any (?:of them|of these|of the|face|person|one)|at least one|is there (?:a |an |any)?(?:person|face|woman|man|somebody|someone|anyone|anybody)\b(?= (?:who|that|with|not|smil|look)))"),
    ):
        if asked and _has(text, words):
            return replace(about, intent="compare", quantifier=name, place=None)
    return None


_COURSES: tuple[tuple[str, str, bool], ...] = (
    ("duration", r"\bhow long\b|\bduration\b|\blasts?\b|\bhow many (?:seconds|frames|minutes)\b", True),
    ("times", r"\bhow (?:often|many times)\b|\bnumber of (?:blinks|smiles|times)\b|\b(?:blink|smile)s? count\b|\bcount (?:the |his |her |their |all )*(?:blinks|smiles)\b", True),
    ("peak", r"\b(?:peaks?|apex|strongest|maximum|most|highest|largest|biggest|widest|greatest|\w+iest)\b", True),
    ("offset", r"\b(?:ends?|stops?|stopped|ended|offset|over|fades?|disappears?|finish\w*|cease\w*|relax\w*|close again|gone)\b", True),
    ("onset", r"\b(?:starts?|begins?|began|started|onset|appears?|first|comes? up|occur\w*|open|set in)\b|\bwhen (?:does|do|did|is|was)\b|\bat (?:what|which)\b", True),
    ("change", r"\b(?:chang\w+|develop\w*|evol\w+|unfold\w*|course|over time|timeline|sequence|throughout|over the (?:clip|video)|during the)\b|\bwhat happen(?:s|ed) (?:after|before|during|between|first|then)\b", False),
    ("ever", r"\bblink\w*|\bever\b|\bat any (?:time|point|moment)\b|\bduring\b", True),
)
"""What is asked of a course, its words, and whether it needs a thing whose course it is."""


def _course(text: str, about: Inquiry) -> Inquiry | None:
    if not _has(text, _SERIES) or _has(text, r"\bface change|changed? the\b"):
        return None
    subject = bool(about.condition or about.units or about.emotions)
    clip = _has(text, r"\b(?:clip|video|film|recording|footage|sequence|over time|frames?)\b")
    timed = clip or _has(text, r"\bwhen\b|\bat (?:what|which)\b|\bhow (?:long|often|many)\b|\b(?:second|time|moment|frame|onset|offset|apex|peak|duration|number of)\b")
    for name, words, needs in _COURSES:
        if (needs and not subject) or not _has(text, words) or not (timed or name in ("ever", "change")):
            continue
        if name != "change" or not subject or clip or _has(text, r"happen|chang|develop|evol|course|unfold"):
            return replace(about, intent="course", course=name, moment=None)
    return None


def _quality(text: str, about: Inquiry) -> Inquiry | None:
    glasses = _has(text, r"\b(?:sun)?glasses\b|\bspectacles\b|\b(?:shades|goggles|eyewear|specs)\b")
    if glasses or _has(text, r"\bwearing an? (?:mask|hat|scarf|veil|helmet)\b|\bmasked?\b|\b(?:face ?|surgical )?masks?\b(?! (?:his|her|their|the) (?:\w+ )?(?:feeling|emotion)s?)|\b(?:scarf|veil|niqab|bandana|respirator|visor|helmet)\b"):
        return replace(about, intent="quality", topic="glasses" if glasses else "hidden")
    hidden = r"\b(?:hidden|cover(?:s|ed|ing)?|occlu\w+|obscured|blocked|obstruct\w*|in front of (?:the|her|his) face|(?:hiding|hides|hide) (?:the|her|his|their) (?:\w+ )?(?:eyes?|mouth|face|nose|chin|brows?|forehead|lips)|cut off|out of (?:the )?(?:frame|picture|view)|partly visible|fully visible|entire face|whole face|complete face)\b"
    if _has(text, hidden) and not _has(text, r"\bhidden (?:feeling|emotion)"):
        return replace(about, intent="quality", topic="hidden")
    if _has(text, r"\b(?:rel(?:y|iable|iability)|trust)\b") and not _has(text, r"picture|photo|image|clip|video"):
        return replace(about, intent="certainty")
    good = r"\b(?:quality|good enough|usable|suitable|suited|blur\w*|sharp(?:ness)?|out of focus|in focus|too (?:dark|bright|dim|light)|(?:picture|photo|image|clip|video|face|shot|it) (?:is |looks? |so |rather |very |quite )*(?:dark|bright|dim)|(?:dark|bright|dim) (?:picture|photo|image|clip|video|shot)|brightness|lighting|light conditions|well lit|enough light|underexposed|overexposed|exposure|resolution|pixelated|grainy|noisy|too small|large enough|big enough|too far|image size|picture size|how (?:large|big) is the (?:face|picture|image)|reliable|trust (?:the|this|these|your))\b"
    return replace(about, intent="quality", topic="picture") if _has(text, good) and not _has(text, r"\bhow (?:certain|sure|confident)\b") else None


_AWAY = rf"\b(?:he|she|they|it|{PEOPLE}|face)\b.*\b(?:turned|rotated|facing|faces)\b.*\b(?:away|aside|sideways|camera|left|right|degrees|sides?)\b|\b(?:turned|rotated|facing) (?:away|aside|sideways)\b"


def _gaze_pose(text: str, about: Inquiry) -> Inquiry | None:
    if _has(text, r"\b(?:yaw|pitch|roll)\b|\bhead ?-?(?:pose|position|angle|orientation|tilt|turn|direction|rotation)\b"):
        return replace(about, intent="pose", angle=_angle(text))
    head = _has(text, r"\bhead\b")
    looks = r"\blook(?:s|ing)? (?:at (?:the|me|us|you)|where|into|away|to the|up\b|down\b|left|right|straight|aside|sideways|directly)|\bwhere .*\b(?:look|eyes?|gaz)"
    if _has(text, r"\b(?:gaze|pupils?|eye ?contact|glanc\w*|peek\w*|star(?:es?|ing) at|eyes? (?:direction|look\w*|point\w*|aim\w*|direct\w*|turn\w* (?:to|away)|focus\w*|fixed)|lens)\b|\beyes?\b.*\b(?:on|at|towards?) (?:the )?(?:camera|lens|me|us|viewer)\b", looks):
        if not head:
            return replace(about, intent="gaze")
        return _head(text, about) if _has(text, r"\b(?:up|down|raised|lowered|bent|tilted)\b") else replace(about, intent="pose", angle="frontal")
    if _has(text, r"\b(?:profile|frontal|facing (?:the )?(?:camera|me|us|front|forwards?))\b"):
        return replace(about, intent="pose", angle="frontal")
    return _head(text, about)


def _angle(text: str) -> str:
    named = [angle for angle in ("yaw", "pitch", "roll") if re.search(rf"\b{angle}\b", text)]
    if not named:
        named = ["yaw"] if _has(text, r"\bturn|direction\b") else ["roll"] if "tilt" in text else []
    return named[0] if len(named) == 1 else "all"


_TURNED = r"\b(?:tilt\w*|turn\w*|bent|bow\w*|nod\w*|lean\w*|rotat\w*|inclin\w*|raised?|lift\w*|lowered|up|down|sideways|upright|angle|direction|position|orientation|pointing|oriented|looking|cocked|askew|hang(?:s|ing)?)\b"
_HEAD = (
    r"\bhead\b|\bnod(?:s|ding|ded)?\b|\bchin\b.*\b(?:raised?|(?<!pushed )up|lift(?:ed|ing|s)?|lowered|down|high)\b|\b(?:rais\w+|lowered|lift\w*) (?:the |her |his |their )?chin\b"
    r"|\bface\b.*\b(?:turned|tilted|rotated|directed|pointing)\b|\bturned face\b"
)


def _head(text: str, about: Inquiry) -> Inquiry | None:
    if about.units:
        return None
    if _has(text, r"\b(?:head|chin|face)\b.*\b(?:facing|(?:to|towards?|at) the camera|straight)\b"):
        return replace(about, intent="pose", angle="frontal")
    if _has(text, _AWAY) and not _has(text, r"\bchin\b"):
        return replace(about, intent="pose", angle="yaw")
    if not _has(text, _HEAD) or not _has(text, _TURNED):
        return None
    nods = _has(text, r"\b(?:up|down|back|forward|backwards?|forwards?)\b")
    if not nods and _has(text, r"\btilt\w*|lean\w*|inclin\w*|upright|crooked|cocked|askew|at an angle|straight\b"):
        return replace(about, intent="pose", angle="roll")
    if _has(text, r"\b(?:bent|bow\w*|nod\w*|lowered|hang(?:s|ing)?|down|downwards?|forwards?)\b"):
        return replace(about, intent="pose", angle="pitch", way="down")
    if _has(text, r"\b(?:rais\w+|lift\w*|up|upwards?|high|backwards?|back)\b"):
        return replace(about, intent="pose", angle="pitch", way="up")
    return replace(about, intent="pose", angle="yaw")


def _beliefs(text: str, about: Inquiry) -> Inquiry | None:
    if not about.units and _has(text, r"\bleast (?:likely|probable)\b"):
        return replace(about, intent="absent_emotions")
    if _has(text, r"\b(?:top|best|first) (?:two|three|2|3)\b|\b(?:two|three) (?:most likely|likeliest|best|top)\b") and not _has(text, _UNITS):
        return replace(about, intent="probabilities")
    if (about.place is None and _has(text, r"\b(?:second|2nd|third)\b.*\b(?:likel\w+|probable|best|guess|choice|emotions?|labels?|candidates?|place)\b")) or _has(text, r"\b(?:next|runner-?up)\b.*\b(?:likel\w+|probable|best|guess|choice|emotions?|labels?|candidates?|place)\b|\brunner[- ]?up\b|\bwhat else\b|\balternativ\w*|\bsecondary\b|\bplan b\b|\bback-?up (?:label|guess|emotion)\b|\bother (?:possible |likely |plausible |credible |good )*(?:emotions?|labels?|candidates?|options?|interpretations?|readings?)\b|\bif (?:it is |it's )?not (?:that|this|\w+),? (?:what|which)|\bbesides (?:that|this|\w+)\b.*\bemotions?\b|\banother emotion\b|\bmixed\b|\b(?:emotion|label|one) (?:comes?|is) (?:next|second)\b"):
        return replace(about, intent="second")
    every = r"\b(?:all|every|each|distribution|softmax|logits|breakdown)\b|\b(?:over|across|per|by) (?:the )?(?:\w+ )?(?:emotions?|labels?|class(?:es)?)\b"
    likely = _has(text, r"\b(?:probabilit\w+|likelihoods?|likely|chances?|distribution|softmax|logits|breakdown|odds|percent(?:age)?s?|scores?|confidences?|how (?:probable|much))\b|%|\bp ?\(")
    if likely and about.emotions and not _has(text, every):
        return replace(about, intent="probability")
    if (
        (likely or _has(text, r"\bhow (?:much )?(?:of )?each\b")) and not about.units
        and _has(text, every, r"\b(?:emotions?|labels?|class(?:es)?|probabilities|percentages|scores)\b")
        and not _has(text, r"\b(?:aus?|action units?)\b|\btop\b|\bmost likely (?:emotion|label|expression)\b|\bof the (?:emotion|label|answer)\b")
    ):
        return replace(about, intent="probabilities")
    if _has(text, r"\b(?:how|are you|you|is (?:it|that|this)) (?:certain|sure|confident|positive)\b|\bcertain(?:ty)?\b|\bconfiden(?:t|ce)\b|\bhow (?:reliable|safe|firm|trustworthy|accurate|clear|solid|robust)\b|\byou(?:'re| are) (?:wrong|mistaken)\b|\b(?:don't|do not) believe (?:you|that|it|this)\b|\bpretty sure\b|\b(?:sure|certain)\W*$|\bsafe bet\b|\bbet on\b|\b(?:just|only|merely) (?:a )?guess\w*|\bguarantee\w*|\b(?:believe|trust) in (?:this|that|your)\b|\btrust (?:this|that|the|your) (?:label|reading|answer|result|emotion)\b|\bdoubts?\b|\b(?:could|can|might|may) (?:you|this|that|it|the \w+) be (?:wrong|mistaken|incorrect|off)\b|\bis (?:it|that|this) (?:right|correct|wrong)\b"):
        return replace(about, intent="certainty")
    return None


def _arrays(text: str, about: Inquiry) -> Inquiry | None:
    shaped = _has(text, r"\b(?:arrays?|vectors?|matrix|json|dict(?:ionary)?|csv|tsv|tables?|rows?|columns?|one per line|per line|list of (?:numbers|values|floats|integers|levels|zeros)|as numbers|numeric(?:al)?|0/1|0 or 1|0 and 1|0s (?:and|or) 1s|(?:zeros?|ones?) (?:and|or) (?:zeros?|ones?)|binary|\[)")
    units, numbers = _has(text, _UNITS), _has(text, r"\b(?:levels?|intensit\w+|presence|values?|strengths?|scores?|grades?|numbers)\b")
    every = _has(text, r"\b(?:all|every|each|complete|full)\b")
    if not ((shaped and (units or numbers)) or (units and every and numbers)) or len(about.units) == 1:
        return None
    form: Form = "binary" if _has(text, r"\b(?:binary|0/1|0 or 1|0 and 1|0s (?:and|or) 1s|(?:zeros?|ones?) (?:and|or) (?:zeros?|ones?)|presence|present (?:\(1\) )?or absent|present/absent|true or false|booleans?)\b") else "level"
    if _has(text, r"\b(?:intensit\w+|decimals?|floats?|(?:between|from) 0 (?:and|to) 1(?!\d)|0 ?(?:-|to|\.\.+) ?1(?:\.0)?(?!\d)|continuous)\b") and not _has(text, r"\blevels?\b|\b0 ?(?:-|to|\.\.+|and) ?5\b"):
        form = "intensity"
    return replace(about, intent="array", form=form, lines=_has(text, r"\bper line|lines\b"), json=_has(text, r"\bjson\b|\bdict(?:ionary)?\b"))


_DEGREE = r"\bhow (?:strong\w*|intense\w*|wide\w*|much|big|far|large|pronounced|high|low|deep\w*|tight\w*|hard|marked|visible|heav\w+|open|closed|raised|lowered|broad\w*|clear\w*|active|tense|[a-z]+(?:ed|en))\b|\b(?:levels?|intensit\w+|strength|degree|grades?|letters?|rate|rating|scale|score|magnitude|amount|extent|percent(?:age)?|value|(?:from|between) 0 (?:to|and) \d|from absent to|0 to 5|a ?- ?e)\b|\b(?:strong|intense|broad|big|wide|slight|deep)\b[^?]*\bor\b[^?]*\b(?:weak|strong|slight|faint|subtle|small|narrow|shallow|mild)\b|\d ?%|\bin %"


def _degree(text: str, about: Inquiry) -> Inquiry | None:
    compared = len(about.units) > 1 and _has(text, r"\b(?:stronger|weaker|strongest|weakest|more|less|higher|larger)\b")
    if not (about.units or about.condition) or not (compared or _has(text, _DEGREE)) or _has(text, r"\bhow (?:certain|sure)\b"):
        return None
    return replace(about, intent="degree")


def _absent(text: str, about: Inquiry) -> Inquiry | None:
    gone = r"\b(?:absent|missing|inactive|not (?:visible|present|active|shown|there|moving|seen|see|find|detect|observe|involved|found|detected|activated|occurring|to be seen)|isn't (?:visible|there|present|moving)|rule[sd]? out|exclude[sd]?|excluded|unlikely|impossible|aren't (?:active|present|there|visible)|(?:do(?:es)?|did|can)(?:n't|not| not) (?:you )?(?:move|occur|appear|show|see|find|detect)|at rest|least likely|without)\b|\b(?:aus?|units?|muscles?|movements?) (?:(?:is|are|stays?|remains?|being) )?(?:switched |turned )?(?:off|zero|at zero|idle|silent|quiet|relaxed|unused|still)\b|\b(?:parts?|areas?|regions?|muscles?)\b.*\b(?:relaxed|still|unmoved|motionless|passive)\b|\b(?:levels?|intensity|values?) (?:of |is |at )?(?:zero|0)\b(?! (?:to|and|or|-))"
    if about.units or about.condition or YES_NO.search(text) or not _has(text, gone):
        return None
    return replace(about, intent="absent_emotions" if _has(text, r"\bemotions?|labels?|feelings?|moods?\b") else "absent")


def _movement(text: str, about: Inquiry) -> Inquiry | None:
    curt = len(text.split()) <= 4 or YES_NO.search(text) is not None
    if about.units and (curt or not _has(text, r"\bwhy|describe|explain\b")):
        return replace(about, intent="movement", condition=Condition(about.units, every=True))
    if len(about.either) > 1:
        return replace(about, intent="either")
    if about.condition is not None and (curt or _has(text, r"\bwhether\b|\bor not\b|\bi (?:wonder|would like to know|want to know|need to know) if\b|\btell me if\b")):
        return replace(about, intent="movement")
    return None


_OF_A_FACE = r"\b(?:face|facial|expressions?|emotions?|emotional|feel\w*|mood|looks?|looking|he|she|they|him|her|his|them|person|woman|man|people|this|that|it|so|you|your|label|reading|result|answer|decision|conclusion|picture|photo|image|clip|video|here)\b"


_SMALL_TALK = re.compile(r"\b(?:please|the|an?|me|us|full|complete|short|brief|quick|some|your|with|and|give|now|but|not|explain|explanation|why|reasons?|reasoning|justify|justification|interpret|interpretation|evidence|cues?|clues?|analy[sz]e|analysis|describe|description|details?|detailed|report|narrate|summary|summari[sz]e|caption|conclusion|how come|show work|tell|say|more|go on|can|could|you|elaborate)\b|[^\w\s]")
"""What a bare "why?", "full analysis please" consists of."""


def _explain(text: str, about: Inquiry) -> Inquiry | None:
    why = _has(text, r"\b(?:why|explain\w*|explanation|justif\w+|reasons?|reasoning|step[- ]by[- ]step|interpret\w*|what makes|what (?:leads?|led|brings?|brought|tells?|shows?|suggests?|speaks?|argues?|tipped|convince[sd]|made you)|(?:gives?|gave) (?:it|that|this|him|her|them) away|giveaway|what (?:in|about|on|of) .*\b(?:tells?|shows?|suggests?|says|points?)|how (?:do|did|can|could) you (?:know|tell|arrive|conclude|decide|come|get)|how did you|how come|evidence|(?:which|what) (?:are (?:the )?)?signs|signs (?:of|for) (?:this|that|the)|based on what|on what basis|grounds|on what\b.*\bbase|bas(?:is|ed?) (?:for|of|your|this|that|the)|(?:features?|signs?|details?|aspects?|parts?) (?:that |which )?(?:support|suggest|lead|speak|point|indicate|justif)\w*|cues?|clues?|prove (?:it|this|that)\W*$|(?:tell me|say|go on|know) more\W*$|elaborate\W*$|more details?|what supports?|show your work\w*|(?:motivate|substantiate|support|defend) (?:your|the|this|that)|analy[sz]\w+|conclu\w+|walk me)\b")
    told = _has(text, r"\b(?:describe|description|detail\w*|tell me (?:about|more|everything|all(?! (?:the |active )*(?:aus?|action|units|muscles|emotions)\b))|everything you|what do you see|what (?:can|do) you (?:see|observe|notice)|what is (?:going on|happening|visible|to be seen)|full report|characteri[sz]e|narrate|summari[sz]e|summary|caption|report)\b")
    if about.regions and not why and not _has(re.sub(r"(?:upper|lower) face", "", text), r"\bface\b|\bexpression\b"):
        return replace(about, intent="region")
    if not (why or told) or _has(text, r"\bone word\b|\bsingle word\b|\bin a word\b|\blabel only\b|\bone label\b"):
        return None
    if about.regions and _has(text, r"\b(?:upper|lower) face\b"):
        return replace(about, intent="region")
    named = about.units or about.regions or about.condition or about.emotions
    bare = not re.search(r"\w", _SMALL_TALK.sub(" ", text))
    return replace(about, intent="explain") if named or bare or _has(text, _OF_A_FACE) else None


def _region(text: str, about: Inquiry) -> Inquiry | None:
    return replace(about, intent="region") if about.regions else None


def _unit_list(text: str, about: Inquiry) -> Inquiry | None:
    listed = r"\b(?:aus?|action ?units?|units?|(?:facial |face )?muscles?|facial (?:movements?|actions?)|movements?|facs|what (?:is )?(?:mov(?:es|ing)|active|activated|firing))\b"
    return None if about.units or not _has(text, listed) else replace(about, intent="list")


def _emotion(text: str, about: Inquiry) -> Inquiry | None:
    several = len(about.emotions) > 1 and _has(text, r"\bor\b|\bversus\b|\bvs\b|/|\bmore\b.*\bthan\b")
    asked = about.emotions and (YES_NO.search(text) or len(text.split()) <= 3 or _has(text, r"\bsigns? of|hint of|trace of\b|\bright\W*$|\bdoes(?:n't)? (?:he|she|it)\W*$|\bis(?:n't)? (?:he|she|it)\W*$"))
    if several:
        return replace(about, intent="choice")
    if asked:
        return replace(about, intent="is_emotion")
    if _has(text, r"\b(?:emotions?|emotional(?:ly)?|feel(?:s|ing|ings)?|moods?|expressions?|express(?:es|ed|ing)?|convey\w*|communicat\w*|sentiments?|affect|valence|vibes?|demeanou?r|spirits|look on (?:the|his|her) face|(?:read|label|classify|tag|rate) (?:this|the|that|his|her|their) (?:face|look|person)|(?:what|which|kind of|sort of) (?:a )?face (?:is|does|are|do) \w+(?: \w+)? (?:pull|mak)\w*|facial|label|state of mind)\b|\bhow (?:is|are|does|do) (?:he|she|they|this|the|it)\b(?: (?:person|man|woman|face|guy|girl|lady|boy))?(?: (?:look|seem|appear|doing|feeling|today|come across))?"):
        return replace(about, intent="emotion")
    return replace(about, intent="probability") if about.emotions and _has(text, r"\bhow \w+\b") else None


def _leftover(text: str, about: Inquiry) -> Inquiry | None:
    if about.condition is not None:
        return replace(about, intent="movement")
    if about.emotions and len(text) < 60:
        return replace(about, intent="is_emotion")
    return replace(about, intent="explain") if about.place is not None and len(text.split()) <= 7 else None


INTENTS: tuple[Callable[[str, Inquiry], Inquiry | None], ...] = (
    _about_tool, _count, _course, _compare, _arrays, _quality, _beliefs, _degree, _gaze_pose, _absent, _movement, _explain, _unit_list, _region, _emotion, _leftover,
)
"""In the order of their precision: the first that fits says what is asked."""
