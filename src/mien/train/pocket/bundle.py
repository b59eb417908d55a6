"""Writes what the torch-free runtime reads: five graphs, the token table, the tokenizer and ``bundle.json``."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Mapping
from importlib.metadata import version
from pathlib import Path
from typing import Any

from safetensors.numpy import save_file
from tokenizers import Tokenizer

from mien.backends.pocket_bundle import FILES
from mien.core.aus import AU_SETS
from mien.core.emotions import EMOTIONS
from mien.dialogue.read.au_arrays import QUESTIONS
from mien.models.composite.facial_lm import FacialLM
from mien.models.pocket.evidence import PocketEvidence
from mien.models.pocket.expression import PocketExpression
from mien.models.pocket.prompt import EVIDENCE
from mien.models.pocket.regions import PocketRegions
from mien.models.pocket.units import PocketUnits
from mien.train.pocket.export import (
    export_decoder,
    export_evidence,
    export_expression,
    export_regions,
    export_units,
    int8_codes,
)
from mien.train.pocket.language_data import READOUT_QUESTION

__all__ = ["set_emotion_calibration", "write_bundle"]


def write_bundle(
    net: PocketEvidence,
    units: PocketUnits,
    expression: PocketExpression,
    regions: PocketRegions,
    model: FacialLM,
    tokenizer: Tokenizer,
    sharpness: Mapping[str, float],
    folder: Path,
) -> Path:
    """Export everything into `folder`; the emotion read-out is uncalibrated until `set_emotion_calibration`."""
    folder.mkdir(parents=True, exist_ok=True)
    net.eval()
    model.eval()
    export_evidence(net, model, folder / "evidence.onnx")
    export_units(units, model.model.projectors["prior"], folder / "units.onnx")
    export_expression(expression, net.config.crop_size, folder / "expression.onnx")
    export_regions(regions, net.config.crop_size, folder / "regions.onnx")
    export_decoder(model, folder / "decoder.onnx")
    embedding: Any = model.get_input_embeddings()
    codes, scale = int8_codes(embedding.weight.detach().float().numpy(), (1,))
    save_file({"embeddings": codes, "scale": scale}, folder / "tokens.safetensors")
    tokenizer.save(str(folder / "tokenizer.json"))
    config = model.config.text_config
    bundle = {
        "name": "pocket",
        "version": version("mien"),
        "crop_size": net.config.crop_size,
        "emotions": list(EMOTIONS),
        "aus": list(AU_SETS["pocket"]),
        "au_sharpness": {key: round(value, 4) for key, value in sharpness.items()},
        "emotion_calibration": {"temperature": 1.0, "bias": [0.0] * len(EMOTIONS)},
        "evidence_ids": [tokenizer.token_to_id(token) for token, _ in EVIDENCE.values()],
        "decoder": {
            "layers": config.num_hidden_layers,
            "groups": config.num_key_value_heads,
            "head_size": config.hidden_size // config.num_attention_heads,
        },
        "readout_question": READOUT_QUESTION,
        "array_questions": {form: questions[0] for form, questions in QUESTIONS.items()},
        "sha256": {name: hashlib.sha256((folder / name).read_bytes()).hexdigest() for name in FILES},
    }
    _write(folder, bundle)
    return folder


def set_emotion_calibration(folder: Path, temperature: float, bias: list[float]) -> None:
    """Store the calibration of the emotion read-out: ``softmax(logits / temperature + bias)``."""
    bundle = json.loads((folder / "bundle.json").read_text(encoding="utf-8"))
    bundle["emotion_calibration"] = {
        "temperature": round(temperature, 4),
        "bias": [round(b, 4) for b in bias],
    }
    _write(folder, bundle)


def _write(folder: Path, bundle: Mapping[str, object]) -> None:
    (folder / "bundle.json").write_text(json.dumps(bundle, indent=1) + "\n", encoding="utf-8")
