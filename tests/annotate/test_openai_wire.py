"""The teacher behind a server, against a real server that misbehaves."""

from __future__ import annotations

import base64
import logging
import socket
from collections.abc import Iterator
from typing import Any

import pytest

from mien.backends.chat import ChatFailed, ChatImage, ChatMessage, ChatRequest
from mien.backends.openai import OpenAITeacher
from mien.core.errors import BadConfig

KEY = "sk-very-secret-4711"


def request(text: str, **options: Any) -> ChatRequest:
    return ChatRequest(
        "toy/say", "1", (ChatMessage("system", "Be brief."), ChatMessage("user", text)), **options
    )


@pytest.fixture(scope="module")
def teacher(wire_process: Any) -> Iterator[OpenAITeacher]:
    found = OpenAITeacher(wire_process.url, "toy-1", timeout=1.0)
    yield found
    found.close()


def failure(teacher: OpenAITeacher, text: str = "hello") -> ChatFailed:
    with pytest.raises(ChatFailed) as caught:
        teacher.reply(request(text))
    return caught.value


def test_text_settings_and_pictures_arrive(wire: Any, teacher: OpenAITeacher) -> None:
    picture = ChatImage(b"\x89PNG...", "image/png")
    asked = ChatRequest(
        "toy/see",
        "1",
        (ChatMessage("user", "What is this?", (picture,)),),
        temperature=0.5,
        max_tokens=77,
        seed=3,
    )
    reply = teacher.reply(asked)
    assert (reply.text, reply.finish) == ("reply to: What is this?", "stop")
    assert (reply.tokens_in, reply.tokens_out) == (3, 5)
    (body,) = wire.stats()["bodies"]
    assert (body["model"], body["temperature"], body["max_tokens"], body["seed"]) == ("toy-1", 0.5, 77, 3)
    shown, said = body["messages"][0]["content"]
    assert shown["image_url"]["url"] == "data:image/png;base64," + base64.b64encode(picture.data).decode()
    assert said == {"type": "text", "text": "What is this?"}


@pytest.mark.parametrize(
    ("fault", "reason"),
    [
        ({"kind": "status", "status": 429}, "rate limit"),
        ({"kind": "status", "status": 500}, "server error"),
        ({"kind": "status", "status": 503}, "server error"),
        ({"kind": "stall"}, "timeout"),
        ({"kind": "disconnect"}, "connection"),
        ({"kind": "truncated"}, "connection"),
        ({"kind": "malformed"}, "malformed reply"),
        ({"kind": "html"}, "malformed reply"),
        ({"kind": "no-choices"}, "malformed reply"),
    ],
    ids=lambda value: "-".join(str(part) for part in value.values()) if isinstance(value, dict) else "",
)
def test_passing_troubles_may_be_tried_again(
    wire: Any, teacher: OpenAITeacher, fault: dict[str, Any], reason: str
) -> None:
    wire.faults({"match": "hello", **fault})
    found = failure(teacher)
    assert (found.reason, found.retryable, found.fatal) == (reason, True, False)
    assert "Expected" in str(found)
    assert teacher.reply(request("hello")).text == "reply to: hello"
    assert list(wire.stats()["received"].values()) == [2]  # the client itself tries nothing again


@pytest.mark.parametrize(("after", "seconds"), [("7", 7.0), ("0.5", 0.5), ("soon", None), ("-3", 0.0)])
def test_retry_after_is_read(wire: Any, teacher: OpenAITeacher, after: str, seconds: float | None) -> None:
    wire.faults({"match": "hello", "kind": "status", "status": 429, "after": after})
    assert failure(teacher).retry_after == seconds


def test_retry_after_may_be_a_date(wire: Any, teacher: OpenAITeacher) -> None:
    date = "Fri, 31 Dec 2100 23:59:59 GMT"
    wire.faults({"match": "hello", "kind": "status", "status": 503, "after": date})
    waiting = failure(teacher).retry_after
    assert waiting is not None
    assert waiting > 1e8


@pytest.mark.parametrize(
    ("fault", "reason", "fatal"),
    [
        ({"status": 400}, "bad request", False),
        ({"status": 413}, "bad request", False),
        ({"status": 400, "code": "content_filter"}, "content filter", False),
        ({"status": 401}, "refused by the server", True),
        ({"status": 404}, "refused by the server", True),
        ({"status": 429, "code": "insufficient_quota"}, "refused by the server", True),
    ],
    ids=lambda value: "-".join(str(part) for part in value.values()) if isinstance(value, dict) else "",
)
def test_lasting_troubles_are_not_tried_again(
    wire: Any, teacher: OpenAITeacher, fault: dict[str, Any], reason: str, fatal: bool
) -> None:
    wire.faults({"match": "hello", "kind": "status", **fault})
    found = failure(teacher)
    assert (found.reason, found.retryable, found.fatal) == (reason, False, fatal)


@pytest.mark.parametrize("kind", ["refusal", "content_filter", "length"])
def test_the_end_of_a_reply_is_known(wire: Any, teacher: OpenAITeacher, kind: str) -> None:
    wire.faults({"match": "hello", "kind": kind})
    reply = teacher.reply(request("hello"))
    assert reply.finish == kind
    assert reply.tokens_in > 0  # it was paid for


def test_a_reply_in_parts_is_joined(wire: Any, teacher: OpenAITeacher) -> None:
    wire.faults({"match": "hello", "kind": "parts"})
    assert teacher.reply(request("hello")).text == "reply to: hello"


def test_tokens_are_estimated_where_the_server_counts_none(wire: Any, teacher: OpenAITeacher) -> None:
    wire.faults({"match": "hello", "kind": "no-usage"})
    reply = teacher.reply(request("hello"))
    assert (reply.tokens_in, reply.tokens_out) == (5, 4)  # 9 + 5 and 15 characters, four each


@pytest.mark.parametrize("option", ["response_format", "seed", "max_tokens"])
def test_an_option_that_the_server_refuses_is_left_out_from_then_on(wire: Any, option: str) -> None:
    wire.faults({"match": "", "kind": "no-option", "option": option, "times": 99})
    teacher = OpenAITeacher(wire.url, "toy-1", timeout=1.0)
    for text in ("one", "two"):
        teacher.reply(request(text, json=True, seed=1))
    teacher.close()
    bodies = wire.stats()["bodies"]
    assert [option in body for body in bodies] == [True, False, False]
    if option == "max_tokens":
        assert [body.get("max_completion_tokens") for body in bodies] == [None, 512, 512]


def test_json_mode_is_asked_for(wire: Any, teacher: OpenAITeacher) -> None:
    assert teacher.reply(request("hello", json=True)).text == '{"reply": "hello"}'
    assert teacher.reply(request("hello")).text == "reply to: hello"


def test_a_stream_is_read_to_its_end(wire: Any) -> None:
    teacher = OpenAITeacher(wire.url, "toy-1", timeout=1.0, stream=True)
    reply = teacher.reply(request("one two three"))
    assert (reply.text, reply.finish, reply.tokens_in) == ("reply to: one two three", "stop", 3)
    wire.faults({"match": "cut", "kind": "truncated"}, {"match": "long", "kind": "length"})
    found = failure(teacher, "cut this")
    assert (found.reason, found.retryable) == ("truncated reply", True)
    assert teacher.reply(request("cut this")).text == "reply to: cut this"
    assert teacher.reply(request("long")).finish == "length"
    teacher.close()


def test_no_server_is_a_connection_failure() -> None:
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    teacher = OpenAITeacher(f"http://127.0.0.1:{port}/v1", "toy-1", timeout=1.0)
    found = failure(teacher)
    assert (found.reason, found.retryable) == ("connection", True)
    teacher.close()


def test_the_key_is_sent_and_shown_nowhere(
    wire: Any, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    monkeypatch.setenv("TOY_KEY", KEY)
    caplog.set_level(logging.DEBUG)
    wire.faults({"match": "hello", "kind": "echo-key"})
    teacher = OpenAITeacher(wire.url, "toy-1", "TOY_KEY", timeout=1.0)
    found = failure(teacher)
    assert "***" in str(found)
    teacher.reply(request("other"))
    teacher.close()
    assert wire.stats()["keys"] == [f"Bearer {KEY}"] * 2
    assert KEY not in f"{found} {found.__dict__} {teacher!r} {caplog.text}"


def test_without_a_named_variable_no_key_leaves(wire: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("OPENAI_API_KEY", KEY)
    teacher = OpenAITeacher(wire.url, "toy-1")
    teacher.reply(request("hello"))
    teacher.close()
    assert KEY not in str(wire.stats()["keys"])


@pytest.mark.parametrize(
    ("address", "variable"),
    [
        ("localhost:8000/v1", None),
        ("ftp://host/v1", None),
        ("http://me:secret@host/v1", None),
        ("http://host/v1?key=secret", None),
        ("http://host/v1", "A_VARIABLE_THAT_NOBODY_SET"),
    ],
)
def test_bad_addresses_and_keys_are_named(address: str, variable: str | None) -> None:
    with pytest.raises(BadConfig) as caught:
        OpenAITeacher(address, "toy-1", variable)
    assert "secret" not in str(caught.value)
