"""What may be asked for, as the command line has it, and how it may be sent."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Literal

from pydantic import BaseModel, ConfigDict, Field

from mien.face.decode.part import Part
from mien.serve.engine import How

__all__ = ["AnalyzeOptions", "AskOptions", "RunOptions", "VerifyOptions", "body_of"]

Json = Mapping[str, Any]
_MODEL: Any = Field("", max_length=200, description="One of `/v1/models`; the first unless told.")


class AskOptions(BaseModel):
    """As `mien ask` has them."""

    model_config = ConfigDict(extra="forbid")
    question: str = Field(max_length=20_000, description="In your own words.")
    cropped: bool = Field(False, description="The pictures are face crops already.")
    landmarks_only: bool = Field(False, description="Drop the pixels once the landmarks are found.")
    frames: int | None = Field(None, ge=1, description="Most frames of a clip in one answer.")
    decoder: bool = Field(False, description="The language model's own answer, held against nothing.")
    model: str = _MODEL


class VerifyOptions(BaseModel):
    """As `mien verify` has them."""

    model_config = ConfigDict(extra="forbid")
    text: str = Field(max_length=100_000, description="What is said about the face.")
    cropped: bool = False
    landmarks_only: bool = False
    model: str = _MODEL


class AnalyzeOptions(BaseModel):
    """As `mien analyze` has them."""

    model_config = ConfigDict(extra="forbid")
    cropped: bool = Field(False, description="The pictures are face crops already.")
    explain: bool = Field(False, description="Write an audited explanation per face.")
    landmarks_only: bool = Field(False, description="Drop the pixels once the landmarks are found.")
    landmarks: bool = Field(False, description="Give the 478 points of each face along.")
    smooth: bool = Field(False, description="Smooth landmarks over time in clips.")
    every: int = Field(1, ge=1, le=100_000, description="Analyse every n-th frame of clips.")
    start: float = Field(0.0, ge=0, description="Of clips only what comes after so many seconds.")
    end: float | None = Field(None, gt=0, description="Of clips only what comes before.")
    fps: float | None = Field(None, gt=0, le=1000, description="Of clips so many frames per second.")
    cut_off: int = Field(1, ge=1, le=5, description="FACS level from which an AU counts as present.")
    model: str = _MODEL

    def how(self, landmarks_only: bool) -> How:
        """What decides the numbers; ``landmarks_only`` is the server's."""
        part = Part(self.every, self.start, self.end, self.fps)
        drop = self.landmarks_only or landmarks_only
        return How(self.cropped, self.explain, drop, self.smooth, part, self.cut_off, self.model)


class RunOptions(AnalyzeOptions):
    """Those of a run: what is written, beside what is measured."""

    format: Literal["csv", "tsv", "json", "jsonl"] = Field("json", description="Of the table.")
    columns: str = Field("mien", description="mien, openface, openface-spaced or pyfeat.")
    labels: str | None = Field(None, description="Spelling and order of the emotions.")
    overlay: bool = Field(False, description="Draw mesh, box, label and AUs on copies.")
    report: bool = Field(False, description="Write report.html.")
    redact: bool = Field(False, description="Hide the faces in overlay and report.")


def body_of(options: type[BaseModel], *, query: bool = True) -> Json:
    """How a body may be sent, for the OpenAPI document."""
    fields = options.model_json_schema()["properties"]
    media = {
        "type": "string",
        "maxLength": 1_000_000_000,
        "description": "data:image/jpeg;base64,… or bare base64",
    }
    named = {"image": media, "images": {"type": "array", "items": media}, "clip": media, **fields}
    file = {"type": "string", "format": "binary"}
    body: Json = {
        "application/json": {"schema": {"type": "object", "properties": named}},
        "multipart/form-data": {"schema": {"type": "object", "properties": {"file": file, **fields}}},
    }
    raw = {
        kind: {"schema": file}
        for kind in ("image/jpeg", "image/png", "video/mp4", "application/octet-stream")
    }
    return {"requestBody": {"required": True, "content": {**body, **(raw if query else {})}}}
