"""The frozen text tower that an encoder is aligned with: CLIP's from transformers, or SLIP's as ULIP stores it."""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
from safetensors import SafetensorError
from tokenizers import Tokenizer
from torch import Tensor
from transformers import AutoConfig, CLIPTextModelWithProjection
from transformers.utils import cached_file

from mien.core.errors import BadInput, MissingWeights, reason_of
from mien.core.objects import read_json
from mien.layers.alignment import TextTower
from mien.models.formats.checkpoints import read_checkpoint

__all__ = ["OpenedTower", "open_text_tower", "open_tokenizer_of"]

START, END = "<|startoftext|>", "<|endoftext|>"
_HEAD = 64
"""Width of an attention head in CLIP and SLIP; their checkpoints do not say it."""
_BLOCK = r"transformer\.resblocks\.(\d+)\."
_LAYER = r"text_model.encoder.layers.\1."
_RULES: tuple[tuple[str, str], ...] = (
    (r"token_embedding\.weight", "text_model.embeddings.token_embedding.weight"),
    (r"positional_embedding", "text_model.embeddings.position_embedding.weight"),
    (r"ln_final\.(.+)", r"text_model.final_layer_norm.\1"),
    (rf"{_BLOCK}ln_([12])\.(.+)", rf"{_LAYER}layer_norm\2.\3"),
    (rf"{_BLOCK}attn\.out_proj\.(.+)", rf"{_LAYER}self_attn.out_proj.\2"),
    (rf"{_BLOCK}mlp\.c_fc\.(.+)", rf"{_LAYER}mlp.fc1.\2"),
    (rf"{_BLOCK}mlp\.c_proj\.(.+)", rf"{_LAYER}mlp.fc2.\2"),
)


@dataclass(frozen=True, slots=True)
class OpenedTower:
    """A text tower with what belongs to it."""

    tower: TextTower
    tokenizer: Tokenizer
    start: Mapping[str, Tensor]
    """ULIP's ``projection`` (256, 512) and ``log_scale``, where the checkpoint holds an alignment to go on from."""

    def ids(self, texts: Sequence[str]) -> list[list[int]]:
        """Start token, text, end token, as CLIP and SLIP were trained.

        Raises:
            BadInput: a text is longer than the tower reads.
        """
        encoded = [
            [self._id(START), *self.tokenizer.encode(text, add_special_tokens=False).ids, self._id(END)]
            for text in texts
        ]
        limit, longest = int(self.tower.model.config.max_position_embeddings), max(map(len, encoded))
        if longest > limit:
            raise BadInput(
                got=f"a text of {longest} tokens", expected=f"at most {limit}", fix="Shorten the text"
            )
        return encoded

    def _id(self, token: str) -> int:
        found = self.tokenizer.token_to_id(token)
        assert found is not None, "open_text_tower has looked"
        return found


def open_text_tower(place: str) -> OpenedTower:
    """CLIP's text tower from a folder or hub id of transformers, or a checkpoint with CLIP's own names.

    ULIP's checkpoints hold SLIP's text tower, its projection and its temperature beside the point encoder. A checkpoint
    wants ``tokenizer.json`` of CLIP in its folder.

    Raises:
        MissingWeights: a file is absent, damaged, or holds no such tower.
    """
    path = Path(place)
    start: dict[str, Tensor] = {}
    if path.is_file() or (path.is_dir() and not (path / "config.json").is_file()):
        tower, start = _from_checkpoint(place)
        tokenizer = open_tokenizer_of(str(path.parent if path.is_file() else path))
    else:
        tower, tokenizer = _from_transformers(place), open_tokenizer_of(place)
    absent = [token for token in (START, END) if tokenizer.token_to_id(token) is None]
    if absent or tokenizer.get_vocab_size() > tower.model.config.vocab_size:
        raise MissingWeights(
            got=f"a tokenizer of {tokenizer.get_vocab_size()} tokens in {place}",
            expected=f"CLIP's, of at most {tower.model.config.vocab_size} tokens with {START} and {END}",
            fix="Put tokenizer.json of openai/clip-vit-base-patch32 beside the text tower",
        )
    return OpenedTower(tower, tokenizer, start)


def open_tokenizer_of(place: str) -> Tokenizer:
    """The tokenizer of pretrained weights: ``tokenizer.json`` of their folder or hub id.

    Raises:
        MissingWeights: there is none, or it cannot be read.
    """
    try:
        content = Path(str(cached_file(place, "tokenizer.json"))).read_text(encoding="utf-8")
        whole = isinstance(read_json(content), dict) and "model" in read_json(content)
    except (OSError, ValueError) as error:
        raise _no_tokenizer(place, "without a readable tokenizer.json") from error
    if not whole:
        raise _no_tokenizer(place, "whose tokenizer.json is none of the tokenizers library")
    return Tokenizer.from_str(content)


def _no_tokenizer(place: str, why: str) -> MissingWeights:
    return MissingWeights(
        got=f"{place} {why}",
        expected="the tokenizer that these weights were trained with; another one would feed them noise",
        fix="Download it along, or write it with transformers: "
        "AutoTokenizer.from_pretrained(PLACE).save_pretrained(FOLDER)",
    )


def _from_transformers(place: str) -> TextTower:
    try:
        config: Any = AutoConfig.from_pretrained(place, trust_remote_code=False)
        text = getattr(config, "text_config", config)
        text.projection_dim = config.projection_dim
        model, report = CLIPTextModelWithProjection.from_pretrained(
            place, config=text, dtype=torch.float32, output_loading_info=True, trust_remote_code=False
        )
    except (OSError, ValueError, KeyError, AttributeError, RuntimeError, SafetensorError) as error:
        raise _no_tower(place, reason_of(error)) from error
    if report["missing_keys"]:
        raise _no_tower(place, f"it lacks {min(report['missing_keys'])}")
    tower = TextTower(model.config.to_dict())
    tower.model.load_state_dict(model.state_dict())
    return tower


def _from_checkpoint(place: str) -> tuple[TextTower, dict[str, Tensor]]:
    state = {key.removeprefix("module."): value.float() for key, value in read_checkpoint(place).items()}
    named = _renamed(state)
    try:
        tower = TextTower(_config(state))
        tower.model.load_state_dict(named)
    except (KeyError, IndexError, RuntimeError, ZeroDivisionError) as error:
        raise _no_tower(place, str(error).splitlines()[-1].strip()) from error
    begun = {"projection": state.get("pc_projection"), "log_scale": state.get("logit_scale")}
    return tower, {name: value for name, value in begun.items() if value is not None}


def _renamed(state: Mapping[str, Tensor]) -> dict[str, Tensor]:
    """Under transformers' names; CLIP multiplies by its projection from the right."""
    named: dict[str, Tensor] = {}
    for key, value in state.items():
        if key == "text_projection":
            named["text_projection.weight"] = value.t().contiguous()
        elif joined := re.fullmatch(rf"{_BLOCK}attn\.in_proj_(weight|bias)", key):
            for part, piece in zip("qkv", value.chunk(3), strict=True):
                named[f"text_model.encoder.layers.{joined[1]}.self_attn.{part}_proj.{joined[2]}"] = piece
        else:
            for theirs, ours in _RULES:
                if match := re.fullmatch(theirs, key):
                    named[match.expand(ours)] = value
    return named


def _config(state: Mapping[str, Tensor]) -> dict[str, Any]:
    """The sizes that the tensors tell."""
    vocabulary, width = state["token_embedding.weight"].shape
    return {
        "vocab_size": vocabulary,
        "hidden_size": width,
        "intermediate_size": state["transformer.resblocks.0.mlp.c_fc.weight"].shape[0],
        "num_hidden_layers": 1 + max(int(found[1]) for key in state if (found := re.match(_BLOCK, key))),
        "num_attention_heads": max(1, width // _HEAD),
        "max_position_embeddings": state["positional_embedding"].shape[0],
        "projection_dim": state["text_projection"].shape[1],
        "hidden_act": "quick_gelu",
        # CLIP's tokenizer ends with its two special tokens.
        "bos_token_id": vocabulary - 2,
        "eos_token_id": vocabulary - 1,
    }


def _no_tower(place: str, why: str) -> MissingWeights:
    return MissingWeights(
        got=f"{place}, which holds no text tower ({why})",
        expected="CLIP in a folder of transformers, or a checkpoint with the names of CLIP, SLIP or ULIP",
        fix="Pass weights.text=PLACE, such as ULIP's own checkpoint",
    )
