"""A vision-language model as transformers saves it: it sees the picture and is asked in its own chat template."""

from __future__ import annotations

import json
import zlib
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from mien.core.errors import BadConfig, require, weights_of_strangers
from mien.evaluate.answering import Said, Shown, shown_face
from mien.evaluate.suite import Suite

__all__ = ["HubAnswers", "is_hub_model", "open_hub_model"]


def is_hub_model(place: Path) -> bool:
    """Whether a folder holds a model of transformers that is none of mien's."""
    try:
        kind = json.loads((place / "config.json").read_text(encoding="utf-8"))["model_type"]
    except (OSError, ValueError, TypeError, KeyError):
        return False
    return not (place / "mien.json").exists() and kind != "mien-facial-lm"


@dataclass
class HubAnswers:
    """One picture and one question at a time; the answer is what the model writes after its own prompt."""

    model: Any
    processor: Any
    name: str
    seed: int | None = None
    crop_size: int | None = None
    clips: bool = False

    def answers(self, shown: Sequence[Shown], suite: Suite) -> list[Said]:
        """In words; what a model cannot take of one picture is that picture's error."""
        return [Said(self._one(one, suite)) for one in shown]

    def _one(self, shown: Shown, suite: Suite) -> str:
        import torch

        content = [{"type": "image"}, {"type": "text", "text": suite.asked}]
        prompt = self.processor.apply_chat_template(
            [{"role": "user", "content": content}], add_generation_prompt=True, tokenize=False
        )
        inputs = self.processor(text=[prompt], images=[shown_face(shown, suite)], return_tensors="pt").to(
            self.model.device
        )
        inputs = {
            key: one.to(self.model.dtype) if one.is_floating_point() else one for key, one in inputs.items()
        }
        # By the face, so that a run that goes on draws what it would have drawn.
        torch.manual_seed((self.seed or 0) + zlib.crc32(shown.sample.id.encode()))
        ids = self.model.generate(
            **inputs, max_new_tokens=suite.max_new_tokens, do_sample=bool(suite.sampling), **suite.sampling
        )
        told = ids[:, inputs["input_ids"].shape[1] :]
        return str(self.processor.batch_decode(told, skip_special_tokens=True)[0]).strip()


def open_hub_model(place: Path, device: str, precision: str | None, seed: int | None) -> HubAnswers:
    """The model of a folder, with its processor.

    Raises:
        MissingWeights: weights are damaged or missing.
        BadConfig: it does not read pictures, has no chat template to be asked in, or the machine no such device.
        MissingDependency: no torch or transformers.
    """
    for package in ("torch", "transformers"):
        require(package, extra="train", purpose="models of transformers")
    from transformers import AutoModelForImageTextToText, AutoProcessor

    from mien.backends.torch import number_format, present_device
    from mien.models.formats.loading import open_pretrained

    expected = "a model that reads pictures and words, with its processor and its chat template"
    with weights_of_strangers(str(place), expected, "Save model and processor with save_pretrained"):
        processor: Any = AutoProcessor.from_pretrained(place, trust_remote_code=False, local_files_only=True)
    if getattr(processor, "image_processor", None) is None or not getattr(processor, "chat_template", None):
        raise BadConfig(
            got=f"{place} without a picture processor or a chat template",
            expected=expected,
            fix="Save its processor beside it, or serve the model and pass the address",
        )
    where, dtype = present_device(device), number_format(precision)
    model = open_pretrained(
        AutoModelForImageTextToText, str(place), "model", dtype=dtype, local_files_only=True
    )
    return HubAnswers(model.eval().to(where), processor, place.name, seed)
