"""Datasets: one file per dataset, files on disk -> `Sample`. Pixels stay unread until a job asks for them."""

from __future__ import annotations

from typing import TYPE_CHECKING

from mien.core.registry import find

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
    "emonet_face",
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
    """The dataset called ``name``: of `DATASETS`, of an entry point ``mien.datasets``, or ``module:NAME``."""
    from mien.data.dataset import Dataset

    places = {own: f"mien.data.{own}:DATASET" for own in DATASETS}
    dataset: Dataset = find(name, places, "mien.datasets", "dataset", Dataset)
    return dataset
