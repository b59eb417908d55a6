"""FacePhi's alignment as published: ULIP's encoder, text tower, projection and optimiser; its two ablations."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
import torch
from safetensors.torch import load_file
from tokenizers import Tokenizer, models, pre_tokenizers
from torch import Tensor, nn
from torch.utils.data import Dataset
from transformers import TrainerCallback

from mien.core.emotions import EMOTIONS
from mien.core.errors import BadConfig, MissingWeights
from mien.layers.pointmlp import PointMLP
from mien.models.composite.facial_lm import FacialLM
from mien.models.composite.systems import Stage
from mien.models.composite.text_tower import END, START, open_text_tower
from mien.models.facephi import system as facephi
from mien.models.facephi.words import alignment_text
from mien.models.registry import open_system
from mien.train.align import AlignmentTask, ClassificationTask, FaceBatches
from mien.train.composite import build_composite, open_words
from mien.train.recipe import Recipe, resolve_stage
from mien.train.recipe_files import load_recipe
from mien.train.runs import Run
from mien.train.stage_trainer import StageOptions, run_stage

pytestmark = pytest.mark.filterwarnings("ignore:.*mtime may not be reliable.*")
WORDS = (*"The facial landmark shows emotion of .".split(), *EMOTIONS, "[UNK]", START, END)
WIDTH, PROJECTED = 64, 24


def text_state() -> dict[str, Tensor]:
    """A random text tower under SLIP's names, one layer deep."""
    shapes: dict[str, tuple[int, ...]] = {
        "token_embedding.weight": (len(WORDS), WIDTH),
        "positional_embedding": (20, WIDTH),
        "ln_final.weight": (WIDTH,),
        "ln_final.bias": (WIDTH,),
        "text_projection": (WIDTH, PROJECTED),
    }
    for name, rows, columns in (
        ("attn.in_proj_", 3, 1), ("attn.out_proj.", 1, 1), ("mlp.c_fc.", 4, 1), ("mlp.c_proj.", 1, 4)
    ):  # fmt: skip
        start = f"transformer.resblocks.0.{name}"
        shapes |= {f"{start}weight": (rows * WIDTH, columns * WIDTH), f"{start}bias": (rows * WIDTH,)}
    for norm in ("ln_1", "ln_2"):
        shapes |= {f"transformer.resblocks.0.{norm}.{name}": (WIDTH,) for name in ("weight", "bias")}
    return {name: torch.randn(*shape) * 0.3 for name, shape in shapes.items()}


@pytest.fixture(scope="module")
def ulip(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """ULIP's checkpoint around our tiny PointMLP, with the tokenizer of its text tower beside it."""
    folder = tmp_path_factory.mktemp("ulip")
    torch.manual_seed(5)
    points = PointMLP(variant="tiny", points=64, neighbors=8).state_dict()
    state = {**text_state(), **{f"point_encoder.{key}": value for key, value in points.items()}}
    state |= {"pc_projection": torch.randn(16, PROJECTED), "logit_scale": torch.tensor(3.5)}
    torch.save({"state_dict": {f"module.{key}": value for key, value in state.items()}}, folder / "ulip.pt")
    tokenizer = Tokenizer(models.WordLevel({word: place for place, word in enumerate(WORDS)}, "[UNK]"))
    tokenizer.pre_tokenizer = pre_tokenizers.Whitespace()
    tokenizer.save(str(folder / "tokenizer.json"))
    return folder / "ulip.pt"


def few_words() -> Tokenizer:
    return Tokenizer(models.WordLevel({str(place): place for place in range(10)}, "0"))


def recipe_of(name: str, data: Path, ulip: Path, *changes: str) -> Recipe:
    root = [f"data.0.root={data}", f"validation.0.root={data}"]
    return load_recipe(name, "tiny", [*root, f"weights.landmarks={ulip}", *changes])


def test_alignment_starts_from_ulip_whole(ulip: Path, tiny_data: Path, tmp_path: Path) -> None:
    recipe = recipe_of("facephi", tiny_data, ulip, f"weights.text={ulip}", "evaluation=[]")
    recipe = recipe.model_copy(update={"stages": recipe.stages[:1]})
    Run(recipe, tmp_path).train()
    given = {
        key.removeprefix("module.point_encoder."): value
        for key, value in torch.load(ulip, weights_only=True)["state_dict"].items()
        if ".point_encoder." in key
    }
    left = load_file(tmp_path / "stages" / "0-align.safetensors")
    start = "model.encoders.landmarks."
    moved = {key: (left[start + key] - value).abs().max() for key, value in given.items() if value.ndim >= 2}
    # Four steps from there: learnt a little, not begun anew.
    assert 0.0 < float(max(moved.values())) < 0.02


def test_the_text_tower_is_frozen_and_brings_projection_and_temperature(ulip: Path) -> None:
    model = FacialLM(facephi.configure("tiny"))
    texts = [alignment_text(label) for label in EMOTIONS]
    task = AlignmentTask(
        model, "landmarks", texts, Tokenizer(models.BPE()), "pair", open_text_tower(str(ulip))
    )
    assert not any(parameter.requires_grad for parameter in task.tower.parameters())
    ids = task.get_buffer("text_ids")
    assert set(ids[:, 0].tolist()) == {WORDS.index(START)} and set(ids[:, -1].tolist()) == {WORDS.index(END)}
    state = torch.load(ulip, weights_only=True)["state_dict"]
    assert torch.equal(task.contrast.projection.detach(), state["module.pc_projection"])
    assert float(task.contrast.log_scale.detach()) == 3.5
    features = task.text_features()
    assert features.shape == (8, PROJECTED) and not features.requires_grad
    assert float((torch.cdist(features, features) + torch.eye(8)).min()) > 1e-3


def test_an_unaligned_encoder_stays_as_it_is_given(ulip: Path, tiny_data: Path, tmp_path: Path) -> None:
    recipe = recipe_of("facephi-unaligned", tiny_data, ulip, "evaluation=[]")
    assert [run.name for run in recipe.stages] == ["stage1", "stage2"]
    Run(recipe, tmp_path).train()
    encoder = FacialLM.from_pretrained(tmp_path / "model").model.encoders["landmarks"]
    given = torch.load(ulip, weights_only=True)["state_dict"]
    for key, value in encoder.state_dict().items():
        assert torch.equal(value, given[f"module.point_encoder.{key}"]), key


def test_the_classifier_is_kept_and_scored(tiny_data: Path, tmp_path: Path) -> None:
    """Beside the decoder's answers, as in the paper: the written encoder under the kept head gives the same figure."""
    roots = [f"data.0.root={tiny_data}", f"validation.0.root={tiny_data}"]
    run = Run(load_recipe("facephi-classified", "tiny", [*roots, "evaluation=[]"]), tmp_path / "run")
    folder = run.train()
    told = json.loads((folder / "result.json").read_text())["classifiers"]["classify"]
    head = load_file(folder / "heads" / "0-classify.safetensors")
    model = FacialLM.from_pretrained(folder / "model").eval()
    held, _ = run._faces(run.recipe.validation)
    batches = FaceBatches(model.config, "landmarks", run.inputs, held)
    with torch.no_grad():
        rows = model.model.encoders["landmarks"](batches.read(range(len(held))))
    said = (rows @ head["weight"].T + head["bias"])[:, :8].argmax(dim=1).tolist()
    right = [EMOTIONS[one] == face.labels.emotion for one, face in zip(said, held.samples, strict=True)]
    assert told["n"] == len(held) == 4 and told["accuracy"] == sum(right) / 4
    assert told["baseline"]["answer"] in EMOTIONS


def test_a_checkpoint_that_lacks_the_encoder_is_named(ulip: Path, tiny_data: Path, tmp_path: Path) -> None:
    state = torch.load(ulip, weights_only=True)["state_dict"]
    state.pop("module.point_encoder.classifier.0.weight")
    torch.save(state, tmp_path / "half.pt")
    recipe = recipe_of("facephi", tiny_data, tmp_path / "half.pt")
    system = open_system("facephi")
    with pytest.raises(
        MissingWeights, match=r"without 1 weights of landmarks, such as classifier\.0\.weight"
    ):
        build_composite(recipe, system, few_words())


def test_paper_scale_needs_ulip_s_encoder_and_text_tower(tmp_path: Path) -> None:
    recipe = load_recipe("facephi", "paper")
    with pytest.raises(MissingWeights, match=r"weights\.text=PLACE"):
        Run(recipe, tmp_path)
    system = open_system("facephi")
    with pytest.raises(MissingWeights, match="landmarks: published as salesforce/ULIP"):
        build_composite(recipe, system, few_words())
    # The classifier's encoder is new: only the decoder is asked for.
    with pytest.raises(MissingWeights, match="no weights for decoder of facephi"):
        Run(load_recipe("facephi-classified", "paper"), tmp_path)


def test_ulip_s_settings_reach_the_optimiser(tmp_path: Path) -> None:
    stage = resolve_stage(open_system("facephi"), load_recipe("facephi", "paper").stages[0])
    assert (stage.learning_rate, stage.batch, stage.epochs) == (2e-5, 64, 20)
    assert (stage.betas, stage.weight_decay, stage.last_rate, stage.warmup) == ((0.9, 0.98), 0.1, 1e-5, 0.05)
    seen: dict[str, Any] = {"rates": []}

    class Look(TrainerCallback):
        def on_step_end(self, args: Any, state: Any, control: Any, **kwargs: Any) -> None:
            groups = kwargs["optimizer"].param_groups
            seen["betas"], seen["decay"] = (
                groups[0]["betas"],
                sorted(group["weight_decay"] for group in groups),
            )
            seen["rates"].append(kwargs["lr_scheduler"].get_last_lr()[0])

    model = Toy()
    short = Stage(("",), 2e-5, 1, 20, weight_decay=0.1, betas=(0.9, 0.98), last_rate=1e-5, warmup=0.05,
                  schedule="cosine", precision="fp32")  # fmt: skip
    run_stage(model, short, Numbers(), lambda rows: {"x": torch.stack(list(rows))},
              StageOptions(tmp_path, callbacks=(Look(),)))  # fmt: skip
    assert seen["betas"] == (0.9, 0.98) and seen["decay"] == [0.0, 0.1]
    assert max(seen["rates"]) == pytest.approx(2e-5) and seen["rates"][-1] == pytest.approx(1e-5)
    assert seen["rates"][1] == pytest.approx(2e-5)  # one epoch of warm-up, two steps here


class Toy(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.line = nn.Linear(2, 1)

    def forward(self, x: Tensor) -> dict[str, Tensor]:
        return {"loss": self.line(x).square().mean()}


class Numbers(Dataset[Tensor]):
    def __len__(self) -> int:
        return 2

    def __getitem__(self, index: int) -> Tensor:
        return torch.full((2,), float(index + 1))


def test_the_ablation_s_classifier_is_plain_cross_entropy() -> None:
    runs = load_recipe("facephi-classified", "paper").stages
    assert runs[0].name == "classify" and runs[0].rare == 0.0
    torch.manual_seed(0)
    model = FacialLM(facephi.configure("tiny"))
    frequency = torch.tensor([0.5, 0.3, 0.1, 0.05, 0.02, 0.01, 0.01, 0.01])
    task = ClassificationTask(model, "landmarks", frequency, rare=0.0).eval()
    named = torch.tensor([0, 5, 7])
    told = task(
        torch.randn(3, 478, 3), nn.functional.one_hot(named, 8).float(), torch.full((3, 22), torch.nan)
    )
    plain = nn.functional.cross_entropy(told["logits"][:, :8], named)
    torch.testing.assert_close(told["loss"], plain)


def test_a_new_part_is_asked_for_by_name() -> None:
    system = open_system("facephi")
    recipe = load_recipe("facephi", "tiny", ["weights.landmarks=new"])
    words = few_words()
    assert build_composite(recipe, system, words).model.encoders["landmarks"] is not None
    with pytest.raises(BadConfig, match="weights 'landmark' of facephi"):
        build_composite(load_recipe("facephi", "tiny", ["weights.landmark=new"]), system, words)
    assert open_words(recipe, system, []).get_vocab_size() > 200
