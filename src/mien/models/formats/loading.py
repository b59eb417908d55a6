"""Models from disk, whole: a weight that is absent, strange or of another shape is an error and never a new weight.

transformers fills what a file lacks with random numbers and says so in a table; an answer from such a model looks like
any other. Everything of mien that opens a model goes through here.
"""

from __future__ import annotations

import json
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any, cast

import torch
from huggingface_hub.errors import StrictDataclassError
from safetensors import SafetensorError
from tokenizers import Tokenizer
from transformers.utils import logging

from mien.core.errors import MienError, MissingDependency, MissingWeights
from mien.core.paths import write_whole
from mien.models.composite.facial_lm import FacialLM, FacialLMConfig

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
_UNREADABLE = (OSError, ValueError, TypeError, KeyError, AttributeError, RuntimeError, StrictDataclassError)
"""What transformers raises over a configuration or weights that are not as they should be."""


def announce(folder: Path) -> None:
    """Tell transformers whose processor a model's folder has.

    Without it ``AutoProcessor`` gives those who have not imported mien the bare tokenizer, and says nothing.
    """
    path = folder / PROCESSOR
    if not path.is_file():
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
        MissingWeights: there is none, it is damaged, or it is not whole.
        MissingDependency: an attention without its package.
    """
    try:
        with quiet():
            model, report = kind.from_pretrained(place, output_loading_info=True, **options)
    except ImportError as error:
        raise MissingDependency(
            got=str(error).splitlines()[0],
            expected=f"the package that the {part} or its attention {options.get('attn_implementation')!r} needs",
            fix="Install it, or choose attention 'sdpa'",
        ) from error
    except (*_UNREADABLE, SafetensorError) as error:
        # torch.OutOfMemoryError is a RuntimeError, and says better what to do.
        if isinstance(error, torch.OutOfMemoryError):
            raise
        raise MissingWeights(
            got=f"{place} for the {part}, which transformers cannot open ({_reason(error)})",
            expected=_EXPECTED.get(
                part, "a folder with config.json and weights, or a hub id that can be reached"
            ),
            fix="Download it and pass its folder; a LLaVA model goes through 'mien models import' to weights.model"
            if part != "model"
            else _AGAIN,
        ) from error
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
    return model


_EXPECTED = {
    "decoder": "a causal language model as transformers saves it: config.json and weights, or a hub id that can be "
    "reached",
    "model": "a model that mien trained or imported, with config.json and the weights that it describes",
}


def _reason(error: BaseException) -> str:
    text = (str(error).strip() or type(error).__name__).splitlines()[0]
    return "weights of another shape" if "ignore_mismatched_sizes" in text else text


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
    if Path(where).is_dir():
        open_facial_config(Path(where))
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
    config.text_config.num_hidden_layers = 0
    if getattr(config.text_config, "layer_types", None):
        config.text_config.layer_types = []
    return cast(FacialLM, open_pretrained(FacialLM, str(folder), "model", config=config, **options))


def open_facial_config(folder: Path) -> FacialLMConfig:
    """The configuration of a model's folder.

    Raises:
        MissingWeights: there is none that can be read, or it is another model's.
        BadConfig: an entry of its evidence cannot be.
    """
    path = folder / "config.json"
    fields = _read_json(path, "the configuration that save_pretrained writes")
    if fields.get("model_type") != FacialLMConfig.model_type:
        raise MissingWeights(
            got=f"{path} of model type {fields.get('model_type')!r}",
            expected=f"{FacialLMConfig.model_type!r}, a model of mien",
            fix="Pass the folder that 'mien train' or 'mien models import' wrote",
        )
    try:
        with quiet():
            return cast(FacialLMConfig, FacialLMConfig.from_pretrained(folder))
    except MienError:
        raise
    except _UNREADABLE as error:
        raise MissingWeights(
            got=f"{path}, which cannot be ({_reason(error)})",
            expected="the configuration that save_pretrained wrote",
            fix=_AGAIN,
        ) from error


def open_tokenizer_file(path: Path) -> Tokenizer:
    """A tokenizer from its ``tokenizer.json``.

    Raises:
        MissingWeights: no such file, or no tokenizer in it.
    """
    model = _read_json(path, "a tokenizer of the tokenizers library").get("model")
    # The library itself raises nothing narrower than Exception.
    if not isinstance(model, dict) or "vocab" not in model:
        raise MissingWeights(
            got=f"{path} without the vocabulary of a model",
            expected="a tokenizer.json of the tokenizers library",
            fix=_AGAIN,
        )
    return Tokenizer.from_file(str(path))


def read_card(folder: Path) -> dict[str, Any]:
    """What ``mien.json`` says: which model, of which scale and options, and how a face becomes its inputs.

    Raises:
        MissingWeights: no such file, or it cannot be read.
    """
    return _read_json(folder / CARD, "the description that 'mien train' and 'mien models import' write")


def _read_json(path: Path, expected: str) -> dict[str, Any]:
    try:
        found = json.loads(path.read_text(encoding="utf-8"))
    except (OSError, ValueError) as error:
        why = "which is not there" if isinstance(error, FileNotFoundError) else f"which is no JSON ({error})"
        raise MissingWeights(got=f"{path}, {why}", expected=expected, fix=_AGAIN) from error
    if not isinstance(found, dict):
        raise MissingWeights(
            got=f"{path} with a {type(found).__name__}", expected=f"{expected}: an object", fix=_AGAIN
        )
    return found
