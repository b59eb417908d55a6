"""A local HTTP server that speaks OpenAI's chat protocol and misbehaves on demand. Standard library only.

    python wire_server.py [--service SECONDS] [--slots N]

The first line on standard output is its port. Beside ``POST /v1/chat/completions`` there are ``POST /faults``
(a list of ``{"match": text, "kind": …, "times": n}``: the first n tries of every request whose last text
contains ``match`` go wrong), ``POST /reset``, ``GET /stats`` and ``GET /count``.
"""

from __future__ import annotations

import argparse
import hashlib
import json
import sys
import threading
import time
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any

MOST_BODY = 50_000_000
STALL_SECONDS = 3.0


class Book:
    """What the server has seen."""

    def __init__(self) -> None:
        self.lock = threading.Lock()
        self.reset()

    def reset(self) -> None:
        self.faults: list[dict[str, Any]] = []
        self.received: dict[str, int] = {}
        self.answered: dict[str, int] = {}
        self.texts: dict[str, str] = {}
        self.bodies: list[dict[str, Any]] = []
        self.keys: list[str | None] = []
        self.first = self.last = self.busy = 0.0
        self.now = self.peak = 0

    def receive(self, key: str, text: str) -> dict[str, Any] | None:
        """Count a request and choose its fault."""
        with self.lock:
            turn = self.received[key] = self.received.get(key, 0) + 1
            self.texts[key] = text
            self.now += 1
            self.peak = max(self.peak, self.now)
            self.first = self.first or time.monotonic()
            matching = (fault for fault in self.faults if fault["match"] in text)
            return next((fault for fault in matching if turn <= fault.get("times", 1)), None)

    def leave(self, key: str, answered: bool, seconds: float) -> None:
        with self.lock:
            self.now -= 1
            self.busy += seconds
            self.last = time.monotonic()
            if answered:
                self.answered[key] = self.answered.get(key, 0) + 1

    def stats(self, slots: int) -> dict[str, Any]:
        with self.lock:
            window = self.last - self.first
            return {
                "received": self.received,
                "answered": self.answered,
                "texts": self.texts,
                "bodies": self.bodies,
                "keys": self.keys,
                "peak": self.peak,
                "window": window,
                "busy": self.busy / (slots * window) if window else 0.0,
            }


class WireServer(ThreadingHTTPServer):
    daemon_threads = True
    request_queue_size = 256

    def __init__(self, service: float, slots: int, keep_bodies: bool) -> None:
        super().__init__(("127.0.0.1", 0), Handler)
        self.book, self.service, self.slots, self.keep_bodies = Book(), service, slots, keep_bodies
        self.places = threading.Semaphore(slots)

    def handle_error(self, request: Any, client_address: Any) -> None:
        """A client that was killed is no error."""
        if not isinstance(sys.exception(), ConnectionError):
            super().handle_error(request, client_address)


class Handler(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"
    server: WireServer
    # A reply leaves as one packet, at once.
    wbufsize = 1 << 20
    disable_nagle_algorithm = True

    def log_message(self, format: str, *args: Any) -> None:
        """Be quiet."""

    def do_GET(self) -> None:
        book = self.server.book
        if self.path == "/count":
            self.send_json(200, sum(book.received.values()))
        else:
            self.send_json(200, book.stats(self.server.slots))

    def do_POST(self) -> None:
        length = min(int(self.headers["Content-Length"]), MOST_BODY)
        data = self.rfile.read(length)
        if len(data) < length:
            # The client was killed while it sent.
            self.close_connection = True
            return
        body = json.loads(data or b"null")
        book = self.server.book
        if self.path == "/reset":
            book.reset()
            self.send_json(200, {})
        elif self.path == "/faults":
            book.faults = body
            self.send_json(200, {})
        elif self.path == "/v1/chat/completions":
            self.chat(body)
        else:
            self.send_json(404, error("no such page", "not_found"))

    def chat(self, body: dict[str, Any]) -> None:
        book, text = self.server.book, last_text(body)
        counted = {
            name: value for name, value in body.items() if name not in {"response_format", "stream_options"}
        }
        key = hashlib.sha256(json.dumps(counted, sort_keys=True).encode()).hexdigest()
        if self.server.keep_bodies:
            book.bodies.append(body)
            book.keys.append(self.headers["Authorization"])
        fault = book.receive(key, text)
        answered, worked = False, 0.0
        try:
            if fault is not None and not self.go_wrong(fault, body):
                return
            with self.server.places:
                started = time.monotonic()
                time.sleep(self.server.service)
                worked = time.monotonic() - started
            self.answer(body, text, fault or {})
            answered = True
        finally:
            book.leave(key, answered, worked)

    def go_wrong(self, fault: dict[str, Any], body: dict[str, Any]) -> bool:
        """Do what the fault says; True when an answer is still to be sent."""
        kind = fault["kind"]
        if kind in {"refusal", "content_filter", "length", "truncated", "no-usage", "parts", "message"}:
            return True
        if kind == "stall":
            time.sleep(STALL_SECONDS)
            self.close_connection = True
        elif kind == "disconnect":
            self.close_connection = True
        elif kind == "malformed":
            self.send_text(200, '{"id": "x", "choices": [{"index": 0, "mess', "application/json")
        elif kind == "html":
            self.send_text(200, "<html>It works!</html>", "text/html")
        elif kind == "no-choices":
            self.send_json(200, {"id": "x", "object": "chat.completion", "choices": []})
        elif kind == "no-option":
            if fault["option"] not in {*body, *(one["role"] for one in body["messages"])}:
                return True
            message = fault.get("message", f"Unsupported parameter: '{fault['option']}'")
            self.send_json(400, error(message, "unsupported_parameter"))
        elif kind == "echo-key":
            self.send_json(400, error(f"bad header {self.headers['Authorization']}", "invalid"))
        else:
            after = {"Retry-After": fault["after"]} if "after" in fault else {}
            self.send_json(
                int(fault["status"]), error(fault.get("message", "no"), fault.get("code", "x")), after
            )
        return False

    def answer(self, body: dict[str, Any], text: str, fault: dict[str, Any]) -> None:
        kind = fault.get("kind")
        said = f"reply to: {text}"
        if "response_format" in body:
            said = json.dumps({"reply": text})
        message: dict[str, Any] = {"role": "assistant", "content": said}
        if kind == "refusal":
            message = {"role": "assistant", "content": None, "refusal": "I cannot help with that."}
        if kind == "parts":
            message["content"] = [{"type": "text", "text": said[:5]}, {"type": "text", "text": said[5:]}]
        if kind == "message":
            message = {"role": "assistant", **fault["message"]}
        finish = fault.get("finish", kind if kind in {"content_filter", "length"} else "stop")
        usage = {"prompt_tokens": len(text.split()), "completion_tokens": len(said.split())}
        usage["total_tokens"] = sum(usage.values())
        head = {"id": "x", "object": "chat.completion", "created": 1, "model": body["model"]}
        if body.get("stream"):
            if kind == "message":
                self.stream_message(head, message, finish)
            else:
                self.stream(head, said, finish, usage, cut=kind == "truncated")
            return
        choices = [{"index": 0, "message": message, "finish_reason": finish}]
        content = {**head, "choices": choices} | ({} if kind == "no-usage" else {"usage": usage})
        if kind == "truncated":
            data = json.dumps(content).encode()
            self.send_response(200)
            self.send_header("Content-Type", "application/json")
            self.send_header("Content-Length", str(len(data)))
            self.end_headers()
            self.wfile.write(data[: len(data) // 2])
            self.close_connection = True
            return
        self.send_json(200, content)

    def stream(self, head: dict[str, Any], said: str, finish: str, usage: dict[str, int], cut: bool) -> None:
        head = head | {"object": "chat.completion.chunk"}
        words = said.split(" ")
        pieces = [word if index == 0 else f" {word}" for index, word in enumerate(words)]
        self.send_response(200)
        self.send_header("Content-Type", "text/event-stream")
        self.send_header("Connection", "close")
        self.end_headers()
        for piece in pieces[: max(1, len(pieces) // 2)] if cut else pieces:
            self.event(
                {**head, "choices": [{"index": 0, "delta": {"content": piece}, "finish_reason": None}]}
            )
        if not cut:
            self.event({**head, "choices": [{"index": 0, "delta": {}, "finish_reason": finish}]})
            self.event({**head, "choices": [], "usage": usage})
            self.wfile.write(b"data: [DONE]\n\n")
        self.close_connection = True

    def stream_message(self, head: dict[str, Any], message: dict[str, Any], finish: str) -> None:
        """Each text field of the message letter by letter."""
        head = head | {"object": "chat.completion.chunk"}
        self.send_response(200)
        self.send_header("Content-Type", "text/event-stream")
        self.send_header("Connection", "close")
        self.end_headers()
        for name, text in message.items():
            for letter in text or "" if name != "role" else ():
                choices = [{"index": 0, "delta": {name: letter}, "finish_reason": None}]
                self.event({**head, "choices": choices})
        self.event({**head, "choices": [{"index": 0, "delta": {}, "finish_reason": finish}]})
        self.wfile.write(b"data: [DONE]\n\n")
        self.close_connection = True

    def event(self, content: dict[str, Any]) -> None:
        self.wfile.write(f"data: {json.dumps(content)}\n\n".encode())
        self.wfile.flush()

    def send_json(self, status: int, content: object, headers: dict[str, str] | None = None) -> None:
        self.send_text(status, json.dumps(content), "application/json", headers)

    def send_text(self, status: int, text: str, kind: str, headers: dict[str, str] | None = None) -> None:
        data = text.encode()
        self.send_response(status)
        for name, value in {
            "Content-Type": kind,
            "Content-Length": str(len(data)),
            **(headers or {}),
        }.items():
            self.send_header(name, value)
        self.end_headers()
        self.wfile.write(data)


def error(message: str, code: str) -> dict[str, Any]:
    return {"error": {"message": message, "type": "invalid_request_error", "code": code, "param": None}}


def last_text(body: dict[str, Any]) -> str:
    content = body["messages"][-1]["content"]
    if isinstance(content, str):
        return content
    return " ".join(part["text"] for part in content if part["type"] == "text")


def main() -> None:
    options = argparse.ArgumentParser(description=__doc__)
    options.add_argument("--service", type=float, default=0.0, help="seconds of work per reply")
    options.add_argument("--slots", type=int, default=64, help="replies at work at once")
    options.add_argument("--keep-bodies", action="store_true", help="show the bodies in /stats")
    chosen = options.parse_args()
    server = WireServer(chosen.service, chosen.slots, chosen.keep_bodies)
    sys.stdout.write(f"{server.server_address[1]}\n")
    sys.stdout.flush()
    server.serve_forever()


if __name__ == "__main__":
    main()
