"""ExpLLM's recipes: paper and released code by their figures, run on the released file format at tiny widths."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
import torch
from PIL import Image
from tokenizers import Tokenizer
from transformers import AutoModelForCausalLM, Dinov2Config, Dinov2Model, LlamaConfig

from mien.core.errors import BadConfig
from mien.evaluate.predictions import read_predictions
from mien.models.composite.backbones import DECODERS, TOWERS
from mien.models.expllm import words as expllm_words
from mien.models.registry import open_system
from mien.train.data.drawn import Instruction, draw_instructions
from mien.train.data.faces import gather
from mien.train.data.instructions import open_tokenizer
from mien.train.recipe import Recipe, resolve_stage
from mien.train.recipe_files import load_recipe
from mien.train.runs import Run

pytestmark = pytest.mark.filterwarnings("ignore:.*mtime may not be reliable.*")

CHAIN = "**Key Observations:** a\n\n**Overall Emotional Interpretation:** b\n\n**Conclusion:** c"
EMOTIONS = ("Sadness", "Happiness", "Anger", "Fear")


@pytest.fixture(scope="module")
def released(tmp_path_factory: pytest.TempPathFactory, repository: Path) -> Path:
    """The released layout with four pictures: label files, descriptions, the first stage's items, the lists."""
    root = tmp_path_factory.mktemp("expllm")
    for folder in ("data_list/anno_json", "data_list/train", "data_list/test", "pictures"):
        (root / folder).mkdir(parents=True)
    photo = Image.open(repository / "examples" / "grace_hopper.jpg").convert("RGB").crop((190, 60, 390, 260))
    names = [f"train_{number:05d}_aligned.jpg" for number in range(4)]
    for place, name in enumerate(names):
        photo.rotate(5 * place).resize((100, 80)).save(root / "pictures" / name)
    labelled = [{"file_name": n, "emo": e} for n, e in zip(names, EMOTIONS, strict=True)]
    files = {
        "label": labelled,
        "mini_description": [{**item, "au": [0.1] * 24, "description": CHAIN} for item in labelled],
        "celeba": [
            {"file_name": n, "bbox": [20, 10, 50, 60], "landmark": [[30, 30], [60, 30], [45, 45], [35, 60], [55, 60]],
             "attr": [0, 1] * 20} for n in names
        ],
        "300wlp": [{"file_name": n, "bbox": [20, 10, 50, 60], "headpose": [-3.5, 2, 0.25]} for n in names],
    }  # fmt: skip
    for name, items in files.items():
        (root / f"data_list/anno_json/{name}.json").write_text(json.dumps(items, indent=4))
    lists = {
        "train/raf-db-des": ["mini_description.json,pictures,1", "label.json,pictures,3"],
        "train/affectnet_kaggle": ["label.json,pictures,3", "mini_description.json,pictures,1"],
        "train/alltask_stage": ["300wlp.json,pictures", "celeba.json,pictures"],
        "test/raf-db": ["label.json,pictures"],
        "test/affectnet_kaggle": ["label.json,pictures"],
    }
    for name, lines in lists.items():
        text = "\n".join(f"data_list/anno_json/{line}" for line in lines)
        (root / f"data_list/{name}.txt").write_text(text)
    pairs = [{"media": n, "description": f"A face, number {i}.", "cropped": "1"} for i, n in enumerate(names)]
    (root / "pictures" / "manifest.jsonl").write_text("".join(json.dumps(pair) + "\n" for pair in pairs))
    return root


@pytest.fixture(scope="module")
def backbones(tmp_path_factory: pytest.TempPathFactory, released: Path) -> list[str]:
    """Changes that put tiny weights, in the published format, where the recipe wants Vicuna and DINOv2."""
    root = tmp_path_factory.mktemp("weights")
    system = open_system("expllm")
    texts = [*expllm_words.dialogue("fear", CHAIN), *expllm_words.dialogue("anger")]
    made = open_tokenizer(system, None, [Instruction(0, "cot", tuple(texts))], 400)
    made.save(str(root / "tokenizer.json"))
    llama = {**DECODERS["llama-tiny"], "vocab_size": made.get_vocab_size(), "max_position_embeddings": 2048}
    torch.manual_seed(2)
    fields = {key: value for key, value in llama.items() if key != "model_type"}
    AutoModelForCausalLM.from_config(LlamaConfig(**fields)).save_pretrained(root / "decoder")
    (root / "decoder" / "tokenizer.json").write_bytes((root / "tokenizer.json").read_bytes())
    tower = {key: value for key, value in TOWERS["dinov2-tiny"].items() if key != "model_type"}
    Dinov2Model(Dinov2Config(**tower)).save_pretrained(root / "tower")
    return [
        f"weights.decoder={root}/decoder", f"weights.image={root}/tower", f"tokenizer={root}/tokenizer.json",
        "options={tower: dinov2-tiny, image_size: 28}", "inputs.crop_size=28", "inputs.image_size=28",
    ]  # fmt: skip


def quick(recipe: str, changes: list[str], stages: int) -> Recipe:
    """The paper's section with small batches, one epoch, float32."""
    short = [
        f"stages.{n}.{entry}"
        for n in range(stages)
        for entry in ("batch=4", "micro_batch=4", "epochs=1", "precision=fp32", "warmup=0")
    ]
    return load_recipe(recipe, "paper", [*changes, *short])


def test_the_paper_s_recipe_runs_on_the_released_files(
    released: Path, backbones: list[str], tmp_path: Path
) -> None:
    roots = [f"data.0.root={released}", f"data.1.root={released}/pictures", f"validation.0.root={released}"]
    changes = [*backbones, *roots, "evaluation.0.max_new_tokens=4"]
    folder = Run(quick("expllm", changes, 2), tmp_path / "run").train()
    stages = sorted(path.name for path in (folder / "stages").glob("*.safetensors"))
    assert stages == ["0-stage1.safetensors", "1-stage2-rafdb.safetensors"]
    rows = read_predictions(folder / "predictions.jsonl")
    assert [row["truth"]["emotion"] for row in rows] == [one.lower() for one in EMOTIONS]
    assert json.loads((folder / "run.json").read_text())["counts"]["dialogues"] == 4 + 4 * 4
    assert json.loads((folder / "model" / "mien.json").read_text())["inputs"]["square"] == "pad-rounded"


def turns_of(name: str, released: Path) -> list[list[str]]:
    """The answers of each dialogue that a recipe draws from the released files."""
    changes = [f"data.{n}.root={released}" for n in range(len(load_recipe(name, "paper").data))]
    changes += [f"data.1.root={released}/pictures"] if len(changes) == 2 else []
    recipe = load_recipe(name, "paper", changes)
    faces = gather(recipe.data, 28, released / "cache", need_landmarks=False)
    system = open_system("expllm")
    items = draw_instructions(system, faces, recipe.tasks, recipe.balance, recipe.seed, recipe.dialogues)
    return [[turn.text for turn in item.turns[1::2]] for item in items if item.task == "item"]


def test_a_pass_is_the_released_epoch_in_the_published_order(released: Path) -> None:
    for name in ("expllm", "expllm-affectnet", "expllm-code"):
        said = turns_of(name, released)
        # Three label items to one with its chain of thought, which comes first.
        assert sorted(map(len, said)) == [1] * 12 + [2] * 4
        assert all(one[0] == CHAIN and one[1] in EMOTIONS for one in said if len(one) == 2)
    shuffled = [one for one in turns_of("expllm-code-affectnet", released) if len(one) == 2]
    assert {one[0] == CHAIN for one in shuffled} == {True, False}
    faces = turns_of("expllm-faces", released)
    # 100 x 80 pictures in a square of 100: 10 px come in above, and the box comes first.
    assert [one[0] for one in faces] == ["[0.2000, 0.2000, 0.5000, 0.6000]"] * 8
    assert faces[0][1] == "[-3.5000, 2.0000, 0.2500]"
    eyes = "[[0.3000, 0.4000], [0.6000, 0.4000], [0.4500, 0.5500], [0.3500, 0.7000], [0.5500, 0.7000]]"
    assert all(eyes in one and f"[{', '.join(['0, 1'] * 20)}]" in one for one in faces[4:])


FIGURES = {
    # Recipe: stages, (epochs, warm-up, augmentation) of the last. 20 passes over a list with labels three times are 60.
    "expllm": (["stage1", "stage2-rafdb"], (20.0, 20_000, "expllm")),
    "expllm-affectnet": (["stage1", "stage2-affectnet"], (pytest.approx(40 / 3, abs=1e-3), 20_000, "expllm")),
    "expllm-faces": (["code-stage1"], (1.0, 0.03, False)),
    "expllm-code": (["code-rafdb"], (20.0, 0.03, "expllm")),
    "expllm-code-affectnet": (["code-affectnet"], (30.0, 0.03, "expllm")),
}


@pytest.mark.parametrize("name", FIGURES)
def test_figures_of_paper_and_code(name: str) -> None:
    recipe, system = load_recipe(name, "paper"), open_system("expllm")
    names, last = FIGURES[name]
    stages = [resolve_stage(system, run) for run in recipe.stages]
    assert [run.name for run in recipe.stages] == names
    assert (stages[-1].epochs, stages[-1].warmup, recipe.stages[-1].augment) == last
    tuned = stages[-1]
    assert (tuned.learning_rate, tuned.batch, tuned.weight_decay, tuned.schedule) == (
        5e-4,
        128,
        0.05,
        "cosine",
    )
    assert tuned.lora is not None and (tuned.lora.rank, tuned.lora.alpha, tuned.lora.dropout) == (8, 16, 0.05)
    if names[0] == "stage1":
        first = stages[0]
        assert (first.learning_rate, first.batch, first.weight_decay, first.warmup) == (5e-3, 256, 0.0, 500)
        assert first.template == "plain" and first.lora is None and first.epochs == 1
        assert recipe.stages[0].tasks == ("caption",)
    assert [stage.epochs for key, stage in system.stages.items() if key.startswith("stage2")] == [60, 40]


@pytest.mark.slow
def test_the_code_s_second_stage_goes_on_from_its_first(
    released: Path, backbones: list[str], tmp_path: Path
) -> None:
    first = Run(quick("expllm-faces", [*backbones, f"data.0.root={released}"], 1), tmp_path / "faces").train()
    changes = [
        f"weights.model={first}", f"tokenizer={first}/model/tokenizer.json", f"data.0.root={released}",
        f"validation.0.root={released}", "inputs.crop_size=28", "inputs.image_size=28",
        "evaluation.0.max_new_tokens=4",
    ]  # fmt: skip
    second = Run(quick("expllm-code", changes, 1), tmp_path / "rafdb").train()
    assert (second / "stages" / "0-code-rafdb.safetensors").is_file()
    assert len(read_predictions(second / "predictions.jsonl")) == 4


def test_captions_are_learnt_in_the_plain_layout(released: Path, backbones: list[str]) -> None:
    recipe = quick("expllm", [*backbones, f"data.0.root={released}", f"data.1.root={released}/pictures"], 2)
    system = open_system("expllm")
    faces = gather(recipe.data[1:], 28, released / "cache", need_landmarks=False)
    item = draw_instructions(system, faces, {"caption": 1}, 0.0, 1)[0]
    tokenizer = Tokenizer.from_file(str(recipe.tokenizer))
    config = system.configure("tiny", tokenizer.get_vocab_size())
    encoded = system.laid_out("plain").encode(item.turns, tokenizer, config)
    rows = config.evidence["image"]["rows"]
    assert encoded.ids[1 : 1 + rows] == (-200,) * rows and set(encoded.labels[: 1 + rows]) == {-100}
    learnt = [token for token in encoded.labels if token >= 0]
    assert encoded.ids[1 + rows :] == tuple(learnt) and tokenizer.decode(learnt).startswith("A face")


def test_stages_refuse_what_does_not_fit(released: Path, backbones: list[str], tmp_path: Path) -> None:
    roots = [*backbones, f"data.0.root={released}", f"data.1.root={released}/pictures"]
    with pytest.raises(BadConfig, match="shows no face in this stage's layout"):
        Run(quick("expllm", [*roots, "stages.0.tasks=[item]"], 2), tmp_path / "a").train()
    faces = [*backbones, f"data.0.root={released}"]
    for kind in ("true", "expllm"):
        with pytest.raises(BadConfig, match="say where the face is"):
            Run(quick("expllm-faces", [*faces, f"stages.0.augment={kind}"], 1), tmp_path / kind).train()
    with pytest.raises(BadConfig, match="published list of changes"):
        Run(quick("expllm-code", [*faces, "stages.0.cache=1"], 1), tmp_path / "b").train()
    with pytest.raises(BadConfig, match="task 'captions'"):
        quick("expllm", ["stages.0.tasks=[captions]"], 2)
