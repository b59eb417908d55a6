"""``mien summarize``: from tables of faces to events, summaries, contrasts, synchrony and agreement.

This module is imported with the command line itself, so it imports nothing heavy before the command runs.
"""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from mien.app.terminal import say
from mien.core.errors import BadInput

if TYPE_CHECKING:
    import pandas as pd

__all__ = ["summarize_command"]

_MEASURES = ("mean", "present", "leads", "per minute")
Tables = Annotated[
    list[str],
    typer.Argument(help="faces.csv (or .parquet, .jsonl …) of runs, their folders, or CSV files of OpenFace.",
                   show_default=False),
]  # fmt: skip
Out = Annotated[Path, typer.Option("--out", "-o", help="Folder for the results.", show_default=False)]
Pattern = Annotated[
    str | None,
    typer.Option(
        help="How paths tell who and when, such as '{person}_{condition}' or '{person}/{session}/*'."
    ),
]
People = Annotated[
    Path | None, typer.Option(help="Table with clip (and track) and person, session, condition, dyad …")
]
Faces = Annotated[str, typer.Option(help="main: the face seen longest in a clip; all: every track.")]
Signals = Annotated[
    list[str] | None,
    typer.Option("--signal", help="A series, such as AU12 or happiness; repeatable.", show_default="all"),
]
Rate = Annotated[
    float | None, typer.Option(help="Values per second to resample to.", show_default="as filmed")
]
Smooth = Annotated[float, typer.Option(help="Seconds of the moving mean; 0 for none.", min=0)]
Turned = Annotated[float, typer.Option(help="Most degrees that a head may be turned.", min=0, max=180)]
Baseline = Annotated[str, typer.Option(help="none, first (seconds), percentile, or neutral (a condition).")]
Rest = Annotated[str, typer.Option(help="The condition that shows people at rest, for --baseline neutral.")]
Seconds = Annotated[float, typer.Option(help="Seconds at rest, for --baseline first.", min=0.04)]
Least = Annotated[float, typer.Option(help="Rise above rest from which a movement is an event.", min=0.01)]
Codes = Annotated[Path | None, typer.Option(help="A human coder's CSV file: frames or events.")]
CutOff = Annotated[int, typer.Option(help="FACS level from which an AU counts as present.", min=1, max=5)]
Window = Annotated[float, typer.Option(help="Seconds of a window of synchrony.", min=0.5)]
Lag = Annotated[float, typer.Option(help="Most seconds by which one follows the other.", min=0)]
Bids = Annotated[bool, typer.Option("--bids", help="Write the series as BIDS derivatives, in bids/.")]
Replace = Annotated[bool, typer.Option("--replace", help="Write over the results of an earlier summary.")]


def summarize_command(
    tables: Tables,
    out: Out,
    pattern: Pattern = None,
    people: People = None,
    faces: Faces = "main",
    signal: Signals = None,
    rate: Rate = None,
    smooth: Smooth = 0.2,
    turned: Turned = 30.0,
    baseline: Baseline = "none",
    rest: Rest = "neutral",
    seconds: Seconds = 2.0,
    least: Least = 0.15,
    codes: Codes = None,
    cut_off: CutOff = 1,
    window: Window = 10.0,
    lag: Lag = 3.0,
    bids: Bids = False,
    replace: Replace = False,
) -> None:
    """Events, summaries per person and condition, differences, synchrony and agreement, from tables of faces.

    Writes summary.csv (long, for mixed models), events.csv, and where there is something for them contrasts.csv (two
    conditions or more), synchrony.csv (a field dyad), agreement.csv (--codes), rest.csv (--baseline) and bids/;
    summary.html shows them, run.json says how they were made. Needs the extra 'study'.
    """
    from mien import __version__, study
    from mien.app.summarize_page import write_page
    from mien.core.errors import require_known
    from mien.core.paths import write_whole
    from mien.core.run_record import RunRecord

    require_known(baseline, ("none", "first", "percentile", "neutral"), "baseline")
    _refuse_taken(out, replace)
    options = {
        name: str(value) if isinstance(value, Path) else value
        for name, value in locals().items()
        if name in _OPTIONS
    }
    record = RunRecord.start(options)
    skipped = dict[str, str]()
    raw = study.read_faces(tables, pattern, people, faces, skipped)
    table = study.withhold(raw, turned=turned)
    if rate is not None:
        table = study.resample(table, rate)
    table = study.smooth(table, smooth)
    found: dict[str, pd.DataFrame] = {}
    if baseline != "none":
        where: dict[str, Any] = {"condition": rest} if baseline == "neutral" else {}
        level = study.rest_of(table, baseline, seconds=seconds, **where)
        table, found["rest"] = study.take_rest(table, level), level.reset_index()
    events = study.episodes(table, signal, least)
    found["summary"] = study.summarize(table, signals=signal, events=events)
    found["events"] = _named(events, table)
    if found["summary"]["condition"].nunique() > 1:
        found["contrasts"] = study.contrasts(found["summary"], measures=_MEASURES)
    if "dyad" in table:
        steady = table if rate is not None else study.resample(table, _usual_rate(table))
        found["synchrony"] = study.synchronies(steady, signal or ("AU12", "happiness"), None, window, lag)
    if codes is not None:
        found["agreement"] = agreement(study.pair_with_codes(raw, codes), cut_off)
    for name, rows in found.items():
        write_whole(out / f"{name}.csv", rows.to_csv(index=False, float_format="%.6g", lineterminator="\n"))
    if bids:
        study.write_bids(table, out / "bids", __version__, events)
    write_page(out / "summary.html", table, found)
    counts = {
        "rows": len(raw),
        "clips": raw["clip"].nunique(),
        "persons": raw["person"].nunique(),
        "events": len(events),
        "skipped": len(skipped),
    }
    record.finish(**counts).write(out / "run.json")
    _say_all(counts, table, out)
    for why in skipped.values():
        say(f"Error: {why}", err=True)
    if skipped:
        raise typer.Exit(1)


def _say_all(counts: Mapping[str, int], table: pd.DataFrame, out: Path) -> None:
    clips = "1 clip" if counts["clips"] == 1 else f"{counts['clips']} clips"
    persons = "1 person" if counts["persons"] == 1 else f"{counts['persons']} people"
    say(
        f"{clips} of {persons}, {table['usable'].mean():.0%} of {len(table):,} rows"
        f" readable, {counts['events']:,} events. Look at {out / 'summary.html'}."
    )


_OPTIONS = ("tables", "pattern", "people", "faces", "signal", "rate", "smooth", "turned", "baseline", "rest", "seconds",
            "least", "codes", "cut_off", "window", "lag", "bids")  # fmt: skip


def _refuse_taken(out: Path, replace: bool) -> None:
    taken = sorted(path.name for path in out.glob("*")) if out.is_dir() else []
    ours = {"summary.csv", "summary.html", "events.csv", "contrasts.csv", "synchrony.csv", "agreement.csv", "rest.csv",
            "run.json"}  # fmt: skip
    if taken and not (replace and set(taken) <= ours):
        raise BadInput(
            got=f"{out}, which holds {', '.join(taken[:4])}",
            expected="a new folder, or one of an earlier summary with --replace",
            fix="Choose another --out",
        )
    out.mkdir(parents=True, exist_ok=True)


def _named(events: pd.DataFrame, table: pd.DataFrame) -> pd.DataFrame:
    """Smiles say whether the cheeks rise, closures of the eyes whether they are blinks."""
    from mien import study

    extra: Mapping[str, tuple[str, Any]] = {
        "AU12_i": ("duchenne", study.smiles),
        "AU43_i": ("kind", study.blinks),
    }
    for name, (column, read) in extra.items():
        if (events["signal"] == name).any() and {"AU06_i", name} <= set(table):
            told = read(table, 0.05)[["clip", "person", "signal", "apex", column]]
            events = events.merge(told, on=["clip", "person", "signal", "apex"], how="left")
    return events


def _usual_rate(table: pd.DataFrame) -> float:
    steps = table.groupby(["clip", "person"])["time"].diff().dropna()
    return float(round(1 / steps.median())) if len(steps) else 1.0


def agreement(pairs: pd.DataFrame, cut_off: int) -> pd.DataFrame:
    """Agreement per AU and of the emotion: a row per signal with kappa and, of AUs, F1 and ICC(3,1) of the levels.

    Args:
        pairs: of `mien.study.pair_with_codes`.
        cut_off: level from which an AU counts as present on both sides; codes of 0 and 1 are taken as they are.
    """
    import pandas

    from mien.metrics.au import f1, icc
    from mien.metrics.classification import kappa

    made = []
    for signal, rows in pairs.groupby("signal", sort=False):
        coded, measured = rows["coded"], rows["measured"]
        row: dict[str, object] = {"signal": signal, "n": len(rows)}
        if signal != "emotion":
            levels = coded.max() > 1
            present = coded.astype(float) >= (cut_off if levels else 1), measured.astype(float) >= cut_off
            row |= {"coded": present[0].mean(), "measured": present[1].mean(), "f1": f1(*present).value}
            row["icc"] = icc(coded.astype(float), measured.astype(float)).value if levels else float("nan")
            coded, measured = present
        row |= {"kappa": kappa(list(coded), list(measured)).value, "agree": (coded == measured).mean()}
        made.append(row)
    return pandas.DataFrame(made, columns=["signal", "n", "agree", "kappa", "f1", "icc", "coded", "measured"])
