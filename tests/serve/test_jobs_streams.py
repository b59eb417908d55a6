"""Long clips as jobs, and live frames over a WebSocket."""

from __future__ import annotations

import json
import time
from collections.abc import Callable
from io import BytesIO
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image

from mien import Analyzer
from mien.core.codec import decode
from mien.core.nouns import FrameResult

ENDED = ("done", "failed", "cancelled")


@pytest.fixture(scope="module")
def clip_file(tmp_path_factory: pytest.TempPathFactory, photo: bytes, encoder: Callable[..., Path]) -> Path:
    small = Image.open(BytesIO(photo)).resize((160, 160))
    moved = [np.roll(np.asarray(small), number, axis=1) for number in range(6)]
    return encoder(tmp_path_factory.mktemp("clip") / "clip.mp4", moved)


def ended(server: Any, id: str, seconds: float = 120) -> dict[str, Any]:
    until = time.monotonic() + seconds
    while time.monotonic() < until:
        job: dict[str, Any] = server.client.get(f"/v1/jobs/{id}").json()
        if job["state"] in ENDED:
            return job
        time.sleep(0.1)
    raise AssertionError(f"not ended: {job}")


def sent(server: Any, path: Path, **fields: str) -> str:
    reply = server.client.post("/v1/jobs", files={"file": (path.name, path.read_bytes())}, data=fields)
    assert reply.status_code == 202, reply.text
    return str(reply.json()["id"])


def test_a_job_gives_the_files_of_a_run(
    server: Any, clip_file: Path, mien: Callable[..., Any], tmp_path: Path
) -> None:
    id = sent(server, clip_file, format="json", report="true", every="2")
    job = ended(server, id)
    assert job["state"] == "done" and job["frames"] == 3
    assert {"faces.json", "report.html", "run.json", "schema.json"} <= set(job["files"])
    done = mien("analyze", clip_file, "--out", tmp_path / "out", "--format", "json", "--every", 2, "-q")
    assert done.returncode == 0, done.stderr
    own = json.loads((tmp_path / "out" / "faces.json").read_text())
    found = server.client.get(f"/v1/jobs/{id}/files/result").json()
    for a, b in zip(own, found, strict=True):
        assert b.pop("input") == f"{id}/clip.mp4" and a.pop("input")
        assert a == b
    assert "</html>" in server.client.get(f"/v1/jobs/{id}/files/report.html").text
    for path in (
        "job.json",
        "../job.json",
        "%2e%2e/job.json",
        ".mien/journal.sqlite",
        "/etc/passwd",
        "nothing",
    ):
        assert server.client.get(f"/v1/jobs/{id}/files/{path}").status_code in (404, 307), path
    assert server.client.get("/v1/jobs").json()["jobs"][0]["id"] == id
    server.client.delete(f"/v1/jobs/{id}")
    assert server.client.get(f"/v1/jobs/{id}").status_code == 404


def test_a_job_is_cancelled(server: Any, tmp_path: Path, photo: bytes, encoder: Callable[..., Path]) -> None:
    small = np.asarray(Image.open(BytesIO(photo)).resize((160, 160)))
    id = sent(server, encoder(tmp_path / "long.mp4", [small] * 600))
    server.client.delete(f"/v1/jobs/{id}")
    job = ended(server, id)
    assert job["state"] == "cancelled" and job["frames"] < 600


def test_a_job_that_cannot_be_done_says_why(server: Any) -> None:
    reply = server.client.post("/v1/jobs", files={"file": ("a.mp4", b"no clip at all")})
    job = ended(server, reply.json()["id"])
    assert job["state"] == "failed" and "a.mp4" in job["error"]
    assert server.client.post("/v1/jobs", data={"columns": "x"}, files={"file": b"x"}).status_code in (
        202,
        400,
    )
    assert server.client.post("/v1/jobs").status_code == 400


@pytest.fixture
def connect(server: Any) -> Callable[..., Any]:
    client = pytest.importorskip("websockets.sync.client")

    def open(query: str = "", **more: Any) -> Any:
        return client.connect(f"{server.address.replace('http', 'ws')}/v1/stream{query}", proxy=None, **more)

    return open


def test_frames_in_results_out(connect: Callable[..., Any], photo: bytes) -> None:
    frames = []
    for number in range(4):
        out = BytesIO()
        moved = np.roll(np.asarray(Image.open(BytesIO(photo)).resize((200, 200))), 2 * number, axis=1)
        Image.fromarray(moved).save(out, "PNG")
        frames.append(out.getvalue())
    session = Analyzer().session(fps=25)
    expected = [session.push(frame) for frame in frames]
    with connect("?fps=25&drop=false&landmarks=true") as socket:
        for frame in frames:
            socket.send(frame)
        replies = [json.loads(socket.recv(timeout=60)) for _ in frames]
    for reply, own in zip(replies, expected, strict=True):
        assert reply.pop("dropped") == 0
        found = decode(FrameResult, reply)
        assert (found.time, found.faces[0].track) == (own.time, 0)
        np.testing.assert_allclose(found.faces[0].landmarks, own.faces[0].landmarks, atol=0.05)


def test_frames_that_come_too_fast_are_passed_over(connect: Callable[..., Any], photo: bytes) -> None:
    with connect() as socket:
        for number in range(20):
            socket.send(json.dumps({"time": number / 25}))
            socket.send(photo)
        seen = dropped = 0
        while seen + dropped < 20:
            reply = json.loads(socket.recv(timeout=60))
            seen, dropped = seen + 1, dropped + reply["dropped"]
    assert dropped > 0 and reply["time"] == pytest.approx(19 / 25)


def test_a_broken_frame_does_not_end_the_stream(connect: Callable[..., Any], photo: bytes) -> None:
    with connect("?fps=10&drop=false") as socket:
        for frame in (b"no picture", photo):
            socket.send(frame)
        bad, good = (json.loads(socket.recv(timeout=60)) for _ in range(2))
    assert bad["error"] and not bad["faces"] and good["faces"] and good["frame"] == 1


def test_other_sites_get_no_stream(connect: Callable[..., Any]) -> None:
    errors = pytest.importorskip("websockets.exceptions")
    with pytest.raises(errors.InvalidStatus, match="403"):
        connect(origin="https://evil.example").__enter__()
    with connect("?fps=x") as socket:
        assert json.loads(socket.recv(timeout=30))["error"]["code"] == "400"


def test_a_request_names_its_model_and_jobs_open_none_of_their_own(
    start_server: Any, clip_file: Path, photo: bytes
) -> None:
    server = start_server("--also", "rules")
    assert [one["id"] for one in server.client.get("/v1/models").json()["data"]] == ["pocket", "rules"]
    said = {
        name: server.client.post("/v1/analyze", params={"model": name}, content=photo).json()
        for name in ("", "pocket", "rules")
    }
    assert [one["model"] for one in said.values()] == ["pocket", "pocket", "rules"]
    assert said[""]["results"] == said["pocket"]["results"] != said["rules"]["results"]
    missing = server.client.post("/v1/analyze", params={"model": "other"}, content=photo)
    assert missing.status_code == 404 and "pocket, rules" in missing.text
    before = resident(server)
    for name in ("pocket", "rules"):
        job = ended(server, sent(server, clip_file, format="jsonl", model=name))
        assert job["state"] == "done", job
        run = server.client.get(f"/v1/jobs/{job['id']}/files/run.json").json()
        assert run["config"]["model"] == name
    # The nets of the embedded model alone take some 60 MB.
    assert resident(server) - before < 50e6


def resident(server: Any) -> float:
    """Bytes of a server in memory."""
    lines = server.client.get("/metrics").text.splitlines()
    return next(float(one.split()[-1]) for one in lines if one.startswith("process_resident_memory_bytes"))
