"""A decoder behind a server: the wire is vLLM's documented one, the other end runs the exported decoder for real."""

from __future__ import annotations

import base64
import io
import json
import threading
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any

import pytest
import torch
from tests.backends.test_torch import faces, generated, write
from transformers import AutoModelForCausalLM, AutoTokenizer

from mien.app.models.transfer import run_export
from mien.backends.base import open_reader
from mien.backends.torch import TorchReader
from mien.backends.vllm import DecoderFailed
from mien.core.errors import BadConfig
from mien.models.registry import SYSTEMS

pytest.importorskip("openai")


class Decoder:
    """`POST /v1/completions` with `prompt_embeds`; fields as vLLM's CompletionRequest names them (0.12 and newer)."""

    def __init__(self, folder: Path) -> None:
        self.model = AutoModelForCausalLM.from_pretrained(folder).eval()
        self.tokenizer = AutoTokenizer.from_pretrained(folder)
        self.seen: list[torch.Tensor] = []
        self.keys: list[str | None] = []
        self.broken: dict[str, Any] | None = None

    @torch.inference_mode()
    def completions(self, body: dict[str, Any]) -> dict[str, Any]:
        known = {
            "model", "prompt_embeds", "max_tokens", "temperature", "logprobs", "logprob_token_ids", "ignore_eos",
            "return_tokens_as_token_ids", "return_token_ids", "stop", "stop_token_ids", "skip_special_tokens",
            "logit_bias", "seed", "top_p",
        }  # fmt: skip
        assert not body.keys() - known and body["temperature"] == 0.0
        rows = [
            torch.load(io.BytesIO(base64.b64decode(row)), weights_only=True) for row in body["prompt_embeds"]
        ]
        self.seen += rows
        return {"choices": [{"index": place, **self.one(row, body)} for place, row in enumerate(rows)][::-1]}

    def one(self, prompt: torch.Tensor, body: dict[str, Any]) -> dict[str, Any]:
        assert prompt.ndim == 2 and prompt.shape[1] == self.model.config.hidden_size
        ids: list[int] = []
        words = self.model.get_input_embeddings()
        for _ in range(body["max_tokens"]):
            embeds = torch.cat([prompt, words(torch.tensor(ids, dtype=torch.long))])
            told = self.model(inputs_embeds=embeds[None]).logits[0, -1].float().log_softmax(-1)
            if "logprob_token_ids" in body:
                named = {f"token_id:{token}": float(told[token]) for token in body["logprob_token_ids"]}
                return {"text": "", "logprobs": {"top_logprobs": [named]}}
            for token, bias in body.get("logit_bias", {}).items():
                told[int(token)] += bias
            ids.append(int(told.argmax()))
            text = self.tokenizer.decode(ids)
            if ids[-1] in body["stop_token_ids"] or any(stop in text for stop in body["stop"]):
                break
        return {"text": self.tokenizer.decode(ids), "token_ids": ids}


class Server(ThreadingHTTPServer):
    decoder: Decoder


class Handler(BaseHTTPRequestHandler):
    server: Server

    def log_message(self, format: str, *args: Any) -> None: ...

    def do_GET(self) -> None:
        self.reply({"data": [{"id": "decoder"}]})

    def do_POST(self) -> None:
        body = json.loads(self.rfile.read(int(self.headers["content-length"])))
        self.server.decoder.keys.append(self.headers["authorization"])
        self.reply(self.server.decoder.broken or self.server.decoder.completions(body))

    def reply(self, payload: dict[str, Any]) -> None:
        data = json.dumps(payload).encode()
        self.send_response(200)
        self.send_header("content-type", "application/json")
        self.send_header("content-length", str(len(data)))
        self.end_headers()
        self.wfile.write(data)


@pytest.fixture(params=SYSTEMS)
def pair(
    request: pytest.FixtureRequest, tmp_path: Path
) -> Iterator[tuple[TorchReader, TorchReader, Decoder]]:
    """A system read here, the same with its decoder behind a server, and what that server saw."""
    folder = write(tmp_path / "model", request.param)
    run_export(folder, tmp_path / "decoder", decoder_only=True)
    server = Server(("127.0.0.1", 0), Handler)
    server.decoder = Decoder(tmp_path / "decoder")
    thread = threading.Thread(target=server.serve_forever, daemon=True)
    thread.start()
    address = f"http://127.0.0.1:{server.server_port}/v1"
    here, there = open_reader(str(folder), threads=1), open_reader(str(folder), threads=1, device=address)
    assert isinstance(here, TorchReader) and isinstance(there, TorchReader)
    yield here, there, server.decoder
    server.shutdown()
    server.server_close()
    thread.join()


def test_reads_as_the_decoder_here_does(pair: tuple[TorchReader, TorchReader, Decoder]) -> None:
    here, there, decoder = pair
    batch = faces(2)
    for ours, theirs in zip(here.measure(batch), there.measure(batch), strict=True):
        assert list(theirs.emotions.values()) == pytest.approx(list(ours.emotions.values()), abs=1e-4)
        for key, reading in ours.aus.items():
            assert theirs.aus[key].probability == pytest.approx(reading.probability, abs=1e-4, nan_ok=True)
    greedy = {"do_sample": False, "temperature": None, "top_p": None}
    asked = ["Who is this?", "What is going on in this picture, would you say?"]
    assert generated(there, batch, asked, **greedy) == generated(here, batch, asked, **greedy)
    assert not there.model.model.language_model.layers and here.model.model.language_model.layers
    # The last two prompts are these questions': bit for bit what the model here is fed.
    clips = [(face,) for face in batch]
    turns = [here._wrapped(one, *about) for one, about in zip(asked, here._about(clips), strict=True)]
    prompts = [here.system.encode(told, here.tokenizer, here.model.config).ids for told in turns]
    ids = torch.nn.utils.rnn.pad_sequence([torch.tensor(row) for row in prompts], batch_first=True)
    with torch.inference_mode():
        fed = here.model.embed(ids, here._evidence(clips, turns))
    for shown, expected, prompt in zip(decoder.seen[-2:], fed, prompts, strict=True):
        assert torch.equal(shown, expected[: len(prompt)])


@pytest.mark.parametrize("pair", ["expllm"], indirect=True)
def test_what_a_server_may_do_wrong(
    pair: tuple[TorchReader, TorchReader, Decoder], monkeypatch: pytest.MonkeyPatch
) -> None:
    _, there, decoder = pair
    with pytest.raises(BadConfig, match="num_beams"):
        generated(there, faces(1), ["Who?"], num_beams=3)
    for reply, words in [
        ({"choices": []}, r"\[\] for 1 prompts"),
        (
            {"choices": [{"index": 0, "logprobs": {"top_logprobs": [{"yes": -1.0}]}}]},
            "no log-probability of token",
        ),
        ({"error": "?"}, "None for 1 prompts"),
    ]:
        decoder.broken = reply
        with pytest.raises(DecoderFailed, match=words):
            there.measure(faces(1))
    assert set(decoder.keys) == {"Bearer none"}


def test_no_server(tmp_path: Path) -> None:
    folder = write(tmp_path, "expllm")
    with pytest.raises(DecoderFailed, match="127.0.0.1:9"):
        open_reader(str(folder), device="http://127.0.0.1:9/v1")
    with pytest.raises(BadConfig, match="device"):
        open_reader("pocket", device="http://127.0.0.1:9/v1")
