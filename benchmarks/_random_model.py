"""Systems with random weights at any scale, built without a second copy in memory, and evidence for them."""

from __future__ import annotations

from typing import Any

import torch

from mien.models.composite.facial_lm import FacialLM, FacialLMConfig

_SIDES = {"paper": {"emola": 336}, "small": {}}
_SIDE = {"paper": 224, "small": 112}
_ONES = ("norm.weight", "running_var", "affine_alpha")


def evidence_of(
    name: str, generator: torch.Generator, scale: str = "paper", count: int = 1
) -> dict[str, Any]:
    """Random evidence of ``count`` faces for a system at scale paper or small."""

    def random(*shape: int) -> torch.Tensor:
        return torch.randn(count, *shape, generator=generator)

    if name == "facephi":
        return {"landmarks": random(478, 3)}
    side = _SIDES[scale].get(name, _SIDE[scale])
    if name == "emo-llama":
        ids = torch.randint(5, 60, (count, 16), generator=generator)
        rows = {
            "face": random(56 * 56 if scale == "paper" else 49, 256),
            "landmarks": random(68, 2).clamp(-1, 1),
        }
        return {"image": {"pixels": random(3, side, side), "instruction_ids": ids,
                          "instruction_mask": torch.ones_like(ids), **rows}}  # fmt: skip
    found = {"image": random(3, side, side)}
    return {**found, "prior": random(212)} if name == "emola" else found


def placeholders(config: FacialLMConfig) -> list[int]:
    """The tokens that one face's evidence fills, all evidence in turn."""
    return [entry["token_id"] for entry in config.evidence.values() for _ in range(entry["rows"])]


def random_model(
    config: FacialLMConfig, device: str = "cpu", dtype: torch.dtype = torch.bfloat16
) -> FacialLM:
    """A composite of small random weights.

    One block of random numbers stands in every tensor: drawing billions would take longer than all the rest.
    """
    with torch.device("meta"):
        model = FacialLM(config)
    model = model.to(dtype).to_empty(device=device)
    block = torch.empty(1_000_003).uniform_(-0.03, 0.03, generator=torch.Generator().manual_seed(0))
    block = block.to(device, dtype)
    with torch.no_grad():
        for key, tensor in model.state_dict().items():
            if not tensor.is_floating_point():
                tensor.zero_()
            elif key.endswith(_ONES):
                tensor.fill_(1.0)
            else:
                for part in tensor.view(-1).split(len(block)):
                    part.copy_(block[: len(part)])
    # What is computed and not stored came back empty from the meta device.
    rotary = model.model.language_model.rotary_emb
    model.model.language_model.rotary_emb = type(rotary)(config=config.text_config).to(device)
    for part in model.modules():
        for name, buffer in part.named_buffers(recurse=False):
            if name == "position_ids":
                buffer.copy_(torch.arange(buffer.numel()).reshape(buffer.shape))
    return model
