"""The likelihood read-out against the sentence that it stands for: FacePhi, small, on one model.

    python benchmarks/likelihood.py [--limit N] [--model RUN]

``--model``: the folder of a trained FacePhi; its faces are the example portraits with jittered landmarks. Without it
the model first learns two of its published sentences on eight made-up faces with noise, until they are well-formed.
Either way nothing here says how well real faces are read. Each face is read twice: by generating the sentence and
finding its label, and by the likelihoods of the eight labels. ``--limit N``: N faces.

Then the same two at scale base (a decoder of 135 M parameters, random weights), where the sentence is made as long as
the published ones: speed alone, as random weights say nothing well-formed.
"""

from __future__ import annotations

import random
import statistics
import time
from collections.abc import Callable
from dataclasses import replace
from itertools import pairwise
from pathlib import Path

import numpy as np
import torch
from _record import EXAMPLES, Record, Skipped, parser, run
from tokenizers import Tokenizer

from mien.backends.torch import TorchReader
from mien.core.emotions import EMOTIONS
from mien.core.errors import BadConfig
from mien.core.nouns import Evidence, Turn
from mien.face.decode.images import load_image
from mien.face.finder import FaceFinder
from mien.models.composite.evidence_inputs import evidence_inputs
from mien.models.composite.facial_lm import FacialLM
from mien.models.composite.processing import collate
from mien.models.composite.readouts import Readouts
from mien.models.composite.systems import prepare
from mien.models.facephi import system as facephi
from mien.models.facephi import words as facephi_words
from mien.train.data.tokenizer import train_tokenizer

FACES, BATCH, MOST_STEPS, NOISE, POINTS = 48, 8, 150, 0.2, 478
BASE_REPEATS = 8
TAUGHT = (0, 7)
"""Answers of Table 3 that are taught: its longest and its shortest."""
SPEEDUP_BAR, AGREEMENT_BAR = 10.0, 1.0
SYSTEM = facephi.SYSTEM


def clouds(labels: list[int], generator: torch.Generator) -> torch.Tensor:
    """(N, 478, 3): one made-up face per label, plus noise."""
    faces = torch.randn(len(EMOTIONS), POINTS, 3, generator=torch.Generator().manual_seed(7))
    return faces[labels] + NOISE * torch.randn(len(labels), POINTS, 3, generator=generator)


def open_tokenizer() -> Tokenizer:
    texts = [facephi_words.dialogue(label, q, a) for label in EMOTIONS for q in range(15) for a in range(10)]
    words = [turn.text.replace(facephi_words.PLACEHOLDER, "") for pair in texts for turn in pair]
    words += [
        SYSTEM.template.system.removeprefix("<|endoftext|>"),
        SYSTEM.template.user,
        SYSTEM.template.assistant,
    ]
    return train_tokenizer(words * 3, 2048, ("0",), ("<pad>", "<|endoftext|>", "</s>"))


def teach(model: FacialLM, tokenizer: Tokenizer, seed: int) -> int:
    """Train until the loss says that sentences are known; the number of steps."""
    prepare(model, SYSTEM.stages["stage2"])
    rng, generator = random.Random(seed), torch.Generator().manual_seed(seed)
    optimizer = torch.optim.AdamW([p for p in model.parameters() if p.requires_grad], lr=2e-3)
    recent: list[float] = []
    model.train()
    model.model.encoders.eval()
    for step in range(1, MOST_STEPS + 1):
        labels = [rng.randrange(len(EMOTIONS)) for _ in range(BATCH)]
        turns = [facephi_words.dialogue(EMOTIONS[label], 0, rng.choice(TAUGHT)) for label in labels]
        encoded = [SYSTEM.encode(pair, tokenizer, model.config) for pair in turns]
        evidence = [{"landmarks": cloud[None]} for cloud in clouds(labels, generator)]
        inputs = collate(encoded, evidence, pad_id=0, side="left")
        with torch.autocast("cpu", torch.bfloat16):
            loss = model(**inputs).loss
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
        recent = [*recent[-9:], float(loss.detach())]
        # What is left is the choice between two sentences: ln 2 over some 20 tokens.
        if len(recent) == 10 and statistics.mean(recent) < 0.08:
            return step
    return MOST_STEPS


def trained(folder: Path, count: int) -> tuple[Tokenizer, FacialLM, torch.Tensor]:
    """A run's model, and landmarks of the example portraits moved by 1 % of the face's width at random."""
    reader = TorchReader(folder / "model" if (folder / "model").is_dir() else folder)
    if reader.system.name != "facephi":
        raise BadConfig(got=f"a run of {reader.system.name}", expected="facephi", fix="Pass its folder")
    finder, rng = FaceFinder(), np.random.default_rng(1)
    found = [face for path in sorted(EXAMPLES.glob("*.jpg")) for face in finder.find(load_image(path))[:1]]
    moved = []
    for row in range(count):
        mesh = found[row % len(found)].landmarks
        noise = rng.normal(0.0, 0.01 * np.ptp(mesh[:, 0]), mesh.shape).astype(np.float32)
        moved.append(Evidence(replace(found[row % len(found)], landmarks=mesh + noise)))
    made = evidence_inputs(reader.model.config, reader.inputs, moved)["landmarks"]
    return reader.tokenizer, reader.model, made


def measure(record: Record) -> None:
    count = record.options.limit or FACES
    torch.manual_seed(record.options.seed)
    if record.options.model == "pocket":
        tokenizer = open_tokenizer()
        model = FacialLM(SYSTEM.configure("small", vocabulary=tokenizer.get_vocab_size()))
        about = f"after {teach(model, tokenizer, record.options.seed)} steps"
        rng, generator = random.Random(1), torch.Generator().manual_seed(1)
        faces = clouds([rng.randrange(len(EMOTIONS)) for _ in range(count)], generator)
    else:
        tokenizer, model, faces = trained(Path(record.options.model), count)
        about = "a trained FacePhi"
    readouts, task = Readouts(model), facephi_words.labels({})
    turns = [Turn("user", task.question)]
    prompt = SYSTEM.encode(turns, tokenizer, model.config).ids
    answers = [SYSTEM.begun(turns, said, tokenizer, model.config) for said in task.answers.values()]
    end = tokenizer.token_to_id("<|endoftext|>")
    spent: list[list[tuple[float, float]]] = []
    formed = agreed = tokens = 0
    for row in range(-1, count):  # the first is a warm-up
        evidence = {"landmarks": faces[max(row, 0)][None]}
        marks = [_clocks()]
        with torch.inference_mode():
            model.model.project("landmarks", evidence["landmarks"])
        marks.append(_clocks())
        (text,) = readouts.texts([prompt], tokenizer, evidence, end=end, max_new_tokens=48, do_sample=False)
        marks.append(_clocks())
        scores = readouts.label_scores([answers], evidence)
        marks.append(_clocks())
        if row < 0:
            continue
        spent.append([(b[0] - a[0], b[1] - a[1]) for a, b in pairwise(marks)])
        tokens += len(tokenizer.encode(text).ids)
        read = facephi_words.read(text)
        if read.labels is not None:
            formed += 1
            agreed += read.labels.emotion == EMOTIONS[int(scores[0].argmax())]
    if not formed:
        raise Skipped(f"no well-formed sentence, {about}")
    record.add("tokens of a sentence", tokens / count, "", n=count)
    for clock, kind in enumerate(("clock", "processor")):
        encoder, sentence, likelihood = (
            statistics.median(times[part][clock] for times in spent) for part in range(3)
        )
        record.add(f"encoder, per face, {kind}", 1e3 * encoder, "ms", n=count)
        record.add(f"sentence generated, encoder included, {kind}", 1e3 * sentence, "ms", n=count)
        record.add(f"label likelihoods, encoder included, {kind}", 1e3 * likelihood, "ms", n=count)
        record.add(f"times as fast, encoder included, {kind}", sentence / likelihood, "x")
        alone = (sentence - encoder) / max(likelihood - encoder, 1e-6)
        record.add(f"times as fast, language model alone, {kind}", alone, "x", bar=SPEEDUP_BAR)
    record.add("well-formed sentences", formed / count, "", n=count, note=about)
    record.add("same label as a well-formed sentence", agreed / formed, "", bar=AGREEMENT_BAR, n=formed)
    measure_base(record)


def measure_base(record: Record) -> None:
    """Speed at scale base, of sentences as long as the shortest of Table 3 and as its ten on average."""
    tokenizer = open_tokenizer()
    model = FacialLM(SYSTEM.configure("base"))
    readouts, task = Readouts(model), facephi_words.labels({})
    turns = [Turn("user", task.question)]
    prompt = SYSTEM.encode(turns, tokenizer, model.config).ids
    answers = [SYSTEM.begun(turns, said, tokenizer, model.config) for said in task.answers.values()]
    # The end token is generated too.
    lengths = [
        len(tokenizer.encode(said.format(label="Happiness")).ids) + 1 for said in facephi_words.ANSWERS
    ]
    faces = clouds([0] * (1 + BASE_REPEATS), torch.Generator().manual_seed(1))
    with torch.inference_mode():
        rows = [model.model.project("landmarks", face[None]) for face in faces]
    # The encoder's part is the same in both and is left out: each call finds its row made.
    model.model.project = lambda name, items: rows[int(items)]  # type: ignore[method-assign,assignment,arg-type]

    def seconds(read: Callable[[dict[str, torch.Tensor]], object]) -> float:
        times = []
        for row in range(1 + BASE_REPEATS):
            start = time.perf_counter()
            read({"landmarks": torch.tensor(row)})
            times.append(time.perf_counter() - start)
        return statistics.median(times[1:])

    likelihood = seconds(lambda evidence: readouts.label_scores([answers], evidence))
    record.add("scale base, label likelihoods", 1e3 * likelihood, "ms", n=BASE_REPEATS)
    for kind, length in (("shortest", min(lengths)), ("mean", round(statistics.mean(lengths)))):
        options = {"min_new_tokens": length, "max_new_tokens": length, "do_sample": False}
        sentence = seconds(lambda evidence: readouts.texts([prompt], tokenizer, evidence, **options))  # noqa: B023
        record.add(f"scale base, {kind} sentence generated", 1e3 * sentence, "ms", note=f"{length} tokens")
        record.add(
            f"scale base, times as fast as the {kind} sentence", sentence / likelihood, "x", bar=SPEEDUP_BAR
        )


def _clocks() -> tuple[float, float]:
    """Seconds of the clock, and of the processor in this process."""
    return time.perf_counter(), time.process_time()


if __name__ == "__main__":
    run("likelihood", parser(__doc__ or ""), measure)
