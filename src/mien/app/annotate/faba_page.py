"""One page on FABA-style data: the paper's Table 2 beside the published numbers, and its figure 6 as charts.

Self-contained: style and charts are in the file, there is no script, and nothing is asked for from outside.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from functools import lru_cache
from pathlib import Path

from jinja2 import Environment, StrictUndefined, Template
from markupsafe import Markup, escape

from mien.analyze.palette import ACCENT, EMOTION_COLOURS, STYLESHEET
from mien.analyze.report_charts import Bar, bar_chart
from mien.annotate.faba.statistics import PUBLISHED, FabaStatistics
from mien.core.aus import AUS
from mien.core.paths import write_whole

__all__ = ["render_faba_page", "word_cloud", "write_faba_page"]

_NONE_COLOUR = "#a0acba"
_TASKS = {"emotion": "Emotion descriptions", "au": "Action Unit descriptions"}
_PAGE = """\
<!DOCTYPE html>
<html lang="en">
<head>
<meta charset="utf-8">
<meta http-equiv="Content-Security-Policy" content="default-src 'none'; style-src 'unsafe-inline'">
<meta name="viewport" content="width=device-width, initial-scale=1">
<title>{{ title }}</title>
<style>{{ style }}
.cloud { display: flex; flex-wrap: wrap; align-items: baseline; justify-content: center; gap: 2px 14px; }
.cloud { line-height: 1.25; margin: 0; }
.pair > div > .sheet + .sheet { margin-top: 14px; }
.cloud span { color: var(--accent); }
.sheet h3 { margin-top: 0; }
</style>
</head>
<body><main>
<header>
  <h1>{{ title }}</h1>
  <p class="muted">{{ lead }}</p>
</header>
<ul class="tiles">{% for value, name in tiles %}<li><b>{{ value }}</b><span>{{ name }}</span></li>{% endfor %}</ul>
<h2>Numbers</h2>
<div class="sheet scroll"><table>
  <tr><th>Statistic</th><th class="number">here</th><th class="number">FABA-Instruct, as published</th></tr>
  {% for name, here, published in table %}
  <tr><td>{{ name }}</td><td class="number">{{ here }}</td><td class="number">{{ published }}</td></tr>
  {% endfor %}
</table></div>
<h2>What is described</h2>
<div class="pair">{% for column in columns %}
  <div>{% for heading, note, chart in column %}
    <div class="sheet"><h3>{{ heading }}</h3><p class="muted small">{{ note }}</p>{{ chart }}</div>{% endfor %}
  </div>{% endfor %}
</div>
<h2>Words</h2>
<div class="pair">{% for heading, cloud in clouds %}
  <div class="sheet"><h3>{{ heading }}</h3>{{ cloud }}</div>{% endfor %}
</div>
<footer>Emotions are told by the synonyms of the released evaluation, Action Units by the statements that affirm them.
Training part, where a chart does not say otherwise.</footer>
</main></body></html>
"""


def write_faba_page(statistics: FabaStatistics, path: Path, title: str = "FABA-style data") -> None:
    """Write the page.

    Raises:
        OutputFailed: the file cannot be written.
    """
    write_whole(path, render_faba_page(statistics, title))


def render_faba_page(statistics: FabaStatistics, title: str = "FABA-style data") -> str:
    """The page's HTML; equal statistics give equal text."""
    rows = sum(statistics.train.values()) + sum(statistics.test.values())
    tiles = [
        (f"{statistics.images:,}", "pictures"),
        (f"{rows:,}", "descriptions"),
        (f"{statistics.words['emotion']:g}", "words on an emotion"),
        (f"{statistics.words['au']:g}", "words on Action Units"),
        (f"{sum(statistics.instructions.values())}", "instructions in use"),
    ]
    return _template().render(
        title=title,
        style=Markup(STYLESHEET.read_text("utf-8")),
        lead="Instruction data in the format of FABA-Instruct: how much there is, and what it tells.",
        tiles=tiles,
        table=[(name, f"{value:,}", f"{PUBLISHED[name]:,}") for name, value in statistics.table()],
        columns=_columns(statistics),
        clouds=[(_TASKS[task], word_cloud(words)) for task, words in statistics.cloud.items() if words],
    )


def _columns(statistics: FabaStatistics) -> list[list[tuple[str, str, Markup]]]:
    """Charts by column: emotions and lengths beside the longer list of Action Units."""
    told = sorted(statistics.emotions.items(), key=lambda entry: -entry[1])
    emotions = [(_said(name), count, EMOTION_COLOURS.get(name, _NONE_COLOUR)) for name, count in told]
    named = sorted(statistics.aus.items(), key=lambda entry: -entry[1])
    units = [(f"{AUS[key].prose} {AUS[key].name}", count, ACCENT) for key, count in named]
    left = [("Emotions", f"{sum(statistics.emotions.values()):,} descriptions", _bars(emotions, "Emotions"))]
    for task, heading in _TASKS.items():
        note = f"words per text, mean {statistics.words[task]:g}, both parts"
        lengths = [(name, count, ACCENT) for name, count in _filled(statistics.lengths[task])]
        left.append((heading, note, _bars(lengths, f"Length of {heading}")))
    return [
        left,
        [("Action Units", f"{statistics.train['au']:,} descriptions", _bars(units, "Action Units"))],
    ]


def _filled(histogram: Mapping[str, int]) -> list[tuple[str, int]]:
    """Without the empty bins before the first and after the last description; the first bin when all are empty."""
    bins = list(histogram.items())
    used = [place for place, (_, count) in enumerate(bins) if count] or [0]
    return bins[used[0] : used[-1] + 1]


def _said(name: str) -> str:
    return "none told" if name == "none" else name


def _bars(rows: Sequence[tuple[str, int, str]], title: str) -> Markup:
    """Bars in shares of the longest one, with the counts as notes."""
    top = max((count for _, count, _ in rows), default=0) or 1
    return bar_chart([Bar(label, count / top, f"{count:,}", colour) for label, count, colour in rows], title)


def word_cloud(words: Mapping[str, int]) -> Markup:
    """Words in alphabetical order, sized by how often they are used: .8 to 2.4 times the text."""
    low, high = math.log(min(words.values())), math.log(max(words.values()))
    spans = []
    for word in sorted(words):
        weight = (math.log(words[word]) - low) / (high - low) if high > low else 0.5
        style = f"font-size:{0.8 + 1.6 * weight:.2f}em;opacity:{0.6 + 0.4 * weight:.2f}"
        spans.append(f'<span style="{style}" title="{words[word]:,} times">{escape(word)}</span>')
    return Markup('<p class="cloud">' + " ".join(spans) + "</p>")


@lru_cache(maxsize=1)
def _template() -> Template:
    return Environment(autoescape=True, undefined=StrictUndefined).from_string(_PAGE)
