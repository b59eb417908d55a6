"""``mien models import`` and ``mien models export``: published checkpoints in, complete models or adapters out.

Folders are those that `mien train` writes: ``config.json``, ``model.safetensors``, ``tokenizer.json``, ``mien.json``.
This module is imported with the command line itself, so it imports nothing heavy before a command runs.
"""

from __future__ import annotations

import json
import shutil
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from mien.app.terminal import say
from mien.core.errors import BadConfig, MienError, MissingWeights, OutputFailed, require, require_known
from mien.core.options import split_options
from mien.core.paths import write_whole

if TYPE_CHECKING:
    from torch import nn

    from mien.models.formats.importers import Imported

__all__ = ["add_transfer", "run_export", "run_import"]

DTYPES = ("float32", "bfloat16", "float16")
PRIORS = ("insightface", "insightface-emola")
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
    scale: Annotated[str, typer.Option(help="Scale of the model: paper, base, small or tiny.")] = "paper",
    dtype: Annotated[
        str | None,
        typer.Option(help=f"{', '.join(DTYPES)}; by default bfloat16, of a single encoder float32."),
    ] = None,
    tokenizer: Annotated[
        Path | None, typer.Option(help="tokenizer.json, where the checkpoint has none.")
    ] = None,
    partial: Annotated[bool, typer.Option("--partial", help="Accept weights that no source brings.")] = False,
    expert: Annotated[
        list[Path] | None,
        typer.Option(
            help="Outside net that the system reads; repeat it: InsightFace's 2d106det.onnx (emola), FaceXFormer's "
            "model.pt (EMO-LLaMA), bert-base-uncased's tokenizer.json (llama-vid)."
        ),
    ] = None,
    prior: Annotated[
        str,
        typer.Option(help="How emola's prior net is fed: insightface, or insightface-emola as its code did."),
    ] = "insightface",
    option: Annotated[
        list[str] | None,
        typer.Option(
            help="Option of the system, NAME=VALUE; repeat it: layout=after makes place for EmoLA's prior (llava-1.5)."
        ),
    ] = None,
) -> None:
    """Turn a published checkpoint into a model folder of mien; adapters are merged."""
    lines = run_import(
        source, format, out, base or [], scale, dtype, tokenizer, partial,
        experts=expert or [], prior=prior, options=split_options(option or ()),
    )  # fmt: skip
    for line in lines:
        say(line)


def _export(
    model: Annotated[
        Path,
        typer.Argument(help="Model folder or run; with --adapter-only, an adapter's.", show_default=False),
    ],
    out: OutOption,
    adapter: Annotated[
        Path | None, typer.Option(help="Adapter folder of a training stage, to be merged into the model.")
    ] = None,
    adapter_only: Annotated[
        bool, typer.Option("--adapter-only", help="Write the decoder's adapter as PEFT and vLLM read it.")
    ] = False,
    decoder_only: Annotated[
        bool, typer.Option("--decoder-only", help="Write the decoder alone, as a vLLM server loads it.")
    ] = False,
    dtype: DtypeOption = "float32",
) -> None:
    """Write a complete model, with an adapter merged, or an adapter or the decoder alone."""
    for line in run_export(model, out, adapter, adapter_only, dtype, decoder_only):
        say(line)


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


@contextmanager
def _new_folder(out: Path) -> Iterator[None]:
    """The folder of `_fresh`; what fails in it takes it away again, unless there was one before."""
    before = out.exists()
    _fresh(out)
    try:
        yield
    except (MienError, OSError, KeyboardInterrupt):
        if not before:
            shutil.rmtree(out, ignore_errors=True)
        raise


def _one_stage(folder: Path) -> Path:
    """The only adapters of a run, or the folder of one stage.

    Raises:
        BadConfig: a run with several.
    """
    from mien.models.composite.adapters import adapter_folders

    found = adapter_folders(folder)
    if len(found) > 1:
        raise BadConfig(
            got=f"{folder} with the adapters of {len(found)} stages",
            expected="those of one, as PEFT reads one set",
            fix=f"Pass one of {', '.join(map(str, found))}",
        )
    return found[0]


def run_import(
    source: list[Path],
    format: str,
    out: Path,
    base: list[Path] | None = None,
    scale: str = "paper",
    dtype: str | None = None,
    tokenizer: Path | None = None,
    partial: bool = False,
    *,
    experts: Sequence[Path] = (),
    prior: str = "insightface",
    options: Mapping[str, object] | None = None,
) -> list[str]:
    """Import and write; the lines to print: what was loaded, merged, unused and missing, outside nets included.

    Args:
        source: checkpoint files or folders that belong together.
        format: one of `mien.models.formats.layouts.LAYOUTS`.
        out: a new folder.
        base: what the checkpoint comes on top of.
        scale: of the model.
        dtype: one of `DTYPES`; by default bfloat16, of a single encoder, whose file is small, float32.
        tokenizer: ``tokenizer.json``, where the checkpoint has none.
        partial: accept weights that no source brings.
        experts: files of `mien.models.composite.experts.EXPERTS`, told apart by their endings.
        prior: how EmoLA's prior net is fed; see `mien.models.composite.evidence_inputs.Inputs`.
        options: of the system's ``configure``, over those of the format.

    Raises:
        BadConfig: unknown format, scale, precision or prior; an expert of an unknown kind.
        BadInput: a tensor has another shape than its place.
        MissingWeights: keys or files are missing.
        OutputFailed: the folder holds a model, or cannot be made.
    """
    precision = _dtype(dtype or "float32")
    from mien.models.composite.experts import EXPERTS_FOLDER, name_experts, write_experts
    from mien.models.formats.importers import LAYOUTS, import_checkpoint
    from mien.models.formats.model_folders import seal

    require_known(format, LAYOUTS, "checkpoint layout")
    if dtype is None and LAYOUTS[format].system is not None:
        precision = _dtype("bfloat16")
    require_known(prior, PRIORS, "prior")
    brought = name_experts(experts)
    if tokenizer is not None and not tokenizer.is_file():
        raise MissingWeights(
            got=f"no file {tokenizer}", expected="tokenizer.json", fix=f"Take the one of {_TOKENIZERS}"
        )
    done = import_checkpoint(
        source,
        format=format,
        scale=scale,
        base=base or None,
        partial=partial,
        dtype=precision,
        options=options,
    )
    if brought and done.system is None:
        raise BadConfig(
            got=f"--expert with format {format!r}, a single encoder",
            expected="a system that reads outside nets: emola or llama-vid",
            fix="Leave --expert out",
        )
    about = _about(done, prior)
    _write(done.model, _fresh(out), about)
    lines = _told(done, out)
    if done.system is not None:
        write_experts(brought, out / EXPERTS_FOLDER)
        lines += [*_tokenizer_into(out, tokenizer, source), *_experts_told(done, about, out)]
    seal(out)
    return lines


def _tokenizer_into(out: Path, tokenizer: Path | None, source: Sequence[Path]) -> list[str]:
    found = tokenizer or next((one for one in (path / _TOKENIZER for path in source) if one.is_file()), None)
    if found is None:
        return [
            f"no {_TOKENIZER} in the checkpoint: put the one of {_TOKENIZERS} into {out} to ask this model"
        ]
    shutil.copyfile(found, out / _TOKENIZER)
    return []


def _experts_told(done: Imported, about: Mapping[str, Any], out: Path) -> list[str]:
    """What lies in the folder of outside nets, and what the model cannot be opened without."""
    from mien.models.composite.evidence_inputs import Inputs, needed_experts
    from mien.models.composite.experts import EXPERTS

    config: Any = done.model.config
    inputs = Inputs.of_card(about, out)
    needed = needed_experts(config, inputs)
    lines = []
    for name, one in EXPERTS.items():
        place = Path(inputs.experts) / one.file
        if place.is_file():
            how = f", fed as {inputs.prior}" if name == "landmarks" else ""
            lines.append(f"{one.file}: {one.purpose}{how if name in needed else ', not read by this model'}")
        elif name in needed:
            lines.append(
                f"missing {one.file}, {one.purpose}: mien does not open this model without it; it is published "
                f"{one.published}: import again with --expert FILE, or put it there as {place}"
            )
    return lines


def _about(done: Imported, prior: str) -> dict[str, Any]:
    from mien.models.composite.evidence_inputs import published_inputs

    about: dict[str, Any] = {
        "format": 1, "scale": done.scale, "options": dict(done.options), "imported": done.format,
    }  # fmt: skip
    if done.system is None:
        return {**about, "encoder": type(done.model).__name__}
    config: Any = done.model.config
    encoder = config.evidence["image"]["encoder"]
    tower = encoder.get("config") or encoder.get("tower")
    side = 224 if tower["model_type"] == "dinov2" and done.scale == "paper" else tower["image_size"]
    nets = published_inputs(done.system, config)
    if "prior" in nets:
        nets["prior"] = prior
    inputs = {"crop_size": side, "image_size": side, **nets}
    return {**about, "system": done.system, "inputs": inputs, "pad_id": 0}


def _write(model: nn.Module, out: Path, about: Mapping[str, object]) -> None:
    from safetensors.torch import save_file
    from transformers import PreTrainedModel

    from mien.models.formats.loading import quiet

    if isinstance(model, PreTrainedModel):
        with quiet():
            model.save_pretrained(out)
    else:
        state = {key: value.contiguous() for key, value in model.state_dict().items()}
        save_file(state, out / _WEIGHTS)
    text = json.dumps(about, indent=2, sort_keys=True)
    write_whole(out / _ABOUT, text + "\n")


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
    decoder_only: bool = False,
) -> list[str]:
    """Write a complete model or an adapter; the lines to print.

    Args:
        model: a model folder or a run; with ``adapter_only`` a folder of
        `mien.models.composite.adapters.save_adapters`.
        out: a new folder.
        adapter: such an adapter folder, merged into the model; of ``RUN/adapters`` every stage's, in order.
        adapter_only: write the decoder's adapter in PEFT's layout (for the decoder alone, as vLLM's ``--enable-lora``
            wants it), and in its folder ``composite`` all that was trained, for the whole model.
        dtype: one of `DTYPES`.
        decoder_only: write the decoder as a language model of its own, with the tokenizer.

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
        from mien.models.formats.adapters_peft import export_peft

        with _new_folder(out):
            names = export_peft(_one_stage(model), out, precision)
        return [f"{len(names)} tensors into {out} (PEFT)"]
    from mien.models.composite.adapters import adapter_folders, load_adapters, merge_adapters
    from mien.models.composite.experts import EXPERTS_FOLDER
    from mien.models.formats.decoder_export import export_decoder
    from mien.models.formats.loading import model_folder, open_facial, open_tokenizer_file, read_card
    from mien.models.formats.model_folders import seal

    model = Path(model_folder(model))
    absent = [name for name in ("config.json", _ABOUT) if not (model / name).is_file()]
    if absent:
        raise MissingWeights(
            got=f"{model} without {', '.join(absent)}",
            expected="a model folder of mien train or mien models import",
            fix="Pass such a folder, or a run, which holds it as RUN/model",
        )
    about, loaded = read_card(model), open_facial(model)
    lines = []
    if adapter is not None:
        _check_base(model, adapter)
        merged = 0
        for stage in adapter_folders(adapter):
            load_adapters(loaded, stage)
            merged += merge_adapters(loaded)
        lines.append(f"{merged} adapters merged")
    with _new_folder(out):
        if decoder_only:
            export_decoder(loaded.to(precision), open_tokenizer_file(model / _TOKENIZER), out)
            return [*lines, f"decoder in {out} ({dtype}): vllm serve {out} --enable-prompt-embeds"]
        _write(loaded.to(precision), out, about)
        if (model / _TOKENIZER).is_file():
            shutil.copyfile(model / _TOKENIZER, out / _TOKENIZER)
        if (model / EXPERTS_FOLDER).is_dir():
            shutil.copytree(model / EXPERTS_FOLDER, out / EXPERTS_FOLDER)
        seal(out)
    return [*lines, f"model in {out} ({dtype})"]


def _check_base(model: Path, adapter: Path) -> None:
    """Refuse to merge a run's adapters into the model that they are merged into already.

    Raises:
        BadConfig: the adapter is of the same run.
    """
    run = model.resolve().parent
    if (run / "run.json").is_file() and adapter.resolve().is_relative_to(run):
        raise BadConfig(
            got=f"adapters of {run}, whose model holds them already",
            expected="the model that they were trained on",
            fix="Leave --adapter out, or pass the base model",
        )
