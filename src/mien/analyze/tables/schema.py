"""``schema.json``: what every column of the table beside it means."""

from __future__ import annotations

import json
from collections.abc import Mapping
from pathlib import Path

from mien import __version__
from mien.analyze.tables.columns import Contents, Layout
from mien.analyze.tables.writing import PLAIN, TEXT_FORMATS, Style
from mien.core.paths import write_whole

__all__ = ["describe", "write_schema"]

_APPARENT = "All values describe apparent expression in the picture, not what a person feels."


def describe(
    table: str | Mapping[str, str], format: str, layout: Layout, contents: Contents, style: Style = PLAIN
) -> dict[str, object]:
    """The content of ``schema.json``.

    Args:
        table: file name of the table; of several, file name -> its input.
        format: its format.
        layout: its columns.
        contents: what the run measured.
        style: of CSV and TSV.
    """
    text, decimal = format in TEXT_FORMATS, style.decimal
    formulas = "a text that begins as a formula does stands behind a '; --keep-formulas leaves it as it is"
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
        "missing": f"{layout.missing or 'nothing'} in number columns, nothing in text columns"
        if text
        else "null",
        **({"separator": separator.replace(",", ";") if decimal == "comma" else separator} if text else {}),
        **({"decimal": "," if decimal == "comma" else "."} if text else {}),
        **({"formulas": formulas} if text and not style.formulas else {}),
        "model": contents.model,
        "presence_cut_off": f"FACS level >= {contents.cut_off}",
        "aus": list(contents.aus),
        "emotion_labels": contents.labels or _labels(layout, contents),
        "columns": columns,
        "omitted": dict(layout.omitted),
        "notes": [_APPARENT, *layout.notes],
    }


def _labels(layout: Layout, contents: Contents) -> str | None:
    own = {"mien": "mien", "pyfeat": "pyfeat" if contents.landmarks else "pyfeat1"}
    return own.get(layout.name)


def write_schema(path: Path, content: dict[str, object]) -> None:
    """Write ``schema.json``.

    Raises:
        OutputFailed: the file cannot be written.
    """
    write_whole(path, json.dumps(content, indent=1, ensure_ascii=False) + "\n")
