"""Read-outs that all systems share: label likelihood, arrays by grammar, free text.

Every one works on dialogues that a system has encoded, for a batch of faces. What many of them share is computed once:
the opening that all prompts have in common before any evidence (`Readouts` keeps its cache), the prompt of a face for
all labels, and the words that all labels' answers begin with.
"""

from __future__ import annotations

import copy
from collections.abc import Callable, Collection, Iterator, Mapping, Sequence
from contextlib import contextmanager
from typing import Any, cast

import numpy as np
import numpy.typing as npt
import torch
from tokenizers import Tokenizer
from torch import Tensor
from torch.nn import functional
from transformers import PreTrainedConfig, StoppingCriteria, StoppingCriteriaList
from transformers.cache_utils import DynamicCache

from mien.core.errors import BadConfig, BadInput
from mien.metrics.calibration import Scaling
from mien.models.composite.checks import context_of, generation_options
from mien.models.composite.encoders import like_weights
from mien.models.composite.facial_lm import EvidenceInput, FacialLM
from mien.models.composite.processing import IGNORED, Encoded, collate

__all__ = ["Readouts", "calibrated", "common_start", "cut_at", "grammar_tokens", "one_grammar", "until"]

Ids = Sequence[int]
Floats = npt.NDArray[np.float64]
_MASKED = ("eager", "sdpa")
"""Attention implementations that read a mask of any form."""
_MIN_HEAD = 4
"""Fewer shared tokens than this are not worth a cache of their own."""


def common_start(sequences: Sequence[Ids]) -> int:
    """Number of leading tokens that all sequences share."""
    columns = enumerate(zip(*sequences, strict=False))
    return next((place for place, tokens in columns if len(set(tokens)) > 1), min(map(len, sequences)))


def calibrated(scores: npt.ArrayLike, scaling: Scaling | None = None) -> Floats:
    """(N, L) log-likelihoods -> (N, L) probabilities of the labels, through a fitted scaling where there is one.

    `mien.metrics.calibration.fit_scaling` fits it on validation scores.
    """
    count = np.asarray(scores).shape[1]
    return (scaling or Scaling(1.0, (0.0,) * count)).apply(scores)


def grammar_tokens(
    begun: Callable[[str], Ids], slots: Sequence[Sequence[str]]
) -> tuple[tuple[int, ...], dict[int, tuple[int, ...]]]:
    """A grammar of `mien.dialogue.read.au_arrays.slots` in a tokenizer's own tokens, found in context.

    Args:
        begun: text -> tokens of a dialogue whose answer has begun with that text.
        slots: allowed strings of every slot.

    Returns:
        The tokens of the first choices, and place -> the token of each choice for every slot that has several.

    Raises:
        BadConfig: two choices of a slot differ in more than one token.
    """
    first = [choices[0] for choices in slots]
    base = tuple(begun("".join(first)))
    free: dict[int, tuple[int, ...]] = {}
    for number, choices in enumerate(slots):
        if len(choices) == 1:
            continue
        others = [
            tuple(begun("".join((*first[:number], choice, *first[number + 1 :])))) for choice in choices[1:]
        ]
        places = {
            place
            for other in others
            for place, (ours, theirs) in enumerate(zip(base, other, strict=False))
            if ours != theirs
        }
        if len(places) != 1 or any(len(other) != len(base) for other in others):
            raise BadConfig(
                got=f"a tokenizer that joins {choices[0]!r} or {choices[1]!r} with what stands beside it",
                expected="one token for each digit of an array",
                fix="Use a tokenizer that splits digits, as those of Llama and of mien's small models do",
            )
        (place,) = places
        free[place] = (base[place], *(other[place] for other in others))
    return base, free


def one_grammar(
    prompts: Sequence[Ids], free: Mapping[int, tuple[int, ...]]
) -> tuple[list[int], list[Ids], list[int]]:
    """The free places in order, each dialogue before the first of them, and what all dialogues say from there on.

    Raises:
        BadInput: the dialogues differ after the first free place.
    """
    places = sorted(free)
    after = len(prompts[0]) - places[0]
    tail = list(prompts[0][places[0] :])
    if any(list(ids[-after:]) != tail for ids in prompts):
        raise BadInput(
            got="dialogues with different arrays",
            expected="one grammar for the whole batch",
            fix="Ask all faces of a batch for the same array",
        )
    return places, [ids[:-after] for ids in prompts], tail


def until(row: list[int], ends: Collection[int]) -> list[int]:
    """What stands before the first end token: padding behind it may decode to text."""
    return next((row[:place] for place, token in enumerate(row) if token in ends), row)


class _StopAt(StoppingCriteria):
    """Ends a row once one of the texts stands in what it has said."""

    def __init__(self, texts: Sequence[str], tokenizer: Tokenizer, start: int) -> None:
        self.texts, self.tokenizer, self.start = tuple(texts), tokenizer, start

    def __call__(self, input_ids: Tensor, scores: Tensor, **kwargs: Any) -> Tensor:
        said = self.tokenizer.decode_batch(input_ids[:, self.start :].tolist())
        done = [any(text in row for text in self.texts) for row in said]
        return torch.tensor(done, device=input_ids.device)


class Readouts:
    """Read-outs of one model in evaluation.

    Args:
        model: its weights must stay as they are while this object lives, as it caches the prompts' common opening.
        pad_id: a token for padding.
    """

    def __init__(self, model: FacialLM, pad_id: int = 0) -> None:
        self.model, self.pad_id = model.eval(), pad_id
        self._device = model.device
        self._head: tuple[tuple[int, ...], DynamicCache] | None = None

    # ---- labels

    @torch.inference_mode()
    def label_scores(
        self, answers: Sequence[Sequence[Ids]], evidence: Mapping[str, EvidenceInput] | None = None
    ) -> Floats:
        """Log-likelihood of each label's answer, up to a constant per face.

        Args:
            answers: for each of N faces the L dialogues that end with a label (`System.begun`).
            evidence: of the N faces, joined.

        Returns:
            (N, L) float64.

        Raises:
            BadInput: a face has another number of answers, or an answer is the beginning of another.
        """
        starts = [common_start(rows) for rows in answers]
        tails = [[list(ids[start:]) for ids in rows] for rows, start in zip(answers, starts, strict=True)]
        if any(len(rows) != len(answers[0]) or not all(rows) for rows in tails):
            raise BadInput(
                got="answers of unequal number, or one that begins another",
                expected="as many answers for each face, none of them the beginning of another",
                fix="Let each answer end with its label, or add the end token",
            )
        prompts = [rows[0][:start] for rows, start in zip(answers, starts, strict=True)]
        ids, seen = self._padded([ids for rows in tails for ids in rows])
        ids, seen = (part.unflatten(0, (len(answers), -1)) for part in (ids, seen))
        hidden = self._branches(prompts, ids[..., :-1], seen[..., 1:], evidence)
        told = self._logits(hidden).log_softmax(-1)
        # What follows a branch's token stands beside it; the first tokens all follow the prompt.
        scores = told[:, 0].gather(1, ids[..., 0]).double()
        if ids.shape[2] > 1:
            later = told[:, 1:].unflatten(1, (ids.shape[1], -1)).gather(3, ids[..., 1:, None])[..., 0]
            scores = scores + (later.double() * seen[..., 1:]).sum(2)
        found: Floats = scores.cpu().numpy()
        return found

    def _branches(
        self,
        prompts: Sequence[Ids],
        branches: Tensor,
        seen: Tensor,
        evidence: Mapping[str, EvidenceInput] | None,
    ) -> Tensor:
        """One pass over each prompt and all that may follow it; what may follow does not see its alternatives.

        Args:
            prompts: of N faces.
            branches: (N, L, T) ids of the alternatives.
            seen: (N, L, T) which of them count.
            evidence: of the N faces, joined.

        Returns:
            (N, 1 + L T, width) hidden states: after the prompt, and after every token of the branches in turn.
        """
        head = self._head_of(prompts)
        ids, counts = self._padded([prompt[len(head) :] for prompt in prompts])
        lengths = counts.sum(1, keepdim=True)
        labels, longest = branches.shape[1:]
        order = torch.arange(max(ids.shape[1], longest), device=ids.device)
        places = torch.cat(
            [order[: ids.shape[1]].expand_as(ids), lengths + order[:longest].repeat(labels)], 1
        )
        numbers = torch.arange(1, labels + 1, device=ids.device).repeat_interleave(longest)
        words = self.model.get_input_embeddings()(branches.flatten(1))
        embeds = self.model.embed(ids, evidence)
        embeds = torch.cat([embeds, words.to(embeds)], 1)
        valid = torch.cat([counts, seen.flatten(1)], 1).bool()
        branch = torch.cat([numbers.new_zeros(ids.shape[1]), numbers])
        cache = self._head_cache(head, len(prompts))
        with _any_mask(self.model.model.language_model.config):
            output = self.model.model(
                inputs_embeds=embeds,
                attention_mask=_tree_mask(branch, valid, len(head), embeds.dtype),
                position_ids=len(head) + places,
                past_key_values=cache,
            ).last_hidden_state
        prompted = output[torch.arange(len(prompts), device=ids.device)[:, None], lengths - 1]
        return torch.cat([prompted, output[:, ids.shape[1] :]], 1)

    # ---- arrays

    @torch.inference_mode()
    def arrays(
        self,
        prompts: Sequence[Ids],
        free: Mapping[int, tuple[int, ...]],
        evidence: Mapping[str, EvidenceInput] | None = None,
    ) -> tuple[list[list[int]], list[Floats]]:
        """The likeliest choice at each free place, given all that was chosen before; the rest is only fed.

        Args:
            prompts: for each face the first part of `grammar_tokens`: a dialogue with the first choices. What stands
                before the first free place may differ in length, what follows it may not.
            free: its second part, for the first prompt.
            evidence: of all faces, joined.

        Returns:
            For each face the number of the choice at every free place, and per place the (N, choices) probabilities.

        Raises:
            BadInput: the dialogues differ after the first free place.
        """
        places, openings, tail = one_grammar(prompts, free)
        logits, cache, mask = self._start(openings, evidence)
        chosen: list[list[int]] = [[] for _ in prompts]
        beliefs: list[Floats] = []
        for number, place in enumerate(places):
            ids = torch.tensor(free[place], device=logits.device)
            belief = logits[:, ids].softmax(-1)
            best = belief.argmax(-1)
            beliefs.append(belief.double().cpu().numpy())
            for row, choice in enumerate(best.tolist()):
                chosen[row].append(choice)
            if number + 1 == len(places):
                break
            forced = tail[place + 1 - places[0] : places[number + 1] - places[0]]
            fed = torch.cat([ids[best][:, None], ids.new_tensor([forced] * len(prompts)).long()], 1)
            mask = torch.cat([mask, mask.new_ones(fed.shape)], 1)
            logits = self._step(self.model.get_input_embeddings()(fed), mask, cache)
        return chosen, beliefs

    # ---- text

    @torch.inference_mode()
    def texts(
        self,
        prompts: Sequence[Ids],
        tokenizer: Tokenizer,
        evidence: Mapping[str, EvidenceInput] | None = None,
        *,
        end: int | None = None,
        stop: Sequence[str] = (),
        seed: int = 0,
        **options: Any,
    ) -> list[str]:
        """Free answers, one per prompt.

        Args:
            prompts: open dialogues of any length; they are padded on the left.
            tokenizer: decodes; special tokens are left out.
            evidence: of all faces, joined.
            end: the token that ends an answer; the decoder's own by default.
            stop: texts that end an answer; they and what follows are cut off.
            seed: of sampling. The global generator is left as it was.
            options: of ``generate``: ``max_new_tokens``, ``num_beams``, ``do_sample``, ``temperature``, ``top_p`` …
                No more new tokens are made than the decoder's context has room for.

        Raises:
            BadConfig: an option that ``generate`` does not have.
            BadInput: a prompt that leaves no room for an answer.
        """
        encoded = [Encoded(tuple(ids), (IGNORED,) * len(ids)) for ids in prompts]
        limit = context_of(self.model.config.text_config)
        options = generation_options(options, limit, max(map(len, prompts), default=0))
        batch = collate(encoded, [{} for _ in prompts], pad_id=self.pad_id, side="left")
        ids, mask = (cast(Tensor, batch[key]).to(self._device) for key in ("input_ids", "attention_mask"))
        if stop:
            options["stopping_criteria"] = StoppingCriteriaList([_StopAt(stop, tokenizer, ids.shape[1])])
        if end is not None:
            options["eos_token_id"] = end
        devices = [self._device] if self._device.type == "cuda" else []
        with torch.random.fork_rng(devices):
            torch.manual_seed(seed)
            made = self.model.generate(
                input_ids=ids, attention_mask=mask, evidence=evidence, pad_token_id=self.pad_id, **options
            )
        ends = () if end is None else (end,)
        said = [until(row, ends) for row in made[:, ids.shape[1] :].tolist()]
        return [cut_at(tokenizer.decode(row), stop) for row in said]

    # ---- steps

    def _padded(self, rows: Sequence[Ids]) -> tuple[Tensor, Tensor]:
        """(N, T) ids padded on the right, and their mask."""
        length = max(map(len, rows))
        ids = [[*row, *[self.pad_id] * (length - len(row))] for row in rows]
        counts = [[1] * len(row) + [0] * (length - len(row)) for row in rows]
        return torch.tensor(ids, device=self._device), torch.tensor(counts, device=self._device)

    def _start(
        self, prompts: Sequence[Ids], evidence: Mapping[str, EvidenceInput] | None
    ) -> tuple[Tensor, DynamicCache, Tensor]:
        """Prefill: float logits after each prompt (N, V), the cache, and its mask."""
        head = self._head_of(prompts)
        cache = self._head_cache(head, len(prompts))
        ids, counts = self._padded([prompt[len(head) :] for prompt in prompts])
        mask = torch.cat([counts.new_ones(len(prompts), len(head)), counts], 1)
        embeds = self.model.embed(ids, evidence)
        last = counts.sum(1) - 1
        return self._step(embeds, mask, cache, last), cache, mask

    def _step(self, embeds: Tensor, mask: Tensor, cache: DynamicCache, last: Tensor | None = None) -> Tensor:
        output = self.model.model(inputs_embeds=embeds, attention_mask=mask, past_key_values=cache)
        hidden = output.last_hidden_state
        rows = hidden[:, -1] if last is None else hidden[torch.arange(len(hidden), device=last.device), last]
        return self._logits(rows)

    def _logits(self, hidden: Tensor) -> Tensor:
        """In float32; the head may be in another precision than the blocks."""
        return cast(Tensor, self.model.lm_head(like_weights(hidden, self.model.lm_head))).float()

    def _head_of(self, prompts: Sequence[Ids]) -> tuple[int, ...]:
        """The shared tokens before any evidence; at least one token of each prompt is left to run."""
        placeholders = {entry["token_id"] for entry in self.model.config.evidence.values()}
        shared = min(common_start(prompts), min(map(len, prompts)) - 1)
        ids = list(prompts[0][:shared])
        if len(prompts) == 1:
            # Alone, everything is shared: what another face's prompt would share is the text before the evidence.
            shared = next((place for place, token in enumerate(ids) if token in placeholders), 0)
        cut = next((place for place, token in enumerate(ids[:shared]) if token in placeholders), shared)
        return tuple(ids[:cut]) if cut >= _MIN_HEAD else ()

    def _head_cache(self, head: tuple[int, ...], rows: int) -> DynamicCache:
        config = self.model.config.text_config
        if not head:
            return DynamicCache(config=config)
        if self._head is None or self._head[0] != head:
            cache = DynamicCache(config=config)
            ids = torch.tensor([head], device=self._device)
            self.model.model(
                inputs_embeds=self.model.get_input_embeddings()(ids),
                attention_mask=torch.ones_like(ids),
                past_key_values=cache,
            )
            self._head = (head, cache)
        # A layer's update joins tensors and leaves the old ones as they are: sharing them is enough.
        cache = copy.copy(self._head[1])
        cache.layers = [copy.copy(layer) for layer in cache.layers]
        if rows > 1:
            cache.batch_repeat_interleave(rows)
        return cache


@contextmanager
def _any_mask(config: PreTrainedConfig) -> Iterator[None]:
    """Attention that takes any mask, for as long as it lasts: flash attention knows causal ones alone."""
    chosen = config._attn_implementation
    if chosen not in _MASKED:
        config._attn_implementation = "sdpa"
    try:
        yield
    finally:
        if chosen not in _MASKED:
            config._attn_implementation = chosen


def _tree_mask(branch: Tensor, valid: Tensor, head: int, dtype: torch.dtype) -> Tensor:
    """(N, 1, Q, head + Q) additive mask: a token sees what came before it in the prompt and in its own branch.

    Args:
        branch: (Q,) number of each column's branch, 0 for the prompt.
        valid: (N, Q) False for padding.
        head: columns of the cached opening, which all see.
        dtype: of the embeddings.
    """
    order = torch.arange(len(branch), device=branch.device)
    related = (branch[None, :] == 0) | (branch[None, :] == branch[:, None])
    seen = (order[None, :] <= order[:, None]) & related & valid[:, None, :]
    # Padding sees itself: a row that sees nothing would be NaN.
    seen = seen | torch.eye(len(branch), dtype=torch.bool, device=branch.device)
    mask = torch.zeros(seen.shape, dtype=dtype, device=branch.device)
    mask = mask.masked_fill(~seen, torch.finfo(dtype).min)
    return functional.pad(mask, (head, 0))[:, None]


def cut_at(text: str, stop: Sequence[str]) -> str:
    """The text before the first of ``stop``, without blanks around it."""
    ends = [place for place in (text.find(one) for one in stop) if place >= 0]
    return (text[: min(ends)] if ends else text).strip()
