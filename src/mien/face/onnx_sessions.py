"""The one place where nets of ONNX Runtime are opened: threads, device, and what no net may do.

A device is named as in torch where torch has a name for it. ONNX Runtime comes in several packages, of which one alone
may be installed: the ordinary one knows the processor (and CoreML on a Mac), others a graphics card.
"""

from __future__ import annotations

import os
import re
from pathlib import Path
from typing import TYPE_CHECKING, Any

from mien.core.errors import BadConfig

if TYPE_CHECKING:
    from onnxruntime import InferenceSession

__all__ = ["DEVICES", "front_end_device", "open_session", "providers_for", "thread_count"]

DEVICES: dict[str, str] = {
    "cuda": "CUDAExecutionProvider",
    "coreml": "CoreMLExecutionProvider",
    "dml": "DmlExecutionProvider",
    "cpu": "CPUExecutionProvider",
}
"""Device -> ONNX Runtime's provider; ``auto`` takes the first that is there."""
_PACKAGES = {
    "cuda": "pip install onnxruntime-gpu", "coreml": "pip install onnxruntime on a Mac",
    "dml": "pip install onnxruntime-directml on Windows",
}  # fmt: skip
_DEVICE = re.compile(r"(cpu|cuda|coreml|dml|auto)(?::(\d{1,3}))?")
_MOST_THREADS = 4


def thread_count(threads: int | None) -> int:
    """Threads within one operator; by default half of the cores, at most 4.

    Faces of the next pictures are found while these are read, so two nets run at once. Measured on two cores: one
    thread each is as fast as two, for photos, clips and camera frames, with 30 % less processor time.

    Raises:
        BadConfig: a number below 1.
    """
    if threads is None:
        cores = len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1
        return min(max(cores // 2, 1), _MOST_THREADS)
    if threads < 1:
        raise BadConfig(
            got=f"threads={threads}", expected="a whole number >= 1, or None", fix="Leave threads out"
        )
    return threads


def providers_for(device: str) -> list[Any]:
    """ONNX Runtime's providers for a device, the processor last: it does what the device cannot.

    Args:
        device: ``cpu``, ``cuda``, ``cuda:1`` …, ``coreml``, ``dml`` or ``auto``.

    Raises:
        BadConfig: no such name, or the installed ONNX Runtime does not have it.
    """
    from onnxruntime import get_available_providers

    present = [name for name, provider in DEVICES.items() if provider in get_available_providers()]
    found = _DEVICE.fullmatch(device)
    name = present[0] if found and found[1] == "auto" else found[1] if found else ""
    if name not in present:
        fix = (
            f"{_PACKAGES[name]} (in the place of onnxruntime)" if name in _PACKAGES else "Choose one of these"
        )
        raise BadConfig(
            got=f"device {device!r}",
            expected=f"one that this ONNX Runtime has: {', '.join(present)}, auto",
            fix=fix,
        )
    own = {"device_id": int(found[2])} if found and found[2] else {}
    chosen: list[Any] = [(DEVICES[name], own)] if name != "cpu" else []
    return [*chosen, DEVICES["cpu"]]


def front_end_device(device: str) -> str:
    """Where faces are found for a model on ``device``, which may be torch's name or a server's address."""
    name, _, number = device.partition(":")
    wanted = {"mps": "coreml"}.get(name, name)
    try:
        providers_for(asked := f"{wanted}:{number}" if number.isdigit() else wanted)
    except BadConfig:
        return "cpu"
    return asked


def open_session(
    net: bytes | str | Path, threads: int | None = None, device: str = "cpu"
) -> InferenceSession:
    """A net, ready to run.

    Args:
        net: the content of an ``.onnx`` file, or its path.
        threads: see `thread_count`.
        device: see `providers_for`.

    Raises:
        BadConfig: see both.
    """
    import onnxruntime

    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads = thread_count(threads)
    options.inter_op_num_threads = 1
    options.log_severity_level = 3
    # Idle threads would otherwise spin: on two cores that doubled the processor time of a camera's frame.
    options.add_session_config_entry("session.intra_op.allow_spinning", "0")
    return onnxruntime.InferenceSession(
        net if isinstance(net, bytes) else str(net), options, providers=providers_for(device)
    )
