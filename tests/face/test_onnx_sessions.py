"""Devices and threads of the nets that ONNX Runtime runs."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import onnxruntime
import pytest

from mien.analyze.analyzer import Analyzer
from mien.core.errors import BadConfig
from mien.face.nets import WEIGHTS
from mien.face.onnx_sessions import DEVICES, front_end_device, open_session, providers_for, thread_count

NET = WEIGHTS / "detector_short.onnx"


@pytest.fixture
def card(monkeypatch: pytest.MonkeyPatch) -> None:
    """An ONNX Runtime that says it has a card."""
    names = ["CUDAExecutionProvider", "CPUExecutionProvider"]
    monkeypatch.setattr(onnxruntime, "get_available_providers", lambda: names)


def test_a_session_has_its_threads_and_does_not_spin() -> None:
    options = open_session(NET, 3).get_session_options()
    assert (options.intra_op_num_threads, options.inter_op_num_threads) == (3, 1)
    assert options.get_session_config_entry("session.intra_op.allow_spinning") == "0"


def test_every_device_that_is_here_gives_the_same() -> None:
    image = np.random.default_rng(0).integers(0, 256, (1, 128, 128, 3)).astype(np.uint8)
    expected = open_session(NET.read_bytes(), 1).run(None, {"image": image})
    here = [name for name, provider in DEVICES.items() if provider in onnxruntime.get_available_providers()]
    for device in (*here, "auto"):
        session = open_session(NET, 1, device)
        assert session.get_providers()[0] == DEVICES.get(device, DEVICES[here[0]])
        for one, other in zip(session.run(None, {"image": image}), expected, strict=True):
            np.testing.assert_allclose(one, other, atol=1e-3)


def test_the_analyzer_reads_the_same_by_auto(repository: Path) -> None:
    (one,), (other,) = (
        list(Analyzer(device=device).analyze(repository / "examples/eileen_collins.jpg"))
        for device in ("cpu", "auto")
    )
    assert one.faces[0].emotions == pytest.approx(other.faces[0].emotions, abs=1e-3)


@pytest.mark.usefixtures("card")
@pytest.mark.parametrize(
    ("device", "first"),
    [("cpu", "CPUExecutionProvider"), ("auto", ("CUDAExecutionProvider", {})),
     ("cuda", ("CUDAExecutionProvider", {})), ("cuda:1", ("CUDAExecutionProvider", {"device_id": 1}))],
)  # fmt: skip
def test_a_card_is_taken_where_it_is_asked_for_and_the_processor_does_the_rest(
    device: str, first: object
) -> None:
    providers = providers_for(device)
    assert providers[0] == first and providers[-1] == "CPUExecutionProvider"


@pytest.mark.parametrize(
    ("device", "fix"),
    [("cuda", "pip install onnxruntime-gpu"), ("dml", "pip install onnxruntime-directml"), ("coreml", "on a Mac"),
     ("gpu", "Choose one of these"), ("cuda:", "Choose one"), ("", "Choose one"), ("CPU", "Choose one")],
)  # fmt: skip
def test_what_is_not_here_is_named_with_what_to_install(
    device: str, fix: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(onnxruntime, "get_available_providers", lambda: ["CPUExecutionProvider"])
    with pytest.raises(BadConfig, match=f"(?s)device '{device}'.*cpu, auto.*{fix}"):
        providers_for(device)
    for model in ("pocket", "rules"):
        with pytest.raises(BadConfig, match=f"device '{device}'"):
            Analyzer(model, device=device)


def test_faces_are_found_where_the_model_runs_or_on_the_processor(card: None) -> None:
    assert front_end_device("cuda:1") == "cuda:1" and front_end_device("cuda") == "cuda"
    assert front_end_device("mps") == front_end_device("http://host:8000/v1") == "cpu"


def test_threads() -> None:
    assert 1 <= thread_count(None) <= 4 and thread_count(7) == 7
    with pytest.raises(BadConfig, match="threads=0"):
        thread_count(0)
