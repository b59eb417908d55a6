"""Trained systems from their folders: every one, tiny and random, through the protocol of readers."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from tokenizers import Tokenizer, decoders, models, pre_tokenizers, processors

from mien import Analyzer
from mien.backends.base import open_reader
from mien.backends.torch import TorchReader, open_torch
from mien.core.emotions import EMOTIONS
from mien.core.errors import BadConfig, BadInput, MissingWeights
from mien.core.nouns import CropTransform, Evidence, Face, FaceResult, Turn
from mien.models.composite.evidence_inputs import evidence_inputs
from mien.models.composite.facial_lm import FacialLM
from mien.models.composite.systems import System
from mien.models.registry import SYSTEMS, open_system

SIDE = 32
INPUTS = {"crop_size": SIDE, "image_size": 28, "face_map": 7}


def generated(reader: TorchReader, batch: Any, asked: Any, **options: Any) -> list[str]:
    return [one.text for one in reader.answer(batch, asked, "generation", **options)]


def letters(system: System) -> Tokenizer:
    """Single bytes and the system's special tokens."""
    specials = ["<pad>", "<s>", "</s>"] if system.special_tokens else ["<pad>", "<|endoftext|>", "</s>"]
    names = [*specials, *sorted(pre_tokenizers.ByteLevel.alphabet())]
    tokenizer = Tokenizer(models.BPE(vocab={name: place for place, name in enumerate(names)}, merges=[]))
    tokenizer.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=False, use_regex=False)
    tokenizer.decoder = decoders.ByteLevel()
    tokenizer.add_special_tokens(specials)
    if system.special_tokens:
        tokenizer.post_processor = processors.TemplateProcessing(single="<s> $A", special_tokens=[("<s>", 1)])
    return tokenizer


def write(folder: Path, name: str, **card: Any) -> Path:
    """A trained folder with random weights."""
    system = open_system(name)
    torch.manual_seed(0)
    options = card.get("options", {})
    model = FacialLM(system.configure("tiny", **options))
    with torch.no_grad():
        for parameter in model.lm_head.parameters():  # wide logits: choices that rounding cannot turn
            parameter.normal_(0.0, 1.0)
    model.save_pretrained(folder)
    letters(system).save(str(folder / "tokenizer.json"))
    about = {"format": 1, "system": name, "scale": "tiny", "inputs": INPUTS, "pad_id": 0, **card}
    about = {"generation": {"max_new_tokens": 12}, **about}
    (folder / "mien.json").write_text(json.dumps(about))
    return folder


def faces(count: int) -> list[Evidence]:
    rng = np.random.default_rng(0)
    transform = CropTransform(np.array([[1.0, 0.0, 0.0], [0.0, 1.0, 0.0]]), SIDE)
    made = []
    for _ in range(count):
        mesh = np.float32(SIDE) * rng.uniform(0.1, 0.9, (478, 3)).astype(np.float32)
        box = np.asarray([0, 0, SIDE, SIDE], np.float32)
        crop = rng.integers(0, 256, (SIDE, SIDE, 3), np.uint8)
        made.append(Evidence(Face(box, 1.0, landmarks=mesh, crop=transform), crop))
    return made


@pytest.fixture(params=SYSTEMS)
def reader(request: pytest.FixtureRequest, tmp_path: Path) -> TorchReader:
    opened = open_reader(str(write(tmp_path, request.param)), threads=1)
    assert isinstance(opened, TorchReader)
    return opened


def test_measures_every_face_alike_alone_and_together(reader: TorchReader) -> None:
    batch = faces(3)
    results = reader.measure(batch)
    for row, result in enumerate(results):
        assert list(result.emotions) == list(EMOTIONS) and sum(result.emotions.values()) == pytest.approx(1.0)
        assert list(result.aus) == list(reader.aus)
        assert {reading.measured for reading in result.aus.values()} == {reader.system.name == "au-llava"}
        (alone,) = reader.measure([batch[row]])
        assert list(alone.emotions.values()) == pytest.approx(list(result.emotions.values()), abs=1e-4)
        for key, reading in alone.aus.items():
            assert reading.probability == pytest.approx(result.aus[key].probability, abs=1e-4, nan_ok=True)
    assert _figures(results[0]) != _figures(results[1])


def _figures(result: FaceResult) -> list[float]:
    return [*result.emotions.values(), *(reading.probability for reading in result.aus.values())]


def test_speaks(reader: TorchReader) -> None:
    (evidence,) = faces(1)
    answer = reader.ask(evidence, "What is the emotion of this face?")
    assert answer.scores is not None and answer.text == max(answer.scores, key=answer.scores.__getitem__)
    (explanation,) = reader.explain([evidence], reader.measure([evidence]))
    assert explanation.text
    asked = ["Who is this?", "What is going on in this picture, would you say?", "And?"]
    together = generated(reader, faces(3), asked, do_sample=False, temperature=None, top_p=None)
    reader.generation = {"max_new_tokens": 12, "do_sample": False}
    alone = [generated(reader, [face], [question])[0] for face, question in zip(faces(3), asked, strict=True)]
    assert together == alone


def test_beams_and_sampling(reader: TorchReader) -> None:
    batch, asked = faces(2), ["Who?", "What else?"]
    reader.generation = {"max_new_tokens": 8, "do_sample": False}
    beams = generated(reader, batch, asked, num_beams=3)
    assert beams == [
        generated(reader, [face], [q], num_beams=3)[0] for face, q in zip(batch, asked, strict=True)
    ]
    settings = {"do_sample": True, "temperature": 1.0, "top_p": 0.9}
    state = torch.random.get_rng_state()
    first = [generated(reader, batch, asked, seed=seed, **settings) for seed in (1, 1, 2)]
    assert first[0] == first[1] != first[2]
    assert torch.equal(torch.random.get_rng_state(), state)


def test_stop_texts_end_an_answer(tmp_path: Path) -> None:
    reader = TorchReader(write(tmp_path, "expllm", generation={"max_new_tokens": 30}))
    whole = generated(reader, faces(1), ["Why?"])[0]
    stop = whole[4:6]
    turns = [Turn("user", reader.system.wrap("Why?", {}))]
    prompt = reader.system.encode(turns, reader.tokenizer, reader.model.config).ids
    evidence = evidence_inputs(reader.model.config, reader.inputs, faces(1))
    texts = reader.readouts.texts([prompt], reader.tokenizer, evidence, stop=(stop,), max_new_tokens=30)
    assert texts == [whole[: whole.index(stop)].strip()]


@pytest.mark.parametrize("task", ["bp4d", "disfa", "feafa"])
def test_au_llava_codes_in_the_form_of_its_task(tmp_path: Path, task: str) -> None:
    reader = TorchReader(write(tmp_path, "au-llava", task=task))
    (result,) = reader.measure(faces(1))
    assert len(result.aus) == {"bp4d": 12, "disfa": 8}.get(task, len(reader.aus))
    assert all(0.0 <= reading.intensity <= 1.0 for reading in result.aus.values())
    answer = reader.ask(faces(1)[0], "Which AUs are active?")
    assert answer.status == "answered" and answer.labels is not None
    if task == "bp4d":
        said = answer.labels.au_presence or {}
        assert said == {key: reading.presence for key, reading in result.aus.items()}
    if task == "feafa":
        said_values = answer.labels.au_intensity or {}
        eyes = max(said_values["left eye close"], said_values["right eye close"])
        assert result.aus["AU43"].intensity == pytest.approx(eyes)


def test_calibration_and_answer_of_the_card_are_used(tmp_path: Path) -> None:
    plain = TorchReader(write(tmp_path / "a", "facephi")).measure(faces(1))[0].emotions
    bias = [0.0] * 7 + [50.0]
    scaled = TorchReader(write(tmp_path / "b", "facephi", calibration={"temperature": 2.0, "bias": bias}))
    assert scaled.measure(faces(1))[0].emotion == "contempt"
    other = TorchReader(write(tmp_path / "c", "facephi", answer=1)).measure(faces(1))[0].emotions
    assert list(other.values()) != pytest.approx(list(plain.values()), rel=1e-2)


def test_emola_follows_its_layout(tmp_path: Path) -> None:
    reader = TorchReader(write(tmp_path, "emola", options={"layout": "prior"}))
    (blind,) = faces(1)
    without = Evidence(blind.face)
    assert reader.measure([without])[0].emotions == reader.measure([blind])[0].emotions


def test_the_analyzer_takes_a_run_s_folder(tmp_path: Path, photos: list[Path]) -> None:
    write(tmp_path / "model", "expllm")
    analyzer = Analyzer(tmp_path, threads=1)
    (frame,) = analyzer.analyze(photos[0], explain=True)
    (face,) = frame.faces[:1]
    assert frame.error is None and face.explanation is not None
    assert not any(reading.measured for reading in face.aus.values())
    assert analyzer.ask(photos[0], "What is the emotion of this face?").status == "answered"


def test_what_a_system_needs_is_said(tmp_path: Path) -> None:
    facephi = TorchReader(write(tmp_path / "a", "facephi"))
    expllm = TorchReader(write(tmp_path / "b", "expllm"))
    (face,) = faces(1)
    box = face.face.box
    with pytest.raises(BadInput, match="without landmarks"):
        facephi.measure([Evidence(Face(box, 1.0), face.crop)])
    with pytest.raises(BadInput, match="without pixels"):
        expllm.measure([Evidence(face.face)])


def test_damaged_folders_are_said(tmp_path: Path) -> None:
    folder = write(tmp_path, "expllm")
    with pytest.raises(BadConfig, match="folder of a trained system"):
        open_torch()
    (folder / "mien.json").write_text("{")
    with pytest.raises(MissingWeights, match="no JSON"):
        open_reader(str(folder))
    (folder / "mien.json").write_text("{}")
    with pytest.raises(MissingWeights, match="without a system"):
        open_reader(str(folder))
    (folder / "mien.json").write_text('{"system": "gpt"}')
    with pytest.raises(BadConfig, match="facephi, emola"):
        open_reader(str(folder))
    (folder / "tokenizer.json").unlink()
    (folder / "model.safetensors").unlink()
    with pytest.raises(MissingWeights, match=r"without tokenizer.json, model.safetensors"):
        open_reader(str(folder))


CLIPS = (3, 1, 2, 7, 9)
"""Frames of each clip: more than one batch of them."""


@pytest.fixture
def clips() -> list[list[Evidence]]:
    frames = iter(faces(sum(CLIPS)))
    return [[next(frames) for _ in range(count)] for count in CLIPS]


def emo_llama(folder: Path, **card: Any) -> TorchReader:
    return TorchReader(
        write(folder, "emo-llama", generation={"max_new_tokens": 8, "do_sample": False}, **card)
    )


def test_clips_of_different_length_together_are_as_alone(tmp_path: Path, clips: list[list[Evidence]]) -> None:
    reader = emo_llama(tmp_path)
    together, asked = reader.measure(clips), ["Who?", "What happens here?", "And?", "So?", "Why?"]
    texts, said = generated(reader, clips, asked), reader.explain(clips, together)
    for place, clip in enumerate(clips):
        (alone,) = reader.measure([clip])
        assert list(alone.emotions.values()) == pytest.approx(
            list(together[place].emotions.values()), abs=1e-4
        )
        assert alone.face is clip[(len(clip) - 1) // 2].face
        assert generated(reader, [clip], [asked[place]]) == [texts[place]]
        assert reader.explain([clip], [alone]) == [said[place]]
    assert len({tuple(result.emotions.values()) for result in together}) == len(CLIPS)


def test_a_clip_of_one_frame_is_the_photo(tmp_path: Path, clips: list[list[Evidence]]) -> None:
    reader = emo_llama(tmp_path)
    face = clips[0][0]
    for question in ("What is the emotion of this face?", "Explain it step by step.", "What do you see?"):
        assert reader.ask([face], question) == reader.ask(face, question)
    assert reader.measure([[face]])[0].emotions == reader.measure([face])[0].emotions


def test_the_likelihood_of_a_label_is_about_every_frame_in_order(
    tmp_path: Path, clips: list[list[Evidence]]
) -> None:
    """Against one plain forward pass per label, the frames laid out by hand."""
    reader, clip = emo_llama(tmp_path), clips[0]
    with torch.no_grad():
        reader.model.lm_head.weight.mul_(0.1)  # near enough to each other that every label counts
    words = "surprise fear disgust happiness sadness anger neutral".split()
    question = (
        "What is the facial expression of the person in the video? Choose one from the following options: "
        f"{{{', '.join(words)}}}."
    )
    turns = [Turn("user", "<image><image><image>\n" + question)]
    evidence = evidence_inputs(reader.model.config, reader.inputs, clip, [question] * 3, reader.tokenizer)
    prompt = reader.system.encode(turns, reader.tokenizer, reader.model.config).ids
    assert prompt.count(-200) == 9
    scores = []
    for word in words:
        ids = torch.tensor([reader.system.begun(turns, word, reader.tokenizer, reader.model.config)])
        with torch.no_grad():
            logits = reader.model(input_ids=ids, evidence=evidence).logits.log_softmax(-1)[0]
        said = range(len(prompt), ids.shape[1])
        scores.append(sum(float(logits[place - 1, ids[0, place]]) for place in said))
    chances = torch.tensor(scores, dtype=torch.float64).softmax(0).tolist()
    answer = reader.ask(clip, "What is the emotion of this face?")
    assert answer.scores is not None
    assert [answer.scores[word] for word in words] == pytest.approx(chances, rel=1e-3)
    assert reader.ask(clip[::-1], "What is the emotion of this face?").scores != answer.scores


def test_as_many_frames_as_the_prompt_holds(tmp_path: Path) -> None:
    folder = write(tmp_path, "emo-llama", generation={"max_new_tokens": 8, "do_sample": False})
    config = json.loads((folder / "config.json").read_text())
    config["text_config"]["max_position_embeddings"] = 420
    (folder / "config.json").write_text(json.dumps(config))
    reader = TorchReader(folder)
    for question in ("What is the emotion of this face?", "What do you see?"):
        most = reader.clip_limit(question)
        frames = faces(1) * (most + 4)
        assert most > 1 and reader.ask(frames[:most], question).text
        with pytest.raises(BadInput, match="pass fewer frames"):
            reader.ask(frames, question)


def test_other_systems_read_one_picture(reader: TorchReader) -> None:
    clip, question = faces(2), "What is the emotion of this face?"
    if reader.system.clips:
        assert reader.clip_limit(question) > 500
        with pytest.raises(BadInput, match="a clip of 0 frames"):
            reader.ask([], question)
    else:
        assert reader.clip_limit(question) == 1
        with pytest.raises(BadInput, match="one picture per answer"):
            reader.ask(clip, question)
        with pytest.raises(BadInput, match="Pass one of the frames"):
            reader.measure([clip[0], clip])


def test_joy_is_happiness(tmp_path: Path) -> None:
    (result,) = emo_llama(tmp_path, task="video").measure([faces(2)])
    assert result.emotions["happiness"] > 0.0 and result.emotions["contempt"] == 0.0
