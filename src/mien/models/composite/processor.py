"""The composite's processor in transformers' sense: dialogues and faces in, a batch for `FacialLM` out.

Importing this module registers it, so that ``AutoProcessor.from_pretrained(folder)`` finds it beside a saved model.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import asdict
from pathlib import Path
from typing import Any, Literal, cast

from transformers import AutoProcessor, BatchFeature, PreTrainedTokenizerFast, ProcessorMixin

from mien.core.errors import BadConfig, BadInput
from mien.core.nouns import Answer, Evidence, Turn
from mien.models.composite.evidence_inputs import Inputs, evidence_inputs
from mien.models.composite.facial_lm import FacialLMConfig
from mien.models.composite.processing import collate
from mien.models.composite.systems import System
from mien.models.formats.loading import CARD, model_folder, open_facial_config, open_tokenizer_file, read_card
from mien.models.registry import open_system

__all__ = ["FacialProcessor"]


class FacialProcessor(ProcessorMixin):
    """Tokenizer, layout of the dialogue and preparation of faces, as one system wants them.

    Beside a model that mien trained, imported or exported, ``from_pretrained`` reads all of it from the model's own
    ``mien.json``, ``config.json`` and ``tokenizer.json``; elsewhere from what `save_pretrained` wrote. Nothing has a
    default: faces prepared in another way than in training would give answers that look like any other.

    Args:
        tokenizer: a fast transformers tokenizer.
        system: a key of `mien.models.registry.SYSTEMS`.
        scale: of the configuration.
        options: of ``system.configure``.
        inputs: fields of `mien.models.composite.evidence_inputs.Inputs`.

    Raises:
        BadConfig: no system, scale or inputs, or unknown ones.
    """

    def __init__(
        self,
        tokenizer: Any,
        system: str | None = None,
        scale: str | None = None,
        options: Mapping[str, Any] | None = None,
        inputs: Mapping[str, Any] | None = None,
        **kwargs: Any,
    ) -> None:
        needed = {"system": system, "scale": scale, "inputs": inputs}
        absent = [name for name, value in needed.items() if value is None]
        if system is None or scale is None or inputs is None:
            raise BadConfig(
                got=f"a processor without {', '.join(absent)}",
                expected="what the model was trained with: its system, its scale, and how a face becomes its inputs",
                fix=f"Pass them, or open the folder of a model that has a {CARD}",
            )
        open_system(system, scale)
        self.system, self.scale = system, scale
        self.options, self.inputs = dict(options or {}), asdict(Inputs.of(inputs))
        self._config: FacialLMConfig | None = None
        self._folder = Path()
        super().__init__(tokenizer, **kwargs)

    @classmethod
    def from_pretrained(cls, pretrained_model_name_or_path: str | Path, **kwargs: Any) -> FacialProcessor:
        """The processor of a model's folder, of a run, or of what was saved.

        Raises:
            MissingWeights: a file is damaged.
            BadConfig: nothing there says which system it is.
        """
        folder = Path(model_folder(pretrained_model_name_or_path))
        if (folder / CARD).is_file() and not (folder / "processor_config.json").is_file():
            made = cls._of_model(folder)
        else:
            made = cast(FacialProcessor, super().from_pretrained(pretrained_model_name_or_path, **kwargs))
        made._folder = folder
        if (folder / "config.json").is_file():
            made._config = open_facial_config(folder)
        return made

    @classmethod
    def _of_model(cls, folder: Path) -> FacialProcessor:
        card, tokenizer = read_card(folder), open_tokenizer_file(folder / "tokenizer.json")
        system, scale = card.get("system"), card.get("scale")
        special = {"pad_token": tokenizer.id_to_token(int(card.get("pad_id", 0)))}
        if system is not None:
            end = open_system(system, scale).template.end
            special |= {"eos_token": end} if tokenizer.token_to_id(end) is not None else {}
        fast = PreTrainedTokenizerFast(tokenizer_object=tokenizer, **special)
        return cls(fast, system, scale, card.get("options", {}), asdict(Inputs.of_card(card, Path())))

    def _opened(self) -> tuple[System, FacialLMConfig]:
        system = open_system(self.system, self.scale)
        made = self._config or system.configure(self.scale, len(self.tokenizer), **self.options)
        return system, made

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
        inputs = Inputs.of({**self.inputs, "experts": str(self._folder / self.inputs["experts"])})
        batch["evidence"] = evidence_inputs(config, inputs, faces, asked, tokenizer)
        return BatchFeature(batch)

    def read(self, text: str, task: str | None = None) -> Answer:
        """What an answer says; see the system's ``read``."""
        system = open_system(self.system, self.scale)
        return system.read(text) if task is None else system.read(text, task)

    @property
    def model_input_names(self) -> list[str]:
        """Names of what `FacialLM` takes."""
        return ["input_ids", "attention_mask", "labels", "evidence"]

    def batch_decode(self, sequences: Any, *args: Any, **kwargs: Any) -> list[str]:
        """The tokenizer's, of what ``generate`` gives; the places of evidence are no words and are left out."""
        rows = [self._words(row) for row in sequences]
        return cast(list[str], self.tokenizer.batch_decode(rows, *args, **kwargs))

    def decode(self, token_ids: Any, *args: Any, **kwargs: Any) -> str:
        """As `batch_decode`, of one sequence."""
        return cast(str, self.tokenizer.decode(self._words(token_ids), *args, **kwargs))

    def _words(self, ids: Any) -> list[int]:
        places = {entry["token_id"] for entry in self._opened()[1].evidence.values()}
        return [token for token in map(int, ids) if 0 <= token < len(self.tokenizer) and token not in places]


AutoProcessor.register(FacialLMConfig, FacialProcessor, exist_ok=True)
