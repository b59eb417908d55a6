"""A trained system whose decoder runs in a vLLM server: encoders, projectors and word embeddings stay here.

Every prompt is sent as embeddings (``prompt_embeds`` of ``POST {address}/completions``: base64 of a (T, width) tensor
that torch saved), so the server needs no code of mien: it serves the plain decoder of ``mien models export
--decoder-only``. It must trust its clients (``vllm serve DIR --enable-prompt-embeds``): it loads what they send.

Labels and arrays are read token by token with ``logprob_token_ids``: the tokens that may come next are named, and their
log-probabilities come back. Its structured outputs would take fewer requests, but may spell a text in other tokens than
the ones that were trained.
"""

from __future__ import annotations

import base64
import io
from collections.abc import Mapping, Sequence
from functools import partial
from pathlib import Path
from typing import Any, cast

import numpy as np
import torch
from tokenizers import Tokenizer
from torch import Tensor

from mien.backends.torch import TorchReader, number_format
from mien.core.errors import BadConfig, MienError, require
from mien.core.paths import api_key
from mien.models.composite.checks import context_of
from mien.models.composite.facial_lm import EvidenceInput, FacialLM
from mien.models.composite.readouts import Floats, Ids, Readouts, common_start, cut_at, one_grammar, until
from mien.models.formats.loading import model_folder, open_front

__all__ = ["KEY_VARIABLE", "DecoderFailed", "ServedReadouts", "open_served"]

KEY_VARIABLE = "VLLM_API_KEY"
"""Environment variable of the server's key, as vLLM itself names it; it is sent to the server and kept nowhere."""
_MOST_NAMED = 20
"""Log-probabilities that a server gives at a place, unless it was started with a higher ``--max-logprobs``."""
_TOKEN = "token_id:"


class DecoderFailed(MienError):
    """The server gave no answer, or one that is none."""


def open_served(
    folder: str | Path, threads: int | None = None, device: str = "", precision: str | None = None
) -> TorchReader:
    """The system in ``folder`` with its decoder at an address (``device="http://host:8000/v1"``).

    Raises:
        BadConfig: no model folder, or the server serves no model.
        DecoderFailed: the server cannot be reached.
        MissingWeights: a file is absent or cannot be read.
        MissingDependency: no `openai` package.
    """
    place = Path(model_folder(folder))
    server = Completions(device)
    front = open_front(place, dtype=number_format(precision))
    readouts: Any = partial(ServedReadouts, server=server)
    return TorchReader(place, threads, model=front, readouts=readouts)


class Completions:
    """The server's completions for prompts of embeddings.

    Args:
        address: up to ``/v1``.
        timeout: seconds for one batch.
    """

    def __init__(self, address: str, timeout: float = 600.0) -> None:
        self._openai = require("openai", extra="llm", purpose="a decoder behind a server")
        key = api_key(KEY_VARIABLE, required=False) or "none"
        self._address = address
        self._client = self._openai.OpenAI(base_url=address, api_key=key, timeout=timeout, max_retries=2)
        names = [entry.get("id") for entry in self._send("get", "/models").get("data", [])]
        if not names:
            raise BadConfig(
                got=f"{address}, which serves no model",
                expected="the decoder that 'mien models export --decoder-only' wrote",
                fix="Start it: vllm serve DIR --enable-prompt-embeds",
            )
        self._model = str(names[0])

    def complete(self, prompts: Sequence[Tensor], **options: Any) -> list[Mapping[str, Any]]:
        """The choice of each prompt, in order.

        Args:
            prompts: (T, width) each.
            options: of the request.

        Raises:
            DecoderFailed: no answer, or not one per prompt.
        """
        body = {"model": self._model, "prompt_embeds": [packed(prompt) for prompt in prompts], **options}
        choices = self._send("post", "/completions", body=body).get("choices")
        if not isinstance(choices, list) or len(choices) != len(prompts):
            raise self._failure(f"{choices!r:.80} for {len(prompts)} prompts")
        return sorted(choices, key=lambda choice: int(choice.get("index", 0)))

    def _send(self, verb: str, path: str, **options: Any) -> dict[str, Any]:
        try:
            answer = getattr(self._client, verb)(path, cast_to=object, **options)
        except self._openai.APIStatusError as error:
            raise self._failure(f"status {error.status_code}: {error.message}"[:300]) from error
        except self._openai.OpenAIError as error:
            raise self._failure(f"{error} ({error.__cause__})"[:300]) from error
        if not isinstance(answer, dict):
            raise self._failure(f"{answer!r:.80}")
        return answer

    def _failure(self, got: str) -> DecoderFailed:
        return DecoderFailed(
            got=f"{got}, from {self._address}",
            expected="completions of vLLM 0.12 or newer, started with --enable-prompt-embeds",
            fix="Look at the server's log; its model must be this system's decoder",
        )


def packed(prompt: Tensor) -> str:
    """A prompt (T, width) in the server's form: base64 of what torch saves."""
    buffer = io.BytesIO()
    torch.save(prompt.detach().cpu().contiguous().clone(), buffer)
    return base64.b64encode(buffer.getvalue()).decode()


class ServedReadouts(Readouts):
    """`mien.models.composite.readouts.Readouts` over a server.

    Args:
        model: encoders, projectors and word embeddings.
        pad_id: a token for padding, which is cut off again before a prompt is sent.
        server: runs the decoder.
    """

    def __init__(self, model: FacialLM, pad_id: int = 0, *, server: Completions) -> None:
        super().__init__(model, pad_id)
        self._server = server

    @torch.inference_mode()
    def label_scores(
        self, answers: Sequence[Sequence[Ids]], evidence: Mapping[str, EvidenceInput] | None = None
    ) -> Floats:
        """(N, L) log-likelihoods of each label's answer, up to a constant per face; see `Readouts.label_scores`."""
        starts = [common_start(rows) for rows in answers]
        prompts = self._prompts(
            [rows[0][:start] for rows, start in zip(answers, starts, strict=True)], evidence
        )
        tails = [[tuple(ids[start:]) for ids in rows] for rows, start in zip(answers, starts, strict=True)]
        scores = np.zeros((len(answers), len(answers[0])))
        for depth in range(max(len(tail) for rows in tails for tail in rows)):
            begun = {
                (row, tail[:depth]): None
                for row, found in enumerate(tails)
                for tail in found
                if len(tail) > depth
            }
            named = sorted({tail[depth] for found in tails for tail in found if len(tail) > depth})
            shown = [self._after(prompts[row], said) for row, said in begun]
            told = dict(zip(begun, self._next(shown, named), strict=True))
            for row, found in enumerate(tails):
                for label, tail in enumerate(found):
                    if len(tail) > depth:
                        scores[row, label] += told[row, tail[:depth]][tail[depth]]
        return scores

    @torch.inference_mode()
    def arrays(
        self,
        prompts: Sequence[Ids],
        free: Mapping[int, tuple[int, ...]],
        evidence: Mapping[str, EvidenceInput] | None = None,
    ) -> tuple[list[list[int]], list[Floats]]:
        """The likeliest choice at each free place given those before it; see `Readouts.arrays`."""
        places, openings, tail = one_grammar(prompts, free)
        opened = self._prompts(openings, evidence)
        said: list[list[int]] = [[] for _ in prompts]
        chosen: list[list[int]] = [[] for _ in prompts]
        beliefs: list[Floats] = []
        for number, place in enumerate(places):
            choices = free[place]
            shown = [self._after(prompt, done) for prompt, done in zip(opened, said, strict=True)]
            scores = np.asarray([[row[token] for token in choices] for row in self._next(shown, choices)])
            belief = np.exp(scores - scores.max(1, keepdims=True))
            beliefs.append(belief / belief.sum(1, keepdims=True))
            end = places[number + 1] if number + 1 < len(places) else place + 1
            for row, choice in enumerate(scores.argmax(1).tolist()):
                chosen[row].append(choice)
                said[row] += [choices[choice], *tail[place + 1 - places[0] : end - places[0]]]
        return chosen, beliefs

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
        """Free answers; see `Readouts.texts`. Sampling is the server's: a seed gives another text than in torch.

        Raises:
            BadConfig: an option that the server does not have, such as beams.
        """
        config = self.model.config.text_config
        longest = max(map(len, prompts), default=0)
        asked = _sampling(options, context_of(config), longest) | {"seed": seed}
        ends = (
            [end]
            if end is not None
            else [token for token in _listed(config.eos_token_id) if token is not None]
        )
        hidden = {str(token): -100 for token in self.model._suppressed}
        choices = self._server.complete(
            self._prompts(prompts, evidence),
            stop=list(stop),
            stop_token_ids=ends,
            ignore_eos=True,
            skip_special_tokens=False,
            return_token_ids=True,
            **({"logit_bias": hidden} if hidden else {}),
            **asked,
        )
        return [cut_at(tokenizer.decode(until(_ids(choice), ends)), stop) for choice in choices]

    def _prompts(self, prompts: Sequence[Ids], evidence: Mapping[str, EvidenceInput] | None) -> list[Tensor]:
        """The embeddings of each prompt, (T, width)."""
        ids, _ = self._padded(prompts)
        return [
            row[: len(prompt)] for row, prompt in zip(self.model.embed(ids, evidence), prompts, strict=True)
        ]

    def _after(self, prompt: Tensor, said: Sequence[int]) -> Tensor:
        if not said:
            return prompt
        words = self.model.get_input_embeddings()(torch.tensor(said, device=prompt.device))
        return torch.cat([prompt, words.to(prompt)])

    def _next(self, prompts: Sequence[Tensor], tokens: Sequence[int]) -> list[dict[int, float]]:
        """Log-probability of each of the tokens after each prompt."""
        named = list(dict.fromkeys(tokens))
        found: list[dict[int, float]] = [{} for _ in prompts]
        for first in range(0, len(named), _MOST_NAMED):
            part = named[first : first + _MOST_NAMED]
            choices = self._server.complete(
                prompts,
                max_tokens=1,
                temperature=0.0,
                logprobs=len(part),
                logprob_token_ids=part,
                ignore_eos=True,
                return_tokens_as_token_ids=True,
            )
            for row, choice in zip(found, choices, strict=True):
                row.update(_named(choice, part))
        return found


def _named(choice: Mapping[str, Any], tokens: Sequence[int]) -> dict[int, float]:
    told = ((choice.get("logprobs") or {}).get("top_logprobs") or [{}])[0]
    values = {name: told.get(f"{_TOKEN}{name}") for name in tokens}
    absent = [name for name, value in values.items() if value is None]
    if absent:
        raise DecoderFailed(
            got=f"no log-probability of token {absent[0]}",
            expected="that of every token in logprob_token_ids, which vLLM gives",
            fix="Use a newer vLLM, or start it with a higher --max-logprobs",
        )
    return {name: float(cast(float, value)) for name, value in values.items()}


def _ids(choice: Mapping[str, Any]) -> list[int]:
    ids = choice.get("token_ids")
    if not isinstance(ids, list):
        raise DecoderFailed(
            got="a completion without token_ids",
            expected="those of return_token_ids",
            fix="Use vLLM 0.12 or newer",
        )
    return [int(token) for token in ids]


def _listed(value: Any) -> list[int | None]:
    return list(value) if isinstance(value, list | tuple) else [value]


def _sampling(options: Mapping[str, Any], limit: int | None, longest: int) -> dict[str, Any]:
    """Options of ``generate`` in the server's words.

    Raises:
        BadConfig: one that it does not have.
    """
    left = {name: value for name, value in options.items() if value is not None}
    sampled = bool(left.pop("do_sample", False))
    most = int(left.pop("max_new_tokens", 256))
    found: dict[str, Any] = {"max_tokens": most if limit is None else min(most, limit - longest)}
    found["temperature"] = float(left.pop("temperature", 1.0)) if sampled else 0.0
    left.pop("num_beams", None) if left.get("num_beams") == 1 else None
    for name in ("top_p", "top_k", "min_p"):
        value = left.pop(name, None)
        if sampled and value is not None:
            found[name] = value
    if "repetition_penalty" in left:
        found["repetition_penalty"] = left.pop("repetition_penalty")
    if left:
        raise BadConfig(
            got=f"{', '.join(sorted(left))} for a decoder behind a server",
            expected="max_new_tokens, do_sample, temperature, top_p, top_k, min_p, repetition_penalty",
            fix="Leave it out, or run the decoder here: --device cpu or cuda",
        )
    return found
