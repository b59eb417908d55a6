"""The face nets as ONNX Runtime sessions.

The files in ``weights/`` are the nets of MediaPipe 0.10.21 (Apache-2.0), converted by
``tools/convert_mediapipe.py``; ``weights/manifest.json`` holds their checksums and origin.
"""

from __future__ import annotations

import hashlib
import json
from functools import cache
from pathlib import Path
from typing import TYPE_CHECKING, Any, cast

import numpy as np
from numpy.typing import NDArray

from mien.core.errors import MissingWeights
from mien.face.onnx_sessions import open_session, thread_count

if TYPE_CHECKING:
    from onnxruntime import InferenceSession

__all__ = ["WEIGHTS", "open_net", "read_manifest", "run_net"]

WEIGHTS = Path(__file__).parent / "weights"
_REPAIR = "Reinstall mien, or run tools/convert_mediapipe.py to write the file again"


def read_manifest(folder: Path = WEIGHTS) -> dict[str, Any]:
    """The manifest of a weights folder: ``files`` maps a file name to title, sha256, bytes, source, source_sha256.

    Raises:
        MissingWeights: the manifest is absent or is not JSON.
    """
    path = folder / "manifest.json"
    try:
        return cast("dict[str, Any]", json.loads(path.read_text(encoding="utf-8")))
    except (OSError, ValueError) as error:
        raise MissingWeights(
            got=f"no readable manifest at {path} ({error})", expected="the list of the face nets", fix=_REPAIR
        ) from error


def _checked_bytes(name: str, folder: Path) -> bytes:
    files = read_manifest(folder)["files"]
    if name not in files:
        raise MissingWeights(
            got=f"the net name {name!r}",
            expected=f"one of {', '.join(sorted(files))}",
        )
    path = folder / name
    try:
        data = path.read_bytes()
    except OSError as error:
        raise MissingWeights(
            got=f"no readable file {path} ({error})", expected="a face net", fix=_REPAIR
        ) from error
    digest = hashlib.sha256(data).hexdigest()
    if digest != files[name]["sha256"]:
        raise MissingWeights(
            got=f"{path} with {len(data)} bytes and SHA-256 {digest}",
            expected=f"{files[name]['bytes']} bytes and SHA-256 {files[name]['sha256']}",
            fix=_REPAIR,
        )
    return data


@cache
def _session(name: str, threads: int, folder: Path, device: str) -> InferenceSession:
    return open_session(_checked_bytes(name, folder), threads, device)


def open_net(
    name: str, threads: int | None = None, folder: Path = WEIGHTS, device: str = "cpu"
) -> InferenceSession:
    """A session for one file of ``weights/``; the same arguments give the same session.

    Args:
        name: file name, e.g. ``"face_mesh.onnx"``.
        threads: CPU threads within one operator; None takes half of the cores, at most 4.
        folder: where the file and its manifest lie.
        device: see `mien.face.onnx_sessions.providers_for`.
    """
    return _session(name, thread_count(threads), folder, device)


def run_net(session: InferenceSession, images: NDArray[np.uint8]) -> list[NDArray[np.float32]]:
    """Run a face net on ``images`` (N, side, side, 3) uint8 RGB; the outputs in the order of the file."""
    return cast("list[NDArray[np.float32]]", session.run(None, {"image": images}))
