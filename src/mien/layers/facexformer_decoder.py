"""FaceXFormer's decoder: 18 task tokens and the face map read each other, then small heads read the tokens.

The two-way attention is Segment Anything's (Kirillov et al. 2023). Module names are those of the published checkpoint.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass
from typing import cast

import torch
from torch import Tensor, nn
from torch.nn import functional

from mien.layers.point_sampling import without_autocast

__all__ = ["FaceDecoder", "FacePrediction", "FourierPositions"]

_MASKS = 11
_HEADS = {
    "landmarks": 68 * 2, "pose": 3, "attribute": 40, "visibility": 29, "age": 8, "gender": 2, "race": 5,
}  # fmt: skip
"""Task token -> outputs of its head, in the order of the tokens; the tokens of the masks come last."""


@dataclass(frozen=True, slots=True)
class FacePrediction:
    """What FaceXFormer says of B faces; logits unless said otherwise."""

    landmarks: Tensor
    """(B, 68, 2) x and y, -1..1 from edge to edge of the crop."""
    pose: Tensor
    """(B, 3) pitch, yaw and roll in radians."""
    attributes: Tensor
    """(B, 40), each for itself (sigmoid)."""
    visibility: Tensor
    """(B, 29), each for itself (sigmoid)."""
    age: Tensor
    """(B, 8) of one choice (softmax)."""
    gender: Tensor
    """(B, 2) of one choice."""
    race: Tensor
    """(B, 5) of one choice."""
    parsing: Tensor
    """(B, 11, 4 S, 4 S) of one choice per pixel, for a map of S x S; the crop's size."""


class FourierPositions(nn.Module):
    """Position encoding of a grid by random frequencies, fixed at training: size S -> (S², width), in float32.

    The frequencies stay in float32 where the model around them becomes shorter: their phases span several turns.
    """

    positional_encoding_gaussian_matrix: Tensor

    def __init__(self, width: int) -> None:
        super().__init__()
        self.register_buffer("positional_encoding_gaussian_matrix", torch.randn(2, width // 2))

    def _apply(self, fn: Callable[[Tensor], Tensor], recurse: bool = True) -> FourierPositions:
        before = self.positional_encoding_gaussian_matrix
        super()._apply(fn, recurse)  # type: ignore[no-untyped-call]
        after = self.positional_encoding_gaussian_matrix
        if after.dtype != before.dtype:
            self.positional_encoding_gaussian_matrix = before.to(after.device)
        return self

    def forward(self, size: int) -> Tensor:
        frequencies = self.positional_encoding_gaussian_matrix.float()
        steps = torch.arange(size, dtype=frequencies.dtype, device=frequencies.device)
        centres = (2.0 * steps + 1.0) / size - 1.0
        y, x = torch.meshgrid(centres, centres, indexing="ij")
        with without_autocast(frequencies):
            phases = 2.0 * math.pi * (torch.stack([x, y], dim=-1).reshape(-1, 2) @ frequencies)
        return torch.cat([phases.sin(), phases.cos()], dim=-1)


class _Attention(nn.Module):
    """Multi-head attention in an inner width of ``width / reduction``."""

    def __init__(self, width: int, heads: int, reduction: int = 1) -> None:
        super().__init__()
        inner = width // reduction
        self.heads = heads
        self.q_proj, self.k_proj, self.v_proj = (nn.Linear(width, inner) for _ in "qkv")
        self.out_proj = nn.Linear(inner, width)

    def forward(self, q: Tensor, k: Tensor, v: Tensor) -> Tensor:
        parts = (
            projection(x).unflatten(2, (self.heads, -1)).transpose(1, 2)
            for projection, x in ((self.q_proj, q), (self.k_proj, k), (self.v_proj, v))
        )
        attended = functional.scaled_dot_product_attention(*parts)
        joined: Tensor = self.out_proj(attended.transpose(1, 2).flatten(2))
        return joined


class _MLPBlock(nn.Module):
    def __init__(self, width: int, inner: int) -> None:
        super().__init__()
        self.lin1, self.lin2 = nn.Linear(width, inner), nn.Linear(inner, width)

    def forward(self, x: Tensor) -> Tensor:
        y: Tensor = self.lin2(self.lin1(x).relu())
        return y


class _TwoWayBlock(nn.Module):
    """Tokens attend to tokens, tokens to map, and the map to tokens; norms stand after each sum.

    In the first block the tokens are their own positions: their self-attention has neither positions nor a residual.
    """

    def __init__(self, width: int, heads: int, inner: int, first: bool) -> None:
        super().__init__()
        self.self_attn = _Attention(width, heads)
        self.cross_attn_token_to_image = _Attention(width, heads, 2)
        self.mlp = _MLPBlock(width, inner)
        self.cross_attn_image_to_token = _Attention(width, heads, 2)
        self.norm1, self.norm2, self.norm3, self.norm4 = (nn.LayerNorm(width) for _ in range(4))
        self.first = first

    def forward(self, tokens: Tensor, face: Tensor, places: tuple[Tensor, Tensor]) -> tuple[Tensor, Tensor]:
        own, where = places
        if self.first:
            tokens = self.self_attn(tokens, tokens, tokens)
        else:
            placed = tokens + own
            tokens = tokens + self.self_attn(placed, placed, tokens)
        tokens = self.norm1(tokens)
        tokens = self.norm2(tokens + self.cross_attn_token_to_image(tokens + own, face + where, face))
        tokens = self.norm3(tokens + self.mlp(tokens))
        face = self.norm4(face + self.cross_attn_image_to_token(face + where, tokens + own, tokens))
        return tokens, face


class _TwoWayTransformer(nn.Module):
    def __init__(self, width: int, heads: int, inner: int, depth: int) -> None:
        super().__init__()
        self.layers = nn.ModuleList(_TwoWayBlock(width, heads, inner, block == 0) for block in range(depth))
        self.final_attn_token_to_image = _Attention(width, heads, 2)
        self.norm_final_attn = nn.LayerNorm(width)

    def forward(self, tokens: Tensor, face: Tensor, where: Tensor) -> tuple[Tensor, Tensor]:
        own = tokens
        for layer in self.layers:
            tokens, face = layer(tokens, face, (own, where))
        read = self.final_attn_token_to_image(tokens + own, face + where, face)
        return self.norm_final_attn(tokens + read), face


class _MLP(nn.Module):
    """Three layers with ReLU between."""

    def __init__(self, width: int, outputs: int) -> None:
        super().__init__()
        self.layers = nn.ModuleList(
            nn.Linear(before, after) for before, after in ((width, width), (width, width), (width, outputs))
        )

    def forward(self, x: Tensor) -> Tensor:
        for layer in self.layers[:-1]:
            x = layer(x).relu()
        y: Tensor = self.layers[-1](x)
        return y


class _ChannelNorm(nn.Module):
    """Layer norm over the channels of each pixel of (B, C, H, W)."""

    def __init__(self, width: int) -> None:
        super().__init__()
        self.weight, self.bias = nn.Parameter(torch.ones(width)), nn.Parameter(torch.zeros(width))

    def forward(self, x: Tensor) -> Tensor:
        rows = x.permute(0, 2, 3, 1)
        normed = functional.layer_norm(rows, rows.shape[-1:], self.weight, self.bias, eps=1e-6)
        return normed.permute(0, 3, 1, 2)


class FaceDecoder(nn.Module):
    """(B, width, S, S) face map and (S², width) positions -> `FacePrediction`.

    Args:
        width: of the map and the tokens (256).
        heads: of each attention (8).
        inner: of the feed-forward (2048).
        depth: blocks of two-way attention (2).
    """

    def __init__(self, width: int = 256, heads: int = 8, inner: int = 2048, depth: int = 2) -> None:
        super().__init__()
        self.transformer = _TwoWayTransformer(width, heads, inner, depth)
        for name, outputs in _HEADS.items():
            self.add_module(f"{name}_token", nn.Embedding(1, width))
            self.add_module(f"{name}_prediction_head", _MLP(width, outputs))
        self.mask_tokens = nn.Embedding(_MASKS, width)
        self.output_upscaling = nn.Sequential(
            nn.ConvTranspose2d(width, width // 4, 2, 2),
            _ChannelNorm(width // 4),
            nn.GELU(),
            nn.ConvTranspose2d(width // 4, width // 8, 2, 2),
            nn.GELU(),
        )
        self.output_hypernetwork_mlps = _MLP(width, width // 8)

    def forward(self, face: Tensor, positions: Tensor) -> FacePrediction:
        own = [cast(nn.Embedding, self.get_submodule(f"{name}_token")).weight for name in _HEADS]
        tokens = torch.cat([*own, self.mask_tokens.weight]).expand(len(face), -1, -1)
        size, positions = face.shape[2:], positions.to(face.dtype)
        tokens, rows = self.transformer(tokens, face.flatten(2).transpose(1, 2), positions)
        said = {
            name: self.get_submodule(f"{name}_prediction_head")(tokens[:, place])
            for place, name in enumerate(_HEADS)
        }
        fine = self.output_upscaling(rows.transpose(1, 2).unflatten(2, size))
        masks = self.output_hypernetwork_mlps(tokens[:, len(_HEADS) :])
        return FacePrediction(
            landmarks=said["landmarks"].unflatten(1, (68, 2)),
            pose=said["pose"],
            attributes=said["attribute"],
            visibility=said["visibility"],
            age=said["age"],
            gender=said["gender"],
            race=said["race"],
            parsing=(masks @ fine.flatten(2)).unflatten(2, fine.shape[2:]),
        )
