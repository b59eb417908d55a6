"""Layouts beside each dataset's main one, damaged; and the pixels behind every dataset's samples."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest

from mien.core.errors import MienError
from mien.core.nouns import Image
from mien.data import DATASETS, open_dataset
from mien.face.decode.media import iter_media

CopyOf = Callable[[str], Path]


def problems(name: str, root: Path) -> list[str]:
    return [str(problem) for problem in open_dataset(name).check(root)]


def npy_layout(root: Path, jpeg: bytes) -> Path:
    for split in ("train_set", "val_set"):
        for folder in ("images", "annotations"):
            (root / split / folder).mkdir(parents=True)
        for index in range(3):
            (root / split / "images" / f"{index}.jpg").write_bytes(jpeg)
            for kind, value in (("exp", str(index)), ("val", "0.5"), ("aro", "-0.5")):
                np.save(root / split / "annotations" / f"{index}_{kind}.npy", np.asarray(value))
    return root / "train_set"


def rewrite(path: Path, value: object) -> None:
    np.save(path, np.asarray(value))


NPY_FAULTS: dict[str, tuple[Callable[[Path], object], str]] = {
    "label": (lambda p: rewrite(p / "annotations/1_exp.npy", "11"), "annotations/1_exp.npy: label '11'"),
    "valence": (lambda p: rewrite(p / "annotations/1_val.npy", "high"), "annotations/1_exp.npy: valence high"),
    "picture": (lambda p: (p / "images/1.jpg").unlink(), "annotations/1_exp.npy: no file train_set/images/1.jpg"),
    "annotation": (lambda p: (p / "annotations/1_aro.npy").unlink(), "annotations/1_aro.npy: cannot be read"),
    "bytes": (lambda p: (p / "annotations/1_exp.npy").write_bytes(b"\xe9"), "annotations/1_exp.npy: cannot be read"),
    "pickle": (lambda p: np.save(p / "annotations/1_exp.npy", np.asarray([{}], object), allow_pickle=True),
               "annotations/1_exp.npy: cannot be read"),
}  # fmt: skip


@pytest.mark.parametrize("name", NPY_FAULTS)
def test_affectnet_npy_layout(name: str, tmp_path: Path, jpeg_bytes: bytes) -> None:
    part = npy_layout(tmp_path, jpeg_bytes)
    assert problems("affectnet", tmp_path) == []
    act, words = NPY_FAULTS[name]
    act(part)
    assert any(f"train_set/{words}" in problem for problem in problems("affectnet", tmp_path))


def test_affectnet_folder_layout(tmp_path: Path, jpeg_bytes: bytes) -> None:
    for place in ("train/0", "train/3", "val/surprise", "val/8"):
        (tmp_path / place).mkdir(parents=True)
        (tmp_path / place / "image0001.jpg").write_bytes(jpeg_bytes)
    assert problems("affectnet", tmp_path) == []
    (tmp_path / "train/3").rename(tmp_path / "train/33")
    assert [p.partition(",")[0] for p in problems("affectnet", tmp_path)] == ["train/33: label '33'"]
    (tmp_path / "val").rename(tmp_path / "elsewhere")
    assert any(p.startswith("val: no folder") for p in problems("affectnet", tmp_path))


def fer_pack(root: Path, **arrays: object) -> Path:
    for split in ("train", "val"):
        votes = np.zeros((4, 10), np.uint8)
        votes[:, 0] = 9
        names = np.asarray([f"{split}{row}.png" for row in range(4)])
        images = np.zeros((4, 48, 48), np.uint8)
        content = {"images": images, "votes": votes, "names": names}
        np.savez(root / f"{split}.npz", **(content | (arrays if split == "train" else {})))
    return root


def test_ferplus_pack(tmp_path: Path) -> None:
    assert problems("ferplus", fer_pack(tmp_path)) == []
    votes = np.full((4, 10), 2, np.uint8)
    assert (
        problems("ferplus", fer_pack(tmp_path, votes=votes))[0]
        == "train.npz:1: 20 votes, expected at most 10"
    )
    few = problems("ferplus", fer_pack(tmp_path, images=np.zeros((3, 48, 48), np.uint8)))
    assert "4 names and 3 images" in few[0]
    again = problems("ferplus", fer_pack(tmp_path, names=np.asarray(["a", "b", "a", "val0.png"])))
    assert "train.npz:3: id a again, first in train.npz:1" in again
    assert any("val0.png is in val and in train" in problem for problem in again)
    fer_pack(tmp_path)
    whole = (tmp_path / "train.npz").read_bytes()
    (tmp_path / "train.npz").write_bytes(whole[: len(whole) // 2])
    assert any(p.startswith("train.npz: no pack with votes") for p in problems("ferplus", tmp_path))


def test_hf_dataset_of_several_files_counts_rows_per_file(copy_of: CopyOf) -> None:
    root = copy_of("hf_dataset")
    first = root / "train/data-00000-of-00001.arrow"
    (root / "train/more.arrow").write_bytes(first.read_bytes())
    state = root / "train/state.json"
    state.write_text(state.read_text().replace("}]", '}, {"filename": "more.arrow"}]'))
    samples = list(open_dataset("hf_dataset").read("train", root))
    assert [s.id for s in samples] == [f"train/{row}" for row in range(8)]
    assert [s.media.rpartition("/")[2] for s in samples[3:5]] == [
        "data-00000-of-00001.arrow!3",
        "more.arrow!0",
    ]


@pytest.mark.parametrize("name", DATASETS)
def test_every_sample_leads_to_its_pixels(name: str, copy_of: CopyOf) -> None:
    for module in ("av", "pyarrow"):
        pytest.importorskip(module)
    root, dataset = copy_of(name), open_dataset(name)
    for split in dataset.splits(root):
        samples = list(dataset.read(split, root))
        for sample, picture in zip(samples, iter_media(s.media for s in samples), strict=True):
            assert not isinstance(picture, MienError), (sample.media, picture)
            check_picture(picture)


def check_picture(picture: Image) -> None:
    assert picture.dtype == np.uint8 and picture.ndim == 3 and picture.shape[2] == 3
    assert min(picture.shape[:2]) >= 16
