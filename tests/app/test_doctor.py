"""`mien doctor` and `mien models` on this installation, and on one with a damaged weight file."""

from __future__ import annotations

import shutil
from collections.abc import Callable
from pathlib import Path
from subprocess import CompletedProcess

import pytest

from mien.app import doctor
from mien.app.doctor import Check, examine
from mien.app.models import command as models_command
from mien.core.errors import MissingWeights
from mien.core.paths import face_weights

# Real processes: generous, for loaded machines.
pytestmark = pytest.mark.timeout(600)

Mien = Callable[..., "CompletedProcess[str]"]


def by_name(checks: list[Check]) -> dict[str, Check]:
    return {check.name: check for check in checks}


def test_this_installation_is_sound() -> None:
    checks = by_name(examine())
    assert {check.state for check in checks.values()} <= {"ok", "missing"}
    for name in ("numpy", "onnxruntime", "face/face_mesh.onnx", "open model", "read landmarks", "find faces"):
        assert checks[name].state == "ok"
    assert checks["find faces"].detail.startswith("1 of 1 ")
    assert "ms" in checks["read landmarks"].detail
    assert "CPUExecutionProvider" in checks["onnxruntime"].detail


def test_missing_things_are_named_with_their_command(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(doctor, "_EXTRAS", {"moon": (("surely-not-installed",), "moonlight")})
    monkeypatch.setattr(doctor, "_CORE", ("numpy", "also-not-installed"))
    checks = by_name(examine())
    assert checks["extra moon"].state == "missing"
    assert "pip install 'mien[moon]'" in checks["extra moon"].detail
    assert checks["also-not-installed"].state == "bad"
    assert "find faces" not in checks  # no self-test without the core


@pytest.fixture
def damaged(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A copy of the face nets, one of them changed and one gone."""
    folder = tmp_path / "weights"
    shutil.copytree(face_weights(), folder)
    data = bytearray((folder / "face_mesh.onnx").read_bytes())
    data[len(data) // 2] ^= 1
    (folder / "face_mesh.onnx").write_bytes(data)
    (folder / "detector_full.onnx").unlink()
    monkeypatch.setattr(models_command, "face_weights", lambda: folder)
    return folder


def test_damage_is_found(damaged: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert not models_command.show_verification()
    lines = capsys.readouterr().out.splitlines()
    assert [line.split()[1] for line in lines if "detector_short" in line] == ["ok"]
    assert [line.split()[1] for line in lines if "detector_full" in line] == ["missing"]
    assert [line.split()[1] for line in lines if "face_mesh" in line] == ["changed"]
    checks = by_name(examine())
    assert checks["face/face_mesh.onnx"].state == checks["face/detector_full.onnx"].state == "bad"
    (damaged / "manifest.json").write_text("{}")
    with pytest.raises(MissingWeights, match=r"manifest\.json"):
        models_command.weight_sets()


def test_commands(mien: Mien) -> None:
    done = mien("doctor")
    assert done.returncode == 0, done.stdout + done.stderr
    assert "extra video" in done.stdout
    listed = mien("models", "list")
    assert listed.returncode == 0 and "Apache-2.0" in listed.stdout and "rules" in listed.stdout
    verified = mien("models", "verify")
    assert verified.returncode == 0 and verified.stdout.count(" ok ") >= 3
    info = mien("models", "info", "face")
    assert info.returncode == 0 and "mediapipe-0.10.21" in info.stdout
    rules = mien("models", "info", "rules")
    assert rules.returncode == 0 and "AU12 lip corner puller" in rules.stdout
    unknown = mien("models", "info", "nothing")
    assert unknown.returncode == 2 and "Expected one of" in unknown.stderr
