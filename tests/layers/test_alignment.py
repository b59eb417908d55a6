"""The contrastive loss against plain numpy, its temperature, targets and a text tower that stays frozen."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from numpy.typing import NDArray

from mien.core.errors import BadConfig, BadInput
from mien.layers.alignment import LOG_SCALE_LIMIT, ContrastiveAlignment, TextTower, contrastive_loss

TOWER = {
    "hidden_size": 16, "intermediate_size": 32, "num_hidden_layers": 2, "num_attention_heads": 2,
    "projection_dim": 12, "vocab_size": 40, "max_position_embeddings": 16,
    "bos_token_id": 1, "eos_token_id": 2, "pad_token_id": 0,
}  # fmt: skip


def features(rows: int, seed: int, width: int = 6) -> torch.Tensor:
    return torch.randn(rows, width, generator=torch.Generator().manual_seed(seed))


def facephi_eq4(w: NDArray[np.float64], t: NDArray[np.float64], tau: float) -> float:
    """FacePhi, Eq. 4, term by term."""
    n = len(w)

    def kappa(i: int, j: int) -> float:
        return float(w[i] @ t[j] / np.linalg.norm(w[i]) / np.linalg.norm(t[j]))

    total = 0.0
    for i in range(n):
        own = np.exp(kappa(i, i) / tau)
        total -= np.log(own / sum(np.exp(kappa(i, j) / tau) for j in range(n)))
        total -= np.log(own / sum(np.exp(kappa(k, i) / tau) for k in range(n)))
    return float(total / (2 * n))


def test_is_equation_4_of_facephi() -> None:
    w, t, tau = features(5, 0), features(5, 1), 0.2
    got = contrastive_loss(w, t, torch.tensor(1.0 / tau).log())
    assert float(got) == pytest.approx(facephi_eq4(w.double().numpy(), t.double().numpy(), tau), rel=1e-5)


def test_equal_texts_have_a_floor_unless_labels_are_known() -> None:
    """8 texts, each 4 times: perfect features still cost ln 4 with pairs; with labels only the spread remains."""
    labels = torch.arange(32) % 8
    perfect = torch.eye(8)[labels]
    scale = torch.tensor(LOG_SCALE_LIMIT)
    pair = contrastive_loss(perfect, perfect, scale)
    assert float(pair) == pytest.approx(np.log(4.0), abs=1e-4)
    perfect = perfect.requires_grad_()
    contrastive_loss(perfect, perfect.detach(), scale, labels).backward()  # type: ignore[no-untyped-call]
    assert perfect.grad is not None and perfect.grad.abs().max() < 1e-4  # at its minimum
    mixed = torch.eye(8)[(labels + 1) % 8]
    wrong = contrastive_loss(mixed, torch.eye(8)[labels], scale, labels)
    assert float(wrong) > float(pair) + 10.0


def test_without_collisions_labels_change_nothing() -> None:
    w, t, scale = features(4, 2), features(4, 3), torch.tensor(1.0)
    torch.testing.assert_close(contrastive_loss(w, t, scale, torch.arange(4)), contrastive_loss(w, t, scale))


@pytest.mark.parametrize(("value", "limit"), [(9.0, LOG_SCALE_LIMIT), (-3.0, 0.0)])
def test_temperature_has_limits_and_a_way_back(value: float, limit: float) -> None:
    w, t = features(4, 4), features(4, 5)
    alignment = ContrastiveAlignment(6, 6)
    with torch.no_grad():
        alignment.log_scale.fill_(value)
    loss = alignment(w, t)
    torch.testing.assert_close(loss, contrastive_loss(w @ alignment.projection, t, torch.tensor(limit)))
    loss.backward()
    assert float(alignment.log_scale.detach()) == pytest.approx(limit)
    assert alignment.log_scale.grad is not None and abs(float(alignment.log_scale.grad)) > 1e-3


def test_aligns_an_encoder_with_a_frozen_tower() -> None:
    torch.manual_seed(0)
    tower, alignment = TextTower(TOWER), ContrastiveAlignment(width=6, text_width=12, target="label")
    assert float(alignment.log_scale.detach()) == pytest.approx(np.log(1 / 0.07))
    ids = torch.tensor([[1, 5, 6, 2, 0], [1, 7, 2, 0, 0], [1, 8, 9, 9, 2]])
    labels = torch.tensor([0, 1, 2, 0, 1, 2])
    text = tower(ids, (ids != 0).long())[labels]
    encoder = torch.nn.Linear(6, 6)
    points, losses = features(6, 6), []
    optimizer = torch.optim.AdamW([*encoder.parameters(), *alignment.parameters()], lr=0.05)
    before = {name: value.clone() for name, value in tower.state_dict().items()}
    for _ in range(15):
        optimizer.zero_grad()
        loss = alignment(encoder(points), text, labels)
        loss.backward()
        optimizer.step()
        losses.append(float(loss.detach()))
    assert losses[-1] < 0.6 * losses[0]
    assert all(p.grad is None and not p.requires_grad for p in tower.parameters())
    assert all(torch.equal(value, before[name]) for name, value in tower.state_dict().items())


def test_padding_of_a_text_changes_nothing() -> None:
    torch.manual_seed(0)
    tower = TextTower(TOWER)
    short = torch.tensor([[1, 5, 6, 2]])
    long = torch.tensor([[1, 5, 6, 2, 0, 0]])
    torch.testing.assert_close(tower(short), tower(long, (long != 0).long()), atol=1e-6, rtol=0.0)


def test_speaks_about_bad_input() -> None:
    with pytest.raises(BadInput, match="one text per evidence"):
        contrastive_loss(features(3, 0), features(2, 0), torch.tensor(1.0))
    with pytest.raises(BadConfig, match="one of pair, label"):
        ContrastiveAlignment(target="class")
    with pytest.raises(BadInput, match="Pass labels"):
        ContrastiveAlignment(6, 6, target="label")(features(2, 0), features(2, 1))
