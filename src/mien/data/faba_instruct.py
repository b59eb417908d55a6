"""FABA-Instruct (Li et al. 2024, EmoLA): AffectNet faces with GPT-4V's descriptions of emotion or Action Units.

On disk, as the README and the scripts of JackYFL/EmoLA have it: ``FABAInstruct/train/train_emotion_anno.json``,
``…/train/train_au_anno.json``, ``…/eval/eval_emotion_anno.json``, ``…/eval/eval_au_anno.json``, beside them ``images/``
and ``landmarks/``; the paths inside begin with ``FABAInstruct/`` and are relative to the root. The root may also be the
folder ``FABAInstruct`` itself, and the lists may lie a folder or two higher. Training items:
``{"source": "…", "image": "FABAInstruct/train/images/AffectNet/AffectNet_v2/1194/<hash>.jpg", "id": "…",
"conversations": [{"from": "human", "value": "What is the emotion of this face?\\n<image>"}, {"from": "gpt", "value":
"The face …"}], "landmark": "FABAInstruct/train/landmarks/….npy"}``; test items are flat: ``{"image": "…", "label":
"1, 4, 7", "gpt4": "…", "landmark": "…"}``, an emotion's label being 0-6 or its capitalised name.

Labels: ``description`` is the text, ``question`` what a training item asks for it.
Test items also carry the emotion (0 happiness, 1 sadness, 2 surprise, 3 anger, 4 neutral, 5 disgust, 6 fear) or
``au_presence`` over the 20 AUs of FABA's index. The 212-float landmark priors are no 478 points: `prior_path` tells
where one lies. `dialogues` gives the training turns themselves.
Splits: ``train-emotion`` 19,474, ``train-au`` 15,838, ``eval-emotion`` 403, ``eval-au`` 325 (the released README; the
paper says 15,835 / 350). The two tasks share pictures, so each task is a group of its own.
Quality (paper): 91.0 % of emotions right, AU F1 76.1 on 200 re-annotated pictures.
Licence: none stated for the texts; the pictures are AffectNet's.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

from mien.core.aus import AU_SETS, au_key
from mien.core.emotions import order
from mien.core.errors import BadData
from mien.core.nouns import Dialogue, Labels, Sample, Turn
from mien.data.dataset import Dataset, fixed
from mien.data.label_words import by_code, by_word, expected
from mien.data.problems import Entry, Found, Problem
from mien.data.tables import Item, json_items

__all__ = ["DATASET", "check", "dialogues", "prior_path", "read", "scan"]

_EMOTIONS = by_code(order("faba")) | by_word(order("faba"))
_FOLDER = "FABAInstruct"
_ROLES = {"human": "user", "gpt": "assistant"}
_UNITS = AU_SETS["faba20"]


def scan(split: str, root: Path) -> Iterator[Found]:
    """Samples and problems of one part of one task."""
    name = _file(split, root)
    for item in json_items(root, name):
        if isinstance(item, Problem):
            yield item
            continue
        labels = _train(item.values) if split.startswith("train") else _eval(item.values, split)
        image = item.values.get("image")
        if isinstance(labels, str) or not isinstance(image, str):
            yield Problem(name, item.line, labels if isinstance(labels, str) else "no image")
            continue
        key = str(item.values.get("id", image))
        media = str(_below(root, image))
        yield Entry(Sample(key, "faba_instruct", split, media, labels, cropped=True), name, item.line)


def dialogues(split: str, root: Path) -> Iterator[Dialogue]:
    """The conversations of ``train-emotion`` or ``train-au``, ``<image>`` left where the data puts it.

    Raises:
        BadData: an item is not in the published format.
    """
    name = _file(split, root)
    for item in json_items(root, name):
        fault = str(item) if isinstance(item, Problem) else _train(item.values)
        if isinstance(item, Problem) or isinstance(fault, str):
            place = fault if isinstance(item, Problem) else f"{name}:{item.line}: {fault}"
            raise BadData(
                got=str(place), expected="FABA-Instruct items", fix="Run `mien data check faba_instruct`"
            )
        turns = tuple(
            Turn("user" if turn["from"] == "human" else "assistant", turn["value"])
            for turn in item.values["conversations"]
        )
        task = "emotion-description" if split.endswith("emotion") else "au-description"
        yield Dialogue(task, turns, str(item.values.get("id", item.values.get("image"))))


def prior_path(item: Item, root: Path) -> Path:
    """Where the (212,) landmark prior of a raw item lies."""
    return _below(root, str(item.values["landmark"]))


def _below(root: Path, name: str) -> Path:
    """Where a path inside the lists leads; the root may be the folder with which it begins."""
    return root / (name if (root / _FOLDER).is_dir() else name.removeprefix(f"{_FOLDER}/"))


def _file(split: str, root: Path) -> str:
    part, _, task = split.partition("-")
    name = f"{part}_{task}_anno.json"
    places = [f"{folder}{name}" for folder in (f"{_FOLDER}/{part}/", f"{part}/", f"{_FOLDER}/", "")]
    return next((place for place in places if (root / place).exists()), places[0])


def _train(values: Mapping[str, Any]) -> Labels | str:
    turns = values.get("conversations")
    if not isinstance(turns, list) or not turns:
        return "no conversations"
    for turn in turns:
        if (
            not isinstance(turn, dict)
            or turn.get("from") not in _ROLES
            or not isinstance(turn.get("value"), str)
        ):
            return 'a turn without "from" human or gpt and a text "value"'
    if turns[-1]["from"] != "gpt":
        return "the last turn is not an answer"
    asked = next((turn["value"] for turn in turns if turn["from"] == "human"), None)
    return Labels(description=turns[-1]["value"], question=asked)


def _eval(values: Mapping[str, Any], split: str) -> Labels | str:
    label, text = str(values.get("label", "")).strip(), values.get("gpt4")
    description = text if isinstance(text, str) else None
    if split.endswith("emotion"):
        known = _EMOTIONS.get(label)
        return (
            Labels(emotion=known.emotion, description=description)
            if known
            else expected(label, list(_EMOTIONS))
        )
    units = [word.strip() for word in label.split(",") if word.strip()]
    if not units or not all(unit.isdecimal() for unit in units):
        return f"label {label!r}, expected AU numbers joined by commas"
    present = {au_key(unit) for unit in units}
    return Labels(au_presence={key: key in present for key in _UNITS}, description=description)


DATASET = Dataset(
    "faba_instruct", "AffectNet faces described by GPT-4V: emotion and AUs", scan,
    fixed(("train-emotion", "eval-emotion"), ("train-au", "eval-au")),
    published={"train-emotion": 19_474, "train-au": 15_838, "eval-emotion": 403, "eval-au": 325},
)  # fmt: skip
read, check = DATASET.read, DATASET.check
