"""The whole pocket recipe on a miniature of the data: every stage runs, resumes, and its export agrees with torch."""

from __future__ import annotations

import hashlib
import json
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from mien.backends.onnx import open_pocket
from mien.core.emotions import EMOTIONS
from mien.core.nouns import Evidence
from mien.dialogue.read.au_arrays import FORMATS, read_array
from mien.face.crop import canonical_crop
from mien.face.decode.images import load_image
from mien.face.finder import FaceFinder
from mien.train.pocket.belief_stage import BeliefStage
from mien.train.pocket.evidence_stage import EvidenceStage
from mien.train.pocket.expression_stage import ExpressionStage
from mien.train.pocket.hidden_stage import HiddenStage
from mien.train.pocket.language import LanguageStage
from mien.train.pocket.readout_stage import ReadoutStage
from mien.train.pocket.run import PocketRecipe, train_pocket
from mien.train.pocket.units_stage import UnitsStage

# The older exporter writes the graphs that the runtime reads; tracing notes where shapes are taken as fixed.
pytestmark = [
    pytest.mark.timeout(900),
    pytest.mark.filterwarnings("ignore::DeprecationWarning"),
    pytest.mark.filterwarnings("ignore::torch.jit.TracerWarning"),
]
EXAMPLE = Path(__file__).resolve().parents[2] / "examples" / "eileen_collins.jpg"
RECIPE = replace(
    PocketRecipe(),
    appearance=EvidenceStage("appearance", 1, 1e-3, batch_size=16),
    shape=EvidenceStage("shape", 1, 1e-3, batch_size=16),
    joint=EvidenceStage("joint", 1, 1e-3, batch_size=16),
    detail=EvidenceStage("detail", 1, 1e-3, batch_size=16),
    fine=EvidenceStage("fine", 1, 1e-3, batch_size=16, warp=0.6),
    language=LanguageStage(epochs=1, batch_tokens=2048, warmup_steps=2),
    readout=ReadoutStage(steps=2, batch_size=16, batch_tokens=512),
    expression=ExpressionStage(epochs=2, small_epochs=1, batch_size=16),
    belief=BeliefStage(steps=2, batch_size=16, items=12, batch_tokens=512),
    units=UnitsStage(epochs=1, batch_size=16),
    hidden=HiddenStage(epochs=1, faces=32, batch_size=16),
    vocabulary=900,
    dialogues=60,
)


@pytest.fixture(scope="module")
def bundle(tiny_data: Path, tiny_renders: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    return train_pocket(RECIPE, tiny_renders, tmp_path_factory.mktemp("run"), tiny_data)


def _digest(folder: Path) -> dict[str, str]:
    return {path.name: hashlib.sha256(path.read_bytes()).hexdigest() for path in sorted(folder.iterdir())}


@pytest.mark.slow
def test_second_call_finds_every_stage_done_and_writes_the_same_nets(
    bundle: Path, tiny_data: Path, tiny_renders: Path
) -> None:
    def written() -> tuple[dict[str, str], dict[str, Any], float]:
        about = json.loads((bundle / "bundle.json").read_text(encoding="utf-8"))
        nets = {name: digest for name, digest in _digest(bundle).items() if name != "bundle.json"}
        return nets, about, about["emotion_calibration"].pop("temperature")

    *before, temperature = written()
    train_pocket(RECIPE, tiny_renders, bundle.parent, tiny_data)
    *after, again = written()
    assert len(before[0]) > 5 and after == before
    # Still wrong: fitted twice on the same nets, it is not the same to the last digit.
    assert again == pytest.approx(temperature, rel=1e-4)


@pytest.mark.slow
def test_exported_model_measures_a_photo_in_every_mode(bundle: Path) -> None:
    image = load_image(EXAMPLE)
    (face,) = FaceFinder(threads=1).find(image)
    reader = open_pocket(bundle, threads=1)
    crop, _ = canonical_crop(image, face, reader.crop_size)
    results = reader.measure(
        [Evidence(face, crop), Evidence(face, None), Evidence(replace(face, landmarks=None), crop)]
    )
    for result in results:
        assert tuple(result.emotions) == EMOTIONS
        assert sum(result.emotions.values()) == pytest.approx(1.0, abs=1e-5)
        assert all(0.0 <= reading.intensity <= 1.0 for reading in result.aus.values())
    assert results[0].emotions != results[1].emotions
    alone = reader.measure([Evidence(face, crop)])[0]
    assert alone.emotions == pytest.approx(results[0].emotions, abs=2e-3)
    (covered, unseen) = reader.hidden([Evidence(face, crop), Evidence(face, None)])
    assert tuple(covered) == ("mouth", "eyes", "brow") and all(0.0 <= p <= 1.0 for p in covered.values())
    assert unseen == {}
    for form in FORMATS:
        (text,) = reader.arrays([Evidence(face, crop)], form)
        assert read_array(text, form, len(reader.aus)).status == "answered"


@pytest.mark.slow
def test_readout_of_the_graph_agrees_with_the_composite(bundle: Path) -> None:
    import torch
    from tokenizers import Tokenizer

    from mien.core.nouns import Turn
    from mien.models.composite.facial_lm import FacialLM
    from mien.models.pocket.prompt import prompt

    image = load_image(EXAMPLE)
    (face,) = FaceFinder(threads=1).find(image)
    reader = open_pocket(bundle, threads=1)
    crop, _ = canonical_crop(image, face, reader.crop_size)
    rows = reader._encode([Evidence(face, crop)]).rows
    turns = [Turn("user", "Emotion?")]
    graph_logits, _ = reader._start(turns, rows)
    model = FacialLM.from_pretrained(bundle.parent / "composite").eval()
    ids = Tokenizer.from_file(str(bundle / "tokenizer.json")).encode(prompt(turns)).ids
    embeds = model.get_input_embeddings()(torch.tensor([ids])).detach()
    places = [i for i, token in enumerate(ids) if token in reader.bundle["evidence_ids"]]
    embeds[0, places] = torch.from_numpy(rows[0])
    with torch.no_grad():
        torch_logits = model(inputs_embeds=embeds).logits[0, -1].numpy()
    # Matrices rounded to int8: close, not equal.
    assert np.corrcoef(graph_logits[0], torch_logits)[0, 1] > 0.999
