"""One contract for all datasets: sound miniatures read and check clean; each damage is named with file and line."""

from __future__ import annotations

import json
import re
import zipfile
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import pytest

from mien import data
from mien.core.emotions import EMOTIONS, ORDERS
from mien.core.errors import BadConfig, BadData
from mien.core.nouns import Sample
from mien.data import DATASETS, open_dataset

# Modules of the room that are no datasets.
SHARED = {
    "__init__", "dataset", "fer_votes", "frames", "label_words", "landmark_files", "packs", "problems", "row_labels",
    "splits", "tables",
}  # fmt: skip
EXTRA_WORDS = {*ORDERS["mafw"], "repression", "others", "worried", "bored"}
CopyOf = Callable[[str], Path]


def test_table_and_files_agree() -> None:
    files = {path.stem for path in Path(data.__file__).parent.glob("*.py")}
    assert files - SHARED == set(DATASETS)
    assert SHARED <= files and len(DATASETS) >= 24 and list(DATASETS) == sorted(DATASETS)


@pytest.mark.parametrize("name", DATASETS)
def test_a_dataset_says_what_it_reads(name: str) -> None:
    dataset = open_dataset(name)
    assert dataset.name == name and dataset.title
    module = __import__(f"mien.data.{name}", fromlist=["read"])
    for word in ("On disk", "Splits" if name not in ("hf_dataset", "mer2023") else "dis"):
        assert word in module.__doc__, word


@pytest.mark.parametrize("name", DATASETS)
def test_sound_copy(name: str, copy_of: CopyOf) -> None:
    root = copy_of(name)
    dataset = open_dataset(name)
    assert dataset.check(root) == []
    splits = dataset.splits(root)
    assert splits
    for split in splits:
        samples = list(dataset.read(split, root))
        assert 1 <= len(samples) <= 20
        for sample in samples:
            check_sample(sample, name, split)


def check_sample(sample: Sample, name: str, split: str) -> None:
    labels = sample.labels
    assert (sample.dataset, sample.split) == (name, split) and sample.id
    assert Path(sample.media.partition("!")[0]).exists()
    assert labels.emotion is None or labels.emotion in {*EMOTIONS, *EXTRA_WORDS}
    assert all(
        key[:2] == "AU" and len(key) == 4 for key in {**(labels.au_presence or {}), **(labels.au_level or {})}
    )
    assert all(0 <= level <= 5 for level in (labels.au_level or {}).values())
    assert all(0 <= value <= 1 for value in (labels.au_intensity or {}).values())
    assert any(
        value is not None and value != {}
        for value in (labels.emotion, labels.votes, labels.au_presence, labels.au_level, labels.au_intensity,
                      labels.smile, labels.description)
    )  # fmt: skip


@pytest.mark.parametrize("name", DATASETS)
def test_reading_twice_gives_the_same(name: str, copy_of: CopyOf) -> None:
    root, dataset = copy_of(name), open_dataset(name)
    split = dataset.splits(root)[0]
    assert [s.id for s in dataset.read(split, root)] == [s.id for s in dataset.read(split, root)]


@pytest.mark.parametrize("name", DATASETS)
def test_unknown_split_and_missing_folder(name: str, copy_of: CopyOf, tmp_path: Path) -> None:
    dataset = open_dataset(name)
    with pytest.raises(BadConfig, match="weekend"):
        list(dataset.read("weekend", copy_of(name)))
    with pytest.raises(BadData, match="nowhere"):
        dataset.check(tmp_path / "nowhere")


@pytest.mark.parametrize("name", DATASETS)
def test_empty_folder_is_a_problem(name: str, tmp_path: Path) -> None:
    dataset = open_dataset(name)
    if name == "expllm":
        assert dataset.splits(tmp_path) == ()
        return
    problems = dataset.check(tmp_path)
    assert problems and all(problem.what for problem in problems)


def test_unknown_dataset_lists_the_known_ones() -> None:
    with pytest.raises(BadConfig, match="rafdb"):
        open_dataset("fer2099")


def test_reading_is_lazy_and_strict(copy_of: CopyOf) -> None:
    root = copy_of("rafdb")
    replace(root, "basic/EmoLabel/list_patition_label.txt", "train_00003.jpg 3", "train_00003.jpg 9")
    stream = open_dataset("rafdb").read("train", root)
    assert [next(stream).id, next(stream).id] == ["train_00001", "train_00002"]
    with pytest.raises(BadData, match=r"list_patition_label\.txt:3: label '9'"):
        next(stream)


# --- damages -----------------------------------------------------------------------------------------------------


def replace(root: Path, name: str, old: str | bytes, new: str | bytes) -> None:
    old, new = (text.encode() if isinstance(text, str) else text for text in (old, new))
    content = (root / name).read_bytes()
    assert old in content, f"{old!r} is not in {name}"
    (root / name).write_bytes(content.replace(old, new, 1))


def edit(name: str, old: str | bytes, new: str | bytes) -> Callable[[Path], None]:
    return lambda root: replace(root, name, old, new)


def lose(name: str) -> Callable[[Path], None]:
    return lambda root: (root / name).unlink()


def add(name: str, text: str) -> Callable[[Path], None]:
    def act(root: Path) -> None:
        with (root / name).open("a", encoding="utf-8") as file:
            file.write(text)

    return act


def rename(old: str, new: str) -> Callable[[Path], None]:
    return lambda root: (root / old).rename(root / new)


def remake(pack: str, change: Callable[[str], str], without: str = "") -> Callable[[Path], None]:
    def act(root: Path) -> None:
        path = root / f"{pack}.zip"
        with zipfile.ZipFile(path) as archive:
            members = {name: archive.read(name) for name in archive.namelist() if name != without}
        members["manifest.csv"] = change(members["manifest.csv"].decode()).encode("utf-8", "surrogateescape")
        with zipfile.ZipFile(path, "w") as archive:
            for name, content in members.items():
                archive.writestr(name, content)

    return act


def item(name: str, index: int, **values: object) -> Callable[[Path], None]:
    """Change keys of one item of a JSON file, keeping its lines; a value of None drops the key."""

    def act(root: Path) -> None:
        items = json.loads((root / name).read_text())
        items[index].update(values)
        items[index] = {key: value for key, value in items[index].items() if value is not None}
        indent = 1 if "anno.json" in name else 0
        (root / name).write_text(json.dumps(items, indent=indent))

    return act


@dataclass(frozen=True)
class Damage:
    name: str
    kind: str
    act: Callable[[Path], None]
    file: str
    line: int
    words: str

    def __str__(self) -> str:
        return f"{self.name}: {self.kind}"


AFF, RAF = "Manually_Annotated_file_lists/training.csv", "basic/EmoLabel/list_patition_label.txt"
OCC, ACT = "AUCoding/AU_OCC/F001_T1.csv", "ActionUnit_Labels/SN001/SN001_au1.txt"
SET1, MAF = "EmoLabel_DataSplit/train(single-labeled)/set_1.csv", "split/single/no_caption/set_1/train.txt"
FERV, NET = "4_setups/All_scenes/train_All.csv", "EmotioNet_FACS_aws_2020_24600.csv"
CODING, FABA = "CASME2-coding-20190701.xlsx", "FABAInstruct/train/train_emotion_anno.json"
ITEMS, EXPW, PERSON = "data_list/anno_json/rafdb_train.json", "label/label.lst", "AU_OCC/001A.csv"
ARROW = "train/data-00000-of-00001.arrow"


def written_pictures(lost: str) -> Callable[[Path], None]:
    """FER+ with the pictures that the authors' script writes, one of them lost."""

    def act(root: Path) -> None:
        for index in range(12):
            if index != 3:
                path = (
                    root / ("FER2013Train", "FER2013Valid", "FER2013Test")[index // 4] / f"fer{index:07d}.png"
                )
                path.parent.mkdir(exist_ok=True)
                path.write_bytes(b"datasets open no picture")
        (root / lost).unlink()

    return act


def rearrow(split: str, **columns: list[object]) -> Callable[[Path], None]:
    """Rewrite the Arrow file of a split with other columns."""

    def act(root: Path) -> None:
        arrow = pytest.importorskip("pyarrow")
        path = root / split / "data-00000-of-00001.arrow"
        with arrow.OSFile(str(path)) as source:
            rows = arrow.ipc.open_stream(source).read_all().to_pydict()
        table = arrow.table(rows | columns)
        with arrow.OSFile(str(path), "wb") as sink, arrow.ipc.new_stream(sink, table.schema) as writer:
            writer.write_table(table)
        info = json.loads((root / split / "dataset_info.json").read_text())
        info["features"] |= {name: {"_type": "Value"} for name in columns if name not in info["features"]}
        (root / split / "dataset_info.json").write_text(json.dumps(info))

    return act


def as_csv(change: Callable[[str], str]) -> Callable[[Path], None]:
    """CASME II as an exported CSV, changed."""

    def act(root: Path) -> None:
        text = (
            "Subject,Filename,OnsetFrame,ApexFrame,OffsetFrame,Action Units,Estimated Emotion\n"
            "1,EP02_01f,46,59,186,12,happiness\n1,EP19_06f,46,/,186,4+L10,others\n"
        )
        (root / "CASME2-coding-20190701.csv").write_bytes(change(text).encode("utf-8", "surrogateescape"))

    return act


def latin(old: str) -> Callable[[str], str]:
    """Puts the byte 0xe9 in front of ``old``, which no UTF-8 text holds; `remake` writes it as it is."""
    return swap(old, f"\udce9{old}")


def swap(old: str, new: str) -> Callable[[str], str]:
    def change(text: str) -> str:
        assert old in text, f"{old!r} is not there"
        return text.replace(old, new, 1)

    return change


D = Damage
LATIN = b"\xe9"
DAMAGES = [
    D("affectnet", "missing image", lose("Manually_Annotated_Images/3/00000003.jpg"), AFF, 5, "no file"),
    D("affectnet", "wrong label", edit(AFF, ",2,0.2,-0.2", ",11,0.2,-0.2"), AFF, 4, "label '11'"),
    D("affectnet", "encoding", edit(AFF, "1/00000001.jpg", b"1/0000\xe9001.jpg"), AFF, 3, "0xe9"),
    D("affectnet", "duplicate", edit(AFF, "1/00000001.jpg", "0/00000000.jpg"), AFF, 3, "again, first in"),
    D("affectnet", "valence", edit(AFF, ",1,0.1,", ",1,1.5,"), AFF, 3, "expected -1..1"),
    D("affectnet", "box", edit(AFF, "1/00000001.jpg,10", "1/00000001.jpg,ten"), AFF, 3, "four numbers"),
    D("affectnet", "cells", edit(AFF, "1/00000001.jpg,10,", "1/00000001.jpg,"), AFF, 3, "8 cells, expected 9"),
    D("affectnet", "both splits", add(AFF, "100/00000064.jpg,1,1,9,9,,0,0.1,0.1\n"),
      "Manually_Annotated_file_lists/validation.csv", 1, "is in val and in train"),
    D("bp4d", "missing image", lose("Sequences(2D+3D)/F001/T1/02441.jpg"), OCC, 3, "no file"),
    D("bp4d", "wrong label", edit(OCC, "2441,0,1", "2441,7,1"), OCC, 3, "AU1=7"),
    D("bp4d", "encoding", edit(OCC, "2441,", b"24\xe91,"), OCC, 3, "not UTF-8"),
    D("bp4d", "duplicate", edit(OCC, "2442,", "2441,"), OCC, 4, "again"),
    D("bp4d", "column", edit(OCC, "0,1,2,4,", "0,1,2,44,"), OCC, 1, "no column 4"),
    D("bp4d", "out of protocol", rename(OCC, "AUCoding/AU_OCC/F099_T1.csv"), "AUCoding/AU_OCC/F099_T1.csv", 0,
      "in no fold"),
    D("casme2", "wrong label", as_csv(swap("happiness", "boredom")), "CASME2-coding-20190701.csv", 2, "'boredom'"),
    D("casme2", "encoding", as_csv(swap("EP19", "EP\udce9")), "CASME2-coding-20190701.csv", 3, "not UTF-8"),
    D("casme2", "duplicate", as_csv(swap("EP19_06f", "EP02_01f")), "CASME2-coding-20190701.csv", 3, "again"),
    D("casme2", "missing clip", as_csv(swap("EP02_01f", "EP99")), "CASME2-coding-20190701.csv", 2, "no file"),
    D("casme2", "AUs", as_csv(swap("4+L10", "4 and 10")), "CASME2-coding-20190701.csv", 3, "joined by +"),
    D("casme2", "frames", as_csv(swap("46,59,186", "286,59,186")), "CASME2-coding-20190701.csv", 2, "after offset"),
    D("casme2", "no Excel", lambda root: (root / CODING).write_bytes(b"PK"), CODING, 0, "no readable Excel"),
    D("cmma", "missing clip", lose("video/train/C_1_U_3.mp4"), "text/train.csv", 4, "no file"),
    D("cmma", "wrong label", edit("text/train.csv", "sadness", "sorrow"), "text/train.csv", 4, "'sorrow'"),
    D("cmma", "encoding", edit("text/train.csv", "甲".encode(), LATIN), "text/train.csv", 3, "not UTF-8"),
    D("cmma", "duplicate", edit("text/train.csv", "C_1,C_1_U_2", "C_1,C_1_U_1"), "text/train.csv", 3, "again"),
    D("dfew", "missing clip", lambda root: [p.unlink() or p.parent.rmdir() for p in
      (root / "Clip/clip_224x224_16f/00002").iterdir()] and None, SET1, 2, "no file"),
    D("dfew", "wrong label", edit(SET1, "3,3", "3,8"), SET1, 3, "label '8'"),
    D("dfew", "encoding", edit(SET1, "3,3", b"\xe9,3"), SET1, 3, "not UTF-8"),
    D("dfew", "duplicate", edit(SET1, "3,3", "2,3"), SET1, 3, "again"),
    D("dfew", "both sides", edit(SET1, "3,3", "1,1"), "EmoLabel_DataSplit/test(single-labeled)/set_1.csv", 2,
      "is in fold1-test and in fold1-train"),
    D("disfa", "missing video", lose("Videos_LeftCamera/LeftVideoSN001_comp.avi"), ACT, 1, "no file"),
    D("disfa", "wrong label", edit(ACT, "3,3", "3,6"), ACT, 3, "intensity '6'"),
    D("disfa", "encoding", edit(ACT, "3,3", b"3,\xe9"), ACT, 3, "not UTF-8"),
    D("disfa", "duplicate", lambda root: [replace(root, str(p.relative_to(root)), "\n3,", "\n2,")
      for p in (root / "ActionUnit_Labels/SN001").iterdir()] and None, ACT, 3, "again"),
    D("disfa", "frames", edit(ACT, "3,3", "9,3"), ACT, 3, "frame numbers 3, 9"),
    D("disfa", "length", add(ACT, "6,0\n"), ACT, 0, "differ in length"),
    D("disfa", "missing file", lose("ActionUnit_Labels/SN001/SN001_au26.txt"),
      "ActionUnit_Labels/SN001/SN001_au26.txt", 0, "cannot be read"),
    D("disfa", "out of protocol", rename("ActionUnit_Labels/SN001", "ActionUnit_Labels/SN099"),
      "ActionUnit_Labels/SN099", 0, "in no fold"),
    D("emonet_face", "missing image", lose("hq/1.png"), "data/hq.csv", 6, "no file"),
    D("emonet_face", "wrong rating", edit("data/hq.csv", "Elation': 6", "Elation': 8"), "data/hq.csv", 2, "rating 8"),
    D("emonet_face", "wrong value", edit("data/binary.csv", "human-1,True,Sad", "human-1,Maybe,Sad"), "data/binary.csv",
      8, "value 'Maybe'"),
    D("emonet_face", "annotations", edit("data/hq.csv", "{'Positive", "['Positive"), "data/hq.csv", 2, "no dict"),
    D("emonet_face", "encoding", edit("data/binary.csv", "00070", b"0007\xe9"), "data/binary.csv", 8, "not UTF-8"),
    D("emonet_face", "duplicate", edit("data/hq.csv", "0.png,human-2", "0.png,human-1"), "data/hq.csv", 3, "again"),
    D("emotionet", "missing image", lose("images/N_0000000001_00001/N_0000000002.jpg"), NET, 4, "no file"),
    D("emotionet", "wrong label", edit(NET, "origin/a.jpg,1,", "origin/a.jpg,2,"), NET, 2, "AU01=2"),
    D("emotionet", "encoding", edit(NET, "origin/a", b"orig\xe9n/a"), NET, 2, "not UTF-8"),
    D("emotionet", "duplicate", edit(NET, "N_0000000003.jpg", "N_0000000002.jpg"), NET, 5, "again"),
    D("emotionet", "column", edit(NET, "'AU 4'", "'AU 99'"), NET, 1, "no column AU4"),
    D("expllm", "missing image", lose("data/raf-db/aligned/train_00001_aligned.jpg"), ITEMS, 33, "no file"),
    D("expllm", "wrong label", item(ITEMS, 1, emo="happy"), ITEMS, 33, "label 'happy'"),
    D("expllm", "values", item(ITEMS, 1, au=[0.5] * 23), ITEMS, 33, "24 numbers"),
    D("expllm", "encoding", edit(ITEMS, "Overall", b"Over\xe9ll"), ITEMS, 31, "not UTF-8"),
    D("expllm", "duplicate", item(ITEMS, 1, file_name="train_00000_aligned.jpg"), ITEMS, 33, "again"),
    D("expllm", "no JSON", edit(ITEMS, '"emo": "Sadness"', '"emo" "Sadness"'), ITEMS, 66, "no JSON"),
    D("expllm", "list", edit("data_list/train/raf-db.txt", ",3", ",often"), "data_list/train/raf-db.txt", 1, "repeat"),
    D("expw", "missing image", lose("image/origin/amused_2.jpg"), EXPW, 5, "no file"),
    D("expw", "wrong label", edit(EXPW, "57.2 2", "57.2 7"), EXPW, 3, "label '7'"),
    D("expw", "encoding", edit(EXPW, "amused_1.jpg 0", b"amus\xe9_1.jpg 0"), EXPW, 3, "not UTF-8"),
    D("expw", "duplicate", edit(EXPW, "amused_1.jpg 1", "amused_1.jpg 0"), EXPW, 4, "again"),
    D("expw", "box", edit(EXPW, "amused_1.jpg 0 68 150 268", "amused_1.jpg 0 68 300 268"), EXPW, 3, "empty box"),
    D("faba_instruct", "missing image", lose("FABAInstruct/train/images/AffectNet/AffectNet_v2/1/emotion.jpg"), FABA,
      18, "no file"),
    D("faba_instruct", "turns", item(FABA, 1, conversations=[]), FABA, 18, "no conversations"),
    D("faba_instruct", "roles", edit(FABA, '"gpt"', '"robot"'), FABA, 2, "from"),
    D("faba_instruct", "encoding", edit(FABA, "shows joy", b"shows j\xe9y"), FABA, 13, "not UTF-8"),
    D("faba_instruct", "duplicate", item(FABA, 1, id="emotion0"), FABA, 18, "again"),
    D("faba_instruct", "wrong emotion", item("FABAInstruct/eval/eval_emotion_anno.json", 1, label=7),
      "FABAInstruct/eval/eval_emotion_anno.json", 8, "label '7'"),
    D("faba_instruct", "wrong AUs", item("FABAInstruct/eval/eval_au_anno.json", 1, label="AU12"),
      "FABAInstruct/eval/eval_au_anno.json", 8, "expected AU numbers"),
    D("feafa", "missing image", lose("P002/0001.jpg"), "P002/0001.auw", 1, "no file"),
    D("feafa", "wrong value", edit("P002/0001.auw", "0.04", "1.04"), "P002/0001.auw", 1, "23 numbers in 0..1"),
    D("feafa", "encoding", edit("P002/0001.auw", "0.04", LATIN), "P002/0001.auw", 0, "cannot be read"),
    D("ferplus", "votes", edit("fer2013new.csv", "fer0000001.png,0,7", "fer0000001.png,0,9"), "fer2013new.csv", 3,
      "expected ten counts"),
    D("ferplus", "usage", edit("fer2013new.csv", "Training,fer0000001", "Train,fer0000001"), "fer2013new.csv", 3,
      "usage 'Train'"),
    D("ferplus", "encoding", edit("fer2013new.csv", "fer0000001", b"f\xe9r00001"), "fer2013new.csv", 3, "not UTF-8"),
    D("ferplus", "duplicate", edit("fer2013new.csv", "fer0000001", "fer0000000"), "fer2013new.csv", 3, "again"),
    D("ferplus", "pixels", edit("fer2013.csv", "1,128 128", "1,128"), "fer2013.csv", 3, "2303 grey values"),
    D("ferplus", "rows", add("fer2013.csv", "0,1,Training\n"), "fer2013.csv", 14, "more rows than"),
    D("ferplus", "missing file", lose("fer2013.csv"), "fer2013.csv", 0, "cannot be read"),
    D("ferv39k", "missing clip", lambda root: [p.unlink() or p.parent.rmdir() for p in
      (root / "2_ClipsforFaceCrop/Action/Fear/0003").iterdir()] and None, FERV, 3, "no file"),
    D("ferv39k", "wrong label", edit(FERV, " Fear", " Scared"), FERV, 3, "label 'Scared'"),
    D("ferv39k", "other folder", edit(FERV, " Fear", " Angry"), FERV, 3, "for a clip in"),
    D("ferv39k", "encoding", edit(FERV, "Action/Fear", b"Acti\xe9n/Fear"), FERV, 3, "not UTF-8"),
    D("ferv39k", "duplicate", edit(FERV, "Action/Disgust/0002 Disgust", "Action/Angry/0001 Angry"), FERV, 2, "again"),
    D("folder", "wrong label", rename("train/Happy", "train/hpapy"), "train/hpapy", 0, "none of the eight"),
    D("folder", "empty class", lambda root: [p.unlink() for p in (root / "val/sad").iterdir()] and None, "val/sad", 0,
      "no picture"),
    D("genki4k", "wrong label", remake("genki4k", swap("img/file0001.jpg,non_smile", "img/file0001.jpg,grin")),
      "genki4k.zip", 3, "label 'grin'"),
    D("genki4k", "missing image", remake("genki4k", str, "img/file0002.jpg"), "genki4k.zip", 4, "no member"),
    D("genki4k", "duplicate", remake("genki4k", swap("img/file0001.jpg", "img/file0000.jpg")), "genki4k.zip", 3,
      "again"),
    D("gft", "missing image", lose("images/001A/00002.jpg"), PERSON, 3, "no file"),
    D("gft", "frame", edit(PERSON, "\n2,", "\ntwo,"), PERSON, 3, "is no number"),
    D("gft", "encoding", edit(PERSON, "\n2,", b"\n\xe9,"), PERSON, 3, "not UTF-8"),
    D("gft", "duplicate", edit(PERSON, "\n3,", "\n2,"), PERSON, 4, "again"),
    D("gft", "column", edit(PERSON, "AU10,", "AU99,"), PERSON, 1, "no column for AU10"),
    D("gft", "in two parts", edit("partition.json", '["002A"]', '["002A", "001A"]'), "partition.json", 0, "001A"),
    D("gft", "out of protocol", edit("partition.json", '"001A", ', ""), PERSON, 0, "in no part"),
    D("hf_dataset", "wrong label", edit("train/dataset_info.json", '["angry", "happy", "sad"]', '["angry", "happy"]'),
      ARROW, 3, "label 2"),
    D("hf_dataset", "missing file", lose(ARROW), ARROW, 0, "no readable Arrow"),
    D("hf_dataset", "truncated", lambda root: (root / ARROW).write_bytes((root / ARROW).read_bytes()[:99]) and None,
      ARROW, 0, "no readable Arrow"),
    D("hf_dataset", "no picture", edit("train/dataset_info.json", '"image": {"_type": "Image"}', '"x": {}'),
      "train/dataset_info.json", 0, "no picture among"),
    D("lfw_emotion", "wrong label", remake("lfw_emotion", swap(",neutral,", ",calmness,")), "lfw_emotion.zip", 2,
      "label 'calmness'"),
    D("lfw_emotion", "subject in two splits", remake("lfw_emotion", swap(",p9,", ",p0,")), "lfw_emotion.zip", 11,
      "subject p0 is in val and in train"),
    D("lfw_emotion", "duplicate", remake("lfw_emotion", swap("img/000000000001.jpg", "img/000000000000.jpg")),
      "lfw_emotion.zip", 3, "again"),
    D("london", "wrong label", remake("london", swap(",neutral,", ",smile,")), "london.zip", 2, "label 'smile'"),
    D("london", "subject in two splits", remake("london", swap(",009,", ",000,")), "london.zip", 11,
      "subject 000 is in val and in train"),
    D("london", "marks", remake("london", swap(",white,0", ",white,2")), "london.zip", 2, "other than 1, 0 or blank"),
    D("mafw", "missing clip", lose("data/clips/00002.mp4"), MAF, 1, "no file"),
    D("mafw", "wrong label", edit(MAF, "00003.mp4 fear", "00003.mp4 scare"), MAF, 2, "label 'scare'"),
    D("mafw", "encoding", edit(MAF, "00003.mp4", b"0\xe9003.mp4"), MAF, 2, "not UTF-8"),
    D("mafw", "duplicate", edit(MAF, "00003.mp4", "00002.mp4"), MAF, 2, "again"),
    D("mafw", "both sides", edit(MAF, "00003.mp4", "00001.mp4"), "split/single/no_caption/set_1/test.txt", 1,
      "is in fold1-test and in fold1-train"),
    D("manifest", "missing image", lose("faces/2.jpg"), "manifest.csv", 4, "no file"),
    D("manifest", "level", edit("manifest.csv", "0,2,30", "0,7,30"), "manifest.csv", 4, "AU12_level is '7'"),
    D("manifest", "presence", edit("manifest.csv", "0.5,1,1,30", "0.5,so,1,30"), "manifest.csv", 3, "AU06 is 'so'"),
    D("manifest", "valence", edit("manifest.csv", "0.5,1,1", "5,1,1"), "manifest.csv", 3, "valence is '5'"),
    D("manifest", "encoding", edit("manifest.csv", "bored", b"bor\xe9d"), "manifest.csv", 4, "not UTF-8"),
    D("manifest", "duplicate", edit("manifest.csv", "faces/2", "faces/1"), "manifest.csv", 4, "again"),
    D("manifest", "subject in two splits", edit("manifest.csv", "test,p2", "test,p0"), "manifest.csv", 6,
      "subject p0 is in test and in train"),
    D("manifest", "column", edit("manifest.csv", "media", "picture"), "manifest.csv", 1, "no column media"),
    D("meld", "missing clip", lose("train_splits/dia0_utt2.mp4"), "train_sent_emo.csv", 4, "no file"),
    D("meld", "wrong label", edit("train_sent_emo.csv", ",anger,", ",rage,"), "train_sent_emo.csv", 5, "'rage'"),
    D("meld", "encoding", edit("train_sent_emo.csv", "that’s".encode(), b"that\x92s"), "train_sent_emo.csv", 2,
      "0x92"),
    D("meld", "duplicate", edit("train_sent_emo.csv", "neutral,0,1,", "neutral,0,0,"), "train_sent_emo.csv", 3,
      "again"),
    D("mer2023", "missing clip", lose("train/sample_00000002.avi"), "train-label.csv", 4, "no file"),
    D("mer2023", "wrong label", edit("train-label.csv", "worried", "scared"), "train-label.csv", 6, "label 'scared'"),
    D("mer2023", "encoding", edit("train-label.csv", "sample_00000002", b"sample_\xe9"), "train-label.csv", 4, "UTF-8"),
    D("mer2023", "duplicate", edit("train-label.csv", "sample_00000002", "sample_00000001"), "train-label.csv", 4,
      "again"),
    D("rafdb", "missing image", lose("basic/Image/aligned/train_00003_aligned.jpg"), RAF, 3, "no file"),
    D("rafdb", "wrong label", edit(RAF, "train_00003.jpg 3", "train_00003.jpg 8"), RAF, 3, "label '8'"),
    D("rafdb", "encoding", edit(RAF, "train_00003", b"train_\xe9"), RAF, 3, "not UTF-8"),
    D("rafdb", "duplicate", edit(RAF, "train_00003", "train_00002"), RAF, 3, "again"),
    D("rafdb", "out of protocol", edit(RAF, "train_00003", "dev_00003"), RAF, 3, "in neither part"),
    D("rafdb", "cells", edit(RAF, "train_00003.jpg 3", "train_00003.jpg"), RAF, 3, "1 cells, expected 2"),
    D("cmma", "both splits", edit("text/test.csv", "C_2401,C_2401_U_1", "C_1,C_1_U_1"), "text/test.csv", 2,
      "is in test and in train"),
    D("faba_instruct", "both splits", item("FABAInstruct/eval/eval_au_anno.json", 0, id="au0"),
      "FABAInstruct/eval/eval_au_anno.json", 2, "is in eval-au and in train-au"),
    D("ferplus", "both splits", edit("fer2013new.csv", "fer0000004", "fer0000000"), "fer2013new.csv", 6,
      "is in val and in train"),
    D("ferplus", "missing image", written_pictures("FER2013Train/fer0000001.png"), "fer2013new.csv", 3, "no file"),
    D("ferv39k", "both splits", add("4_setups/All_scenes/test_All.csv", "Action/Angry/0001 Angry\n"),
      "4_setups/All_scenes/test_All.csv", 8, "is in test and in train"),
    D("genki4k", "encoding", remake("genki4k", latin("img/file0001.jpg")), "genki4k.zip", 3, "0xe9 is not UTF-8"),
    D("genki4k", "both splits", remake("genki4k", swap("img/file0006.jpg", "img/file0000.jpg")), "genki4k.zip", 8,
      "is in val and in train"),
    D("gft", "wrong label", edit(PERSON, "\n2,1,", "\n2,7,"), PERSON, 3, "AU01=7"),
    D("hf_dataset", "missing image", rearrow("train", image=[{"bytes": None, "path": "gone.jpg"}] * 4), ARROW, 1,
      "no picture: neither its bytes nor a file 'gone.jpg'"),
    D("hf_dataset", "duplicate", rearrow("train", id=["a", "b", "a", "c"]), ARROW, 3, "id a again"),
    D("hf_dataset", "encoding", edit("train/dataset_info.json", '"happy"', b'"happ\xe9"'), "train/dataset_info.json", 0,
      "cannot be read"),
    D("hf_dataset", "subject in two splits", rearrow("test", subject=["t0", "t0", "train-p1", "t1"]),
      ARROW.replace("train", "test"), 3, "subject train-p1 is in test and in train"),
    D("lfw_emotion", "missing image", remake("lfw_emotion", str, "img/000000000002.jpg"), "lfw_emotion.zip", 4,
      "no member"),
    D("lfw_emotion", "encoding", remake("lfw_emotion", latin("img/000000000001.jpg")), "lfw_emotion.zip", 3,
      "0xe9 is not UTF-8"),
    D("london", "missing image", remake("london", str, "face336/002_neutral.jpg"), "london.zip", 4, "no member"),
    D("london", "encoding", remake("london", latin("face336/001_happiness.jpg")), "london.zip", 3, "0xe9 is not UTF-8"),
    D("london", "duplicate", remake("london", swap("face336/002_neutral.jpg", "face336/000_neutral.jpg")),
      "london.zip", 4, "again"),
    D("mer2023", "both splits", edit("test1-label.csv", "sample_00000100", "sample_00000000"), "test1-label.csv", 2,
      "is in test1 and in train"),
]  # fmt: skip


@pytest.mark.parametrize("damage", DAMAGES, ids=str)
def test_damage_is_named_with_file_and_line(damage: Damage, copy_of: CopyOf) -> None:
    root = copy_of(damage.name)
    damage.act(root)
    problems = open_dataset(damage.name).check(root)
    named = [p for p in problems if (p.file, p.line) == (damage.file, damage.line) and damage.words in p.what]
    assert named, [str(problem) for problem in problems]


KINDS = {
    "missing pictures": r"missing (image|clip|video)",
    "wrong label": r"wrong|votes|level",
    "bad encoding": r"encoding",
    "duplicate ids": r"duplicate",
    "in two parts": r"subject in two|both|in two parts|out of protocol",
}
# What cannot happen to a dataset, and why.
IMPOSSIBLE = {
    "casme2": {"in two parts": "one split"},
    "emonet_face": {"in two parts": "two sets, each with names of its own"},
    "emotionet": {"in two parts": "one split"},
    "expw": {"in two parts": "`test` is drawn from `all`"},
    "expllm": {"in two parts": "each list stands alone; names repeat across its sources"},
    "meld": {"in two parts": "ids hold their part, speakers are in all of them by design"},
    "feafa": {"duplicate ids": "the id is the file's path", "in two parts": "drawn by us, each file once"},
    "folder": {"missing pictures": "the folder is the list", "bad encoding": "no label file",
               "duplicate ids": "the id is the file's path", "in two parts": "the id is the file's path"},
}  # fmt: skip


@pytest.mark.parametrize("name", DATASETS)
def test_every_kind_of_damage_is_done_to_every_dataset(name: str) -> None:
    done = [damage.kind for damage in DAMAGES if damage.name == name]
    missing = {kind for kind, words in KINDS.items() if not any(re.search(words, one) for one in done)}
    assert missing == set(IMPOSSIBLE.get(name, {}))
