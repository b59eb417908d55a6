"""A Hugging Face ``datasets`` copy on disk (``save_to_disk``), read with pyarrow alone.

On disk: ``dataset_dict.json`` (``{"splits": ["train", "test"]}``) and a folder per split, or one split at the root
(then ``all``); in it ``state.json`` (``{"_data_files": [{"filename": "data-00000-of-00001.arrow"}], …}``),
``dataset_info.json`` (``{"features": {"image": {"_type": "Image"}, "label": {"names": ["angry", …], "_type":
"ClassLabel"}}}``) and Arrow stream files.

Columns: the first ``Image`` feature, else ``image``, ``media``, ``file`` or ``path``; the first ``ClassLabel`` feature,
else ``label`` or ``emotion``; ``subject`` and ``id`` where they exist. Class names may be any spelling of the eight or
words of your own. Media: ``data-….arrow!row`` where the picture's bytes are stored, else its own path.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

from mien.core.emotions import canonical
from mien.core.errors import reason_of, require
from mien.core.nouns import Labels, Sample
from mien.core.objects import read_json
from mien.data.dataset import Dataset, Groups
from mien.data.problems import Entry, Found, Problem

__all__ = ["DATASET", "check", "read", "scan"]


def _groups(root: Path) -> Groups:
    listed = _json(root, "dataset_dict.json")
    splits = listed.get("splits") if isinstance(listed, dict) else None
    return (tuple(map(str, splits)),) if splits else (("all",),)


def scan(split: str, root: Path) -> Iterator[Found]:
    """Samples and problems of one split."""
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
    total = 0
    for entry in state.get("_data_files", []):
        name, row = base + entry["filename"], 0
        for values in _rows(root, name, [c for c in (image, label or "", "subject", "id") if c in features]):
            if isinstance(values, Problem):
                yield values
                continue
            row, total = row + 1, total + 1
            labels = _labels(values.get(label) if label else None, words)
            if isinstance(labels, str):
                yield Problem(name, row, labels)
                continue
            key = str(values["id"]) if values.get("id") is not None else f"{split}/{total - 1}"
            media = _media(values[image], root, name, row - 1)
            if media is None:
                yield Problem(name, row, f"no picture: neither its bytes nor a file {values[image][1]!r}")
                continue
            subject = str(values["subject"]) if values.get("subject") is not None else None
            yield Entry(Sample(key, "hf_dataset", split, media, labels, subject), name, row)


def _json(root: Path, name: str) -> dict[str, Any] | Problem:
    try:
        content = read_json((root / name).read_text(encoding="utf-8"))
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
                image, *others = columns
                plain = {c: batch.column(c).to_pylist() for c in others}
                plain[image] = _without_bytes(arrow, batch.column(image))
                for index in range(batch.num_rows):
                    yield {column: values[index] for column, values in plain.items()}
    except (OSError, KeyError, arrow.ArrowInvalid) as error:
        yield Problem(name, 0, f"no readable Arrow file: {reason_of(error)}")


def _without_bytes(arrow: Any, column: Any) -> list[tuple[bool, str | None]]:
    """Per row: whether a picture's bytes are stored, and its path. The bytes themselves stay on disk."""
    types, nothing = arrow.types, [None] * len(column)
    if types.is_struct(column.type):
        names = {field.name for field in column.type}
        stored = column.field("bytes").is_valid().to_pylist() if "bytes" in names else nothing
        paths = column.field("path").to_pylist() if "path" in names else nothing
    elif types.is_string(column.type) or types.is_large_string(column.type):
        stored, paths = nothing, column.to_pylist()
    else:
        stored, paths = column.is_valid().to_pylist(), nothing
    return [(bool(kept), path) for kept, path in zip(stored, paths, strict=True)]


def _media(picture: tuple[bool, str | None], root: Path, name: str, row: int) -> str | None:
    stored, path = picture
    if stored:
        return f"{root / name}!{row}"
    return str(root / path) if path and (root / path).exists() else None


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
