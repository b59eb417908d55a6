"""Miniature copies of every dataset in its published format, made here; no real picture or label is in them."""

from __future__ import annotations

import csv
import functools
import importlib
import importlib.util
import io
import json
import zipfile
from collections.abc import Callable, Iterable, Sequence
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

Rows = Iterable[Sequence[object]]


def jpeg() -> bytes:
    data = io.BytesIO()
    Image.new("RGB", (16, 16), (180, 140, 120)).save(data, "JPEG")
    return data.getvalue()


JPEG = jpeg()


@functools.cache
def film() -> bytes:
    """Six frames of MPEG-4; without PyAV only a name, which is all that datasets look at."""
    if importlib.util.find_spec("av") is None:
        return b"clip"
    av, data = importlib.import_module("av"), io.BytesIO()
    with av.open(data, "w", format="mp4") as container:
        stream = container.add_stream("mpeg4", rate=25)
        stream.width = stream.height = 16
        stream.pix_fmt = "yuv420p"
        for index in range(6):
            pixels = np.full((16, 16, 3), 40 * index, np.uint8)
            container.mux(stream.encode(av.VideoFrame.from_ndarray(pixels, format="rgb24")))
        container.mux(stream.encode(None))
    return data.getvalue()


def write(path: Path, content: str | bytes = JPEG) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_bytes(content.encode() if isinstance(content, str) else content)


def table(path: Path, rows: Rows, delimiter: str = ",") -> None:
    text = io.StringIO()
    csv.writer(text, delimiter=delimiter, lineterminator="\n").writerows(rows)
    write(path, text.getvalue())


def sheet(path: Path, rows: Sequence[Sequence[object]]) -> None:
    """An Excel file as Excel writes it: texts in the shared table, numbers in place."""
    texts = list(dict.fromkeys(str(cell) for row in rows for cell in row if not isinstance(cell, int)))
    body = ""
    for number, row in enumerate(rows, 1):
        cells = ""
        for letter, cell in zip("ABCDEFGHIJ", row, strict=False):
            kind, value = ("", cell) if isinstance(cell, int) else (' t="s"', texts.index(str(cell)))
            cells += f'<c r="{letter}{number}"{kind}><v>{value}</v></c>'
        body += f'<row r="{number}">{cells}</row>'
    space = 'xmlns="http://schemas.openxmlformats.org/spreadsheetml/2006/main"'
    shared = "".join(f"<si><t>{text}</t></si>" for text in texts)
    path.parent.mkdir(parents=True, exist_ok=True)
    with zipfile.ZipFile(path, "w") as book:
        book.writestr("xl/sharedStrings.xml", f"<sst {space}>{shared}</sst>")
        book.writestr(
            "xl/worksheets/sheet1.xml", f"<worksheet {space}><sheetData>{body}</sheetData></worksheet>"
        )


def affectnet(root: Path) -> None:
    points = ";".join(f"{i}.5" for i in range(136))
    header = ["subDirectory_filePath", "face_x", "face_y", "face_width", "face_height", "facial_landmarks",
              "expression", "valence", "arousal"]  # fmt: skip
    for name, first in (("training.csv", 0), ("validation.csv", 100)):
        rows: list[list[object]] = [header] if first == 0 else []
        for code in range(11):
            file = f"{first + code}/{first + code:08x}.jpg"
            affect = ("-2", "-2") if code > 7 else (f"0.{code}", f"-0.{code}")
            rows.append([file, 10, 12, 100, 110, points, code, *affect])
            write(root / "Manually_Annotated_Images" / file)
        table(root / "Manually_Annotated_file_lists" / name, rows)


def bp4d(root: Path) -> None:
    units = ["0", *map(str, (1, 2, 4, 5, 6, 7, 10, 12, 14, 15, 17, 23, 24))]
    for subject in ("F001", "M011", "F007"):
        rows = [units, *([str(frame), *("9" if u == "5" else str((frame + int(u)) % 2) for u in units[1:])]
                         for frame in range(2440, 2444))]  # fmt: skip
        table(root / "AUCoding/AU_OCC" / f"{subject}_T1.csv", rows)
        for frame in range(2440, 2444):
            write(root / "Sequences(2D+3D)" / subject / "T1" / f"{frame:05d}.jpg")


def casme2(root: Path) -> None:
    # Two columns of the coding of 2019 have no name: public loaders drop "Unnamed: 2" and "Unnamed: 6".
    header = ["Subject", "Filename", "", "OnsetFrame", "ApexFrame", "OffsetFrame", "", "Action Units",
              "Estimated Emotion"]  # fmt: skip
    rows: list[list[object]] = [header]
    for subject, clip, apex, units, word in (
        (1, "EP02_01f", "59", "12", "happiness"), (1, "EP19_06f", "/", "4+L10", "others"),
        (2, "EP01_11f", "91", "R14+ 17?", "repression"), (3, "EP07_03", "150", "4+7", "disgust"),
        (4, "EP12_01f", "150", "/", "others"),
    ):  # fmt: skip
        rows.append([subject, clip, "", 46, apex, 186, "", units, word])
        folder = root / "CASME2_RAW_selected" / f"sub{subject:02d}" / clip
        write(folder / "img46.jpg")
        if apex != "/":
            write(folder / f"img{apex}.jpg")
    sheet(root / "CASME2-coding-20190701.xlsx", rows)


def cmma(root: Path) -> None:
    header = ["ConversationID", "UtteranceID", "Utterance", "Speaker", "StartTime", "EndTime", "Emotion", "Sentiment",
              "Sarcasm", "Humor", "Relevancy(Emo→Sen)", "Relevancy(Sar→Hum)", "Pride", "Love"]  # fmt: skip
    words = ("neutral", "joy", "sadness", "anger", "disgust", "fear", "surprise")
    for split, start in (("train", 1), ("dev", 1801), ("test", 2401)):
        rows = [header]
        for index, word in enumerate(words):
            utterance = f"C_{start}_U_{index + 1}"
            rows.append([f"C_{start}", utterance, "你好", "甲" if index % 2 else "乙", "00:00:00,000", "00:00:01,640",
                         word, "negative", "none", "none", "2", "-1", "none", "none"])  # fmt: skip
            write(root / "video" / split / f"{utterance}.mp4", film())
        table(root / "text" / f"{split}.csv", rows)


def dfew(root: Path) -> None:
    for fold in range(1, 6):
        for side in ("train", "test"):
            clips = [c for c in range(1, 11) if (c % 5 == fold % 5) == (side == "test")]
            rows = [["video_name", "label"], *([c, (c - 1) % 7 + 1] for c in clips)]
            table(root / "EmoLabel_DataSplit" / f"{side}(single-labeled)" / f"set_{fold}.csv", rows)
    for clip in range(1, 11):
        write(root / "Clip/clip_224x224_16f" / f"{clip:05d}" / "1.jpg")


def disfa(root: Path) -> None:
    for subject in ("SN001", "SN013", "SN003"):
        for unit in (1, 2, 4, 5, 6, 9, 12, 15, 17, 20, 25, 26):
            rows = [[frame, (frame * unit) % 6] for frame in range(1, 6)]
            table(root / "ActionUnit_Labels" / subject / f"{subject}_au{unit}.txt", rows)
        write(root / "Videos_LeftCamera" / f"LeftVideo{subject}_comp.avi", film())


def emonet_face(root: Path) -> None:
    """Rows as in the authors' binary.csv, and in hq.csv as their notebook reads it."""
    hq: list[list[object]] = [["image", "annotator", "annotations", "human"]]
    families = {"Elation": "Positive High-Energy Emotions", "Anger": "Negative High-Energy Emotions",
                "Pain": "Physical and Exhaustive States"}  # fmt: skip
    for index, best in enumerate(("Elation", "Anger", "Pain", "Elation")):
        for rater in (1, 2, 3):
            told = {
                f"{family}|{word}": 5 + rater % 2 if word == best else 1 for word, family in families.items()
            }
            hq.append([f"{index}.png", f"human-{rater}", repr(told | {"Extra Dimensions|Valence": -3}), True])
        hq.append([f"{index}.png", "Hume Face*", repr({"Physical and Exhaustive States|Pain": 0.9}), False])
        write(root / "hq" / f"{index}.png")
    table(root / "data/hq.csv", hq)
    binary = [["path", "annotator", "value", "emotion"], ["00000", "human-1", "True", "Anger"],
              ["00000", "human-3", "False", "Contentment"], ["00005", "human-1", "False", "Fear"],
              ["00005", "human-3", "False", "Concentration"], ["00009", "human-1", "True", "Fatigue/Exhaustion"],
              ["00009", "human-5", "True", "Longing"], ["00070", "human-1", "True", "Sadness"]]  # fmt: skip
    table(root / "data/binary.csv", binary)
    for name in ("00000", "00005", "00009", "00070"):
        write(root / "binary" / f"{name}.jpg")


def emotionet(root: Path) -> None:
    header = ["URL", "URL orig", *(f"'AU {unit}'" for unit in range(1, 61))]
    rows = [header]
    for index in range(5):
        url = f"'https://host/N_0000000001_00001/N_{index:010d}.jpg'"
        rows.append(
            [url, "http://origin/a.jpg", *("999" if u == 43 else str((u + index) % 2) for u in range(1, 61))]
        )
        write(root / "images/N_0000000001_00001" / f"N_{index:010d}.jpg")
    table(root / "EmotioNet_FACS_aws_2020_24600.csv", rows)


def expllm(root: Path) -> None:
    words = ["Neutral", "Happiness", "Sadness", "Surprise", "Fear"]
    for part in ("train", "test"):
        items = [
            {"file_name": f"{part}_{i:05d}_aligned.jpg", "emo": word,
             "au": [round(0.01 * (i + k), 2) for k in range(24)],
             "description": "**Key Observations:** …\n\n**Overall Emotional Interpretation:** …\n\n**Conclusion:** …"}
            for i, word in enumerate(words)
        ]  # fmt: skip
        write(root / f"data_list/anno_json/rafdb_{part}.json", json.dumps(items, indent=0))
        write(
            root / f"data_list/{part}/raf-db.txt",
            f"data_list/anno_json/rafdb_{part}.json,data/raf-db/aligned,3\n",
        )
        for item in items:
            write(root / "data/raf-db/aligned" / str(item["file_name"]))


def expw(root: Path) -> None:
    lines = []
    for index in range(12):
        name = f"amused_{index // 2}.jpg"
        lines.append(f"{name} {index % 2} 68 150 268 186 {55 + index}.2 {index % 7}")
        write(root / "image/origin" / name)
    write(root / "label/label.lst", "\n".join(lines) + "\n")


def faba_instruct(root: Path) -> None:
    for task, question, answer in (
        ("emotion", "What is the emotion of this face?", "The face shows joy."),
        ("au", "List all the action units of this face.", "AU4 - Brow Lowerer: …"),
    ):
        train, evaluation = [], []
        for index in range(4):
            image = f"FABAInstruct/train/images/AffectNet/AffectNet_v2/{index}/{task}.jpg"
            turns = [{"from": "human", "value": f"{question}\n<image>"}, {"from": "gpt", "value": answer}]
            train.append({"source": "AffectNet", "image": image, "id": f"{task}{index}", "conversations": turns,
                          "landmark": image.replace("images", "landmarks").replace("jpg", "npy")})  # fmt: skip
            write(root / image)
            image = f"FABAInstruct/eval/images/{index}_{task}.jpg"
            label = (
                ("Happiness", 4, "6", "Anger")[index]
                if task == "emotion"
                else ("1, 4, 7", "12", "6, 12", "25")[index]
            )
            evaluation.append({"image": image, "label": label, "gpt4": answer, "landmark": "x.npy"})
            write(root / image)
        write(root / f"FABAInstruct/train/train_{task}_anno.json", json.dumps(train, indent=1))
        write(root / f"FABAInstruct/eval/eval_{task}_anno.json", json.dumps(evaluation, indent=1))


def feafa(root: Path) -> None:
    for person in ("P001", "P002", "P003", "P004", "P005"):
        for frame in (1, 2):
            write(root / person / f"{frame:04d}.auw", " ".join(f"{0.04 * k:.2f}" for k in range(24)) + "\n")
            write(root / person / f"{frame:04d}.jpg")


def ferplus(root: Path) -> None:
    names = "neutral happiness surprise sadness anger disgust fear contempt unknown NF".split()
    new = [["Usage", "Image name", *names]]
    old: list[list[object]] = [["emotion", "pixels", "Usage"]]
    for index in range(12):
        usage = ("Training", "PublicTest", "PrivateTest")[index // 4]
        votes = [0] * 10
        votes[index % 8], votes[(index + 1) % 8], votes[8] = 7, 2, 1
        if index == 3:
            votes = [0] * 9 + [10]
        new.append([usage, "" if index == 3 else f"fer{index:07d}.png", *map(str, votes)])
        old.append([index % 7, " ".join(["128"] * 2304), usage])
    table(root / "fer2013new.csv", new)
    table(root / "fer2013.csv", old)


def ferv39k(root: Path) -> None:
    for part, start in (("train", 1), ("test", 501)):
        lines = ""
        for index, word in enumerate(("Angry", "Disgust", "Fear", "Happy", "Neutral", "Sad", "Surprise")):
            clip = f"Action/{word}/{start + index:04d}"
            lines += f"{clip} {word}\n"
            write(root / "2_ClipsforFaceCrop" / clip / "1.jpg")
        write(root / f"4_setups/All_scenes/{part}_All.csv", lines)


def folder(root: Path) -> None:
    for split in ("train", "val"):
        for word in ("Happy", "sad", "anger"):
            for index in range(2):
                write(root / split / word / f"{split}{index}.jpg")


def gft(root: Path) -> None:
    units = (1, 2, 4, 5, 6, 7, 9, 10, 12, 14, 15, 16, 17, 18, 20, 23, 24, 25, 26)
    for person in ("001A", "001B", "002A"):
        rows: list[list[object]] = [["frame", *(f"AU{unit}" for unit in units)]]
        rows += [[frame, *((-1 if u == 23 else (frame + u) % 2) for u in units)] for frame in range(1, 5)]
        table(root / "AU_OCC" / f"{person}.csv", rows)
        for frame in range(1, 5):
            write(root / "images" / person / f"{frame:05d}.jpg")
    parts = {"train": ["001A", "001B"], "test": ["002A"]}
    write(root / "partition.json", json.dumps({"name": "gft", "key": "subject", "parts": parts}))


def hf_dataset(root: Path) -> None:
    arrow = pytest.importorskip("pyarrow")
    write(root / "dataset_dict.json", json.dumps({"splits": ["train", "test"]}))
    for split in ("train", "test"):
        names = ["angry", "happy", "sad"]
        rows = {
            "image": [{"bytes": JPEG, "path": f"{split}{i}.jpg"} for i in range(4)],
            "label": [i % 3 for i in range(4)],
            "subject": [f"{split}-p{i // 2}" for i in range(4)],
        }
        data = arrow.table(rows)
        (root / split).mkdir(parents=True)
        with arrow.OSFile(str(root / split / "data-00000-of-00001.arrow"), "wb") as sink:
            with arrow.ipc.new_stream(sink, data.schema) as writer:
                writer.write_table(data)
        features = {"image": {"_type": "Image"}, "label": {"names": names, "_type": "ClassLabel"},
                    "subject": {"dtype": "string", "_type": "Value"}}  # fmt: skip
        write(root / split / "dataset_info.json", json.dumps({"features": features}))
        files = [{"filename": "data-00000-of-00001.arrow"}]
        write(root / split / "state.json", json.dumps({"_data_files": files, "_fingerprint": "0"}))


def mafw(root: Path) -> None:
    words = ("anger disgust fear happiness neutral sadness surprise contempt anxiety helplessness "
             "disappointment").split()  # fmt: skip
    for fold in range(1, 6):
        for side in ("train", "test"):
            lines = "".join(
                f"{i + 1:05d}.mp4 {word}\n"
                for i, word in enumerate(words)
                if (i % 5 == fold - 1) == (side == "test")
            )
            write(root / f"split/single/no_caption/set_{fold}/{side}.txt", lines)
    for index in range(len(words)):
        write(root / "data/clips" / f"{index + 1:05d}.mp4", film())
    texts = [[f"{i + 1:05d}.mp4", "一张脸", f"A face showing {word}."] for i, word in enumerate(words)]
    sheet(root / "Labels/descriptive_text.xlsx", texts)


def manifest(root: Path) -> None:
    rows: list[list[object]] = [
        ["media", "split", "subject", "emotion", "valence", "AU06", "AU12_level", "age"]
    ]
    for index in range(6):
        name = f"faces/{index}.jpg"
        split = "train" if index < 4 else "test"
        rows.append(
            [
                name,
                split,
                f"p{index // 2}",
                ("happy", "sad", "bored")[index % 3],
                "0.5",
                index % 2,
                index % 6,
                30,
            ]
        )
        write(root / name)
    table(root / "manifest.csv", rows)


def meld(root: Path) -> None:
    header = ["Sr No.", "Utterance", "Speaker", "Emotion", "Sentiment", "Dialogue_ID", "Utterance_ID", "Season",
              "Episode", "StartTime", "EndTime"]  # fmt: skip
    clips = {"train": "train_splits", "dev": "dev_splits_complete", "test": "output_repeated_splits_test"}
    words = ("neutral", "joy", "surprise", "anger", "sadness", "disgust", "fear")
    for split, place in clips.items():
        rows: list[list[object]] = [header]
        for index, word in enumerate(words):
            rows.append([index + 1, "Well, that’s fine", "Joey", word, "neutral", 0, index, 8, 21, "00:16:16,059",
                         "00:16:21,731"])  # fmt: skip
            write(root / place / f"dia0_utt{index}.mp4", film())
        table(root / f"{split}_sent_emo.csv", rows)


def mer2023(root: Path) -> None:
    words = ("neutral", "angry", "happy", "sad", "worried", "surprise")
    for part, start in (("train", 0), ("test1", 100)):
        rows: list[list[object]] = [["name", "discrete", "valence"]]
        for index, word in enumerate(words):
            clip = f"sample_{start + index:08d}"
            rows.append([clip, word, -1.0])
            write(root / part / f"{clip}.avi", film())
        table(root / f"{part}-label.csv", rows)


def rafdb(root: Path) -> None:
    lines = ""
    for part in ("train", "test"):
        for index in range(1, 8):
            stem = f"{part}_{index:05d}"
            lines += f"{stem}.jpg {index}\n"
            write(root / f"basic/Image/aligned/{stem}_aligned.jpg")
            write(root / f"basic/Image/original/{stem}.jpg")
            points = "".join(f"{40 + i}.1\t{50 + i}.2\n" for i in range(5))
            write(root / f"basic/Annotation/manual/{stem}_manu_attri.txt", f"{points}1\n0\n2\n")
    write(root / "basic/EmoLabel/list_patition_label.txt", lines)


COPIES: dict[str, Callable[[Path], None]] = {
    build.__name__: build
    for build in (
        affectnet, bp4d, casme2, cmma, dfew, disfa, emonet_face, emotionet, expllm, expw, faba_instruct, feafa,
        ferplus, ferv39k, folder, gft, hf_dataset, mafw, manifest, meld, mer2023, rafdb,
    )
}  # fmt: skip
PACKS = ("genki4k", "lfw_emotion", "london")


@pytest.fixture
def copy_of(tmp_path: Path, tiny_data: Path) -> Callable[[str], Path]:
    """Makes a fresh miniature of a dataset and tells its root."""

    def make(name: str) -> Path:
        root = tmp_path / name
        if name in PACKS:
            write(root / f"{name}.zip", (tiny_data / name / f"{name}.zip").read_bytes())
        else:
            COPIES[name](root)
        return root

    return make


@pytest.fixture
def jpeg_bytes() -> bytes:
    return JPEG
