"""A human coder's file beside the measurement: pairs of coded and measured values, for kappa, ICC and F1."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pandas as pd

from mien.core.aus import LEVEL_LETTERS, au_key, au_level
from mien.core.emotions import canonical
from mien.core.errors import BadConfig, BadData
from mien.study.signals import by_series

__all__ = ["pair_with_codes"]

_CODE = ("code", "trial_type", "behavior", "behaviour")
_LEVELS = {letter.upper(): float(level) for level, letter in enumerate(LEVEL_LETTERS) if letter}


def pair_with_codes(
    table: pd.DataFrame, codes: str | Path | pd.DataFrame, person: str | None = None
) -> pd.DataFrame:
    """Pairs of what a coder and what mien says, one per coded frame or frame of a coded clip.

    Args:
        table: of `read_faces`.
        codes: a CSV or TSV file or a data frame. Either frame by frame: ``clip``, ``frame`` or ``time`` (s), and a
            column per AU (``AU12``: 0/1, FACS levels 0–5 or letters A–E) and ``emotion``. Or event by event, as BORIS,
            ELAN and BIDS export them: ``clip``, ``onset``, ``offset`` or ``duration`` (s), ``code`` (or ``trial_type``,
            ``behavior``), and ``level`` if there is one: each code that occurs is taken as coded, absent or present,
            in every frame of the clips that the file names.
        person: of several in a clip the one who was coded.

    Returns:
        ``clip person time signal coded measured intensity``: of AUs the FACS level of the intensity as ``measured``, of
        ``emotion`` the two words, with ``intensity`` NaN. Frames that one side lacks are left out.

    Raises:
        BadData: a file of neither form, or one that names no clip of the table.
    """
    book = _codes(codes)
    rows = table if person is None else table[table["person"] == person]
    parts = [
        _by_event(part, own) if "onset" in book else _by_frame(part, own)
        for (clip, _), part in by_series(rows)
        if len(
            own := book[book["clip"].map(lambda one, clip=clip: _bare(one) in (clip, clip.split("/")[-1]))]
        )
    ]
    if not parts:
        raise BadData(
            got=f"codes of {', '.join(map(str, book['clip'].unique()[:3]))}",
            expected=f"of {', '.join(table['clip'].unique()[:3])} …",
            fix="Write the clips' names without their suffix in the column clip",
        )
    found = pd.concat(parts, ignore_index=True)
    return found[found["coded"].notna() & found["measured"].notna()].reset_index(drop=True)


def _bare(name: object) -> str:
    text = str(name).replace("\\", "/")
    return text.rsplit(".", 1)[0] if "." in text.rsplit("/", 1)[-1] else text


def _codes(codes: str | Path | pd.DataFrame) -> pd.DataFrame:
    try:
        book = (
            codes.copy() if isinstance(codes, pd.DataFrame) else pd.read_csv(codes, sep=None, engine="python")
        )
    except (OSError, ValueError) as error:
        raise BadData(got=f"{codes}: {error}", expected="a CSV file of codes") from error
    book.columns = [str(name).strip() for name in book.columns]
    lower = {name: name.lower() for name in book.columns if name.lower() in
             ("clip", "onset", "offset", "duration", "frame", "time", "level", "emotion", *_CODE)}  # fmt: skip
    book = book.rename(columns=lower).rename(columns=dict.fromkeys(_CODE[1:], "code"))
    timed = {"onset", "code"} <= set(book) and ({"offset"} & set(book) or {"duration"} & set(book))
    if "clip" not in book or not (timed or {"frame", "time"} & set(book)):
        raise BadData(
            got=f"codes with the columns {', '.join(book.columns)}",
            expected="clip, and frame or time with a column per AU, or onset, offset and code",
        )
    return book


def _signal(code: object) -> str | None:
    """``12`` or ``"AU12"`` -> ``"AU12"``; an emotion's word -> ``"emotion"``; None for what is neither."""
    if canonical(str(code)):
        return "emotion"
    try:
        return au_key(str(code))
    except BadConfig:
        return None


def _pairs(rows: pd.DataFrame, signal: str, coded: pd.Series) -> pd.DataFrame:
    blank = pd.Series(np.nan, index=rows.index)
    intensity = blank if signal == "emotion" else rows.get(f"{signal}_i", blank)
    said = rows.get("emotion", blank) if signal == "emotion" else intensity.map(au_level, na_action="ignore")
    cells = {"signal": signal, "coded": coded.to_numpy(), "measured": said, "intensity": intensity}
    return rows[["clip", "person", "time"]].assign(**cells)


def _level(value: object) -> float:
    text = str(value).strip().upper()
    return _LEVELS.get(text, float(pd.to_numeric(text, errors="coerce")))


def _by_frame(rows: pd.DataFrame, codes: pd.DataFrame) -> pd.DataFrame:
    columns = {name: signal for name in codes.columns if name not in ("clip", "frame", "time")
               and (name == "emotion" or (signal := _signal(name)))}  # fmt: skip
    signals = {name: "emotion" if name == "emotion" else str(_signal(name)) for name in columns}
    if "frame" in codes:
        places = rows.reset_index(drop=True).set_index("frame").index.get_indexer(codes["frame"])
    else:
        times = rows["time"].to_numpy()
        places = np.abs(times[None] - codes["time"].to_numpy(float)[:, None]).argmin(axis=1)
    met, kept = rows.iloc[places[places >= 0]], codes[places >= 0]
    made = []
    for name, signal in signals.items():
        coded = (
            kept[name].map(canonical, na_action="ignore") if signal == "emotion" else kept[name].map(_level)
        )
        made.append(_pairs(met, signal, coded))
    return pd.concat(made) if made else pd.DataFrame(columns=["coded", "measured"])


def _by_event(rows: pd.DataFrame, codes: pd.DataFrame) -> pd.DataFrame:
    end = codes["offset"] if "offset" in codes else codes["onset"] + codes["duration"]
    made = []
    for signal in dict.fromkeys(signal for code in codes["code"] if (signal := _signal(code))):
        coded = pd.Series(None if signal == "emotion" else 0.0, index=rows.index, dtype=object)
        for number, event in codes[codes["code"].map(_signal) == signal].iterrows():
            level = event.get("level", np.nan)
            value = (
                canonical(str(event["code"]))
                if signal == "emotion"
                else 1.0
                if pd.isna(level)
                else _level(level)
            )
            coded[rows["time"].between(event["onset"], end[number])] = value
        made.append(_pairs(rows, signal, coded))
    return pd.concat(made) if made else pd.DataFrame(columns=["coded", "measured"])
