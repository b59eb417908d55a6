"""Where things lie: the package's own weights, the training data, keys of servers."""

from __future__ import annotations

import os
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

__all__ = ["api_key", "data_root", "face_weights", "pocket_weights", "written_whole"]

PACKAGE = Path(__file__).resolve().parent.parent


def face_weights() -> Path:
    """Folder of the converted MediaPipe nets."""
    return PACKAGE / "face" / "weights"


def pocket_weights() -> Path:
    """Folder of the embedded pocket model."""
    return PACKAGE / "models" / "weights" / "pocket"


def data_root() -> Path:
    """Folder of the training data packs: ``$MIEN_DATA``, else ``../shared/data`` beside the checkout.

    The folder need not exist: callers that need it say so.
    """
    configured = os.environ.get("MIEN_DATA")
    return Path(configured) if configured else PACKAGE.parents[2] / "shared" / "data"


@contextmanager
def written_whole(path: Path) -> Iterator[Path]:
    """A place beside ``path`` to write to, which becomes ``path`` at the end: a killed writer leaves no torn file."""
    partial = path.with_suffix(f".partial{path.suffix}")
    yield partial
    partial.replace(path)


def api_key(variable: str) -> str | None:
    """The key in an environment variable, or None; to be sent to its server and kept nowhere."""
    return os.environ.get(variable)
