"""EmoLA beyond its texts: adapters on any decoder, tasks of every data set, the closed question that they answer."""

from __future__ import annotations

import pytest
import torch
from torch import nn

from mien.core.aus import AU_SETS
from mien.core.emotions import EMOTIONS
from mien.core.errors import BadConfig
from mien.core.nouns import Labels
from mien.models.composite.facial_lm import FacialLM
from mien.models.composite.systems import prepare
from mien.models.emola import system as emola
from mien.models.emola import words as emola_words
from mien.models.emola.category_answers import CATEGORIES, category_of


@pytest.mark.parametrize(("decoder", "layers"), [("llama-tiny", 7), ("phi-tiny", 6)])
def test_every_linear_layer_of_the_blocks_is_adapted(decoder: str, layers: int) -> None:
    """Phi's output of attention is called ``dense``, its others ``fc1`` and ``fc2``."""
    torch.manual_seed(0)
    model = FacialLM(emola.configure("tiny", decoder=decoder))
    start = "model.language_model.layers."
    linear = [
        name for name, one in model.named_modules() if name.startswith(start) and isinstance(one, nn.Linear)
    ]
    names = prepare(model, emola.SYSTEM.stages["lora"])
    assert {name.partition(".lora_")[0] for name in names} == set(linear)
    assert len(linear) == layers * 2 and not any("lm_head" in name for name in names)


@pytest.mark.parametrize("task", emola_words.TASKS)
def test_every_task_is_asked_and_read(task: str) -> None:
    kind = emola_words.TASKS[task]
    assert emola_words.ask(task) == emola_words.LAYOUTS["after"] + emola_words.EVALUATION_QUESTIONS[kind]
    text = "Happiness" if kind == "emotion" else "AU1, AU12"
    labels = emola_words.read(text, task).labels
    assert labels is not None
    if kind == "emotion":
        assert labels.emotion == "happiness"
    else:
        assert labels.au_presence is not None
        keys = CATEGORIES[task].names if task in CATEGORIES else AU_SETS["faba12"]
        assert labels.au_presence == {key: key in ("AU01", "AU12") for key in keys}
    with pytest.raises(BadConfig, match="rafdb"):
        emola_words.ask("pain")


def test_a_model_of_raf_db_chooses_among_its_seven() -> None:
    assert list(emola_words.labels({"task": "rafdb"}).answers.values()) == list(CATEGORIES["rafdb"].names)
    assert set(emola_words.labels({"task": "rafdb"}).answers) == set(EMOTIONS) - {"contempt"}
    assert set(emola_words.labels({}).answers) == set(EMOTIONS)
    with pytest.raises(BadConfig, match="What AUs are conveyed"):
        emola_words.labels({"task": "disfa"})


def test_disfa_s_presence_is_that_of_its_levels() -> None:
    """AU-LLaVA's cut-off may stand in the labels; EmoLA's is another."""
    levels = {key: place % 4 for place, key in enumerate(AU_SETS["disfa12"])}
    above_two = {key: level > 2 for key, level in levels.items()}
    found = category_of("disfa", Labels(au_level=levels, au_presence=above_two))
    assert found == {key for key in AU_SETS["disfa8"] if levels[key] >= 2}
    assert category_of("disfa", Labels(au_presence=above_two)) is None
    with pytest.raises(BadConfig, match="rafdb, bp4d, disfa, gft"):
        category_of("emotionet", Labels())
