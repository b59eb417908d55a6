"""What a composite is given, checked before it is computed with: a wrong shape should say so in words of its own."""

from __future__ import annotations

import inspect
from collections.abc import Callable, Mapping
from functools import wraps
from typing import Any, ParamSpec, TypeVar, cast

import torch
from torch import Tensor, nn
from transformers import GenerationConfig

from mien.core.errors import BadConfig, BadInput, require_known

__all__ = [
    "check_context",
    "check_evidence",
    "check_generation",
    "check_items",
    "check_prompt",
    "checks_options",
    "context_of",
    "generation_options",
    "looks_at_values",
]

P = ParamSpec("P")
R = TypeVar("R")
_PREPARE = "Prepare it with mien.models.composite.evidence_inputs or mien.layers.vision_tower.prepare_pixels"


def looks_at_values() -> bool:
    """Whether values may be looked at: not while a graph is compiled or exported."""
    return not (torch.compiler.is_compiling() or torch.jit.is_tracing())  # type: ignore[attr-defined,no-untyped-call]


def context_of(text_config: Any) -> int | None:
    """Most tokens that a decoder reads; None where its configuration does not say."""
    limit = getattr(text_config, "max_position_embeddings", None)
    return None if limit is None else int(limit)


def check_context(
    limit: int | None, length: int, mask: Tensor | None = None, positions: Tensor | None = None
) -> None:
    """Refuse a prompt that the decoder's context does not hold.

    Args:
        limit: from `context_of`.
        length: tokens, what is cached included.
        mask: (B, length); padding is not counted.
        positions: (B, T), where they are given.

    Raises:
        BadInput: it is longer.
    """
    if limit is None or length <= limit:
        return
    if positions is not None:
        length = int(positions.max()) + 1
    elif mask is not None and mask.ndim == 2:
        length = int(mask.sum(dim=1).max())
    if length > limit:
        raise BadInput(
            got=f"a prompt of {length} tokens, evidence rows included",
            expected=f"at most {limit}, the decoder's context",
            fix="Shorten the question, or pass fewer frames",
        )


def check_generation(limit: int | None, options: Mapping[str, Any]) -> None:
    """Refuse to generate beyond the decoder's context.

    Args:
        limit: from `context_of`.
        options: of ``generate``, the prompt among them.

    Raises:
        BadInput: no batch of ids, or prompt and new tokens together are longer.
    """
    found = [options.get(name) for name in ("inputs_embeds", "input_ids", "inputs")]
    prompt = next((one for one in found if one is not None), None)
    if prompt is None:
        return
    check_prompt(prompt)
    check_evidence(options.get("evidence"))
    check_context(limit, prompt.shape[1])
    new = options.get("max_new_tokens")
    if limit is not None and new is not None and prompt.shape[1] + int(new) > limit:
        raise BadInput(
            got=f"a prompt of {prompt.shape[1]} tokens and {new} new ones",
            expected=f"at most {limit} together, the decoder's context",
            fix=f"Set max_new_tokens to {limit - prompt.shape[1]} or less, or shorten the question",
        )


_SAMPLING = ("temperature", "top_p", "top_k", "min_p", "top_h", "typical_p", "epsilon_cutoff", "eta_cutoff")
_LEAST: Mapping[str, tuple[Any, float]] = {
    "max_new_tokens": (int, 1), "num_beams": (int, 1), "temperature": (int | float, 1e-6), "top_p": (int | float, 0.0),
}  # fmt: skip
"""Option -> its type and least value."""
_BESIDE = (
    "stopping_criteria",
    "logits_processor",
    "prefix_allowed_tokens_fn",
    "streamer",
    "generation_config",
)


def generation_options(options: Mapping[str, Any], limit: int | None, prompt: int) -> dict[str, Any]:
    """Options of ``generate`` as a read-out passes them on: known ones, without those of sampling where none is done.

    Args:
        options: as asked for.
        limit: from `context_of`; no more new tokens than it has room for.
        prompt: tokens of the longest prompt.

    Raises:
        BadConfig: ``generate`` does not have an option, or a value cannot be.
        BadInput: the prompt leaves no room.
    """
    known = vars(GenerationConfig()).keys() | set(_BESIDE)
    for name in options:
        if name not in known or name.startswith("_"):
            raise BadConfig(
                got=f"option {name!r} of an answer",
                expected="one of transformers' generate: max_new_tokens, num_beams, do_sample, temperature, top_p …",
            )
    made = dict(options)
    if not made.get("do_sample"):
        made |= dict.fromkeys(name for name in _SAMPLING if name in made)
    for name, (kind, least) in _LEAST.items():
        value = made.get(name)
        if value is not None and (isinstance(value, bool) or not isinstance(value, kind) or value < least):
            raise BadConfig(
                got=f"{name}={value!r}",
                expected=f"{'a whole number' if kind is int else 'a number'} of {least} or more",
                fix="Correct the option of the answer",
            )
    if limit is not None:
        check_context(limit, prompt + 1)
        if made.get("max_new_tokens") is not None:
            made["max_new_tokens"] = min(made["max_new_tokens"], limit - prompt)
    return made


def check_prompt(input_ids: object, mask: Tensor | None = None, cached: int = 0) -> None:
    """Refuse token ids that are no batch, or a mask of another size.

    Args:
        input_ids: (B, T), whole numbers; or embeddings (B, T, D).
        mask: (B, cached + T), or of four dimensions.
        cached: tokens before these.

    Raises:
        BadInput: another shape or type.
    """
    embedded = isinstance(input_ids, Tensor) and input_ids.is_floating_point()
    if not isinstance(input_ids, Tensor) or input_ids.ndim != (3 if embedded else 2):
        raise BadInput(
            got=f"token ids as {_said(input_ids)}",
            expected="a tensor (batch, tokens) of whole numbers, or embeddings (batch, tokens, width)",
            fix="Put them into a batch, as mien.models.composite.processing.collate does",
        )
    size = (input_ids.shape[0], cached + input_ids.shape[1])
    if mask is not None and mask.ndim == 2 and tuple(mask.shape) != size:
        raise BadInput(
            got=f"an attention mask of shape {tuple(mask.shape)}",
            expected=f"{size}: a number for each token of each row, {cached} cached ones included",
            fix="Make mask and ids together, as mien.models.composite.processing.collate does",
        )


def check_evidence(evidence: object) -> None:
    """Refuse evidence that is not given by name.

    Raises:
        BadInput: no mapping.
    """
    if evidence is not None and not isinstance(evidence, Mapping):
        raise BadInput(
            got=f"evidence as {_said(evidence)}",
            expected="a mapping from the evidence's name to its items, such as {'image': pixels}",
            fix="Name the evidence",
        )


def check_items(name: str, entry: Mapping[str, Any], encoder: nn.Module, items: object) -> None:
    """Refuse items that an encoder cannot read.

    Args:
        name: of the evidence.
        entry: of the configuration.
        encoder: what reads them.
        items: a tensor, or several by argument name.

    Raises:
        BadInput: another type or shape, or numbers that are not finite.
    """
    if not looks_at_values():
        return
    _check_arguments(name, encoder, items)
    named = cast("Mapping[str, Tensor]", items if isinstance(items, Mapping) else {"": items})
    counts = {len(value) for value in named.values()}
    if len(counts) != 1:
        raise BadInput(
            got=f"evidence {name!r} with {' and '.join(map(str, sorted(counts)))} items",
            expected="as many in each of its tensors",
            fix=_PREPARE,
        )
    if not isinstance(items, Mapping) and not named[""].is_floating_point():
        raise BadInput(
            got=f"evidence {name!r} as {named[''].dtype}",
            expected="real numbers of any precision, prepared as the encoder wants them",
            fix=_PREPARE,
        )
    for argument, wanted in _shapes(entry["encoder"]).items():
        found = tuple(named[argument].shape) if argument in named else None
        if found is not None and (len(found) != 1 + len(wanted) or found[1:] != wanted):
            raise BadInput(
                got=f"{argument or 'items'} of shape {found} for evidence {name!r}",
                expected=f"(N, {', '.join(map(str, wanted))})",
                fix=_PREPARE,
            )
    if not all(_finite(value) for value in named.values()):
        raise BadInput(
            got=f"evidence {name!r} with values that are not finite",
            expected="numbers: an answer about NaN would look like any other",
            fix="Leave out faces whose landmarks or pixels are not known",
        )


def _check_arguments(name: str, encoder: nn.Module, items: object) -> None:
    """Every item a tensor, under the names that the encoder's forward takes."""
    parameters = {
        key: value
        for key, value in inspect.signature(encoder.forward).parameters.items()
        if value.kind is value.POSITIONAL_OR_KEYWORD or value.kind is value.KEYWORD_ONLY
    }
    needed = [key for key, value in parameters.items() if value.default is value.empty]
    named = items if isinstance(items, Mapping) else {key: items for key in needed[:1]}
    wrong = set(named) - set(parameters) or set(needed) - set(named)
    odd = [value for value in named.values() if not isinstance(value, Tensor) or value.ndim == 0]
    if odd or wrong or not named:
        tensors = f"tensors (N, ...) by the names {', '.join(parameters)}"
        came = f"by the names {', '.join(map(str, named))}" if isinstance(items, Mapping) else _said(items)
        raise BadInput(
            got=f"evidence {name!r} as {_said(odd[0]) if odd else came}",
            expected="a tensor (N, ...)" if len(needed) == 1 else f"{tensors}, {', '.join(needed)} at least",
            fix=_PREPARE,
        )


def _shapes(encoder: Mapping[str, Any]) -> dict[str, tuple[int, ...]]:
    """What is known of an encoder's items before it runs: argument -> shape of one item."""
    if encoder["type"] == "landmark-mlp":
        return {"": (int(encoder["features"]),)}
    if encoder["type"] == "facial-clues":
        return {"landmarks": (68, 2)}
    return {}


def _finite(value: Tensor) -> bool:
    return value.is_meta or not value.is_floating_point() or bool(value.isfinite().all())


def _said(value: object) -> str:
    if isinstance(value, Tensor):
        return f"a tensor of shape {tuple(value.shape)}"
    return f"a {type(value).__name__}"


def checks_options(system: str) -> Callable[[Callable[P, R]], Callable[P, R]]:
    """A ``configure`` that refuses options that it does not have by name.

    Args:
        system: whose it is.
    """

    def decorate(configure: Callable[P, R]) -> Callable[P, R]:
        known = tuple(inspect.signature(configure).parameters)

        @wraps(configure)
        def checked(*args: P.args, **options: P.kwargs) -> R:
            for name in options:
                require_known(name, known, "option", of=system)
            return configure(*args, **options)

        return checked

    return decorate
