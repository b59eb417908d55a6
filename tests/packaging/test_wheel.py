"""The wheel: built, installed into an empty environment, run there without a network."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
import zipfile
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[2]


def run(*words: object, cwd: Path, **more: str) -> str:
    done = subprocess.run(
        [str(word) for word in words],
        cwd=cwd,
        env={**os.environ, **more},
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stdout + done.stderr
    return done.stdout


@pytest.mark.slow
@pytest.mark.timeout(1800)
def test_a_wheel_works_in_an_empty_environment_without_a_network(tmp_path: Path) -> None:
    pytest.importorskip("hatchling")
    run(sys.executable, "-m", "pip", "wheel", "--no-deps", "--no-build-isolation", "--quiet", "-w", tmp_path, ROOT,
        cwd=tmp_path)  # fmt: skip
    (wheel,) = tmp_path.glob("mien-*.whl")
    assert wheel.stat().st_size < 25e6
    names = zipfile.ZipFile(wheel).namelist()
    for needed in ("mien/face/weights/LICENSE", "mien/py.typed", "mien/app/summarize_page.html"):
        assert needed in names
    assert any(name.endswith(".onnx") for name in names) and not any(
        name.startswith("tests/") for name in names
    )
    venv = tmp_path / "venv"
    run(sys.executable, "-m", "venv", venv, cwd=tmp_path)
    python = venv / "bin" / "python"
    run(python, "-m", "pip", "install", "--no-deps", "--no-index", "--quiet", wheel, cwd=tmp_path)
    # The dependencies are lent by this environment: the package itself comes from the wheel.
    (folder,) = (venv / "lib").glob("python*/site-packages")
    (folder / "lent.pth").write_text(str(Path(__import__("numpy").__file__).parents[1]))
    offline = [shutil.which("unshare"), "--net", "--map-root-user"]
    alone = (
        subprocess.run([*map(str, offline), "true"], capture_output=True, check=False).returncode == 0
        if offline[0]
        else False
    )
    told = run(*(offline if alone else []), venv / "bin" / "mien", "analyze", ROOT / "examples" / "grace_hopper.jpg",
               "--out", tmp_path / "out", "--quiet", cwd=tmp_path, PYTHONPATH="")  # fmt: skip
    assert told == "" and len((tmp_path / "out" / "faces.csv").read_text().splitlines()) == 2
    where = run(python, "-c", "import mien; print(mien.__file__)", cwd=tmp_path, PYTHONPATH="")
    assert where.startswith(str(venv))
