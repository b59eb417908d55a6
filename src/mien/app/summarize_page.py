"""The page of ``mien summarize``: people, conditions, differences, synchrony and agreement, without a script."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import pandas as pd
from jinja2 import Environment, StrictUndefined
from markupsafe import Markup

from mien.analyze.palette import ACCENT, EMOTION_COLOURS, STYLESHEET
from mien.analyze.report_charts import Bar, bar_chart
from mien.core.aus import AUS
from mien.core.emotions import EMOTIONS
from mien.core.paths import write_whole

__all__ = ["write_page"]

_TEMPLATE = Path(__file__).with_name("summarize_page.html")
_MOST_ROWS = 200
_SHOWN = ("AU12_i", "AU06_i", "AU04_i")
_BARS = 8
"""Action Units of a person or condition: those seen longest."""


def write_page(path: Path, table: pd.DataFrame, found: Mapping[str, pd.DataFrame]) -> None:
    """Write ``summary.html``.

    Args:
        path: the file.
        table: the series that were summarised.
        found: name -> rows, as they go into the CSV files.
    """
    page = Environment(autoescape=True, undefined=StrictUndefined).from_string(_TEMPLATE.read_text("utf-8"))
    text = page.render(
        style=Markup(STYLESHEET.read_text("utf-8")),
        tiles={
            "clips": table["clip"].nunique(),
            "people": table["person"].nunique(),
            "rows readable": f"{table['usable'].mean():.0%}",
            "events": len(found["events"]),
        },
        people=_people(found["summary"]),
        parts={field: _parts(found["summary"], field, other) for field, other in _FIELDS},
        contrasts=_forest(found.get("contrasts", pd.DataFrame())),
        others={name: found[name].head(_MOST_ROWS) for name in ("synchrony", "agreement") if name in found},
        most=_MOST_ROWS,
        files=sorted(found),
    )
    write_whole(path, text)


def _people(summary: pd.DataFrame) -> list[dict[str, object]]:
    rows = []
    for (person, session, condition), part in summary.groupby(["person", "session", "condition"], sort=False):
        value = part.groupby(["signal", "measure"])["value"].mean()
        leads = (
            value.xs("leads", level="measure") if "leads" in value.index.get_level_values(1) else value[:0]
        )
        rates = [value.get((name, "per minute"), float("nan")) for name in _SHOWN]
        rows.append({
            "who": (person, session, condition), "seconds": part.query("signal == 'face' and measure == 'seconds'")[
                "value"].sum(), "usable": value[("face", "usable")], "rates": rates,
            "lead": (leads.idxmax(), leads.max()) if leads.notna().any() else ("–", float("nan")),
        })  # fmt: skip
    return rows[:_MOST_ROWS]


def _parts(summary: pd.DataFrame, field: str, other: str) -> list[dict[str, object]]:
    """A person (or condition) after the other: what it is seen in, and its shares of time as charts."""
    found = []
    for name, rows in summary.groupby(field, sort=False):
        # Within a person each clip counts once, over people each person.
        units = rows.groupby([other, "signal", "measure"])["value"].mean()
        value = units.groupby(["signal", "measure"]).mean()
        seconds = rows.query("signal == 'face' and measure == 'seconds'")["value"].sum()
        leads = {one: value.get((one, "leads"), float("nan")) for one in EMOTIONS}
        shares = {key: value.get((f"{key}_i", "present"), float("nan")) for key in AUS}
        longest = sorted((one for one in shares if shares[one] > 0), key=lambda one: -shares[one])[:_BARS]
        charts = [
            (
                "Leads, share of time",
                [_bar(one, leads[one], EMOTION_COLOURS[one]) for one in leads if leads[one] > 0],
            ),
            (
                "Present, share of time",
                [_bar(f"{one} {AUS[one].name}", shares[one], ACCENT) for one in longest],
            ),
        ]
        found.append({
            "name": str(name), "others": sorted({str(one) for one in rows[other] if str(one)}), "seconds": seconds,
            "charts": [(title, bar_chart(bars, f"{name}: {title}")) for title, bars in charts if bars],
        })  # fmt: skip
    return [one for one in found if one["name"]][:_MOST_ROWS]


def _bar(label: str, share: float, colour: str) -> Bar:
    return Bar(label, min(share, 1.0), f"{share:.0%}", colour)


_FIELDS = (("condition", "person"), ("person", "condition"))
"""What has a part of the page, and what is told of it."""


def _forest(contrasts: pd.DataFrame) -> list[dict[str, object]]:
    """Differences from the surest on, with the places of g and its interval on a line from −2 to 2 (0..100)."""
    if contrasts.empty:
        return []
    rows: list[dict[str, Any]] = contrasts.sort_values(["q", "signal"]).head(60).to_dict("records")
    for row in rows:
        row["places"] = [50 + 25 * min(max(row[name], -2.0), 2.0) for name in ("g_low", "g", "g_high")]
    return rows
