"""Model folders of strangers, damaged or hostile: `mien models verify` finds each, opening refuses each in a sentence.

The checksums are always made true again: whoever makes such a folder makes them, too.
"""

from __future__ import annotations

import hashlib
import json
import os
import pickle
import resource
import shutil
import struct
import sys
import time
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import pytest
import torch
from safetensors.torch import load_file, save_file
from tokenizers import Tokenizer, models

from mien.app.models.folders_shown import folder_states
from mien.backends.base import open_reader
from mien.core.errors import MienError
from mien.core.paths import pocket_weights
from mien.models.composite.facial_lm import FacialLM
from mien.models.formats.checkpoints import read_checkpoint
from mien.models.formats.model_folders import seal
from mien.models.registry import open_system

Change = Callable[[Path], None]
DEEP = "[" * 100_000 + "]" * 100_000
SECONDS, MEGABYTES = 20.0, 1500


class Evil:
    """Unpickled, it leaves a trace."""

    def __init__(self, trace: Path) -> None:
        self.trace = trace

    def __reduce__(self) -> tuple[Any, ...]:
        return os.mkdir, (str(self.trace),)


# -- changes ---------------------------------------------------------------------------------------------


def put(name: str, content: str | bytes) -> Change:
    def change(folder: Path) -> None:
        place = folder / name
        place.unlink(missing_ok=True)
        place.write_bytes(content.encode() if isinstance(content, str) else content)

    return change


def edit(file: str, path: str, value: Any) -> Change:
    """An entry of a JSON file replaced; ``...`` takes it out."""

    def change(folder: Path) -> None:
        content = json.loads((folder / file).read_text())
        *above, last = path.split(".")
        inner = content
        for key in above:
            inner = inner[key]
        inner[last] = value
        if value is ...:
            del inner[last]
        put(file, json.dumps(content))(folder)

    return change


def kept(name: str, how: Callable[[bytes], bytes]) -> Change:
    def change(folder: Path) -> None:
        put(name, how((folder / name).read_bytes()))(folder)

    return change


def absent(name: str) -> Change:
    return lambda folder: (folder / name).unlink()


def odd(name: str, make: Callable[[Path], object]) -> Change:
    """Something else than a file."""

    def change(folder: Path) -> None:
        (folder / name).unlink()
        make(folder / name)

    return change


def sparse(path: Path) -> None:
    with path.open("wb") as file:
        file.truncate(3 << 30)


def tensors(name: str, how: Callable[[dict[str, torch.Tensor]], Mapping[str, torch.Tensor]]) -> Change:
    def change(folder: Path) -> None:
        made = {key: value.clone() for key, value in how(dict(load_file(folder / name))).items()}
        (folder / name).unlink()
        save_file(made, folder / name, metadata={"format": "pt"})

    return change


def with_value(value: float) -> Callable[[dict[str, torch.Tensor]], dict[str, torch.Tensor]]:
    def how(state: dict[str, torch.Tensor]) -> dict[str, torch.Tensor]:
        name = max(
            (key for key in state if state[key].is_floating_point()), key=lambda key: state[key].numel()
        )
        state[name] = state[name].clone()
        state[name].view(-1)[3] = value
        return state

    return how


def header(content: object, body: bytes = b"\0" * 64) -> bytes:
    text = content if isinstance(content, bytes) else json.dumps(content).encode()
    return struct.pack("<Q", len(text)) + text + body


def one_tensor(**entry: object) -> bytes:
    return header({"embeddings": {"dtype": "F32", "shape": [4, 4], "data_offsets": [0, 64], **entry}})


def index(place: str) -> Change:
    """Weights named by an index that leads to ``place``; what lies outside is sound."""

    def change(folder: Path) -> None:
        outside = folder.parent / "outside.safetensors"
        shutil.copy(folder / "model.safetensors", outside)
        keys = load_file(outside)
        (folder / "model.safetensors").unlink()
        if place == "link.safetensors":
            (folder / place).symlink_to(outside)
        put("part.safetensors", one_tensor())(folder)
        named = place.replace("OUTSIDE", str(outside))
        put("model.safetensors.index.json", json.dumps({"weight_map": dict.fromkeys(keys, named)}))(folder)

    return change


DAMAGED: Mapping[str, str | bytes] = {
    "empty": "", "no JSON": "{", "a list": "[]", "deep": DEEP, "deep in an object": '{"a":' + DEEP + "}",
    "no text": b"\xff\xfe\x00\x80", "too long": '{"a": "' + "x" * 17_000_000 + '"}',
    "a number too long": '{"a": ' + "9" * 5000 + "}",
}  # fmt: skip
SAFETENSORS: Mapping[str, bytes] = {
    "empty": b"", "garbage": b"\x93NUMPY" * 40, "header of an exabyte": struct.pack("<Q", 1 << 60) + b"{}",
    "header beyond the file": struct.pack("<Q", 5000) + b"{}", "header no JSON": header(b"{{{{"),
    "header deep": header(b'{"a":' + DEEP.encode() + b"}"), "negative offsets": one_tensor(data_offsets=[-4, 60]),
    "offsets beyond": one_tensor(data_offsets=[0, 1 << 40]), "shape and bytes differ": one_tensor(shape=[400, 4]),
    "shape overflows": one_tensor(shape=[1 << 62, 1 << 62]), "unknown number format": one_tensor(dtype="F4096"),
}  # fmt: skip
TOKENIZERS: Mapping[str, str] = {
    "{}": "{}", "vocabulary a number": '{"model": {"type": "WordLevel", "vocab": 5, "unk_token": "x"}}',
    "unknown kind": '{"model": {"type": "Evil", "vocab": {}}}', "deep": '{"model": {"vocab":' + DEEP + "}}",
    "negative ids": '{"model": {"type": "WordLevel", "vocab": {"a": -1}, "unk_token": "a"}}',
    "no special tokens": '{"version": "1.0", "model": {"type": "WordLevel", "vocab": {"a": 0}, "unk_token": "a"}}',
}  # fmt: skip
ODD: Mapping[str, Callable[[Path], object]] = {
    "a folder": Path.mkdir, "a pipe": os.mkfifo, "a link to itself": lambda path: path.symlink_to(path.name),
    "a device": lambda path: path.symlink_to("/dev/zero"),
}  # fmt: skip

POCKET: dict[str, Change] = {
    **{f"bundle {name}": put("bundle.json", text) for name, text in DAMAGED.items()},
    **{f"tokens {name}": put("tokens.safetensors", content) for name, content in SAFETENSORS.items()},
    **{f"tokenizer {name}": put("tokenizer.json", text) for name, text in TOKENIZERS.items()},
    **{f"decoder {name}": odd("decoder.onnx", make) for name, make in ODD.items()},
    **{f"without {path}": edit("bundle.json", path, ...) for path in (
        "crop_size", "emotions", "aus", "au_sharpness", "au_sharpness.AU12", "emotion_calibration",
        "emotion_calibration.bias", "evidence_ids", "decoder", "decoder.layers", "readout_question",
        "array_questions", "array_questions.level", "sha256",
    )},
    **{f"{path} {str(value)[:20]}": edit("bundle.json", path, value) for path, value in (
        ("crop_size", -5), ("crop_size", 0), ("crop_size", 10**9), ("crop_size", "128"), ("crop_size", 64),
        ("crop_size", None), ("emotion_calibration.temperature", float("nan")),
        ("emotion_calibration.temperature", 0), ("emotion_calibration.bias", [0.0] * 7),
        ("emotion_calibration.bias", [float("inf")] * 8), ("emotions", ["joy"] * 8), ("aus", ["AU12"]),
        ("au_sharpness.AU12", -1.0), ("au_sharpness", []), ("evidence_ids", [-1]), ("evidence_ids", [10**6] * 3),
        ("evidence_ids", []), ("decoder.layers", 10**6), ("decoder.layers", 7), ("decoder.head_size", 16),
        ("readout_question", 5), ("array_questions", "x"), ("sha256", []),
        ("sha256", {"decoder.onnx": 5}), ("sha256", {"../../secret": "0" * 64}),
    )},
    "decoder absent": absent("decoder.onnx"),
    "decoder empty": put("decoder.onnx", b""),
    "decoder garbage": put("decoder.onnx", os.urandom(5000)),
    "decoder cut": kept("decoder.onnx", lambda content: content[: len(content) // 2]),
    "decoder of 3 GB": odd("decoder.onnx", sparse),
    "regions for evidence": lambda folder: put("evidence.onnx", (folder / "regions.onnx").read_bytes())(folder),
    "weights in another file": kept("regions.onnx", lambda content: content + b"\x0a\x08location\x12\x0b/etc/passwd"),
    "tokens NaN": tensors("tokens.safetensors", with_value(float("nan"))),
    "tokens infinite": tensors("tokens.safetensors", with_value(float("inf"))),
    "tokens renamed": tensors("tokens.safetensors", lambda state: {"other": state["embeddings"]}),
    "tokens few": tensors("tokens.safetensors", lambda state: {"embeddings": state["embeddings"][:4]}),
    "tokens narrow": tensors("tokens.safetensors", lambda state: {"embeddings": state["embeddings"][:, :8]}),
}  # fmt: skip

TRAINED: dict[str, Change] = {
    **{f"card {name}": put("mien.json", text) for name, text in DAMAGED.items()},
    **{f"configuration {name}": put("config.json", text) for name, text in DAMAGED.items()},
    **{f"weights {name}": put("model.safetensors", content) for name, content in SAFETENSORS.items()},
    **{f"tokenizer {name}": put("tokenizer.json", text) for name, text in TOKENIZERS.items() if "special" not in name},
    **{f"weights {name}": odd("model.safetensors", make) for name, make in ODD.items()},
    **{f"card: {path} {str(value)[:20]}": edit("mien.json", path, value) for path, value in (
        ("system", 5), ("system", "nobody"), ("system", "evil_code:SYSTEM"), ("scale", []), ("options", []),
        ("inputs", []), ("inputs.crop_size", -5), ("inputs.crop_size", "big"), ("inputs.square", "evil"),
        ("inputs.new", 1), ("calibration", {"temperature": 0.0, "bias": []}),
        ("calibration", {"temperature": float("nan"), "bias": []}),
        ("pad_id", -1), ("pad_id", "x"), ("tasks", "emotion"), ("sha256", []), ("generation", 5),
    )},
    **{f"configuration: {path} {str(value)[:20]}": edit("config.json", path, value) for path, value in (
        ("model_type", "llama"), ("evidence", []), ("evidence", {"image": {}}), ("evidence.image", 5),
        ("evidence.image.encoder", "x"), ("evidence.image.encoder.type", "evil_code:Encoder"),
        ("evidence.image.encoder.type", "os:system"), ("evidence.image.rows", 10**12),
        ("evidence.image.rows", "4"), ("evidence.image.width", -1), ("evidence.image.token_id", "x"),
        ("evidence.image.projector", {"type": "evil"}), ("evidence.image.projector", 5),
        ("text_config", []), ("text_config.model_type", "evilnet"),
        ("text_config.num_hidden_layers", -3), ("text_config.num_hidden_layers", 10**9),
        ("text_config.num_hidden_layers", "two"), ("text_config.num_hidden_layers", 3),
        ("text_config.hidden_size", 10**12), ("text_config.hidden_size", 0), ("text_config.hidden_size", 4096),
        ("text_config.vocab_size", -1), ("text_config.vocab_size", 1 << 23), ("text_config.vocab_size", None),
        ("text_config.num_attention_heads", 0), ("text_config.num_attention_heads", 3),
        ("text_config.attn_implementation", "evil/kernel"), ("text_config.rms_norm_eps", "x"),
    )},
    **{f"index leads to {place}": index(place) for place in (
        "../outside.safetensors", "OUTSIDE", "link.safetensors", "..", "a/../../outside.safetensors",
        "..\\outside.safetensors", "nowhere.safetensors", "",
    )},
    "index deep": put("model.safetensors.index.json", DEEP),
    "index without a map": put("model.safetensors.index.json", "{}"),
    "index of numbers": put("model.safetensors.index.json", '{"weight_map": {"a": 5}}'),
    "weights NaN": tensors("model.safetensors", with_value(float("nan"))),
    "weights infinite": tensors("model.safetensors", with_value(float("-inf"))),
    "weights fewer": tensors("model.safetensors", lambda state: dict(list(state.items())[1:])),
    "weights more": tensors("model.safetensors", lambda state: {**state, "evil": torch.zeros(3)}),
    "weights of another shape": tensors(
        "model.safetensors",
        lambda state: {key: value.new_zeros(2, 2) if "norm" in key else value for key, value in state.items()},
    ),
    "weights cut": kept("model.safetensors", lambda content: content[: len(content) // 2]),
    "weights absent": absent("model.safetensors"),
    "tokenizer absent": absent("tokenizer.json"),
    "configuration absent": absent("config.json"),
    "weights pickled": lambda folder: (
        put("pytorch_model.bin", pickle.dumps(Evil(folder.parent / "RAN")))(folder), absent("model.safetensors")(folder)
    )[0],
}  # fmt: skip


# -- folders ---------------------------------------------------------------------------------------------


@pytest.fixture(scope="module")
def sound(tmp_path_factory: pytest.TempPathFactory) -> Mapping[str, Path]:
    base = tmp_path_factory.mktemp("sound")
    shutil.copytree(pocket_weights(), base / "pocket")
    torch.manual_seed(0)
    trained = base / "trained"
    FacialLM(open_system("emola").configure("tiny")).save_pretrained(trained)
    Tokenizer(models.WordLevel({"<pad>": 0, "</s>": 1}, "<pad>")).save(str(trained / "tokenizer.json"))
    about = {
        "system": "emola",
        "scale": "tiny",
        "options": {},
        "inputs": {"image_size": 28},
        "task": "emotion",
    }
    (trained / "mien.json").write_text(json.dumps(about))
    seal(trained)
    return {"pocket": base / "pocket", "trained": trained}


@pytest.fixture
def evil(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Code of strangers that can be imported; gives the trace that it leaves."""
    trace = tmp_path / "RAN"
    (tmp_path / "path").mkdir()
    code = f"import pathlib, torch\npathlib.Path({str(trace)!r}).mkdir()\nSYSTEM = 1\n"
    code += "class Encoder(torch.nn.Module): ...\n"
    (tmp_path / "path" / "evil_code.py").write_text(code)
    monkeypatch.syspath_prepend(tmp_path / "path")
    monkeypatch.delitem(sys.modules, "evil_code", raising=False)
    return trace


def changed(sound: Path, folder: Path, change: Change) -> Path:
    folder.mkdir()
    for file in sound.iterdir():
        shutil.copy(file, folder / file.name)
    change(folder)
    card = folder / ("bundle.json" if "pocket" in sound.name else "mien.json")
    try:
        content = json.loads(card.read_text())
        sums = {name: sha256(folder / name) for name in content["sha256"] if (folder / name).is_file()}
        if all(isinstance(one, str) for one in content["sha256"].values()):
            put(card.name, json.dumps({**content, "sha256": {**content["sha256"], **sums}}))(folder)
    except (ValueError, KeyError, TypeError, AttributeError, RecursionError):
        pass
    return folder


def sha256(path: Path) -> str:
    return "" if path.stat().st_size > 1 << 30 else hashlib.sha256(path.read_bytes()).hexdigest()


def refuse(folder: Path) -> None:
    """Verification finds it and opening says so: in a sentence, soon, within bounds of memory."""
    began, before = time.process_time(), resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    try:
        states = list(folder_states(folder))
    except MienError as error:
        states = [("", "damaged", error.got)]
    bad = [detail for _, state, detail in states if state not in ("ok", "not recorded")]
    assert bad, f"verified as sound: {states}"
    with pytest.raises(MienError) as caught:
        open_reader(str(folder), threads=1)
    for text in (*bad, str(caught.value)):
        assert "\n" not in text
        assert "\x1b" not in text
        assert len(text) < 1000
        assert "Traceback" not in text
    assert time.process_time() - began < SECONDS
    assert resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - before < MEGABYTES * 1000


def some(kinds: Mapping[str, Change], every: int) -> list[Any]:
    """All kinds; those beside every n-th are left to the slow tests."""
    return [
        pytest.param(kind, marks=() if place % every == 0 else pytest.mark.slow)
        for place, kind in enumerate(kinds)
    ]


@pytest.mark.parametrize("kind", some(POCKET, 3))
def test_a_hostile_pocket_model_is_refused(sound: Mapping[str, Path], tmp_path: Path, kind: str) -> None:
    refuse(changed(sound["pocket"], tmp_path / "model", POCKET[kind]))


@pytest.mark.parametrize("kind", some(TRAINED, 6))
def test_a_hostile_trained_model_is_refused(
    sound: Mapping[str, Path], tmp_path: Path, evil: Path, kind: str
) -> None:
    refuse(changed(sound["trained"], tmp_path / "model", TRAINED[kind]))
    assert not evil.exists()


def test_sound_folders_are_opened(sound: Mapping[str, Path]) -> None:
    for folder in sound.values():
        assert {state for _, state, _ in folder_states(folder)} == {"ok"}
        open_reader(str(folder), threads=1)


def test_code_beside_a_model_is_not_run(sound: Mapping[str, Path], tmp_path: Path, evil: Path) -> None:
    folder = changed(sound["trained"], tmp_path / "model", lambda folder: None)
    shutil.copy(tmp_path / "path" / "evil_code.py", folder / "evil_code.py")
    code = {
        "AutoConfig": "evil_code.Config",
        "AutoModel": "evil_code.Encoder",
        "AutoModelForCausalLM": "evil_code.E",
    }
    edit("config.json", "auto_map", code)(folder)
    edit("config.json", "text_config.auto_map", code)(folder)
    (folder / "custom_generate").mkdir()
    shutil.copy(folder / "evil_code.py", folder / "custom_generate" / "generate.py")
    open_reader(str(folder), threads=1)
    list(folder_states(folder))
    assert not evil.exists()


def test_code_that_the_user_names_is_run(
    sound: Mapping[str, Path], tmp_path: Path, evil: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    change = edit("config.json", "evidence.image.encoder.type", "evil_code:Encoder")
    folder = changed(sound["trained"], tmp_path / "model", change)
    with pytest.raises(MienError, match="MIEN_TRUST=evil_code:Encoder"):
        open_reader(str(folder), threads=1)
    assert not evil.exists()
    monkeypatch.setenv("MIEN_TRUST", "other:One,evil_code:Encoder")
    with pytest.raises(MienError):  # it takes no such arguments
        open_reader(str(folder), threads=1)
    assert evil.exists()


@pytest.mark.parametrize(
    "content", [pickle.dumps({"a": 1}), b"", os.urandom(3000)], ids=["plain", "empty", "noise"]
)
def test_checkpoints_to_import_are_read_without_their_code(tmp_path: Path, content: bytes) -> None:
    for name, data in (("odd.bin", content), ("evil.bin", pickle.dumps({"a": Evil(tmp_path / "RAN")}))):
        (tmp_path / name).write_bytes(data)
        with pytest.raises(MienError):
            read_checkpoint(tmp_path / name)
    assert not (tmp_path / "RAN").exists()
