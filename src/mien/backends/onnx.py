"""The embedded pocket model in ONNX Runtime: measurement, likelihood read-out, arrays, explanations. No torch.

The folder of a model holds ``bundle.json`` (shapes, label order, calibration, checksums), ``evidence.onnx``,
``units.onnx`` (the last word on AUs), ``expression.onnx`` (the emotion), ``decoder.onnx``, ``regions.onnx`` (what is
hidden), ``tokens.safetensors`` (token embeddings) and ``tokenizer.json``.
"""

from __future__ import annotations

import math
import threading
from collections.abc import Iterable, Iterator, Sequence
from functools import cached_property
from pathlib import Path
from typing import Any, NamedTuple, TypeVar

import numpy as np
import numpy.typing as npt

from mien.backends.base import AnswersByAsking
from mien.backends.pocket_bundle import AGAIN, verify_bundle
from mien.core.aus import AU_SETS, Region
from mien.core.emotions import EMOTIONS
from mien.core.errors import BackendFailed, BadConfig, weights_of_strangers
from mien.core.nouns import (
    Answer,
    AuReading,
    Evidence,
    Explanation,
    Face,
    FaceResult,
    FloatArray,
    Labels,
    Turn,
)
from mien.core.paths import pocket_weights
from mien.dialogue.read.au_arrays import read_array, slots
from mien.dialogue.read.cot import read_explanation
from mien.dialogue.say.questions import classify_question
from mien.face.onnx_sessions import open_session
from mien.metrics.calibration import softmax
from mien.models.pocket.inputs import HIDDEN_REGIONS, SIDED, TOLD_SIDES, batch_inputs, grey_inputs
from mien.models.pocket.prompt import ANSWER_END, TOLD_ROWS, prompt

__all__ = ["PocketReader", "open_pocket"]

_EXPLAIN = "Explain the emotion of this face."
_HEADINGS = ("Key Observations:", "\n\nOverall Emotional Interpretation:", "\n\nConclusion:")
_PART_LENGTH = 700
"""Characters of one part, when the headings are given."""
_MAX_TOKENS = 260
_DRAWN_FROM, _WARMTH = 12, 0.8
_BATCH = 32
_T = TypeVar("_T")


def open_pocket(folder: Path | None = None, threads: int | None = None, device: str = "cpu") -> PocketReader:
    """The embedded model, or another of its kind in `folder`.

    Raises:
        MissingWeights: a file is absent, differs from its checksum, or does not give numbers.
    """
    reader = PocketReader(folder or pocket_weights(), threads, device)
    if folder is not None:
        reader.try_out()
    return reader


class _Seen(NamedTuple):
    """What the nets say of N faces."""

    aus: FloatArray
    """(N, 22) calibrated intensities."""
    sides: FloatArray
    """(N, S) left minus right of `SIDED`; NaN without landmarks."""
    logits: FloatArray
    """(N, 8) of the emotion."""
    rows: FloatArray
    """(N, 10, D) evidence rows of the decoder."""


class PocketReader(AnswersByAsking):
    """Reads faces with the pocket model.

    Args:
        folder: an exported model.
        threads: within one operator; None takes half of the cores, at most 4.
        device: see `mien.face.onnx_sessions.providers_for`.
    """

    name = "pocket"
    aus: tuple[str, ...] = AU_SETS["pocket"]
    sides = TOLD_SIDES
    grounded = True

    def __init__(self, folder: Path, threads: int | None = None, device: str = "cpu") -> None:
        self.folder, self.threads, self.device = folder, threads, device
        self.bundle = verify_bundle(folder)
        self.crop_size: int = self.bundle["crop_size"]
        self._last = threading.local()
        self.second_tries = 0
        """Explanations so far whose free text had no three parts."""

    def try_out(self) -> None:
        """Read one empty face: nets that do not fit each other, or give no numbers, are found before a user's face is.

        Raises:
            MissingWeights: they are none that can be used.
        """
        with weights_of_strangers(f"the model in {self.folder}", "nets that fit each other", AGAIN):
            side = self.crop_size
            box = np.asarray([0, 0, side, side], np.float32)
            blank = [Evidence(Face(box, 1.0), np.zeros((side, side, 3), np.uint8))]
            units, _, logits, rows = self._encode(blank)
            words, _ = self._start([Turn("user", self.bundle["readout_question"])], rows)
            hidden = list(self.hidden(blank)[0].values())
            end = self._embeddings[[self._end, *self._label_ids]]
            found = (units, logits, rows, words, hidden, end, self._embeddings)
            if not all(np.isfinite(np.asarray(one)).all() for one in found):
                raise ValueError("weights that are not finite")
            if set(self.bundle["array_questions"]) != {"binary", "level", "intensity"}:
                raise ValueError("other array questions than binary, level and intensity")
            if missing := [key for key in self.aus if key not in self.bundle["au_sharpness"]]:
                raise ValueError(f"no sharpness of {missing[0]}")
            self.measure(blank)

    # ---- the nets

    def _session(self, name: str) -> Any:
        return open_session(self.folder / name, self.threads, self.device)

    @cached_property
    def _evidence(self) -> Any:
        return self._session("evidence.onnx")

    @cached_property
    def _units(self) -> Any:
        return self._session("units.onnx")

    @cached_property
    def _expression(self) -> Any:
        return self._session("expression.onnx")

    @cached_property
    def _decoder(self) -> Any:
        return self._session("decoder.onnx")

    @cached_property
    def _regions(self) -> Any:
        return self._session("regions.onnx")

    @cached_property
    def _embeddings(self) -> FloatArray:
        from safetensors.numpy import load_file

        table = load_file(self.folder / "tokens.safetensors")
        return np.asarray(table["embeddings"] * table["scale"], np.float32)

    @cached_property
    def _tokenizer(self) -> Any:
        from tokenizers import Tokenizer

        return Tokenizer.from_file(str(self.folder / "tokenizer.json"))

    @cached_property
    def _end(self) -> int:
        return int(self._tokenizer.token_to_id(ANSWER_END))

    @cached_property
    def _label_ids(self) -> npt.NDArray[np.int64]:
        return np.asarray([self._token(label) for label in EMOTIONS])

    def _token(self, text: str) -> int:
        ids = self._tokenizer.encode(text).ids
        if len(ids) != 1:
            raise BackendFailed(
                got=f"{text!r} as {len(ids)} tokens",
                expected="one token",
                fix="Export the model with this version",
            )
        return int(ids[0])

    # ---- reading

    def measure(self, batch: Sequence[Evidence]) -> list[FaceResult]:
        """AU readings from the measurement head, emotions from the language model's label likelihoods."""
        results: list[FaceResult] = []
        for part in _parts(batch):
            seen = self._encode(part)
            logits, _ = self._start([Turn("user", self.bundle["readout_question"])], seen.rows)
            emotions = self._calibrated(logits[:, self._label_ids])
            for evidence, *face in zip(part, seen.aus, seen.sides, emotions, strict=True):
                results.append(self._result(evidence, *face))
        return results

    def classify(self, batch: Sequence[Evidence]) -> FloatArray:
        """(N, 8) probabilities of the plain classifier heads, for comparison with the read-out."""
        logits = np.concatenate([self._encode(part).logits for part in _parts(batch)])
        return softmax(logits)

    def hidden(self, batch: Sequence[Evidence]) -> list[dict[Region, float]]:
        """Of each face the probability that something covers a region; empty for a face without a crop."""
        found: list[dict[Region, float]] = []
        for part in _parts(batch):
            (chances,) = self._regions.run(None, {"crop": grey_inputs(part, self.crop_size)})
            for evidence, row in zip(part, chances, strict=True):
                seen = zip(HIDDEN_REGIONS, (float(p) for p in row), strict=True)
                found.append(dict(seen) if evidence.crop is not None else {})
        return found

    def explain(self, batch: Sequence[Evidence], results: Sequence[FaceResult]) -> list[Explanation]:
        """Generated chains of thought, each a second turn after the label that was read.

        The text is free; should its three parts not be found, it is generated once more with the headings given.
        """
        return self._explained(batch, results, 0)

    def draw(self, batch: Sequence[Evidence], results: Sequence[FaceResult]) -> list[Explanation]:
        """The same, each token drawn from the likeliest: as many ways to say it as the model knows.

        What is concluded follows the probabilities (`mien.backends.audit`), so the model is not asked for it.
        """
        return self._explained(batch, results, 1, 2)

    def redraw(self, batch: Sequence[Evidence], results: Sequence[FaceResult]) -> list[str]:
        """The observations of a second draw; nothing is generated beyond them."""
        texts = (text for *_, part in self._told(batch, results, 2, 1) for text in part)
        return [text.removeprefix(_HEADINGS[0]).strip() for text in texts]

    def _explained(
        self, batch: Sequence[Evidence], results: Sequence[FaceResult], turn: int, parts: int | None = None
    ) -> list[Explanation]:
        found: list[Explanation] = []
        rest = "" if parts is None else f"{_HEADINGS[-1]} none."
        for dialogues, rows, texts in self._told(batch, results, turn, parts):
            for place, text in enumerate(texts):
                parsed = read_explanation(text + rest)
                if not isinstance(parsed, Explanation):
                    self.second_tries += 1
                    parsed = self._with_headings(dialogues[place], rows[place : place + 1])
                found.append(parsed)
        return found

    def _told(
        self, batch: Sequence[Evidence], results: Sequence[FaceResult], turn: int,
        parts: int | None = None,
    ) -> Iterator[tuple[list[list[Turn]], FloatArray, list[str]]]:  # fmt: skip
        """Per part of the batch its dialogues, evidence rows and texts: greedy (turn 0), or drawn."""
        for part in _parts(list(range(len(batch)))):
            rows = self._encode([batch[i] for i in part]).rows
            dialogues = [self._explain_turns(results[i].emotion) for i in part]
            chance = [_chance(results[i], turn) for i in part] if turn else None
            yield dialogues, rows, self._answers(dialogues, rows, chance, parts)

    @cached_property
    def _breaks(self) -> frozenset[int]:
        """Tokens with a line break: the first of a row of them ends a part of an explanation."""
        pieces = (self._tokenizer.decode([token]) for token in range(len(self._embeddings)))
        return frozenset(token for token, piece in enumerate(pieces) if "\n" in piece)

    def _with_headings(self, turns: Sequence[Turn], rows: FloatArray) -> Explanation:
        """An explanation whose headings are given and whose parts are generated up to their line break."""
        logits, cache = self._start(turns, rows)
        parts = []
        for heading in _HEADINGS:
            ids = self._tokenizer.encode(heading).ids
            logits, cache = self._step(self._embeddings[np.asarray(ids)][None], cache)
            text = ""
            while len(text) < _PART_LENGTH:
                token = int(logits[0].argmax())
                piece = self._tokenizer.decode([token], skip_special_tokens=False)
                if token == self._end or "\n" in piece:
                    break
                text += piece
                logits, cache = self._step(self._embeddings[[token]][None], cache)
            parts.append(text.strip())
        observations, interpretation, conclusion = parts
        return Explanation(observations, interpretation, conclusion)

    def _explain_turns(self, label: str) -> list[Turn]:
        asked = Turn("user", self.bundle["readout_question"])
        return [asked, Turn("assistant", label), Turn("user", _EXPLAIN)]

    def ask(self, evidence: Evidence, question: str) -> Answer:
        """Answer one question: by likelihood, by constrained decoding of an array, or by free generation."""
        task = classify_question(question)
        if task == "emotion":
            emotions = self.measure([evidence])[0].emotions
            label = max(emotions, key=lambda name: emotions[name])
            return Answer(label, "answered", labels=Labels(emotion=label), scores=emotions)
        rows = self._encode([evidence]).rows
        if task in ("au-binary", "au-level", "au-intensity"):
            form = task.removeprefix("au-")
            text = self._array([Turn("user", question)], rows, form)
            return read_array(text, form, len(self.aus), au_keys=self.aus)
        turns = [Turn("user", question)]
        if task == "explanation":
            turns = [*self._explain_turns(self.measure([evidence])[0].emotion)[:2], *turns]
        return Answer(self._answers([turns], rows)[0], "answered")

    def arrays(self, batch: Sequence[Evidence], form: str) -> list[str]:
        """AU arrays asked of the language model in `form` ``binary``, ``level`` or ``intensity``, never unparsable."""
        if form not in self.bundle["array_questions"]:
            raise BadConfig(
                got=f"form {form!r}", expected="binary, level or intensity", fix="Choose one of these"
            )
        turns = [Turn("user", self.bundle["array_questions"][form])]
        return [self._array(turns, self._encode([evidence]).rows, form) for evidence in batch]

    # ---- steps

    def _encode(self, batch: Sequence[Evidence]) -> _Seen:
        """What the nets say of a batch; that of the last one is kept, as explanations follow measurements."""
        known, seen = getattr(self._last, "seen", ((), None))
        places = {id(one): place for place, one in enumerate(known)}
        wanted = [places.get(id(one), -1) for one in batch]
        if seen is None or -1 in wanted:
            seen = self._encoded(batch)
            self._last.seen = (tuple(batch), seen)
            return seen
        return _Seen(*(array[wanted] for array in seen))

    def _encoded(self, batch: Sequence[Evidence]) -> _Seen:
        inputs = batch_inputs(batch, self.crop_size)
        aus, logits, rows = self._evidence.run(None, inputs)
        shown = {name: inputs[name] for name in ("landmarks", "has_landmarks", "has_crop")}
        aus, sides, measured = self._units.run(None, {**shown, "aus": aus})
        if inputs["has_crop"].any():
            crops = {name: inputs[name] for name in ("crop", "has_crop")}
            logits, told = self._expression.run(None, {**crops, "head": logits})
            rows[:, :TOLD_ROWS] += told
        sides[inputs["has_landmarks"] == 0] = np.nan
        return _Seen(aus, sides, logits, np.concatenate([rows, measured], axis=1))

    def _calibrated(self, logits: FloatArray) -> FloatArray:
        calibration = self.bundle["emotion_calibration"]
        bias = np.asarray(calibration["bias"], np.float32)
        return softmax(logits / np.float32(calibration["temperature"]) + bias)

    def _result(
        self, evidence: Evidence, units: FloatArray, sides: FloatArray, probabilities: FloatArray
    ) -> FaceResult:
        sharpness = self.bundle["au_sharpness"]
        seen = evidence.crop is not None or evidence.face.landmarks is not None
        half = {key: float(side) / 2 for key, side in zip(SIDED, sides, strict=True) if key in TOLD_SIDES}
        readings = {}
        for key, unit in zip(self.aus, units, strict=True):
            value, uneven = float(unit) if seen else math.nan, half.get(key, math.nan)
            readings[key] = AuReading.of(value, sharpness[key], left=value + uneven, right=value - uneven)
        emotions = dict(zip(EMOTIONS, (float(p) for p in probabilities), strict=True))
        return FaceResult(face=evidence.face, emotions=emotions, aus=readings)

    def _embed(self, turns: Sequence[Turn], rows: FloatArray) -> FloatArray:
        """(N, T, D): the prompt's embeddings with the evidence rows of each face in their places."""
        ids = np.asarray(self._tokenizer.encode(prompt(turns)).ids)
        embeds = np.repeat(self._embeddings[ids][None], len(rows), axis=0)
        places = np.flatnonzero(np.isin(ids, self.bundle["evidence_ids"]))
        embeds[:, places] = rows
        return embeds

    def _start(
        self, turns: Sequence[Turn], rows: FloatArray
    ) -> tuple[FloatArray, tuple[FloatArray, FloatArray]]:
        """Prefill: logits of the next token (N, V) and the cache."""
        shape = self.bundle["decoder"]
        empty = np.zeros((shape["layers"], len(rows), shape["groups"], 0, shape["head_size"]), np.float32)
        return self._step(self._embed(turns, rows), (empty, empty))

    def _step(
        self, embeds: FloatArray, cache: tuple[FloatArray, FloatArray]
    ) -> tuple[FloatArray, tuple[FloatArray, FloatArray]]:
        feed = {"embeds": embeds, "past_k": cache[0], "past_v": cache[1]}
        logits, keys, values = self._decoder.run(None, feed)
        return logits, (keys, values)

    def _answers(
        self, dialogues: Sequence[Sequence[Turn]], rows: FloatArray,
        chance: Sequence[np.random.Generator] | None = None, parts: int | None = None,
    ) -> list[str]:  # fmt: skip
        """Answers to prompts of equal length, one per face: greedy, or drawn with a generator for each.

        An answer is over at the end token, or before the break behind so many ``parts``.
        """
        prompts = np.concatenate([self._embed(turns, rows[i : i + 1]) for i, turns in enumerate(dialogues)])
        shape = self.bundle["decoder"]
        empty = np.zeros((shape["layers"], len(rows), shape["groups"], 0, shape["head_size"]), np.float32)
        logits, cache = self._step(prompts, (empty, empty))
        out: list[list[int]] = [[] for _ in dialogues]
        going, ended = np.arange(len(dialogues)), [0] * len(dialogues)
        for _ in range(_MAX_TOKENS):
            tokens = (
                logits.argmax(axis=1)
                if chance is None
                else _drawn(logits, [chance[int(row)] for row in going])
            )
            goes_on = np.ones(len(going), bool)
            for place, row in enumerate(going):
                token = int(tokens[place])
                breaks = parts is not None and token in self._breaks
                ended[row] += breaks and out[row][-1:] != [] and out[row][-1] not in self._breaks
                goes_on[place] = token != self._end and not (breaks and ended[row] == parts)
                if goes_on[place]:
                    out[row].append(token)
            if not goes_on.all():
                # What is over takes no further steps.
                going, tokens, cache = (
                    going[goes_on],
                    tokens[goes_on],
                    (cache[0][:, goes_on], cache[1][:, goes_on]),
                )
            if not len(going):
                break
            logits, cache = self._step(self._embeddings[tokens][:, None], cache)
        return [str(self._tokenizer.decode(ids)) for ids in out]

    def _array(self, turns: Sequence[Turn], rows: FloatArray, form: str) -> str:
        """Constrained decoding: at each slot the likeliest allowed token; forced tokens are only fed."""
        logits, cache = self._start(turns, rows)
        text = ""
        pending: list[int] = []
        for choices in slots(form, len(self.aus)):
            if len(choices) > 1 and pending:
                logits, cache = self._step(self._embeddings[np.asarray(pending)][None], cache)
                pending = []
            ids = [self._token(choice) for choice in choices]
            best = int(np.argmax(logits[0, ids])) if len(choices) > 1 else 0
            text += choices[best]
            pending.append(ids[best])
        return text


def _drawn(logits: FloatArray, chance: Sequence[np.random.Generator]) -> npt.NDArray[np.int64]:
    """One of the `_DRAWN_FROM` likeliest tokens of each row, by their probability at temperature `_WARMTH`."""
    likeliest = np.argpartition(-logits, _DRAWN_FROM, axis=1)[:, :_DRAWN_FROM]
    likeliest.sort(axis=1)
    scores = np.take_along_axis(logits, likeliest, axis=1) / _WARMTH
    scores += np.stack([one.gumbel(size=_DRAWN_FROM) for one in chance]).astype(np.float32)
    drawn: npt.NDArray[np.int64] = likeliest[np.arange(len(logits)), scores.argmax(axis=1)]
    return drawn


def _chance(result: FaceResult, turn: int) -> np.random.Generator:
    """The same for the same face and turn, whatever batch it stands in: readings to a thousandth decide."""
    values = [*(reading.intensity for reading in result.aus.values()), *result.emotions.values()]
    return np.random.default_rng([turn, *np.nan_to_num(np.asarray(values) * 1000).astype(np.int64)])


def _parts(batch: Sequence[_T]) -> Iterable[Sequence[_T]]:
    for start in range(0, len(batch), _BATCH):
        yield batch[start : start + _BATCH]
