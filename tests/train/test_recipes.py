"""Every system's tiny recipe on a miniature of the data: trained, killed, resumed to the same bytes, opened again."""

from __future__ import annotations

import json
import shutil
from pathlib import Path
from typing import Any

import pytest
import torch
from safetensors.torch import load_file
from tokenizers import Tokenizer
from tokenizers.models import BPE
from transformers import TrainerCallback

from mien.core.errors import BadConfig, MissingWeights
from mien.core.run_record import RunRecord
from mien.evaluate.figures import score_answers
from mien.evaluate.predictions import read_predictions
from mien.models.composite.facial_lm import FacialLM
from mien.models.registry import SYSTEMS, open_system
from mien.train.composite import build_composite, configure
from mien.train.recipe import Recipe, resolve_stage
from mien.train.recipe_files import load_recipe, recipe_names
from mien.train.runs import Run

pytestmark = pytest.mark.filterwarnings("ignore:.*mtime may not be reliable.*")


class Killed(Exception):
    """What a power cut would do."""


class KillAt(TrainerCallback):
    """Raises once, after so many steps of a stage."""

    def __init__(self, stage: str, step: int) -> None:
        self.stage, self.step = stage, step

    def on_step_end(self, args: Any, state: Any, control: Any, **kwargs: Any) -> None:
        if Path(args.output_dir).name.endswith(self.stage) and state.global_step == self.step:
            raise Killed


def tiny(system: str, data: Path, renders: Path) -> Recipe:
    root = renders if system == "au-llava" else data
    return load_recipe(system, "tiny", [f"data.0.root={root}", f"validation.0.root={root}"])


def contents(folder: Path) -> dict[str, bytes]:
    """Every file that a run ends with, but its record (dates) and what the stages left on the way."""
    files = [*(folder / "model").rglob("*"), folder / "result.json", folder / "predictions.jsonl"]
    return {str(path.relative_to(folder)): path.read_bytes() for path in files if path.is_file()}


@pytest.fixture(scope="module")
def cache(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Landmarks are found once for all systems."""
    return tmp_path_factory.mktemp("cache")


@pytest.mark.parametrize(
    "system",
    ["facephi", *(pytest.param(name, marks=pytest.mark.slow) for name in SYSTEMS if name != "facephi")],
)
def test_killed_and_resumed_ends_with_the_same_bytes(
    system: str, tiny_data: Path, tiny_renders: Path, cache: Path, tmp_path: Path
) -> None:
    recipe = tiny(system, tiny_data, tiny_renders)
    last = recipe.stages[-1].name
    whole, killed = tmp_path / "whole", tmp_path / "killed"
    Run(recipe, whole, cache).train()
    with pytest.raises(Killed):
        Run(recipe, killed, cache, [KillAt(last, 3)]).train()
    assert not (killed / "model").exists()
    Run(recipe, killed, cache).train()
    assert contents(whole) == contents(killed)
    _check_folder(system, recipe, whole)


def _check_folder(system: str, recipe: Recipe, folder: Path) -> None:
    """The run's record, scores that follow from the predictions, and weights that load."""
    record = RunRecord.read(folder / "run.json")
    rows = read_predictions(folder / "predictions.jsonl")
    assert record.seed == recipe.seed and record.counts["items"] == len(rows) > 0
    assert record.counts["unparsed"] == sum(row["status"] == "unparsed" for row in rows)
    results = json.loads((folder / "result.json").read_text())["tasks"]
    for task, result in results.items():
        again = score_answers([row for row in rows if row["task"] == task], result["constant"])
        assert json.loads(json.dumps(again)) == {
            key: value for key, value in result.items() if key != "constant"
        }
    about = json.loads((folder / "model" / "mien.json").read_text())
    assert about["system"] == system and about["scale"] == "tiny" and set(about["tasks"]) == set(recipe.tasks)
    model = FacialLM.from_pretrained(folder / "model")
    assert not any(".lora_" in name for name in model.state_dict())
    vocabulary = Tokenizer.from_file(str(folder / "model" / "tokenizer.json")).get_vocab_size()
    assert model.config.text_config.vocab_size == vocabulary


def test_a_layout_holds_for_model_and_prompts(
    tiny_data: Path, tiny_renders: Path, cache: Path, tmp_path: Path
) -> None:
    root = tiny_data
    changes = [
        f"data.0.root={root}",
        f"validation.0.root={root}",
        "options.layout=prior",
        "stages.0.epochs=1",
    ]
    folder = Run(load_recipe("emola", "tiny", changes), tmp_path, cache).train()
    assert list(FacialLM.from_pretrained(folder / "model").config.evidence) == ["prior"]
    assert all("<image>" not in row["questions"][0] for row in read_predictions(folder / "predictions.jsonl"))


def test_a_stage_that_is_done_is_not_run_again(
    tiny_data: Path, tiny_renders: Path, cache: Path, tmp_path: Path
) -> None:
    recipe = tiny("expllm", tiny_data, tiny_renders)
    Run(recipe, tmp_path, cache).train()
    before = contents(tmp_path)
    for checkpoint in (tmp_path / "stages").glob("*/"):
        shutil.rmtree(checkpoint)
    shutil.rmtree(tmp_path / "model")
    Run(recipe, tmp_path, cache, [KillAt(stage.name, 1) for stage in recipe.stages]).train()
    assert contents(tmp_path) == before


def test_what_a_stage_leaves_behind_is_what_it_trains(
    tiny_data: Path, tiny_renders: Path, cache: Path, tmp_path: Path
) -> None:
    recipe = tiny("emola", tiny_data, tiny_renders)
    Run(recipe, tmp_path, cache).train()
    left = load_file(tmp_path / "stages" / "0-code.safetensors")
    adapters = [name for name in left if ".lora_" in name]
    others = {name for name in left if ".lora_" not in name and "position_ids" not in name}
    assert len(adapters) == 2 * 7 * 2  # A and B of seven layers in two blocks
    assert {name.split(".")[2] for name in others if ".projectors." in name} == {"image", "prior"}
    assert all(name.startswith("model.projectors.") for name in others if not name.endswith("inv_freq"))


@pytest.mark.parametrize("name", recipe_names())
@pytest.mark.parametrize("scale", ["tiny", "small", "base", "paper"])
def test_every_section_is_a_recipe(name: str, scale: str) -> None:
    recipe = load_recipe(name, scale)
    system = open_system(recipe.system)
    stages = [resolve_stage(system, stage) for stage in recipe.stages]
    assert recipe.scale == scale and stages
    if scale == "small":
        model = FacialLM(configure(recipe, system, recipe.vocabulary))
        names = [parameter for parameter, _ in model.named_parameters()]
        for stage in stages:
            assert all(any(one.startswith(start) for one in names) for start in stage.trains)
        width = model.config.text_config.hidden_size
        assert model(inputs_embeds=torch.randn(1, 3, width)).logits.shape == (1, 3, recipe.vocabulary)


def test_published_figures_stand_where_the_recipe_says_nothing() -> None:
    recipe = load_recipe("facephi", "paper")
    system = open_system("facephi")
    assert [resolve_stage(system, stage) for stage in recipe.stages] == [
        system.stages[name] for name in ("align", "stage1", "stage2")
    ]


def test_changes_reach_inner_entries() -> None:
    recipe = load_recipe(
        "facephi", "tiny", ["seed=7", "stages.1.epochs=5", "data.0.limit=3", "options.projector=linear"]
    )
    system = open_system("facephi")
    assert recipe.seed == 7 and recipe.data[0].limit == 3
    assert resolve_stage(system, recipe.stages[1]).epochs == 5
    assert resolve_stage(system, recipe.stages[1]).learning_rate == system.stages["stage1"].learning_rate
    assert configure(recipe, system, 400).evidence["landmarks"]["projector"] == {"type": "linear"}


@pytest.mark.parametrize(
    ("name", "scale", "changes", "message"),
    [
        ("facephy", "tiny", [], "recipe 'facephy'"),
        ("facephi", "large", [], "scale 'large'"),
        ("facephi", "tiny", ["sed=1"], "sed"),
        ("facephi", "tiny", ["seed"], "key=value"),
        ("facephi", "tiny", ["stages.9.epochs=1"], "stages.9.epochs=1"),
        ("facephi", "tiny", ["stages.0.name=stage9"], "stage 'stage9' of facephi"),
        ("facephi", "tiny", ["stages.0.epochs=0"], "0 epochs"),
        ("au-llava", "tiny", ["stages.0.epochs=null"], "None epochs"),
        ("facephi", "tiny", ["balance=3"], "balance"),
    ],
)
def test_a_wrong_recipe_is_named(name: str, scale: str, changes: list[str], message: str) -> None:
    with pytest.raises(BadConfig) as caught:
        load_recipe(name, scale, changes)
    assert message in str(caught.value)


def test_a_damaged_file_is_named(tmp_path: Path) -> None:
    path = tmp_path / "own.yaml"
    path.write_text("system: [")
    with pytest.raises(BadConfig, match="a YAML file"):
        load_recipe(path, "tiny")
    path.write_text("- 1")
    with pytest.raises(BadConfig, match="a mapping"):
        load_recipe(path, "tiny")


def test_paper_scale_names_the_weights_that_it_needs() -> None:
    for name, said in (
        # Its parts do not make LLaVA-1.5: the projector would be new.
        ("emola", r"models import LLAVA CLIP .*layout=after --partial.*weights\.model"),
        ("au-llava", r"lmsys/vicuna-7b-v1.5.*facebook/dinov2"),
    ):
        with pytest.raises(MissingWeights, match=said):
            build_composite(load_recipe(name, "paper"), open_system(name), Tokenizer(BPE()))


def test_a_recipe_extends_another(tmp_path: Path) -> None:
    own = tmp_path / "own.yaml"
    own.write_text(
        "extends: emola\nscales: {tiny: {tasks: {bp4d: 1}, vocabulary: 500, inputs: {crop_size: 32}}}\n"
    )
    made, base = load_recipe(own, "tiny"), load_recipe("emola", "tiny")
    assert made.tasks == {"bp4d": 1} and made.vocabulary == 500 and made.stages == base.stages
    assert made.inputs == {**base.inputs, "crop_size": 32}
    assert load_recipe(own, "small") == load_recipe("emola", "small")
    own.write_text(f"extends: {own}\n")
    with pytest.raises(BadConfig, match="extend each other"):
        load_recipe(own, "tiny")


def test_published_backbones_are_taken_over(tmp_path: Path) -> None:
    from transformers import AutoModelForCausalLM, CLIPVisionConfig, CLIPVisionModel, LlamaConfig

    from mien.models.composite.backbones import DECODERS, TOWERS

    torch.manual_seed(3)
    decoder = AutoModelForCausalLM.from_config(
        LlamaConfig(**{k: v for k, v in DECODERS["llama-tiny"].items() if k != "model_type"})
    )
    tower = CLIPVisionModel(
        CLIPVisionConfig(**{k: v for k, v in TOWERS["clip-tiny"].items() if k != "model_type"})
    )
    decoder.save_pretrained(tmp_path / "decoder")
    tower.save_pretrained(tmp_path / "tower")
    recipe = load_recipe(
        "emola", "tiny", [f"weights.decoder={tmp_path / 'decoder'}", f"weights.image={tmp_path / 'tower'}"]
    )
    model = build_composite(
        recipe,
        open_system("emola"),
        Tokenizer(BPE()),
    )
    assert torch.equal(model.lm_head.weight, decoder.lm_head.weight)
    found = model.model.encoders["image"].model.state_dict()
    assert all(torch.equal(value, found[name]) for name, value in tower.state_dict().items())


@pytest.mark.hours
@pytest.mark.timeout(7200)
@pytest.mark.parametrize("system", [*SYSTEMS, "emola-disfa"])
def test_small_beats_the_answer_that_ignores_the_face(
    system: str, data_root: Path, repository: Path, tmp_path: Path
) -> None:
    changes = []
    if system in ("au-llava", "emola-disfa"):
        renders = repository / "runs" / "renders"
        if not any(renders.glob("shard_*.npz")):
            pytest.skip(
                "needs rendered faces: python tools/render_faces.py --count 9728 --size 144 --out runs/renders"
            )
        changes = [f"data.0.root={renders}", f"validation.0.root={renders}"]
    folder = Run(load_recipe(system, "small", changes), tmp_path / system).train()
    for task, result in json.loads((folder / "result.json").read_text())["tasks"].items():
        if "accuracy" in result:
            assert result["accuracy"] > result["baseline"]["accuracy"] + 0.05, task
        elif system == "emola-disfa":
            assert result["f1"] > result["baseline"]["f1_all_present"] + 0.05, task
        elif "mae" in result:
            assert result["mae"] < result["baseline"]["mae"], task
