"""A system with the pretrained parts that it starts from: decoder, towers and encoders, from disk or the hub."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any, Literal, cast

import torch
from safetensors import SafetensorError
from safetensors.torch import load_file
from torch import Tensor, nn
from transformers import AutoModelForCausalLM, InstructBlipVisionModel

from mien.core.errors import BadConfig, MissingWeights, reason_of
from mien.layers.facial_clues import FacialClues
from mien.layers.pointmlp import PointMLP
from mien.layers.vision_tower import VisionTower
from mien.models.composite.facial_lm import FacialLM, FacialLMConfig
from mien.models.composite.quantised import BITS, quantise
from mien.models.composite.systems import System
from mien.models.formats.checkpoints import read_checkpoint
from mien.models.formats.importers import LAYOUTS, import_weights
from mien.models.formats.loading import MODEL_FOLDER, model_folder, open_facial, open_pretrained
from mien.models.formats.qformer_start import QFormerStart, holds_qformer

__all__ = [
    "MODEL_FOLDER",
    "NEW",
    "PRECISIONS",
    "Precision",
    "assemble",
    "check_parts",
    "fill_encoder",
    "is_run",
    "model_folder",
    "open_composite",
]

Precision = Literal["fp32", "bf16", "fp16"]
PRECISIONS: Mapping[str, torch.dtype] = {
    "fp32": torch.float32,
    "bf16": torch.bfloat16,
    "fp16": torch.float16,
}
NEW = "new"
"""In place of a folder: weights from nothing."""
_CARD, _WEIGHTS = "mien.json", "model.safetensors"


def assemble(
    system: System,
    scale: str,
    weights: Mapping[str, str],
    *,
    config: FacialLMConfig | None = None,
    precision: Precision = "fp32",
    bits: Literal[4, 8, None] = None,
    attention: str | None = None,
    **options: Any,
) -> FacialLM:
    """The composite with pretrained weights in the parts that are named, new ones in the rest.

    Args:
        system: the system.
        scale: its scale; with ``decoder=`` and ``tower=`` among the options, any other backbones.
        weights: ``"decoder"`` and names of evidence -> a folder or hub id of transformers; for PointMLP a checkpoint
            of ULIP or ma-xu; for every encoder also a run of mien, whose encoder of that name is taken. Scales
            ``paper`` and ``base`` need all that the system starts from; `NEW` says that an encoder starts from nothing.
        config: the configuration, in place of ``system.configure(scale, **options)``.
        precision: of all weights.
        bits: hold the decoder's linear layers in 8 or 4 bits (QLoRA's NF4), by bitsandbytes; the head, encoders and
            projectors stay whole. For adapters: the stage must not train the decoder itself.
        attention: ``"sdpa"``, ``"flash_attention_2"`` …; transformers' choice by default.
        options: of ``system.configure``.
    """
    check_parts(system, scale, weights)
    dtype = _dtype(precision, bits)
    config = config or system.configure(scale, **options)
    if "decoder" in weights:
        model = _around(weights["decoder"], config, dtype, attention)
    else:
        model = FacialLM(config)
        for parameter in model.parameters():  # buffers of rotary positions stay exact
            parameter.data = parameter.data.to(dtype)
        if attention is not None:
            _attend(model, attention)
    for name, place in weights.items():
        if name != "decoder":
            fill_encoder(model, name, place)
    model.model.encoders.to(dtype)
    model.model.projectors.to(dtype)
    if bits is not None:
        quantise(model.model.language_model, bits)
    return model


def open_composite(place: str, precision: str = "fp32", attention: str | None = None) -> FacialLM:
    """A composite from a run, from the folder of a model, or under a hub id."""
    extra = {} if attention is None else {"attn_implementation": attention}
    return open_facial(place, dtype=_dtype(precision, None), **extra)


def is_run(place: str) -> bool:
    """Whether a run, or a folder of a model or an encoder of mien, is there."""
    return (Path(model_folder(place)) / _CARD).is_file()


def check_parts(system: System, scale: str, weights: Mapping[str, str]) -> None:
    """Refuse scales ``paper`` and ``base`` without all that the system starts from.

    Raises:
        MissingWeights: a part is not named.
    """
    published = system.base_weights if scale == "base" else system.weights
    absent = [part for part in published if part not in weights] if scale in ("paper", "base") else []
    if absent:
        raise MissingWeights(
            got=f"no weights for {' and '.join(absent)} of {system.name} at scale {scale}",
            expected=", ".join(f"{part}: published as {published[part]}" for part in absent),
            fix=f"Download {published[absent[0]]} and pass weights={{'{absent[0]}': FOLDER, …}}; in a recipe "
            f"weights.{absent[0]}=FOLDER, or weights.model=FOLDER of an imported model",
        )


def _attend(model: FacialLM, attention: str) -> None:
    try:
        model.set_attn_implementation(attention)
    except (ValueError, ImportError) as error:
        raise BadConfig(
            got=f"attention {attention!r}",
            expected="eager, sdpa, or one of transformers' others whose package is installed",
            fix="Choose 'sdpa', or install the package",
        ) from error


def _dtype(precision: str, bits: int | None) -> torch.dtype:
    if precision not in PRECISIONS or bits not in (*BITS, None):
        raise BadConfig(
            got=f"precision {precision!r}, bits {bits!r}",
            expected=f"one of {', '.join(PRECISIONS)}; 4, 8 or None",
            fix="Choose one of these",
        )
    return PRECISIONS[precision]


def _around(place: str, config: FacialLMConfig, dtype: torch.dtype, attention: str | None) -> FacialLM:
    """The composite of a configuration around a pretrained decoder."""
    extra: dict[str, Any] = {} if attention is None else {"attn_implementation": attention}
    decoder = open_pretrained(AutoModelForCausalLM, place, "decoder", dtype=dtype, **extra)
    expected = cast(Any, config.text_config).hidden_size
    if expected != decoder.config.hidden_size:
        raise BadConfig(
            got=f"a decoder of width {decoder.config.hidden_size}",
            expected=f"{expected}, as the configuration says",
            fix=f"Pass decoder={place!r} to build the system around it",
        )
    return FacialLM.from_decoder(decoder, config.evidence)


def fill_encoder(model: FacialLM, name: str, place: str) -> None:
    """Give an encoder the weights of a run or an imported encoder, of a point checkpoint, or of a transformers tower.

    Raises:
        BadConfig: no such encoder, or one of another shape.
        MissingWeights: nothing there that fits.
    """
    if name not in model.model.encoders:
        raise BadConfig(
            got=f"weights for {name!r}",
            expected=f"an encoder of this model: {', '.join(model.model.encoders)}",
            fix="Correct the names of the weights",
        )
    if place == NEW:
        return
    encoder = model.model.encoders[name]
    tower = next((part for part in encoder.modules() if isinstance(part, VisionTower)), None)
    if is_run(place):
        _fill_from_run(encoder, name, Path(model_folder(place)))
    elif isinstance(encoder, PointMLP):
        _fill_points(encoder, name, place)
    elif tower is not None:
        _fill_tower(tower, place, name)
        if isinstance(encoder, FacialClues) and hasattr(encoder, "aggregator") and holds_qformer(place):
            open_pretrained(QFormerStart, place, f"Q-Former of {name!r}", dtype=torch.float32).fill(encoder)
    else:
        raise _other_tower(name, place, type(encoder).__name__)


def _fill_points(encoder: PointMLP, name: str, place: str) -> None:
    """PointMLP out of ULIP's checkpoint, or ma-xu's own; the anchors of fixed sampling are no part of it."""
    state = read_checkpoint(place)
    ulip = any(key.removeprefix("module.").startswith("point_encoder.") for key in state)
    layout = "ulip-pointmlp" if ulip else "pointmlp"
    report = import_weights(encoder, cast("Mapping[str, object]", state), layout, partial=True)
    missing = [key for key in report.missing if not key.startswith("anchors_")]
    if missing:
        raise MissingWeights(
            got=f"{place} without {len(missing)} weights of {name}, such as {missing[0]}",
            expected=f"all weights of a PointMLP ({LAYOUTS[layout].published})",
            fix="Download it again, or build the encoder in the checkpoint's variant",
        )


def _fill_from_run(encoder: nn.Module, name: str, folder: Path) -> None:
    """The encoder of that name in a run, or its tower where only that is the same kind."""
    whole = _run_weights(folder)
    start = f"model.encoders.{name}."
    state = {key.removeprefix(start): value for key, value in whole.items() if key.startswith(start)} or whole
    target = cast(nn.Module, getattr(encoder, "tower", encoder))
    inner = {key.removeprefix("tower."): value for key, value in state.items() if key.startswith("tower.")}
    found = inner or state
    own = target.state_dict()
    odd = sorted(found.keys() ^ own.keys()) or [key for key in found if found[key].shape != own[key].shape]
    if odd:
        raise _other_tower(name, str(folder), odd[0])
    target.load_state_dict(found)


def _run_weights(folder: Path) -> dict[str, Tensor]:
    """By their names in the model; a file may hold those of a tower under older names of transformers."""
    if (folder / "config.json").is_file():
        return dict(open_facial(folder).state_dict())
    try:
        return load_file(folder / _WEIGHTS)
    except (OSError, SafetensorError) as error:
        raise MissingWeights(
            got=f"{folder} without readable weights ({reason_of(error)})",
            expected=f"{_WEIGHTS} of a run or an imported encoder",
            fix="Pass another folder, or write it again",
        ) from error


def _other_tower(name: str, place: str, odd: str) -> MissingWeights:
    return MissingWeights(
        got=f"weights of {name} in {place} that differ from this tower, such as {odd}",
        expected="the same tower",
        fix="Give both recipes the same encoder, or leave this part of weights out",
    )


def _fill_tower(tower: VisionTower, place: str, name: str) -> None:
    kind = type(tower.model)
    # InstructBLIP's folder holds its tower under a name that its vision model alone does not know.
    extra: dict[str, Any] = (
        {"key_mapping": {r"^vision_model\.": ""}} if kind is InstructBlipVisionModel else {}
    )
    source = cast(nn.Module, open_pretrained(kind, place, f"tower of {name!r}", **extra))
    try:
        tower.model.load_state_dict(source.state_dict())
    except RuntimeError as error:
        raise BadConfig(
            got=f"weights of another shape in {place} ({str(error).splitlines()[-1].strip()})",
            expected=f"the tower that the configuration of {name!r} describes",
            fix=f"Pass tower={place!r} to build the system around it",
        ) from error
