"""EMO-LLaMA's own recipe with its facial expert, at tiny widths; LLaMA-VID's beside it."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
import torch
from safetensors.torch import save_file

from mien.backends import torch as backend
from mien.core.errors import BadConfig, MissingWeights
from mien.core.nouns import Evidence
from mien.evaluate.predictions import read_predictions
from mien.layers.facexformer import FaceXFormer, prepare_faces
from mien.models.composite.evidence_inputs import Inputs, expert_words
from mien.models.composite.experts import EXPERTS
from mien.models.emo_llama.words import AGR_PROMPT
from mien.train.data.face_attributes import with_attributes
from mien.train.data.faces import gather
from mien.train.recipe_files import load_recipe
from mien.train.runs import Run

pytestmark = pytest.mark.filterwarnings("ignore:.*mtime may not be reliable.*")
EXPERT = EXPERTS["face"].file


@pytest.fixture(scope="module")
def experts(tiny_data: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("nets")
    torch.manual_seed(3)
    model = FaceXFormer("tiny").eval()
    part = load_recipe("emo-llama", "tiny", [f"validation.0.root={tiny_data}"]).validation
    crops = list(gather(part, 28, folder / "cache", False).crops)
    with torch.no_grad():
        # With random weights one class would win for every face: centred, the faces tell them apart.
        last = model.get_submodule("face_decoder.age_prediction_head.layers.2")
        last.get_parameter("bias").sub_(model(prepare_faces(crops, 64)).age.mean(dim=0))
    save_file({key: value.contiguous() for key, value in model.state_dict().items()}, folder / EXPERT)
    return folder


def generated(reader: Any, batch: Any, asked: Any, **options: Any) -> list[str]:
    return [one.text for one in reader.answer(batch, asked, "generation", **options)]


def changes(data: Path, experts: Path) -> list[str]:
    return [
        f"data.0.root={data}",
        f"validation.0.root={data}",
        "inputs.face_rows=facexformer",
        "inputs.attributes=facexformer",
        f"inputs.experts={experts}",
        "options.face_width=16",
        "stages.0.epochs=1",
    ]


@pytest.fixture(scope="module")
def folder(tiny_data: Path, experts: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    place = tmp_path_factory.mktemp("emo-llama")
    recipe = load_recipe("emo-llama", "tiny", changes(tiny_data, experts))
    return Run(recipe, place / "run", place / "cache").train()


def told(text: str) -> str:
    return text.split(AGR_PROMPT)[1]


def test_prompts_tell_what_the_expert_says_of_each_face(folder: Path, tiny_data: Path, experts: Path) -> None:
    recipe = load_recipe("emo-llama", "tiny", changes(tiny_data, experts))
    held = gather(recipe.validation, 28, folder.parent / "cache", False)
    inputs = Inputs.of(recipe.inputs)
    said = expert_words(inputs, [held.evidence(row) for row in range(len(held))])
    known = dict(zip([sample.id for sample in held.samples], said, strict=True))
    rows = read_predictions(folder / "predictions.jsonl")
    assert rows and len(set(said)) > 1
    assert [told(row["questions"][0]) for row in rows] == [known[row["id"]] for row in rows]
    some = with_attributes(held, inputs).take([1])
    assert some.attributes is not None and some.attributes[0]["age"] in said[1]


def test_the_folder_asks_the_same_way(
    folder: Path, tiny_data: Path, experts: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    about = json.loads((folder / "model" / "mien.json").read_text())
    assert (
        about["inputs"]["attributes"] == "facexformer" and (folder / "model" / "experts" / EXPERT).is_file()
    )
    reader = backend.open_torch(folder / "model", threads=1)
    recipe = load_recipe("emo-llama", "tiny", changes(tiny_data, experts))
    held = gather(recipe.validation, 28, folder.parent / "cache", False)
    one, two = (held.evidence(row) for row in range(2))
    said = expert_words(reader.inputs, [one, two])
    heard: list[str] = []
    real = backend.evidence_inputs

    def overhear(
        config: Any, inputs: Inputs, batch: Sequence[Evidence], asked: Sequence[str], words: Any
    ) -> Mapping[str, Any]:
        heard.extend(asked)
        return real(config, inputs, batch, asked, words)

    monkeypatch.setattr(backend, "evidence_inputs", overhear)
    reader.measure([one, two, (one, two, one)])
    generated(reader, [two], ["What is in the picture?"], max_new_tokens=1)
    reader.ask(one, "Describe the picture.")
    # The middle frame speaks for a clip, and every frame is read with the clip's question.
    assert [told(text) for text in heard] == [said[row] for row in (0, 1, 1, 1, 1, 1, 0)]
    few = reader.clip_limit("What is the emotion of this face?")
    monkeypatch.setattr(reader, "inputs", replace(reader.inputs, attributes="none"))
    assert 1 < few < reader.clip_limit("What is the emotion of this face?")


def test_words_of_other_systems_are_refused(tiny_data: Path, experts: Path, tmp_path: Path) -> None:
    given = [f"data.0.root={tiny_data}", f"validation.0.root={tiny_data}", "inputs.attributes=facexformer"]
    run = Run(load_recipe("expllm", "tiny", [*given, f"inputs.experts={experts}"]), tmp_path / "run")
    with pytest.raises(BadConfig, match="attributes"):
        run.train()
    with pytest.raises(MissingWeights, match=r"facexformer\.safetensors"):
        Run(
            load_recipe("emo-llama", "tiny", [*given, f"inputs.experts={tmp_path}"]), tmp_path / "other"
        ).train()


def test_llama_vid_learns_without_priors(tiny_data: Path, tmp_path: Path) -> None:
    roots = [f"data.0.root={tiny_data}", f"validation.0.root={tiny_data}", "stages.0.epochs=1"]
    done = Run(load_recipe("emo-llama-vid", "tiny", roots), tmp_path / "run").train()
    config = json.loads((done / "model" / "config.json").read_text())
    encoder = config["evidence"]["image"]["encoder"]
    assert (
        encoder["mining"] is None and encoder["clue"]["generation"] == "llama-vid" and encoder["layer"] == -1
    )
    assert all(AGR_PROMPT not in row["questions"][0] for row in read_predictions(done / "predictions.jsonl"))


def test_paper_scale_is_emo_llama_itself() -> None:
    recipe = load_recipe("emo-llama", "paper")
    inputs = Inputs.of(recipe.inputs)
    assert (inputs.face_rows, inputs.instruction, inputs.attributes) == ("facexformer", "bert", "facexformer")
    assert recipe.options.get("priors", "all") == "all" and [one.name for one in recipe.stages] == ["paper"]
    vid = load_recipe("emo-llama-vid", "paper")
    assert vid.options == {"priors": "none", "generation": "llama-vid"} and vid.inputs["attributes"] == "none"
