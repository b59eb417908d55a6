"""What a recipe's model will be before anything is read: layouts by option alone, towers of other sizes."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
import torch
import yaml
from tokenizers import Tokenizer
from transformers import AutoModelForCausalLM, CLIPVisionConfig, CLIPVisionModel, LlamaConfig

from mien.core.errors import BadConfig
from mien.models.composite.backbones import DECODERS
from mien.models.composite.systems import Stage
from mien.models.emola.words import LAYOUTS
from mien.models.registry import open_system
from mien.train.composite import build_composite
from mien.train.data.faces import gather
from mien.train.data.renders import read_renders
from mien.train.plan import fitted, planned, stages_of
from mien.train.recipe import DataPart
from mien.train.recipe_files import load_recipe
from mien.train.runs import Run


@pytest.mark.parametrize("layout", LAYOUTS)
@pytest.mark.parametrize("scale", ["tiny", "small"])
def test_stages_follow_the_layout(layout: str, scale: str, tmp_path: Path) -> None:
    """EmoLA's ablations by option alone; what a stage names is compared with the model when the run is made."""
    run = Run(load_recipe("emola", scale, [f"options.layout={layout}"]), tmp_path)
    names = [start for _, stage in run.stages for start in (*stage.trains, *stage.rates)]
    shown = {name for name in ("image", "prior") if f"<{name}>" in LAYOUTS[layout]}
    told = {name for name in ("image", "prior") for start in names if f".{name}." in start}
    assert told <= shown and run.stages
    assert ("tower" in [one.name for one, _ in run.stages]) == (scale == "small" and "image" in shown)


def test_a_stage_keeps_what_its_model_has() -> None:
    stage = Stage(
        ("model.projectors.prior.", "model.ears."), 1e-3, 1, 1, rates={"model.projectors.prior.": 1.0}
    )
    names, usual = ("lm_head.weight",), ("lm_head.weight", "model.projectors.prior.0.weight")
    assert fitted(stage, usual, usual) == stage
    # No model has ears: that is no ablation, and `prepare` refuses it.
    assert fitted(stage, names, usual) == Stage(("model.ears.",), 1e-3, 1, 1)


def test_nothing_left_to_learn(tmp_path: Path) -> None:
    changes = ["options.layout=visual", "stages.0.name=projector", "stages.0.lora=null"]
    with pytest.raises(
        BadConfig, match=r"'projector', which trains model\.projectors\.prior\., of a model with image"
    ):
        Run(load_recipe("emola", "tiny", changes), tmp_path)


@pytest.mark.parametrize("priors", ["all", "embedding", "pool-concat", "none"])
def test_stages_follow_the_priors(priors: str, tmp_path: Path) -> None:
    """EMO-LLaMA's ablation has nothing to mine where there are no priors."""
    (_, stage), *_ = Run(load_recipe("emo-llama", "tiny", [f"options.priors={priors}"]), tmp_path).stages
    assert any("mining" in start for start in stage.trains) == (priors != "none")


def test_a_stage_that_the_weights_bring_is_left_out() -> None:
    system, recipe = open_system("emola"), load_recipe("emola", "small")
    config = planned(recipe, system)
    assert [run.name for run, _ in stages_of(recipe, system, config)] == ["tower", "code"]
    brought = recipe.model_copy(update={"weights": {"image": "runs/other"}})
    assert [run.name for run, _ in stages_of(brought, system, config)] == ["code"]


def test_the_documented_recipe_takes_a_tower_of_any_shape(tmp_path: Path, repository: Path) -> None:
    """The YAML of docs/training.md, with its folders put in place; the pictures are of the tower's size."""
    torch.manual_seed(3)
    llama = {key: value for key, value in DECODERS["llama-tiny"].items() if key != "model_type"}
    AutoModelForCausalLM.from_config(LlamaConfig(**llama)).save_pretrained(tmp_path / "my-llama")
    shape = CLIPVisionConfig(
        hidden_size=24,
        intermediate_size=32,
        num_hidden_layers=3,
        num_attention_heads=2,
        image_size=42,
        patch_size=14,
    )
    tower = CLIPVisionModel(shape)
    tower.save_pretrained(tmp_path / "my-clip")
    page = (repository / "docs" / "training.md").read_text(encoding="utf-8")
    (written,) = [part for part in page.split("```yaml\n")[1:] if "/models/my-clip" in part]
    text = written.partition("```")[0].replace("/models/", f"{tmp_path}/")
    path = tmp_path / "own.yaml"
    path.write_text(text, encoding="utf-8")
    assert "tower" not in yaml.safe_load(text).get("options", {})
    recipe = load_recipe(path, "small")
    run = Run(recipe, tmp_path / "run")
    assert (run.inputs.image_size, run.inputs.crop_size) == (42, 42)
    model = build_composite(recipe, run.system, Tokenizer.from_str(WORDS))
    assert model.config.evidence["image"]["rows"] == 9
    found = model.model.encoders["image"].model.state_dict()
    assert all(torch.equal(value.bfloat16(), found[name]) for name, value in tower.state_dict().items())


WORDS = '{"version": "1.0", "added_tokens": [], "model": {"type": "WordLevel", "vocab": {"a": 0}, "unk_token": "a"}}'


def test_of_many_renders_only_those_that_are_wanted_are_looked_at(tiny_renders: Path, tmp_path: Path) -> None:
    every = read_renders(tiny_renders, "train")
    few = read_renders(tiny_renders, "train", lambda count: [0, count - 1])
    assert few.rows == (0, len(every) - 1)
    assert np.array_equal(list(few.images), [every.images[0], every.images[-1]]) and np.array_equal(
        few.aus, every.aus[[0, -1]]
    )
    faces = gather([DataPart(dataset="renders", root=tiny_renders, limit=5)], 28, tmp_path, False)
    searched = [len(np.load(path)) for path in (tmp_path / "landmarks-renders-train").glob("*.npy")]
    assert searched == [5]
    names = [sample.id for sample in faces.samples]
    whole = gather([DataPart(dataset="renders", root=tiny_renders)], 28, tmp_path, False)
    assert set(names) <= {sample.id for sample in whole.samples}
    with pytest.raises(BadConfig, match="one of train, val"):
        read_renders(tiny_renders, "test")
