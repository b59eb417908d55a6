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
        ({"status": 403, "message": "Your input was flagged"}, "content filter", False),
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


@pytest.mark.parametrize("option", ["response_format", "seed", "temperature", "max_tokens"])
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
    assert teacher.left_out == (option,)


def test_a_model_without_a_system_role_gets_its_words_in_the_question(wire: Any) -> None:
    fault = {"match": "hello", "kind": "no-option", "option": "system"}
    wire.faults(fault | {"message": "System role not supported"})
    teacher = OpenAITeacher(wire.url, "toy-1", timeout=1.0)
    assert teacher.reply(request("hello")).text == "reply to: Be brief.\n\nhello"
    teacher.close()
    assert [[one["role"] for one in body["messages"]] for body in wire.stats()["bodies"]] == [
        ["system", "user"],
        ["user"],
    ]


THOUGHTS = {
    "think": ({"content": "<think>\nhm\n</think>\n\nAU12."}, "stop", "AU12.", "hm"),
    "reasoning_content": ({"content": "AU12.", "reasoning_content": "hm"}, "stop", "AU12.", "hm"),
    "reasoning": ({"content": "AU12.", "reasoning": "hm"}, "stop", "AU12.", "hm"),
    "twice": ({"content": "AU12.", "reasoning": "hm", "reasoning_content": "hm"}, "stop", "AU12.", "hm"),
    "cut off": ({"content": None, "reasoning_content": "hm"}, "length", "", "hm"),
    "unclosed": ({"content": "<think>hm"}, "length", "", "hm"),
    "silent": ({"content": "", "reasoning": "hm"}, "stop", "", "hm"),
}
UNSAID = {
    "cut off": "cut off while thinking",
    "unclosed": "cut off while thinking",
    "silent": "thoughts without an answer",
}


@pytest.mark.parametrize("stream", [False, True], ids=["whole", "stream"])
@pytest.mark.parametrize("name", THOUGHTS)
def test_thoughts_are_kept_apart(wire: Any, name: str, stream: bool) -> None:
    message, finish, text, thoughts = THOUGHTS[name]
    wire.faults({"match": "hello", "kind": "message", "message": message, "finish": finish})
    teacher = OpenAITeacher(wire.url, "toy-1", timeout=1.0, stream=stream)
    reply = teacher.reply(request("hello"))
    teacher.close()
    assert (reply.text, reply.thoughts, reply.finish) == (text, thoughts, finish)
    assert reply.unsaid == UNSAID.get(name)


def test_thoughts_among_the_parts_of_a_message_are_kept_apart(wire: Any, teacher: OpenAITeacher) -> None:
    parts = [
        {"type": "thinking", "thinking": [{"type": "text", "text": "hm"}]},
        {"type": "text", "text": "AU12."},
    ]
    wire.faults({"match": "hello", "kind": "message", "message": {"content": parts}})
    reply = teacher.reply(request("hello"))
    assert (reply.text, reply.thoughts) == ("AU12.", "hm")


def test_a_text_that_no_file_can_hold_is_mended(wire: Any, teacher: OpenAITeacher) -> None:
    wire.faults({"match": "hello", "kind": "message", "message": {"content": "half a sign \ud83d"}})
    assert teacher.reply(request("hello")).text == "half a sign ?"


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


@pytest.mark.parametrize("value", [KEY + "\n", f"  {KEY}\r\n"])
def test_blanks_around_a_key_are_not_sent(wire: Any, monkeypatch: pytest.MonkeyPatch, value: str) -> None:
    monkeypatch.setenv("TOY_KEY", value)
    teacher = OpenAITeacher(wire.url, "toy-1", "TOY_KEY")
    teacher.reply(request("hello"))
    teacher.close()
    assert wire.stats()["keys"] == [f"Bearer {KEY}"]


@pytest.mark.parametrize(
    "value", ["", " \n", f"{KEY}\nmore", f"a {KEY}", f"{KEY}\x1b[0m", f"{KEY}é", f"\ufeff{KEY}"]
)
def test_what_cannot_be_a_key_is_refused_and_not_shown(monkeypatch: pytest.MonkeyPatch, value: str) -> None:
    monkeypatch.setenv("TOY_KEY", value)
    with pytest.raises(BadConfig, match="TOY_KEY") as caught:
        OpenAITeacher("http://host/v1", "toy-1", "TOY_KEY")
    assert KEY not in str(caught.value)


def test_a_key_in_place_of_its_variable_is_not_shown() -> None:
    with pytest.raises(BadConfig, match="--key-env") as caught:
        OpenAITeacher("http://host/v1", "toy-1", KEY)
    assert KEY not in str(caught.value)


@pytest.mark.parametrize(
    ("address", "variable"),
    [
        ("http://[half", None),
        ("http://host:99999/v1", None),
        ("http://host\n/v1", None),
        ("ftp://me:secret@host/v1", None),
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
