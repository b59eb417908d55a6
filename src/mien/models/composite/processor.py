"""The composite's processor in transformers' sense: dialogues and faces in, or text and pictures; a batch out.

``AutoProcessor.from_pretrained(folder)`` finds it beside a saved model, after ``import mien.models``.
"""

from __future__ import annotations

import json
import re
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import asdict, replace
from functools import cache
from pathlib import Path
from typing import Any, Literal, cast

from transformers import AutoProcessor, BatchFeature, PreTrainedTokenizerFast, ProcessorMixin

from mien.core.errors import BadConfig, BadInput
from mien.core.nouns import Answer, Evidence, Turn
from mien.core.objects import read_object
from mien.core.registry import require_trusted
from mien.face.crop import canonical_crop
from mien.face.decode.images import load_image
from mien.face.finder import FaceFinder
from mien.models.composite.evidence_inputs import Inputs, evidence_inputs
from mien.models.composite.facial_lm import FacialLMConfig
from mien.models.composite.processing import Encoded, collate, encode
from mien.models.composite.systems import System
from mien.models.formats.loading import (
    AUTO_MAP,
    CARD,
    PROCESSOR,
    announce,
    model_folder,
    open_facial_config,
    open_tokenizer_file,
    read_card,
)
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
        require_trusted(system, "mien.systems", "system")
        self.system, self.scale = system, scale
        self.options, self.inputs = dict(options or {}), asdict(Inputs.of(inputs))
        self._config: FacialLMConfig | None = None
        self._folder = Path()
        self.auto_map = AUTO_MAP
        template = kwargs.pop("chat_template", None) or chat_template(
            open_system(system, scale), self.options
        )
        super().__init__(tokenizer, chat_template=template, **kwargs)

    @classmethod
    def from_pretrained(cls, pretrained_model_name_or_path: str | Path, **kwargs: Any) -> FacialProcessor:
        """The processor of a model's folder, of a run, or of what was saved.

        Raises:
            MissingWeights: a file is damaged.
            BadConfig: nothing there says which system it is.
        """
        folder = Path(model_folder(pretrained_model_name_or_path))
        if (folder / CARD).is_file() and not _is_saved(folder):
            made = cls._of_model(folder)
        else:
            made = cast(
                FacialProcessor,
                super().from_pretrained(
                    pretrained_model_name_or_path, **{**kwargs, "trust_remote_code": False}
                ),
            )
        made._folder = folder
        if (folder / "config.json").is_file():
            made._config = open_facial_config(folder)
        return made

    def save_pretrained(self, save_directory: str | Path, **kwargs: Any) -> Any:
        """As transformers', with what `announce` writes."""
        written = super().save_pretrained(save_directory, **kwargs)
        announce(Path(save_directory))
        return written

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
        dialogues: Sequence[Sequence[Turn]] | None = None,
        faces: Sequence[Evidence] | None = None,
        padding_side: Literal["left", "right"] = "left",
        *,
        text: str | Sequence[str] | None = None,
        images: Any = None,
        cropped: bool = False,
        **kwargs: Any,
    ) -> BatchFeature:
        """``input_ids``, ``attention_mask``, ``labels`` (B, T) and ``evidence``.

        Dialogues with one face for each; or, as of any processor, ``text`` that is laid out already (`chat_template`
        does it) and ``images`` in the order of its placeholders, in each of which the largest face is found.

        Args:
            dialogues: turns; open ones end with the user's.
            faces: as many.
            padding_side: ``"left"`` to generate, ``"right"`` to train.
            text: prompts.
            images: paths, PIL pictures or arrays (H, W, 3) RGB, nested or not.
            cropped: the pictures are faces cut out already.
            **kwargs: ``return_tensors="pt"``; what else transformers passes on has no meaning here.

        Raises:
            BadInput: another number of faces, one without what the system reads, or a picture without a face.
        """
        system, config = self._opened()
        if text is not None or images is not None:
            prompts = [text] if isinstance(text, str) else list(text or ())
            encoded, asked = self._laid_out(system, config, prompts, list(_flat(images)))
            faces = [self._found(one, cropped) for one in _flat(images)]
        else:
            if dialogues is None or faces is None or len(dialogues) != len(faces) or not faces:
                raise BadInput(
                    got=f"{len(dialogues or ())} dialogues with {len(faces or ())} faces",
                    expected="one face for each, and at least one; or text= and images=",
                    fix="Repeat a face that is asked about twice",
                )
            encoded = [system.encode(turns, self.tokenizer.backend_tokenizer, config) for turns in dialogues]
            asked = [system.instruction(turns) for turns in dialogues]
        pad = self.tokenizer.pad_token_id
        batch = collate(encoded, [{} for _ in encoded], pad_id=0 if pad is None else pad, side=padding_side)
        inputs = Inputs.of({**self.inputs, "experts": str(self._folder / self.inputs["experts"])})
        batch["evidence"] = evidence_inputs(config, inputs, faces, asked, self.tokenizer.backend_tokenizer)
        return BatchFeature(batch)

    def _laid_out(
        self, system: System, config: FacialLMConfig, prompts: Sequence[str], images: Sequence[Any]
    ) -> tuple[list[Encoded], list[str]]:
        """Prompts as tokens, and for each picture the question that it is shown with."""
        known, special = system.expansions(config), system.special_tokens
        encoded, asked = [], []
        user, answer = (
            re.escape(part) for part in (system.template.user, system.template.assistant.rstrip(" "))
        )
        for prompt in prompts:
            turns = [Turn("user", one) for one in re.findall(f"{user}(.*?){answer}", prompt, re.DOTALL)]
            shown = max(prompt.count(one) for one in known)
            told = system.instructions(turns or [Turn("user", prompt)])
            asked += [told[place * len(told) // shown] for place in range(shown)]
            # What `generate` continues has no blank at its end: the answer begins with it.
            encoded.append(
                encode(
                    [(prompt.rstrip(" "), False)],
                    self.tokenizer.backend_tokenizer,
                    known,
                    special_tokens=special,
                )
            )
        if len(asked) != len(images) or not images:
            raise BadInput(
                got=f"{len(images)} pictures for text with {len(asked)} places for one",
                expected=f"as many as {', '.join(known)} stands there, and at least one",
                fix="Lay the question out with apply_chat_template(..., add_generation_prompt=True)",
            )
        return encoded, asked

    def _found(self, picture: Any, cropped: bool) -> Evidence:
        image = load_image(picture)
        faces = [_finder().find_cropped(image)] if cropped else _finder().find(image)
        if not faces:
            raise BadInput(
                got="a picture without a face",
                expected="a face of 20 px or more between its edges",
                fix="Pass cropped=True where the picture is a face cut out already",
            )
        largest = max(
            faces, key=lambda face: float((face.box[2] - face.box[0]) * (face.box[3] - face.box[1]))
        )
        crop, transform = canonical_crop(image, largest, self.inputs["crop_size"])
        return Evidence(replace(largest, crop=transform), crop)

    def read(self, text: str, task: str | None = None) -> Answer:
        """What an answer says; see the system's ``read``."""
        system = open_system(self.system, self.scale)
        return system.read(text) if task is None else system.read(text, task)

    @property
    def image_token(self) -> str | None:
        """The placeholder of pixels in a prompt; None for a system that reads none."""
        placeholders = open_system(self.system, self.scale).placeholders.items()
        return next((text for text, name in placeholders if name == "image"), None)

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


def _is_saved(folder: Path) -> bool:
    """Whether a processor was saved here, and not only announced beside a model."""
    path = folder / PROCESSOR
    return path.is_file() and "system" in read_object(path, "what save_pretrained wrote of a processor")


@cache
def _finder() -> FaceFinder:
    return FaceFinder()


def _flat(images: Any) -> Iterator[Any]:
    """Pictures out of whatever nesting transformers gives them."""
    if isinstance(images, list | tuple):
        for one in images:
            yield from _flat(one)
    elif images is not None:
        yield images


def chat_template(system: System, options: Mapping[str, Any]) -> str:
    """A system's layout of a user's own questions, in the language of transformers' chat templates (Jinja).

    Each picture of the first message is a place for evidence; without one there is one place, as each system sees one
    face at least. What `System.wrap` and `mien.models.composite.processing.lay_out` make of the same messages is equal.
    """
    template, any_place = system.template, f"(?:{'|'.join(map(re.escape, system.placeholders))})"
    before, after = system.wrap("\0", options).split("\0")
    places = "".join(re.findall(f"^{any_place}+", before))
    first = before.removeprefix(places)
    later = before if system.shows_again else re.sub(any_place, "", before).lstrip()
    text = json.dumps
    return (
        "{%- set own = messages | selectattr('role', 'equalto', 'system') | list -%}"
        "{%- macro said(m) -%}{%- if m.content is string -%}{{ m.content }}{%- else -%}"
        "{%- for c in m.content if c.type == 'text' -%}{{ c.text }}{%- endfor -%}{%- endif -%}{%- endmacro -%}"
        f"{{{{ said(own[-1]) if own else {text(template.system)} }}}}"
        "{%- set seen = namespace(first=true) -%}"
        "{%- for m in messages if m.role != 'system' -%}"
        "{%- if m.role == 'user' -%}"
        "{%- set shown = 1 if m.content is string else"
        " [m.content | selectattr('type', 'equalto', 'image') | list | length, 1] | max -%}"
        f"{{{{ {text(template.user)} }}}}"
        f"{{%- if seen.first -%}}{{{{ {text(places)} * {'shown' if system.clips else '1'} + {text(first)} }}}}"
        f"{{%- else -%}}{{{{ {text(later)} }}}}{{%- endif -%}}"
        f"{{{{ said(m) + {text(after + template.assistant.rstrip(' '))} }}}}"
        "{%- set seen.first = false -%}"
        f"{{%- else -%}}{{{{ {text(template.blank)} + said(m) + {text(template.end)} }}}}{{%- endif -%}}"
        "{%- endfor -%}"
    )


AutoProcessor.register(FacialLMConfig, FacialProcessor, exist_ok=True)
