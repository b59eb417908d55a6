"""The text tower of the alignment: CLIP's folder and SLIP's checkpoint give the features that a plain forward gives."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path

import pytest
import torch
from tokenizers import Tokenizer, models, pre_tokenizers
from torch import Tensor
from torch.nn import functional
from transformers import CLIPConfig, CLIPModel

from mien.core.errors import BadInput, MissingWeights
from mien.models.composite.text_tower import END, START, open_text_tower, open_tokenizer_of

WORDS = ("the", "facial", "landmark", "shows", "emotion", "of", "fear", "anger", "[UNK]", START, END)
WIDTH, LAYERS, CONTEXT = 128, 2, 16


def write_tokenizer(folder: Path) -> None:
    tokenizer = Tokenizer(models.WordLevel({word: place for place, word in enumerate(WORDS)}, "[UNK]"))
    tokenizer.pre_tokenizer = pre_tokenizers.Whitespace()
    tokenizer.save(str(folder / "tokenizer.json"))


def slip_state() -> dict[str, Tensor]:
    """A checkpoint as ULIP writes it, of random weights."""
    torch.manual_seed(0)

    def randn(*shape: int) -> Tensor:
        return torch.randn(*shape) * 0.1

    state = {
        "token_embedding.weight": randn(len(WORDS), WIDTH),
        "positional_embedding": randn(CONTEXT, WIDTH),
        "ln_final.weight": 1.0 + randn(WIDTH),
        "ln_final.bias": randn(WIDTH),
        "text_projection": randn(WIDTH, 32),
        "pc_projection": randn(256, 32),
        "logit_scale": torch.tensor(3.0),
        "visual.transformer.resblocks.0.ln_1.weight": randn(7),
        "point_encoder.embedding.net.0.weight": randn(64, 3, 1),
    }
    for block in range(LAYERS):
        start = f"transformer.resblocks.{block}."
        for norm in ("ln_1", "ln_2"):
            state |= {f"{start}{norm}.weight": 1.0 + randn(WIDTH), f"{start}{norm}.bias": randn(WIDTH)}
        for name, shape in {
            "attn.in_proj_": (3 * WIDTH, WIDTH),
            "attn.out_proj.": (WIDTH, WIDTH),
            "mlp.c_fc.": (4 * WIDTH, WIDTH),
            "mlp.c_proj.": (WIDTH, 4 * WIDTH),
        }.items():
            state |= {f"{start}{name}weight": randn(*shape), f"{start}{name}bias": randn(shape[0])}
    return {f"module.{key}": value for key, value in state.items()}


def slip_forward(state: Mapping[str, Tensor], ids: list[int]) -> Tensor:
    """SLIP's encode_text for one text, from its equations: pre-norm blocks, causal, state at the end token."""
    own = {key.removeprefix("module."): value for key, value in state.items()}
    x = own["token_embedding.weight"][ids] + own["positional_embedding"][: len(ids)]
    blocked = torch.full((len(ids), len(ids)), float("-inf")).triu(1)

    def norm(y: Tensor, name: str) -> Tensor:
        return functional.layer_norm(y, (WIDTH,), own[f"{name}.weight"], own[f"{name}.bias"])

    for block in range(LAYERS):
        start = f"transformer.resblocks.{block}."
        y = (
            norm(x, f"{start}ln_1") @ own[f"{start}attn.in_proj_weight"].t()
            + own[f"{start}attn.in_proj_bias"]
        )
        q, k, v = (part.unflatten(1, (2, 64)).transpose(0, 1) for part in y.chunk(3, dim=1))
        mixed = ((q @ k.transpose(1, 2)) / 8.0 + blocked).softmax(dim=2) @ v
        y = mixed.transpose(0, 1).flatten(1)
        x = x + y @ own[f"{start}attn.out_proj.weight"].t() + own[f"{start}attn.out_proj.bias"]
        y = norm(x, f"{start}ln_2") @ own[f"{start}mlp.c_fc.weight"].t() + own[f"{start}mlp.c_fc.bias"]
        y = y * torch.sigmoid(1.702 * y)
        x = x + y @ own[f"{start}mlp.c_proj.weight"].t() + own[f"{start}mlp.c_proj.bias"]
    return norm(x, "ln_final")[-1] @ own["text_projection"]


def test_slip_of_a_ulip_checkpoint_is_read_with_its_projection(tmp_path: Path) -> None:
    state = slip_state()
    torch.save({"epoch": 1, "state_dict": state}, tmp_path / "checkpoint_pointmlp.pt")
    write_tokenizer(tmp_path)
    opened = open_text_tower(str(tmp_path / "checkpoint_pointmlp.pt"))
    ids = opened.ids(["the facial landmark shows emotion of fear", "fear"])
    assert [len(one) for one in ids] == [9, 3]
    assert ids[1] == [WORDS.index(START), WORDS.index("fear"), WORDS.index(END)]
    for one in ids:
        padded = torch.tensor([[*one, *[0] * (12 - len(one))]])
        found = opened.tower(padded, (torch.arange(12) < len(one)).long()[None])
        torch.testing.assert_close(found[0], slip_forward(state, one), atol=1e-4, rtol=1e-4)
    assert not any(parameter.requires_grad for parameter in opened.tower.parameters())
    assert torch.equal(opened.start["projection"], state["module.pc_projection"])
    assert float(opened.start["log_scale"]) == 3.0
    with pytest.raises(BadInput, match="a text of 22 tokens"):
        opened.ids(["fear " * 20])


def test_clip_s_folder_is_read_with_its_own_projection_width(tmp_path: Path) -> None:
    sizes = {"hidden_size": 32, "intermediate_size": 48, "num_hidden_layers": 2, "num_attention_heads": 2}
    # As published: the first configurations say 0 and 2 where the tokenizer's last two ids are meant.
    text = {
        **sizes,
        "vocab_size": len(WORDS),
        "max_position_embeddings": 16,
        "bos_token_id": 0,
        "eos_token_id": 2,
    }
    vision = {**sizes, "image_size": 28, "patch_size": 14}
    torch.manual_seed(0)
    model = CLIPModel(CLIPConfig(text_config=text, vision_config=vision, projection_dim=24)).eval()
    model.save_pretrained(tmp_path)
    with pytest.raises(MissingWeights, match=r"without a readable tokenizer\.json"):
        open_text_tower(str(tmp_path))
    write_tokenizer(tmp_path)
    opened = open_text_tower(str(tmp_path))
    ids = torch.tensor(opened.ids(["the emotion of anger"]))
    with torch.no_grad():
        pooled = model.text_model(input_ids=ids).pooler_output
        torch.testing.assert_close(opened.tower(ids), model.text_projection(pooled))
    assert opened.tower.width == 24 and not opened.start


def test_what_is_no_text_tower_is_named(tmp_path: Path) -> None:
    with pytest.raises(MissingWeights, match="where no weight file is"):
        open_text_tower(str(tmp_path))
    torch.save({"module.point_encoder.x": torch.zeros(1)}, tmp_path / "points.pt")
    with pytest.raises(MissingWeights, match="holds no text tower"):
        open_text_tower(str(tmp_path / "points.pt"))
    (tmp_path / "tokenizer.json").write_text("[]")
    with pytest.raises(MissingWeights, match="none of the tokenizers library"):
        open_tokenizer_of(str(tmp_path))
