"""Nothing leaves the machine: the telemetry of libraries is switched off before any of them is loaded.

ONNX Runtime 1.31 writes a lasting device id into the user's cache folder when it is imported, and calls its maker some
ten seconds later; only this variable, set before the import, stops both (its own function does not). The others are the
switches of libraries that may be loaded after it.
"""

from __future__ import annotations

import os
import secrets
from collections.abc import Mapping
from types import MappingProxyType

__all__ = ["SWITCHES", "no_telemetry", "ray_to_itself"]

SWITCHES: Mapping[str, str] = MappingProxyType(
    {
        "ORT_DISABLE_TELEMETRY": "1",
        "HF_HUB_DISABLE_TELEMETRY": "1",
        "GRADIO_ANALYTICS_ENABLED": "False",
        "RAY_USAGE_STATS_ENABLED": "0",
        "VLLM_NO_USAGE_STATS": "1",
        "DO_NOT_TRACK": "1",
    }
)
"""Environment variable -> value; one that the user has set stays as it is."""


def no_telemetry() -> None:
    """Set the switches for this process and those that it starts."""
    for name, value in SWITCHES.items():
        os.environ.setdefault(name, value)


def ray_to_itself() -> None:
    """Let a Ray that this process starts listen on the loopback device alone, to who knows a secret of its own."""
    os.environ["RAY_ENABLE_WINDOWS_OR_OSX_CLUSTER"] = "0"  # its word for all ports on that device
    os.environ.update(RAY_AUTH_MODE="token", RAY_AUTH_TOKEN=secrets.token_hex(32))
