"""Datasets: one file per dataset, files on disk -> `Sample`. Pixels stay unread until a job asks for them."""

from __future__ import annotations

from importlib import import_module
from typing import TYPE_CHECKING

from mien.core.errors import BadConfig

if TYPE_CHECKING:
    from mien.data.dataset import Dataset

__all__ = ["DATASETS", "open_dataset"]

DATASETS: tuple[str, ...] = (
    "affectnet",
    "bp4d",
    "casme2",
    "cmma",
    "dfew",
    "disfa",
    "emotionet",
    "expllm",
    "expw",
    "faba_instruct",
    "feafa",
    "ferplus",
    "ferv39k",
    "folder",
    "genki4k",
    "gft",
    "hf_dataset",
    "lfw_emotion",
    "london",
    "mafw",
    "manifest",
    "meld",
    "mer2023",
    "rafdb",
)
"""Names of all datasets; ``name`` is in ``mien.data.<name>``."""


def open_dataset(name: str) -> Dataset:
    """The dataset called ``name``.

    Raises:
        BadConfig: no such dataset.
    """
    if name not in DATASETS:
        raise BadConfig(
            got=f"dataset {name!r}", expected=f"one of {', '.join(DATASETS)}", fix="See `mien data list`"
        )
    dataset: Dataset = import_module(f"mien.data.{name}").DATASET
    return dataset
