"""A trained system of the five, read from its folder and run in torch: measurement, explanations, answers.

The folder holds ``config.json`` and ``model.safetensors`` (`FacialLM.save_pretrained`), ``tokenizer.json``, and
``mien.json``: which system, scale and options, and how a face becomes its inputs. A run's folder holds such a
folder as ``model``.
"""

from __future__ import annotations

import random
import re
from collections.abc import Callable, Iterator, Sequence
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import torch

from mien.backends.base import Readout
from mien.backends.rules import emotions_of
from mien.core.aus import AU_SETS, AUS, FEAFA_24, level_intensity
from mien.core.emotions import EMOTIONS
from mien.core.errors import BadConfig, BadInput, MissingWeights, require_known
from mien.core.nouns import Answer, AuReading, Evidence, Explanation, FaceResult, Labels, Turn
from mien.dialogue.read import au_arrays
from mien.dialogue.read.cot import Unparsed, read_explanation
from mien.dialogue.say.narrator import narrate
from mien.dialogue.say.questions import classify_question
from mien.face.decode.clips import middle
from mien.metrics.calibration import Scaling
from mien.models.composite.assemble import PRECISIONS
from mien.models.composite.conversing import converse
from mien.models.composite.evidence_inputs import Inputs, evidence_inputs, expert_words, needed_experts
from mien.models.composite.experts import require_experts
from mien.models.composite.facial_lm import FacialLM
from mien.models.composite.readouts import Readouts, calibrated, grammar_tokens
from mien.models.composite.systems import Arrays, LabelTask, System
from mien.models.formats.loading import (
    model_folder,
    open_facial,
    open_facial_config,
    open_tokenizer_file,
    read_card,
)
from mien.models.registry import open_system

__all__ = ["Shown", "TorchReader", "number_format", "open_torch", "present_device"]

Shown = Evidence | Sequence[Evidence]
"""What one answer is about: a face, or a clip as the same face in several frames, in order of time."""
Clip = tuple[Evidence, ...]

FILES = ("mien.json", "config.json", "tokenizer.json")
_BATCH = 16
_UNMEASURED = AuReading.of(float("nan"))
_MOST_SAID = "age over 70, gender female, race other race"
_SHARPNESS = 10.0
_EDGE = 0.1
"""Intensity at which `AuReading.of` turns from absent to present, at the cut-off that it takes by default."""


def open_torch(
    folder: str | Path | None = None,
    threads: int | None = None,
    device: str = "cpu",
    precision: str | None = None,
) -> TorchReader:
    """The system in ``folder``; see `TorchReader`.

    Raises:
        BadConfig: no folder, it names a system that mien does not know, or there is no such device.
        MissingWeights: a file is absent or cannot be read.
    """
    if folder is None:
        raise BadConfig(
            got="the model name 'torch' alone",
            expected="the folder of a trained system",
            fix="Pass the folder that 'mien train' or 'mien models import' wrote, such as runs/expllm-small",
        )
    return TorchReader(Path(model_folder(folder)), threads, device, precision)


def present_device(name: str) -> torch.device:
    """A device that this machine has."""
    present = {"cuda": torch.cuda.device_count(), "mps": int(torch.backends.mps.is_available()), "cpu": 1}
    name = next(kind for kind, count in present.items() if count) if name == "auto" else name
    found = re.fullmatch(r"(cpu|cuda|mps)(?::(\d+))?", name)
    if found is None or int(found[2] or 0) >= present[found[1]]:
        known = ["auto", *(f"{kind}:{place}" for kind, count in present.items() for place in range(count))]
        raise BadConfig(
            got=f"device {name!r}",
            expected=f"one that this torch sees: {', '.join(known)}",
            fix="Choose one of these, or install a torch that is built for the device",
        )
    return torch.device(name)


def number_format(precision: str | None) -> torch.dtype | str:
    """Of the weights; None keeps the file's."""
    if precision is None:
        return "auto"
    require_known(precision, PRECISIONS, "precision")
    return PRECISIONS[precision]


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
    card = read_card(folder)
    if not isinstance(card.get("system"), str):
        raise MissingWeights(
            got=f"{folder / 'mien.json'} without a system",
            expected='an object with "system", "scale" and "options"',
            fix="Train the system again",
        )
    return card


class TorchReader:
    """Reads faces with a trained system of the five.

    Emotions are the likelihoods of the label's answers; AU-LLaVA's come from its AUs by EMFACS rules. AUs are those
    that the system measures (AU-LLaVA alone); for the others every reading is unmeasured. A system of `System.clips`
    (EMO-LLaMA) also reads clips: wherever a face is expected, the faces of several frames may stand.

    Args:
        folder: see the module.
        threads: torch's threads, for the whole process; None leaves them as they are.
        device: ``"cpu"``, ``"cuda"``, ``"cuda:1"`` …, ``"mps"``: where the model runs.
        precision: ``"fp32"``, ``"bf16"`` or ``"fp16"``; None for that of the file.
        model: the folder's weights where they are in memory already; device and precision stay theirs.
        readouts: what asks the decoder: here, or at a server (`mien.backends.vllm`).

    Raises:
        BadConfig: the folder names an unknown system or option, or there is no such device or precision.
        MissingWeights: a file is absent or cannot be read.
    """

    name = "torch"
    grounded = False

    def __init__(
        self,
        folder: Path,
        threads: int | None = None,
        device: str = "cpu",
        precision: str | None = None,
        model: FacialLM | None = None,
        readouts: Callable[[FacialLM, int], Readouts] = Readouts,
    ) -> None:
        place, dtype = present_device(device), number_format(precision)
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
        self.inputs = Inputs.of_card(card, folder)
        require_experts(needed_experts(open_facial_config(folder), self.inputs), self.inputs.experts)
        self.crop_size: int = self.inputs.crop_size
        self.generation: dict[str, Any] = {**self.system.generation.arguments(), **card.get("generation", {})}
        self.tokenizer = open_tokenizer_file(folder / "tokenizer.json")
        if model is None:
            model = open_facial(folder, dtype=dtype).to(place)
        self.model: FacialLM = model.eval()
        self.readouts = readouts(self.model, int(card.get("pad_id", 0)))
        scaling = card.get("calibration")
        self.scaling = None if scaling is None else Scaling(scaling["temperature"], tuple(scaling["bias"]))
        self.arrays = self.system.arrays
        forms = {} if self.arrays is None else self.arrays.forms
        self.array_task = self.task if self.task in forms else next(iter(forms), "")
        # A folder that names no task is taken at the paper's word: one model for all of them.
        self.trained: tuple[str, ...] = tuple(card.get("tasks", [self.task] if "task" in card else forms))
        self.aus: tuple[str, ...] = (
            AU_SETS["pocket"] if self.arrays is None else _units(self.arrays.units(self.array_task))
        )

    # ---- reading

    def measure(self, batch: Sequence[Shown]) -> list[FaceResult]:
        """Emotions and AU readings of each face; those of a clip are about all its frames and carry its middle face.

        Raises:
            BadInput: a face without the landmarks or the pixels that the system reads, an empty clip, a clip for a
                system of one picture, or more frames than the decoder's context holds.
        """
        results: list[FaceResult] = []
        for part in self._parts(batch):
            results += self._label(part) if self.arrays is None else self._code(self.arrays, part)
        return results

    def _parts(self, batch: Sequence[Shown]) -> Iterator[list[Clip]]:
        """The items as clips, as many together as make `_BATCH` frames, at least one."""
        part: list[Clip] = []
        for item in batch:
            clip = self._clip(item)
            if part and sum(map(len, part)) + len(clip) > _BATCH:
                yield part
                part = []
            part.append(clip)
        if part:
            yield part

    def _clip(self, item: Shown) -> Clip:
        clip = (item,) if isinstance(item, Evidence) else tuple(item)
        if not clip or (len(clip) > 1 and not self.system.clips):
            raise BadInput(
                got=f"a clip of {len(clip)} frames for {self.system.name}",
                expected="one frame or more" if self.system.clips else "one picture per answer",
                fix="Pass the frames that show the face" if self.system.clips else "Pass one of the frames",
            )
        return clip

    def label_scores(self, batch: Sequence[Shown]) -> tuple[tuple[str, ...], npt.NDArray[np.float64]]:
        """The labels, and the (N, L) log-likelihoods of their answers, up to a constant per item: not calibrated.

        Raises:
            BadConfig: a system that names no labels.
            BadInput: as `measure`, or no item.
        """
        parts = [self._scored(part) for part in self._parts(batch)]
        if not parts:
            raise BadInput(got="no face", expected="one or more", fix="Pass the faces to read")
        return parts[0][0], np.concatenate([scores for _, scores in parts])

    def _scored(self, clips: Sequence[Clip]) -> tuple[tuple[str, ...], npt.NDArray[np.float64]]:
        about = self._about(clips)
        tasks = {one: self._closed(*one) for one in set(about)}
        turns = [[Turn("user", tasks[one].question)] for one in about]
        begun = {one: self._begun(task) for one, task in tasks.items()}
        scores = self.readouts.label_scores([begun[one] for one in about], self._evidence(clips, turns))
        return tuple(tasks[about[0]].answers), scores

    def _label(self, clips: Sequence[Clip]) -> list[FaceResult]:
        labels, scores = self._scored(clips)
        unmeasured = dict.fromkeys(self.aus, _UNMEASURED)
        results = []
        for clip, row in zip(clips, calibrated(scores, self.scaling), strict=True):
            found = dict(zip(labels, row.tolist(), strict=True))
            known = {label: found.get(label, 0.0) for label in EMOTIONS}
            total = sum(known.values())
            emotions = {label: chance / total for label, chance in known.items()}
            results.append(FaceResult(clip[middle(len(clip))].face, emotions, unmeasured))
        return results

    def _begun(self, task: LabelTask) -> list[tuple[int, ...]]:
        """The dialogues that end with each label."""
        turns = [Turn("user", task.question)]
        return [
            self.system.begun(turns, said, self.tokenizer, self.model.config)
            for said in task.answers.values()
        ]

    def _closed(self, frames: int = 1, agr: str | None = None) -> LabelTask:
        if self.system.labels is None:
            raise BadConfig(
                got=f"an emotion question to {self.system.name}",
                expected="a system that names emotions",
                fix="Ask it for Action Units",
            )
        return self.system.labels({"task": self.task, **self._options(frames, agr)})

    def _about(self, clips: Sequence[Clip]) -> list[tuple[int, str | None]]:
        """Of each clip, how many frames it has and what the prompt tells of the face (of its middle frame)."""
        said: Sequence[str | None] = [None] * len(clips)
        if self.inputs.attributes != "none":
            said = expert_words(self.inputs, [clip[middle(len(clip))] for clip in clips])
        return list(zip(map(len, clips), said, strict=True))

    def _options(self, frames: int, agr: str | None = None) -> dict[str, Any]:
        """The options of a question about so many frames of a face of this age, gender and race."""
        return {**self.options, "frames": frames, "agr": agr} if self.system.clips else self.options

    def _evidence(self, clips: Sequence[Clip], dialogues: Sequence[Sequence[Turn]]) -> dict[str, Any]:
        """Every frame is an item, in reading order; each is read with the question of its clip."""
        spoken = [turns for clip, turns in zip(clips, dialogues, strict=True) for _ in clip]
        return self._inputs([frame for clip in clips for frame in clip], spoken)

    def _inputs(self, batch: Sequence[Evidence], dialogues: Sequence[Sequence[Turn]]) -> dict[str, Any]:
        instructions = [self.system.instruction(turns) for turns in dialogues]
        return evidence_inputs(self.model.config, self.inputs, batch, instructions, self.tokenizer)

    def _code(self, arrays: Arrays, clips: Sequence[Clip]) -> list[FaceResult]:
        form, names = arrays.forms[self.array_task], arrays.units(self.array_task)
        values = self._array(arrays, clips, self.array_task)[1]
        results = []
        for (evidence,), row in zip(clips, values, strict=True):
            aus = _readings(names, row, form)
            results.append(FaceResult(evidence.face, emotions_of(aus), aus))
        return results

    def _array(
        self, arrays: Arrays, clips: Sequence[Clip], task: str
    ) -> tuple[list[str], npt.NDArray[np.float64]]:
        """The arrays as text, and (N, units) values: belief in presence, expected level, or intensity."""
        form = arrays.forms[task]
        slots = au_arrays.slots(form, len(arrays.units(task)))
        turns = [Turn("user", self.system.ask(task))]
        ids, free = grammar_tokens(
            lambda said: self.system.begun(turns, said, self.tokenizer, self.model.config), slots
        )
        chosen, beliefs = self.readouts.arrays(
            [ids] * len(clips), free, self._evidence(clips, [turns] * len(clips))
        )
        texts = []
        for row in chosen:
            picks = iter(row)
            texts.append("".join(slot[next(picks)] if len(slot) > 1 else slot[0] for slot in slots))
        if form == "intensity":
            return texts, np.asarray(chosen) @ np.kron(np.eye(len(chosen[0]) // 2), [[0.1], [0.01]])
        expected = [belief @ np.arange(belief.shape[1]) for belief in beliefs]
        return texts, np.stack(expected, axis=1)

    # ---- words

    def explain(self, batch: Sequence[Shown], results: Sequence[FaceResult]) -> list[Explanation]:
        """Explanations in words: ExpLLM's chain of thought after the label that was read, the others' free answer.

        A text without the three parts stands whole under the observations. AU-LLaVA says no words: the narrator
        speaks for its readings.
        """
        if self.arrays is not None:
            return [narrate(result.aus, result.emotions, random.Random(0)) for result in results]
        found: list[Explanation] = []
        read = iter(results)
        for part in self._parts(batch):
            dialogues = [self._explaining(next(read).emotion, *one) for one in self._about(part)]
            for text in self._texts(part, dialogues):
                parsed = read_explanation(text)
                found.append(Explanation(text, "", "") if isinstance(parsed, Unparsed) else parsed)
        return found

    def _explaining(self, label: str, frames: int = 1, agr: str | None = None) -> list[Turn]:
        if self.system.explaining is not None:
            return list(self.system.explaining(label))
        return [Turn("user", self._closed(frames, agr).question)]

    def _texts(self, clips: Sequence[Clip], dialogues: Sequence[Sequence[Turn]], **options: Any) -> list[str]:
        prompts = [self.system.encode(turns, self.tokenizer, self.model.config).ids for turns in dialogues]
        ends = self.tokenizer.encode(self.system.template.end, add_special_tokens=False).ids
        return self.readouts.texts(
            prompts,
            self.tokenizer,
            self._evidence(clips, dialogues),
            end=ends[0] if len(ends) == 1 else None,
            stop=self.system.generation.stop,
            **{**self.generation, **options},
        )

    def ask(self, evidence: Shown, question: str) -> Answer:
        """Answer one question: an emotion by likelihood, an array by its grammar, anything else in free words.

        Args:
            evidence: a face; or a clip, for a system that reads clips. At most `clip_limit` frames fit.
            question: in the user's own words.

        Raises:
            BadInput: see `measure`.
        """
        clip = self._clip(evidence)
        task = classify_question(question)
        # What is asked has to fit, even where the system's own question stands in for it.
        self.system.encode(self._wrapped(question, 1), self.tokenizer, self.model.config)
        if task == "emotion" and self.system.labels is not None:
            emotions = self._label([clip])[0].emotions
            label = max(emotions, key=lambda name: emotions[name])
            return Answer(label, "answered", labels=Labels(emotion=label), scores=emotions)
        if self.arrays is not None:
            return self._coded(self.arrays, clip, task, question)
        if task == "explanation" and self.system.explaining is not None:
            turns = self._explaining(self._label([clip])[0].emotion)
        else:
            turns = self._wrapped(question, *self._about([clip])[0])
        return Answer(self._texts([clip], [turns])[0], "answered")

    def _coded(self, arrays: Arrays, clip: Clip, task: str, question: str) -> Answer:
        """An array in the form that is asked for; emotion and explanation follow from the readings by rules."""
        if task in ("emotion", "explanation"):
            (result,) = self._code(arrays, [clip])
            if task == "emotion":
                labels = Labels(emotion=result.emotion)
                return Answer(result.emotion, "answered", labels=labels, scores=dict(result.emotions))
            text = narrate(result.aus, result.emotions, random.Random(0)).text
            return Answer(text, "answered", labels=Labels(chain_of_thought=text))
        wanted = arrays.asked(task, question, self.trained)
        if isinstance(wanted, Answer):
            return wanted
        return arrays.pick(self._array(arrays, [clip], wanted[0])[0][0], *wanted)

    def _wrapped(self, question: str, frames: int, agr: str | None = None) -> list[Turn]:
        found = [placeholder for placeholder in self.system.placeholders if placeholder in question]
        if found:
            raise BadInput(
                got=f"a question with {found[0]}",
                expected="plain words: the face takes its place in the prompt by itself",
                fix="Leave the placeholder out",
            )
        return [Turn("user", self.system.wrap(question, self._options(frames, agr)))]

    def answer(
        self,
        batch: Sequence[Shown],
        dialogues: Sequence[str | Sequence[Turn]],
        readout: Readout = "own",
        **options: Any,
    ) -> list[Answer]:
        """Answers to one dialogue per face or clip.

        Args:
            batch: of faces or clips.
            dialogues: a question in a user's own words; or turns as a system's builders make them, asked round by round
                (`converse`), of which the last answer comes back.
            readout: ``"own"``: questions as `ask` answers them; ``"generation"``: free words, as turns always are.
            options: of generation, over the system's own: ``num_beams``, ``do_sample``, ``temperature``, ``seed`` …

        Raises:
            BadInput: see `measure`; or not as many questions as faces.
            BadConfig: an option that ``generate`` does not have.
        """
        if len(batch) != len(dialogues):
            raise BadInput(
                got=f"{len(batch)} faces with {len(dialogues)} questions",
                expected="one question for each face or clip",
                fix="Repeat a question that is asked about several faces",
            )
        if readout == "own" and all(isinstance(one, str) for one in dialogues):
            return [self.ask(shown, str(one)) for shown, one in zip(batch, dialogues, strict=True)]
        said: list[Answer] = []
        for part in self._parts(batch):
            asked = dialogues[len(said) : len(said) + len(part)]
            turns = [
                self._wrapped(one, *about) if isinstance(one, str) else list(one)
                for about, one in zip(self._about(part), asked, strict=True)
            ]
            seen, how = partial(self._evidence, part), {**self.generation, **options}
            told = converse(self.system, self.readouts, self.tokenizer, turns, seen, **how)
            said += [Answer(answers[-1], "answered") for answers in told]
        return said

    def clip_limit(self, question: str) -> int:
        """Most frames of a clip that one answer to ``question`` may be about; 1 for a system of one picture.

        Frames, question and answer share the decoder's context, or what the system was trained with where that is
        shorter: an emotion needs room for the longest label, free words for all new tokens of `generation`.
        """
        if not self.system.clips:
            return 1
        (name,) = self.system.placeholders.values()
        rows, few = int(self.model.config.evidence[name]["rows"]), 2  # worded as about a clip
        most = None if self.inputs.attributes == "none" else _MOST_SAID
        if classify_question(question) == "emotion" and self.system.labels is not None:
            used = max(map(len, self._begun(self._closed(few, most))))
        else:
            prompt = self.system.encode(self._wrapped(question, few, most), self.tokenizer, self.model.config)
            used = len(prompt.ids) + int(self.generation.get("max_new_tokens", 0))
        return max(1, (self.system.limit(self.model.config) - used) // rows + few)


def _units(names: Sequence[str]) -> tuple[str, ...]:
    """FACS keys of an array's values, in its order; FEAFA's sides are joined."""
    facs = {value.name: value.facs for value in FEAFA_24}
    named = [facs.get(name, name) for name in names]
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
        return AuReading.of(value if form == "intensity" else level_intensity(value))
    belief = min(max(value, 1e-4), 1.0 - 1e-4)
    odds = float(np.log(belief / (1.0 - belief)))
    if odds > 0.0:
        return AuReading.of(_EDGE + odds / _SHARPNESS, _SHARPNESS)
    return AuReading.of(0.0, -odds / _EDGE)
