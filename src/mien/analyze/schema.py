"""``schema.json``: what every column of the table beside it means."""

from __future__ import annotations

import json
from pathlib import Path

from mien import __version__
from mien.analyze.columns import Contents, Layout
from mien.core.paths import write_whole

__all__ = ["describe", "write_schema"]

_APPARENT = "All values describe apparent expression in the picture, not what a person feels."


def describe(table: str, format: str, layout: Layout, contents: Contents, decimal: str) -> dict[str, object]:
    """The content of ``schema.json``.

    Args:
        table: file name of the table.
        format: its format.
        layout: its columns.
        contents: what the run measured.
        decimal: how its numbers are written.
    """
    text = format in ("csv", "tsv")
    separator = "\t" if format == "tsv" else layout.separator
    columns = [
        {
            "name": column.name,
            "type": column.kind,
            "unit": column.unit,
            "scale": column.scale,
            "meaning": column.meaning,
            "source": column.source,
            **({"decimals": column.decimals} if column.decimals is not None else {}),
        }
        for column in layout.columns
    ]
    return {
        "table": table,
        "written_by": f"mien {__version__}",
        "layout": layout.name,
        "rows": "one per face, in input order; one without face values per frame without a face or with an error",
        "missing": "NaN in number columns, nothing in text columns" if text else "null",
        **({"separator": separator.replace(",", ";") if decimal == "comma" else separator} if text else {}),
        **({"decimal": "," if decimal == "comma" else "."} if text else {}),
        "model": contents.model,
        "presence_cut_off": f"FACS level >= {contents.cut_off}",
        "aus": list(contents.aus),
        "emotion_labels": contents.labels or ("mien" if layout.name == "mien" else "pyfeat1"),
        "columns": columns,
        "omitted": dict(layout.omitted),
        "notes": [_APPARENT, *layout.notes],
    }


def write_schema(path: Path, content: dict[str, object]) -> None:
    """Write ``schema.json``.

    Raises:
        OutputFailed: the file cannot be written.
    """
    write_whole(path, json.dumps(content, indent=1, ensure_ascii=False) + "\n")
