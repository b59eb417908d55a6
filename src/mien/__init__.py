"""mien: apparent emotions, FACS Action Units and audited explanations from photos, videos and landmarks.

Imports run downward only: app > train > analyze, annotate, evaluate > backends > models
> metrics, layers > data, face, dialogue > core. Names here load on first use, so that ``import mien`` is cheap.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from mien.core.quiet import no_telemetry

if TYPE_CHECKING:
    from mien.analyze.analyzer import Analyzer, ask, load_model, verify
    from mien.analyze.session import Session
    from mien.analyze.tables.frame import to_frame
    from mien.backends.audit import reward
    from mien.core.errors import (
        BackendFailed,
        BadConfig,
        BadData,
        BadInput,
        MienError,
        MissingDependency,
        MissingWeights,
        OutputFailed,
    )
    from mien.core.nouns import (
        Answer,
        AuReading,
        Claim,
        Explanation,
        Face,
        FaceResult,
        FrameResult,
        Pose,
        Quality,
        Verification,
    )
    from mien.dialogue.read.claims import read_claims
    from mien.dialogue.read.emotion import read_emotion

__all__ = [
    "Analyzer",
    "Answer",
    "AuReading",
    "BackendFailed",
    "BadConfig",
    "BadData",
    "BadInput",
    "Claim",
    "Explanation",
    "Face",
    "FaceResult",
    "FrameResult",
    "MienError",
    "MissingDependency",
    "MissingWeights",
    "OutputFailed",
    "Pose",
    "Quality",
    "Session",
    "Verification",
    "__version__",
    "ask",
    "load_model",
    "read_claims",
    "read_emotion",
    "reward",
    "to_frame",
    "verify",
]

__version__ = "0.1.0"

no_telemetry()  # before any library that would call its maker is loaded
_ERRORS = "BackendFailed BadConfig BadData BadInput MienError MissingDependency MissingWeights OutputFailed"
_NOUNS = "Answer AuReading Claim Explanation Face FaceResult FrameResult Pose Quality Verification"
_HOMES = {
    "reward": "mien.backends.audit",
    **dict.fromkeys(_ERRORS.split(), "mien.core.errors"),
    **dict.fromkeys(_NOUNS.split(), "mien.core.nouns"),
    "read_claims": "mien.dialogue.read.claims",
    "read_emotion": "mien.dialogue.read.emotion",
    "Session": "mien.analyze.session",
    "to_frame": "mien.analyze.tables.frame",
}


def __getattr__(name: str) -> object:
    if name not in __all__:
        raise AttributeError(f"module 'mien' has no attribute {name!r}")
    from importlib import import_module

    return getattr(import_module(_HOMES.get(name, "mien.analyze.analyzer")), name)


def __dir__() -> list[str]:
    return sorted(__all__)
