"""Models from disk, whole: a weight that is absent, strange or of another shape is an error and never a new weight.

transformers fills what a file lacks with random numbers and says so in a table; an answer from such a model looks like
any other. Everything of mien that opens a model goes through here.
"""

from __future__ import annotations

import json
import os
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Annotated, Any, cast

import torch
from pydantic import BaseModel, ConfigDict, Field
from tokenizers import Tokenizer
from transformers.utils import logging

from mien.core.errors import MissingDependency, MissingWeights, reason_of, weights_of_strangers
from mien.core.objects import check_object, read_object
from mien.core.paths import write_whole
from mien.core.registry import require_trusted
from mien.models.composite.encoders import check_fields
from mien.models.composite.facial_lm import FacialLM, FacialLMConfig
from mien.models.formats.checkpoints import require_finite, require_inside

__all__ = [
    "AUTO_MAP",
    "CARD",
    "MODEL_FOLDER",
    "PROCESSOR",
    "announce",
    "model_folder",
    "open_facial",
    "open_facial_config",
    "open_front",
    "open_pretrained",
    "open_tokenizer_file",
    "quiet",
    "read_card",
]

MODEL_FOLDER = "model"
"""Of a run: what `mien.load_model` opens."""
CARD = "mien.json"
PROCESSOR = "processor_config.json"
AUTO_MAP = {"AutoProcessor": "mien_processor.FacialProcessor"}
_SHIM = """# AutoProcessor loads this with trust_remote_code=True, and needs it not after `import mien.models`.
from mien.models.composite.processor import FacialProcessor

__all__ = ["FacialProcessor"]
"""
_AGAIN = "Train or import the model again, or copy its whole folder again"
_MOST_TOKENIZER = 200_000_000


class _Calibration(BaseModel):
    temperature: Annotated[float, Field(gt=0, allow_inf_nan=False, strict=True)]
    bias: list[Annotated[float, Field(allow_inf_nan=False, strict=True)]]


class _Card(BaseModel):
    """What ``mien.json`` may say; a part that is no system's says less."""

    model_config = ConfigDict(strict=True)
    system: str | None = None
    scale: str | None = None
    options: dict[str, Any] = {}
    inputs: dict[str, Any] = {}
    generation: dict[str, Any] = {}
    task: str | None = None
    tasks: list[str] | None = None
    pad_id: Annotated[int, Field(ge=0)] = 0
    sha256: dict[str, str] = {}
    calibration: _Calibration | None = None


def announce(folder: Path) -> None:
    """Tell transformers whose processor a model's folder has.

    Without it ``AutoProcessor`` gives those who have not imported mien the bare tokenizer, and says nothing.
    """
    path = folder / PROCESSOR
    if not os.path.isfile(path):
        about = {"processor_class": "FacialProcessor", "auto_map": AUTO_MAP}
        write_whole(path, json.dumps(about, indent=2, sort_keys=True) + "\n")
    write_whole(folder / "mien_processor.py", _SHIM)


@contextmanager
def quiet() -> Iterator[None]:
    """Keep transformers' bars and notes off the terminal for a while; what matters of them is raised as an error."""
    shown, level = logging.is_progress_bar_enabled(), logging.get_verbosity()
    logging.disable_progress_bar()
    logging.set_verbosity(logging.CRITICAL)
    try:
        yield
    finally:
        logging.set_verbosity(level)
        if shown:
            logging.enable_progress_bar()


def model_folder(place: str | Path) -> str:
    """The folder of a run's model, or the place itself."""
    inner = Path(place) / MODEL_FOLDER
    return str(inner) if inner.is_dir() else str(place)


def open_pretrained(kind: Any, place: str, part: str, *, exact: bool = False, **options: Any) -> Any:
    """A pretrained model of transformers, whole.

    Args:
        kind: its class, with ``from_pretrained``.
        place: a folder or a hub id.
        part: what it is for, in words.
        exact: refuse weights that the model has no place for, too.
        options: of ``from_pretrained``.

    Raises:
        MissingWeights: there is none, it is damaged, it is not whole, or it names files of other folders.
        MissingDependency: an attention without its package.
    """
    if os.path.isdir(place):
        require_inside(Path(place))
    fix = "Download it and pass its folder; a LLaVA model goes through 'mien models import' to weights.model"
    expected = _EXPECTED.get(part, "a folder with config.json and weights, or a hub id that can be reached")
    with (
        weights_of_strangers(f"{place} for the {part}", expected, _AGAIN if part == "model" else fix),
        quiet(),
    ):
        try:
            model, report = kind.from_pretrained(
                place, output_loading_info=True, trust_remote_code=False, **options
            )
        except ImportError as error:
            raise MissingDependency(
                got=reason_of(error),
                expected=f"the package that the {part} or its attention {options.get('attn_implementation')!r} needs",
                fix="Install it, or choose attention 'sdpa'",
            ) from error
        except RuntimeError as error:
            if "ignore_mismatched_sizes" in str(error):
                raise ValueError("weights of another shape") from error
            raise
    missing = sorted(report["missing_keys"])
    strange = sorted(report["unexpected_keys"]) if exact else []
    if missing or strange:
        kinds = [f"without {len(missing)} weights of the {part}, such as {missing[0]}"] if missing else []
        kinds += [f"with {len(strange)} that it has no place for, such as {strange[0]}"] if strange else []
        raise MissingWeights(
            got=f"{place} {' and '.join(kinds)}",
            expected="all its weights and no others; new ones in their place would know nothing",
            fix=_AGAIN if exact else "Download it again, or name a model of this kind",
        )
    require_finite(model.state_dict(), place)
    return model


_EXPECTED = {
    "decoder": "a causal language model as transformers saves it: config.json and weights, or a hub id that can be "
    "reached",
    "model": "a model that mien trained or imported, with config.json and the weights that it describes",
}


def open_facial(place: str | Path, **options: Any) -> FacialLM:
    """A composite from a model's folder, from a run, or under a hub id; every weight is the file's.

    Args:
        place: the folder or the id.
        options: of ``from_pretrained``: ``dtype``, ``attn_implementation`` …

    Raises:
        MissingWeights: there is none, it is damaged, or weights are missing, unknown or of another shape.
        BadConfig: it names an encoder or a projector that mien does not have.
        MissingDependency: an attention without its package.
    """
    where = model_folder(place)
    if os.path.isdir(where):
        _require_room(Path(where), open_facial_config(Path(where)))
    return cast(FacialLM, open_pretrained(FacialLM, where, "model", exact=True, **options))


def open_front(folder: Path, **options: Any) -> FacialLM:
    """The encoders, projectors and word embeddings of a model's folder: a composite whose decoder has no layers.

    Args:
        folder: of the model.
        options: of ``from_pretrained``.

    Raises:
        MissingWeights, BadConfig: see `open_facial`.
    """
    config = open_facial_config(folder)
    decoder: Any = config.text_config
    decoder.num_hidden_layers = 0
    if getattr(decoder, "layer_types", None):
        decoder.layer_types = []
    return cast(FacialLM, open_pretrained(FacialLM, str(folder), "model", config=config, **options))


def open_facial_config(folder: Path) -> FacialLMConfig:
    """The configuration of a model's folder.

    Raises:
        MissingWeights: there is none that can be read, or it is another model's.
        BadConfig: an entry of its evidence cannot be.
    """
    path = folder / "config.json"
    fields = read_object(path, "the configuration that save_pretrained writes")
    if fields.get("model_type") != FacialLMConfig.model_type:
        raise MissingWeights(
            got=f"{path} of model type {fields.get('model_type')!r}",
            expected=f"{FacialLMConfig.model_type!r}, a model of mien",
            fix="Pass the folder that 'mien train' or 'mien models import' wrote",
        )
    check_fields(fields)  # before transformers takes out what it does not keep
    with weights_of_strangers(str(path), "the configuration that save_pretrained wrote", _AGAIN), quiet():
        return cast(FacialLMConfig, FacialLMConfig.from_pretrained(folder, trust_remote_code=False))


def _require_room(folder: Path, config: FacialLMConfig) -> None:
    """Refuse a configuration that describes far more than the files hold, before memory is taken for it."""
    held = sum(path.stat().st_size for path in folder.glob("*.safetensors") if path.is_file())
    with weights_of_strangers(str(folder / "config.json"), "what its weights are of", _AGAIN):
        with torch.device("meta"), quiet():
            wanted = sum(value.numel() for value in FacialLM(config).state_dict().values())
        if wanted > 4 * held + 1_000_000:  # weights of 4 bits, tied ones counted twice
            raise ValueError(f"it describes {wanted:,} numbers, its files hold {held:,} bytes")


def open_tokenizer_file(path: Path) -> Tokenizer:
    """A tokenizer from its ``tokenizer.json``.

    Raises:
        MissingWeights: no such file, or no tokenizer in it.
    """
    wanted = "a tokenizer.json of the tokenizers library"
    model = read_object(path, wanted, _MOST_TOKENIZER).get("model")
    if not isinstance(model, dict) or "vocab" not in model:
        raise MissingWeights(got=f"{path} without the vocabulary of a model", expected=wanted, fix=_AGAIN)
    with weights_of_strangers(str(path), wanted, _AGAIN):
        return Tokenizer.from_file(str(path))


def read_card(folder: Path) -> dict[str, Any]:
    """What ``mien.json`` says: which model, of which scale and options, and how a face becomes its inputs.

    Raises:
        MissingWeights: no such file, or it cannot be read.
        BadConfig: it names a system whose code nobody but it names.
    """
    path = folder / CARD
    card = read_object(path, "the description that 'mien train' and 'mien models import' write")
    system = check_object(_Card, card, path).system
    if system is not None:
        require_trusted(system, "mien.systems", "system")
    return card
