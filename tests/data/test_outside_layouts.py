"""Layouts as published or re-packed, after public readers of them; no fixture here follows our own belief."""

from __future__ import annotations

import shutil
from collections.abc import Callable, Sequence
from pathlib import Path

import pytest

from mien.core.errors import BadConfig, BadData
from mien.core.nouns import Sample
from mien.data import DATASETS, open_dataset
from mien.data.emonet_face import ratings
from mien.face.decode.media import open_media

CopyOf = Callable[[str], Path]


def read(name: str, split: str, root: Path, **options: object) -> list[Sample]:
    return list(open_dataset(name).read(split, root, **options))


def disfa_pictures(root: Path, numbers: dict[str, Sequence[int]], jpeg: bytes) -> None:
    for subject, frames in numbers.items():
        (root / "images" / subject).mkdir(parents=True)
        for frame in frames:
            (root / "images" / subject / f"{frame}.png").write_bytes(jpeg)


def told(root: Path, **options: object) -> dict[int, int]:
    samples = read("disfa", "fold1", root, pictures="images", **options)
    return {int(Path(s.media).stem): (s.labels.au_level or {})["AU02"] for s in samples}


BY_LINE = {line: 2 * line % 6 for line in range(1, 6)}
DISFA = {
    "from 0, as ME-GraphAU's lists have it": (range(5), range(5), range(5), 0),
    "from 1": (range(1, 6), range(1, 6), range(1, 6), 1),
    "from 0 with lost pictures": ((1, 2, 3), range(5), (1, 2), 0),
    "from 1 with lost pictures": ((2, 3, 4), (1, 2, 3, 4, 5), (3,), 1),
}


@pytest.mark.parametrize("name", DISFA)
def test_disfa_first_picture_is_told_by_the_names(name: str, copy_of: CopyOf, jpeg_bytes: bytes) -> None:
    *numbers, first = DISFA[name]
    root = copy_of("disfa")
    disfa_pictures(root, dict(zip(("SN001", "SN013", "SN003"), numbers, strict=True)), jpeg_bytes)  # type: ignore[arg-type]
    assert told(root) == {line - 1 + int(first): level for line, level in BY_LINE.items()}  # type: ignore[call-overload]


@pytest.mark.parametrize("numbers", [range(6), range(1, 5)])
def test_disfa_is_never_shifted_by_a_guess(numbers: range, copy_of: CopyOf, jpeg_bytes: bytes) -> None:
    root = copy_of("disfa")
    disfa_pictures(root, dict.fromkeys(("SN001", "SN013", "SN003"), numbers), jpeg_bytes)
    with pytest.raises(BadData, match="first=0 or first=1"):
        told(root)
    assert told(root, first=0)[3] == BY_LINE[4] and told(root, first=1)[3] == BY_LINE[3]
    with pytest.raises(BadConfig, match="first 0 or 1"):
        told(root, first=2)


def test_faba_tree_below_and_at_its_own_folder(copy_of: CopyOf, tmp_path: Path) -> None:
    root = copy_of("faba_instruct")
    dataset = open_dataset("faba_instruct")
    moved = tmp_path / "renamed"
    shutil.copytree(root / "FABAInstruct", moved)
    for place in (root, root / "FABAInstruct", moved):
        assert dataset.check(place) == []
        assert [len(list(dataset.read(split, place))) for split in dataset.splits(place)] == [4] * 4


def test_rafdb_repacked_into_number_folders(tmp_path: Path, jpeg_bytes: bytes) -> None:
    """As eight public loaders have it: DATASET/train/1..7, and the lists ``image,label`` beside DATASET."""
    for part in ("train", "test"):
        lines = "image,label\n"
        for code in range(1, 8):
            folder = tmp_path / "DATASET" / part / str(code)
            folder.mkdir(parents=True)
            (folder / f"{part}_{code:05d}_aligned.jpg").write_bytes(jpeg_bytes)
            lines += f"{part}_{code:05d}_aligned.jpg,{code}\n"
        (tmp_path / f"{part}_labels.csv").write_text(lines)
    dataset = open_dataset("rafdb")
    assert dataset.check(tmp_path) == []
    samples = read("rafdb", "test", tmp_path)
    assert [
        s.labels.emotion for s in samples
    ] == "surprise fear disgust happiness sadness anger neutral".split()
    assert samples[0].id == "test_00001" and samples[0].cropped
    with pytest.raises(BadConfig, match="re-packed"):
        read("rafdb", "test", tmp_path, attributes=True)
    listed = tmp_path / "train_labels.csv"
    listed.write_text(
        listed.read_text().replace("00003_aligned.jpg,3", "00003_aligned.jpg,4") + "gone.jpg,1\n"
    )
    assert [str(problem) for problem in dataset.check(tmp_path)] == [
        "DATASET/train/3/train_00003_aligned.jpg: label '4' in train_labels.csv, but it lies in 3",
        "train_labels.csv: no file gone.jpg below DATASET/train",
    ]


def test_casme2_older_coding_and_other_folders(copy_of: CopyOf) -> None:
    root = copy_of("casme2")
    (root / "CASME2-coding-20190701.xlsx").rename(root / "CASME2-coding-2019217.xlsx")
    (root / "CASME2_RAW_selected").rename(root / "Cropped")
    assert open_dataset("casme2").check(root) == []
    assert all(sample.cropped for sample in read("casme2", "all", root))


def test_ferv39k_lists_with_backslashes_and_the_folder_twice(copy_of: CopyOf) -> None:
    root = copy_of("ferv39k")
    for part in ("train", "test"):
        path = root / f"4_setups/All_scenes/{part}_All.csv"
        path.write_text(path.read_text().replace("/", "\\"))
    (root / "2_ClipsforFaceCrop").rename(root / "clips")
    (root / "2_ClipsforFaceCrop").mkdir()
    (root / "clips").rename(root / "2_ClipsforFaceCrop/2_ClipsforFaceCrop")
    assert open_dataset("ferv39k").check(root) == []
    assert read("ferv39k", "train", root)[0].id == "Action/Angry/0001"


def test_affectnet_number_folders_capital_or_not(tmp_path: Path, jpeg_bytes: bytes) -> None:
    for place in ("Train/0", "Train/7", "Test/1", "Test/3"):
        (tmp_path / place).mkdir(parents=True)
        (tmp_path / place / "image.JPG").write_bytes(jpeg_bytes)
    assert [s.labels.emotion for s in read("affectnet", "val", tmp_path)] == ["happiness", "surprise"]
    assert open_dataset("affectnet").check(tmp_path) == []


def test_folder_takes_the_pictures_that_people_have(tmp_path: Path, jpeg_bytes: bytes) -> None:
    (tmp_path / "happy").mkdir()
    for suffix in ("jfif", "gif", "heic", "AVIF", "txt"):
        (tmp_path / "happy" / f"a.{suffix}").write_bytes(jpeg_bytes)
    dataset = open_dataset("folder")
    assert len(read("folder", "all", tmp_path)) == 4
    found = dataset.audit(tmp_path)
    assert found.problems == [] and found.counts == {"all": 4}
    assert [str(note) for note in found.notes] == ["happy: files that are no pictures or videos: .txt"]


@pytest.mark.parametrize("name", DATASETS)
def test_a_root_that_is_no_folder_is_told_in_a_sentence(name: str, tmp_path: Path) -> None:
    archive, text = tmp_path / "x.zip", tmp_path / "x.txt"
    archive.write_bytes(b"PK\x05\x06" + b"\0" * 18)
    text.write_text("x")
    with pytest.raises(BadData, match=r"an archive.*Unpack it"):
        open_dataset(name).check(archive)
    if name == "manifest":
        assert open_dataset(name).check(text) != []
        return
    with pytest.raises(BadData, match="which is no folder"):
        open_dataset(name).check(text)


OPTIONS: list[tuple[str, dict[str, object], str]] = [
    ("mafw", {"descriptions": "maybe"}, "true or false"),
    ("affectnet", {"classes": "seven"}, "a whole number"),
    ("rafdb", {"colour": "red"}, "pictures, attributes"),
    ("genki4k", {"votes": "all"}, "no option at all"),
    ("disfa", {"first": "0.5"}, "a whole number or null"),
]


@pytest.mark.parametrize(("name", "options", "words"), OPTIONS)
def test_a_wrong_option_is_refused_with_its_type(
    name: str, options: dict[str, object], words: str, copy_of: CopyOf
) -> None:
    root = copy_of(name)
    for act in (
        lambda: read(name, "train", root, **options),
        lambda: open_dataset(name).check(root, **options),
    ):
        with pytest.raises(BadConfig, match=words):
            act()


def test_options_come_as_text_or_as_values(copy_of: CopyOf) -> None:
    root = copy_of("mafw")
    (root / "Labels/descriptive_text.xlsx").unlink()
    for off in ("False", "no", "0", False):
        assert read("mafw", "fold1-test", root, descriptions=off)[0].labels.description is None
    with pytest.raises(BadData, match="descriptive_text"):
        read("mafw", "fold1-test", root, descriptions="True")
    root = copy_of("bp4d")
    for units in (4, "4"):
        assert list(read("bp4d", "fold1", root, units=units)[0].labels.au_presence or {}) == ["AU04"]


def test_emonet_face_by_its_own_words_and_by_the_eight(copy_of: CopyOf) -> None:
    root = copy_of("emonet_face")
    test = read("emonet_face", "test", root)
    assert [(s.id, s.labels.emotion) for s in test] == [
        ("0.png", "happiness"),
        ("1.png", "anger"),
        ("3.png", "happiness"),
    ]
    votes = test[0].labels.votes
    assert votes is not None and votes["happiness"] == pytest.approx(17 / 3) and votes["anger"] == 1
    every = read("emonet_face", "test", root, classes=40)
    assert [s.labels.emotion for s in every] == ["elation", "anger", "pain", "elation"]
    binary = read("emonet_face", "binary", root)
    assert [(Path(s.media).name, s.labels.emotion) for s in binary] == [
        ("00000.jpg", "anger"),
        ("00070.jpg", "sadness"),
    ]
    own = read("emonet_face", "binary", root, classes=40)
    assert [s.labels.emotion for s in own] == ["anger", None, None, "sadness"]
    name, given = next(ratings(root))
    assert (
        name == "0.png"
        and list(given) == ["human-1", "human-2", "human-3"]
        and given["human-1"]["elation"] == 6
    )
    with pytest.raises(BadConfig, match="8 or 40"):
        read("emonet_face", "test", root, classes=7)


def test_emonet_face_as_the_hub_has_it(tmp_path: Path, jpeg_bytes: bytes) -> None:
    """The picture is a struct in ``path``, the ratings a text in ``label``: a list of one dict per rater."""
    arrow, parquet = pytest.importorskip("pyarrow"), pytest.importorskip("pyarrow.parquet")
    told = [{"human-1": {"Negative Low-Energy Emotions|Sadness": 6.0}}, {"Hume Face": {"x|Anger": 1}}]
    rows = {"path": [{"bytes": jpeg_bytes, "path": None}] * 2, "label": [repr(told), "nonsense"]}
    (tmp_path / "data").mkdir()
    parquet.write_table(arrow.table(rows), tmp_path / "data/train-00000-of-00001.parquet")
    found = open_dataset("emonet_face").audit(tmp_path)
    assert found.counts["test"] == 1
    assert any("train-00000-of-00001.parquet:2: label holds no ratings" in str(one) for one in found.problems)
    first = next(iter(open_dataset("emonet_face").read("test", tmp_path)))
    assert first.labels.emotion == "sadness" and first.media.endswith(".parquet!0")
    assert open_media(first.media).shape[2] == 3
