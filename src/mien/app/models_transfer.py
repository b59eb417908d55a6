"""``mien models import`` and ``mien models export``: published checkpoints in, complete models or adapters out.

Folders are those that `mien train` writes: ``config.json``, ``model.safetensors``, ``tokenizer.json``, ``mien.json``.
This module is imported with the command line itself, so it imports nothing heavy before a command runs.
"""

from __future__ import annotations

import json
import shutil
from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from mien.core.errors import BadConfig, MissingWeights, OutputFailed, require, require_known

if TYPE_CHECKING:
    from torch import nn

    from mien.models.importers import Imported

__all__ = ["add_transfer", "run_export", "run_import"]

DTYPES = ("float32", "bfloat16", "float16")
_ABOUT, _TOKENIZER, _WEIGHTS = "mien.json", "tokenizer.json", "model.safetensors"
_TOKENIZERS = "llava-hf/llava-1.5-7b-hf"
"""Where Vicuna's tokenizer is published as ``tokenizer.json``; most checkpoints hold ``tokenizer.model`` only."""

OutOption = Annotated[Path, typer.Option("--out", "-o", help="Folder of the result; created.")]
DtypeOption = Annotated[str, typer.Option(help=f"Precision of the weights: {', '.join(DTYPES)}.")]


def add_transfer(models_app: typer.Typer) -> None:
    """Give ``mien models`` its commands ``import`` and ``export``."""
    models_app.command("import")(_import)
    models_app.command("export")(_export)


def _import(
    source: Annotated[
        list[Path],
        typer.Argument(
            help="Checkpoint: a folder or file, or several that belong together.", show_default=False
        ),
    ],
    format: Annotated[
        str,
        typer.Option(
            "--format",
            "-f",
            help="pointmlp, ulip-pointmlp, llava-1.5, llava-1.5-hf, emola, expllm, llama-vid or facexformer.",
            show_default=False,
        ),
    ],
    out: OutOption,
    base: Annotated[
        list[Path] | None, typer.Option(help="What the checkpoint comes on top of: LLaVA-1.5 for emola.")
    ] = None,
    scale: Annotated[str, typer.Option(help="Scale of the model: paper, small or tiny.")] = "paper",
    dtype: DtypeOption = "bfloat16",
    tokenizer: Annotated[
        Path | None, typer.Option(help="tokenizer.json, where the checkpoint has none.")
    ] = None,
    partial: Annotated[bool, typer.Option("--partial", help="Accept weights that no source brings.")] = False,
) -> None:
    """Turn a published checkpoint into a model folder of mien; adapters are merged."""
    for line in run_import(source, format, out, base or [], scale, dtype, tokenizer, partial):
        typer.echo(line)


def _export(
    model: Annotated[
        Path, typer.Argument(help="Model folder; with --adapter-only, an adapter's.", show_default=False)
    ],
    out: OutOption,
    adapter: Annotated[
        Path | None, typer.Option(help="Adapter folder of a training stage, to be merged into the model.")
    ] = None,
    adapter_only: Annotated[
        bool, typer.Option("--adapter-only", help="Write the decoder's adapter as PEFT and vLLM read it.")
    ] = False,
    dtype: DtypeOption = "float32",
) -> None:
    """Write a complete model, with an adapter merged, or an adapter alone."""
    for line in run_export(model, out, adapter, adapter_only, dtype):
        typer.echo(line)


def _dtype(name: str) -> Any:
    torch = require("torch", extra="train", purpose="model weights")
    require("transformers", extra="train", purpose="models")
    require_known(name, DTYPES, "precision")
    return getattr(torch, name)


def _fresh(out: Path) -> Path:
    """The folder, made where needed, with no model in it.

    Raises:
        OutputFailed: it holds a model, or cannot be made.
    """
    if (out / _ABOUT).exists() or (out / _WEIGHTS).exists():
        raise OutputFailed(
            got=f"{out}, which holds a model", expected="a new folder", fix="Choose another --out"
        )
    try:
        out.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise OutputFailed(
            got=f"{out} ({error})", expected="a folder that can be made", fix="Choose another --out"
        ) from error
    return out


def run_import(
    source: list[Path],
    format: str,
    out: Path,
    base: list[Path] | None = None,
    scale: str = "paper",
    dtype: str = "bfloat16",
    tokenizer: Path | None = None,
    partial: bool = False,
) -> list[str]:
    """Import and write; the lines to print: what was loaded, merged, unused and missing.

    Raises:
        BadConfig: unknown format, scale or precision.
        BadInput: a tensor has another shape than its place.
        MissingWeights: keys or files are missing.
        OutputFailed: the folder holds a model, or cannot be made.
    """
    precision = _dtype(dtype)
    from mien.models.importers import import_checkpoint

    if tokenizer is not None and not tokenizer.is_file():
        raise MissingWeights(
            got=f"no file {tokenizer}", expected="tokenizer.json", fix=f"Take the one of {_TOKENIZERS}"
        )
    done = import_checkpoint(
        source, format=format, scale=scale, base=base or None, partial=partial, dtype=precision
    )
    _write(done.model, _fresh(out), _about(done))
    lines = _told(done, out)
    found = tokenizer or next((one for one in (path / _TOKENIZER for path in source) if one.is_file()), None)
    if done.system is not None:
        if found is not None:
            shutil.copyfile(found, out / _TOKENIZER)
        else:
            lines.append(
                f"no {_TOKENIZER} in the checkpoint: put the one of {_TOKENIZERS} into {out} to ask this model"
            )
    return lines


def _about(done: Imported) -> dict[str, object]:
    about: dict[str, object] = {
        "format": 1, "scale": done.scale, "options": dict(done.options), "imported": done.format,
    }  # fmt: skip
    if done.system is None:
        return {**about, "encoder": type(done.model).__name__}
    evidence: Mapping[str, Any] = done.model.config.evidence  # type: ignore[union-attr,assignment]
    encoder = evidence["image"]["encoder"]
    tower = encoder.get("config") or encoder.get("tower")
    side = 224 if tower["model_type"] == "dinov2" and done.scale == "paper" else tower["image_size"]
    return {**about, "system": done.system, "inputs": {"crop_size": side, "image_size": side}, "pad_id": 0}


def _write(model: nn.Module, out: Path, about: Mapping[str, object]) -> None:
    from safetensors.torch import save_file
    from transformers import PreTrainedModel

    if isinstance(model, PreTrainedModel):
        model.save_pretrained(out)
    else:
        state = {key: value.contiguous() for key, value in model.state_dict().items()}
        save_file(state, out / _WEIGHTS)
    text = json.dumps(about, indent=2, sort_keys=True)
    (out / _ABOUT).write_text(text + "\n", encoding="utf-8")


def _told(done: Imported, out: Path) -> list[str]:
    report = done.report
    lines = [f"{len(report.loaded)} weights into {out} ({done.format}, scale {done.scale})"]
    if report.merged:
        lines.append(f"{len(report.merged)} adapters merged")
    for word, keys in (("unused", report.unused), ("missing", report.missing)):
        if keys:
            more = f" and {len(keys) - 8} more" if len(keys) > 8 else ""
            lines.append(f"{len(keys)} {word}: {', '.join(keys[:8])}{more}")
    return lines


def run_export(
    model: Path,
    out: Path,
    adapter: Path | None = None,
    adapter_only: bool = False,
    dtype: str = "float32",
) -> list[str]:
    """Write a complete model or an adapter; the lines to print.

    Args:
        model: a model folder; with ``adapter_only`` a folder of `mien.models.adapters.save_adapters`.
        out: a new folder.
        adapter: such an adapter folder, merged into the model.
        adapter_only: write the decoder's adapter in PEFT's layout (for the decoder alone, as vLLM's ``--enable-lora``
            wants it), and what else was trained in ``trained.safetensors``.
        dtype: one of `DTYPES`.

    Raises:
        BadConfig: unknown precision, or an adapter to merge with ``adapter_only``.
        MissingWeights: a folder that is no model or no adapter.
        OutputFailed: the folder holds a model, or cannot be made.
    """
    precision = _dtype(dtype)
    if adapter_only:
        if adapter is not None:
            raise BadConfig(
                got="--adapter with --adapter-only",
                expected="one of them",
                fix="Pass the adapter's folder as MODEL",
            )
        from mien.models.adapters_peft import export_peft

        names = export_peft(model, _fresh(out), precision)
        return [f"{len(names)} tensors into {out} (PEFT)"]
    from mien.models.adapters import load_adapters, merge_adapters
    from mien.models.facial_lm import FacialLM

    absent = [name for name in ("config.json", _ABOUT) if not (model / name).is_file()]
    if absent:
        raise MissingWeights(
            got=f"{model} without {', '.join(absent)}",
            expected="a model folder of mien train or mien models import",
            fix="Pass such a folder; a run holds it as RUN/model",
        )
    about = json.loads((model / _ABOUT).read_text(encoding="utf-8"))
    loaded = FacialLM.from_pretrained(model)
    lines = []
    if adapter is not None:
        load_adapters(loaded, adapter)
        lines.append(f"{merge_adapters(loaded)} adapters merged")
    _write(loaded.to(precision), _fresh(out), about)
    if (model / _TOKENIZER).is_file():
        shutil.copyfile(model / _TOKENIZER, out / _TOKENIZER)
    return [*lines, f"model in {out} ({dtype})"]
