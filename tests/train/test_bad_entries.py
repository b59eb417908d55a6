"""Entries that cannot be: one error of three sentences and exit status 2, before any data is read."""

from __future__ import annotations

import re
import sys
from pathlib import Path

import pytest

from mien.app.cli import main
from mien.core.errors import BadConfig
from mien.models.composite.systems import Stage
from mien.models.registry import open_system
from mien.train.recipe import Recipe, resolve_stage
from mien.train.recipe_files import load_recipe
from mien.train.values import set_entry

THREE_SENTENCES = re.compile(r"Error: Got .+\. Expected .+\. .+\.\n", re.DOTALL)


@pytest.mark.parametrize(
    ("change", "named"),
    [
        ("sed=1", "one of system, scale"),
        ("seed", "key=value"),
        ("seed=-1", "at least 0"),
        ("seed=[", "no YAML"),
        ("seed.x=3", "a whole number"),
        ("scale=large", "'tiny', 'small', 'base' or 'paper'"),
        ("system=emolla", "one of facephi, emola"),
        ("bits=5", "4 or 8"),
        ("vocabulary=2", "at least 300"),
        ("data=[]", "at least one entry"),
        ("data.0.limt=3", "one of dataset, split, root, limit"),
        ("data.0.limit=many", "a whole number"),
        ("validation=[]", "faces to ask about"),
        ("tasks={}", "at least one entry"),
        ("tasks.fear=1", "one of emotion, au"),
        ("tasks.emotion=0", "a number above 0"),
        ("evaluation.0.task=fear", "one of emotion, au"),
        ("evaluation.0.template=v9", "one of v1, llava_v1"),
        ("evaluation.0.reading.unit=disfa8", "one of units"),
        ("evaluation.0={task: au, reading: {units: some}}", "AU set 'some'"),
        ("evaluation.0.dialogue.foo=1", "one of layout, questions"),
        ("evaluation.0.sampling.temperature=0", "a number above 0"),
        ("stages.7.epochs=2", "0: code"),
        ("stages.0=code", "a mapping of entries"),
        ("stages.0.name=stage9", "one of paper, code, projector, lora"),
        ("stages.0.precision=fp8", "'fp32', 'fp16' or 'bf16'"),
        ("stages.0.schedule=linear", "'cosine' or 'constant'"),
        ("stages.0.learning_rate=fast", "a number"),
        ("stages.0.learning_rate=.nan", "all above 0"),
        ("stages.0.epochs=abc", "a number"),
        ("stages.0.batch=", "a whole number"),
        ("stages.0.warmup=-1", "0 or more"),
        ("stages.0.betas=[0.9]", "all of them"),
        ("stages.0.betas=[0.9,1.5]", "below 1"),
        ("stages.0.template=v9", "one of v1, llava_v1"),
        ("stages.0.augment=some", "true or false"),
        ("stages.0.encoder=ears", "one of image, prior"),
        ("stages.0.trains=[ears.]", "'ears.', which matches no part"),
        ("stages.0.rates={a: b}", "a number"),
        ("stages.0.lora.rank=0", "all above 0"),
        ("stages.0.lora.rnk=4", "one of targets, rank, alpha, dropout"),
        ("stages.0.lora.targets=['*proj']", "a regular expression"),
        ("stages.0.lora.targets=['.*ears']", "matches no part"),
        ("inputs.image_size=abc", "a whole number"),
        ("inputs.image_size=30", "28 x 28 px"),
        ("inputs.size=30", "one of crop_size, image_size"),
        ("options.foo=1", "one of layout"),
        ("options.layout=between", "one of after, before, prior, visual"),
        ("options.image_size=abc", "a whole number"),
        ("config.foo=1", "text_config and evidence"),
        ("config.text_config.num_attention_heads=5", "not a multiple of the number of attention heads"),
        ("config.text_config.vocab_size=-1", "text_config.vocab_size -1"),
        ("config.evidence.image.rows=3", "as many rows"),
        ("weights.nose=/nowhere", "one of model, decoder, text, image, prior"),
        ("weights.model=/nowhere", "/nowhere/config.json, which is not there"),
        ("weights.decoder=/nowhere", "'/nowhere'"),
        ("weights.image=/nowhere", "'/nowhere'"),
    ],
)
def test_a_bad_entry_is_named(
    change: str,
    named: str,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    monkeypatch.setenv("MIEN_DATA", str(tmp_path / "no data"))
    monkeypatch.setattr(
        sys, "argv", ["mien", "train", "emola", "--scale", "tiny", "-o", str(tmp_path / "run"), change]
    )
    with pytest.raises(SystemExit) as left:
        main()
    told = capsys.readouterr().err
    assert left.value.code == 2
    assert THREE_SENTENCES.fullmatch(told), told
    assert named in told
    assert not (tmp_path / "run").exists()


@pytest.mark.parametrize(
    ("arguments", "named"),
    [
        (["--scale", "tiny", "data.0.root=/nowhere"], "no folder /nowhere"),
        (["--scale", "tiny", "data.0.dataset=nose"], "dataset 'nose'"),
        (["--scale", "tiny"], "no folder"),
        (["--scale", "paper"], "Pass weights.model=FOLDER"),
        (["--scale", "base"], "decoder: published as"),
        (["--scale", "tiny", "--out", "/proc/run"], "while writing /proc/run"),
    ],
)
def test_what_is_missing_is_named(
    arguments: list[str],
    named: str,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    """Weights before data, and data by the option that gives it."""
    monkeypatch.setenv("MIEN_DATA", str(tmp_path / "no data"))
    monkeypatch.setattr(sys, "argv", ["mien", "train", "emola", "--out", str(tmp_path / "run"), *arguments])
    with pytest.raises(SystemExit) as left:
        main()
    told = capsys.readouterr().err
    assert left.value.code == 2 and THREE_SENTENCES.fullmatch(told) and named in told, told


def first_stage(recipe: Recipe) -> Stage:
    return resolve_stage(open_system(recipe.system), recipe.stages[0])


def test_numbers_are_written_as_everyone_writes_them() -> None:
    recipe = load_recipe("emola", "tiny", ["stages.0.learning_rate=1e-3", "stages.0.warmup=5E-2"])
    stage = first_stage(recipe)
    assert stage.learning_rate == 1e-3 and stage.warmup == 0.05


def test_a_change_of_adapters_keeps_the_published_rest() -> None:
    published = first_stage(load_recipe("emola", "paper"))
    changed = first_stage(load_recipe("emola", "paper", ["stages.0.lora.rank=64"]))
    assert published.lora is not None and changed.lora is not None
    assert changed.lora.rank == 64 and changed.lora.alpha == published.lora.alpha
    assert changed.lora.targets == published.lora.targets


def test_an_entry_that_holds_no_others() -> None:
    with pytest.raises(BadConfig, match="seed is 1"):
        set_entry({"seed": 1}, "seed.x=2")
    content: dict[str, object] = {"options": None}
    set_entry(content, "options.layout=prior")
    assert content == {"options": {"layout": "prior"}}
