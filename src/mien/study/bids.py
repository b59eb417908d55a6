"""A study as BIDS derivatives: a table and its description per person and clip, as other pipelines read them.

BIDS has no modality for faces. Layout and names follow the one precedent (OpenFace as a derivative: ``func``, suffix
``timeseries``, ``desc-`` naming the program), with what BIDS 1.10 asks of any derivative.
"""

from __future__ import annotations

import json
import re
from collections.abc import Mapping
from pathlib import Path

import numpy as np
import pandas as pd

from mien.core.errors import BadInput
from mien.core.paths import write_whole
from mien.study.signals import by_series, signals_of

__all__ = ["write_bids"]

_COLUMNS: Mapping[str, tuple[str, str]] = {
    "onset": ("Time from the start of the recording", "s"),
    "success": ("Whether the face was found (1) or not (0); a share after resampling", ""),
    "usable": ("Whether the reading is to be trusted (1) or not (0); a share after resampling", ""),
    "pitch": ("Head raised (+) or lowered (-)", "deg"),
    "yaw": ("Head turned to the person's left (+) or right (-)", "deg"),
    "roll": ("Head tilted to the person's left (+) or right (-)", "deg"),
}


def write_bids(
    table: pd.DataFrame, folder: str | Path, version: str, events: pd.DataFrame | None = None
) -> list[Path]:
    """Write a derivative data set and return the files that were made.

    ``sub-<person>[/ses-<session>]/func/sub-…[_ses-…]_task-<condition or face>[_run-n]_desc-mien_timeseries.tsv``
    with its ``.json``, ``…_desc-mien_events.tsv`` where there are events, and ``dataset_description.json``. Labels
    are letters and digits only: others are taken out.

    Args:
        table: of `read_faces` or what was made of it.
        folder: empty or new.
        version: of mien, told in ``GeneratedBy``.
        events: of `episodes`.

    Raises:
        BadInput: the folder holds something, or two persons get one label.
    """
    root = Path(folder)
    if root.exists() and any(root.iterdir()):
        raise BadInput(got=f"{root}, which is not empty", expected="an empty or new folder for the data set")
    persons = list(dict.fromkeys(table["person"]))
    if len({_label(one) for one in persons}) < len(persons):
        raise BadInput(
            got="persons who differ in signs only", expected="letters and digits that tell them apart"
        )
    made = [_write(root / "dataset_description.json", json.dumps({
        "Name": "Apparent facial expressions measured by mien", "BIDSVersion": "1.10.0", "DatasetType": "derivative",
        "GeneratedBy": [{"Name": "mien", "Version": version, "Description": "Apparent expression, no inner states"}],
    }, indent=2) + "\n")]  # fmt: skip
    names: dict[str, int] = {}
    for (clip, person), rows in by_series(table):
        session, task = _label(rows["session"].iloc[0]), _label(rows["condition"].iloc[0]) or "face"
        where = [f"sub-{_label(person)}", *([f"ses-{session}"] if session else [])]
        stem = "_".join([*where, f"task-{task}"])
        names[stem] = names.get(stem, 0) + 1
        again = _several(table, rows)
        stem += f"_run-{names[stem]:02d}" if again else ""
        place = root.joinpath(*where, "func")
        signals = [*(one for one in ("success", "usable") if one in rows), *signals_of(table)]
        series = rows[["time", *signals]].rename(columns={"time": "onset"})
        made.append(_write(place / f"{stem}_desc-mien_timeseries.tsv", _tsv(series)))
        made.append(_write(place / f"{stem}_desc-mien_timeseries.json", _sidecar(rows, list(series.columns))))
        if events is not None:
            own = events[(events["clip"] == clip) & (events["person"] == person)].sort_values("onset")
            own = own.assign(trial_type=own["signal"])[
                ["onset", "duration", "trial_type", "apex", "amplitude"]
            ]
            made.append(_write(place / f"{stem}_desc-mien_events.tsv", _tsv(own)))
    return made


def _several(table: pd.DataFrame, rows: pd.DataFrame) -> bool:
    same = (
        table[["person", "session", "condition"]] == rows[["person", "session", "condition"]].iloc[0]
    ).all(axis=1)
    return bool(table.loc[same, "clip"].nunique() > 1)


def _label(text: object) -> str:
    return re.sub(r"[^A-Za-z0-9]", "", str(text))


def _write(path: Path, text: str) -> Path:
    path.parent.mkdir(parents=True, exist_ok=True)
    write_whole(path, text.encode())
    return path


def _tsv(table: pd.DataFrame) -> str:
    return str(table.to_csv(sep="\t", index=False, na_rep="n/a", float_format="%.6g", lineterminator="\n"))


def _sidecar(rows: pd.DataFrame, columns: list[str]) -> str:
    times = rows["time"].to_numpy()
    told = {
        name: {"Description": about, **({"Units": unit} if unit else {})}
        for name in columns
        for about, unit in [_COLUMNS.get(name, (_about(name), ""))]
    }
    rate = 1 / float(np.median(np.diff(times))) if len(times) > 1 else None
    body = {
        "Columns": columns, **told, "Sources": [str(rows["input"].iloc[0])],
        **({"SamplingFrequency": round(rate, 4), "SamplingFrequencyProvenance": "median step of the column onset"}
           if rate else {}),
        "StartTime": float(times[0]), "TimeAlignment": "onset is the presentation time of the recording's frames",
    }  # fmt: skip
    return json.dumps(body, indent=2, ensure_ascii=False) + "\n"


def _about(name: str) -> str:
    if name.startswith("AU"):
        return f"Intensity of FACS Action Unit {int(name[2:4])}, 0 absent to 1 maximum, or relative to rest"
    return f"Probability 0..1 that the face looks like {name}" if name.isalpha() else name
