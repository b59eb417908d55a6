"""Tables of faces from disk into one: a row per person and frame, with whose face it is and under what condition."""

from __future__ import annotations

import math
import re
from collections.abc import Iterable, Iterator, Mapping, Sequence
from pathlib import Path, PurePosixPath
from typing import Any, TypeAlias

import pandas as pd

from mien.core.aus import AU_SETS, level_intensity
from mien.core.emotions import EMOTIONS, canonical
from mien.core.errors import BadConfig, BadData, BadInput, MienError, require_known
from mien.core.objects import json_lines, read_json

__all__ = ["KEYS", "Source", "read_faces"]

Source: TypeAlias = str | Path | pd.DataFrame
KEYS = ("clip", "person", "session", "condition")
"""What every table of a study begins with; ``session`` and ``condition`` are empty where nothing tells them."""
FORMATS = (".csv", ".tsv", ".parquet", ".jsonl", ".json")
# Points, eye points and shape parameters: no signals, and most of the bytes.
_POINTS = re.compile(r"^(mesh_[xyz]|eye_lmk_[xyXYZ]|[xyXYZ]|p)_\d+$|^p_(scale|[rt][xyz])$")
_TEXTS = {"input", "error", "emotion", "hidden", "quality", "explanation", "withheld", "overlay"}
_FIELD = re.compile(r"\{(\w+)\}")


def _tables(sources: Sequence[Any], skipped: dict[str, str] | None) -> Iterator[pd.DataFrame]:
    failed: list[MienError] = []
    for one in sources:
        try:
            yield _read(one)
        except MienError as error:
            failed.append(error)
            if skipped is None or len(failed) == len(sources):
                raise
            skipped[str(one)] = str(error)


def read_faces(
    sources: Source | Iterable[Source],
    pattern: str | None = None,
    people: str | Path | pd.DataFrame | None = None,
    faces: str = "main",
    skipped: dict[str, str] | None = None,
) -> pd.DataFrame:
    """One table of all clips and photos: a row per person and frame, in order.

    Args:
        sources: tables as ``mien analyze`` writes them (CSV, TSV, Parquet, JSON, JSON lines, with mien's own columns),
            CSV files of OpenFace 2, folders of either, or data frames of `mien.to_frame`.
        pattern: how the end of a clip's path tells who and when, such as ``"{person}_{condition}"`` or
            ``"{person}/{session}/*"``: a field holds no slash and as little as can be, ``*`` stands for anything. The
            suffix is left out. Fields of other names become columns too.
        people: a table with a column ``clip`` (or ``input``: file name, with or without suffix, or the end of its
            path), ``track`` where several faces of a clip are meant, and what is known of each: ``person``,
            ``session``, ``condition`` …
        faces: of a clip ``"main"`` the face seen longest, with faces that are never seen beside it (one who comes back
            has a new track); ``"all"`` every track as a person of its own.
        skipped: where given, a table that cannot be read is left out, and the reason written here, unless none can.

    Returns:
        ``clip``, ``person`` (the clip where nothing tells), ``session``, ``condition``, further fields, then the
        columns of the tables, AUs of OpenFace as ``AU12_i`` 0..1 and its pose as ``pitch yaw roll`` in degrees with
        mien's signs. Frames in which the face is not seen are rows of NaN with ``success`` 0.

    Raises:
        BadData: a file that is no such table. BadInput: a clip of which pattern or table say nothing.
    """
    require_known(faces, ("main", "all"), "faces")
    given = [sources] if isinstance(sources, str | Path | pd.DataFrame) else list(sources)
    tables = list(_tables([one for source in given for one in _files(source)], skipped))
    if not tables:
        raise BadInput(got="no table", expected="faces.csv of a run, or a folder that holds some")
    rows = pd.concat(tables, ignore_index=True)
    rows = rows.assign(clip=rows["input"].map(_clips(rows["input"].unique())))
    book = _book(people)
    named = book is not None and "track" in book.columns
    parts = [
        part
        for _, clip in rows.groupby("clip", sort=False)
        for part in (_tracks(clip) if named or faces == "all" else [_main(clip)])
    ]
    told = [_with_fields(part, _fields(part, pattern, book)) for part in parts]
    kept = [part for part in told if part is not None]
    if not kept:
        raise BadInput(
            got="a table of people that names no face of these clips", expected="its clips and tracks"
        )
    whole = pd.concat(kept, ignore_index=True)
    first = [*KEYS, *(name for name in whole.columns if name in _extra(pattern, book))]
    return whole[[*first, *(name for name in whole.columns if name not in first)]]


def _files(source: Source) -> list[Source]:
    if isinstance(source, pd.DataFrame):
        return [source]
    path = Path(source)
    if not path.is_dir():
        return [path]
    own = [path / f"faces{suffix}" for suffix in FORMATS if (path / f"faces{suffix}").is_file()]
    found = own[:1] or sorted(path.glob("*/faces.*")) or sorted(path.glob("*.csv"))
    if not found:
        raise BadInput(got=f"{path} without a table", expected="faces.csv, or CSV files of OpenFace")
    return [one for one in found if one.suffix in FORMATS]


def _read(source: Source) -> pd.DataFrame:
    name = "a data frame" if isinstance(source, pd.DataFrame) else str(source)
    try:
        raw = source.copy() if isinstance(source, pd.DataFrame) else _parse(Path(source))
    except (OSError, ValueError, UnicodeError, ImportError) as error:
        raise BadData(
            got=f"{name}: {error}", expected="a table as `mien analyze` or OpenFace 2 writes it"
        ) from error
    raw.columns = [str(column).strip() for column in raw.columns]
    twice = raw.columns[raw.columns.duplicated()]
    if len(twice) or raw.empty:
        what = f"the column {twice[0]} twice" if len(twice) else "no row"
        raise BadData(got=f"{name} with {what}", expected="rows of faces, each column once")
    try:
        raw = pd.DataFrame(
            {one: raw[one] if one in _TEXTS else pd.to_numeric(raw[one]) for one in raw.columns}
        )
    except (ValueError, TypeError) as error:
        raise BadData(got=f"{name}: {error}", expected="numbers in all columns but text") from error
    if {"timestamp", "frame", "confidence"} <= set(raw) or {"face", "confidence"} <= set(raw):
        raw = _from_openface(raw, name)
    if not {"input", "frame", "time", "success"} <= set(raw):
        raise BadData(
            got=f"{name} with the columns {', '.join(raw.columns[:6])} …",
            expected="input, frame, time, success … of `mien analyze`, or frame, timestamp, confidence … of OpenFace",
            fix="py-feat's columns tell no exact time: write mien's own with `mien analyze --columns mien`",
        )
    words = {
        column: known for column in raw.columns if (known := canonical(column)) and known not in raw.columns
    }
    raw = raw.rename(columns=words)
    made = {one: raw[one] if one in _TEXTS else raw[one].astype(float) for one in raw.columns}
    made["input"] = raw["input"].map(str)
    if "emotion" in made:
        made["emotion"] = raw["emotion"].map(
            lambda word: canonical(str(word)) or str(word), na_action="ignore"
        )
    return pd.DataFrame(made)


def _parse(path: Path) -> pd.DataFrame:
    suffix = path.suffix.lower()
    if suffix == ".parquet":
        return pd.read_parquet(path)
    if suffix in (".json", ".jsonl"):
        text = path.read_text("utf-8")
        return pd.DataFrame(
            read_json(text) if suffix == ".json" else [read_json(one) for one in json_lines(text)]
        )
    with path.open(encoding="utf-8-sig") as file:
        header = file.readline()
    comma = header.count(";") > header.count(",")
    separator = "\t" if suffix == ".tsv" else ";" if comma else ","
    return pd.read_csv(
        path,
        sep=separator,
        decimal="," if comma else ".",
        skipinitialspace=True,
        usecols=lambda name: not _POINTS.match(name.strip()),
        encoding="utf-8-sig",
    ).assign(**({} if "input" in header else {"input": str(path)}))


def _from_openface(raw: pd.DataFrame, name: str) -> pd.DataFrame:
    if "input" not in raw:
        raw["input"] = name
    turned = {"pitch": ("pose_Rx", -1), "yaw": ("pose_Ry", -1), "roll": ("pose_Rz", 1)}
    for ours, (theirs, sign) in turned.items():
        if theirs in raw:
            raw[ours] = sign * raw[theirs].map(math.degrees)
    for key in AU_SETS["openface_r"]:
        if f"{key}_r" in raw:
            raw[f"{key}_i"] = level_intensity(raw.pop(f"{key}_r"))
    photos = "timestamp" not in raw
    raw["time"] = 0.0 if photos else raw.pop("timestamp")
    # Its frames count from 1.
    raw["frame"] = 0 if photos else raw["frame"] - 1
    raw["presence"] = raw.pop("confidence")
    raw["success"] = raw["success"] if "success" in raw else raw["presence"].gt(0).astype(int)
    raw["track"] = raw.pop("face_id") if "face_id" in raw else raw.get("face", 0)
    lost = raw["success"] != 1
    measured = [one for one in raw.columns if re.match(r"AU\d\d_|gaze_|pose_|pitch|yaw|roll", one)]
    raw[measured] = raw[measured].astype(float).mask(lost)  # it writes 0 where it lost the face
    return raw


def _clips(inputs: Iterable[str]) -> dict[str, str]:
    """A short name for each file: its stem, or as much of its path as tells it from the others."""
    paths = {one: _bare(one) for one in inputs}
    depth, names = 1, {one: path.name for one, path in paths.items()}
    deepest = max(len(path.parts) for path in paths.values())
    while len(set(names.values())) < len(names) and depth < deepest:
        depth += 1
        names = {one: "/".join(path.parts[-depth:]) for one, path in paths.items()}
    return names if len(set(names.values())) == len(names) else {one: str(one) for one in paths}


def _bare(name: str) -> PurePosixPath:
    path = PurePosixPath(name.replace("\\", "/"))
    return path.with_suffix("") if path.name else path


def _main(clip: pd.DataFrame) -> pd.DataFrame:
    """The rows of the face seen longest and of those that are never seen beside it; one row per frame."""
    seen = clip[clip["success"] == 1]
    track = seen["track"].fillna(seen.get("face", 0)) if "track" in seen else seen.get("face", 0)
    seen = seen.assign(track=track)
    chosen: set[float] = set()
    times: set[float] = set()
    for one in seen["track"].value_counts().index:
        its = set(seen.loc[seen["track"] == one, "frame"])
        if not chosen or not its & times:
            chosen.add(one)
            times |= its
    return _every_frame(clip, seen[seen["track"].isin(chosen)])


def _tracks(clip: pd.DataFrame) -> list[pd.DataFrame]:
    seen = clip[clip["success"] == 1]
    seen = seen.assign(track=seen["track"].fillna(seen.get("face", 0)))
    parts = [_every_frame(clip, one) for _, one in seen.groupby("track")]
    if len(parts) < 2:
        return parts or [_every_frame(clip, seen)]
    numbers = [part["track"].dropna().iloc[0] for part in parts]
    return [
        part.assign(track=number, person=part["clip"] + f"/{int(number)}")
        for part, number in zip(parts, numbers, strict=True)
    ]


def _every_frame(clip: pd.DataFrame, seen: pd.DataFrame) -> pd.DataFrame:
    """``seen``, and an empty row for each frame of the clip in which this face is not."""
    frames = clip.drop_duplicates("frame")
    lost = frames[~frames["frame"].isin(seen["frame"])]
    blank = lost[["clip", "input", "frame", "time"]].assign(success=0.0)
    whole = pd.concat([seen, blank], ignore_index=True) if len(blank) else seen
    whole = whole.drop_duplicates("frame").sort_values("frame", ignore_index=True)
    return whole.reindex(columns=list(clip.columns))


def _book(people: str | Path | pd.DataFrame | None) -> pd.DataFrame | None:
    if people is None:
        return None
    try:
        book = people if isinstance(people, pd.DataFrame) else pd.read_csv(people, sep=None, engine="python")
    except (OSError, ValueError) as error:
        raise BadData(got=f"{people}: {error}", expected="a table of people with a column clip") from error
    book = book.rename(columns={"input": "clip"}) if "clip" not in book else book
    if "clip" not in book:
        raise BadData(
            got=f"columns {', '.join(map(str, book.columns))}", expected="a column clip", fix="Add it"
        )
    return book


def _fields(part: pd.DataFrame, pattern: str | None, book: pd.DataFrame | None) -> Mapping[str, Any] | None:
    """What pattern and table say of these rows; None when the table names other faces of the clip only."""
    path, clip = str(part["input"].iloc[0]).replace("\\", "/"), str(part["clip"].iloc[0])
    told: dict[str, Any] = {}
    if pattern is not None:
        found = _compiled(pattern).search(re.sub(r"\.\w{1,5}$", "", path))
        if found is None:
            raise BadInput(
                got=f"{path}, which does not fit the pattern {pattern!r}",
                expected="a path that ends so, its suffix left out",
                fix="Change the pattern, or name person and condition in a table (people)",
            )
        told |= found.groupdict()
    if book is not None:
        lines = book[[_same(str(one), path, clip) for one in book["clip"]]]
        if lines.empty:
            raise BadInput(got=f"no line for {clip} in the table of people", expected="one for each clip")
        if "track" in book:
            lines = lines[lines["track"].isna() | (lines["track"] == part["track"].iloc[0])]
            if lines.empty:
                return None
        told |= lines.iloc[0].drop(["clip", "track"], errors="ignore").dropna().to_dict()
    return told


def _compiled(pattern: str) -> re.Pattern[str]:
    pieces = re.split(r"(\{\w+\}|\*)", re.sub(r"\.\w{1,5}$", "", pattern))
    if not _FIELD.search(pattern):
        raise BadConfig(got=f"pattern {pattern!r}", expected="one with fields, such as {person}_{condition}")
    made = "".join(
        f"(?P<{piece[1:-1]}>[^/]+?)"
        if _FIELD.fullmatch(piece)
        else ".*"
        if piece == "*"
        else re.escape(piece)
        for piece in pieces
    )
    try:
        return re.compile(f"(?:^|/){made}$")
    except re.error as error:
        raise BadConfig(got=f"pattern {pattern!r}: {error}", expected="each field once") from error


def _same(named: str, path: str, clip: str) -> bool:
    named = named.strip().replace("\\", "/")
    bare = re.sub(r"\.\w{1,5}$", "", path)
    return named == clip or any(whole == named or whole.endswith("/" + named) for whole in (path, bare))


def _with_fields(part: pd.DataFrame, told: Mapping[str, Any] | None) -> pd.DataFrame | None:
    if told is None:
        return None
    own = {"person": part["person"].iloc[0] if "person" in part else part["clip"].iloc[0]}
    fields = {**dict.fromkeys(KEYS[2:], ""), **own, **told}
    cells = {name: str(value) if name in KEYS else value for name, value in fields.items()}
    rest = part.drop(columns=[name for name in cells if name in part])
    return pd.concat([pd.DataFrame(cells, index=part.index), rest], axis=1)


def _extra(pattern: str | None, book: pd.DataFrame | None) -> list[str]:
    named = [*_FIELD.findall(pattern or ""), *(() if book is None else map(str, book.columns))]
    return [name for name in dict.fromkeys(named) if name not in (*KEYS, "track")]


def emotions_in(table: pd.DataFrame) -> list[str]:
    """The emotion columns of a table, in mien's order."""
    return [name for name in EMOTIONS if name in table.columns]
