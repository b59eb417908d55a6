"""Requests made at random: only 2xx or a clear 4xx, and the server lives."""

from __future__ import annotations

import base64
import json
import os
import random
import shutil
import subprocess
from typing import Any

import pytest

PATHS = [f"/v1/{name}" for name in "analyze ask verify chat/completions jobs models stream nothing".split()]
NAMES = [
    *"image images question text every cut_off explain messages model n stop stream response_format".split(),
    *("start", "end", "fps", "format", "columns", "", "é", "__proto__"),
]
KINDS = ("application/json", "multipart/form-data; boundary=b", "multipart/form-data", "image/jpeg", "text/plain", "",
         "application/json; charset=utf-16", "application/x-www-form-urlencoded", "video/mp4", "json")  # fmt: skip
CLEAR = {200, 202, 400, 404, 405, 408, 413, 415, 422, 429}


class Maker:
    """Requests from one seed."""

    def __init__(self, seed: int, photo: bytes) -> None:
        self.random, self.photo = random.Random(seed), photo

    def value(self, depth: int = 0) -> Any:
        pick = self.random.randrange(12 if depth < 4 else 8)
        odd = ["\ud83d\ude00\x00", "x" * 40, f"data:image/png;base64,{self.bytes().hex()}", -1]
        simple = [None, True, self.random.uniform(-9, 9), 10 ** self.random.randrange(30), *odd]
        if pick < 8:
            return simple[pick]
        if pick < 10:
            return [self.value(depth + 1) for _ in range(self.random.randrange(4))]
        return {self.random.choice(NAMES): self.value(depth + 1) for _ in range(self.random.randrange(4))}

    def word(self) -> str:
        return str(self.value()).encode("utf-8", "replace").decode()[:80]

    def bytes(self) -> bytes:
        data = bytearray(self.photo[: self.random.randrange(2, 4000)])
        for _ in range(self.random.randrange(8)):
            data[self.random.randrange(len(data))] = self.random.randrange(256)
        return self.random.randbytes(self.random.randrange(64)) if self.random.random() < 0.3 else bytes(data)

    def request(self) -> dict[str, Any]:
        body = self.bytes()
        kind = self.random.choice(KINDS)
        if "json" in kind:
            fields = {self.random.choice(NAMES): self.value() for _ in range(self.random.randrange(5))}
            if self.random.random() < 0.3:
                url = f"data:image/jpeg;base64,{base64.b64encode(body).decode()}"
                part = {
                    "type": self.random.choice(("image_url", "text", "x")),
                    "image_url": {"url": url},
                    "text": self.value(),
                }
                fields["messages"] = [
                    {"role": self.random.choice(("user", "system", "x")), "content": [part]}
                ]
            body = json.dumps(fields).encode()
        elif "boundary" in kind:
            name = self.random.choice(NAMES).encode()
            body = (
                b'--b\r\nContent-Disposition: form-data; name="' + name + b'"; filename="../a"\r\n\r\n' + body
            )
            body += self.random.choice((b"", b"\r\n--b--\r\n", b"\r\n--b\r\n"))
        if self.random.random() < 0.2:
            body = body[: self.random.randrange(len(body) + 1)]
        return {
            "method": self.random.choice(("POST", "POST", "POST", "GET", "DELETE", "PUT", "OPTIONS")),
            "url": self.random.choice(PATHS), "content": body, "headers": {"content-type": kind},
            "params": {self.random.choice(NAMES): self.word() for _ in range(self.random.randrange(3))},
        }  # fmt: skip


def hammer(server: Any, photo: bytes, count: int, seed: int) -> None:
    maker = Maker(seed, photo)
    for number in range(count):
        request = maker.request()
        reply = server.client.request(**request, timeout=60)
        assert reply.status_code in CLEAR, (
            number,
            request["url"],
            request["headers"],
            request["content"][:300],
            reply.text,
        )
        if reply.status_code >= 400 and request["method"] != "HEAD":
            assert reply.json()["error"]["message"]
    assert server.client.get("/readyz").status_code == 200


def test_a_few_hundred_requests_at_random(server: Any, photo: bytes) -> None:
    hammer(server, photo, 300, 1)


@pytest.mark.slow
@pytest.mark.timeout(3600)
def test_ten_thousand_requests_at_random(server: Any, photo: bytes) -> None:
    hammer(server, photo, 10_000, 2)


@pytest.mark.slow
@pytest.mark.timeout(1800)
def test_requests_made_from_the_document(server: Any) -> None:
    """schemathesis reads the OpenAPI document and asks accordingly; it is a program of its own environment."""
    program = os.environ.get("SCHEMATHESIS") or shutil.which("schemathesis")
    if program is None:
        pytest.skip("no schemathesis on the path (pipx install schemathesis), nor named by SCHEMATHESIS")
    command = [
        program,
        "run",
        f"{server.address}/openapi.json",
        "--checks",
        "not_a_server_error",
        "--max-examples",
        "30",
    ]
    done = subprocess.run(command, capture_output=True, text=True, timeout=1500, check=False)
    assert done.returncode == 0, done.stdout[-4000:]
