"""The composite's processor in transformers' sense: dialogues and faces in, a batch for `FacialLM` out.

Importing this module registers it, so that ``AutoProcessor.from_pretrained(folder)`` finds it beside a saved model.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any, Literal, cast

from transformers import AutoProcessor, BatchFeature, ProcessorMixin

from mien.core.errors import BadInput
from mien.core.nouns import Answer, Evidence, Turn
from mien.models.evidence_inputs import Inputs, evidence_inputs
from mien.models.facial_lm import FacialLMConfig
from mien.models.processing import collate
from mien.models.systems import System, open_system

__all__ = ["FacialProcessor"]


class FacialProcessor(ProcessorMixin):
    """Tokenizer, layout of the dialogue and preparation of faces, as one system wants them.

    Args:
        tokenizer: a fast transformers tokenizer.
        system: a key of `mien.models.systems.SYSTEMS`.
        scale: of the configuration.
        options: of ``system.configure``.
        inputs: fields of `mien.models.evidence_inputs.Inputs`.

    Raises:
        BadConfig: unknown system, scale, option or input.
    """

    def __init__(
        self,
        tokenizer: Any,
        system: str = "expllm",
        scale: str = "small",
        options: Mapping[str, Any] | None = None,
        inputs: Mapping[str, Any] | None = None,
        **kwargs: Any,
    ) -> None:
        self.system, self.scale = system, scale
        self.options, self.inputs = dict(options or {}), dict(inputs or {})
        super().__init__(tokenizer, **kwargs)

    def _opened(self) -> tuple[System, FacialLMConfig]:
        system = open_system(self.system, self.scale)
        return system, system.configure(self.scale, len(self.tokenizer), **self.options)

    def __call__(
        self,
        dialogues: Sequence[Sequence[Turn]],
        faces: Sequence[Evidence],
        padding_side: Literal["left", "right"] = "left",
    ) -> BatchFeature:
        """``input_ids``, ``attention_mask``, ``labels`` (B, T) and ``evidence``, for one face per dialogue.

        Args:
            dialogues: turns; open ones end with the user's.
            faces: as many.
            padding_side: ``"left"`` to generate, ``"right"`` to train.

        Raises:
            BadInput: another number of faces, or a face without what the system reads.
        """
        if len(dialogues) != len(faces) or not faces:
            raise BadInput(
                got=f"{len(dialogues)} dialogues with {len(faces)} faces",
                expected="one face for each, and at least one",
                fix="Repeat a face that is asked about twice",
            )
        system, config = self._opened()
        tokenizer = self.tokenizer.backend_tokenizer
        encoded = [system.encode(turns, tokenizer, config) for turns in dialogues]
        pad = self.tokenizer.pad_token_id
        batch = collate(encoded, [{} for _ in faces], pad_id=0 if pad is None else pad, side=padding_side)
        asked = [system.instruction(turns) for turns in dialogues]
        batch["evidence"] = evidence_inputs(config, Inputs.of(self.inputs), faces, asked, tokenizer)
        return BatchFeature(batch)

    def read(self, text: str, task: str | None = None) -> Answer:
        """What an answer says; see the system's ``read``."""
        system = open_system(self.system, self.scale)
        return system.read(text) if task is None else system.read(text, task)

    @property
    def model_input_names(self) -> list[str]:
        """Names of what `FacialLM` takes."""
        return ["input_ids", "attention_mask", "labels", "evidence"]

    def batch_decode(self, *args: Any, **kwargs: Any) -> list[str]:
        """The tokenizer's."""
        return cast(list[str], self.tokenizer.batch_decode(*args, **kwargs))


AutoProcessor.register(FacialLMConfig, FacialProcessor, exist_ok=True)
