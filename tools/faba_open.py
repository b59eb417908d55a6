"""FABA-Open: a benchmark of Action Units that needs no gated picture, made from a checkout and the open ICT face.

    python tools/faba_open.py --out faba-open                 # 2,048 pictures of new people, and the leak pairs
    python benchmarks/faba_open.py --benchmark faba-open      # baselines in one table
    mien eval pocket --suite rendered-aus-binary --root faba-open/renders --out runs/faba-open

The folder holds ``renders/`` (22 AUs on three scales, for the suites ``rendered-aus-*``), ``leak/`` (the same muscle
under other moods), ``items.jsonl``, ``claims.jsonl`` (statements, each true or false), ``pairs.jsonl``, a data sheet
(``README.md``) and ``croissant.json``. The same arguments give the same bytes; a stopped run goes on.
"""

from __future__ import annotations

import argparse
import hashlib
import json
import sys
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

import numpy as np

sys.path.insert(0, str(Path(__file__).resolve().parent))

from mien.core.aus import AUS, au_level
from renderer.faces import AU_NAMES, data_folder
from renderer.leak import MOODS, write_leak_pictures
from renderer.shards import HOLD_BACK_EVERY, Job, write_shards

SEED = 7
"""Not that of any training (0): all people are new."""
COUNT, SIZE = 2048, 144
_CLAIMS = 4
"""Of a picture: as many true as false, as many that affirm as deny."""
_CLEAR = 2
"""FACS level from which a muscle is clearly there; below 1 it is absent, and between nothing is claimed."""
_SHEET = Path(__file__).with_name("faba_open_sheet.md")
Row = dict[str, Any]


def items_of(folder: Path) -> Iterator[Row]:
    """One row per picture: person, pose, and each AU's intensity 0-1; level and presence follow from it."""
    for path in sorted((folder / "renders").glob("shard_*.npz")):
        with np.load(path, allow_pickle=False) as shard:
            names, values, people, poses = (shard[name] for name in ("au_names", "au", "identity", "pose"))
        for row, (value, person, pose) in enumerate(zip(values, people, poses, strict=True)):
            told = {str(name): round(float(one), 4) for name, one in zip(names, value, strict=True)}
            turned = dict(zip(("yaw", "pitch", "roll"), (round(float(one), 2) for one in pose), strict=True))
            yield {"id": f"{path.stem}-{row}", "file": f"renders/{path.name}", "row": row,
                   "person": str(person), **turned, **told}  # fmt: skip


def claims_of(items: Sequence[Row]) -> Iterator[Row]:
    """Statements about each picture, balanced: a constant answer, and one that only counts denials, gets half."""
    for number, item in enumerate(items):
        rng = np.random.default_rng([SEED, 5, number])
        levels = {key: au_level(item[key]) for key in AU_NAMES}
        there = [key for key in AU_NAMES if levels[key] >= _CLEAR]
        absent = [key for key in AU_NAMES if levels[key] == 0]
        if len(there) < _CLAIMS // 2 or len(absent) < _CLAIMS // 2:
            continue
        # Present and denied, present and affirmed; absent and affirmed, absent and denied.
        chosen = [*rng.choice(there, 2, replace=False), *rng.choice(absent, 2, replace=False)]
        for key, affirmed in zip(map(str, chosen), (True, False, True, False), strict=True):
            unit = AUS[key]
            yield {
                "id": f"{item['id']}-{key}", "item": item["id"], "au": key, "affirms": affirmed,
                "text": f"{unit.prose} ({unit.name}) is {'present' if affirmed else 'absent'}.",
                "true": affirmed == (levels[key] >= _CLEAR),
            }  # fmt: skip


def pairs_of(folder: Path) -> Iterator[Row]:
    """Pictures of one person with one muscle at one strength, without a mood and with one."""
    for path in sorted((folder / "leak").glob("person_*.npz")):
        with np.load(path, allow_pickle=False) as person:
            values, moods = person["au"], person["mood"]
        for key in AU_NAMES:
            column = AU_NAMES.index(key)
            alone = [row for row in np.flatnonzero(moods == 0) if values[row, column] > 0.1]
            for first in alone[:1]:
                same = np.abs(values[:, column] - values[first, column]) < 0.02
                for second in np.flatnonzero(same & (moods != 0)):
                    yield {
                        "file": f"leak/{path.name}", "au": key, "strength": round(float(values[first, column]), 4),
                        "neutral_row": int(first), "mood_row": int(second), "mood": MOODS[int(moods[second])],
                    }  # fmt: skip


def croissant(folder: Path, tables: dict[str, Sequence[Row]]) -> Row:
    """The folder as Croissant 1.0 tells data sets: its files with checksums, its tables with their fields."""
    kinds = {str: "sc:Text", float: "sc:Float", int: "sc:Integer", bool: "sc:Boolean"}
    files = [
        {"@type": "cr:FileObject", "@id": name, "name": name, "contentUrl": name,
         "encodingFormat": "application/jsonlines", "sha256": _digest(folder / name)}
        for name in tables
    ]  # fmt: skip
    packs = sorted([*folder.glob("renders/*.npz"), *folder.glob("leak/*.npz")])
    files += [
        {"@type": "cr:FileObject", "@id": (name := path.relative_to(folder).as_posix()), "name": name,
         "contentUrl": name, "encodingFormat": "application/octet-stream", "sha256": _digest(path)}
        for path in packs
    ]  # fmt: skip
    sets = [
        {"@type": "cr:RecordSet", "@id": name.removesuffix(".jsonl"), "name": name.removesuffix(".jsonl"),
         "field": [
             {"@type": "cr:Field", "@id": f"{name.removesuffix('.jsonl')}/{column}", "name": column,
              "dataType": kinds[type(value)],
              "source": {"fileObject": {"@id": name}, "extract": {"column": column}}}
             for column, value in rows[0].items()
         ]}
        for name, rows in tables.items()
        if rows
    ]  # fmt: skip
    return {
        "@context": _CONTEXT, "@type": "sc:Dataset", "conformsTo": "http://mlcommons.org/croissant/1.0",
        "name": "FABA-Open", "version": "1.0.0", "license": "https://www.apache.org/licenses/LICENSE-2.0",
        "description": "Rendered faces of people who do not exist, with 22 Action Units as rendered, statements about "
        "them that are true or false, and pairs that differ in the mood alone.",
        "datePublished": "2026-12-01", "creator": {"@type": "sc:Organization",
        "name": "mien contributors"}, "citeAs": "mien, FABA-Open", "distribution": files, "recordSet": sets,
    }  # fmt: skip


_CONTEXT = {
    "@language": "en", "@vocab": "https://schema.org/", "sc": "https://schema.org/",
    "cr": "http://mlcommons.org/croissant/", "rai": "http://mlcommons.org/croissant/RAI/",
    "dct": "http://purl.org/dc/terms/", "citeAs": "cr:citeAs", "column": "cr:column",
    "conformsTo": "dct:conformsTo", "data": {"@id": "cr:data", "@type": "@json"},
    "dataType": {"@id": "cr:dataType", "@type": "@vocab"}, "equivalentProperty": "cr:equivalentProperty",
    "samplingRate": "cr:samplingRate", "examples": {"@id": "cr:examples", "@type": "@json"},
    "extract": "cr:extract", "field": "cr:field", "fileObject": "cr:fileObject", "fileProperty": "cr:fileProperty",
    "fileSet": "cr:fileSet", "format": "cr:format", "includes": "cr:includes", "isLiveDataset": "cr:isLiveDataset",
    "jsonPath": "cr:jsonPath", "key": "cr:key", "md5": "cr:md5", "parentField": "cr:parentField",
    "path": "cr:path", "recordSet": "cr:recordSet", "references": "cr:references", "regex": "cr:regex",
    "repeated": "cr:repeated", "replace": "cr:replace", "separator": "cr:separator", "source": "cr:source",
    "subField": "cr:subField", "transform": "cr:transform",
}  # fmt: skip
"""The vocabulary of Croissant 1.0, as its specification prints it."""


def _digest(path: Path) -> str:
    return hashlib.sha256(path.read_bytes()).hexdigest()


def describe(folder: Path) -> dict[str, int]:
    """Write the tables, the data sheet and Croissant beside the pictures; returns how many rows each table has."""
    items = list(items_of(folder))
    tables: dict[str, Sequence[Row]] = {
        "items.jsonl": items, "claims.jsonl": list(claims_of(items)), "pairs.jsonl": list(pairs_of(folder)),
    }  # fmt: skip
    for name, rows in tables.items():
        (folder / name).write_text("".join(json.dumps(row) + "\n" for row in rows), encoding="utf-8")
    counts = {name.removesuffix(".jsonl"): len(rows) for name, rows in tables.items()}
    people = len({item["person"] for item in items})
    sheet = _SHEET.read_text(encoding="utf-8")
    for name, count in {**counts, "people": people}.items():
        sheet = sheet.replace(f"{{{name}}}", f"{count:,}")
    (folder / "README.md").write_text(sheet, encoding="utf-8")
    told = json.dumps(croissant(folder, tables), indent=1)
    (folder / "croissant.json").write_text(told + "\n", encoding="utf-8")
    return counts


def main() -> int:
    """Render what is missing, then describe all of it."""
    parser = argparse.ArgumentParser(description="Make FABA-Open.")
    parser.add_argument("--out", type=Path, required=True, help="folder of the benchmark")
    parser.add_argument("--count", type=int, default=COUNT, help="pictures, 8 per person")
    parser.add_argument("--size", type=int, default=SIZE, help="picture side in pixels")
    parser.add_argument("--no-leak", action="store_true", help="leave the leak pairs out")
    parser.add_argument("--workers", type=int, default=1, help="processes")
    parser.add_argument("--data", help="data folder, with ict_facekit/ict_light.npz")
    options = parser.parse_args()
    data = data_folder(options.data)
    drawn = options.count * HOLD_BACK_EVERY
    job = Job(data, options.out / "renders", drawn, options.size, SEED, held_back=True)
    write_shards(job, options.workers, lambda line: print(line, flush=True))
    if not options.no_leak:
        for line in write_leak_pictures(data, options.size, options.out / "leak"):
            print(line, flush=True)
    print(", ".join(f"{count} {name}" for name, count in describe(options.out).items()))
    return 0


if __name__ == "__main__":
    raise SystemExit(main())
