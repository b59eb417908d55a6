"""The record that every run leaves behind: what was run, on what, from which code, and how much of it failed."""

from __future__ import annotations

import json
import os
import platform
import re
import shutil
import subprocess
import sys
from collections.abc import Mapping, Sequence
from datetime import UTC, datetime
from importlib import metadata
from pathlib import Path

from pydantic import BaseModel, ConfigDict, Field, JsonValue, ValidationError

from mien.core.errors import BadInput, reason_of, require_range
from mien.core.paths import PACKAGE, write_whole

__all__ = ["Hardware", "RunRecord"]

_PACKAGES = (
    "mien",
    "numpy",
    "onnxruntime",
    "pillow",
    "av",
    "tokenizers",
    "safetensors",
    "torch",
    "transformers",
    "peft",
)
_SECRET = re.compile(r"(^|[-_.])(api[-_]?key|key|key[-_]env|token|secret|password)$", re.IGNORECASE)
_HIDDEN = "***"
_GIT_SECONDS = 10.0


class Hardware(BaseModel):
    """The machine of a run."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    cpu: str
    """Model name, e.g. ``"AMD EPYC 9R14"``; the architecture when the system does not tell."""
    cores: int
    """Logical cores that the process may use."""
    memory_mb: int | None
    """Physical memory in MiB; None when the system does not tell."""
    system: str
    """Operating system and its release."""

    @classmethod
    def here(cls) -> Hardware:
        """This machine."""
        return cls(
            cpu=_cpu_name(),
            cores=_cores(),
            memory_mb=_memory_mb(),
            system=f"{platform.system()} {platform.release()}",
        )


class RunRecord(BaseModel):
    """What one run did. `start` it, `finish` it, `write` it as ``run.json``.

    Equal records write equal bytes. Values of options named like a key, token, secret or password are
    replaced by ``***`` before anything is stored.
    """

    model_config = ConfigDict(frozen=True, extra="forbid")

    format: int = 1
    """Version of this record's layout."""
    command: tuple[str, ...]
    """The command line, program first."""
    config: dict[str, JsonValue] = Field(default_factory=dict)
    """The resolved options, defaults included."""
    versions: dict[str, str]
    """``python`` and each relevant installed package -> version."""
    commit: str | None
    """Commit of mien's own checkout; None when mien does not run from one."""
    dirty: bool | None
    """True when tracked files differ from the commit; None when there is no commit."""
    seed: int | None = None
    split_hash: str | None = None
    """SHA-256 over the ids of the data that were used, when a dataset was."""
    decoding: dict[str, JsonValue] = Field(default_factory=dict)
    """How text was generated: ``greedy``, ``temperature``, ``max_new_tokens`` …"""
    hardware: Hardware
    started: datetime
    """UTC."""
    finished: datetime | None = None
    """UTC; None while the run is going on or when it was killed."""
    counts: dict[str, int] = Field(default_factory=dict)
    """How many: ``items``, ``failed``, ``unparsed``, ``rejected`` …; all >= 0."""

    @classmethod
    def start(
        cls,
        config: Mapping[str, JsonValue] | None = None,
        *,
        command: Sequence[str] | None = None,
        seed: int | None = None,
        split_hash: str | None = None,
        decoding: Mapping[str, JsonValue] | None = None,
    ) -> RunRecord:
        """Open a record now, on this machine, from this code.

        Args:
            config: the resolved options; nested mappings are allowed.
            command: the command line; this process's own when omitted.
        """
        commit, dirty = _checkout_state(PACKAGE.parent.parent)
        return cls(
            command=_hide_arguments(sys.argv if command is None else command),
            config={key: _hide_value(key, value) for key, value in (config or {}).items()},
            versions=_versions(),
            commit=commit,
            dirty=dirty,
            seed=seed,
            split_hash=split_hash,
            decoding=dict(decoding or {}),
            hardware=Hardware.here(),
            started=datetime.now(UTC),
        )

    def finish(self, **counts: int) -> RunRecord:
        """The same record, closed now with its counts (``items=50, failed=1, unparsed=0``)."""
        for name, count in counts.items():
            require_range(count, f"count {name}", 0, whole=True)
        return self.model_copy(update={"counts": self.counts | counts, "finished": datetime.now(UTC)})

    def write(self, path: Path) -> Path:
        """Write to ``path`` in one step: a reader sees the old file or the new one, never a part."""
        text = json.dumps(
            self.model_dump(mode="json"), indent=2, sort_keys=True, ensure_ascii=False, allow_nan=False
        )
        return write_whole(path, text + "\n")

    @classmethod
    def read(cls, path: Path) -> RunRecord:
        """Read a record that `write` wrote.

        Raises:
            BadInput: the file is absent or is no run record.
        """
        try:
            return cls.model_validate_json(path.read_bytes())
        except (OSError, ValidationError) as error:
            raise BadInput(
                got=f"{path}: {reason_of(error)}",
                expected="a run.json written by mien",
                fix="Name the run.json of a run folder",
            ) from error


def _hide_value(name: str, value: JsonValue) -> JsonValue:
    if isinstance(value, dict):
        return {key: _hide_value(key, inner) for key, inner in value.items()}
    if isinstance(value, list):
        return [_hide_value("", inner) for inner in value]
    return _HIDDEN if isinstance(value, str) and value and _SECRET.search(name) else value


def _hide_arguments(arguments: Sequence[str]) -> tuple[str, ...]:
    shown: list[str] = []
    hide_next = False
    for argument in arguments:
        name, equals, _ = argument.partition("=")
        if hide_next:
            shown.append(_HIDDEN)
        elif equals and _SECRET.search(name):
            shown.append(f"{name}={_HIDDEN}")
        else:
            shown.append(argument)
        hide_next = not hide_next and argument.startswith("-") and not equals and bool(_SECRET.search(name))
    return tuple(shown)


def _versions() -> dict[str, str]:
    found = {"python": platform.python_version()}
    for name in _PACKAGES:
        try:
            found[name] = metadata.version(name)
        except metadata.PackageNotFoundError:
            continue
    return found


def _checkout_state(root: Path) -> tuple[str | None, bool | None]:
    # Only mien's own checkout counts: site-packages may lie inside some other project's repository.
    git = shutil.which("git")
    if git is None or not (root / ".git").exists():
        return None, None
    commit = _git(git, root, "rev-parse", "--verify", "HEAD")
    changes = _git(git, root, "status", "--porcelain", "--untracked-files=no")
    if commit is None or changes is None:
        return None, None
    return commit, bool(changes)


def _git(git: str, root: Path, *arguments: str) -> str | None:
    # Whatever repository the environment names, as inside a hook of git.
    place = (f"--git-dir={root / '.git'}", f"--work-tree={root}")
    try:
        done = subprocess.run(
            [git, "--no-optional-locks", "-c", "core.fsmonitor=false", *place, *arguments],
            capture_output=True,
            text=True,
            timeout=_GIT_SECONDS,
            check=False,
        )
    except (OSError, subprocess.TimeoutExpired):
        return None
    return done.stdout.strip() if done.returncode == 0 else None


def _cpu_name() -> str:
    try:
        text = Path("/proc/cpuinfo").read_text(errors="replace")
    except OSError:
        text = ""
    match = re.search(r"^model name\s*:\s*(.+)$", text, re.MULTILINE)
    return match.group(1).strip() if match else platform.processor() or platform.machine()


def _cores() -> int:
    if hasattr(os, "sched_getaffinity"):
        return len(os.sched_getaffinity(0))
    return os.cpu_count() or 1


def _memory_mb() -> int | None:
    try:
        return os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES") // 2**20
    except (AttributeError, OSError, ValueError):
        return None
