"""OpenAI's wire, spoken by OpenAI's own client to a real server."""

from __future__ import annotations

import base64
import json
import math
from collections.abc import Iterator
from typing import Any

import pytest

openai = pytest.importorskip("openai", reason="pip install 'mien[llm]'")


@pytest.fixture(scope="module")
def client(server: Any) -> Iterator[Any]:
    with openai.OpenAI(base_url=f"{server.address}/v1", api_key="none", max_retries=0, timeout=120) as found:
        yield found


@pytest.fixture(scope="module")
def picture(photo: bytes) -> dict[str, Any]:
    url = f"data:image/jpeg;base64,{base64.b64encode(photo).decode()}"
    return {"type": "image_url", "image_url": {"url": url}}


def asked(question: str, *parts: dict[str, Any]) -> list[dict[str, Any]]:
    return [{"role": "user", "content": [{"type": "text", "text": question}, *parts]}]


def test_the_label_with_its_likelihoods(client: Any, picture: dict[str, Any]) -> None:
    model = client.models.list().data[0].id
    done = client.chat.completions.create(
        model=model,
        messages=asked("What is the emotion of this face?", picture),
        logprobs=True,
        top_logprobs=8,
        n=2,
    )
    assert [choice.message.content for choice in done.choices] == ["happiness", "happiness"]
    (token,) = done.choices[0].logprobs.content
    assert token.token == "happiness"
    assert sum(math.exp(one.logprob) for one in token.top_logprobs) == pytest.approx(1.0, abs=1e-3)
    assert done.usage.total_tokens == done.usage.prompt_tokens + done.usage.completion_tokens > 0


def test_streams_stops_and_lengths(client: Any, picture: dict[str, Any]) -> None:
    ask = {"model": "pocket", "messages": asked("Explain the expression of this face step by step.", picture)}
    whole = client.chat.completions.create(**ask).choices[0]
    chunks = list(client.chat.completions.create(**ask, stream=True, stream_options={"include_usage": True}))
    told = "".join(one.choices[0].delta.content or "" for one in chunks if one.choices)
    assert told == whole.message.content and len(chunks) > 20
    assert chunks[-2].choices[0].finish_reason == "stop" and chunks[-1].usage.completion_tokens > 20
    cut = client.chat.completions.create(**ask, stop=["Overall Emotional"]).choices[0]
    assert cut.message.content == whole.message.content.partition("Overall Emotional")[0]
    short = client.chat.completions.create(**ask, max_completion_tokens=5).choices[0]
    assert short.finish_reason == "length" and whole.message.content.startswith(short.message.content)


def test_what_no_face_can_tell_is_declined(client: Any, picture: dict[str, Any]) -> None:
    choice = client.chat.completions.create(model="m", messages=asked("Is she lying?", picture)).choices[0]
    assert choice.mien["status"] == "declined" and choice.message.refusal and choice.message.content


def test_arrays_by_a_schema(client: Any, picture: dict[str, Any]) -> None:
    schema = {
        "type": "object",
        "additionalProperties": False,
        "required": ["levels", "present", "AU12", "emotion"],
        "properties": {
            "levels": {"type": "array", "items": {"type": "integer", "minimum": 0, "maximum": 5}},
            "present": {"type": "array", "items": {"type": "boolean"}},
            "AU12": {"type": "number"},
            "emotion": {"type": "string", "enum": ["sadness", "happiness"]},
        },
    }
    form = {"type": "json_schema", "json_schema": {"name": "units", "strict": True, "schema": schema}}
    done = client.chat.completions.create(model="m", messages=asked("Units?", picture), response_format=form)
    found = json.loads(done.choices[0].message.content)
    names = client.models.list().data[0].aus
    assert len(found["levels"]) == len(found["present"]) == len(names)
    assert found["levels"][names.index("AU12")] >= 3 and found["present"][names.index("AU12")]
    assert 0.5 < found["AU12"] <= 1.0 and found["emotion"] == "happiness"
    plain = client.chat.completions.create(
        model="m", messages=asked("Units?", picture), response_format={"type": "json_object"}
    )
    assert set(json.loads(plain.choices[0].message.content)) == {"emotion", "emotions", "aus"}


def test_a_later_question_is_about_the_earlier_picture(client: Any, picture: dict[str, Any]) -> None:
    talk = [
        *asked("What is the emotion?", picture),
        {"role": "assistant", "content": "happiness"},
        {"role": "user", "content": "Is AU12 present?"},
    ]
    assert (
        client.chat.completions.create(model="m", messages=talk).choices[0].message.content.startswith("Yes")
    )


def test_what_cannot_be_done_is_refused(client: Any, picture: dict[str, Any]) -> None:
    far = {"type": "image_url", "image_url": {"url": "http://10.0.0.1/a.jpg"}}
    schema = {"type": "object", "properties": {"age": {"type": "integer"}}}
    form = {"type": "json_schema", "json_schema": {"name": "x", "schema": schema}}
    for messages, more in (
        (asked("What is the emotion?", far), {}),
        (asked("What is the emotion?"), {}),
        (asked("Age?", picture), {"response_format": form}),
        (asked("?", {"type": "input_audio"}), {}),
        ([{"role": "system", "content": "x"}], {}),
    ):
        with pytest.raises((openai.BadRequestError, openai.UnprocessableEntityError)) as caught:
            client.chat.completions.create(model="m", messages=messages, **more)
        assert caught.value.body["message"].startswith("Got ")
