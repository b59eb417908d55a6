"""The narrator: variety, limits of form, and the property that everything it says can be read back and holds."""

import math
import random
import re
from collections import Counter

import pytest

from mien.core.aus import AU_SETS, AUS
from mien.core.emotions import EMOTIONS
from mien.core.errors import BadInput
from mien.core.nouns import AuReading
from mien.dialogue.read.claims import read_claims, split_sentences
from mien.dialogue.read.emotion import read_emotion
from mien.dialogue.say import verdicts
from mien.dialogue.say.interactions import INTERACTIONS
from mien.dialogue.say.movements import MOVEMENTS
from mien.dialogue.say.narrator import _HERE, MAX_WORDS, MIN_WORDS, _opened, certainty, compose, narrate
from mien.dialogue.say.wording import ATTRIBUTES, movement_clauses, say_absence, say_pair
from mien.metrics.faithfulness import audit

FLAT = dict.fromkeys(EMOTIONS, 1 / 8)


def random_case(rng):
    keys = tuple(AUS) if rng.random() < 0.2 else AU_SETS["pocket"]
    missing = rng.choice((0.0, 0.0, 0.1, 0.9))
    cut_off = rng.choice((1, 1, 1, 2))
    aus = {
        key: AuReading.of(
            math.nan if rng.random() < missing else rng.random() * rng.choice((0, 0, 0.05, 0.6, 1)),
            cut_off=cut_off,
        )
        for key in keys
    }
    weights = [rng.random() ** rng.choice((1, 4, 20)) + 1e-6 for _ in EMOTIONS]
    return aus, {word: weight / sum(weights) for word, weight in zip(EMOTIONS, weights, strict=True)}


CASES = [random_case(random.Random(seed)) for seed in range(400)]


@pytest.fixture(scope="module")
def explanations():
    return [narrate(aus, emotions, random.Random(seed)) for seed, (aus, emotions) in enumerate(CASES)]


def meanings_of(claims):
    return {(claim.au, claim.present) for claim in claims}, {
        (claim.au, claim.level) for claim in claims if claim.level
    }


def test_every_claim_is_read_back_and_none_is_invented(explanations):
    for seed, (aus, emotions) in enumerate(CASES):
        draft = compose(aus, emotions, random.Random(seed))
        explanation = explanations[seed]
        intended = {(au, present) for au, present, _ in draft.meanings}
        levels = {(au, level) for au, _, level in draft.meanings if level}
        assert meanings_of(explanation.claims) == (intended, levels), explanation.text


def test_the_audit_supports_every_claim_and_nothing_unmeasured_is_claimed(explanations):
    verdicts = Counter(
        claim.verdict
        for (aus, _), explanation in zip(CASES, explanations, strict=True)
        for claim in audit(explanation.claims, aus)
    )
    assert set(verdicts) == {"supported"}
    assert verdicts["supported"] > 5 * len(CASES)


def test_form_words_label_and_wording(explanations):
    forbidden = re.compile(
        r"\b(?:AU ?\d+|he|she|they|his|her|their|I|we|you|it feels|feels|nan)\b", re.IGNORECASE
    )
    for (_, emotions), explanation in zip(CASES, explanations, strict=True):
        assert MIN_WORDS <= len(explanation.text.split()) <= MAX_WORDS, explanation.text
        named = [word for word in re.findall(r"\w+", explanation.conclusion.lower()) if word in EMOTIONS]
        assert named == [max(EMOTIONS, key=lambda word: emotions[word])], explanation.conclusion
        assert not forbidden.search(explanation.text), explanation.text
        assert "{" not in explanation.text


def test_same_seed_same_text_other_seed_other_text():
    aus, emotions = CASES[0]
    texts = {narrate(aus, emotions, random.Random(seed)).text for seed in range(60)}
    assert narrate(aus, emotions, random.Random(5)) == narrate(aus, emotions, random.Random(5))
    assert len(texts) > 57


def test_the_vocabulary_stays_small_enough_for_a_small_model(explanations):
    words = {word for said in explanations for word in re.findall(r"[a-z'-]+", said.text.lower())}
    assert 350 < len(words) < 900


@pytest.mark.parametrize("au", AU_SETS["pocket"])
def test_forty_ways_per_level_and_each_is_read_back(au):
    for level in range(1, 6):
        clauses = movement_clauses(au, level)
        # Closed eyes have no strength, and a mouth that is hardly stretched open is not "wide".
        least = 2 if au == "AU43" or (au == "AU27" and level <= 2) else 40
        assert len({clause.text for clause in clauses}) >= least
        for clause in random.Random(level).sample(clauses, min(25, len(clauses))):
            ((key, present, levels),) = clause.meanings
            assert levels is None or levels[0] <= level <= levels[1]
            claims = read_claims(f"{clause.text}.")
            assert [(c.au, c.present, c.level) for c in claims] == [(key, present, levels)], clause.text


@pytest.mark.parametrize("au", tuple(AUS))
def test_absences_are_read_back(au):
    other = "AU12" if au != "AU12" else "AU04"
    for seed in range(30):
        said = say_absence((au, other) if seed % 2 else (au,), random.Random(seed))
        found = {(claim.au, claim.present) for claim in read_claims(f"{said.text}.")}
        assert found == {(key, False) for key, _, _ in said.meanings}, said.text


def test_raised_brows_in_one_phrase_are_two_claims():
    for seed in range(60):
        said = say_pair(3, random.Random(seed))
        found = {(claim.au, claim.level) for claim in read_claims(f"{said.text}.")}
        assert found == {(au, levels) for au, _, levels in said.meanings}, said.text


@pytest.mark.parametrize("group", INTERACTIONS, ids=lambda group: "+".join(group.present))
def test_interactions_say_all_of_their_aus_and_only_these(group):
    intended = {(au, True) for au in group.present} | {(au, False) for au in group.absent}
    for sentence in group.sentences:
        claims = read_claims(sentence)
        assert {(claim.au, claim.present) for claim in claims} == intended, sentence
        assert not any(claim.level for claim in claims), sentence


@pytest.mark.parametrize("group", INTERACTIONS, ids=lambda group: "+".join(group.present))
def test_an_opening_adverbial_changes_no_claim(group):
    intended = {(au, True) for au in group.present} | {(au, False) for au in group.absent}
    said = {
        _opened(sentence, _HERE, random.Random(seed)) for sentence in group.sentences for seed in range(20)
    }
    assert len(said) > len(group.sentences) or all(
        _opened(one, _HERE, random.Random(1)) == one for one in said
    )
    for sentence in said:
        assert {(claim.au, claim.present) for claim in read_claims(sentence)} == intended, sentence


def test_two_hundred_like_faces_share_few_sentences():
    aus = {"AU06": AuReading.of(0.6), "AU12": AuReading.of(0.8), "AU25": AuReading.of(0.5)}
    emotions = {**dict.fromkeys(EMOTIONS, 0.01), "happiness": 0.93}
    texts = [narrate(aus, emotions, random.Random(seed)).text.replace("\n", " ") for seed in range(200)]
    counts = Counter(one for text in texts for one in {text[a:b] for a, b in split_sentences(text)})
    assert counts.most_common(1)[0][1] <= 0.15 * len(texts), counts.most_common(3)


def test_tables_cover_every_au():
    assert set(MOVEMENTS) == set(AUS) == set(ATTRIBUTES)
    for au, phrase in ATTRIBUTES.items():
        assert {(claim.au, claim.present) for claim in read_claims(f"The {phrase}.")} >= {(au, True)}, phrase


def test_a_smile_that_reaches_the_eyes():
    aus = {"AU06": AuReading.of(0.6), "AU12": AuReading.of(0.8), "AU04": AuReading.of(0.0)}
    emotions = {**dict.fromkeys(EMOTIONS, 0.01), "happiness": 0.93}
    texts = [narrate(aus, emotions, random.Random(seed)).interpretation for seed in range(20)]
    assert all("smile" in text or "cheeks" in text for text in texts)


def test_nothing_measured_is_said_and_not_invented():
    aus = dict.fromkeys(AU_SETS["pocket"], AuReading.of(math.nan))
    for seed in range(20):
        explanation = narrate(aus, FLAT, random.Random(seed))
        assert explanation.claims == ()
        assert "could be measured" in explanation.observations
        assert MIN_WORDS <= len(explanation.text.split()) <= MAX_WORDS


@pytest.mark.parametrize(
    ("best", "second", "expected"),
    [(0.9, 0.05, "sure"), (0.6, 0.2, "likely"), (0.45, 0.4, "close"), (0.3, 0.1, "unclear")],
)
def test_certainty(best, second, expected):
    rest = (1 - best - second) / 6
    emotions = dict(zip(EMOTIONS, (best, second, *[rest] * 6), strict=True))
    assert certainty(emotions) == expected


def test_hedged_wording_when_two_emotions_are_close():
    aus, _ = CASES[0]
    emotions = {**dict.fromkeys(EMOTIONS, 0.02), "fear": 0.45, "surprise": 0.43}
    hedge = re.compile(r"may|doubt|narrow|closest|leans|not certain")
    assert all(hedge.search(narrate(aus, emotions, random.Random(seed)).conclusion) for seed in range(30))


@pytest.mark.parametrize("emotions", [{}, {"fear": 1.0}, {**FLAT, "fear": math.nan}])
def test_incomplete_emotions_are_refused(emotions):
    with pytest.raises(BadInput, match="eight"):
        narrate({}, emotions, random.Random(0))


@pytest.mark.parametrize("sure", verdicts.CONCLUSIONS)
def test_every_conclusion_is_read_back(sure):
    for template in verdicts.CONCLUSIONS[sure]:
        for emotion in EMOTIONS:
            phrase = "a neutral expression" if emotion == "neutral" else f"an expression of {emotion}"
            said = template.format(x=emotion, np=phrase)
            assert read_emotion(said[0].upper() + said[1:]).emotion == emotion, said
