"""Teaches `PocketExpression` to tell the decoder a belief about the emotion; projectors and decoder stay frozen.

The likelihood read-out is to give the belief back, whatever the pixels' own rows say: so beliefs are drawn, often
another face's. What the decoder says of AUs and its explanations are held to what they are without being told.
"""

from __future__ import annotations

import random
from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np
import torch
import torch.nn.functional as F
from tokenizers import Tokenizer
from torch import Tensor
from tqdm import tqdm  # type: ignore[import-untyped]

from mien.core.emotions import EMOTIONS
from mien.core.nouns import FloatArray
from mien.models.composite.facial_lm import FacialLM
from mien.models.pocket.expression import PocketExpression
from mien.models.pocket.prompt import EVIDENCE, SPECIAL_TOKENS, TOLD_ROWS
from mien.train.pocket.language import TokenBatches, collate_text
from mien.train.pocket.language_data import Faces, Item, make_turns, tokenise
from mien.train.pocket.readout import asked
from mien.train.pocket.readout_stage import readout_shares
from mien.train.pocket.state import StageState

__all__ = ["BeliefStage", "draw_beliefs", "kept_dialogues", "read_told", "run_belief_stage"]

_EVIDENCE_IDS = [SPECIAL_TOKENS.index(token) for token, _ in EVIDENCE.values()]
_KEPT = ("explanation", "au-list", "au-binary", "au-level", "au-intensity", "au-list")
_SAVED_EVERY = 25


@dataclass(frozen=True, slots=True)
class BeliefStage:
    """Hyper-parameters."""

    steps: int = 350
    learning_rate: float = 8e-3
    batch_size: int = 64
    weight_decay: float = 0.01
    rarity: float = 0.5
    """As in `ReadoutStage`."""
    items: int = 2400
    """Dialogues about AUs and explanations that are to stay as they are."""
    batch_tokens: int = 768
    keep: float = 1.0
    """Weight of what other answers may change."""
    seed: int = 1


def draw_beliefs(votes: Tensor, head: Tensor) -> Tensor:
    """(B, 8) log probabilities a classifier might give: smoothed votes, most of them changed against the pixels.

    A third is mixed with another face's, a third leads with an emotion of which each is as likely.

    Args:
        votes: (B, 8) raters' distributions.
        head: (B, 8) logits of the evidence head.
    """
    count = len(votes)
    smooth = torch.empty(count, 1).uniform_(0.02, 0.25)
    belief = (1 - smooth) * votes + smooth * head.softmax(dim=1)
    kind = torch.rand(count, 1)
    leading = F.one_hot(torch.randint(len(EMOTIONS), (count,)), len(EMOTIONS)).float()
    other = torch.where(kind < 1 / 3, belief[torch.randperm(count)], leading)
    mixed = torch.rand(count, 1) * (kind < 2 / 3)
    belief = (1 - mixed) * belief + mixed * other
    return F.log_softmax(belief.clamp(min=1e-4).log() / torch.empty(count, 1).uniform_(0.8, 1.6), dim=1)


def kept_dialogues(faces: Faces, tokenizer: Tokenizer, stage: BeliefStage) -> list[Item]:
    """Dialogues about `faces` whose last answers are to stay as they are."""
    items = []
    for number in range(stage.items):
        rng = random.Random(stage.seed * 2_000_003 + number)
        face, task = rng.randrange(len(faces)), _KEPT[number % len(_KEPT)]
        items.append(_last_answer(tokenise(tokenizer, make_turns(faces, face, task, rng), face)))
    return items


def _last_answer(item: Item) -> Item:
    """The same dialogue, learnt from its last answer alone: the label before an explanation is given."""
    asked_last = np.flatnonzero(item.ids == SPECIAL_TOKENS.index("<user>"))[-1]
    return replace(item, learnt=item.learnt & (np.arange(len(item.ids)) > asked_last))


def run_belief_stage(
    net: PocketExpression,
    model: FacialLM,
    tokenizer: Tokenizer,
    stage: BeliefStage,
    rows: FloatArray,
    head: FloatArray,
    votes: FloatArray,
    items: Sequence[Item],
    folder: Path,
) -> PocketExpression:
    """Train the teller of `net`; a killed run goes on from its last state in `folder`. Returns `net`.

    Args:
        net: with a trained classifier, which stays as it is.
        model: the finished composite, which is not changed.
        tokenizer: its words.
        stage: numbers.
        rows: (N, 10, D) evidence rows of faces with a crop, behind the projectors.
        head: (N, 8) logits of the evidence head.
        votes: (N, 8) raters' distributions, zeros where there are none.
        items: of `kept_dialogues`, about the same faces.
        folder: holds the state.
    """
    model.eval().requires_grad_(False)
    ids, words = asked(tokenizer)
    teller = net.teller.requires_grad_(True)
    optimiser = torch.optim.AdamW(
        teller.parameters(), lr=stage.learning_rate, weight_decay=stage.weight_decay
    )
    schedule = torch.optim.lr_scheduler.OneCycleLR(
        optimiser, stage.learning_rate, total_steps=stage.steps, pct_start=0.1
    )
    state = StageState(folder / "belief.state", "step", teller=teller, optimiser=optimiser, schedule=schedule)
    shares = readout_shares(votes, stage.rarity)
    batches = TokenBatches(items, stage.batch_tokens, stage.seed)

    def told(faces: Sequence[int], belief: Tensor) -> Tensor:
        row = torch.from_numpy(rows[list(faces)].astype(np.float32))
        added = net.tell(belief, torch.from_numpy(head[list(faces)]))
        return torch.cat([row[:, :TOLD_ROWS] + added, row[:, TOLD_ROWS:]], dim=1)

    def drawn(faces: Sequence[int]) -> Tensor:
        return draw_beliefs(torch.from_numpy(votes[list(faces)]), torch.from_numpy(head[list(faces)]))

    for step in (shown := tqdm(range(state.done, stage.steps), "belief", stage.steps, initial=state.done)):
        torch.manual_seed(stage.seed * 100_003 + step)
        faces = np.random.default_rng([stage.seed, step]).choice(len(votes), stage.batch_size, p=shares)
        wanted = drawn(faces.tolist())
        said = read_told(model, ids, told(faces.tolist(), wanted))[:, words]
        loss = (wanted.exp() * (wanted - said)).sum(dim=1).mean()
        talk = batches[step % len(batches)]
        about = [item.face for item in talk]
        before = torch.from_numpy(rows[about].astype(np.float32))
        kept = _changed(model, collate_text(talk), before, told(about, drawn(about)))
        optimiser.zero_grad()
        (loss + stage.keep * kept).backward()
        optimiser.step()
        schedule.step()
        shown.set_postfix(belief=round(float(loss.detach()), 3), kept=round(float(kept.detach()), 3))
        if (step + 1) % _SAVED_EVERY == 0 or step + 1 == stage.steps:
            state.save(step + 1)
    return net


def read_told(model: FacialLM, ids: Tensor, rows: Tensor) -> Tensor:
    """(B, V) log probabilities of the word after the prompt `ids` (T,), given (B, 10, D) evidence rows."""
    text = ids.expand(len(rows), -1)
    out = model(inputs_embeds=_embed(model, text, rows), logits_to_keep=1)
    return F.log_softmax(out.logits[:, -1].float(), dim=1)


def _embed(model: FacialLM, ids: Tensor, rows: Tensor) -> Tensor:
    embeds: Tensor = model.get_input_embeddings()(ids).clone()
    places = torch.isin(ids, torch.tensor(_EVIDENCE_IDS))
    embeds[places] = rows.flatten(0, 1)
    return embeds


def _changed(model: FacialLM, text: dict[str, Tensor], before: Tensor, after: Tensor) -> Tensor:
    """KL divergence of the answers' words with rows `after` from those with rows `before`, per word."""
    counts = text["labels"][:, 1:] >= 0
    said = []
    for rows in (before, after):
        embeds = _embed(model, text["input_ids"], rows)
        out = model(inputs_embeds=embeds, attention_mask=text["attention_mask"])
        said.append(F.log_softmax(out.logits[:, :-1][counts].float(), dim=1))
    return F.kl_div(said[1], said[0], log_target=True, reduction="batchmean")
