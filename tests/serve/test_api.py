"""The endpoints, asked by an HTTP client of a real server, held against the analyzer in this process."""

from __future__ import annotations

import base64
import json
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from io import BytesIO
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image

from mien import Analyzer
from mien.core.codec import decode
from mien.core.nouns import Answer, FrameResult, Verification


@pytest.fixture(scope="module")
def analyzer() -> Analyzer:
    return Analyzer()


def results(reply: Any) -> list[FrameResult]:
    assert reply.status_code == 200, reply.text
    return [decode(FrameResult, one) for one in reply.json()["results"]]


def assert_alike(a: FrameResult, b: FrameResult) -> None:
    """The same up to rounding and to what was read together with it."""
    assert len(a.faces) == len(b.faces) > 0
    for one, other in zip(a.faces, b.faces, strict=True):
        np.testing.assert_allclose(one.box, other.box, atol=0.1)
        np.testing.assert_allclose(list(one.emotions.values()), list(other.emotions.values()), atol=2e-3)
        for key in one.aus:
            assert one.aus[key].intensity == pytest.approx(other.aus[key].intensity, abs=2e-3, nan_ok=True)


def data_url(data: bytes, kind: str = "image/jpeg") -> str:
    return f"data:{kind};base64,{base64.b64encode(data).decode()}"


def test_each_way_of_sending_gives_the_analyzers_result(
    server: Any, photo: bytes, analyzer: Analyzer
) -> None:
    (expected,) = analyzer.analyze([Image.open(BytesIO(photo))])
    options = {"landmarks": True, "cut_off": 2}
    ask = server.client.post
    ways = [
        ask("/v1/analyze", params=options, content=photo, headers={"x-filename": "a.jpg"}),
        ask("/v1/analyze", data={k: str(v) for k, v in options.items()}, files={"file": ("a.jpg", photo)}),
        ask("/v1/analyze", json={"image": data_url(photo), **options}),
        ask("/v1/analyze", json={"images": [base64.b64encode(photo).decode()], **options}),
    ]  # fmt: skip
    for reply in ways:
        (found,) = results(reply)
        assert_alike(found, expected)
        face = found.faces[0]
        assert face.landmarks is not None and face.aus["AU12"].cut_off == 2
        assert "not what a person feels" in reply.json()["notice"]
    assert results(ways[0])[0].source == "a.jpg"


def test_photos_of_many_clients_are_read_together(server: Any, photo: bytes, analyzer: Analyzer) -> None:
    (expected,) = analyzer.analyze([Image.open(BytesIO(photo))])
    with ThreadPoolExecutor(12) as pool:
        replies = list(pool.map(lambda _: server.client.post("/v1/analyze", content=photo), range(12)))
    for reply in replies:
        (found,) = results(reply)
        assert_alike(found, expected)
        assert found.faces[0].landmarks is None
    counted = server.client.get("/metrics").text
    sums = dict(line.rsplit(" ", 1) for line in counted.splitlines() if line.startswith("mien_together_"))
    assert float(sums['mien_together_sum{lane="photos"}']) > float(sums['mien_together_count{lane="photos"}'])
    assert 'mien_requests_total{path="/v1/analyze",status="200"}' in counted


def test_a_clip_has_times_and_tracks(
    server: Any, tmp_path: Path, photo: bytes, encoder: Callable[..., Path], analyzer: Analyzer
) -> None:
    small = np.asarray(Image.open(BytesIO(photo)).resize((256, 256)))
    path = encoder(tmp_path / "clip.mp4", [small] * 6)
    expected = list(analyzer.analyze([path], every=2))
    found = results(
        server.client.post(
            "/v1/analyze", files={"file": ("clip.mp4", path.read_bytes())}, data={"every": "2"}
        )
    )
    assert [(one.time, one.source) for one in found] == [(one.time, "clip.mp4") for one in expected]
    assert all(one.video and one.faces[0].track == 0 for one in found)
    assert_alike(found[-1], expected[-1])


def test_words_are_asked_for_and_audited(server: Any, photo: bytes) -> None:
    (found,) = results(server.client.post("/v1/analyze", params={"explain": True}, content=photo))
    explanation = found.faces[0].explanation
    assert explanation is not None and explanation.claims
    assert not any(claim.verdict == "contradicted" for claim in explanation.claims)


@pytest.mark.parametrize(
    ("question", "status"),
    [
        ("What is the emotion of this face?", "answered"),
        ("How old is she?", "declined"),
        ("zxcv", "unparsed"),
    ],
)
def test_answers_have_a_status(server: Any, photo: bytes, question: str, status: str) -> None:
    reply = server.client.post("/v1/ask", json={"image": data_url(photo), "question": question})
    content = {key: value for key, value in reply.json().items() if key not in ("model", "notice")}
    answer = decode(Answer, content)
    assert (reply.status_code, answer.status) == (200, status)
    if status == "answered":
        assert answer.labels is not None and answer.labels.emotion == "happiness"


def test_a_text_is_held_against_the_face(server: Any, photo: bytes) -> None:
    reply = server.client.post(
        "/v1/verify", files={"file": photo}, data={"text": "AU12 is strong. AU12 is absent."}
    )
    content = {key: value for key, value in reply.json().items() if key not in ("model", "notice")}
    found = decode(Verification, content)
    assert [claim.verdict for claim in found.claims] == ["supported", "contradicted"]


@pytest.mark.parametrize(
    ("path", "sent", "status", "word"),
    [
        ("/v1/analyze", {"content": b"no picture"}, 422, "no picture"),
        ("/v1/analyze", {"content": b""}, 400, "without a picture"),
        ("/v1/analyze", {"json": {"image": "data:image/png;base64,!!!"}}, 400, "no base64"),
        ("/v1/analyze", {"json": {"image": 7}}, 400, "data URL"),
        ("/v1/analyze", {"json": [1]}, 400, "an object"),
        ("/v1/analyze", {"content": b"[" * 9000, "headers": {"content-type": "application/json"}}, 400, "JSON"),
        ("/v1/analyze", {"content": b"x", "params": {"explian": 1}}, 400, "explian"),
        ("/v1/analyze", {"content": b"x", "params": {"every": 0}}, 400, "every"),
        ("/v1/analyze", {"json": {"image": "https://example.org/a.jpg"}}, 400, "data URL"),
        ("/v1/analyze", {"json": {"image": "http://169.254.169.254/latest"}}, 400, "data URL"),
        ("/v1/analyze", {"json": {"image": "file:///etc/passwd"}}, 400, "data URL"),
        ("/v1/analyze", {"data": {"image": "x"}}, 422, "no picture"),
        ("/v1/analyze", {"files": {"files": ("faces.PARQUET", b"PAR1")}}, 415, "a file of many pictures"),
        ("/v1/jobs", {"files": {"files": ("shard.tar", bytes(1024))}}, 415, "a file of many pictures"),
        ("/v1/ask", {"content": b"x"}, 400, "question"),
        ("/v1/ask", {"json": {"question": "Why?"}}, 400, "one picture"),
        ("/v1/nothing", {"content": b"x"}, 404, "Not Found"),
        ("/healthz", {"content": b"x"}, 405, "Not Allowed"),
    ],
)  # fmt: skip
def test_every_error_has_one_form(
    server: Any, path: str, sent: dict[str, Any], status: int, word: str
) -> None:
    reply = server.client.post(path, **sent)
    assert reply.status_code == status, reply.text
    error = reply.json()["error"]
    assert word in error["message"] and error["code"] == str(status)
    assert error["message"].startswith("Got ")


def test_one_broken_picture_does_not_spoil_the_others(server: Any, photo: bytes) -> None:
    files = [("files", ("good.jpg", photo)), ("files", ("../../bad.jpg", photo[:500]))]
    good, bad = results(server.client.post("/v1/analyze", files=files))
    assert good.faces and good.error is None
    assert bad.source == "bad.jpg" and bad.error is not None and "/tmp" not in bad.error


def test_the_document_lists_every_endpoint(server: Any) -> None:
    document = server.client.get("/openapi.json").json()
    assert {"/v1/analyze", "/v1/ask", "/v1/verify", "/v1/models", "/healthz", "/readyz"} <= document[
        "paths"
    ].keys()
    body = document["paths"]["/v1/analyze"]["post"]["requestBody"]["content"]
    assert {"application/json", "multipart/form-data", "image/jpeg"} <= body.keys()
    assert server.client.get("/docs").status_code == 404, "its page would load scripts from the network"


def test_other_sites_and_names_are_kept_out(server: Any) -> None:
    own = server.address.removeprefix("http://")
    for headers, status in (
        ({"host": "evil.example"}, 403),
        ({"origin": "https://evil.example"}, 403),
        ({"origin": server.address}, 200),
        ({"host": own}, 200),
    ):
        reply = server.client.get("/v1/models", headers=headers)
        assert reply.status_code == status
        assert "access-control-allow-origin" not in reply.headers


def test_the_log_tells_nothing_of_what_was_sent(server: Any, photo: bytes) -> None:
    server.client.post(
        "/v1/ask", params={"question": "A-SECRET-QUESTION"}, files={"file": ("SECRET.jpg", photo)}
    )
    text = server.log.read_text()
    assert "POST /v1/ask" in text and "SECRET" not in text
    assert json.dumps(text).count("base64") == 0
