"""Validation of a trained system: its own answers on held-out faces, and scores that the answers alone give again."""

from __future__ import annotations

import json
import math
import random
from collections import Counter
from collections.abc import Mapping, Sequence
from pathlib import Path
from statistics import median_low
from typing import Any

from tokenizers import Tokenizer

from mien.core.errors import BadConfig, BadData
from mien.core.nouns import Answer, Labels, Sample, Turn
from mien.metrics.au import f1, mae, pcc
from mien.metrics.classification import accuracy, macro_f1, uar
from mien.models.composite.evidence_inputs import Inputs
from mien.models.composite.facial_lm import FacialLM
from mien.models.composite.readouts import Readouts
from mien.models.composite.systems import System
from mien.train.data.faces import Faces
from mien.train.data.instructions import Instruction, InstructionCollator, dialogue_about
from mien.train.recipe import Evaluation

__all__ = ["constants", "predict", "read_predictions", "score", "write_predictions"]

Row = dict[str, Any]
_FORMS = ("au_intensity", "au_level", "au_presence")


def predict(
    model: FacialLM,
    system: System,
    faces: Faces,
    inputs: Inputs,
    tokenizer: Tokenizer,
    wanted: Evaluation,
) -> list[Row]:
    """Ask the model as `wanted` says; one row per face that has the task's label.

    A dialogue of several rounds is asked round by round with the model's own answers (ExpLLM: label, then the
    explanation); the last answer is read.

    Raises:
        BadConfig: no face has the label, or an unknown template.
    """
    system = system.laid_out(wanted.template)
    asked: list[tuple[int, tuple[Turn, ...]]] = []
    for row in _spread(len(faces), wanted.limit):
        made = dialogue_about(system, wanted.task, faces, row, random.Random(row), wanted.dialogue)
        if made is not None:
            asked.append((row, made.turns))
    if not asked:
        raise BadConfig(
            got=f"no validation face with a label for task {wanted.task!r}",
            expected="at least one",
            fix="Change the recipe's validation data, or leave this evaluation out",
        )
    pad_id = tokenizer.token_to_id("<pad>") or 0
    collator = InstructionCollator(system, model.config, inputs, faces, tokenizer, pad_id)
    readouts = Readouts(model, pad_id)
    rows: list[Row] = []
    for start in range(0, len(asked), wanted.batch):
        batch = asked[start : start + wanted.batch]
        said = _converse(readouts, collator, batch, wanted)
        rows += [
            _row(system, faces.samples[face], wanted, turns, texts)
            for (face, turns), texts in zip(batch, said, strict=True)
        ]
    return rows


def _spread(count: int, limit: int | None) -> list[int]:
    if limit is None or limit >= count:
        return list(range(count))
    return [place * count // limit for place in range(limit)]


def _converse(
    readouts: Readouts,
    collator: InstructionCollator,
    batch: Sequence[tuple[int, tuple[Turn, ...]]],
    wanted: Evaluation,
) -> list[list[str]]:
    """The model's answers, round by round."""
    said: list[list[str]] = [[] for _ in batch]
    for turn in range(sum(one.role == "user" for one in batch[0][1])):
        items = [
            Instruction(face, wanted.task, _so_far(turns, answers, turn))
            for (face, turns), answers in zip(batch, said, strict=True)
        ]
        for answers, text in zip(said, _answers(readouts, collator, items, wanted), strict=True):
            answers.append(text)
    return said


def _so_far(turns: Sequence[Turn], answers: Sequence[str], turn: int) -> tuple[Turn, ...]:
    questions = [one for one in turns if one.role == "user"]
    told: list[Turn] = []
    for place in range(turn):
        told += [questions[place], Turn("assistant", answers[place])]
    return (*told, questions[turn])


def _answers(
    readouts: Readouts, collator: InstructionCollator, items: Sequence[Instruction], wanted: Evaluation
) -> list[str]:
    system, tokenizer = collator.system, collator.tokenizer
    prompts = [system.encode(item.turns, tokenizer, collator.config).ids for item in items]
    how: dict[str, Any] = {"do_sample": False}
    if wanted.sampling is not None:
        how = {"do_sample": True, **wanted.sampling.model_dump()}
    return readouts.texts(
        prompts,
        tokenizer,
        collator.evidence(items),
        end=tokenizer.token_to_id(system.template.end),
        stop=system.generation.stop,
        max_new_tokens=wanted.max_new_tokens,
        **how,
    )


def _row(
    system: System, sample: Sample, wanted: Evaluation, turns: Sequence[Turn], said: Sequence[str]
) -> Row:
    answer: Answer = system.read(said[-1], task=wanted.task, **wanted.reading)
    right = system.read(turns[-1].text, task=wanted.task, **wanted.reading).labels
    return {
        "id": sample.id,
        "dataset": sample.dataset,
        "task": wanted.task,
        "questions": [turn.text for turn in turns if turn.role == "user"],
        "answers": list(said),
        "status": answer.status,
        "reason": answer.reason,
        "truth": _values(_labelled(sample.labels, right) if "description" in wanted.task else right),
        "said": _values(answer.labels),
        "present_above": system.present_above.get(wanted.task, 0),
    }


def _labelled(known: Labels, right: Labels | None) -> Labels | None:
    """What a described face is labelled with; where it has no label, what is read in its description.

    Elsewhere, what the published read-out reads in the right answer is the truth that an answer is compared with.
    """
    if right is not None and right.au_presence:
        coded = known.au_presence or {}
        return Labels(au_presence={key: coded.get(key, there) for key, there in right.au_presence.items()})
    return Labels(emotion=known.emotion) if known.emotion else right


def _values(read: Labels | None) -> dict[str, Any] | None:
    """An emotion, AU values, or a text."""
    if read is None:
        return None
    for form in _FORMS:
        values = getattr(read, form)
        if values:
            return {"form": form, "aus": {key: float(value) for key, value in values.items()}}
    return {"emotion": read.emotion} if read.emotion else {"text": read.chain_of_thought or read.description}


def constants(rows: Sequence[Mapping[str, Any]]) -> dict[str, Any]:
    """The best answer that ignores the face, from training truths: most frequent emotion, median of each AU."""
    emotions = Counter(row["emotion"] for row in rows if row.get("emotion"))
    units: dict[str, list[float]] = {}
    for row in rows:
        for key, value in row.get("aus", {}).items():
            units.setdefault(key, []).append(value)
    return {
        "emotion": emotions.most_common(1)[0][0] if emotions else None,
        "aus": {key: median_low(values) for key, values in sorted(units.items())},
    }


def score(rows: Sequence[Mapping[str, Any]], always: Mapping[str, Any]) -> dict[str, Any]:
    """Figures of one task from its predictions, beside those of the constant answer.

    Unparsed answers are wrong labels; AU values of unparsed answers count as the constant's. An AU counts as present
    above the value that the rows name as ``present_above``; intensities have no F1.

    Args:
        rows: of `predict`.
        always: of `constants`.
    """
    figures: dict[str, Any] = {"n": len(rows), "unparsed": sum(row["status"] == "unparsed" for row in rows)}
    known = [row for row in rows if row["truth"]]
    if len(known) < len(rows):
        figures["without_truth"] = len(rows) - len(known)
    truths, said = [row["truth"] for row in known], [row["said"] or {} for row in known]
    if known and all("emotion" in truth for truth in truths):
        true = [truth["emotion"] for truth in truths]
        figures |= _emotion_figures(true, [one.get("emotion") for one in said], always["emotion"])
    elif known and all("aus" in truth for truth in truths):
        figures |= _au_figures(truths, said, always["aus"], known[0].get("present_above", 0))
    return figures


def _emotion_figures(true: Sequence[str], said: Sequence[str | None], always: str) -> dict[str, Any]:
    labels = sorted({*true, *(one for one in said if one)})
    return {
        "accuracy": accuracy(true, said).value,
        "uar": uar(true, said, labels).value,
        "macro_f1": macro_f1(true, said, labels).value,
        "recall": dict(uar(true, said, labels).parts),
        "baseline": {
            "answer": always,
            "accuracy": accuracy(true, [always] * len(true)).value,
            "uar": uar(true, [always] * len(true), labels).value,
        },
    }


def _au_figures(
    truths: Sequence[Mapping[str, Any]],
    said: Sequence[Mapping[str, Any]],
    always: Mapping[str, float],
    above: float,
) -> dict[str, Any]:
    errors, agreement, hits, still, everywhere = {}, {}, {}, {}, {}
    for key in truths[0]["aus"]:
        constant = float(always.get(key, 0.0))
        true = [float(truth["aus"][key]) for truth in truths]
        told = [float(one.get("aus", {}).get(key, constant)) for one in said]
        errors[key], agreement[key] = mae(true, told).value, pcc(true, told).value
        still[key] = mae(true, [constant] * len(true)).value
        if truths[0]["form"] != "au_intensity":
            present = [value > above for value in true]
            hits[key] = f1(present, [value > above for value in told]).value
            everywhere[key] = f1(present, [True] * len(true)).value
    return {
        "mae": _mean(errors.values()),
        "pcc": _mean(agreement.values()),
        "f1": _mean(hits.values()),
        "per_au": {
            key: {"mae": errors[key], "pcc": _null(agreement[key]), "f1": _null(hits.get(key, math.nan))}
            for key in errors
        },
        "baseline": {
            "answer": {key: float(always.get(key, 0.0)) for key in errors},
            "mae": _mean(still.values()),
            "f1_all_present": _mean(everywhere.values()),
        },
    }


def _mean(values: Any) -> float | None:
    known = [value for value in values if not math.isnan(value)]
    return math.fsum(known) / len(known) if known else None


def _null(value: float) -> float | None:
    return None if math.isnan(value) else value


def write_predictions(path: Path, rows: Sequence[Row]) -> None:
    """One JSON object per line."""
    path.write_text("".join(json.dumps(row, ensure_ascii=False) + "\n" for row in rows), encoding="utf-8")


def read_predictions(path: Path) -> list[Row]:
    """What `write_predictions` wrote.

    Raises:
        BadData: a line is no JSON object.
    """
    rows: list[Row] = []
    for number, line in enumerate(path.read_text(encoding="utf-8").splitlines(), 1):
        try:
            rows.append(json.loads(line))
        except json.JSONDecodeError as error:
            raise BadData(
                got=f"{path.name}:{number}: {error}",
                expected="one JSON object per line",
                fix="Write the predictions again: run the recipe in this folder",
            ) from error
    return rows
