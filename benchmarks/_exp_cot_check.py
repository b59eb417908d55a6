"""An independent look at a finished Exp-CoT run: the rows alone, by simple patterns of its own.

    python benchmarks/_exp_cot_check.py items.jsonl

Shares no code with the engine or its gates. Each movement is looked for as "part of the face beside a verb of that
movement, within a few words", on a text without head lines.
"""

from __future__ import annotations

import json
import re
import sys
from pathlib import Path
from typing import Any

LIMIT = 130
HEADS = ("Key Observations", "Overall Emotional Interpretation", "Conclusion")
EMOTION_ROOTS = {
    "Neutral": "neutral", "Happiness": "happ|joy", "Sadness": "sad", "Surprise": "surpris", "Fear": "fear",
    "Disgust": "disgust", "Anger": "ang(?:er|ry)", "Contempt": "contempt",
}  # fmt: skip
PRONOUNS = re.compile(
    r"\b(i|me|my|mine|myself|we|us|our|ours|ourselves|you|your|yours|yourself|he|him|his|himself|she|her|hers|herself|"
    r"they|them|their|theirs|themselves|it|its|itself)\b"
)
INDEX = re.compile(r"\bau\W?\d|\baction unit", re.IGNORECASE)

_UP, _DOWN = (
    r"(?:rais|lift|elevat|turned up|pulled up|drawn up|upward|pushed up)",
    r"(?:lower|pulled down|drawn down|depress)",
)
_IN = r"(?:sucked in|rolled inward|drawn inward|inward)"
_CORNER = r"(?:lip corners?|corners? of the mouth)"
# FEAFA's 24 values in index order: (side, part of the face, movement).
VALUES = (
    ("left", "eyes?", "(?:clos|shut)"), ("right", "eyes?", "(?:clos|shut)"),
    ("left", "(?:upper )?eyelids?", _UP), ("right", "(?:upper )?eyelids?", _UP),
    ("left", "(?:eye)?brows?", _DOWN), ("right", "(?:eye)?brows?", _DOWN),
    ("left", "(?:eye)?brows?", _UP), ("right", "(?:eye)?brows?", _UP),
    ("", "jaw", "(?:drop|lower)"),
    ("", "jaw", "(?:left)"), ("", "jaw", "(?:right)"),
    ("left", _CORNER, _UP), ("right", _CORNER, _UP),
    ("left", _CORNER, "(?:stretch|sideways)"), ("right", _CORNER, "(?:stretch|sideways)"),
    ("", "upper lip", _IN), ("", "lower lip", _IN), ("", "jaw", "forward"),
    ("", "upper lip", _UP), ("", "lower lip", _DOWN), ("", "chin", _UP),
    ("", "(?:lips)", "(?:pucker|purs)"), ("", "cheeks", "(?:puff|blown)"), ("", "nose", "(?:wrinkl|scrunch|crinkl)"),
)  # fmt: skip


def check(path: Path) -> dict[str, float]:
    """Shares 0..1 over the rows of ``items.jsonl`` (``rows`` and word counts are numbers).

    ``label`` and ``aus`` are the aims of the benchmark: the label word stands in the conclusion, and every positive
    value is stated in the observations.
    """
    rows = [json.loads(line) for line in Path(path).read_text(encoding="utf-8").splitlines() if line.strip()]
    found = [look(row) for row in rows]
    count = max(len(rows), 1)
    names = ("words", "heads", "label", "aus", "no_index", "no_pronoun", "au_list")
    shares = {name: sum(one[name] for one in found) / count for name in names}
    words = [one["count"] for one in found] or [0]
    texts = {row.get("description") for row in rows}
    return {
        "rows": float(len(rows)), "words_max": float(max(words)), "words_mean": sum(words) / len(words),
        "different_texts": len(texts) / count, **shares,
    }  # fmt: skip


def look(row: dict[str, Any]) -> dict[str, Any]:
    """What is right about one row."""
    text = str(row.get("description", ""))
    given, label = row.get("au"), str(row.get("emo"))
    plain = text.replace("**", "")
    parts = re.match(r"\A" + r"\s*".join(rf"{head}: *(.+?)" for head in HEADS) + r"\Z", plain, re.DOTALL)
    conclusion = parts.group(3).lower() if parts else ""
    values: list[float] = given if isinstance(given, list) else []
    listed = len(values) == 24 and all(0 <= value <= 1 for value in values)
    count = len(re.findall(r"[\w'-]+", plain))
    return {
        "count": count,
        "words": count <= LIMIT,
        "heads": parts is not None,
        "label": bool(re.search(rf"\b(?:{EMOTION_ROOTS.get(label, 'no such label')})", conclusion)),
        "aus": listed and not missing(parts.group(1).lower() if parts else plain.lower(), values),
        "no_index": INDEX.search(plain) is None,
        "no_pronoun": PRONOUNS.search(plain.lower()) is None,
        "au_list": listed,
    }


def missing(observations: str, values: list[float]) -> list[int]:
    """Indices of positive values that no clause of the observations states."""
    clauses = re.split(r"[.,;]|\band\b", observations)
    return [
        place
        for place, value in enumerate(values)
        if value > 0 and not any(states(c, place) for c in clauses)
    ]


def states(clause: str, place: int) -> bool:
    """Whether one clause states the value at ``place``; a clause that names the other side only does not."""
    side, part, movement = VALUES[place]
    if re.search(r"\b(?:no|not|nothing|neither|without|free of|or)\b", clause):
        return False
    if side:
        other = "right" if side == "left" else "left"
        if re.search(rf"\b{other}\b", clause) and not re.search(rf"\b{side}\b", clause):
            return False
    near = r"[\w\s-]{0,40}?"
    return bool(re.search(rf"\b{part}\b{near}\b{movement}|{movement}{near}\b{part}\b", clause))


if __name__ == "__main__":
    for name, figure in check(Path(sys.argv[1])).items():
        print(f"{name:16} {figure:.4f}")
