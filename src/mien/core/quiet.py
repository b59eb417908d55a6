"""Nothing leaves the machine: the telemetry of libraries is switched off before any of them is loaded.

ONNX Runtime 1.31 writes a lasting device id into the user's cache folder when it is imported, and calls its maker some
ten seconds later; only this variable, set before the import, stops both (its own function does not). The others are the
switches of libraries that may be loaded after it.
"""

from __future__ import annotations

import os
from collections.abc import Mapping
from types import MappingProxyType

__all__ = ["SWITCHES", "no_telemetry"]

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
