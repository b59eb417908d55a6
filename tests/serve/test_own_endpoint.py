"""An endpoint of one's own is a file and a word: shown on a copy of the package, without a model."""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import sys
from pathlib import Path

ROOT = Path(__file__).resolve().parents[2]
ENDPOINT = """
from fastapi import APIRouter

__all__ = ["router"]
router = APIRouter()


@router.get("/v1/hello")
async def hello() -> dict[str, str]:
    return {"hello": "there"}
"""
LIST = """
import json
from fastapi import FastAPI
from mien.serve.server import _add
from mien.serve.settings import Settings
app = FastAPI()
_add(Settings(), app)
print(json.dumps(sorted(app.openapi()["paths"])))
"""


def test_an_endpoint_takes_two_files(tmp_path: Path) -> None:
    # Only the Python files: the weights stay where they are.
    source = shutil.copytree(
        ROOT / "src", tmp_path / "src", ignore=shutil.ignore_patterns("weights", "__pycache__")
    )
    room = source / "mien" / "serve"
    (room / "hello.py").write_text(ENDPOINT)
    server = (room / "server.py").read_text()
    changed = server.replace(
        "import api, chat, job_routes, stream", "import api, chat, hello, job_routes, stream"
    )
    changed = changed.replace("(api, job_routes, chat, stream)", "(api, job_routes, chat, stream, hello)")
    assert changed.count("hello") == 2
    (room / "server.py").write_text(changed)
    environment = {**os.environ, "PYTHONPATH": str(source)}
    done = subprocess.run(
        [sys.executable, "-c", LIST], env=environment, capture_output=True, text=True, check=True, timeout=170
    )
    paths = json.loads(done.stdout)
    assert {"/v1/hello", "/v1/analyze", "/v1/chat/completions", "/v1/jobs"} <= set(paths)
