"""Equations of the papers that the composite itself computes, against plain numpy."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from torch import nn

from mien.models.composite.facial_lm import FacialLM
from mien.models.composite.processing import IGNORED
from mien.models.composite.systems import Lora, Stage, prepare
from mien.models.facephi import system as facephi


def test_loss_of_answer_tokens() -> None:
    """FacePhi, Eq. 2 and 3, and EmoLA, Eq. 2: -log p of each answer token given all before; mean over the tokens."""
    torch.manual_seed(0)
    model = FacialLM(facephi.configure("tiny")).eval()
    ids = torch.tensor([[1, 5, -200, 7, 8, 9, 1], [1, 6, -200, 7, 4, 1, 0]])
    labels = torch.full_like(ids, IGNORED)
    labels[0, 4:], labels[1, 4:6] = ids[0, 4:], ids[1, 4:6]
    mask = torch.ones_like(ids)
    mask[1, 6] = 0
    evidence = {"landmarks": torch.randn(2, 478, 3)}
    with torch.no_grad():
        output = model(input_ids=ids, attention_mask=mask, evidence=evidence, labels=labels)
    logits = output.logits.double().numpy()
    costs = []
    for row in range(2):
        for place in range(1, ids.shape[1]):
            if labels[row, place] != IGNORED:
                before = logits[row, place - 1]
                probabilities = np.exp(before - before.max())
                costs.append(-np.log(probabilities[labels[row, place]] / probabilities.sum()))
    assert len(costs) == 5
    assert float(output.loss) == pytest.approx(float(np.mean(costs)), rel=1e-5)


class _One(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.layer = nn.Linear(6, 5, bias=False)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        y: torch.Tensor = self.layer(x)
        return y


def test_low_rank_adapters() -> None:
    """AU-LLaVA, Eq. 3, and ExpLLM, Eq. 1: W x + (alpha / r) B A x, and W x before training."""
    torch.manual_seed(0)
    model, x = _One(), torch.randn(3, 6)
    weight = model.layer.weight.detach().double().numpy().copy()
    names = prepare(model, Stage((), 1e-4, 1, 1, lora=Lora(("layer",), rank=2, alpha=6, dropout=0.0)))
    assert names == ["layer.lora_A.default.weight", "layer.lora_B.default.weight"]
    inputs = x.double().numpy()
    with torch.no_grad():
        np.testing.assert_allclose(model(x).numpy(), inputs @ weight.T, atol=1e-6)
        state = model.state_dict()
        state["layer.lora_B.default.weight"].normal_()
        a, b = (state[f"layer.lora_{kind}.default.weight"].double().numpy() for kind in "AB")
        expected = inputs @ (weight + 6 / 2 * b @ a).T
        np.testing.assert_allclose(model(x).numpy(), expected, atol=1e-5)
