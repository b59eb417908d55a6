"""EmoNet-Face (Schuhmann et al. 2025): generated portraits rated by experts on 40 emotions.

On disk: ``hq.csv`` and ``binary.csv`` (also in ``data/``, as in LAION-AI/emonet-face), pictures in ``hq/`` and
``binary/`` (also ``images/``) under the names that the tables give, a suffix added where they have none; or for HQ the
download of the hub, ``data/train-*.parquet`` with the picture in ``path`` and all ratings in ``label``. Rows of
``hq.csv`` (image, annotator, annotations as a Python dict, human): ``a.png,human-1,"{'Positive High-Energy
Emotions|Elation': 5, …}",True``; of ``binary.csv`` (path, annotator, value, emotion): ``00000,human-1,True,Anger``. The
tables are held against the authors' notebooks and a public script that joins both forms of HQ; where pictures are
unpacked to, nobody says.

Labels: HQ: the emotion that the human raters (models are left out) rate highest on average, 0..7; binary: the one that
all who were asked confirm; none where two share the place. With ``classes=8``, the default, these become the eight:
Elation, Amusement, Contentment happiness; Astonishment/Surprise surprise; Sadness, Fear, Disgust, Anger, Contempt
themselves; pictures of other emotions are left out, and there is no neutral. ``classes=40`` keeps the set's own words,
lower case. ``votes`` of HQ: the mean ratings of those of the eight that the map knows. `ratings` gives all of them.
Splits: ``test`` (HQ) 2,500 pictures, ``binary`` 19,999, before any is left out. Leakage: none known; no persons.
Licence: CC BY 4.0; the pictures are generated, so they say little about how people look when they feel.
"""

from __future__ import annotations

import ast
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

from mien.core.emotions import EMOTIONS
from mien.core.errors import BadConfig
from mien.core.nouns import Labels, Sample
from mien.core.suffixes import PICTURE_SUFFIXES
from mien.data.dataset import Dataset, fixed
from mien.data.frames import first_folder
from mien.data.label_words import number
from mien.data.problems import Entry, Found, Problem
from mien.data.row_labels import as_truth
from mien.data.tables import csv_rows, parquet_items

__all__ = ["DATASET", "EIGHT", "check", "ratings", "read", "scan"]

EIGHT: Mapping[str, str] = {
    "elation": "happiness",
    "amusement": "happiness",
    "contentment": "happiness",
    "astonishment/surprise": "surprise",
    "sadness": "sadness",
    "fear": "fear",
    "disgust": "disgust",
    "anger": "anger",
    "contempt": "contempt",
}
"""Emotion of the set, lower case -> one of the eight; the other 31 have none."""
_HIGHEST = 7.0
_LONGEST = 100_000
Ratings = dict[str, dict[str, float]]
"""Rater -> emotion, lower case -> 0..7."""


def scan(split: str, root: Path, classes: int = 8) -> Iterator[Found]:
    """Samples and problems of one set; the module's text explains the option."""
    if classes not in (8, 40):
        raise BadConfig(got=f"classes={classes!r}", expected="8 or 40", fix="Correct the option")
    for one in _rated(root) if split == "test" else _confirmed(root):
        if isinstance(one, Problem):
            yield one
            continue
        key, media, means, file, line = one
        labels = _labels(means, classes, votes=split == "test")
        if labels is not None:
            yield Entry(Sample(key, "emonet_face", split, media, labels), file, line)


def ratings(root: Path) -> Iterator[tuple[str, Ratings]]:
    """Id of every HQ picture, and what each human rater gave it; a fault is passed over, as `check` names it."""
    for one in _pictures(root):
        if not isinstance(one, Problem):
            yield one[0], one[2]


def _labels(means: Mapping[str, float], classes: int, votes: bool) -> Labels | None:
    """Labels of a picture by mean ratings; None for one that ``classes`` leaves out."""
    best = max(means.values(), default=0.0)
    top = [word for word, mean in means.items() if mean == best and best > 0]
    eight: dict[str, float] = {}
    for word, mean in means.items():
        if word in EIGHT:
            eight[EIGHT[word]] = max(mean, eight.get(EIGHT[word], 0.0))
    told = {name: eight[name] for name in EMOTIONS if eight.get(name)} if votes else {}
    if classes == 40:
        return Labels(emotion=top[0] if len(top) == 1 else None, votes=told or None)
    names = {EIGHT.get(word) for word in top}
    name = names.pop() if len(names) == 1 else None
    return None if name is None else Labels(emotion=name, votes=told)


_Rated = tuple[str, str, dict[str, float], str, int]


def _rated(root: Path) -> Iterator[_Rated | Problem]:
    for one in _pictures(root):
        if isinstance(one, Problem):
            yield one
            continue
        key, media, given, file, line = one
        words = dict.fromkeys(word for rating in given.values() for word in rating)
        means = {word: sum(rating.get(word, 0.0) for rating in given.values()) / len(given) for word in words}
        yield key, media, means, file, line


def _pictures(root: Path) -> Iterator[tuple[str, str, Ratings, str, int] | Problem]:
    """Id, media and human ratings of every HQ picture, from the table or from the hub's files."""
    tables = [name for name in ("hq.csv", "data/hq.csv") if (root / name).exists()]
    parquet = sorted(root.glob("data/*.parquet")) + sorted(root.glob("*.parquet"))
    if parquet and not tables:
        for path in parquet:
            yield from _of_hub(root, str(path.relative_to(root)))
        return
    name = tables[0] if tables else "hq.csv"
    folder = first_folder(root, "hq", "images")
    found: dict[str, tuple[Ratings, int]] = {}
    for row in csv_rows(root, name, ("image", "annotator", "annotations")):
        if isinstance(row, Problem):
            yield row
            continue
        cells = row.cells
        if as_truth(cells.get("human", "true").strip()) is False:
            continue
        rating = _rating(_literal(cells["annotations"]))
        given, _ = found.setdefault(cells["image"].strip(), ({}, row.line))
        if isinstance(rating, str):
            yield Problem(name, row.line, rating)
        elif cells["annotator"] in given:
            yield Problem(name, row.line, f"{cells['annotator']} rates {cells['image']} again")
        else:
            given[cells["annotator"]] = rating
    for image, (given, line) in found.items():
        if given:
            yield image, _file(folder, image), given, name, line


def _of_hub(root: Path, name: str) -> Iterator[tuple[str, str, Ratings, str, int] | Problem]:
    for item in parquet_items(root, name, ("label",)):
        if isinstance(item, Problem):
            yield item
            continue
        told = _literal(str(item.values.get("label")))
        raters = {rater: given for one in told if isinstance(one, dict) for rater, given in one.items()} if isinstance(
            told, list) else {}  # fmt: skip
        read = {
            str(rater): _rating(given) for rater, given in raters.items() if str(rater).startswith("human")
        }
        wrong = next((one for one in read.values() if isinstance(one, str)), None)
        if wrong is not None or not read:
            yield Problem(name, item.line, wrong or "label holds no ratings of human raters")
            continue
        key = f"{Path(name).stem}/{item.line - 1}"
        given = {rater: one for rater, one in read.items() if not isinstance(one, str)}
        yield key, f"{root / name}!{item.line - 1}", given, name, item.line


def _literal(text: str) -> Any:
    """A Python literal, None for anything else."""
    if len(text) > _LONGEST:
        return None
    try:
        return ast.literal_eval(text)
    except (ValueError, SyntaxError, RecursionError, MemoryError):
        return None


def _rating(told: Any) -> dict[str, float] | str:
    """``{"elation": 5.0, …}`` of one rater, or what is wrong with it."""
    if not isinstance(told, dict) or not told:
        return "annotations are no dict of emotions and ratings"
    rating: dict[str, float] = {}
    for name, value in told.items():
        family, _, word = str(name).rpartition("|")
        if family == "Extra Dimensions":
            continue
        given = number(str(value), 0.0, _HIGHEST)
        if given is None:
            return f"rating {value!r} of {word}, expected 0..7"
        rating[word.lower()] = given
    return rating


def _confirmed(root: Path) -> Iterator[_Rated | Problem]:
    """Pictures of the binary set with 1 for each emotion that all who were asked confirm, else 0."""
    name = "binary.csv" if (root / "binary.csv").exists() else "data/binary.csv"
    folder = first_folder(root, "binary", "images")
    found: dict[str, tuple[dict[str, float], int]] = {}
    for row in csv_rows(root, name, ("path", "annotator", "value", "emotion")):
        if isinstance(row, Problem):
            yield row
            continue
        truth, word = as_truth(row.cells["value"].strip()), row.cells["emotion"].strip().lower()
        if truth is None or not word:
            yield Problem(name, row.line, f"value {row.cells['value']!r}, expected True or False")
            continue
        given, _ = found.setdefault(row.cells["path"].strip(), ({}, row.line))
        given[word] = min(float(truth), given.get(word, 1.0))
    for picture, (given, line) in found.items():
        yield picture, _file(folder, picture), given, name, line


def _file(folder: Path, name: str) -> str:
    """The picture ``name``, with the suffix that it has on disk where the table gives none."""
    if Path(name).suffix.lower() in PICTURE_SUFFIXES:
        return str(folder / name)
    there = (f"{folder / name}{suffix}" for suffix in (".png", ".jpg", ".webp", ".jpeg"))
    return next((path for path in there if Path(path).exists()), f"{folder / name}.png")


DATASET = Dataset(
    "emonet_face", "generated portraits rated on 40 emotions", scan, fixed(("test",), ("binary",)),
    published={"test": 2_500, "binary": 19_999},
)  # fmt: skip
read, check = DATASET.read, DATASET.check
