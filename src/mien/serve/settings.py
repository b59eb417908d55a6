"""What a server is told, what one request may cost, who may ask, and how a request is refused."""

from __future__ import annotations

import hashlib
import hmac
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path

from mien.backends.base import DEFAULT_MODEL
from mien.core.errors import BadConfig, MienError
from mien.core.paths import server_keys

__all__ = ["Limits", "Refused", "Settings", "read_keys", "who"]

_SHORTEST_KEY = 16


class Refused(MienError):
    """A request that is answered with an error.

    Args:
        status: of HTTP.
        retry_after: seconds after which it may succeed.
    """

    def __init__(
        self,
        status: int,
        *,
        got: str,
        expected: str,
        fix: str = "Correct it",
        retry_after: float | None = None,
    ) -> None:
        super().__init__(got=got, expected=expected, fix=fix)
        self.status, self.retry_after = status, retry_after


@dataclass(frozen=True, slots=True)
class Limits:
    """What requests may cost."""

    image_bytes: int = 20_000_000
    clip_bytes: int = 200_000_000
    job_bytes: int = 8_000_000_000
    pixels: int = 40_000_000
    """Of a picture, and of a frame."""
    clip_seconds: float = 60.0
    """Length of a clip that is answered at once; longer ones are jobs."""
    job_seconds: float = 4 * 3600.0
    seconds: float = 120.0
    """Until a request is answered, its time in the queue included."""
    head_seconds: float = 10.0
    """Until the head of a request is there."""
    body_seconds: float = 20.0
    """Until its body is there; each 100 kB that come add one."""
    images: int = 16
    """Pictures of one request."""
    waiting: int = 64
    """Requests that wait for the model; more are sent away."""
    open: int = 512
    """Requests and connections that are open."""
    sessions: int = 16
    """Streams at a time."""
    jobs: int = 32
    """Jobs that are kept, finished ones included."""
    keep_seconds: float = 3600.0
    """Until the results of a job are deleted."""


@dataclass(frozen=True, slots=True)
class Settings:
    """Everything ``mien serve`` was asked for."""

    host: str = "127.0.0.1"
    port: int = 8000
    model: str = DEFAULT_MODEL
    also: tuple[str, ...] = ()
    """Further models; a request names the one it means."""
    device: str = "cpu"
    precision: str | None = None
    threads: int | None = None
    landmarks_only: bool = False
    keys: Mapping[str, bytes] = field(default_factory=dict, repr=False)
    """Name -> SHA-256 of the key; without any, everyone who reaches the port may ask."""
    rate: float = 0.0
    """Requests per minute of each key (of each address without keys); 0 for any number."""
    hosts: frozenset[str] = frozenset()
    """Hosts from which pictures may be fetched."""
    names: frozenset[str] = frozenset()
    """Names in the ``Host`` header under which the server is reached, beside its own."""
    jobs: Path | None = None
    """Folder in which jobs outlive the server; None for one that goes with it."""
    ui: bool = False
    mcp: bool = False
    grace: float = 30.0
    """Seconds for requests under way when the server is told to stop."""
    limits: Limits = field(default_factory=Limits)


def read_keys(file: Path | None) -> dict[str, bytes]:
    """Name -> SHA-256 of each key of a file (``key`` or ``name key`` per line) and of the environment.

    Raises:
        BadConfig: the file cannot be read, or a key is short enough to be guessed.
    """
    try:
        lines = file.read_text("utf-8").splitlines() if file is not None else []
    except (OSError, UnicodeDecodeError) as error:
        raise BadConfig(got=f"the key file {file}, which cannot be read", expected="a text file") from error
    rows = [line.split() for line in lines if line.strip() and not line.startswith("#")]
    rows += [[key] for key in server_keys()]
    keys: dict[str, bytes] = {}
    for number, row in enumerate(rows, 1):
        if len(row) > 2 or len(row[-1]) < _SHORTEST_KEY:
            raise BadConfig(
                got=f"key {number} of {len(row)} words, the last of {len(row[-1])} characters",
                expected=f"'key' or 'name key', the key of {_SHORTEST_KEY} characters or more",
                fix="Make one with: python -c 'import secrets; print(secrets.token_urlsafe())'",
            )
        keys[row[0] if len(row) == 2 else f"key{number}"] = hashlib.sha256(row[-1].encode()).digest()
    return keys


def who(keys: Mapping[str, bytes], token: str) -> str | None:
    """Name of a key, or None; every key is compared, each in constant time."""
    digest = hashlib.sha256(token.encode("utf-8", "surrogateescape")).digest()
    found = None
    for name, known in keys.items():
        if hmac.compare_digest(digest, known):
            found = name
    return found
