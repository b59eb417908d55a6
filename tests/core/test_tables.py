"""The tables of Action Units and emotions agree with one another and with their sources."""

from __future__ import annotations

import pytest

from mien.core.aus import AU_SETS, AUS, FEAFA_24, LEVEL_LETTERS, au_key, au_set
from mien.core.emotions import EMFACS, EMOTIONS, ORDERS, canonical, order
from mien.core.errors import BadConfig

REGIONS = {"brow", "eye", "nose", "cheek", "mouth", "chin", "jaw"}
# Size of each set as its dataset or tool publishes it.
SIZES = {
    "pocket": 22, "disfa8": 8, "disfa12": 12, "bp4d12": 12, "gft10": 10, "gft19": 19, "faba12": 12,
    "faba20": 20, "emotionet12": 12, "openface_r": 17, "openface_c": 18, "pyfeat20": 20,
}  # fmt: skip
# Words of label orders that are none of mien's eight.
EXTRA_WORDS = {"anxiety", "helplessness", "disappointment"}


def test_units_are_keyed_and_ordered_by_number() -> None:
    numbers = [info.number for info in AUS.values()]
    assert numbers == sorted(set(numbers))
    assert all(key == info.key == f"AU{info.number:02d}" for key, info in AUS.items())
    assert {info.region for info in AUS.values()} == REGIONS
    assert all(info.name and info.muscle and info.movement for info in AUS.values())


@pytest.mark.parametrize("name", AU_SETS)
def test_sets_hold_known_units_once(name: str) -> None:
    keys = au_set(name)
    assert len(keys) == len(set(keys)) == SIZES[name]
    assert set(keys) <= set(AUS)


def test_disfa_sets_are_the_published_ones() -> None:
    assert [AUS[key].number for key in au_set("disfa8")] == [1, 2, 4, 6, 9, 12, 25, 26]
    assert set(au_set("disfa8")) < set(au_set("disfa12"))
    assert set(au_set("gft10")) < set(au_set("gft19"))


def test_feafa_counts_by_its_own_list() -> None:
    assert len(FEAFA_24) == len({value.name for value in FEAFA_24}) == 24
    assert FEAFA_24[0].name == "left eye close"
    assert FEAFA_24[0].facs == "AU43"
    assert {value.facs for value in FEAFA_24} - {None} <= set(AUS)
    lefts = [value.name.replace("left", "*") for value in FEAFA_24 if value.side == "left"]
    rights = [value.name.replace("right", "*") for value in FEAFA_24 if value.side == "right"]
    assert lefts == rights


@pytest.mark.parametrize("spelling", [6, "6", "06", "AU6", "AU06", "au6", " AU06 "])
def test_unit_spellings(spelling: int | str) -> None:
    assert au_key(spelling.strip() if isinstance(spelling, str) else spelling) == "AU06"


@pytest.mark.parametrize("spelling", ["", "AU", "six", "AU6a", "-6"])
def test_bad_unit_spellings(spelling: str) -> None:
    with pytest.raises(BadConfig, match="Expected a FACS number"):
        au_key(spelling)


def test_there_is_a_letter_for_every_level() -> None:
    assert LEVEL_LETTERS == ("", "A", "B", "C", "D", "E")


@pytest.mark.parametrize("name", ORDERS)
def test_orders_are_complete(name: str) -> None:
    """Every word is one of the eight or a known extra; seven words leave out contempt only, fewer a published one."""
    words = order(name)
    known = [canonical(word) for word in words]
    assert {word for word, emotion in zip(words, known, strict=True) if emotion is None} <= EXTRA_WORDS
    found = [emotion for emotion in known if emotion is not None]
    assert len(found) == len(set(found))
    missing = set(EMOTIONS) - set(found)
    assert missing <= ({"neutral"} if name == "affectiva" else {"contempt"})


def test_our_order_is_affectnets() -> None:
    assert tuple(canonical(word) for word in order("affectnet")) == EMOTIONS == order("mien")


@pytest.mark.parametrize(
    ("word", "emotion"),
    [("Happy", "happiness"), ("joy", "happiness"), ("fearful", "fear"), ("scared", "fear"), (" Sad ", "sadness"),
     ("anxiety", None), ("", None), ("happy sad", None)],
)  # fmt: skip
def test_foreign_words(word: str, emotion: str | None) -> None:
    assert canonical(word) == emotion


def test_rules_use_known_units_most_complete_first() -> None:
    assert set(EMFACS) == set(EMOTIONS) - {"neutral"}
    for combinations in EMFACS.values():
        assert all(set(combination) <= set(AUS) for combination in combinations)
        sizes = [len(combination) for combination in combinations]
        assert sizes == sorted(sizes, reverse=True)


@pytest.mark.parametrize("look_up", [au_set, order])
def test_unknown_names_list_the_known(look_up: object) -> None:
    assert callable(look_up)
    with pytest.raises(BadConfig, match=r"Got .*'nowhere'\. Expected one of .*\. Choose one of these\."):
        look_up("nowhere")
