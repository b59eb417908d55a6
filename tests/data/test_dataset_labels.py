"""What each dataset makes of its labels: index orders, protocols, options, by hand-made expectation."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest

from mien.core.aus import AU_SETS, FEAFA_24
from mien.core.errors import BadConfig, BadData
from mien.core.nouns import Labels, Sample
from mien.data import open_dataset
from mien.data.faba_instruct import dialogues
from mien.data.fer_votes import vote_labels
from mien.data.landmark_files import read_landmarks as read_back
from mien.data.landmark_files import scaled, with_landmarks, write_landmark_rows, write_landmarks

CopyOf = Callable[[str], Path]


def read(name: str, split: str, root: Path, **options: object) -> list[Sample]:
    return list(open_dataset(name).read(split, root, **options))


def emotions(samples: list[Sample]) -> list[str | None]:
    return [sample.labels.emotion for sample in samples]


EIGHT = "neutral happiness sadness surprise fear disgust anger contempt".split()


def test_affectnet_index_order_and_classes(copy_of: CopyOf) -> None:
    root = copy_of("affectnet")
    train = read("affectnet", "train", root)
    assert emotions(train) == EIGHT
    assert emotions(read("affectnet", "train", root, classes=7)) == EIGHT[:7]
    assert (
        train[2].box == (10, 12, 110, 122)
        and train[2].labels.valence == 0.2
        and train[2].labels.arousal == -0.2
    )
    with pytest.raises(BadConfig, match="classes"):
        read("affectnet", "train", root, classes=6)


def test_affectnet_npy_layout_with_numbers_stored_as_text(tmp_path: Path, jpeg_bytes: bytes) -> None:
    for split in ("train_set", "val_set"):
        for folder in ("images", "annotations"):
            (tmp_path / split / folder).mkdir(parents=True)
        for index in range(4):
            (tmp_path / split / "images" / f"{index}.jpg").write_bytes(jpeg_bytes)
            base = tmp_path / split / "annotations"
            np.save(base / f"{index}_exp.npy", np.asarray(str(index * 2)))
            np.save(base / f"{index}_val.npy", np.asarray("0.5"))
            np.save(base / f"{index}_aro.npy", np.asarray(-2.0))
    samples = read("affectnet", "train", tmp_path)
    assert emotions(samples) == ["neutral", "sadness", "fear", "anger"]
    assert samples[0].labels.valence == 0.5 and samples[0].labels.arousal is None
    assert open_dataset("affectnet").check(tmp_path) == []
    (tmp_path / "train_set/annotations/2_exp.npy").unlink()
    problems = open_dataset("affectnet").check(tmp_path)
    assert "train_set/annotations/2_exp.npy" in [problem.file for problem in problems]


@pytest.mark.parametrize(
    "names", [("0", "1", "7"), ("Neutral", "happy", "contempt"), ("class001", "class002", "class008")]
)
def test_affectnet_folder_layout(names: tuple[str, ...], tmp_path: Path, jpeg_bytes: bytes) -> None:
    for split in ("train", "valid"):
        for name in names:
            (tmp_path / split / name).mkdir(parents=True)
            (tmp_path / split / name / "image0001.jpg").write_bytes(jpeg_bytes)
    assert set(emotions(read("affectnet", "train", tmp_path))) == {"neutral", "happiness", "contempt"}
    assert len(read("affectnet", "val", tmp_path, classes=7)) == 2


def test_rafdb_index_order_and_attributes(copy_of: CopyOf) -> None:
    root = copy_of("rafdb")
    train = read("rafdb", "train", root, attributes=True)
    assert emotions(train) == "surprise fear disgust happiness sadness anger neutral".split()
    assert train[0].labels.group == {"gender": "female", "ethnicity": "Caucasian", "age": "20-39"}
    assert train[0].cropped and not read("rafdb", "train", root, pictures="original")[0].cropped


def test_ferplus_csv_pair_names_pictures_and_rows(copy_of: CopyOf, jpeg_bytes: bytes) -> None:
    root = copy_of("ferplus")
    rows = read("ferplus", "val", root)
    assert rows[0].id == "fer0000004.png" and rows[0].media.endswith("fer2013.csv!4")
    assert len(read("ferplus", "train", root)) == 3  # the row of NF votes has no picture
    for folder, first in (("FER2013Train", 0), ("FER2013Valid", 4), ("FER2013Test", 8)):
        (root / folder).mkdir()
        for index in range(first, first + 4):
            (root / folder / f"fer{index:07d}.png").write_bytes(jpeg_bytes)
    assert read("ferplus", "val", root)[0].media.endswith("FER2013Valid/fer0000004.png")
    assert open_dataset("ferplus").check(root) == []


#   neutral happiness surprise sadness anger disgust fear contempt unknown NF
VOTES = [
    ((6, 0, 0, 4, 0, 0, 0, 0, 0, 0), "clean", "neutral", {"neutral": 6, "sadness": 4}),
    ((6, 0, 0, 3, 0, 0, 0, 0, 0, 1), "majority", "neutral", {"neutral": 6}),
    ((5, 5, 0, 0, 0, 0, 0, 0, 0, 0), "majority", None, None),
    ((4, 3, 2, 1, 0, 0, 0, 0, 0, 0), "majority", None, None),
    ((8, 2, 0, 0, 0, 0, 0, 0, 0, 0), "probability", "neutral", {"neutral": 8}),
    ((5, 3, 2, 0, 0, 0, 0, 0, 0, 0), "probability", "neutral", {"neutral": 5, "happiness": 3}),
    ((4, 2, 2, 2, 0, 0, 0, 0, 0, 0), "probability", None, None),  # a tie makes four
    ((5, 0, 0, 0, 0, 0, 0, 0, 5, 0), "probability", None, None),  # half of the votes are not more than half
    ((6, 0, 0, 0, 0, 0, 0, 0, 4, 0), "probability", "neutral", {"neutral": 6}),
    ((2, 0, 0, 0, 0, 0, 0, 0, 8, 0), "crossentropy", None, None),
    ((4, 0, 0, 0, 0, 0, 0, 0, 0, 6), "clean", None, None),
    ((5, 5, 0, 0, 0, 0, 0, 0, 0, 0), "clean", None, {"neutral": 5, "happiness": 5}),
    ((1, 1, 1, 1, 1, 1, 1, 1, 1, 1), "clean", None, None),
    ((3, 3, 0, 0, 0, 0, 0, 0, 4, 0), "emotions", "neutral", {"neutral": 3, "happiness": 3}),
    ((0, 0, 0, 0, 0, 0, 0, 1, 9, 0), "emotions", "contempt", {"contempt": 1}),
    ((0, 0, 0, 0, 0, 0, 0, 0, 1, 9), "emotions", None, None),
]


@pytest.mark.parametrize(("counts", "mode", "emotion", "votes"), VOTES)
def test_ferplus_vote_rules(
    counts: tuple[int, ...], mode: str, emotion: str | None, votes: dict[str, float] | None
) -> None:
    labels = vote_labels(counts, mode)
    assert labels.emotion == emotion
    kept = {name: count for name, count in (labels.votes or {}).items() if count}
    assert (kept or None) == votes


def test_expw_keeps_sure_faces_and_draws_the_same_ones(copy_of: CopyOf) -> None:
    root = copy_of("expw")
    assert (
        emotions(read("expw", "all", root))[:7]
        == "anger disgust fear happiness sadness surprise neutral".split()
    )
    sure = read("expw", "test", root)
    assert len(sure) == 7  # confidence 60.2 … 66.2
    three = [s.id for s in read("expw", "test", root, count=3)]
    assert three == [s.id for s in read("expw", "test", root, count=3)] and len(three) == 3
    assert three != [s.id for s in read("expw", "test", root, count=3, seed=4)]
    assert sure[0].box == (150, 68, 268, 186)


def test_bp4d_leaves_uncoded_aus_out(copy_of: CopyOf) -> None:
    root = copy_of("bp4d")
    sample = read("bp4d", "fold1", root)[0]
    assert sample.subject == "F001" and tuple(sample.labels.au_presence or ()) == AU_SETS["bp4d12"]
    five = read("bp4d", "fold1", root, units="1 5")[0].labels.au_presence
    assert five == {"AU01": True}  # AU5 is coded 9


@pytest.mark.parametrize(("presence", "cut_off"), [("at-least-2", 2), ("above-2", 3)])
def test_disfa_binarisation_by_name(presence: str, cut_off: int, copy_of: CopyOf) -> None:
    root = copy_of("disfa")
    for sample in read("disfa", "fold2", root, presence=presence):
        levels, present = sample.labels.au_level or {}, sample.labels.au_presence or {}
        assert present == {key: level >= cut_off for key, level in levels.items()} and len(levels) == 12


def test_disfa_names_no_threshold_by_default(copy_of: CopyOf) -> None:
    root = copy_of("disfa")
    first = read("disfa", "fold1", root)[0]
    assert first.labels.au_presence is None and first.media.endswith("LeftVideoSN001_comp.avi!0")
    with pytest.raises(BadConfig, match="at-least-2 or above-2"):
        read("disfa", "fold1", root, presence="2")


def test_gft_and_emotionet_skip_what_is_not_coded(copy_of: CopyOf) -> None:
    gft = read("gft", "train", copy_of("gft"))[0].labels.au_presence or {}
    assert set(gft) == set(AU_SETS["gft10"]) - {"AU23"}
    net = read("emotionet", "all", copy_of("emotionet"))[1].labels.au_presence or {}
    assert set(net) == set(AU_SETS["emotionet12"]) - {"AU43"}
    assert net["AU01"] is False and net["AU02"] is True


def test_feafa_values_and_split(copy_of: CopyOf) -> None:
    root = copy_of("feafa")
    train, test = read("feafa", "train", root), read("feafa", "test", root)
    assert len(train) == 8 and len(test) == 2 and not {s.id for s in train} & {s.id for s in test}
    values = train[0].labels.au_intensity or {}
    assert list(values) == [value.name for value in FEAFA_24] and values["right eye close"] == 0.04
    people = {s.subject for s in read("feafa", "test", root, by="person")}
    assert len(people) == 1 and not people & {s.subject for s in read("feafa", "train", root, by="person")}


def test_video_sets_keep_their_own_words(copy_of: CopyOf) -> None:
    assert emotions(read("dfew", "fold1-train", copy_of("dfew")))[:3] == ["sadness", "neutral", "anger"]
    words = {
        sample.labels.emotion
        for k in range(1, 6)
        for sample in read("mafw", f"fold{k}-test", copy_of("mafw"))
    }
    assert {"anxiety", "helplessness", "disappointment", "contempt"} <= words and len(words) == 11
    assert "worried" in emotions(read("mer2023", "train", copy_of("mer2023")))
    meld = read("meld", "dev", copy_of("meld"))
    assert Counter(emotions(meld))["happiness"] == 1 and meld[0].subject == "Joey"


def test_mafw_descriptions_come_from_the_sheet(copy_of: CopyOf) -> None:
    samples = read("mafw", "fold1-test", copy_of("mafw"), descriptions=True)
    assert [s.labels.description for s in samples][:1] == ["A face showing anger"]


def test_casme2_aus_and_apex(copy_of: CopyOf) -> None:
    root = copy_of("casme2")
    samples = read("casme2", "all", root)
    assert emotions(samples) == ["happiness", "others", "repression", "disgust", "others"]
    assert samples[1].labels.au_presence == {"AU04": True, "AU10": True} and samples[0].subject == "sub01"
    assert (
        samples[2].labels.au_presence == {"AU14": True, "AU17": True}
        and samples[4].labels.au_presence is None
    )
    apex = read("casme2", "all", root, media="apex")
    assert len(apex) == 4 and apex[0].media.endswith("EP02_01f/img59.jpg")


def test_faba_labels_and_conversations(copy_of: CopyOf) -> None:
    root = copy_of("faba_instruct")
    assert emotions(read("faba_instruct", "eval-emotion", root)) == ["happiness", "neutral", "fear", "anger"]
    units = read("faba_instruct", "eval-au", root)[0].labels.au_presence or {}
    assert tuple(units) == AU_SETS["faba20"] and [k for k, v in units.items() if v] == [
        "AU01",
        "AU04",
        "AU07",
    ]
    talk = list(dialogues("train-au", root))
    assert len(talk) == 4 and [turn.role for turn in talk[0].turns] == ["user", "assistant"]
    assert talk[0].turns[0].text.endswith("\n<image>") and talk[0].sample_id == "au0"


def test_expllm_items_and_repeats(copy_of: CopyOf) -> None:
    root = copy_of("expllm")
    items = read("expllm", "train/raf-db", root)
    assert len(items) == 5 and (items[0].labels.chain_of_thought or "").startswith("**Key Observations:**")
    assert (items[1].labels.au_intensity or {})["left eye close"] == 0.01
    assert len(read("expllm", "train/raf-db", root, repeats=True)) == 15
    listed = root / "data_list/train/raf-db.txt"
    listed.write_text(listed.read_text().replace(",3", ",0.4"))
    assert len(read("expllm", "train/raf-db", root, repeats=True)) == 2


@pytest.mark.parametrize("kind", ["csv", "tsv", "jsonl", "parquet"])
def test_manifest_formats_say_the_same(kind: str, tmp_path: Path, jpeg_bytes: bytes) -> None:
    (tmp_path / "a.jpg").write_bytes(jpeg_bytes)
    path = tmp_path / f"manifest.{kind}"
    if kind in ("csv", "tsv"):
        cells = ("a.jpg", "Happy", "1", "4", "0.25")
        joiner = "," if kind == "csv" else "\t"
        names = ("media", "emotion", "AU06", "AU12_level", "AU25_intensity")
        path.write_text("\n".join(joiner.join(row) for row in (names, cells)) + "\n")
    elif kind == "jsonl":
        path.write_text(
            '{"media": "a.jpg", "emotion": "Happy", "AU06": 1, "AU12_level": 4, "AU25_intensity": 0.25}\n'
        )
    else:
        arrow = pytest.importorskip("pyarrow")
        row = {"media": "a.jpg", "emotion": "Happy", "AU06": 1, "AU12_level": 4, "AU25_intensity": 0.25}
        pytest.importorskip("pyarrow.parquet").write_table(arrow.Table.from_pylist([row]), path)
    for root in (tmp_path, path):
        (sample,) = read("manifest", "all", root)
        labels = Labels("happiness", None, {"AU06": True}, {"AU12": 4}, {"AU25": 0.25})
        assert sample.labels == labels and sample.media == str(tmp_path / "a.jpg")


def test_hf_dataset_reads_class_names(copy_of: CopyOf) -> None:
    samples = read("hf_dataset", "train", copy_of("hf_dataset"))
    assert emotions(samples) == ["anger", "happiness", "sadness", "anger"]
    assert samples[3].media.endswith(".arrow!3") and samples[3].subject == "train-p1"


def test_landmark_file_makes_affectlandmarknet(copy_of: CopyOf, tmp_path: Path) -> None:
    samples = read("affectnet", "train", copy_of("affectnet"))
    rng = np.random.default_rng(0)
    points = {s.id: (rng.random((478, 3)) * (100, 140, 40)).astype(np.float32) for s in samples[:5]}
    first = write_landmarks(tmp_path / "a.safetensors", points)
    second = write_landmarks(tmp_path / "b.safetensors", dict(reversed(points.items())))
    assert first.read_bytes() == second.read_bytes()
    joined = list(with_landmarks(samples, read_back(first)))
    assert [s.id for s in joined] == [s.id for s in samples[:5]]
    array = joined[0].landmarks
    assert array is not None
    np.testing.assert_allclose([array.min(axis=0), array.max(axis=0)], [[-1] * 3, [1] * 3], atol=1e-5)
    ball = scaled(points[samples[0].id], "unit_sphere")
    assert np.linalg.norm(ball, axis=1).max() == pytest.approx(1, abs=1e-5)
    both = scaled(points[samples[0].id], "minmax_global")
    assert both.max() == pytest.approx(1, abs=1e-5) and np.ptp(both, axis=0)[2] < 0.7


@pytest.mark.parametrize("scale", ["minmax_axis", "minmax_global", "unit_sphere"])
def test_landmarks_are_scaled_as_the_models_do(scale: str) -> None:
    torch = pytest.importorskip("torch")
    from mien.layers.point_sampling import normalize_points

    points = (np.random.default_rng(3).random((478, 3)) * (100, 140, 40)).astype(np.float32)
    ours = scaled(points, scale)
    theirs = normalize_points(torch.from_numpy(points)[None], scale)[0].numpy()
    np.testing.assert_allclose(ours, theirs, atol=2e-6)


def test_a_landmark_file_of_many_rows_is_streamed_and_checked(tmp_path: Path) -> None:
    rows = np.random.default_rng(1).random((3, 478, 3)).astype(np.float32)
    path = write_landmark_rows(tmp_path / "a.safetensors", ["b", "a", "c"], lambda: iter(rows))
    table = read_back(path)
    assert list(table) == ["b", "a", "c"] and len(table) == 3 and "d" not in table
    np.testing.assert_array_equal(table["a"], rows[1])
    for ids in (["a", "b"], ["a", "a", "b"]):
        with pytest.raises(BadData, match="every id once"):
            write_landmark_rows(tmp_path / "b.safetensors", ids, lambda: iter(rows))
    with pytest.raises(BadData, match="468"):
        write_landmark_rows(tmp_path / "b.safetensors", ["a"], lambda: [np.zeros((468, 3), np.float32)])
    data = bytearray(path.read_bytes())
    data[-1] ^= 1
    path.write_bytes(bytes(data))
    with pytest.raises(BadData, match="does not fit its hash"):
        read_back(path)
    assert not list(tmp_path.glob("*.partial"))
