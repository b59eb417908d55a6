"""Published checkpoints into mien's models: key by key, with a report of what was not used and what is missing.

A checkpoint is a path or a state dictionary in memory. Pickled files are read with ``weights_only=True`` and can run no
code.
"""

from __future__ import annotations

import pickle
import re
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from types import MappingProxyType

import torch
from safetensors import SafetensorError
from safetensors.torch import load_file
from torch import Tensor, nn

from mien.core.errors import BadConfig, BadInput, MissingWeights

__all__ = ["LAYOUTS", "ImportReport", "Layout", "import_weights", "read_checkpoint"]


@dataclass(frozen=True, slots=True)
class Layout:
    """How the keys of a published checkpoint become a model's."""

    rules: tuple[tuple[str, str], ...]
    """(expression over a whole published key, our key); the first match counts, a key without one is unused."""
    covers: str
    """Expression over our keys: those that the checkpoint has to bring."""
    published: str
    """Where the weights are found."""


@dataclass(frozen=True, slots=True)
class ImportReport:
    """What became of a checkpoint's keys; each tuple is sorted."""

    loaded: tuple[str, ...]
    """Our keys that were filled."""
    unused: tuple[str, ...]
    """Published keys that no rule takes, or that this model has no place for."""
    missing: tuple[str, ...]
    """Our keys that the checkpoint should have brought."""


_CLIP = r"(?:vision_model\.)?((?:embeddings|pre_layrnorm|encoder|post_layernorm)\..+)"
_DECODER = r"((?:embed_tokens|layers|norm)\..+)"
_PEFT = r"(?:base_model\.model\.)?(?:model\.)?"

LAYOUTS: Mapping[str, Layout] = MappingProxyType(
    {
        "pointmlp": Layout(((r"(?:module\.)?(.+)", r"\1"),), r".*", "ma-xu/pointMLP-pytorch"),
        "ulip-pointmlp": Layout(
            ((r"(?:module\.)?point_encoder\.(.+)", r"\1"),), r".*", "salesforce/ULIP, checkpoint of PointMLP"
        ),
        "llava-1.5": Layout(
            (
                (rf"model\.{_DECODER}", r"model.language_model.\1"),
                (r"lm_head\.weight", "lm_head.weight"),
                (r"model\.mm_projector\.(\d+\..+)", r"model.projectors.image.\1"),
                (rf"model\.vision_tower\.vision_tower\.{_CLIP}", r"model.encoders.image.model.\1"),
            ),
            r"(?:model\.(?:language_model|projectors\.image)|lm_head)\..+",
            "liuhaotian/llava-v1.5-7b",
        ),
        "llava-1.5-hf": Layout(
            (
                (rf"(?:language_model\.model|model\.language_model)\.{_DECODER}", r"model.language_model.\1"),
                (r"(?:language_model\.)?lm_head\.weight", "lm_head.weight"),
                (r"(?:model\.)?multi_modal_projector\.linear_1\.(.+)", r"model.projectors.image.0.\1"),
                (r"(?:model\.)?multi_modal_projector\.linear_2\.(.+)", r"model.projectors.image.2.\1"),
                (rf"(?:model\.)?vision_tower\.{_CLIP}", r"model.encoders.image.model.\1"),
            ),
            r"(?:model\.(?:language_model|projectors\.image|encoders\.image)|lm_head)\..+",
            "llava-hf/llava-1.5-7b-hf",
        ),
        "emola": Layout(
            (
                (
                    rf"{_PEFT}(?:model\.)?(layers\..+\.lora_[AB])(?:\.default)?\.weight",
                    r"model.language_model.\1.default.weight",
                ),
                (rf"{_PEFT}(?:model\.)?landmark_feature_projector\.(\d+\..+)", r"model.projectors.prior.\1"),
                (rf"{_PEFT}(?:model\.)?mm_projector\.(\d+\..+)", r"model.projectors.image.\1"),
            ),
            r"model\.(?:projectors\.prior\..+|language_model\..+\.lora_[AB]\..+)",
            "JackYFL/EmoLA: adapter, non_lora_trainables.bin and landmark_feature_projector.bin",
        ),
    }
)
"""Published layouts by name. ``emola`` adds to a model that holds LLaVA-1.5's weights and was prepared for a stage with
adapters."""

_WRAPPERS = ("state_dict", "net", "model")


def _read_file(path: Path) -> Mapping[str, object]:
    try:
        if path.suffix == ".safetensors":
            return load_file(path)
        loaded = torch.load(path, map_location="cpu", weights_only=True)
    except (SafetensorError, pickle.UnpicklingError, RuntimeError, EOFError) as error:
        raise MissingWeights(
            got=f"{path.name}, which cannot be read as plain weights ({str(error).splitlines()[0]})",
            expected="a whole .safetensors file, or a pickled one that holds tensors only",
            fix="Download it again, or convert it to .safetensors where you trust it",
        ) from error
    if not isinstance(loaded, Mapping):
        raise MissingWeights(
            got=f"{path.name}, which holds a {type(loaded).__name__}",
            expected="a dictionary of tensors",
            fix="Save the model's state_dict()",
        )
    return loaded


def read_checkpoint(source: str | Path | Mapping[str, object]) -> dict[str, Tensor]:
    """The tensors of a checkpoint, with the dictionaries of training scripts unwrapped.

    Args:
        source: a file (.safetensors, .bin, .pt, .pth), a folder with such files, or a dictionary.

    Raises:
        MissingWeights: nothing there, or nothing that can be read safely.
    """
    if isinstance(source, Mapping):
        state: dict[str, object] = dict(source)
    else:
        path = Path(source)
        suffixes = {".safetensors", ".bin", ".pt", ".pth"}
        files = sorted(path.iterdir()) if path.is_dir() else [path]
        files = [file for file in files if file.is_file() and file.suffix in suffixes]
        if not files:
            raise MissingWeights(
                got=f"{path}, where no weight file is",
                expected=f"a file or a folder with {', '.join(sorted(suffixes))}",
                fix="Download the published weights and pass their path",
            )
        state = {key: value for file in files for key, value in _read_file(file).items()}
    for wrapper in _WRAPPERS:
        inner = state.get(wrapper)
        if isinstance(inner, Mapping):
            state = dict(inner)
    return {key: value for key, value in state.items() if isinstance(value, Tensor)}


def import_weights(
    model: nn.Module,
    source: str | Path | Mapping[str, object],
    layout: str,
    *,
    partial: bool = False,
) -> ImportReport:
    """Fill a model with published weights, in the model's own precision.

    Args:
        model: an encoder for the layouts of encoders, else a `FacialLM`.
        source: see `read_checkpoint`.
        layout: one of `LAYOUTS`.
        partial: accept that keys are missing, as with one of several files; the report names them.

    Raises:
        BadConfig: unknown layout.
        BadInput: a tensor has another shape than its place; nothing is changed then.
        MissingWeights: keys are missing; nothing is changed then.
    """
    if layout not in LAYOUTS:
        raise BadConfig(
            got=f"checkpoint layout {layout!r}",
            expected=f"one of {', '.join(LAYOUTS)}",
            fix="Choose one of these",
        )
    chosen, own = LAYOUTS[layout], model.state_dict()
    renamed: dict[str, Tensor] = {}
    unused = []
    for key, value in read_checkpoint(source).items():
        matches = (
            match.expand(ours)
            for theirs, ours in chosen.rules
            if (match := re.fullmatch(theirs, key)) is not None
        )
        name = next(matches, None)
        if name is None or name not in own:
            unused.append(key)
        else:
            renamed[name] = value
    _check_shapes(renamed, own)
    missing = sorted(key for key in own.keys() - renamed.keys() if re.fullmatch(chosen.covers, key))
    if not renamed or (missing and not partial):
        raise MissingWeights(
            got=f"a checkpoint without {len(missing)} of {len(own)} keys: {', '.join(missing[:4])} …",
            expected=f"the whole layout {layout!r} ({chosen.published})",
            fix="Pass every file of the checkpoint, check the model's scale, or allow partial=True",
        )
    model.load_state_dict(renamed, strict=False)
    return ImportReport(tuple(sorted(renamed)), tuple(sorted(unused)), tuple(missing))


def _check_shapes(renamed: Mapping[str, Tensor], own: Mapping[str, Tensor]) -> None:
    wrong = [
        f"{name} {tuple(value.shape)} for {tuple(own[name].shape)}"
        for name, value in renamed.items()
        if value.shape != own[name].shape
    ]
    if wrong:
        raise BadInput(
            got=f"{len(wrong)} tensors of another shape: {'; '.join(wrong[:4])}",
            expected="the shapes of this model",
            fix="Build the model at the checkpoint's scale, with its variant and vocabulary",
        )
