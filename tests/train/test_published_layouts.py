"""EmoLA and AU-LLaVA on each data set of their papers: miniatures in the published layouts, trained and asked."""

from __future__ import annotations

import csv
import io
import json
from collections.abc import Callable
from pathlib import Path

import pytest
from PIL import Image

from mien.core.aus import AU_SETS
from mien.evaluate.predictions import read_predictions
from mien.models.au_llava import words as au_llava_words
from mien.models.emola import words as emola_words
from mien.train.recipe_files import load_recipe
from mien.train.runs import Run

pytestmark = pytest.mark.filterwarnings("ignore:.*mtime may not be reliable.*")

# Squares around the faces of two examples.
SQUARES = {"eileen_collins.jpg": (160, 40, 300, 180), "grace_hopper.jpg": (190, 60, 390, 260)}
Writer = Callable[[Path, "Faces"], None]


class Faces:
    """Pictures of faces, one after the other, as files."""

    def __init__(self, folder: Path) -> None:
        self.pictures = [Image.open(folder / name).convert("RGB").crop(box) for name, box in SQUARES.items()]
        self.count = 0

    def write(self, path: Path) -> None:
        path.parent.mkdir(parents=True, exist_ok=True)
        self.pictures[self.count % 2].resize((112, 112)).save(path, "JPEG", quality=90)
        self.count += 1


def table(path: Path, rows: list[list[object]]) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    text = io.StringIO()
    csv.writer(text).writerows(rows)
    path.write_text(text.getvalue())


def rafdb(root: Path, faces: Faces) -> None:
    lines = []
    for part, count in (("train", 7), ("test", 2)):
        for index in range(count):
            lines.append(f"{part}_{index:05d}.jpg {index % 7 + 1}")
            faces.write(root / "basic/Image/aligned" / f"{part}_{index:05d}_aligned.jpg")
    path = root / "basic/EmoLabel/list_patition_label.txt"
    path.parent.mkdir(parents=True)
    path.write_text("\n".join(lines) + "\n")


def bp4d(root: Path, faces: Faces) -> None:
    units = (1, 2, 4, 5, 6, 7, 10, 12, 14, 15, 17, 23, 24)
    for subject in ("F001", "M011", "F007"):
        rows: list[list[object]] = [[0, *units]]
        for frame in range(2440, 2443):
            rows.append([frame, *(9 if unit == 5 else (frame + unit) % 2 for unit in units)])
            faces.write(root / "2D+3D" / subject / "T1" / f"{frame}.jpg")
        table(root / "AUCoding/AU_OCC" / f"{subject}_T1.csv", rows)


def disfa(root: Path, faces: Faces) -> None:
    for subject in ("SN001", "SN013", "SN003"):
        for key in AU_SETS["disfa12"]:
            unit = int(key[2:])
            rows: list[list[object]] = [[frame, (frame * unit) % 6] for frame in range(1, 4)]
            table(root / "ActionUnit_Labels" / subject / f"{subject}_au{unit}.txt", rows)
        for frame in range(1, 4):
            faces.write(root / "images" / subject / f"{frame:05d}.jpg")


def gft(root: Path, faces: Faces) -> None:
    units = [int(key[2:]) for key in AU_SETS["gft19"]]
    for person in ("001A", "002B"):
        rows: list[list[object]] = [["frame", *(f"AU{unit}" for unit in units)]]
        for frame in range(1, 5):
            rows.append([frame, *((frame + unit) % 2 for unit in units)])
            faces.write(root / "images" / person / f"{frame}.jpg")
        table(root / "AU_OCC" / f"{person}.csv", rows)
    parts = {"train": ["001A"], "test": ["002B"]}
    (root / "partition.json").write_text(json.dumps({"name": "gft", "key": "subject", "parts": parts}))


def feafa(root: Path, faces: Faces) -> None:
    for person in range(5):
        for frame in (1, 2):
            path = root / f"P{person:03d}" / f"{frame:04d}.jpg"
            faces.write(path)
            path.with_suffix(".auw").write_text(" ".join(f"{0.04 * k:.2f}" for k in range(24)) + "\n")


def faba(root: Path, faces: Faces) -> None:
    told = {
        "emotion": "The face shows joy.",
        "au": "AU6 - Cheek Raiser: raised. AU12 - Lip Corner Puller: up.",
    }
    asked = {"emotion": "How does this face feel?", "au": "Which units move here?"}
    right = {"emotion": ("Happiness", 4), "au": ("1, 4", "12")}
    for task, text in told.items():
        train, held = [], []
        for index in range(4):
            image = f"FABAInstruct/train/images/AffectNet/AffectNet_v2/{index}/{task}.jpg"
            turns = [{"from": "human", "value": f"{asked[task]}\n<image>"}, {"from": "gpt", "value": text}]
            train.append({"source": "AffectNet", "image": image, "id": f"{task}{index}", "conversations": turns,
                          "landmark": "x.npy"})  # fmt: skip
            faces.write(root / image)
        for index, label in enumerate(right[task]):
            image = f"FABAInstruct/eval/images/{index}_{task}.jpg"
            held.append({"image": image, "label": label, "gpt4": text, "landmark": "x.npy"})
            faces.write(root / image)
        (root / f"FABAInstruct/train_{task}_anno.json").write_text(json.dumps(train))
        (root / f"FABAInstruct/eval_{task}_anno.json").write_text(json.dumps(held))


def run(recipe: str, write: Writer, repository: Path, folder: Path, *changes: str) -> Path:
    """Train a recipe at scale tiny on a miniature; its run folder."""
    write(folder / "data", Faces(repository / "examples"))
    plain = load_recipe(recipe, "tiny", changes)
    roots = [f"data.{place}.root={folder / 'data'}" for place in range(len(plain.data))]
    roots.append(f"validation.0.root={folder / 'data'}")
    made = load_recipe(recipe, "tiny", [*changes, *roots, "stages.0.epochs=1"])
    return Run(made, folder / "run", folder / "cache").train()


DISFA = (
    "data=[{dataset: disfa, split: fold1, options: {pictures: images}}, "
    "{dataset: disfa, split: fold2, options: {pictures: images}}]",
    "validation=[{dataset: disfa, split: fold3, options: {pictures: images}}]",
)
RAFDB = (
    "tasks={rafdb: 1}", "data=[{dataset: rafdb}]", "validation=[{dataset: rafdb, split: test}]",
    "evaluation=[{task: rafdb, max_new_tokens: 3}]",
)  # fmt: skip


@pytest.mark.parametrize(
    ("recipe", "task", "write", "units", "held", "changes"),
    [
        ("emola", "rafdb", rafdb, None, 2, RAFDB),
        ("emola-bp4d", "bp4d", bp4d, AU_SETS["bp4d12"], 3, ()),
        ("emola-disfa", "disfa", disfa, AU_SETS["disfa8"], 3, DISFA),
        ("emola-gft", "gft", gft, AU_SETS["gft10"], 4, ()),
        ("emola-faba-au", "au-description", faba, AU_SETS["faba12"], 2, ()),
        ("emola-faba-emotion", "emotion-description", faba, None, 2, ()),
        ("au-llava", "disfa", disfa, AU_SETS["disfa8"], 3, DISFA),
        ("au-llava-bp4d", "bp4d", bp4d, AU_SETS["bp4d12"], 3, ()),
        ("au-llava-feafa", "feafa", feafa, au_llava_words.units("feafa"), 2, ()),
    ],
)
def test_each_data_set_is_trained_and_asked_in_its_own_terms(
    recipe: str,
    task: str,
    write: Writer,
    units: tuple[str, ...] | None,
    held: int,
    changes: tuple[str, ...],
    repository: Path,
    tmp_path: Path,
) -> None:
    folder = run(recipe, write, repository, tmp_path, *changes)
    rows = read_predictions(folder / "predictions.jsonl")
    result = json.loads((folder / "result.json").read_text())["tasks"][task]
    assert (len(rows), result["n"], {row["task"] for row in rows}) == (held, held, {task})
    for row in rows:
        if units is None:
            assert row["truth"]["emotion"] in ("surprise", "fear", "happiness", "neutral")
        else:
            assert list(row["truth"]["aus"]) == list(units)
        assert row["present_above"] == (2 if recipe == "au-llava" else 0)
    card = json.loads((folder / "model" / "mien.json").read_text())
    assert card["tasks"] == [task]


def test_truths_of_the_miniatures(repository: Path, tmp_path: Path) -> None:
    """DISFA: levels of frame 3 are 3, 0, 0, 0, 3, 0, 3, 0: EmoLA takes 2 and above."""
    folder = run("emola-disfa", disfa, repository, tmp_path / "disfa", *DISFA)
    truth = read_predictions(folder / "predictions.jsonl")[2]["truth"]["aus"]
    assert [key for key, there in truth.items() if there] == ["AU01", "AU09", "AU25"]


def test_faba_instruct_trains_on_its_own_questions_and_is_asked_the_fixed_one(
    repository: Path, tmp_path: Path
) -> None:
    recipe = load_recipe("emola-faba-au", "tiny", [f"data.0.root={tmp_path / 'data'}"])
    faba(tmp_path / "data", Faces(repository / "examples"))
    drawn = Run(recipe, tmp_path / "run", tmp_path / "cache")
    items = drawn._items(*drawn._faces(recipe.data))
    assert {item.turns[0].text for item in items} == {emola_words.LAYOUTS["after"] + "Which units move here?"}
    folder = run("emola-faba-au", faba, repository, tmp_path / "trained")
    rows = read_predictions(folder / "predictions.jsonl")
    assert {row["questions"][0] for row in rows} == {emola_words.ask("au")}
    present = [[key for key, there in row["truth"]["aus"].items() if there] for row in rows]
    # The label counts, not the text, which names AU6 and AU12.
    assert present == [["AU01", "AU04"], ["AU12"]]


def test_insightface_s_prior_needs_no_mesh(repository: Path, tmp_path: Path) -> None:
    """A test picture in which our mesh finds no face counts all the same."""
    rafdb(tmp_path, Faces(repository / "examples"))
    Image.new("RGB", (100, 100), (128, 128, 128)).save(
        tmp_path / "basic/Image/aligned/test_00000_aligned.jpg"
    )
    found = {}
    for prior in ("mesh106", "insightface"):
        recipe = load_recipe(
            "emola", "tiny", [*RAFDB, f"validation.0.root={tmp_path}", f"inputs.prior={prior}"]
        )
        drawn = Run(recipe, tmp_path / "run", tmp_path / "cache")
        found[prior] = [sample.id for sample in drawn._faces(recipe.validation)[0].samples]
    assert [len(ids) for ids in found.values()] == [1, 2]


def test_every_round_of_the_three_folds_holds_one_out() -> None:
    for name in ("emola-bp4d", "emola-disfa", "au-llava", "au-llava-bp4d"):
        recipe = load_recipe(name, "paper")
        assert sorted(part.split for part in (*recipe.data, *recipe.validation)) == [
            "fold1",
            "fold2",
            "fold3",
        ]
        assert [part.split for part in recipe.validation] == ["fold3"]


def test_published_evaluation_of_emola() -> None:
    for name in ("emola", "emola-bp4d", "emola-disfa", "emola-gft", "emola-faba-au", "emola-faba-emotion"):
        asked = load_recipe(name, "paper").evaluation[0]
        sampling = asked.sampling
        assert sampling is not None and (sampling.temperature, sampling.top_p) == (0.01, 0.5)
        assert asked.template == "llava_v1"
