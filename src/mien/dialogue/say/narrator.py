"""The rules narrator: measured AUs and emotion probabilities -> a chain of thought in ExpLLM's three parts.

It is the text teacher of the pocket model and the voice of the rules reader. It claims only what was measured,
names degrees by the public table in `mien.dialogue.read.degrees`, speaks of the apparent expression, uses no AU
numbers and no personal pronouns, and stays within ExpLLM's limit of 130 words (facts on papers, Exp-CoT engine).
"""

from __future__ import annotations

import math
import random
import re
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, replace

from mien.core.aus import AUS
from mien.core.emotions import EMFACS, EMOTIONS
from mien.core.errors import BadInput
from mien.core.nouns import AuReading, Explanation
from mien.dialogue.read.claims import read_claims
from mien.dialogue.say import verdicts
from mien.dialogue.say.interactions import INTERACTIONS
from mien.dialogue.say.movements import MOVEMENTS, REGIONS
from mien.dialogue.say.wording import Meaning, Said, capitalise, say_absence, say_movement, say_pair

__all__ = ["MAX_WORDS", "MIN_WORDS", "Draft", "certainty", "compose", "narrate"]

MIN_WORDS, MAX_WORDS = 60, 130
"""Words of the whole text, headings included."""
_HEADING_WORDS = 6
_MOST_MOVEMENTS = 6
_SMILE = 0.3
"""Intensity 0..1 of AU12 from which a smile belies an opposite label."""
_SHUT = 4
"""Level of AU43 from which eyes are closed."""
_HERE = ("Here", "In this face", "In this picture", "As measured")
_BROADLY = ("All in all", "On the whole", "By and large", "Put together")
_LASTLY = ("In sum", "In short", "In the end", "Everything considered", "On balance")
_ADVERBIAL = re.compile(
    r"(?:All of|Although|As|By|Both|Each|Everything|From|In|On|Overall|Seen|So|Taken|What|Whichever|With|Without)\b"
    r"|.*\b(?:therefore|here)\b"
)
"""Sentences that open with an adverbial already, or hold one that would say it twice."""
_REGION_ORDER = ("brow", "eye", "nose", "cheek", "mouth", "chin", "jaw")


@dataclass(frozen=True, slots=True)
class Draft:
    """The three parts as sentences with their meanings."""

    observations: tuple[Said, ...]
    interpretation: tuple[Said, ...]
    conclusion: tuple[Said, ...]

    @property
    def meanings(self) -> tuple[Meaning, ...]:
        """Everything that the draft claims."""
        parts = (*self.observations, *self.interpretation, *self.conclusion)
        return tuple(meaning for said in parts for meaning in said.meanings)

    @property
    def words(self) -> int:
        """Words of the whole text, headings included."""
        return _HEADING_WORDS + sum(
            s.words for s in (*self.observations, *self.interpretation, *self.conclusion)
        )


def certainty(emotions: Mapping[str, float]) -> str:
    """``sure``, ``likely``, ``close`` or ``unclear``, from the best probability and its lead over the second."""
    best, second = sorted(emotions.values(), reverse=True)[:2]
    if best < 0.35:
        return "unclear"
    if best - second < 0.15:
        return "close"
    return "sure" if best >= 0.8 else "likely"


def _opened(text: str, openers: tuple[str, ...], rng: random.Random) -> str:
    """Half of the sentences after an adverbial, so that like faces are not told in the same words."""
    if rng.random() < 0.5 or _ADVERBIAL.match(text):
        return text
    return f"{rng.choice(openers)}, {text[:1].lower()}{text[1:]}"


def _ranked(emotions: Mapping[str, float]) -> list[str]:
    missing = [word for word in EMOTIONS if word not in emotions]
    if missing or not all(math.isfinite(emotions[word]) for word in EMOTIONS):
        raise BadInput(
            got=f"emotion probabilities for {', '.join(emotions) or 'no label'}",
            expected=f"a finite number for each of {', '.join(EMOTIONS)}",
            fix="Pass all eight probabilities",
        )
    return sorted(EMOTIONS, key=lambda word: -emotions[word])


def _join(clauses: list[Said], rng: random.Random) -> Said:
    """One sentence of one or two clauses."""
    meanings = tuple(meaning for clause in clauses for meaning in clause.meanings)
    joint = rng.choice((", and ", " while ", "; ", ", and "))
    return Said(capitalise(joint.join(clause.text for clause in clauses)) + ".", meanings)


def _movements(present: Mapping[str, AuReading], rng: random.Random) -> list[Said]:
    """Sentences on the strongest movements, from brow to jaw or strongest first."""
    strongest = sorted(present, key=lambda key: -present[key].intensity)[:_MOST_MOVEMENTS]
    if rng.random() < 0.7:
        strongest.sort(key=lambda key: _REGION_ORDER.index(AUS[key].region))
    clauses: list[tuple[str, Said]] = []
    together = {"AU01", "AU02"} <= set(strongest) and present["AU01"].level == present["AU02"].level
    together = together and rng.random() < 0.5
    for key in strongest:
        if together and key == "AU02":
            continue
        pair = together and key == "AU01"
        said = say_pair(present[key].level, rng) if pair else say_movement(key, present[key].level, rng)
        clauses.append((AUS[key].region, said))
    sentences: list[Said] = []
    while clauses:
        take = 2 if len(clauses) > 1 and rng.random() < 0.6 else 1
        chunk, clauses = clauses[:take], clauses[take:]
        said = _join([clause for _, clause in chunk], rng)
        where = rng.choice(REGIONS[chunk[0][0]]) if take == 1 and rng.random() < 0.25 else None
        # "At the mouth, the mouth opens" says it twice.
        if where is not None and not any(word[:4] in chunk[0][1].text for word in where.split()[2:]):
            said = replace(said, text=f"{capitalise(where)}, {chunk[0][1].text}.")
        sentences.append(said)
    return sentences


def _absences(absent: Iterable[str], leading: str, rng: random.Random, said: set[str]) -> list[Said]:
    """Sentences that deny telling movements; each AU once."""
    free = [key for key in verdicts.CONTRASTS[leading] if key in set(absent) - said]
    sentences: list[Said] = []
    while free:
        take = 2 if len(free) > 1 and rng.random() < 0.5 else 1
        clause = say_absence(tuple(free[:take]), rng)
        sentences.append(replace(clause, text=capitalise(clause.text) + "."))
        free = free[take:]
    return sentences


def _groups(
    present: Mapping[str, AuReading], absent: Iterable[str], leading: str, rng: random.Random
) -> list[Said]:
    """Sentences on AUs that act together; each AU in one group at most."""
    # Eyes that are only half closed still tell something.
    here = {key for key in present if key != "AU43" or present[key].level >= _SHUT}
    gone = set(absent)
    used: set[str] = set()
    sentences: list[Said] = []
    for group in INTERACTIONS:
        fits = not group.fits or leading in group.fits
        if not fits or not set(group.present) <= here - used or not set(group.absent) <= gone:
            continue
        used |= set(group.present)
        meanings = tuple((key, True, None) for key in group.present)
        meanings += tuple((key, False, None) for key in group.absent)
        sentences.append(Said(_opened(rng.choice(group.sentences), _HERE, rng), meanings))
    return sentences


def _fill(template: str, leading: str, second: str, rng: random.Random, link: bool = False) -> str:
    """A template with its slots filled; a ``link`` takes no bare adjective: "the signs agree on neutral"."""
    calm = "a neutral expression"
    phrase = calm if leading == "neutral" else f"an expression of {leading}"
    x, y = (calm if link and word == "neutral" else word for word in (leading, second))
    return capitalise(template.format(x=x, y=y, np=phrase, look=rng.choice(verdicts.LOOKS[leading])))


def _supported(leading: str, present: Iterable[str]) -> bool:
    """Whether half of a combination of the label's is there, and no other label's is clearly more complete."""
    here = set(present)
    share = {
        name: max(len(here & set(units)) / len(units) for units in combinations)
        for name, combinations in EMFACS.items()
    }
    return share.get(leading, 0.0) >= max(0.5, max(share.values()) - 0.4)


def _borne(leading: str, present: Mapping[str, AuReading]) -> bool:
    """Whether signs of the label are there, and no smile that belies it."""
    return _supported(leading, present) and not _smiles_against(leading, present)


def _smiles_against(leading: str, present: Mapping[str, AuReading]) -> bool:
    """Whether a smile stands in a face whose label says the opposite."""
    return (
        verdicts.CONTRASTS[leading][0] == "AU12" and "AU12" in present and present["AU12"].intensity >= _SMILE
    )


def _apt(texts: tuple[str, ...], present: Iterable[str]) -> tuple[str, ...]:
    """Those that what moves does not belie: nothing "moves" at rest, and two halves agree only where both move."""
    halves = {AUS[key].region in ("mouth", "chin", "jaw", "nose") for key in present}
    wrong = (
        r"The movements of|What moves|these signs|signs agree"
        if not halves
        else r"Upper and lower"
        if len(halves) < 2
        else r"\Z."
    )
    return tuple(text for text in texts if not re.search(wrong, text))


def _free_of_signs(texts: tuple[str, ...]) -> tuple[str, ...]:
    """Those that do not rest on the signs: for a label that the measured movements do not bear out."""
    return tuple(text for text in texts if not re.search(r"\b(?:signs?|evidence|indicate)\b", text))


def _interpretation(
    present: Mapping[str, AuReading], absent: list[str], emotions: Mapping[str, float], rng: random.Random
) -> list[Said]:
    leading, second = _ranked(emotions)[:2]
    sure = certainty(emotions)
    sentences = _groups(present, absent, leading, rng)[: 1 if len(present) > 3 else 2]
    links = verdicts.LINKS[sure]
    if leading == "neutral" and present and sure in {"sure", "likely"}:
        links = verdicts.NO_SUPPORT[True]
    elif leading != "neutral" and sure in {"sure", "likely"} and not _borne(leading, present):
        links = verdicts.NO_SUPPORT[False]
    links = _apt(links, present) + (
        verdicts.STILL if sure == "sure" and not present and leading == "neutral" else ()
    )
    link = _fill(rng.choice(links), leading, second, rng, link=True)
    return [*sentences, Said(_opened(link, _BROADLY, rng))]


def _unmeasured_draft(emotions: Mapping[str, float], rng: random.Random) -> Draft:
    leading, second = _ranked(emotions)[:2]
    if max(emotions.values()) - min(emotions.values()) < 0.01:
        links, conclusions = verdicts.NO_EVIDENCE, verdicts.NAMED_ONLY
    else:
        links, conclusions = verdicts.NO_SUPPORT[False], verdicts.CONCLUSIONS[certainty(emotions)]
    observations = tuple(Said(text) for text in rng.choice(verdicts.NOTHING_MEASURED))
    interpretation = (Said(_fill(rng.choice(links), leading, second, rng, link=True)),)
    return Draft(observations, interpretation, (Said(_fill(rng.choice(conclusions), leading, second, rng)),))


def _grow(draft: Draft, more: list[Said], remark: Said, rng: random.Random) -> Draft:
    """Add optional sentences: absences to the observations, then a remark, then pads, within the word limits."""
    aim = rng.randint(MIN_WORDS + 6, 105)
    for said in more:
        if draft.words < aim and draft.words + said.words <= MAX_WORDS - 8:
            draft = replace(draft, observations=(*draft.observations, said))
    if draft.words + remark.words <= MAX_WORDS and (draft.words < MIN_WORDS or rng.random() < 0.7):
        draft = replace(draft, conclusion=(*draft.conclusion, remark))
    for pad in rng.sample(verdicts.PADS, len(verdicts.PADS)):
        if draft.words < MIN_WORDS:
            draft = replace(draft, interpretation=(*draft.interpretation, Said(pad)))
    return draft


def _shrink(draft: Draft) -> Draft:
    """Drop the last observation until the limit holds."""
    while draft.words > MAX_WORDS and len(draft.observations) > 1:
        draft = replace(draft, observations=draft.observations[:-1])
    return draft


def compose(aus: Mapping[str, AuReading], emotions: Mapping[str, float], rng: random.Random) -> Draft:
    """The explanation as sentences with their intended meanings; `narrate` is the public form.

    Raises:
        BadInput: one of the eight emotion probabilities is missing or not finite.
    """
    leading, second = _ranked(emotions)[:2]
    known = {key: reading for key, reading in aus.items() if key in MOVEMENTS}
    measured = {key: reading for key, reading in known.items() if reading.measured}
    present = {key: reading for key, reading in measured.items() if reading.presence}
    absent = [key for key, reading in measured.items() if reading.level == 0]
    borne = _borne(leading, present)
    kept = tuple if borne else _free_of_signs
    remark = Said(rng.choice(kept(verdicts.REMARKS[certainty(emotions)])))
    if not measured:
        return _grow(_unmeasured_draft(emotions, rng), [], remark, rng)
    observations = _movements(present, rng) if present else [Said(rng.choice(verdicts.QUIET))]
    interpretation = _interpretation(present, absent, emotions, rng)
    template = rng.choice(kept(verdicts.CONCLUSIONS[certainty(emotions)]))
    conclusion = Said(_opened(_fill(template, leading, second, rng), _LASTLY, rng))
    draft = _shrink(Draft(tuple(observations), tuple(interpretation), (conclusion,)))
    denied = {au for said in interpretation for au, here, _ in said.meanings if not here}
    more = _absences(absent, leading, rng, denied)
    if len(measured) < len(known):
        more.insert(0, Said(rng.choice(verdicts.PARTLY_MEASURED)))
    return _grow(draft, more, remark, rng)


def _text(sentences: Iterable[Said]) -> str:
    return " ".join(said.text for said in sentences)


def narrate(aus: Mapping[str, AuReading], emotions: Mapping[str, float], rng: random.Random) -> Explanation:
    """Explain measured AUs and emotion probabilities in words.

    Args:
        aus: readings by AU key; a NaN reading (unmeasured) is never spoken of.
        emotions: probabilities of the eight `EMOTIONS`, sum 1.
        rng: the same state gives the same text.

    Returns:
        Three parts of 60..130 words in all, with the claims read back from the text (verdicts open). The
        conclusion names the most probable label once.

    Raises:
        BadInput: one of the eight emotion probabilities is missing or not finite.
    """
    draft = compose(aus, emotions, rng)
    explanation = Explanation(_text(draft.observations), _text(draft.interpretation), _text(draft.conclusion))
    return replace(explanation, claims=read_claims(explanation.text))
