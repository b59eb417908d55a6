"""Tests that tell what a question asks, from the most precise to the vaguest: `INTENTS`."""

# fmt: off
from __future__ import annotations

import re
from collections.abc import Callable
from dataclasses import replace

from mien.dialogue.ask.inquiry import PEOPLE, YES_NO, Form, Inquiry, places_in
from mien.dialogue.ask.movements import Condition

__all__ = ["INTENTS", "WEAK"]

WEAK = frozenset(("emotion", "explain", "second", "certainty", "absent", "greeting"))
"""Intents that a word or two can suggest; a topic outside scope is stronger."""
_SERIES = r"\b(?:when|at (?:what|which) (?:second|time|moment|point|frame)|how long|start(?:s|ed|ing)?|begin(?:s|ning)?|onset|offset|apex|ends?|ending|stop(?:s|ped)?|peak(?:s)?|over time|over the (?:clip|video)|during|throughout|course|timeline|chang(?:e|es|ed|ing)|develop\w*|evol\w+|in the course|blink(?:s|ing)?|how often|how many times|ever|sequence|first .* then|duration|last(?:s|ing)?)\b"


def _about_tool(text: str, about: Inquiry) -> Inquiry | None:
    if (
        re.search(
            r"\bwhat (?:is|are|does)\b.*\b(?:facs|action units?)\b(?! (?:of|in|on|are|is|does|do|present|active|visible))\W*(?:mean|stand for|exactly|then)?\W*$",
            text,
        )
        and not about.units
    ):
        return replace(about, intent="about", topic="facs" if "facs" in text else "units")
    if (
        re.search(r"\bfacs\b", text)
        and re.search(r"\b(?:what|mean|stand|explain|define|who)\b", text)
        and not re.search(r"\bcodes?\b|\bletter|grade", text)
    ):
        return replace(about, intent="about", topic="facs")
    if re.search(
        r"\bwhat can (?:you|i|this|mien)\b|\bwhat (?:do|could) you (?:do|offer|know|answer|measure|detect)\b|\bhow (?:can|do) (?:i|you) (?:use|work)|\bwhat (?:may|should|could) i ask\b|\bwho are you\b|\bwhat are you\b|\byour (?:capabilities|limits|functions|abilities)\b|\bwhat (?:questions|kind of)\b",
        text,
    ):
        return replace(about, intent="about", topic="tool")
    knows = re.search(
        r"\b(?:do|can|could|are) you\b.*\b(?:know|measure|recogni[sz]e|detect|tell apart|distinguish|support|name|read|handle|able|classif\w+)\b|\bsupported\b|\bavailable\b|\bknown to you\b|\bin your (?:list|vocabulary)\b",
        text,
    )
    whole = re.search(r"\b(?:which|what|how many|list|all)\b", text) and not re.search(
        r"\b(?:here|this (?:face|person|picture)|on (?:the|this|his|her) face|in (?:the|this) (?:picture|image|photo|face))\b",
        text,
    )
    if (
        knows
        and whole
        and re.search(r"\bemotions?|expressions?|labels?|categor\w+|classes\b", text)
        and not about.units
    ):
        return replace(about, intent="about", topic="emotions")
    if knows and whole and re.search(r"\baus?\b|\baction units?\b|\bmuscles?\b|\bmovements?\b", text):
        return replace(about, intent="about", topic="units")
    if (
        about.units
        and re.search(
            r"\b(?:mean(?:s|ing)?|stands? for|definition|define|called|difference|differ|distinguish)\b|\bwhat (?:is|are) (?:an? |the )?au\s?\d|\bwhich muscles?\b|\bname of\b",
            text,
        )
        and not re.search(r"\blevel|intensity|here\b", text)
    ):
        return replace(about, intent="about", topic="unit")
    if re.search(
        r"\b(?:level|letter|scale|grade)s?\b.*\bmean\b|\bwhat (?:does|do) (?:level|letter|grade)s?\b|\bhow (?:are|is) .* (?:computed|measured|calculated|scored)\b",
        text,
    ):
        return replace(about, intent="about", topic="scale")
    return None


def _count(text: str, about: Inquiry) -> Inquiry | None:
    if re.search(
        rf"\bwhich {PEOPLE}\b.*\b(?:you|your|answer|talking|mean|refer|this about|describ\w+)\b|\bwhom? (?:are|do) you (?:talk|mean|refer|describ)\w*|\bwhom do you mean\b",
        text,
    ):
        return replace(about, intent="which")
    if re.search(
        rf"\b(?:how many|number of|count(?: of| up)?|amount of)\b.*\b{PEOPLE}\b|\bhow many\b\W*$|\bhow many .*\b(?:smil|happy|sad|angry|there)\w*",
        text,
    ) and not re.search(r"\bemotions?|units?|aus?\b", text):
        return replace(about, intent="compare", quantifier="count", place=None)
    if re.search(
        rf"\b(?:more than one|several|multiple|many|two|other|another|only one|just one|a single|alone|a group of)\b.*\b{PEOPLE}\b|\balone\b|\banybody else\b|\banyone else\b",
        text,
    ) and not (about.condition or about.emotions or about.units):
        return replace(
            about,
            intent="several",
            quantifier="one" if re.search(r"only one|just one|single|alone", text) else "many",
        )
    if re.search(
        r"\b(?:is|are) there (?:an?|any)\b.*\b(?:faces?|persons?|people|human|somebody|someone)\b|\b(?:do|can) you (?:see|find|detect) (?:an?|any) (?:faces?|persons?|people)\b|\bface found\b",
        text,
    ) and not (about.condition or about.units or about.emotions):
        return replace(about, intent="several", quantifier="some")
    return None


def _compare(text: str, about: Inquiry) -> Inquiry | None:
    everyone = re.search(
        r"\b(?:all(?: of)? (?:them|faces|people|persons|the (?:faces|people|persons|women|men))|everyone|everybody|every (?:face|person|one)|each (?:face|person|of them)|both (?:of them|faces|people|persons|women|men)|do they all|are they all|they (?:all|both))\b",
        text,
    )
    anyone = re.search(
        r"\b(?:anyone|anybody|someone|somebody|any (?:of them|of these|of the|face|person|one)|at least one|is there (?:a |an |any)?(?:person|face|woman|man|somebody|someone|anyone|anybody)\b(?= (?:who|that|with|not|smil|look)))",
        text,
    )
    nobody = re.search(r"\b(?:no ?one|nobody|none of (?:them|these|the))\b", text)
    asked = bool(about.condition or about.units or about.emotions)
    if re.search(
        r"\b(?:same|different|equal|alike|similar)\b.*\b(?:emotions?|expressions?|feel\w*|mood)\b|\b(?:feel|look) the same\b",
        text,
    ):
        return replace(about, intent="compare", quantifier="same", among=places_in(text), place=None)
    most = re.search(
        r"\b(?:who|whose|which|what|the)\b.*\b(more|most|wider|widest|bigger|biggest|strong(?:er|est)|bright(?:er|est)|broad(?:er|est)|larg(?:er|est)|high(?:er|est)|happi(?:er|est)|sadd(?:er|est)|angri(?:er|est)|less|least|weak(?:er|est)|fewest|narrower)\b|\bcompare\b|\b(?:happier|sadder|angrier) than\b|\bmore \w+ than\b|\bwider than\b|\bcompared (?:to|with)\b",
        text,
    )
    people = len(places_in(text)) > 1 or re.search(
        rf"\bwho(?:se)?\b|\bwhich (?:of (?:them|the|these)|{PEOPLE})\b|\b(?:two|three|four|five|all|both)(?: the)? {PEOPLE}\b|\bthan the\b|\b(?:whose|which) (?:face|smile|mouth)\b|\b{PEOPLE} .*\bmost\b",
        text,
    )
    if most and people and (asked or re.search(r"\bcompare\b|\bexpress\w*", text)):
        least = re.search(r"\b(?:less|least|weak(?:er|est)|narrower|fewest)\b", text)
        return replace(
            about, intent="compare", quantifier="least" if least else "most", among=places_in(text), place=None
        )
    if asked and len(places_in(text)) > 1 and re.search(r"\bwho\b|\bor\b", text):
        return replace(about, intent="compare", quantifier="most", among=places_in(text), place=None)
    if (
        re.search(rf"\bwho(?: is|'s| looks| seems)?\b|\bwhich (?:of (?:them|the|these)|{PEOPLE})\b", text)
        and asked
        and about.place is None
    ):
        return replace(about, intent="compare", quantifier="who")
    for name, found in (("all", everyone), ("none", nobody), ("any", anyone)):
        if found and asked:
            return replace(about, intent="compare", quantifier=name, place=None)
    return None


def _course(text: str, about: Inquiry) -> Inquiry | None:
    if not re.search(_SERIES, text) or re.search(r"\bface change|changed? the\b", text):
        return None
    subject = bool(about.condition or about.units or about.emotions)
    clip = re.search(r"\b(?:clip|video|film|recording|footage|sequence|over time|frames?)\b", text)
    kinds: tuple[tuple[str, str, bool], ...] = (
        ("duration", r"\bhow long\b|\bduration\b|\blasts?\b|\bfor how (?:long|many seconds)\b", True),
        ("times", r"\bhow (?:often|many times)\b|\bnumber of (?:blinks|smiles|times)\b", True),
        (
            "peak",
            r"\b(?:peaks?|apex|strongest|maximum|most|highest|largest|biggest|widest|greatest)\b",
            True,
        ),
        (
            "offset",
            r"\b(?:ends?|stops?|stopped|ended|offset|over|fades?|disappears?|finish\w*|cease\w*|relax\w*|close again|gone)\b",
            True,
        ),
        (
            "onset",
            r"\b(?:starts?|begins?|began|started|onset|appears?|first|comes? up|occur\w*|open|set in)\b|\bwhen (?:does|do|did|is|was)\b|\bat (?:what|which)\b",
            True,
        ),
        (
            "change",
            r"\b(?:chang\w+|develop\w*|evol\w+|course|over time|timeline|sequence|throughout|over the (?:clip|video)|during the)\b",
            False,
        ),
        ("ever", r"\bblink\w*|\bever\b|\bat any (?:time|point|moment)\b|\bduring\b", True),
    )
    for name, words, needs in kinds:
        if (
            re.search(words, text)
            and (subject or not needs)
            and (
                name in ("ever", "change")
                or re.search(
                    r"\bwhen\b|\bat (?:what|which)\b|\bhow (?:long|often|many)\b|\b(?:second|time|moment|frame|onset|offset|apex|peak|duration|number of)\b",
                    text,
                )
                or clip
            )
        ):
            if (
                name == "change"
                and subject
                and not clip
                and not re.search(r"chang|develop|evol|course", text)
            ):
                continue
            return replace(about, intent="course", course=name, moment=None)
    return None


def _quality(text: str, about: Inquiry) -> Inquiry | None:
    if re.search(
        r"\b(?:sun)?glasses\b|\bspectacles\b|\bwearing an? (?:mask|hat|scarf|veil|helmet)\b|\bmasked?\b", text
    ):
        return replace(
            about,
            intent="quality",
            topic="glasses" if "glasses" in text or "spectacles" in text else "hidden",
        )
    hidden = r"\b(?:hidden|covered?|cover(?:s|ing)|occlu\w+|obscured|blocked|obstruct\w*|in front of (?:the|her|his) face|(?:hiding|hides|hide) (?:the|her|his|their) (?:\w+ )?(?:eyes?|mouth|face|nose|chin|brows?|forehead|lips)|cut off|partly visible|fully visible|entire face|whole face|complete face)\b"
    if re.search(hidden, text) and not re.search(r"\bhidden (?:feeling|emotion)", text):
        return replace(about, intent="quality", topic="hidden")
    if re.search(
        r"\b(?:quality|good enough|usable|suitable|suited|blur\w*|sharp(?:ness)?|out of focus|in focus|too (?:dark|bright|dim|light)|(?:picture|photo|image|clip|video|face|shot|it) (?:is |looks? |so |rather |very |quite )*(?:dark|bright|dim)|(?:dark|bright|dim) (?:picture|photo|image|clip|video|shot)|brightness|lighting|light conditions|well lit|enough light|underexposed|overexposed|exposure|resolution|pixelated|grainy|noisy|too small|large enough|big enough|too far|image size|picture size|how (?:large|big) is the (?:face|picture|image)|reliable|trust (?:the|this|these|your))\b",
        text,
    ) and not re.search(r"\bhow (?:certain|sure|confident)\b", text):
        if re.search(r"\breliable|trust\b", text) and not re.search(r"picture|photo|image|clip|video", text):
            return replace(about, intent="certainty")
        return replace(about, intent="quality", topic="picture")
    return None


def _gaze_pose(text: str, about: Inquiry) -> Inquiry | None:
    if re.search(r"\b(?:yaw|pitch|roll)\b|\bhead ?-?(?:pose|position|angle|orientation|tilt|turn|direction|rotation)\b", text):
        return replace(about, intent="pose", angle=_angle(text))
    looks = r"\blook(?:s|ing)? (?:at (?:the|me|us|you)|where|into|away|to the|up\b|down\b|left|right|straight|aside|sideways|directly)|\bwhere .*\blook"
    if re.search(rf"\b(?:gaze|pupils?|eye ?contact|eyes? (?:direction|look\w*|pointing|focus\w*)|lens)\b|{looks}", text):
        if re.search(r"\bhead\b", text):
            return replace(about, intent="pose", angle="frontal")
        return replace(about, intent="gaze")
    if re.search(r"\b(?:profile|frontal|facing (?:the )?(?:camera|me|us|front|forwards?))\b", text):
        return replace(about, intent="pose", angle="frontal")
    return _head(text, about)


def _angle(text: str) -> str:
    named = [angle for angle in ("yaw", "pitch", "roll") if re.search(rf"\b{angle}\b", text)]
    if not named:
        named = ["yaw"] if re.search(r"\bturn|direction\b", text) else ["roll"] if "tilt" in text else []
    return named[0] if len(named) == 1 else "all"


_TURNED = re.compile(
    r"\b(?:tilt\w*|turn\w*|bent|bow\w*|nod\w*|lean\w*|rotat\w*|inclin\w*|raised?|lift\w*|lowered|up|down|sideways|upright|angle|direction|position|orientation|pointing|oriented|looking)\b"
)
_HEAD = re.compile(
    r"\bhead\b|\bchin\b.*\b(?:raised?|up|lift(?:ed|ing|s)?|lowered|down|high)\b|\b(?:rais\w+|lowered|lift\w*) (?:the |her |his |their )?chin\b"
    r"|\bface\b.*\b(?:turned|tilted|rotated|directed|pointing)\b|\bturned face\b"
)


def _head(text: str, about: Inquiry) -> Inquiry | None:
    if about.units:
        return None
    if re.search(r"\b(?:head|chin|face)\b.*\b(?:facing|(?:to|towards?|at) the camera|straight)\b", text):
        return replace(about, intent="pose", angle="frontal")
    if not _HEAD.search(text) or not _TURNED.search(text):
        return None
    nods = re.search(r"\b(?:up|down|back|forward|backwards?|forwards?)\b", text)
    if not nods and re.search(r"\btilt\w*|lean\w*|inclin\w*|upright|crooked\b", text):
        return replace(about, intent="pose", angle="roll")
    if re.search(r"\b(?:bent|bow\w*|nod\w*|lowered|down|downwards?|forwards?)\b", text):
        return replace(about, intent="pose", angle="pitch", way="down")
    if re.search(r"\b(?:rais\w+|lift\w*|up|upwards?|high|backwards?|back)\b", text):
        return replace(about, intent="pose", angle="pitch", way="up")
    return replace(about, intent="pose", angle="yaw")


def _beliefs(text: str, about: Inquiry) -> Inquiry | None:
    if re.search(r"\bleast (?:likely|probable)\b", text) and not about.units:
        return replace(about, intent="absent_emotions")
    likely = re.search(
        r"\b(?:probabilit\w+|likelihoods?|likely|chances?|distribution|odds|percent(?:age)?s?|scores?|confidences?|how (?:probable|much))\b|%",
        text,
    )
    if re.search(
        r"\b(?:second|2nd|next|runner-?up|third)\b.*\b(?:likel\w+|probable|best|guess|choice|emotions?|labels?|candidates?|place)\b|\brunner-?up\b|\bwhat else\b|\balternativ\w*|\bother (?:possible |likely )?(?:emotions?|labels?|candidates?|options?|interpretations?|readings?)\b|\bif (?:it is |it's )?not (?:that|this|\w+),? (?:what|which)|\bbesides (?:that|this|\w+)\b.*\bemotions?\b|\banother emotion\b|\bmixed\b",
        text,
    ):
        return replace(about, intent="second")
    if likely and about.emotions and not re.search(r"\b(?:all|every|each|distribution)\b", text):
        return replace(about, intent="probability")
    if (
        (likely or re.search(r"\bhow (?:much )?(?:of )?each\b", text))
        and re.search(
            r"\b(?:emotions?|all|every|each|distribution|labels?|class(?:es)?|probabilities|percentages|scores)\b",
            text,
        )
        and not about.units
        and not re.search(
            r"\b(?:aus?|action units?)\b|\btop\b|\bmost likely (?:emotion|label|expression)\b|\bof the (?:emotion|label|answer)\b",
            text,
        )
    ):
        return replace(about, intent="probabilities")
    if re.search(
        r"\b(?:how|are you|you) (?:certain|sure|confident|positive)\b|\bcertain(?:ty)?\b|\bconfiden(?:t|ce)\b|\bhow (?:reliable|safe|firm|trustworthy|accurate)\b|\bare you sure\b|\bpretty sure\b|\bdoubts?\b|\bhow clear\b|\b(?:could|might) you be wrong\b",
        text,
    ):
        return replace(about, intent="certainty")
    return None


def _arrays(text: str, about: Inquiry) -> Inquiry | None:
    every = re.search(r"\b(?:all|every|each|complete|full)\b", text)
    shaped = re.search(
        r"\b(?:arrays?|vectors?|matrix|json|dict(?:ionary)?|csv|table|one per line|per line|list of (?:numbers|values|floats|integers|levels|zeros)|as numbers|numeric(?:al)?|0/1|0 or 1|0 and 1|zeros? (?:and|or) ones?|binary|\[)",
        text,
    )
    units = re.search(r"\b(?:aus?|action units?|units?|muscles?|movements?|facs)\b", text)
    numbers = re.search(
        r"\b(?:levels?|intensit\w+|presence|values?|strengths?|scores?|grades?|numbers)\b", text
    )
    if not ((shaped and (units or numbers)) or (units and every and numbers)) or len(about.units) == 1:
        return None
    form: Form = "level"
    if re.search(
        r"\b(?:binary|0/1|0 or 1|0 and 1|zeros? (?:and|or) ones?|presence|present or absent|present/absent|true or false|booleans?)\b",
        text,
    ):
        form = "binary"
    if re.search(
        r"\b(?:intensit\w+|decimals?|floats?|(?:between|from) 0 (?:and|to) 1(?!\d)|0 ?(?:-|to|\.\.+) ?1(?:\.0)?(?!\d)|continuous)\b",
        text,
    ) and not re.search(r"\blevels?\b|\b0 ?(?:-|to|\.\.+|and) ?5\b", text):
        form = "intensity"
    return replace(about, intent="array", form=form, lines=bool(re.search(r"\bper line|lines\b", text)))


_DEGREE = re.compile(
    r"\bhow (?:strong\w*|intense\w*|wide\w*|much|big|far|large|pronounced|high|low|deep\w*|tight\w*|hard|marked|visible|heav\w+|open|closed|raised|lowered|broad\w*|clear\w*|active)\b|\b(?:levels?|intensit\w+|strength|degree|grades?|letters?|rate|rating|scale|score|magnitude|amount|extent|value|from absent to|0 to 5|a ?- ?e)\b"
)


def _degree(text: str, about: Inquiry) -> Inquiry | None:
    if not _DEGREE.search(text) or not (about.units or about.condition):
        return None
    if re.search(r"\bhow (?:certain|sure)\b", text):
        return None
    return replace(about, intent="degree")


def _absent(text: str, about: Inquiry) -> Inquiry | None:
    gone = re.search(
        r"\b(?:absent|missing|inactive|not (?:visible|present|active|shown|there|moving|seen|involved|found|detected|activated|occurring|to be seen)|isn't (?:visible|there|present|moving)|rule[sd]? out|exclude[sd]?|excluded|unlikely|impossible|aren't (?:active|present|there|visible)|do(?:es)?(?:n't| not) (?:move|occur|appear|show)|at rest|least likely|without)\b",
        text,
    )
    if not gone or about.units or about.condition or YES_NO.search(text):
        return None
    if re.search(r"\bemotions?|labels?|feelings?|moods?\b", text):
        return replace(about, intent="absent_emotions")
    return replace(about, intent="absent")


def _movement(text: str, about: Inquiry) -> Inquiry | None:
    if about.units and (
        len(text.split()) <= 4 or YES_NO.search(text) or not re.search(r"\bwhy|describe|explain\b", text)
    ):
        return replace(about, intent="movement", condition=Condition(about.units, every=True))
    if about.condition is None:
        return None
    if (
        YES_NO.search(text)
        or len(text.split()) <= 4
        or re.search(
            r"\bwhether\b|\bor not\b|\bi (?:wonder|would like to know|want to know|need to know) if\b|\btell me if\b",
            text,
        )
    ):
        return replace(about, intent="movement")
    return None


def _explain(text: str, about: Inquiry) -> Inquiry | None:
    why = re.search(
        r"\b(?:why|explain\w*|explanation|justif\w+|reasons?|reasoning|step[- ]by[- ]step|interpret\w*|what makes|how do you know|how did you|how come|evidence|(?:which|what) (?:are (?:the )?)?signs|signs (?:of|for) (?:this|that|the)|based on what|on what basis|grounds|cues?|clues?|analy[sz]\w+)\b",
        text,
    )
    told = re.search(
        r"\b(?:describe|description|detail\w*|tell me (?:about|more)|what do you see|what (?:can|do) you (?:see|observe|notice)|what is (?:going on|happening|visible|to be seen)|full report|characteri[sz]e|narrate|summari[sz]e|caption|report)\b",
        text,
    )
    short = re.search(r"\bone word\b|\bsingle word\b|\bin a word\b|\blabel only\b|\bone label\b", text)
    if (
        about.regions
        and not why
        and not re.search(
            r"\bface\b|\bexpression\b", text.replace("upper face", "").replace("lower face", "")
        )
    ):
        return replace(about, intent="region")
    if (why or told) and not short:
        if about.regions and re.search(r"\b(?:upper|lower) face\b", text):
            return replace(about, intent="region")
        return replace(about, intent="explain")
    return None


def _region(text: str, about: Inquiry) -> Inquiry | None:
    return replace(about, intent="region") if about.regions else None


def _unit_list(text: str, about: Inquiry) -> Inquiry | None:
    if about.units or not re.search(
        r"\b(?:aus?|action ?units?|(?:facial |face )?muscles?|facial (?:movements?|actions?)|movements?|facs|what (?:is )?mov(?:es|ing))\b",
        text,
    ):
        return None
    return replace(about, intent="list")


def _emotion(text: str, about: Inquiry) -> Inquiry | None:
    if about.emotions and (
        YES_NO.search(text) or len(text.split()) <= 3 or re.search(r"\bsigns? of|hint of|trace of\b", text)
    ):
        if len(about.emotions) > 1 and re.search(r"\bor\b|\bversus\b|\bvs\b|/", text):
            return replace(about, intent="choice")
        return replace(about, intent="is_emotion")
    if about.emotions and len(about.emotions) > 1 and re.search(r"\bor\b", text):
        return replace(about, intent="choice")
    if re.search(
        r"\b(?:emotions?|emotional(?:ly)?|feel(?:s|ing|ings)?|moods?|expressions?|express(?:es|ed|ing)?|sentiments?|affect|look on (?:the|his|her) face|facial|label|state of mind)\b|\bhow (?:is|are|does|do) (?:he|she|they|this|the|it)\b(?: (?:person|man|woman|face|guy|girl|lady|boy))?(?: (?:look|seem|appear|doing|feeling|today|come across))?",
        text,
    ):
        return replace(about, intent="emotion")
    if about.emotions and re.search(r"\bhow \w+\b", text):
        return replace(about, intent="probability")
    return None


def _leftover(text: str, about: Inquiry) -> Inquiry | None:
    if about.condition is not None:
        return replace(about, intent="movement")
    return replace(about, intent="is_emotion") if about.emotions and len(text) < 60 else None


INTENTS: tuple[Callable[[str, Inquiry], Inquiry | None], ...] = (
    _about_tool, _count, _course, _compare, _quality, _beliefs, _arrays, _degree, _gaze_pose, _absent, _movement, _explain, _unit_list, _region, _emotion, _leftover,
)  # fmt: skip
"""In the order of their precision: the first that fits says what is asked."""
