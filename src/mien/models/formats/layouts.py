"""Key layouts of published checkpoints, as data: which published tensor becomes which of ours.

Read in the released code that writes or loads these files (named in each entry); sizes do not matter here.
"""

from __future__ import annotations

import math
import re
from collections.abc import Mapping
from dataclasses import dataclass, field
from types import MappingProxyType

import torch
from torch import Tensor
from torch.nn import functional

from mien.core.errors import BadInput, MissingWeights

__all__ = ["LAYOUTS", "Layout", "join_query_value_bias", "own_keys", "resample_positions"]

Rule = tuple[str, str | tuple[str, ...]]
"""An expression over a whole published key, and our key; with several of ours the tensor is cut into so many equal
parts along its first axis."""


@dataclass(frozen=True, slots=True)
class Layout:
    """How the keys of a published checkpoint become a model's."""

    rules: tuple[Rule, ...]
    """The first that matches counts; a key without one is unused."""
    covers: str
    """Expression over our keys: those that the checkpoint has to bring."""
    published: str
    """Where the weights are found."""
    derived: str = r".*(?:rotary_emb\.inv_freq|position_ids|relative_position_index)"
    """Expression over published keys that hold nothing learnt: computed again here, so neither used nor missed."""
    idle: str = r"(?!)"
    """Expression over our keys that this format never fills; nothing reads them where towers end before their norm."""
    positions: str = r"(?!)"
    """Expression over published keys of position embeddings that the released code resamples to its pictures' size."""
    lora_scale: float = 2.0
    """alpha / rank of the adapters, for merging."""
    system: str | None = None
    """The system whose configuration holds these weights; None for a single encoder."""
    options: Mapping[str, str] = field(default_factory=dict)
    """Options of its ``configure``."""
    base: str | None = None
    """Layout of the weights that these come on top of."""
    tower: str | None = None
    """Where the vision tower is published, for checkpoints without it."""


def join_query_value_bias(state: Mapping[str, Tensor]) -> dict[str, Tensor]:
    """EVA's ``q_bias`` and ``v_bias`` as one ``qkv.bias``; its keys have none, so zeros stand between.

    Raises:
        MissingWeights: one of the two lacks.
    """
    joined = dict(state)
    stems = {key.rpartition(".")[0] for key in state if key.endswith((".attn.q_bias", ".attn.v_bias"))}
    for stem in stems:
        pair = [joined.pop(f"{stem}.{name}_bias", None) for name in "qv"]
        query, value = pair
        if query is None or value is None:
            raise MissingWeights(
                got=f"{stem} with one of q_bias and v_bias",
                expected="both",
                fix="Download the checkpoint of the tower again",
            )
        joined[f"{stem}.qkv.bias"] = torch.cat([query, torch.zeros_like(query), value])
    return joined


def resample_positions(embedding: Tensor, side: int) -> Tensor:
    """(1, 1 + n², C) position embedding for a map of ``side`` x ``side`` patches: (1, 1 + side², C).

    As DINOv2's first release and LocLLM do it: bicubic, by the scale (side + 0.1) / n. By size alone, as
    transformers does it, every sample lies a little elsewhere.

    Raises:
        BadInput: the map is no square.
    """
    first, rows = embedding[:, :1], embedding[:, 1:].float()
    size = math.isqrt(rows.shape[1])
    if size * size != rows.shape[1]:
        raise BadInput(
            got=f"a position embedding of {rows.shape[1]} patches",
            expected="a square map",
            fix="Check the tower",
        )
    scale = (side + 0.1) / size
    square = rows.reshape(1, size, size, -1).permute(0, 3, 1, 2)
    moved = functional.interpolate(square, scale_factor=(scale, scale), mode="bicubic")
    return torch.cat([first, moved.flatten(2).transpose(1, 2).to(first.dtype)], dim=1)


_CLIP = r"(?:vision_model\.)?((?:embeddings|pre_layrnorm|encoder|post_layernorm)\..+)"
_DECODER = r"((?:embed_tokens|layers|norm)\..+)"
_PEFT = r"(?:base_model\.model\.)?(?:model\.)?"
_LLAMA: tuple[Rule, ...] = (
    (rf"model\.{_DECODER}", r"model.language_model.\1"),
    (r"lm_head\.weight", "lm_head.weight"),
)
_CLIP_L = "openai/clip-vit-large-patch14-336"


def _dinov2(theirs: str, ours: str) -> tuple[Rule, ...]:
    """DINOv2's own names, with LocLLM's adapters, to those of transformers."""
    block, layer = rf"{theirs}blocks\.(\d+)\.", rf"{ours}encoder.layer.\1."
    three = tuple(rf"{layer}attention.{part}_proj.\2" for part in "qkv")
    return (
        (rf"{theirs}cls_token", f"{ours}embeddings.cls_token"),
        (rf"{theirs}mask_token", f"{ours}embeddings.mask_token"),
        (rf"{theirs}pos_embed", f"{ours}embeddings.position_embeddings"),
        (rf"{theirs}patch_embed\.proj\.(.+)", rf"{ours}embeddings.patch_embeddings.projection.\1"),
        (rf"{theirs}norm\.(.+)", rf"{ours}layernorm.\1"),
        (rf"{block}attn\.lora_([AB])_([qv])", rf"{layer}attention.\3_proj.lora_\2.default.weight"),
        (rf"{block}attn\.qkv\.(.+)", three),
        (rf"{block}attn\.proj\.(.+)", rf"{layer}attention.o_proj.\2"),
        (rf"{block}ls([12])\.gamma", rf"{layer}layer_scale\2.lambda1"),
        (rf"{block}((?:norm[12]|mlp)\..+)", rf"{layer}\2"),
    )


def _eva(theirs: str, ours: str) -> tuple[Rule, ...]:
    """EVA-CLIP-g as LAVIS stores it, after `join_query_value_bias`, to InstructBLIP's tower."""
    block, layer = rf"{theirs}blocks\.(\d+)\.", rf"{ours}encoder.layers.\1."
    return (
        (rf"{theirs}cls_token", f"{ours}embeddings.class_embedding"),
        (rf"{theirs}pos_embed", f"{ours}embeddings.position_embedding"),
        (rf"{theirs}patch_embed\.proj\.(.+)", rf"{ours}embeddings.patch_embedding.\1"),
        (rf"{block}norm([12])\.(.+)", rf"{layer}layer_norm\2.\3"),
        (rf"{block}attn\.qkv\.(.+)", rf"{layer}self_attn.qkv.\2"),
        (rf"{block}attn\.proj\.(.+)", rf"{layer}self_attn.projection.\2"),
        (rf"{block}(mlp\..+)", rf"{layer}\2"),
    )


def _qformer(theirs: str, ours: str) -> tuple[Rule, ...]:
    """BERT with cross-attention (BLIP-2) to InstructBLIP's Q-Former."""
    layer = rf"{theirs}encoder\.(layer\.\d+\.(?:cross)?attention)\."
    return (
        (rf"{theirs}embeddings\.LayerNorm\.(.+)", rf"{ours}embeddings.layernorm.\1"),
        (rf"{layer}self\.(.+)", rf"{ours}encoder.\1.attention.\2"),
        (rf"{theirs}((?:embeddings|encoder)\..+)", rf"{ours}\1"),
    )


def _swin(theirs: str, ours: str) -> tuple[Rule, ...]:
    """torchvision's Swin (stage s stands at feature 2s + 1, its merging at 2s + 2) to transformers'."""
    rules: list[Rule] = [
        (rf"{theirs}0\.0\.0\.(.+)", rf"{ours}embeddings.patch_embeddings.projection.\1"),
        (rf"{theirs}0\.0\.2\.(.+)", rf"{ours}embeddings.norm.\1"),
        (rf"{theirs}1\.(.+)", rf"{ours}layernorm.\1"),
    ]
    for stage in range(4):
        block = rf"{theirs}0\.{2 * stage + 1}\.(\d+)\."
        layer = rf"{ours}encoder.layers.{stage}."
        inner = rf"{layer}blocks.\1."
        table = "relative_position_bias_table"
        rules += [
            (rf"{block}norm1\.(.+)", rf"{inner}layernorm_before.\2"),
            (rf"{block}norm2\.(.+)", rf"{inner}layernorm_after.\2"),
            (rf"{block}attn\.qkv\.(.+)", tuple(rf"{inner}attention.{part}_proj.\2" for part in "qkv")),
            (rf"{block}attn\.proj\.(.+)", rf"{inner}attention.o_proj.\2"),
            (rf"{block}attn\.{table}", rf"{inner}attention.relative_position_bias.{table}"),
            (rf"{block}mlp\.0\.(.+)", rf"{inner}mlp.fc1.\2"),
            (rf"{block}mlp\.3\.(.+)", rf"{inner}mlp.fc2.\2"),
            (rf"{theirs}0\.{2 * stage + 2}\.(.+)", rf"{layer}downsample.\1"),
        ]
    return tuple(rules)


_IMAGE = "model.encoders.image."
LAYOUTS: Mapping[str, Layout] = MappingProxyType(
    {
        "pointmlp": Layout(((r"(?:module\.)?(.+)", r"\1"),), r".*", "ma-xu/pointMLP-pytorch"),
        "ulip-pointmlp": Layout(
            ((r"(?:module\.)?point_encoder\.(.+)", r"\1"),), r".*", "salesforce/ULIP, checkpoint of PointMLP"
        ),
        "llava-1.5": Layout(
            (
                *_LLAMA,
                (r"model\.mm_projector\.(\d+\..+)", r"model.projectors.image.\1"),
                (rf"(?:model\.vision_tower\.vision_tower\.)?{_CLIP}", rf"{_IMAGE}model.\1"),
            ),
            r"(?:model\.(?:language_model|projectors\.image)|lm_head)\..+",
            "liuhaotian/llava-v1.5-7b",
            system="emola",
            options={"layout": "visual"},
            tower=_CLIP_L,
        ),
        "llava-1.5-hf": Layout(
            (
                (rf"(?:language_model\.model|model\.language_model)\.{_DECODER}", r"model.language_model.\1"),
                (r"(?:language_model\.)?lm_head\.weight", "lm_head.weight"),
                (r"(?:model\.)?multi_modal_projector\.linear_1\.(.+)", r"model.projectors.image.0.\1"),
                (r"(?:model\.)?multi_modal_projector\.linear_2\.(.+)", r"model.projectors.image.2.\1"),
                (rf"(?:model\.)?vision_tower\.{_CLIP}", rf"{_IMAGE}model.\1"),
            ),
            r"(?:model\.(?:language_model|projectors\.image|encoders\.image)|lm_head)\..+",
            "llava-hf/llava-1.5-7b-hf",
            system="emola",
            options={"layout": "visual"},
        ),
        "emola": Layout(
            (
                (
                    rf"{_PEFT}(?:model\.)?(layers\..+\.lora_[AB])(?:\.default)?\.weight",
                    r"model.language_model.\1.default.weight",
                ),
                (rf"{_PEFT}(?:model\.)?landmark_feature_projector\.(\d+\..+)", r"model.projectors.prior.\1"),
                (rf"{_PEFT}(?:model\.)?mm_projector\.(\d+\..+)", r"model.projectors.image.\1"),
            ),
            r"model\.(?:projectors\.prior\..+|language_model\..+\.lora_[AB]\..+)",
            "JackYFL/EmoLA: adapter, non_lora_trainables.bin and landmark_feature_projector.bin",
            system="emola",
            base="llava-1.5",
            tower=_CLIP_L,
        ),
        "expllm": Layout(
            (
                (
                    r"model\.(layers\.\d+\.self_attn\.[qv]_proj\.lora_[AB])",
                    r"model.language_model.\1.default.weight",
                ),
                *_LLAMA,
                (r"mm_projector\.(.+)", r"model.projectors.image.\1"),
                *_dinov2(r"(?:vision_model\.)?", f"{_IMAGE}model."),
            ),
            r".*",
            "starhiking/ExpLLM",
            positions=r"(?:vision_model\.)?pos_embed",
            system="expllm",
        ),
        "llama-vid": Layout(
            (
                *_LLAMA,
                (r"model\.mm_projector\.(.+)", rf"{_IMAGE}projectors.visual.\1"),
                (r"model\.vlm_att_query", f"{_IMAGE}aggregator.queries"),
                (r"model\.vlm_att_ln\.(.+)", rf"{_IMAGE}aggregator.norm.\1"),
                (r"model\.vlm_att_projector\.(.+)", rf"{_IMAGE}aggregator.match_query.\1"),
                (r"model\.vlm_att_key_projector\.(.+)", rf"{_IMAGE}aggregator.match_key.\1"),
                (r"model\.vlm_att_val_projector\.(.+)", rf"{_IMAGE}projectors.clue.\1"),
                *_qformer(r"model\.vlm_att_encoder\.bert\.", f"{_IMAGE}aggregator.qformer."),
                *_eva(r"(?:model\.vision_tower\.vision_tower\.)?", f"{_IMAGE}tower.model."),
            ),
            r"(?:model\.(?:language_model|encoders\.image\.(?:aggregator|projectors\.(?:clue|visual)))|lm_head)\..+",
            "YanweiLi/llama-vid-7b-full-224-video-fps-1",
            # The last norm of the tower is InstructBLIP's; LLaMA-VID reads the rows before it (layer -1).
            idle=r"model\.encoders\.image\.tower\.model\.post_layernorm\..+",
            system="emo-llama",
            options={"priors": "none", "generation": "llama-vid"},
            tower="eva_vit_g.pth of LAVIS (salesforce/LAVIS, BLIP-2)",
        ),
        "facexformer": Layout(
            (
                *_swin(r"(?:module\.)?backbone\.", "encoder.backbone."),
                (r"(?:module\.)?(linear_(?:c|fuse)\..+)", r"encoder.\1"),
                (r"(?:module\.)?((?:pe_layer|face_decoder)\..+)", r"\1"),
            ),
            r".*",
            "kartiknarayan/facexformer: ckpts/model.pt",
        ),
    }
)
"""Published layouts by name. ``emola`` adds to LLaVA-1.5's weights: to a model that was prepared for a stage with
adapters, or, where there are none, by merging."""


def own_keys(rule: Rule, key: str) -> tuple[str, ...]:
    """Our keys for a published one by a rule; empty when it does not match."""
    match = re.fullmatch(rule[0], key)
    if match is None:
        return ()
    templates = (rule[1],) if isinstance(rule[1], str) else rule[1]
    return tuple(match.expand(template) for template in templates)
