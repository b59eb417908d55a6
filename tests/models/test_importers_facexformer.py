"""FaceXFormer from a synthetic checkpoint in the published layout, against the algorithm written out on its keys.

The reference follows the papers (Swin, Segment Anything) and torchvision's order of layers; windows are loops, so that
it shares nothing with the model.
"""

from __future__ import annotations

import math
from pathlib import Path

import pytest
import torch
from torch import Tensor
from torch.nn import functional

from mien.core.errors import BadInput, MissingWeights
from mien.layers.facexformer import SHAPES, FaceXFormer, FaceXFormerShape
from mien.models.formats.importers import LAYOUTS, import_checkpoint, import_weights
from mien.models.formats.layouts import own_keys

State = dict[str, Tensor]
TINY = SHAPES["tiny"]
HEADS = {"landmarks": 136, "pose": 3, "attribute": 40, "visibility": 29, "age": 8, "gender": 2, "race": 5}


def attention_shapes(start: str, width: int, inner: int) -> dict[str, tuple[int, ...]]:
    shapes: dict[str, tuple[int, ...]] = {}
    for name, out, inward in (*((part, inner, width) for part in "qkv"), ("out", width, inner)):
        shapes |= {f"{start}{name}_proj.weight": (out, inward), f"{start}{name}_proj.bias": (out,)}
    return shapes


def swin_shapes(shape: FaceXFormerShape) -> dict[str, tuple[int, ...]]:
    """``list(torchvision.models.swin_b().children())[:-1]`` as a Sequential: 0 the features, 1 the last norm."""
    e = shape.embed
    shapes: dict[str, tuple[int, ...]] = {
        "backbone.0.0.0.weight": (e, 3, 4, 4),
        "backbone.0.0.0.bias": (e,),
        "backbone.0.0.2.weight": (e,),
        "backbone.0.0.2.bias": (e,),
        "backbone.1.weight": (8 * e,),
        "backbone.1.bias": (8 * e,),
    }
    for stage, (depth, heads) in enumerate(zip(shape.depths, shape.heads, strict=True)):
        c = e * 2**stage
        for block in range(depth):
            start = f"backbone.0.{2 * stage + 1}.{block}."
            for name, out, inward in (
                ("attn.qkv", 3 * c, c),
                ("attn.proj", c, c),
                ("mlp.0", 4 * c, c),
                ("mlp.3", c, 4 * c),
            ):
                shapes |= {f"{start}{name}.weight": (out, inward), f"{start}{name}.bias": (out,)}
            for name in ("norm1", "norm2"):
                shapes |= {f"{start}{name}.weight": (c,), f"{start}{name}.bias": (c,)}
            shapes[f"{start}attn.relative_position_bias_table"] = ((2 * shape.window - 1) ** 2, heads)
            shapes[f"{start}attn.relative_position_index"] = (shape.window**4,)
        if stage < 3:
            start = f"backbone.0.{2 * stage + 2}."
            shapes |= {f"{start}reduction.weight": (2 * c, 4 * c)}
            shapes |= {f"{start}norm.weight": (4 * c,), f"{start}norm.bias": (4 * c,)}
    return shapes


def published_shapes(shape: FaceXFormerShape) -> dict[str, tuple[int, ...]]:
    w, shapes = shape.width, swin_shapes(shape)
    for stage in range(4):
        start = f"linear_c.{stage}.proj."
        shapes |= {f"{start}weight": (w, shape.embed * 2**stage), f"{start}bias": (w,)}
    shapes["linear_fuse.weight"] = (w, 4 * w, 1, 1)
    shapes["pe_layer.positional_encoding_gaussian_matrix"] = (2, w // 2)
    shapes |= {f"face_decoder.{name}_token.weight": (1, w) for name in HEADS}
    shapes["face_decoder.mask_tokens.weight"] = (11, w)
    for name, outputs in (*HEADS.items(), ("output_hypernetwork_mlps", w // 8)):
        start = f"face_decoder.{name}_prediction_head." if name in HEADS else f"face_decoder.{name}."
        for layer, out in enumerate((w, w, outputs)):
            shapes |= {f"{start}layers.{layer}.weight": (out, w), f"{start}layers.{layer}.bias": (out,)}
    for layer, (inward, out) in {0: (w, w // 4), 3: (w // 4, w // 8)}.items():
        start = f"face_decoder.output_upscaling.{layer}."
        shapes |= {f"{start}weight": (inward, out, 2, 2), f"{start}bias": (out,)}
    shapes |= {f"face_decoder.output_upscaling.1.{leaf}": (w // 4,) for leaf in ("weight", "bias")}
    for layer in range(2):
        start = f"face_decoder.transformer.layers.{layer}."
        shapes |= attention_shapes(f"{start}self_attn.", w, w)
        for name in ("cross_attn_token_to_image", "cross_attn_image_to_token"):
            shapes |= attention_shapes(f"{start}{name}.", w, w // 2)
        for name, out, inward in (("mlp.lin1", shape.inner, w), ("mlp.lin2", w, shape.inner)):
            shapes |= {f"{start}{name}.weight": (out, inward), f"{start}{name}.bias": (out,)}
        shapes |= {f"{start}norm{place}.{leaf}": (w,) for place in range(1, 5) for leaf in ("weight", "bias")}
    start = "face_decoder.transformer."
    shapes |= attention_shapes(f"{start}final_attn_token_to_image.", w, w // 2)
    return shapes | {f"{start}norm_final_attn.{leaf}": (w,) for leaf in ("weight", "bias")}


def published(seed: int = 0) -> State:
    generator = torch.Generator().manual_seed(seed)
    return {
        key: 0.3 * torch.randn(shape, generator=generator) for key, shape in published_shapes(TINY).items()
    }


class Reference:
    """The published forward pass of one picture on published keys."""

    def __init__(self, state: State, shape: FaceXFormerShape) -> None:
        self.s, self.shape = state, shape

    def linear(self, name: str, x: Tensor) -> Tensor:
        return functional.linear(x, self.s[f"{name}.weight"], self.s.get(f"{name}.bias"))

    def norm(self, name: str, x: Tensor, eps: float = 1e-5) -> Tensor:
        mean, variance = x.mean(-1, keepdim=True), x.var(-1, unbiased=False, keepdim=True)
        return (x - mean) / (variance + eps).sqrt() * self.s[f"{name}.weight"] + self.s[f"{name}.bias"]

    def windows(self, start: str, x: Tensor, heads: int, shift: int) -> Tensor:
        """(H, W, C) -> (H, W, C): attention within shifted windows; rolled parts do not see each other."""
        size, n = x.shape[0], self.shape.window
        table = self.s[f"{start}attn.relative_position_bias_table"]
        out = torch.zeros_like(x)
        for top in range(0, size, n):
            for left in range(0, size, n):
                cells = [(y, x_) for y in range(top, top + n) for x_ in range(left, left + n)]
                places = [((y + shift) % size, (x_ + shift) % size) for y, x_ in cells]
                rows = torch.stack([x[place] for place in places])
                q, k, v = self.linear(f"{start}attn.qkv", rows).chunk(3, dim=1)
                bias = torch.stack(
                    [
                        torch.stack(
                            [table[(a[0] - b[0] + n - 1) * (2 * n - 1) + a[1] - b[1] + n - 1] for b in cells]
                        )
                        for a in cells
                    ]
                )
                mixed = []
                for head in range(heads):
                    part = slice(head * q.shape[1] // heads, (head + 1) * q.shape[1] // heads)
                    scores = q[:, part] @ k[:, part].T / math.sqrt(q.shape[1] // heads) + bias[:, :, head]
                    for i, (ya, xa) in enumerate(places):
                        for j, (yb, xb) in enumerate(places):
                            # Wrapped around the edge: neighbours in the window, strangers in the picture.
                            if max(abs(ya - yb), abs(xa - xb)) >= n:
                                scores[i, j] -= 100.0
                    mixed.append(scores.softmax(-1) @ v[:, part])
                done = self.linear(f"{start}attn.proj", torch.cat(mixed, dim=1))
                for place, row in zip(places, done, strict=True):
                    out[place] = row
        return out

    def encode(self, pixels: Tensor) -> Tensor:
        s, maps = self.s, []
        x = functional.conv2d(pixels[None], s["backbone.0.0.0.weight"], s["backbone.0.0.0.bias"], stride=4)[0]
        x = self.norm("backbone.0.0.2", x.permute(1, 2, 0))
        for stage, (depth, heads) in enumerate(zip(self.shape.depths, self.shape.heads, strict=True)):
            for block in range(depth):
                start = f"backbone.0.{2 * stage + 1}.{block}."
                shift = self.shape.window // 2 if block % 2 and x.shape[0] > self.shape.window else 0
                x = x + self.windows(start, self.norm(f"{start}norm1", x), heads, shift)
                y = functional.gelu(self.linear(f"{start}mlp.0", self.norm(f"{start}norm2", x)))
                x = x + self.linear(f"{start}mlp.3", y)
            maps.append(self.linear(f"linear_c.{stage}.proj", x).permute(2, 0, 1))
            if stage < 3:
                start = f"backbone.0.{2 * stage + 2}."
                four = [x[0::2, 0::2], x[1::2, 0::2], x[0::2, 1::2], x[1::2, 1::2]]
                x = self.linear(f"{start}reduction", self.norm(f"{start}norm", torch.cat(four, dim=-1)))
        size = maps[0].shape[1:]
        wide = [functional.interpolate(m[None], size, mode="bilinear", align_corners=False)[0] for m in maps]
        return torch.einsum("oi,ihw->ohw", s["linear_fuse.weight"][:, :, 0, 0], torch.cat(wide[::-1]))

    def positions(self, size: int) -> Tensor:
        """(size², width): sine and cosine of 2 pi times the centres in -1..1, x first, through fixed frequencies."""
        rows = []
        for y in range(size):
            for x in range(size):
                centre = torch.tensor([(x + 0.5) / size, (y + 0.5) / size]) * 2.0 - 1.0
                phase = 2.0 * math.pi * (centre @ self.s["pe_layer.positional_encoding_gaussian_matrix"])
                rows.append(torch.cat([phase.sin(), phase.cos()]))
        return torch.stack(rows)

    def attend(self, name: str, q: Tensor, k: Tensor, v: Tensor) -> Tensor:
        start = f"face_decoder.transformer.{name}"
        q, k, v = (self.linear(f"{start}.{part}_proj", x) for part, x in (("q", q), ("k", k), ("v", v)))
        heads, mixed = self.shape.decoder_heads, []
        for head in range(heads):
            part = slice(head * q.shape[1] // heads, (head + 1) * q.shape[1] // heads)
            mixed.append(
                (q[:, part] @ k[:, part].T / math.sqrt(q.shape[1] // heads)).softmax(-1) @ v[:, part]
            )
        return self.linear(f"{start}.out_proj", torch.cat(mixed, dim=1))

    def mlp(self, name: str, x: Tensor) -> Tensor:
        for layer in range(3):
            x = self.linear(f"face_decoder.{name}.layers.{layer}", x)
            x = x.relu() if layer < 2 else x
        return x

    def decode(self, face: Tensor) -> dict[str, Tensor]:
        size, keys = face.shape[1], face.flatten(1).T
        where = self.positions(size)
        own = torch.cat([self.s[f"face_decoder.{name}_token.weight"] for name in HEADS])
        own = torch.cat([own, self.s["face_decoder.mask_tokens.weight"]])
        queries, start = own, "face_decoder.transformer."
        for layer in range(2):
            at = f"layers.{layer}."
            if layer == 0:
                queries = self.attend(f"{at}self_attn", queries, queries, queries)
            else:
                queries = queries + self.attend(f"{at}self_attn", queries + own, queries + own, queries)
            queries = self.norm(f"{start}{at}norm1", queries)
            read = self.attend(f"{at}cross_attn_token_to_image", queries + own, keys + where, keys)
            queries = self.norm(f"{start}{at}norm2", queries + read)
            inner = self.linear(f"{start}{at}mlp.lin1", queries).relu()
            queries = self.norm(f"{start}{at}norm3", queries + self.linear(f"{start}{at}mlp.lin2", inner))
            read = self.attend(f"{at}cross_attn_image_to_token", keys + where, queries + own, queries)
            keys = self.norm(f"{start}{at}norm4", keys + read)
        read = self.attend("final_attn_token_to_image", queries + own, keys + where, keys)
        queries = self.norm(f"{start}norm_final_attn", queries + read)
        said = {name: self.mlp(f"{name}_prediction_head", queries[place]) for place, name in enumerate(HEADS)}
        up, s = "face_decoder.output_upscaling.", self.s
        fine = functional.conv_transpose2d(
            keys.T.reshape(1, -1, size, size), s[f"{up}0.weight"], s[f"{up}0.bias"], stride=2
        )
        fine = functional.gelu(self.norm(f"{up}1", fine[0].permute(1, 2, 0), eps=1e-6)).permute(2, 0, 1)
        fine = functional.conv_transpose2d(fine[None], s[f"{up}3.weight"], s[f"{up}3.bias"], stride=2)[0]
        masks = self.mlp("output_hypernetwork_mlps", queries[len(HEADS) :])
        said["parsing"] = torch.einsum("mc,chw->mhw", masks, functional.gelu(fine))
        return said


def test_every_task_is_the_published_forward_pass() -> None:
    state = published()
    done = import_checkpoint({"state_dict_backbone": state, "epoch": 3}, format="facexformer", scale="tiny")
    assert done.report.unused == done.report.missing == () and done.options == {"variant": "tiny"}
    model, reference = done.model, Reference(state, TINY)
    assert isinstance(model, FaceXFormer) and not model.training
    pixels = torch.randn(2, 3, 64, 64, generator=torch.Generator().manual_seed(6))
    with torch.no_grad():
        face, got = model.encoder(pixels), model(pixels)
        for row in range(2):
            expected = reference.encode(pixels[row])
            torch.testing.assert_close(face[row], expected, atol=1e-4, rtol=1e-4)
            said = reference.decode(expected)
            said["attributes"], said["landmarks"] = said.pop("attribute"), said["landmarks"].reshape(68, 2)
            for name, value in said.items():
                torch.testing.assert_close(
                    getattr(got, name)[row],
                    value,
                    atol=1e-4,
                    rtol=1e-4,
                    msg=lambda text, name=name: f"{name}: {text}",
                )


def test_from_a_file_and_with_a_wrapper_prefix(tmp_path: Path) -> None:
    """A checkpoint of several processes has ``module.`` before each key."""
    state = published()
    torch.save(
        {"state_dict_backbone": {f"module.{key}": value for key, value in state.items()}},
        tmp_path / "model.pt",
    )
    model = import_checkpoint(tmp_path / "model.pt", format="facexformer", scale="tiny").model
    expected = import_checkpoint(state, format="facexformer", scale="tiny").model.state_dict()
    assert all(torch.equal(value, expected[key]) for key, value in model.state_dict().items())


def test_full_width_every_key_has_its_place() -> None:
    """Keys and shapes of the published 92.0 M checkpoint on the meta device."""
    with torch.device("meta"):
        model = FaceXFormer("base")
    own = {key: tuple(value.shape) for key, value in model.state_dict().items()}
    filled: dict[str, tuple[int, ...]] = {}
    for key, shape in published_shapes(SHAPES["base"]).items():
        if key.endswith("relative_position_index"):
            continue
        names = next(filter(None, (own_keys(rule, key) for rule in LAYOUTS["facexformer"].rules)), ())
        filled |= {name: (shape[0] // len(names), *shape[1:]) for name in names}
    assert filled == own


def test_speaks_about_bad_checkpoints(tmp_path: Path) -> None:
    with pytest.raises(MissingWeights, match=r"model\.pt, where no weight file is"):
        import_checkpoint(tmp_path / "model.pt", format="facexformer")
    state, model = published(), FaceXFormer("tiny")
    before = {key: value.clone() for key, value in model.state_dict().items()}
    del state["linear_c.2.proj.bias"]
    with pytest.raises(MissingWeights, match=r"encoder\.linear_c\.2\.proj\.bias.*kartiknarayan/facexformer"):
        import_weights(model, state, "facexformer")
    state = published()
    state["face_decoder.age_prediction_head.layers.2.weight"] = torch.zeros(9, 16)
    with pytest.raises(BadInput, match=r"age_prediction_head\.layers\.2\.weight \(9, 16\) for \(8, 16\)"):
        import_weights(model, state, "facexformer")
    assert all(torch.equal(value, before[key]) for key, value in model.state_dict().items())
