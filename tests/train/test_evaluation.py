"""Validation: what is asked in which words, what is cut, whose truth counts, and when an AU counts as present."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from tokenizers import Tokenizer

from mien.core.aus import AU_SETS
from mien.core.errors import BadConfig
from mien.core.nouns import Labels, Sample
from mien.evaluate.figures import constants, score_answers
from mien.face.pose import mean_face
from mien.models.composite.evidence_inputs import Inputs
from mien.models.composite.facial_lm import FacialLM
from mien.models.composite.systems import System
from mien.models.registry import open_system
from mien.train.data.drawn import draw_instructions
from mien.train.data.faces import Faces
from mien.train.data.instructions import open_tokenizer
from mien.train.evaluation import predict
from mien.train.recipe import Evaluation, Sampling

INPUTS = Inputs(crop_size=28, image_size=28)
EMOLA = open_system("emola")


def faces_of(*labels: Labels) -> Faces:
    rng = np.random.default_rng(0)
    mesh = mean_face().points * 60.0 + [14.0, 14.0, 0.0]
    return Faces(
        tuple(Sample(f"s{i}", "made", "train", f"m{i}", one) for i, one in enumerate(labels)),
        rng.integers(0, 255, (len(labels), 28, 28, 3)).astype(np.uint8),
        np.stack([mesh + rng.normal(size=(478, 3)) * 0.1 for _ in labels]).astype(np.float32),
        np.tile(np.eye(2, 3), (len(labels), 1, 1)),
    )


def fitted(system: System, faces: Faces, task: str) -> tuple[FacialLM, Tokenizer]:
    tokenizer = open_tokenizer(system, None, draw_instructions(system, faces, {task: 1}, 0.0, 1), 400)
    torch.manual_seed(0)
    return FacialLM(system.configure("tiny", tokenizer.get_vocab_size())).eval(), tokenizer


def asked(system: System, faces: Faces, model: FacialLM, tokenizer: Tokenizer, **wanted: Any) -> list[Any]:
    return predict(model, system, faces, INPUTS, tokenizer, Evaluation(batch=2, **wanted))


FEELINGS = faces_of(*(Labels(emotion=one) for one in ("happiness", "fear", "neutral")))


def test_answers_keep_every_token_before_the_end() -> None:
    """Token 0 is a word in other vocabularies (Phi-2's "!")."""
    model, tokenizer = fitted(EMOLA, FEELINGS, "emotion")
    with torch.no_grad():
        model.lm_head.weight.zero_()
    # Nothing is likelier than token 0: the answer is that token, again and again.
    content = json.loads(tokenizer.to_str())
    content["added_tokens"] = [one for one in content["added_tokens"] if one["id"] != 0]
    vocabulary = content["model"]["vocab"]
    vocabulary["e"], vocabulary["unused"] = vocabulary.pop("<pad>"), vocabulary["e"]
    plain = Tokenizer.from_str(json.dumps(content))
    rows = asked(EMOLA, FEELINGS, model, plain, task="emotion", max_new_tokens=3)
    assert [row["answers"] for row in rows] == [["eee"]] * 3


def test_another_template_and_sampling_can_be_asked_for() -> None:
    model, tokenizer = fitted(EMOLA, FEELINGS, "emotion")
    seen: list[tuple[int, ...]] = []

    def keep(_: Any, arguments: Any, named: dict[str, Any]) -> None:
        ids = named.get("input_ids")
        if ids is not None and ids.shape[1] > 1:
            seen.append(tuple(ids[0].tolist()))

    handle = model.register_forward_pre_hook(keep, with_kwargs=True)
    greedy = asked(EMOLA, FEELINGS, model, tokenizer, task="emotion", max_new_tokens=6)
    asked(EMOLA, FEELINGS, model, tokenizer, task="emotion", max_new_tokens=6, template="llava_v1")
    handle.remove()
    texts = [tokenizer.decode([token for token in ids if token >= 0]) for ids in seen]
    assert "curious user" in texts[0] and "curious human" in texts[-1]
    hot = {"task": "emotion", "max_new_tokens": 6, "sampling": Sampling(temperature=5.0)}
    drawn = asked(EMOLA, FEELINGS, model, tokenizer, **hot)
    assert drawn == asked(EMOLA, FEELINGS, model, tokenizer, **hot)
    assert [row["answers"] for row in drawn] != [row["answers"] for row in greedy]
    with pytest.raises(BadConfig, match="llava_v1"):
        asked(EMOLA, FEELINGS, model, tokenizer, task="emotion", template="chatml")


@pytest.mark.skipif(not torch.cuda.is_available(), reason="needs a GPU")
def test_a_model_is_asked_where_training_left_it() -> None:
    model, tokenizer = fitted(EMOLA, FEELINGS, "emotion")
    here = asked(EMOLA, FEELINGS, model, tokenizer, task="emotion", max_new_tokens=2)
    there = asked(EMOLA, FEELINGS, model.cuda(), tokenizer, task="emotion", max_new_tokens=2)
    assert [row["answers"] for row in there] == [row["answers"] for row in here]


def test_a_described_face_is_scored_by_its_label() -> None:
    faces = faces_of(
        Labels(emotion="anger", description="The face looks happy, almost cheerful."),
        Labels(description="Fear is written all over it."),
        Labels(description="A stern look."),
    )
    model, tokenizer = fitted(EMOLA, faces, "emotion-description")
    rows = asked(EMOLA, faces, model, tokenizer, task="emotion-description", max_new_tokens=2)
    assert [row["truth"] for row in rows] == [{"emotion": "anger"}, {"emotion": "fear"}, None]
    found = score_answers(rows, constants([{"emotion": "fear"}]))
    assert (found["n"], found["without_truth"], found["baseline"]["accuracy"]) == (3, 1, 0.5)


def test_described_aus_are_those_of_the_label() -> None:
    coded = {key: key in ("AU04", "AU07") for key in AU_SETS["faba20"]}
    faces = faces_of(Labels(au_presence=coded, description="AU12 - Lip Corner Puller: the corners rise."))
    model, tokenizer = fitted(EMOLA, faces, "au-description")
    row = asked(EMOLA, faces, model, tokenizer, task="au-description", max_new_tokens=2)[0]
    assert set(row["truth"]["aus"]) == set(AU_SETS["faba12"])
    assert [key for key, there in row["truth"]["aus"].items() if there] == ["AU04"]


def test_the_au_set_of_a_list_is_chosen() -> None:
    coded = {key: key in ("AU07", "AU14", "AU12") for key in AU_SETS["gft19"]}
    faces = faces_of(Labels(au_presence=coded))
    model, tokenizer = fitted(EMOLA, faces, "au")
    row = asked(EMOLA, faces, model, tokenizer, task="au", max_new_tokens=2, reading={"units": "bp4d12"})[0]
    assert {key for key, there in row["truth"]["aus"].items() if there} == {"AU07", "AU12", "AU14"}


def test_au_llava_s_levels_are_present_above_two() -> None:
    system = open_system("au-llava")
    keys = AU_SETS["disfa8"]
    faces = faces_of(*(Labels(au_level=dict.fromkeys(keys, level)) for level in (0, 2, 3, 5)))
    model, tokenizer = fitted(system, faces, "disfa")
    rows = asked(system, faces, model, tokenizer, task="disfa", max_new_tokens=2)
    assert {row["present_above"] for row in rows} == {2}
    for row, level in zip(rows, (0, 1, 3, 3), strict=True):
        row["said"] = {"form": "au_level", "aus": dict.fromkeys(keys, level)}
    found = score_answers(rows, constants([{"aus": dict.fromkeys(keys, 0)}]))
    # Level 2 is absent, and so is the 1 that was said of it; above 0 the answer would be right as well.
    rows[1]["said"]["aus"] = dict.fromkeys(keys, 3)
    wrong = score_answers(rows, constants([{"aus": dict.fromkeys(keys, 0)}]))
    assert (found["f1"], wrong["f1"]) == (1.0, pytest.approx(0.8))
    assert found["baseline"]["f1_all_present"] == pytest.approx(2 / 3)


def test_intensities_have_no_f1(tmp_path: Path) -> None:
    row = {"status": "answered", "truth": {"form": "au_intensity", "aus": {"left eye close": 0.5}},
           "said": {"form": "au_intensity", "aus": {"left eye close": 0.25}}}  # fmt: skip
    found = score_answers([row], {"emotion": None, "aus": {}})
    assert found["mae"] == 0.25 and found["f1"] is None and found["baseline"]["f1_all_present"] is None
