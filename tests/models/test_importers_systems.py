"""ExpLLM and LLaMA-VID from synthetic checkpoints in the published key layouts, against the released algorithms.

The references are written from the papers and the released code's facts, on the published keys; they share no code with
the models.
"""

from __future__ import annotations

import json
from pathlib import Path

import pytest
import torch
from safetensors.torch import save_file
from torch import Tensor
from torch.nn import functional

from mien.core.errors import BadConfig, BadInput, MissingWeights
from mien.models.composite.facial_lm import FacialLM
from mien.models.composite.systems import prepare
from mien.models.expllm import system as expllm
from mien.models.formats.importers import import_checkpoint, import_weights

WIDTH, DECODER, VOCABULARY, LAYERS = 16, 32, 300, 2
State = dict[str, Tensor]


def random_state(shapes: dict[str, tuple[int, ...]], seed: int = 1) -> State:
    generator = torch.Generator().manual_seed(seed)
    return {key: 0.2 * torch.randn(shape, generator=generator) for key, shape in shapes.items()}


def llama_shapes(
    width: int = DECODER, layers: int = LAYERS, inner: int = 48, keys: int = 16
) -> dict[str, tuple[int, ...]]:
    """transformers 4.31's names of a Llama."""
    shapes: dict[str, tuple[int, ...]] = {
        "model.embed_tokens.weight": (VOCABULARY, width),
        "model.norm.weight": (width,),
        "lm_head.weight": (VOCABULARY, width),
    }
    for layer in range(layers):
        start = f"model.layers.{layer}."
        shapes |= {
            f"{start}self_attn.q_proj.weight": (width, width),
            f"{start}self_attn.k_proj.weight": (keys, width),
            f"{start}self_attn.v_proj.weight": (keys, width),
            f"{start}self_attn.o_proj.weight": (width, width),
            f"{start}self_attn.rotary_emb.inv_freq": (4,),
            f"{start}mlp.gate_proj.weight": (inner, width),
            f"{start}mlp.up_proj.weight": (inner, width),
            f"{start}mlp.down_proj.weight": (width, inner),
            f"{start}input_layernorm.weight": (width,),
            f"{start}post_attention_layernorm.weight": (width,),
        }
    return shapes


def expllm_shapes(
    width: int = WIDTH,
    decoder: int = DECODER,
    blocks: int = 2,
    rank: int = 8,
    patches: int = 4,
    patch: int = 14,
) -> dict[str, tuple[int, ...]]:
    """LocLLM's names with ExpLLM's two-layer projector."""
    shapes: dict[str, tuple[int, ...]] = {
        "vision_model.cls_token": (1, 1, width),
        "vision_model.pos_embed": (1, patches + 1, width),
        "vision_model.mask_token": (1, width),
        "vision_model.patch_embed.proj.weight": (width, 3, patch, patch),
        "vision_model.patch_embed.proj.bias": (width,),
        "vision_model.norm.weight": (width,),
        "vision_model.norm.bias": (width,),
        "mm_projector.0.weight": (decoder, width),
        "mm_projector.0.bias": (decoder,),
        "mm_projector.2.weight": (decoder, decoder),
        "mm_projector.2.bias": (decoder,),
    }
    for block in range(blocks):
        start = f"vision_model.blocks.{block}."
        for name, out, inward in (
            ("attn.qkv", 3 * width, width),
            ("attn.proj", width, width),
            ("mlp.fc1", 4 * width, width),
            ("mlp.fc2", width, 4 * width),
        ):
            shapes |= {f"{start}{name}.weight": (out, inward), f"{start}{name}.bias": (out,)}
        for name in ("norm1", "norm2"):
            shapes |= {f"{start}{name}.weight": (width,), f"{start}{name}.bias": (width,)}
        shapes |= {f"{start}ls{place}.gamma": (width,) for place in (1, 2)}
        for name in "qv":
            shapes |= {
                f"{start}attn.lora_A_{name}": (rank, width),
                f"{start}attn.lora_B_{name}": (width, rank),
            }
    return shapes


def expllm_state() -> State:
    shapes = {**llama_shapes(), **expllm_shapes()}
    for layer in range(LAYERS):
        for name, out in (("q", DECODER), ("v", 16)):
            stem = f"model.layers.{layer}.self_attn.{name}_proj."
            shapes |= {f"{stem}lora_A": (8, DECODER), f"{stem}lora_B": (out, 8)}
    return random_state(shapes)


def norm(state: State, name: str, x: Tensor, eps: float = 1e-6) -> Tensor:
    return functional.layer_norm(x, x.shape[-1:], state[f"{name}.weight"], state[f"{name}.bias"], eps)


def attend(q: Tensor, k: Tensor, v: Tensor, heads: int) -> Tensor:
    """(N, C) each: multi-head attention of one picture."""
    size = q.shape[1] // heads
    out = []
    for head in range(heads):
        part = slice(head * size, (head + 1) * size)
        weights = (q[:, part] @ k[:, part].T / size**0.5).softmax(dim=-1)
        out.append(weights @ v[:, part])
    return torch.cat(out, dim=1)


def patches_of(state: State, stem: str, pixels: Tensor) -> Tensor:
    weight, bias = state[f"{stem}.weight"], state[f"{stem}.bias"]
    return functional.conv2d(pixels[None], weight, bias, stride=weight.shape[-1])[0].flatten(1).T


def dinov2(state: State, pixels: Tensor, heads: int = 2) -> Tensor:
    """``x_norm_patchtokens`` of DINOv2 with LocLLM's adapters beside q and v, scaled by alpha / rank = 2."""
    s = {key.removeprefix("vision_model."): value for key, value in state.items()}
    x = torch.cat([s["cls_token"][0], patches_of(s, "patch_embed.proj", pixels)]) + s["pos_embed"][0]
    for block in range(2):
        part = {
            key.removeprefix(f"blocks.{block}."): value
            for key, value in s.items()
            if key.startswith(f"blocks.{block}.")
        }
        y = norm(part, "norm1", x)
        q, k, v = (y @ part["attn.qkv.weight"].T + part["attn.qkv.bias"]).split(WIDTH, dim=1)
        q = q + 2.0 * (y @ part["attn.lora_A_q"].T) @ part["attn.lora_B_q"].T
        v = v + 2.0 * (y @ part["attn.lora_A_v"].T) @ part["attn.lora_B_v"].T
        y = attend(q, k, v, heads) @ part["attn.proj.weight"].T + part["attn.proj.bias"]
        x = x + part["ls1.gamma"] * y
        y = functional.gelu(norm(part, "norm2", x) @ part["mlp.fc1.weight"].T + part["mlp.fc1.bias"])
        x = x + part["ls2.gamma"] * (y @ part["mlp.fc2.weight"].T + part["mlp.fc2.bias"])
    return norm(s, "norm", x)[1:]


def picture() -> Tensor:
    return torch.randn(3, 28, 28, generator=torch.Generator().manual_seed(3))


def test_expllm_sees_what_the_released_tower_sees() -> None:
    state = expllm_state()
    done = import_checkpoint(state, format="expllm", scale="tiny")
    assert done.report.unused == done.report.missing == () and done.system == "expllm"
    model = done.model
    assert isinstance(model, FacialLM) and not model.training
    seen = dinov2(state, picture())
    rows = functional.gelu(seen @ state["mm_projector.0.weight"].T + state["mm_projector.0.bias"])
    rows = rows @ state["mm_projector.2.weight"].T + state["mm_projector.2.bias"]
    with torch.no_grad():
        torch.testing.assert_close(
            model.model.project("image", picture()[None])[0], rows, atol=1e-5, rtol=1e-5
        )
    # 2 layers x (q, v) in the decoder and in the tower
    assert len(done.report.merged) == 8
    query = model.state_dict()["model.language_model.layers.1.self_attn.q_proj.weight"]
    stem = "model.layers.1.self_attn.q_proj."
    expected = state[f"{stem}weight"] + 2.0 * state[f"{stem}lora_B"] @ state[f"{stem}lora_A"]
    torch.testing.assert_close(query, expected)


def test_expllm_keeps_adapters_where_the_model_has_some() -> None:
    """Adapted and merged models answer alike."""
    state = expllm_state()
    adapted = FacialLM(expllm.configure("tiny")).eval()
    prepare(adapted, expllm.SYSTEM.stages["code-rafdb"])
    report = import_weights(adapted, state, "expllm")
    assert report.merged == report.unused == report.missing == ()
    assert sum(".lora_" in key for key in report.loaded) == 16
    merged = import_checkpoint(state, format="expllm", scale="tiny").model
    ids = torch.tensor([[1, -200, -200, -200, -200, 7, 8]])
    with torch.no_grad():
        got, expected = (
            model.eval()(input_ids=ids, evidence={"image": picture()[None]}).logits
            for model in (adapted, merged)
        )
    torch.testing.assert_close(got, expected, atol=1e-5, rtol=1e-5)


@pytest.mark.parametrize("kind", ["shards", "pickled"])
def test_expllm_from_a_folder(kind: str, tmp_path: Path) -> None:
    """Shards with an index, as the Trainer leaves them; what else it leaves is not read."""
    state = expllm_state()
    keys = sorted(state)
    halves = [{key: state[key] for key in keys[::2]}, {key: state[key] for key in keys[1::2]}]
    stem, ending = ("model", "safetensors") if kind == "shards" else ("pytorch_model", "bin")
    names = [f"{stem}-0000{place}-of-00002.{ending}" for place in (1, 2)]
    for name, half in zip(names, halves, strict=True):
        save_file(half, tmp_path / name) if kind == "shards" else torch.save(half, tmp_path / name)
    index = {key: name for name, half in zip(names, halves, strict=True) for key in half}
    (tmp_path / f"{stem}.{ending}.index.json").write_text(json.dumps({"weight_map": index}))
    (tmp_path / "training_args.bin").write_bytes(b"pickled classes")
    (tmp_path / "optimizer.pt").write_bytes(b"")
    done = import_checkpoint(tmp_path, format="expllm", scale="tiny", dtype=torch.bfloat16)
    expected = import_checkpoint(state, format="expllm", scale="tiny").model.state_dict()
    for key, value in done.model.state_dict().items():
        assert value.dtype == torch.bfloat16
        torch.testing.assert_close(value, expected[key].bfloat16(), msg=key)
    (tmp_path / names[1]).unlink()
    with pytest.raises(MissingWeights, match=names[1]):
        import_checkpoint(tmp_path, format="expllm", scale="tiny")


def llama_vid_state(tower: bool = True) -> State:
    w, inner = WIDTH, 24
    at = "model.vlm_att_"
    shapes = llama_shapes()
    shapes |= {"model.mm_projector.0.weight": (DECODER, w), "model.mm_projector.0.bias": (DECODER,)}
    shapes |= {"model.mm_projector.2.weight": (DECODER, DECODER), "model.mm_projector.2.bias": (DECODER,)}
    shapes |= {f"{at}query": (1, 3, w), f"{at}ln.weight": (w,), f"{at}ln.bias": (w,)}
    for name, out in (("projector", w), ("key_projector", w), ("val_projector", DECODER)):
        shapes |= {f"{at}{name}.weight": (out, w), f"{at}{name}.bias": (out,)}
    bert = f"{at}encoder.bert."
    shapes |= {
        f"{bert}embeddings.word_embeddings.weight": (60, w),
        f"{bert}embeddings.position_embeddings.weight": (64, w),
        f"{bert}embeddings.position_ids": (1, 64),
        f"{bert}embeddings.LayerNorm.weight": (w,),
        f"{bert}embeddings.LayerNorm.bias": (w,),
    }
    for layer in range(2):
        start = f"{bert}encoder.layer.{layer}."
        kinds = ["attention", "crossattention"] if layer == 0 else ["attention"]
        dense = [(f"{kind}.self.{name}", w, w) for kind in kinds for name in ("query", "key", "value")]
        dense += [(f"{kind}.output.dense", w, w) for kind in kinds]
        dense += [(f"intermediate{end}.dense", inner, w) for end in ("", "_query")]
        dense += [(f"output{end}.dense", w, inner) for end in ("", "_query")]
        norms = [f"{kind}.output" for kind in kinds] + ["output", "output_query"]
        for name, out, inward in dense:
            shapes |= {f"{start}{name}.weight": (out, inward), f"{start}{name}.bias": (out,)}
        for name in norms:
            shapes |= {f"{start}{name}.LayerNorm.weight": (w,), f"{start}{name}.LayerNorm.bias": (w,)}
    return random_state({**shapes, **(eva_shapes("model.vision_tower.vision_tower.") if tower else {})})


def eva_shapes(start: str, blocks: int = 2) -> dict[str, tuple[int, ...]]:
    w, inner = WIDTH, 24
    shapes: dict[str, tuple[int, ...]] = {
        f"{start}cls_token": (1, 1, w),
        f"{start}pos_embed": (1, 5, w),
        f"{start}patch_embed.proj.weight": (w, 3, 14, 14),
        f"{start}patch_embed.proj.bias": (w,),
    }
    for block in range(blocks):
        stem = f"{start}blocks.{block}."
        shapes |= {f"{stem}attn.{name}_bias": (w,) for name in "qv"}
        shapes |= {f"{stem}attn.qkv.weight": (3 * w, w)}
        for name, out, inward in (("attn.proj", w, w), ("mlp.fc1", inner, w), ("mlp.fc2", w, inner)):
            shapes |= {f"{stem}{name}.weight": (out, inward), f"{stem}{name}.bias": (out,)}
        for name in ("norm1", "norm2"):
            shapes |= {f"{stem}{name}.weight": (w,), f"{stem}{name}.bias": (w,)}
    return shapes


def eva(state: State, pixels: Tensor, heads: int = 2) -> Tensor:
    """Rows after the last block of EVA-CLIP, class token first; keys have no bias, and no norm follows."""
    start = "model.vision_tower.vision_tower."
    s = {key.removeprefix(start): value for key, value in state.items() if key.startswith(start)}
    x = torch.cat([s["cls_token"][0], patches_of(s, "patch_embed.proj", pixels)]) + s["pos_embed"][0]
    for block in range(2):
        part = {
            key.removeprefix(f"blocks.{block}."): value
            for key, value in s.items()
            if key.startswith(f"blocks.{block}.")
        }
        q, k, v = (norm(part, "norm1", x) @ part["attn.qkv.weight"].T).split(WIDTH, dim=1)
        y = attend(q + part["attn.q_bias"], k, v + part["attn.v_bias"], heads)
        x = x + y @ part["attn.proj.weight"].T + part["attn.proj.bias"]
        y = functional.gelu(norm(part, "norm2", x) @ part["mlp.fc1.weight"].T + part["mlp.fc1.bias"])
        x = x + y @ part["mlp.fc2.weight"].T + part["mlp.fc2.bias"]
    return x


def test_llama_vid_makes_the_released_tokens() -> None:
    """Context and content token of one frame, from the published keys; the Q-Former itself is transformers'."""
    state = llama_vid_state()
    done = import_checkpoint(state, format="llama-vid", scale="tiny")
    assert done.report.unused == done.report.missing == ()
    model = done.model
    assert isinstance(model, FacialLM)
    clues = model.model.encoders["image"]
    ids = torch.tensor([[3, 4, 5]])
    seen = eva(state, picture())
    with torch.no_grad():
        torch.testing.assert_close(clues.tower(picture()[None])[0], seen, atol=1e-5, rtol=1e-5)
        queries = clues.aggregator.refined(seen[None], None, ids, torch.ones_like(ids))[0]
        got = clues(picture()[None], ids, torch.ones_like(ids))[0]

    def linear(name: str, x: Tensor) -> Tensor:
        return x @ state[f"model.{name}.weight"].T + state[f"model.{name}.bias"]

    rows = seen[1:]
    scores = linear("vlm_att_projector", queries) @ linear("vlm_att_key_projector", rows).T / WIDTH**0.5
    context = linear("vlm_att_val_projector", (scores.softmax(dim=-1) @ rows).mean(0))
    content = linear("mm_projector.2", functional.gelu(linear("mm_projector.0", rows.mean(0))))
    torch.testing.assert_close(got, torch.stack([context, content]), atol=1e-5, rtol=1e-5)


def test_llama_vid_every_key_of_the_qformer_lands() -> None:
    state = llama_vid_state()
    own = import_checkpoint(state, format="llama-vid", scale="tiny").model.state_dict()
    stem = "model.encoders.image.aggregator."
    for theirs, ours in (
        ("query", "queries"),
        ("ln.bias", "norm.bias"),
        ("encoder.bert.embeddings.LayerNorm.weight", "qformer.embeddings.layernorm.weight"),
        ("encoder.bert.embeddings.word_embeddings.weight", "qformer.embeddings.word_embeddings.weight"),
        ("encoder.bert.encoder.layer.0.crossattention.self.key.weight",
         "qformer.encoder.layer.0.crossattention.attention.key.weight"),
        ("encoder.bert.encoder.layer.1.attention.output.dense.bias",
         "qformer.encoder.layer.1.attention.output.dense.bias"),
        ("encoder.bert.encoder.layer.1.output_query.LayerNorm.bias",
         "qformer.encoder.layer.1.output_query.LayerNorm.bias"),
    ):  # fmt: skip
        assert torch.equal(own[stem + ours], state[f"model.vlm_att_{theirs}"]), theirs


def test_llama_vid_takes_its_tower_from_a_file_of_its_own(tmp_path: Path) -> None:
    """The tower's file has a fortieth block and final layers, which LLaMA-VID cuts off."""
    tower = random_state(eva_shapes("", blocks=3), seed=2)
    torch.save(tower, tmp_path / "eva_vit_g.pth")
    bare = llama_vid_state(tower=False)
    with pytest.raises(MissingWeights, match=r"eva_vit_g\.pth"):
        import_checkpoint(bare, format="llama-vid", scale="tiny")
    done = import_checkpoint([bare, tmp_path / "eva_vit_g.pth"], format="llama-vid", scale="tiny")
    assert done.report.missing == ()
    assert done.report.unused and all(key.startswith("blocks.2.") for key in done.report.unused)
    own = done.model.state_dict()["model.encoders.image.tower.model.encoder.layers.1.self_attn.qkv.bias"]
    expected = [tower["blocks.1.attn.q_bias"], torch.zeros(WIDTH), tower["blocks.1.attn.v_bias"]]
    assert torch.equal(own, torch.cat(expected))
    del tower["blocks.1.attn.v_bias"]
    with pytest.raises(MissingWeights, match=r"blocks\.1\.attn with one of q_bias and v_bias"):
        import_checkpoint([bare, tower], format="llama-vid", scale="tiny")


def test_the_tower_s_last_norm_is_missed_where_it_is_read() -> None:
    """LLaMA-VID has none; rows from before it are EMO-LLaMA's default, whatever makes the clue."""
    state, norm = llama_vid_state(), "model.encoders.image.tower.model.post_layernorm.weight"
    options: dict[str, object] = {"priors": "all", "generation": "paper"}
    done = import_checkpoint(state, format="llama-vid", scale="tiny", options=options, partial=True)
    assert norm not in done.report.missing
    options["layer"] = "final"
    done = import_checkpoint(state, format="llama-vid", scale="tiny", options=options, partial=True)
    assert norm in done.report.missing


def test_emo_llama_starts_from_llama_vid() -> None:
    """What LLaMA-VID has no part for starts anew and is named; so does a model that was built before."""
    state = llama_vid_state()
    done = import_checkpoint(state, format="llama-vid", scale="tiny", options={"priors": "all"}, partial=True)
    assert done.report.unused == () and done.options["generation"] == "llama-vid"
    parts = {key.removeprefix("model.encoders.image.").split(".0")[0] for key in done.report.missing}
    assert {"aggregator.face.weight", "mining.own.attention.in_proj_weight", "projectors.landmarks"} <= parts
    weights = done.model.state_dict()
    assert weights["model.encoders.image.mining.own.attention.in_proj_weight"].std() > 0.01
    again = FacialLM(done.model.config)  # type: ignore[arg-type]
    report = import_checkpoint(state, format="llama-vid", model=again, partial=True).report
    assert report.loaded == done.report.loaded
    assert all(torch.equal(again.state_dict()[key], weights[key]) for key in report.loaded)
    with pytest.raises(MissingWeights, match="aggregator"):
        import_checkpoint(state, format="llama-vid", scale="tiny", options={"priors": "all"})


def test_emola_on_top_of_llava() -> None:
    """An adapter without its base is refused; with it, adapters are merged into LLaVA's weights."""
    llava = random_state({**llama_shapes(), **clip_shapes()})
    stem = "base_model.model.model.layers.0.mlp.down_proj.lora_"
    adapter = random_state(
        {
            f"{stem}A.weight": (4, 48),
            f"{stem}B.weight": (DECODER, 4),
            "base_model.model.model.landmark_feature_projector.0.weight": (DECODER, 212),
            "base_model.model.model.landmark_feature_projector.0.bias": (DECODER,),
            "base_model.model.model.landmark_feature_projector.2.weight": (DECODER, DECODER),
            "base_model.model.model.landmark_feature_projector.2.bias": (DECODER,),
        },
        seed=4,
    )
    with pytest.raises(MissingWeights, match="base="):
        import_checkpoint(adapter, format="emola", scale="tiny")
    done = import_checkpoint(adapter, format="emola", scale="tiny", base=llava)
    name = "model.language_model.layers.0.mlp.down_proj.weight"
    assert done.report.merged == (name,) and done.report.missing == done.report.unused == ()
    expected = (
        llava["model.layers.0.mlp.down_proj.weight"]
        + 2.0 * adapter[f"{stem}B.weight"] @ adapter[f"{stem}A.weight"]
    )
    torch.testing.assert_close(done.model.state_dict()[name], expected)
    other = "model.language_model.layers.1.mlp.down_proj.weight"
    assert torch.equal(done.model.state_dict()[other], llava["model.layers.1.mlp.down_proj.weight"])
    del adapter[f"{stem}B.weight"]
    with pytest.raises(MissingWeights, match="half an adapter"):
        import_checkpoint(adapter, format="emola", scale="tiny", base=llava)
    with pytest.raises(BadConfig, match="its checkpoint is complete"):
        import_checkpoint(llava, format="llava-1.5", scale="tiny", base=llava)


def clip_shapes() -> dict[str, tuple[int, ...]]:
    w, start = WIDTH, "model.vision_tower.vision_tower.vision_model."
    shapes: dict[str, tuple[int, ...]] = {
        f"{start}embeddings.class_embedding": (w,),
        f"{start}embeddings.position_ids": (1, 5),
        f"{start}embeddings.patch_embedding.weight": (w, 3, 14, 14),
        f"{start}embeddings.position_embedding.weight": (5, w),
        "model.mm_projector.0.weight": (DECODER, w),
        "model.mm_projector.0.bias": (DECODER,),
        "model.mm_projector.2.weight": (DECODER, DECODER),
        "model.mm_projector.2.bias": (DECODER,),
    }
    norms = [f"{start}pre_layrnorm", f"{start}post_layernorm"]
    for layer in range(2):
        stem = f"{start}encoder.layers.{layer}."
        for name, out, inward in (
            *((f"self_attn.{part}_proj", w, w) for part in ("q", "k", "v", "out")),
            ("mlp.fc1", 24, w),
            ("mlp.fc2", w, 24),
        ):
            shapes |= {f"{stem}{name}.weight": (out, inward), f"{stem}{name}.bias": (out,)}
        norms += [f"{stem}layer_norm1", f"{stem}layer_norm2"]
    return shapes | {f"{name}.{leaf}": (w,) for name in norms for leaf in ("weight", "bias")}


def test_the_vocabulary_is_the_checkpoints() -> None:
    """LLaVA's HF checkpoint has 64 more rows than Vicuna."""
    state = random_state({**llama_shapes(), **clip_shapes()})
    for key in ("model.embed_tokens.weight", "lm_head.weight"):
        state[key] = torch.cat([state[key], torch.ones(5, DECODER)])
    model = import_checkpoint(state, format="llava-1.5", scale="tiny").model
    assert isinstance(model, FacialLM) and model.config.text_config.vocab_size == VOCABULARY + 5
    assert torch.equal(model.lm_head.weight[-5:], torch.ones(5, DECODER))


def test_bad_checkpoints_say_what_to_do(tmp_path: Path) -> None:
    with pytest.raises(BadConfig, match="facexformer"):
        import_checkpoint({}, format="openface")
    with pytest.raises(MissingWeights, match=r"where no weight file is.*Download the published weights"):
        import_checkpoint(tmp_path, format="expllm", scale="tiny")
    (tmp_path / "model.safetensors.index.json").write_text('{"weights": []}')
    with pytest.raises(MissingWeights, match="no index of shards"):
        import_checkpoint(tmp_path, format="expllm", scale="tiny")
    state = expllm_state()
    state["vision_model.blocks.0.attn.qkv.weight"] = torch.zeros(3 * WIDTH, 4)
    with pytest.raises(BadInput, match=r"q_proj\.weight \(16, 4\) for \(16, 16\)"):
        import_checkpoint(state, format="expllm", scale="tiny")
    state = expllm_state()
    state["model.layers.0.self_attn.q_proj.lora_A"] = torch.zeros(8, 5)
    with pytest.raises(BadInput, match=r"A \(8, 5\)"):
        import_checkpoint(state, format="expllm", scale="tiny")
    state = expllm_state()
    del state["mm_projector.2.bias"]
    with pytest.raises(MissingWeights, match=r"projectors\.image\.2\.bias.*starhiking/ExpLLM"):
        import_checkpoint(state, format="expllm", scale="tiny")
    with pytest.raises(BadConfig, match="paper"):
        import_checkpoint(state, format="expllm", scale="huge")


@pytest.mark.slow
def test_full_width_shapes_of_expllm_match() -> None:
    """Every published key of the 7B checkpoint has its place, by shape, on the meta device."""
    from mien.models.formats.importers import LAYOUTS
    from mien.models.formats.layouts import own_keys

    shapes = {
        **llama_shapes(4096, 32, 11008, 4096),
        **expllm_shapes(1024, 4096, 24, 8, 37 * 37, 14),
    }
    shapes["model.embed_tokens.weight"] = shapes["lm_head.weight"] = (32000, 4096)
    with torch.device("meta"):
        own = {
            key: tuple(value.shape) for key, value in FacialLM(expllm.configure("paper")).state_dict().items()
        }
    filled: dict[str, tuple[int, ...]] = {}
    for key, shape in shapes.items():
        names = next(filter(None, (own_keys(rule, key) for rule in LAYOUTS["expllm"].rules)), ())
        if "lora_" not in key and "inv_freq" not in key:
            filled |= {name: (shape[0] // len(names), *shape[1:]) for name in names}
    assert filled == own
