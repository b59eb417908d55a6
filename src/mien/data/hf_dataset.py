"""A Hugging Face ``datasets`` copy on disk (``save_to_disk``), read with pyarrow alone.

On disk: ``dataset_dict.json`` (``{"splits": ["train", "test"]}``) and a folder per split, or one split at the root
(then ``all``); in it ``state.json`` (``{"_data_files": [{"filename": "data-00000-of-00001.arrow"}], …}``),
``dataset_info.json`` (``{"features": {"image": {"_type": "Image"}, "label": {"names": ["angry", …], "_type":
"ClassLabel"}}}``) and Arrow stream files.

Columns: the first ``Image`` feature, else ``image``, ``media``, ``file`` or ``path``; the first ``ClassLabel`` feature,
else ``label`` or ``emotion``; ``subject`` and ``id`` where they exist. Class names may be any spelling of the eight or
words of your own. Media: the picture's own path where there is one, else ``data-….arrow!row``.
"""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

from mien.core.emotions import canonical
from mien.core.errors import require
from mien.core.nouns import Labels, Sample
from mien.data.dataset import Dataset, Groups
from mien.data.problems import Entry, Found, Problem

__all__ = ["DATASET", "check", "read", "scan"]


def _groups(root: Path) -> Groups:
    listed = _json(root, "dataset_dict.json")
    splits = listed.get("splits") if isinstance(listed, dict) else None
    return (tuple(map(str, splits)),) if splits else (("all",),)


def scan(split: str, root: Path) -> Iterator[Found]:
    """Samples and problems of one split.

    Raises:
        MissingDependency: pyarrow is not installed.
    """
    base = "" if split == "all" and not (root / "all").is_dir() else f"{split}/"
    state, info = _json(root, f"{base}state.json"), _json(root, f"{base}dataset_info.json")
    faults = [one for one in (state, info) if isinstance(one, Problem)]
    if isinstance(state, Problem) or isinstance(info, Problem):
        yield from faults
        return
    features = info.get("features") or {}
    image = _column(features, "Image", ("image", "media", "file", "path"))
    label = _column(features, "ClassLabel", ("label", "emotion"))
    if image is None:
        yield Problem(f"{base}dataset_info.json", 0, f"no picture among the features {', '.join(features)}")
        return
    words = features.get(label, {}).get("names") if label else None
    row = 0
    for entry in state.get("_data_files", []):
        name = base + entry["filename"]
        for values in _rows(root, name, [c for c in (image, label or "", "subject", "id") if c in features]):
            if isinstance(values, Problem):
                yield values
                continue
            row += 1
            labels = _labels(values.get(label) if label else None, words)
            if isinstance(labels, str):
                yield Problem(name, row, labels)
                continue
            key = str(values["id"]) if values.get("id") is not None else f"{split}/{row - 1}"
            media = _media(values[image], root, name, row - 1)
            subject = str(values["subject"]) if values.get("subject") is not None else None
            yield Entry(Sample(key, "hf_dataset", split, media, labels, subject), name, row)


def _json(root: Path, name: str) -> dict[str, Any] | Problem:
    try:
        content = json.loads((root / name).read_text(encoding="utf-8"))
    except (OSError, ValueError) as error:
        return Problem(name, 0, f"cannot be read: {error}")
    return content if isinstance(content, dict) else Problem(name, 1, "no JSON object")


def _column(features: Mapping[str, Any], kind: str, names: tuple[str, ...]) -> str | None:
    typed = (
        name
        for name, feature in features.items()
        if isinstance(feature, dict) and feature.get("_type") == kind
    )
    return next(typed, None) or next((name for name in names if name in features), None)


def _rows(root: Path, name: str, columns: list[str]) -> Iterator[dict[str, Any] | Problem]:
    arrow = require("pyarrow", extra="parquet", purpose="Hugging Face datasets")
    try:
        with arrow.memory_map(str(root / name)) as source:
            for batch in arrow.ipc.open_stream(source):
                # Encoded pictures stay on disk: only their paths are taken.
                plain = {c: _without_bytes(batch.column(c)) for c in columns}
                for index in range(batch.num_rows):
                    yield {column: values[index] for column, values in plain.items()}
    except (OSError, KeyError, arrow.ArrowInvalid) as error:
        yield Problem(name, 0, f"no readable Arrow file: {str(error).splitlines()[0]}")


def _without_bytes(column: Any) -> list[Any]:
    names = {field.name for field in column.type} if str(column.type).startswith("struct") else set()
    values: list[Any] = (column.field("path") if "path" in names else column).to_pylist()
    return values


def _media(value: Any, root: Path, name: str, row: int) -> str:
    if isinstance(value, str) and value and (root / value).exists():
        return str(root / value)
    return f"{root / name}!{row}"


def _labels(value: Any, words: list[str] | None) -> Labels | str:
    if value is None:
        return Labels()
    if words is not None:
        if not isinstance(value, int) or not 0 <= value < len(words):
            return f"label {value!r}, expected 0..{len(words) - 1}"
        value = words[value]
    return Labels(emotion=canonical(str(value)) or str(value))


DATASET = Dataset("hf_dataset", "a Hugging Face dataset saved to disk", scan, _groups, subjects_apart=True)
read, check = DATASET.read, DATASET.check
