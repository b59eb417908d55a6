"""The distributions of a dataset as one self-contained page: inline SVG, no script, nothing loaded.

The splits of one chart share their rows and scale, so that they can be compared by eye.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from html import escape
from pathlib import Path

from mien.analyze.overlay_layout import name_of
from mien.analyze.palette import ACCENT, EMOTION_COLOURS, STYLESHEET
from mien.analyze.report_charts import Bar, bar_chart, drawing, text_at
from mien.app.data.stats import AFFECT_CELLS, INTENSITY_BINS, WORDS_STEP, Stats
from mien.core.aus import LEVEL_LETTERS
from mien.core.emotions import EMOTIONS
from mien.core.paths import output_errors, write_whole

__all__ = ["stats_page", "write_page"]

_STYLE = """
.bars { fill: var(--curve); } .steps text { font-size: 12px; }
.pair { grid-template-columns: repeat(auto-fill, minmax(min(100%, 440px), 1fr)); }
.panel h4 { display: flex; justify-content: space-between; gap: 12px; }
.panel h4 span { color: var(--muted); font-weight: 400; font-variant-numeric: tabular-nums; }
.legend { display: flex; flex-wrap: wrap; gap: 4px 16px; margin: -4px 0 12px; color: var(--muted); font-size: .87rem; }
.l1 { --mix: 22%; } .l2 { --mix: 42%; } .l3 { --mix: 62%; } .l4 { --mix: 82%; } .l5 { --mix: 100%; }
.l1, .l2, .l3, .l4, .l5 { fill: color-mix(in oklab, var(--curve) var(--mix), var(--track));
  background: color-mix(in oklab, var(--curve) var(--mix), var(--track)); }
.cell { fill: var(--curve); }
svg .axis { font-size: 11.5px; fill: var(--muted); }
"""
_ROW, _WIDTH, _NOTE = 24.0, 480.0, 118.0
_LEVELS = range(1, 6)


def stats_page(name: str, title: str, splits: Mapping[str, Stats], published: Mapping[str, int]) -> str:
    """One HTML text.

    Args:
        name: of the dataset.
        title: what it holds, in one line.
        splits: split -> its counts; at least one.
        published: split -> number of samples that its makers published, where known.
    """
    style = STYLESHEET.read_text(encoding="utf-8") + _STYLE
    body = "".join(
        [
            f"<h1>{escape(name)}</h1><p class=muted>{escape(title[:1].upper() + title[1:])}.</p>",
            _tiles(splits),
            _emotions(splits, published),
            _units(splits),
            _intensities(splits),
            _affect(splits),
            _texts(splits),
            _groups(splits),
            "<footer>Counted by <code>mien data stats</code> from the label files; no picture was opened. "
            "The splits of a chart share its scale.</footer>",
        ]
    )
    return (
        '<!doctype html><html lang="en"><head><meta charset="utf-8">'
        '<meta name="viewport" content="width=device-width, initial-scale=1">'
        "<meta http-equiv=\"Content-Security-Policy\" content=\"default-src 'none'; style-src 'unsafe-inline'\">"
        f"<title>{escape(name)} in numbers</title><style>{style}</style></head>"
        f"<body><main>{body}</main></body></html>\n"
    )


def write_page(path: Path, text: str) -> None:
    """Write a page; its folder is made when absent."""
    with output_errors(path):
        path.parent.mkdir(parents=True, exist_ok=True)
    write_whole(path, text)


def _tiles(splits: Mapping[str, Stats]) -> str:
    every = splits.values()
    subjects = {subject for stats in every for subject in stats.subjects}
    emotions = {word for stats in every for word in stats.emotions}
    units = {key for stats in every for key in stats.units}
    tiles = [(f"{sum(stats.samples for stats in every):,}", "samples")]
    tiles.append((str(len(splits)), "split" if len(splits) == 1 else "splits"))
    tiles += [(f"{len(values):,}", word) for values, word in
              ((subjects, "subjects"), (emotions, "emotions"), (units, "Action Units")) if values]  # fmt: skip
    ratios = [stats.imbalance for stats in every if stats.imbalance]
    if ratios:
        tiles.append((f"{max(ratios):,.0f} : 1", "most frequent to rarest emotion"))
    if len(splits) > 1 and subjects:
        shared = len(subjects) < sum(len(stats.subjects) for stats in every)
        tiles.append(("yes" if shared else "no", "subjects in several splits"))
    return f"<ul class=tiles>{''.join(f'<li><b>{value}</b><span>{word}</span></li>' for value, word in tiles)}</ul>"


def _section(title: str, lead: str, panels: Sequence[tuple[str, str, str]]) -> str:
    """A heading and one sheet per split: its name, a note, its chart."""
    if not panels:
        return ""
    sheets = "".join(
        f"<section class='sheet panel'><h4>{escape(split)}<span>{escape(note)}</span></h4>{chart}</section>"
        for split, note, chart in panels
    )
    return f"<h2>{escape(title)}</h2>{lead}<div class=pair>{sheets}</div>"


def _bars(rows: Sequence[tuple[str, float, str, str]], top: float, about: str) -> str:
    """Horizontal bars: label, value, note, colour (empty for the page's own); ``top`` fills the width."""
    bars = [
        Bar(label, value / top if top else 0.0, note, colour or ACCENT) for label, value, note, colour in rows
    ]
    return bar_chart(bars, about, _NOTE)


def _share(count: int, total: int) -> str:
    share = 100.0 * count / total if total else 0.0
    return f"{count:,} · {share:.1f} %" if share >= 0.05 or not count else f"{count:,} · < 0.1 %"


def _emotions(splits: Mapping[str, Stats], published: Mapping[str, int]) -> str:
    found = {word for stats in splits.values() for word in stats.emotions}
    words = [word for word in EMOTIONS if word in found] + sorted(found.difference(EMOTIONS))
    shown = {split: stats for split, stats in splits.items() if stats.emotions}
    shares = [stats.emotions[word] / stats.samples for stats in shown.values() for word in words]
    top = max(shares, default=0.0)
    panels = []
    for split, stats in shown.items():
        rows = [
            (word, count / stats.samples, _share(count, stats.samples), EMOTION_COLOURS.get(word, ""))
            for word in words
            for count in [stats.emotions[word]]
        ]
        if stats.unlabelled:
            share = stats.unlabelled / stats.samples
            rows.append(("(none)", share, _share(stats.unlabelled, stats.samples), "#b9c2cc"))
            top = max(top, share)
        panels.append((split, _size(stats, published.get(split)), rows))
    charts = [(split, note, _bars(rows, top, f"Emotions of {split}")) for split, note, rows in panels]
    return _section("Emotions", "", charts)


def _size(stats: Stats, published: int | None = None) -> str:
    known = f", {published:,} published" if published is not None and published != stats.samples else ""
    people = f", {len(stats.subjects):,} subjects" if stats.subjects else ""
    return f"{stats.samples:,} samples{known}{people}"


def _unit_label(key: str) -> str:
    name = name_of(key)
    return key if name == key else f"{key} {name}"


def _units(splits: Mapping[str, Stats]) -> str:
    if any(stats.levels for stats in splits.values()):
        top = max(_above(levels) for stats in splits.values() for levels in stats.levels.values())
        panels = [
            (split, _size(stats), _stacks(split, stats, top or 1.0))
            for split, stats in splits.items()
            if stats.levels
        ]
        keys = "".join(
            f"<span><i class='dot l{level}'></i>{LEVEL_LETTERS[level]}</span>" for level in _LEVELS
        )
        lead = f"<p class=legend><span>Share of the coded samples by level:</span>{keys}</p>"
        return _section("Action Units by level", lead, panels)
    shown = {split: stats for split, stats in splits.items() if stats.units}
    keys_found = sorted({key for stats in shown.values() for key in stats.units})
    top = max((c["present"] / c["coded"] for s in shown.values() for c in s.units.values()), default=0.0)
    panels = []
    for split, stats in shown.items():
        rows = []
        for key in keys_found:
            counts = stats.units.get(key, Counter())
            share = counts["present"] / counts["coded"] if counts["coded"] else 0.0
            note = _share(counts["present"], counts["coded"]) if counts["coded"] else "not coded"
            rows.append((_unit_label(key), share, note, ""))
        panels.append((split, _size(stats), _bars(rows, top, f"Action Units of {split}")))
    lead = "<p class=legend>Share of the coded samples in which each one is present.</p>"
    return _section("Action Units", lead, panels)


def _above(levels: Counter[int]) -> float:
    """Share of the coded samples at any level from 1."""
    return sum(levels[level] for level in _LEVELS) / levels.total()


def _stacks(split: str, stats: Stats, top: float) -> str:
    """One bar per AU: levels 1 to 5 side by side; ``top``, the share of the most frequent AU, fills the width."""
    bars = []
    for key in sorted(stats.levels):
        levels, total = stats.levels[key], stats.levels[key].total()
        pieces = [
            (levels[n] / total / top, f"l{n}", f"{LEVEL_LETTERS[n]}: {_share(levels[n], total)}")
            for n in _LEVELS
        ]
        bars.append(Bar(_unit_label(key), 0.0, _share(total - levels[0], total), pieces=pieces))
    return bar_chart(bars, f"Levels of the Action Units of {split}", _NOTE)


def _intensities(splits: Mapping[str, Stats]) -> str:
    """A strip per value: how its samples spread over 0..1, darker for more."""
    panels = []
    for split, stats in splits.items():
        if not stats.intensities:
            continue
        left, side = 210.0, (_WIDTH - 210.0) / INTENSITY_BINS
        parts = []
        for place, (key, counts) in enumerate(stats.intensities.items()):
            y = _ROW * (place + 0.5)
            parts.append(text_at(left - 10, y, _unit_label(key), "end", "label"))
            for step in range(INTENSITY_BINS):
                share = counts[step] / counts.total()
                box = f'x="{left + side * step:.1f}" y="{y - 9:g}" width="{side - 2:.1f}" height="18" rx="3"'
                parts.append(f'<rect class="track" {box}/>')
                if share:
                    tip = f"<title>{step / INTENSITY_BINS:g} to {(step + 1) / INTENSITY_BINS:g}: {share:.1%}</title>"
                    parts.append(f'<rect class="cell" {box} fill-opacity="{share**0.5:.2f}">{tip}</rect>')
        end = _ROW * len(stats.intensities) + 10
        for step in (0, INTENSITY_BINS // 2, INTENSITY_BINS):
            anchor = ("start", "middle", "end")[(step > 0) + (step == INTENSITY_BINS)]
            parts.append(text_at(left + side * step, end, f"{step / INTENSITY_BINS:g}", anchor, "axis"))
        panels.append(
            (split, _size(stats), drawing(_WIDTH, end + 10, f"Intensities of {split}", parts, "chart"))
        )
    lead = "<p class=legend>How the samples of each value spread over 0 to 1; the stronger the colour, the more.</p>"
    return _section("Intensities", lead, panels)


def _affect(splits: Mapping[str, Stats]) -> str:
    shown = {split: stats.affect for split, stats in splits.items() if stats.affect}
    top = max((max(cells.values()) / cells.total() for cells in shown.values()), default=0.0)
    panels = [
        (split, f"{cells.total():,} samples", _affect_map(split, cells, top))
        for split, cells in shown.items()
    ]
    lead = "<p class=legend>Samples by valence and arousal, each from -1 to 1; the stronger the colour, the more.</p>"
    return _section("Valence and arousal", lead, panels)


def _affect_map(split: str, cells: Counter[tuple[int, int]], top: float) -> str:
    side, left, size = 17.0, 60.0, 17.0 * AFFECT_CELLS
    parts = [f'<rect class="track" x="{left:g}" y="0" width="{size:g}" height="{size:g}" rx="4"/>']
    for (valence, arousal), count in sorted(cells.items()):
        x, y = left + side * valence, side * (AFFECT_CELLS - 1 - arousal)
        # The square root keeps cells of a few samples visible beside one of thousands.
        parts.append(
            f'<rect class="cell" x="{x + 0.5:g}" y="{y + 0.5:g}" width="{side - 1:g}" height="{side - 1:g}" rx="2" '
            f'fill-opacity="{max((count / cells.total() / top) ** 0.5, 0.06):.2f}"><title>{count:,}</title></rect>'
        )
    middle = side * AFFECT_CELLS / 2
    parts.append(f'<path class="grid" d="M{left + middle:g} 0v{size:g}M{left:g} {middle:g}h{size:g}"/>')
    for text, x, y, anchor in (
        ("-1", left, size + 14, "start"), ("valence", left + middle, size + 14, "middle"),
        ("1", left + size, size + 14, "end"), ("1", left - 8, 8, "end"), ("arousal", left - 8, middle, "end"),
        ("-1", left - 8, size - 8, "end"),
    ):  # fmt: skip
        parts.append(text_at(x, y, text, anchor, "axis"))
    return drawing(_WIDTH, size + 26, f"Valence and arousal of {split}", parts, "chart")


def _texts(splits: Mapping[str, Stats]) -> str:
    shown = {split: stats.words for split, stats in splits.items() if stats.words}
    bins = {place for words in shown.values() for place in words}
    panels = [
        (split, f"{words.total():,} texts", _histogram(split, words, min(bins), max(bins)))
        for split, words in shown.items()
    ]
    return _section("Words per description", "", panels)


def _histogram(split: str, bins: Counter[int], low: int, high: int) -> str:
    height, left = 150.0, 8.0
    side = (_WIDTH - 2 * left) / (high - low + 1)
    top = max(bins.values())
    parts = []
    for place in range(low, high + 1):
        tall = height * bins[place] / top
        x = left + side * (place - low)
        gap = min(2.0, side / 5)
        tip = f"<title>{place * WORDS_STEP} to {(place + 1) * WORDS_STEP - 1} words: {bins[place]:,}</title>"
        parts.append(
            f'<rect class="bars" x="{x:.1f}" y="{height - tall:.1f}" width="{max(side - gap, 0.5):.1f}" '
            f'height="{tall:.1f}" rx="{min(3.0, side / 4):.1f}">{tip}</rect>'
        )
    for place, anchor in ((low, "start"), (high + 1, "end")):
        x = left + side * (place - low)
        parts.append(text_at(x, height + 14, f"{place * WORDS_STEP} words", anchor, "axis"))
    parts.append(f'<path class="grid" d="M{left:g} {height:g}H{_WIDTH - left:g}"/>')
    return drawing(_WIDTH, height + 26, f"Words per description of {split}", parts, "chart")


def _groups(splits: Mapping[str, Stats]) -> str:
    return "".join(_group_sections(splits))


def _group_sections(splits: Mapping[str, Stats]) -> Iterator[str]:
    names = dict.fromkeys(name for stats in splits.values() for name in stats.groups)
    for name in names:
        total = sum((stats.groups.get(name, Counter()) for stats in splits.values()), Counter[str]())
        values = sorted(total) if name == "age" else [value for value, _ in total.most_common(15)]
        shown = {split: stats.groups[name] for split, stats in splits.items() if name in stats.groups}
        top = max(counts[value] / counts.total() for counts in shown.values() for value in values)
        panels = []
        for split, counts in shown.items():
            rows = [(v, counts[v] / counts.total(), _share(counts[v], counts.total()), "") for v in values]
            panels.append((split, f"{counts.total():,} samples", _bars(rows, top, f"{name} in {split}")))
        yield _section(name[:1].upper() + name[1:], "", panels)
    if any(stats.smiles for stats in splits.values()):
        panels = []
        for split, stats in splits.items():
            total_smiles = stats.smiles.total()
            rows = [
                (word, stats.smiles[key] / total_smiles, _share(stats.smiles[key], total_smiles), "")
                for word, key in (("smile", True), ("no smile", False))
            ]
            panels.append((split, _size(stats), _bars(rows, 1.0, f"Smiles of {split}")))
        yield _section("Smile", "", panels)
