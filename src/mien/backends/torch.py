"""A trained system of the five, read from its folder and run in torch: measurement, explanations, answers.

The folder holds ``config.json`` and ``model.safetensors`` (`FacialLM.save_pretrained`), ``tokenizer.json``, and
``mien.json``: which system, scale and options, and how a face becomes its inputs. A run's folder holds such a
folder as ``model``.
"""

from __future__ import annotations

import json
import random
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import torch
from tokenizers import Tokenizer

from mien.backends.rules import emotions_of
from mien.core.aus import AU_SETS, AUS, FEAFA_24
from mien.core.emotions import EMOTIONS
from mien.core.errors import BadConfig, MissingWeights
from mien.core.nouns import Answer, AuReading, Evidence, Explanation, FaceResult, Labels, Turn
from mien.dialogue import au_arrays
from mien.dialogue.cot import Unparsed, read_explanation
from mien.dialogue.narrator import narrate
from mien.dialogue.questions import classify_question
from mien.metrics.calibration import Scaling
from mien.models import au_llava, expllm
from mien.models.evidence_inputs import Inputs, evidence_inputs
from mien.models.facial_lm import FacialLM
from mien.models.readouts import Readouts, calibrated, grammar_tokens
from mien.models.systems import LabelTask, System, open_system

__all__ = ["TorchReader", "open_torch"]

FILES = ("mien.json", "config.json", "tokenizer.json")
_BATCH = 16
_UNMEASURED = AuReading.of(float("nan"))
_SHARPNESS = 10.0
_EDGE = 0.1
"""Intensity at which `AuReading.of` turns from absent to present, at the cut-off that it takes by default."""


def open_torch(folder: Path | None = None, threads: int | None = None) -> TorchReader:
    """The system in ``folder``.

    Raises:
        BadConfig: no folder, or it names a system that mien does not know.
        MissingWeights: a file is absent or cannot be read.
    """
    if folder is None:
        raise BadConfig(
            got="the model name 'torch' alone",
            expected="the folder of a trained system",
            fix="Pass the folder that 'mien train' wrote, such as runs/expllm-small",
        )
    return TorchReader(folder, threads)


def _read_card(folder: Path) -> dict[str, Any]:
    absent = [name for name in FILES if not (folder / name).is_file()]
    if not any(folder.glob("*.safetensors")):
        absent.append("model.safetensors")
    if absent:
        raise MissingWeights(
            got=f"{folder} without {', '.join(absent)}",
            expected="a trained system's folder",
            fix="Pass the folder that 'mien train' wrote, or train the system again",
        )
    try:
        card = json.loads((folder / "mien.json").read_text(encoding="utf-8"))
    except ValueError as error:
        raise MissingWeights(
            got=f"{folder / 'mien.json'}, which is no JSON ({error})",
            expected="the description that 'mien train' writes",
            fix="Train the system again",
        ) from error
    if not isinstance(card, dict) or not isinstance(card.get("system"), str):
        raise MissingWeights(
            got=f"{folder / 'mien.json'} without a system",
            expected='an object with "system", "scale" and "options"',
            fix="Train the system again",
        )
    return card


class TorchReader:
    """Reads faces with a trained system of the five.

    Emotions are the likelihoods of the label's answers; AU-LLaVA's come from its AUs by EMFACS rules. AUs are those
    that the system measures (AU-LLaVA alone); for the others every reading is unmeasured.

    Args:
        folder: see the module.
        threads: torch's threads, for the whole process; None leaves them as they are.

    Raises:
        BadConfig: the folder names an unknown system or option.
        MissingWeights: a file is absent or cannot be read.
    """

    name = "torch"

    def __init__(self, folder: Path, threads: int | None = None) -> None:
        card = _read_card(folder)
        if threads is not None:
            torch.set_num_threads(threads)
        self.folder = folder
        self.options: dict[str, Any] = {
            **card.get("options", {}),
            **{key: card[key] for key in ("answer", "question") if key in card},
        }
        self.system: System = open_system(card["system"], card.get("scale"))
        self.task: str = card.get("task", "emotion")
        self.inputs = Inputs.of(card.get("inputs", {}))
        self.crop_size: int = self.inputs.crop_size
        self.generation: dict[str, Any] = {**self.system.generation.arguments(), **card.get("generation", {})}
        self.tokenizer = Tokenizer.from_file(str(folder / "tokenizer.json"))
        self.model: FacialLM = FacialLM.from_pretrained(folder).eval()
        self.readouts = Readouts(self.model, int(card.get("pad_id", 0)))
        scaling = card.get("calibration")
        self.scaling = None if scaling is None else Scaling(scaling["temperature"], tuple(scaling["bias"]))
        self._codes = self.system.name == "au-llava"
        self.array_task = self.task if self.task in au_llava.TASKS else "bp4d"
        self.aus: tuple[str, ...] = _units(self.array_task) if self._codes else AU_SETS["pocket"]

    # ---- reading

    def measure(self, batch: Sequence[Evidence]) -> list[FaceResult]:
        """Emotions and AU readings of each face.

        Raises:
            BadInput: a face without the landmarks or the pixels that the system reads.
        """
        results: list[FaceResult] = []
        for start in range(0, len(batch), _BATCH):
            part = batch[start : start + _BATCH]
            results += self._code(part) if self._codes else self._label(part)
        return results

    def _label(self, batch: Sequence[Evidence]) -> list[FaceResult]:
        task = self._closed()
        turns = [Turn("user", task.question)]
        answers = [
            self.system.begun(turns, said, self.tokenizer, self.model.config)
            for said in task.answers.values()
        ]
        scores = self.readouts.label_scores([answers] * len(batch), self._inputs(batch, [turns] * len(batch)))
        chances = calibrated(scores, self.scaling)
        unmeasured = dict.fromkeys(self.aus, _UNMEASURED)
        results = []
        for evidence, row in zip(batch, chances, strict=True):
            found = dict(zip(task.answers, row.tolist(), strict=True))
            known = {label: found.get(label, 0.0) for label in EMOTIONS}
            total = sum(known.values())
            emotions = {label: chance / total for label, chance in known.items()}
            results.append(FaceResult(evidence.face, emotions, unmeasured))
        return results

    def _closed(self) -> LabelTask:
        if self.system.labels is None:
            raise BadConfig(
                got=f"an emotion question to {self.system.name}",
                expected="a system that names emotions",
                fix="Ask it for Action Units",
            )
        return self.system.labels(self.options)

    def _inputs(self, batch: Sequence[Evidence], dialogues: Sequence[Sequence[Turn]]) -> dict[str, Any]:
        instructions = [self.system.instruction(turns) for turns in dialogues]
        return evidence_inputs(self.model.config, self.inputs, batch, instructions, self.tokenizer)

    def _code(self, batch: Sequence[Evidence]) -> list[FaceResult]:
        form = au_llava.TASKS[self.array_task][0]
        values = self._array(batch, self.system.ask(self.array_task), form)[1]
        names = au_llava.units(self.array_task)
        results = []
        for evidence, row in zip(batch, values, strict=True):
            aus = _readings(names, row, form)
            results.append(FaceResult(evidence.face, emotions_of(aus), aus))
        return results

    def _array(
        self, batch: Sequence[Evidence], question: str, form: str
    ) -> tuple[list[str], npt.NDArray[np.float64]]:
        """The arrays as text, and (N, units) values: belief in presence, expected level, or intensity."""
        count = len(au_llava.units(self.array_task))
        slots = au_arrays.slots(form, count)
        turns = [Turn("user", question)]
        ids, free = grammar_tokens(
            lambda said: self.system.begun(turns, said, self.tokenizer, self.model.config), slots
        )
        chosen, beliefs = self.readouts.arrays(
            [ids] * len(batch), free, self._inputs(batch, [turns] * len(batch))
        )
        texts = []
        for row in chosen:
            picks = iter(row)
            texts.append("".join(slot[next(picks)] if len(slot) > 1 else slot[0] for slot in slots))
        if form == "intensity":
            return texts, np.asarray([[int(a) / 10 + int(b) / 100 for a, b in _pairs(row)] for row in chosen])
        expected = [belief @ np.arange(belief.shape[1]) for belief in beliefs]
        return texts, np.stack(expected, axis=1)

    # ---- words

    def explain(self, batch: Sequence[Evidence], results: Sequence[FaceResult]) -> list[Explanation]:
        """Explanations in words: ExpLLM's chain of thought after the label that was read, the others' free answer.

        A text without the three parts stands whole under the observations. AU-LLaVA says no words: the narrator
        speaks for its readings.
        """
        if self._codes:
            return [narrate(result.aus, result.emotions, random.Random(0)) for result in results]
        found: list[Explanation] = []
        for start in range(0, len(batch), _BATCH):
            part, read = batch[start : start + _BATCH], results[start : start + _BATCH]
            dialogues = [self._explaining(result.emotion) for result in read]
            for text in self._texts(part, dialogues):
                parsed = read_explanation(text)
                found.append(Explanation(text, "", "") if isinstance(parsed, Unparsed) else parsed)
        return found

    def _explaining(self, label: str) -> list[Turn]:
        if self.system.name == "expllm":
            said = Turn("assistant", label.capitalize())
            return [Turn("user", expllm.ask("label")), said, Turn("user", expllm.ask("cot"))]
        return [Turn("user", self._closed().question)]

    def _texts(
        self, batch: Sequence[Evidence], dialogues: Sequence[Sequence[Turn]], **options: Any
    ) -> list[str]:
        prompts = [self.system.encode(turns, self.tokenizer, self.model.config).ids for turns in dialogues]
        ends = self.tokenizer.encode(self.system.template.end, add_special_tokens=False).ids
        return self.readouts.texts(
            prompts,
            self.tokenizer,
            self._inputs(batch, dialogues),
            end=ends[0] if len(ends) == 1 else None,
            stop=self.system.generation.stop,
            **{**self.generation, **options},
        )

    def ask(self, evidence: Evidence, question: str) -> Answer:
        """Answer one question: an emotion by likelihood, an array by its grammar, anything else in free words.

        Raises:
            BadInput: the face lacks what the system reads.
        """
        task = classify_question(question)
        if task == "emotion" and self.system.labels is not None:
            emotions = self._label([evidence])[0].emotions
            label = max(emotions, key=lambda name: emotions[name])
            return Answer(label, "parsed", labels=Labels(emotion=label), scores=emotions)
        if self._codes:
            form = au_llava.TASKS[self.array_task][0]
            text = self._array([evidence], self.system.ask(self.array_task), form)[0][0]
            return self.system.read(text, self.array_task)
        if task == "explanation" and self.system.name == "expllm":
            turns = self._explaining(self._label([evidence])[0].emotion)
        else:
            turns = [Turn("user", self.system.wrap(question, self.options))]
        return Answer(self._texts([evidence], [turns])[0], "parsed")

    def answer(self, batch: Sequence[Evidence], questions: Sequence[str], **options: Any) -> list[str]:
        """Free answers to one question per face, left-padded into batches.

        Args:
            options: of generation, over the system's own: ``num_beams``, ``do_sample``, ``temperature``, ``seed`` …

        Raises:
            BadInput: another number of questions than faces would be a mistake, or a face lacks what is read.
        """
        said: list[str] = []
        for start in range(0, len(batch), _BATCH):
            asked = questions[start : start + _BATCH]
            dialogues = [[Turn("user", self.system.wrap(question, self.options))] for question in asked]
            said += self._texts(batch[start : start + _BATCH], dialogues, **options)
        return said


def _pairs(row: Sequence[int]) -> Sequence[tuple[int, int]]:
    return list(zip(row[::2], row[1::2], strict=True))


def _units(task: str) -> tuple[str, ...]:
    """FACS keys that a task's array measures, in its order; FEAFA's sides are joined."""
    facs = {value.name: value.facs for value in FEAFA_24}
    named = [facs.get(name, name) for name in au_llava.units(task)]
    return tuple(dict.fromkeys(key for key in named if key is not None and key in AUS))


def _readings(names: Sequence[str], values: Sequence[float], form: str) -> dict[str, AuReading]:
    """An array's values as readings; of FEAFA's two sides the stronger counts.

    A belief in presence carries no degree. It is the reading's probability; the intensity only grows with it.
    """
    facs = {value.name: value.facs for value in FEAFA_24}
    best: dict[str, float] = {}
    for name, value in zip(names, values, strict=True):
        key = facs.get(name, name)
        if key is not None and key in AUS:
            best[key] = max(best.get(key, 0.0), float(value))
    return {key: _reading(value, form) for key, value in best.items()}


def _reading(value: float, form: str) -> AuReading:
    if form != "binary":
        return AuReading.of(value if form == "intensity" else value / 5.0)
    belief = min(max(value, 1e-4), 1.0 - 1e-4)
    odds = float(np.log(belief / (1.0 - belief)))
    if odds > 0.0:
        return AuReading.of(_EDGE + odds / _SHARPNESS, _SHARPNESS)
    return AuReading.of(0.0, -odds / _EDGE)
