"""Published checkpoints into mien's models: key by key, with a report of what was not used and what is missing.

`import_checkpoint` builds the model that a format belongs to; `import_weights` fills one that exists. A checkpoint is a
path, or a state dictionary in memory. Pickled files are read with ``weights_only=True`` and can run no code.
"""

from __future__ import annotations

import math
import re
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, cast

import torch
from torch import Tensor, nn

from mien.core.errors import BadConfig, BadInput, MissingWeights, require_known
from mien.core.options import options_of, typed_options
from mien.layers.facexformer import FaceXFormer
from mien.layers.pointmlp import PointMLP
from mien.models.composite.facial_lm import FacialLM, FacialLMConfig
from mien.models.formats.checkpoints import read_checkpoint
from mien.models.formats.layouts import LAYOUTS, Layout, join_query_value_bias, own_keys, resample_positions
from mien.models.formats.loading import quiet
from mien.models.registry import open_system

__all__ = [
    "LAYOUTS",
    "ImportReport",
    "Imported",
    "Layout",
    "import_checkpoint",
    "import_weights",
    "read_checkpoint",
]

Source = str | Path | Mapping[str, object]
"""A weight file, a folder of them, or a dictionary of tensors."""

_LORA = re.compile(r"(.+)\.lora_([AB])\.default\.weight")


@dataclass(frozen=True, slots=True)
class ImportReport:
    """What became of a checkpoint's keys; each tuple is sorted."""

    loaded: tuple[str, ...]
    """Our keys that were filled."""
    unused: tuple[str, ...]
    """Published keys that no rule takes, or that this model has no place for."""
    missing: tuple[str, ...]
    """Our keys that the checkpoint should have brought."""
    merged: tuple[str, ...] = ()
    """Our keys whose weights took up a low-rank adapter, as this model has no adapters."""


@dataclass(frozen=True, slots=True)
class Imported:
    """A model made from a published checkpoint."""

    model: nn.Module
    """A `FacialLM` for the formats of systems, else the encoder; in evaluation mode."""
    report: ImportReport
    format: str
    scale: str
    system: str | None = None
    """System whose configuration it has; None for an encoder."""
    options: Mapping[str, object] = field(default_factory=dict)
    """What the system's ``configure``, or the encoder, was given."""


@dataclass(frozen=True, slots=True)
class _Match:
    """A checkpoint under our names."""

    values: dict[str, Tensor]
    unused: list[str]
    merged: list[str]


def _layout(name: str) -> Layout:
    require_known(name, LAYOUTS, "checkpoint layout")
    return LAYOUTS[name]


def _place(name: str, own: Mapping[str, Tensor]) -> str | None:
    """Our key of that name; within an adapted layer the weights moved to ``base_layer``."""
    if name in own:
        return name
    stem, _, leaf = name.rpartition(".")
    adapted = f"{stem}.base_layer.{leaf}"
    return adapted if adapted in own else None


def _match(state: Mapping[str, Tensor], own: Mapping[str, Tensor], layout: Layout) -> _Match:
    """Rename, cut and merge; nothing is loaded yet."""
    values: dict[str, Tensor] = {}
    adapters: dict[str, dict[str, Tensor]] = {}
    unused = []
    for key, value in join_query_value_bias(state).items():
        if re.fullmatch(layout.derived, key):
            continue
        names = next(filter(None, (own_keys(rule, key) for rule in layout.rules)), ())
        places = [_place(name, own) for name in names]
        pair = _LORA.fullmatch(names[0]) if names else None
        if names and None not in places:
            parts = value.chunk(len(places)) if len(places) > 1 else (value,)
            values.update(zip(cast("list[str]", places), parts, strict=True))
        elif pair is not None and f"{pair[1]}.weight" in own:
            adapters.setdefault(f"{pair[1]}.weight", {})[pair[2]] = value
        else:
            unused.append(key)
    _check_shapes(values, own)
    for name, adapter in adapters.items():
        values[name] = _merge(name, values.get(name, own[name]), adapter, layout.lora_scale)
    return _Match(values, sorted(unused), sorted(adapters))


def _merge(name: str, base: Tensor, adapter: Mapping[str, Tensor], scale: float) -> Tensor:
    """W + scale · B A, summed in float32."""
    if set(adapter) != {"A", "B"} or base.is_meta:
        raise MissingWeights(
            got=f"half an adapter of {name}"
            if not base.is_meta
            else f"an adapter of {name} without its base",
            expected="both matrices of the adapter, and the weights that they change",
            fix="Pass every file of the checkpoint, and the base model with --base (base=)",
        )
    a, b = adapter["A"].float(), adapter["B"].float()
    if a.shape[0] != b.shape[1] or (b.shape[0], a.shape[1]) != tuple(base.shape):
        raise BadInput(
            got=f"an adapter of {name} with A {tuple(a.shape)} and B {tuple(b.shape)}",
            expected=f"A (rank, {base.shape[1]}) and B ({base.shape[0]}, rank)",
            fix="Build the model at the checkpoint's scale",
        )
    return (base.float() + scale * (b @ a)).to(base.dtype)


def _check_shapes(values: Mapping[str, Tensor], own: Mapping[str, Tensor]) -> None:
    wrong = [
        f"{name} {tuple(value.shape)} for {tuple(own[name].shape)}"
        for name, value in values.items()
        if value.shape != own[name].shape
    ]
    if wrong:
        raise BadInput(
            got=f"{len(wrong)} tensors of another shape: {'; '.join(wrong[:4])}",
            expected="the shapes of this model",
            fix="Build the model at the checkpoint's scale, with its variant and vocabulary",
        )


def _report(
    match: _Match, own: Mapping[str, Tensor], name: str, covers: str, partial: bool, idle: str = r"(?!)"
) -> ImportReport:
    layout = LAYOUTS[name]
    missing = sorted(
        key
        for key in own.keys() - match.values.keys()
        if re.fullmatch(covers, key) and not re.fullmatch(idle, key)
    )
    if not match.values or (missing and not partial):
        tower = f"; its vision tower is in {layout.tower}" if layout.tower else ""
        raise MissingWeights(
            got=f"a checkpoint without {len(missing)} of {len(own)} keys: {', '.join(missing[:4])} …",
            expected=f"the whole layout {name!r} ({layout.published}{tower})",
            fix="Pass every file of the checkpoint, check the model's scale, or accept the gaps with --partial "
            "(partial=True)",
        )
    loaded = tuple(sorted(match.values))
    return ImportReport(loaded, tuple(match.unused), tuple(missing), tuple(match.merged))


def import_weights(
    model: nn.Module,
    source: Source | Sequence[Source],
    layout: str,
    *,
    partial: bool = False,
) -> ImportReport:
    """Fill a model with published weights, in the model's own precision.

    Low-rank adapters go to the model's adapters where it was prepared with some
    (`mien.models.composite.systems.prepare`), and are added to its weights where it was not: then a second import
    of the same adapter would add it twice.

    Args:
        model: an encoder for the layouts of encoders, else a `FacialLM`.
        source: see `read_checkpoint`; several are read as one.
        layout: one of `LAYOUTS`.
        partial: accept that keys are missing, as with one of several files; the report names them.

    Raises:
        BadConfig: unknown layout.
        BadInput: a tensor has another shape than its place; nothing is changed then.
        MissingWeights: keys are missing; nothing is changed then.
    """
    chosen, own = _layout(layout), model.state_dict()
    match = _match(read_checkpoint(*_sources(source)), own, chosen)
    report = _report(match, own, layout, chosen.covers, partial)
    model.load_state_dict(match.values, strict=False)
    return report


def _sources(source: Source | Sequence[Source]) -> tuple[Source, ...]:
    return (source,) if isinstance(source, str | Path | Mapping) else tuple(source)


def import_checkpoint(
    path_or_state_dict: Source | Sequence[Source],
    format: str,
    *,
    model: nn.Module | None = None,
    scale: str = "paper",
    options: Mapping[str, object] | None = None,
    base: Source | Sequence[Source] | None = None,
    partial: bool = False,
    dtype: torch.dtype | None = None,
) -> Imported:
    """A published checkpoint as a model of mien, adapters merged.

    Args:
        path_or_state_dict: see `read_checkpoint`; several are read as one, such as a checkpoint and the vision tower
            that it leaves out.
        format: one of `LAYOUTS`.
        model: a model to fill, such as EMO-LLaMA's with LLaMA-VID's weights; by default the one that the format belongs
            to is built, with the checkpoint's vocabulary.
        scale: of the model that is built.
        options: of the system's ``configure``, over those of the format.
        base: what the checkpoint comes on top of: LLaVA-1.5 and its tower for ``"emola"``.
        partial: accept keys that no source fills; they keep their first values and stand in the report.
        dtype: of the model that is built; float32 by default.

    Raises:
        BadConfig: unknown format or scale, or a base where the format has none.
        BadInput: a tensor has another shape than its place.
        MissingWeights: keys are missing, or nothing is there.
    """
    layout = _layout(format)
    if base is not None and layout.base is None:
        raise BadConfig(
            got=f"a base for format {format!r}",
            expected="none: its checkpoint is complete",
            fix="Leave base out; pass several sources to read them as one",
        )
    state = read_checkpoint(*_sources(path_or_state_dict))
    if model is not None:
        if base is not None:
            import_weights(model, base, cast(str, layout.base), partial=True)
        report = import_weights(model, cast("Mapping[str, object]", state), format, partial=partial)
        return Imported(model.eval(), report, format, scale, layout.system, dict(options or {}))
    if layout.system is None:
        return _import_encoder(state, format, scale, dtype, partial)
    return _import_system(state, format, scale, dict(options or {}), base, dtype, partial)


def _import_encoder(
    state: Mapping[str, Tensor], format: str, scale: str, dtype: torch.dtype | None, partial: bool
) -> Imported:
    build, options = _encoder(state, format, scale)
    model = build(**options)
    report = import_weights(model, cast("Mapping[str, object]", state), format, partial=partial)
    return Imported(model.to(dtype).eval() if dtype else model.eval(), report, format, scale, None, options)


def _encoder(
    state: Mapping[str, Tensor], format: str, scale: str
) -> tuple[Callable[..., nn.Module], dict[str, object]]:
    """The encoder's class and arguments, by scale and by the shapes that tell variants apart."""
    if format == "facexformer":
        return FaceXFormer, {"variant": "base" if scale == "paper" else scale}

    def shape(ending: str) -> tuple[int, ...]:
        return next((tuple(value.shape) for key, value in state.items() if key.endswith(ending)), ())

    variants = {64: "pointmlp", 32: "elite"}
    first, last = shape("embedding.net.0.weight"), shape("classifier.8.weight")
    variant = variants.get(first[0] if first else 64, "pointmlp") if scale == "paper" else scale
    return PointMLP, {"variant": variant, "classes": last[0] if last else None}


def _fit_vocabularies(config: FacialLMConfig, state: Mapping[str, Tensor]) -> None:
    """Published vocabularies differ by added tokens: the decoder's, and the Q-Former's (BERT's and ``[DEC]``)."""
    for key, value in state.items():
        if key.endswith("embed_tokens.weight"):
            cast(Any, config.text_config).vocab_size = len(value)
        elif key.endswith("bert.embeddings.word_embeddings.weight"):
            for entry in config.evidence.values():
                entry["encoder"].get("clue", {}).get("qformer", {})["vocab_size"] = len(value)


def _fit_positions(config: FacialLMConfig, state: dict[str, Tensor], layout: Layout) -> dict[str, Tensor]:
    """A tower for the pictures that the system reads, with position embeddings resampled as the released code does."""
    fitted = dict(state)
    for key, value in state.items():
        if re.fullmatch(layout.positions, key):
            entry = config.evidence["image"]
            tower, side = entry["encoder"]["config"], math.isqrt(entry["rows"])
            if value.shape[1] != entry["rows"] + 1:
                fitted[key] = resample_positions(value, side)
                tower["image_size"] = side * tower["patch_size"]
    return fitted


def _import_system(
    state: dict[str, Tensor],
    format: str,
    scale: str,
    options: dict[str, object],
    base: Source | Sequence[Source] | None,
    dtype: torch.dtype | None,
    partial: bool,
) -> Imported:
    layout = LAYOUTS[format]
    name = cast(str, layout.system)
    system = open_system(name)
    chosen = {**layout.options, **typed_options(options, options_of(system.configure, skip=1), name)}
    under: dict[str, Tensor] = {}
    if layout.base is not None:
        under = read_checkpoint(*_sources(base)) if base is not None else {}
    config = system.configure(scale, **chosen)
    _fit_vocabularies(config, {**under, **state})
    state = _fit_positions(config, state, layout)
    with torch.device("meta"):
        own: dict[str, Tensor] = FacialLM(config).state_dict()
    covers = r".*"
    if under:
        below = _match(under, own, LAYOUTS[cast(str, layout.base)])
        own = {**own, **below.values}
        above = _match(state, own, layout)
        found = _Match({**below.values, **above.values}, sorted(below.unused + above.unused), above.merged)
    else:
        found = _match(state, own, layout)
    ends = {entry["encoder"].get("layer", "final") for entry in config.evidence.values()}
    report = _report(found, own, format, covers, partial, r"(?!)" if "final" in ends else layout.idle)
    if report.missing:
        # New parts start as they would without a checkpoint.
        model = FacialLM(config).to(dtype or torch.float32)
        model.load_state_dict(found.values, strict=False)
    else:
        with quiet():
            model = FacialLM.from_pretrained(
                None,
                config=config,
                state_dict=found.values,
                dtype=dtype or torch.float32,
                trust_remote_code=False,
            )
    return Imported(model.eval(), report, format, scale, layout.system, chosen)
