"""Stages that train an evidence encoder alone: by contrast with texts (FacePhi, Eq. 4), or as a classifier.

Both work on the encoder of a `FacialLM` in place; the head that they add does not stay with it.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
from tokenizers import Tokenizer
from torch import Tensor, nn
from torch.nn import functional
from torch.utils.data import Dataset

from mien.core.aus import AU_SETS, level_intensity
from mien.core.emotions import EMOTIONS
from mien.core.errors import BadConfig
from mien.core.nouns import Labels
from mien.layers.alignment import ContrastiveAlignment, TextTower
from mien.models.composite.encoders import encode_items
from mien.models.composite.evidence_inputs import Inputs, evidence_inputs
from mien.models.composite.facial_lm import EvidenceInput, FacialLM, FacialLMConfig
from mien.models.composite.text_tower import OpenedTower
from mien.train import processes
from mien.train.data.augmented import augmented
from mien.train.data.faces import Faces
from mien.train.data.picture_changes import changed_frames

__all__ = [
    "TEXT_TOWER",
    "AlignmentTask",
    "ClassificationTask",
    "FaceBatches",
    "FaceRowsOf",
    "emotion_frequency",
    "emotion_target",
    "emotions_told",
]

UNITS = AU_SETS["pocket"]
_BATCH = 64
TEXT_TOWER: Mapping[str, Any] = {
    "hidden_size": 128, "intermediate_size": 256, "num_hidden_layers": 2, "num_attention_heads": 4,
    "projection_dim": 128, "max_position_embeddings": 77, "bos_token_id": 1, "eos_token_id": 1, "pad_token_id": 0,
}  # fmt: skip
"""The text tower of alignments that start from nothing. ULIP's, which FacePhi takes, comes with its weights."""


def emotion_target(labels: Labels) -> Tensor:
    """(8,) raters' shares, or one-hot; zeros where neither is known."""
    target = torch.zeros(len(EMOTIONS))
    for name, count in (labels.votes or {}).items():
        if name in EMOTIONS:
            target[EMOTIONS.index(name)] = float(count)
    if not bool(target.any()) and labels.emotion in EMOTIONS:
        target[EMOTIONS.index(labels.emotion)] = 1.0
    return target / target.sum().clamp(min=1e-6)


class FaceRowsOf(Dataset[int]):
    """Row numbers of faces, one item each."""

    def __init__(self, rows: Sequence[int]) -> None:
        self.rows = list(rows)

    def __len__(self) -> int:
        return len(self.rows)

    def __getitem__(self, index: int) -> int:
        return self.rows[index]


@dataclass(frozen=True, slots=True)
class FaceBatches:
    """A batch of faces for one encoder: what it reads, and what is known of each face. Of a clip, the middle frame."""

    config: FacialLMConfig
    name: str
    inputs: Inputs
    faces: Faces
    augment: bool | str = False
    """As in `mien.train.data.instructions.InstructionCollator`."""
    mirror: bool = True
    """Whether changed faces may be mirrored too."""
    question: str | None = None
    """What an encoder that reads a question is asked of every face, in the words of ``tokenizer``."""
    tokenizer: Tokenizer | None = None

    def __call__(self, rows: Sequence[int]) -> dict[str, Any]:
        labels = [self.faces.samples[row].labels for row in rows]
        emotion = torch.stack([emotion_target(one) for one in labels])
        units = torch.full((len(rows), len(UNITS)), torch.nan)
        for place, one in enumerate(labels):
            for key, value in _units(one).items():
                units[place, UNITS.index(key)] = value
        return {
            "items": self.read([self.faces.centre(row) for row in rows]),
            "emotion": emotion,
            "units": units,
        }

    def read(self, frames: Sequence[int]) -> EvidenceInput:
        """What the encoder reads of these frames."""
        if isinstance(self.augment, str):
            batch = changed_frames(self.augment, self.faces, frames)
        elif self.augment:
            batch = augmented(self.faces, [(frame,) for frame in frames], [self.mirror] * len(frames))
        else:
            batch = [self.faces.evidence(frame) for frame in frames]
        asked = None if self.question is None else [self.question] * len(batch)
        made = evidence_inputs(self.config, self.inputs, batch, asked, self.tokenizer, [self.name])
        read = made[self.name]
        if self.augment and isinstance(read, Tensor) and read.ndim == 3:
            return jittered(read)
        return read


def jittered(points: Tensor) -> Tensor:
    """(N, P, 3) points a little moved, grown and turned, as ULIP does to its clouds; no point is dropped."""
    count = len(points)
    centre = points.mean(dim=1, keepdim=True)
    size = (points - centre).norm(dim=2).amax(dim=1)[:, None, None]
    angle = torch.randn(count).clamp(-2.0, 2.0) * 0.06
    turn = torch.zeros(count, 3, 3)
    turn[:, 0, 0] = turn[:, 1, 1] = angle.cos()
    turn[:, 0, 1], turn[:, 1, 0], turn[:, 2, 2] = -angle.sin(), angle.sin(), 1.0
    grown = torch.empty(count, 1, 3).uniform_(0.94, 1.06)
    moved: Tensor = centre + (points - centre) @ turn * grown + torch.randn_like(points) * 0.004 * size
    return moved


def _units(labels: Labels) -> dict[str, float]:
    known: dict[str, float] = {key: float(value) for key, value in (labels.au_presence or {}).items()}
    known |= {key: level_intensity(value) for key, value in (labels.au_level or {}).items()}
    known |= dict(labels.au_intensity or {})
    return {key: value for key, value in known.items() if key in UNITS}


class ClassificationTask(nn.Module):
    """An encoder with a linear head on the mean of its rows: 8 emotions by raters' shares, 22 AU intensities.

    Args:
        model: the composite; its encoder is shared.
        name: the evidence.
        rare: power of the inverse frequency that weighs an emotion.
        frequency: (8,) shares of the emotions in the data.
    """

    def __init__(self, model: FacialLM, name: str, frequency: Tensor, rare: float = 0.3) -> None:
        super().__init__()
        self.encoder = model.model.encoders[name]
        self.head = nn.Linear(model.config.evidence[name]["width"], len(EMOTIONS) + len(UNITS))
        weight = frequency.clamp(min=1e-3) ** -rare
        self.register_buffer("weight", weight / (weight * frequency).sum().clamp(min=1e-6))

    def forward(self, items: EvidenceInput, emotion: Tensor, units: Tensor) -> dict[str, Tensor]:
        """The loss, and the logits (N, 8 + 22)."""
        rows = self.encoder(**items) if isinstance(items, Mapping) else self.encoder(items)
        logits = self.head(rows.mean(dim=1) if rows.ndim == 3 else rows).float()
        named = emotion.sum(dim=1) > 0.0
        known = ~units.isnan()
        shares = emotion[named] * self.get_buffer("weight")
        spoken = functional.log_softmax(logits[named, : len(EMOTIONS)], dim=1)
        told = logits[:, len(EMOTIONS) :][known]
        missed = functional.binary_cross_entropy_with_logits(told, units[known], reduction="sum")
        # Means over the faces of all processes; what each adds is averaged over them.
        loss = missed * _share(known) - (shares * spoken).sum() * _share(named)
        return {"loss": loss, "logits": logits}


@torch.no_grad()
def emotions_told(task: ClassificationTask, batches: FaceBatches) -> list[str]:
    """What a trained classifier calls every face of ``batches``."""
    task.eval()
    told: list[str] = []
    for start in range(0, len(batches.faces), _BATCH):
        faces = range(start, min(start + _BATCH, len(batches.faces)))
        rows = encode_items(task.encoder, batches.read([batches.faces.centre(face) for face in faces]))
        likeliest = task.head(rows.mean(dim=1))[:, : len(EMOTIONS)].argmax(dim=1)
        told += [EMOTIONS[place] for place in likeliest.tolist()]
    return told


def _share(counting: Tensor) -> Tensor:
    """What one of those that count weighs in the mean over all processes, for a sum that is then averaged over them."""
    return processes.count() / processes.summed(counting.sum()).clamp(min=1)


class AlignmentTask(nn.Module):
    """An encoder and the texts of the eight emotions, by contrast (FacePhi's first stage).

    Where the published text tower is not at hand, a small one learns along: frozen at random it would hand out eight
    arbitrary points.

    Args:
        model: the composite; its encoder is shared.
        name: the evidence.
        texts: one for each of the eight emotions.
        tokenizer: of these texts, where the tower is a new one.
        target: see `contrastive_loss`.
        opened: text tower with weights, frozen, and its own tokenizer; None for a small one from nothing. An alignment
            that its checkpoint holds goes on from there: projection and temperature are taken over.
    """

    def __init__(
        self,
        model: FacialLM,
        name: str,
        texts: Sequence[str],
        tokenizer: Tokenizer,
        target: str = "pair",
        opened: OpenedTower | None = None,
    ) -> None:
        super().__init__()
        if len(texts) != len(EMOTIONS):
            raise BadConfig(
                got=f"{len(texts)} texts", expected=f"one for each of {', '.join(EMOTIONS)}", fix="Pass eight"
            )
        self.encoder = model.model.encoders[name]
        self.learns_text = opened is None
        if opened is None:
            self.tower = TextTower({**TEXT_TOWER, "vocab_size": tokenizer.get_vocab_size()})
            self.tower.requires_grad_(True)
            # The tower's feature is the state at the first end token, id 1 of our small tokenizers.
            end = int(TEXT_TOWER["eos_token_id"])
            ids = [[*tokenizer.encode(text, add_special_tokens=False).ids, end] for text in texts]
        else:
            self.tower, ids = opened.tower, opened.ids(texts)
        longest = max(len(one) for one in ids)
        padded = torch.tensor([[*one, *[0] * (longest - len(one))] for one in ids])
        self.register_buffer("text_ids", padded, persistent=False)
        self.register_buffer("text_mask", (torch.arange(longest) < torch.tensor([[len(one)] for one in ids])).long(),
                             persistent=False)  # fmt: skip
        width = model.config.evidence[name]["width"]
        self.contrast = ContrastiveAlignment(width, self.tower.width, target)
        if opened is not None and opened.start.keys() >= {"projection", "log_scale"}:
            if opened.start["projection"].shape == self.contrast.projection.shape:
                self.contrast.load_state_dict(dict(opened.start))

    def text_features(self) -> Tensor:
        """(8, d), one row per emotion."""
        if not self.learns_text:
            frozen: Tensor = self.tower(self.text_ids, self.text_mask)
            return frozen
        output = self.tower.model(input_ids=self.text_ids, attention_mask=self.text_mask)
        features: Tensor = output.text_embeds
        return features

    def forward(self, items: EvidenceInput, emotion: Tensor, units: Tensor) -> dict[str, Tensor]:
        """The loss, and the similarity to each emotion's text (N, 8). Faces without an emotion do not count."""
        rows = self.encoder(**items) if isinstance(items, Mapping) else self.encoder(items)
        features = (rows.mean(dim=1) if rows.ndim == 3 else rows).float()
        text = self.text_features().float()
        named = emotion.sum(dim=1) > 0.0
        # Every face is set against those of all processes.
        label = processes.everyones_rows(emotion[named]).argmax(dim=1)
        loss = self.contrast(processes.everyones_rows(features[named]), text[label], label)
        projected = functional.normalize(features @ self.contrast.projection, dim=1)
        return {"loss": loss, "logits": projected @ functional.normalize(text, dim=1).t()}


def emotion_frequency(faces: Faces) -> Tensor:
    """(8,) mean shares of the emotions."""
    targets = torch.stack([emotion_target(sample.labels) for sample in faces.samples])
    named = targets[targets.sum(dim=1) > 0.0]
    return named.mean(dim=0) if len(named) else torch.from_numpy(np.full(len(EMOTIONS), 1 / 8, np.float32))
