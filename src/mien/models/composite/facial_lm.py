"""The composite: evidence encoders -> projectors -> placeholder tokens of the prompt -> any causal language model.

Layout as LLaVA in transformers 5: a headless backbone ``model`` and the decoder's own ``lm_head``. The head is
the decoder's, bias included: Phi-2's has one, and a wrapper that assumes none would change every answer.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import field
from typing import Any, cast

import torch
from torch import Tensor, nn
from transformers import (
    AutoConfig,
    AutoModel,
    AutoModelForCausalLM,
    AutoModelForImageTextToText,
    AutoProcessor,
    GenerationMixin,
    LogitsProcessorList,
    PreTrainedConfig,
    PreTrainedModel,
)
from transformers.cache_utils import Cache
from transformers.configuration_utils import SubConfigSpec
from transformers.modeling_outputs import (
    BaseModelOutputWithPast,
    BaseModelOutputWithPooling,
    CausalLMOutputWithPast,
)
from transformers.processing_utils import ProcessorMixin

from mien.core.errors import BadConfig, BadInput
from mien.layers.projectors import make_projector
from mien.models.composite.backbones import own_head
from mien.models.composite.checks import (
    check_context,
    check_evidence,
    check_generation,
    check_items,
    check_prompt,
    context_of,
    looks_at_values,
)
from mien.models.composite.encoders import (
    ENCODERS,
    check_entry,
    check_fields,
    encode_items,
    like_weights,
    make_encoder,
)

__all__ = ["ENCODERS", "EvidenceInput", "FacialLM", "FacialLMConfig", "FacialLMModel"]

EvidenceInput = Tensor | Mapping[str, Tensor]
"""What one encoder reads for N items: a tensor (N, ...), or several by argument name."""


class FacialLMConfig(PreTrainedConfig):
    """Configuration of `FacialLM`.

    Each entry of ``evidence``, in the order in which it is encoded::

        "landmarks": {
            "encoder": {"type": "landmark-mlp", "features": 1434, "width": 256},
            "width": 256,                          # of the encoder's rows
            "rows": 1,                             # per item
            "projector": {"type": "mlp2x_gelu"},   # see `make_projector`
            "token_id": 5,                         # placeholder; may lie outside the vocabulary (LLaVA: -200)
        }

    Raises:
        BadConfig: an entry is incomplete, has unknown keys, or shares its placeholder with another.
    """

    model_type = "mien-facial-lm"
    sub_configs_defaults = {"text_config": SubConfigSpec(config_class=AutoConfig, model_type="llama")}  # noqa: RUF012

    text_config: dict[str, Any] | PreTrainedConfig | None = None
    """The decoder: a configuration, or its dictionary with ``model_type``."""
    evidence: dict[str, dict[str, Any]] = field(default_factory=dict)
    tie_word_embeddings: bool = False
    """Follows ``text_config``; what is given here is overwritten."""

    def __post_init__(self, **kwargs: Any) -> None:
        super().__post_init__(**kwargs)
        text_config = cast(PreTrainedConfig, self.text_config)
        self.tie_word_embeddings = bool(getattr(text_config, "tie_word_embeddings", False))
        check_fields(text_config.to_dict(), "text_config.")
        for name, entry in self.evidence.items():
            check_entry(name, entry)
        ids = [entry["token_id"] for entry in self.evidence.values()]
        if len(set(ids)) < len(ids):
            raise BadConfig(
                got=f"placeholder ids {ids}",
                expected="another id for each evidence",
                fix="Give each its own token_id",
            )

    @property
    def image_token_id(self) -> int | None:
        """Placeholder of the evidence ``image``; None for a system that reads no pixels."""
        return self.evidence["image"]["token_id"] if "image" in self.evidence else None


class _FacialPreTrained(PreTrainedModel):
    config_class = FacialLMConfig
    base_model_prefix = "model"
    supports_gradient_checkpointing = True
    _skip_keys_device_placement = ["past_key_values"]  # noqa: RUF012
    _supports_flash_attn = True
    _supports_sdpa = True
    _supports_flex_attn = True
    _supports_attention_backend = True

    def _init_weights(self, module: nn.Module) -> None:
        """Evidence modules keep torch's initialisation.

        transformers' N(0, 0.02) makes a small encoder emit nearly constant rows, which the decoder learns to ignore.
        """
        if not getattr(module, "_mien_evidence", False):
            super()._init_weights(module)
        elif callable(reset := getattr(module, "reset_parameters", None)):
            reset()


def _keep_initialisation(module: nn.Module) -> nn.Module:
    for part in module.modules():
        part._mien_evidence = True  # type: ignore[assignment]
        on_meta = any(
            tensor.is_meta for tensor in (*part.parameters(recurse=False), *part.buffers(recurse=False))
        )
        # A module built on the meta device holds no values yet; loading fills or initialises it.
        part._is_hf_initialized = not on_meta  # type: ignore[assignment]
    return module


class FacialLMModel(_FacialPreTrained):
    """The backbone: evidence and text in, hidden states out."""

    def __init__(self, config: FacialLMConfig, language_model: PreTrainedModel | None = None) -> None:
        super().__init__(config)
        text_config = cast(PreTrainedConfig, config.text_config)
        self.encoders = nn.ModuleDict()
        self.projectors = nn.ModuleDict()
        for name, entry in config.evidence.items():
            self.encoders[name] = _keep_initialisation(make_encoder(entry["encoder"]))
            projector = make_projector(entry["projector"], entry["width"], text_config.hidden_size)
            self.projectors[name] = _keep_initialisation(projector)
        self.language_model = language_model or AutoModel.from_config(text_config, trust_remote_code=False)
        self.post_init()

    def get_input_embeddings(self) -> nn.Module:
        return cast(nn.Module, self.language_model.get_input_embeddings())

    def set_input_embeddings(self, value: nn.Module) -> None:
        self.language_model.set_input_embeddings(value)

    def project(self, name: str, items: EvidenceInput) -> Tensor:
        """Encode and project N items of evidence ``name``, on whatever device they lie: (N, rows, decoder width).

        Raises:
            BadInput: the evidence is unknown, of another type or shape, or has values that are not finite.
        """
        if name not in self.encoders:
            raise BadInput(
                got=f"evidence {name!r}",
                expected=f"one of {', '.join(self.encoders) or 'none: this model reads text only'}",
            )
        entry = self.config.evidence[name]
        check_items(name, entry, self.encoders[name], items)
        rows = encode_items(self.encoders[name], items)
        if rows.shape[1:] != (entry["rows"], entry["width"]):
            raise BadInput(
                got=f"rows of shape {tuple(rows.shape)} from evidence {name!r}",
                expected=f"(N, {entry['rows']}, {entry['width']})",
                fix="Correct the input or the configuration of this evidence",
            )
        projector = self.projectors[name]
        return cast(Tensor, projector(like_weights(rows, projector)))

    def get_image_features(self, pixel_values: EvidenceInput, **kwargs: Any) -> BaseModelOutputWithPooling:
        """As `transformers` names it: the decoder's rows of N pictures are ``pooler_output`` (N, rows, decoder width).

        Raises:
            BadInput: see `project`; a system that reads no pixels has no evidence ``image``.
        """
        return BaseModelOutputWithPooling(pooler_output=self.project("image", pixel_values))

    def embed(self, input_ids: Tensor, evidence: Mapping[str, EvidenceInput] | None = None) -> Tensor:
        """Token embeddings with every placeholder replaced by its evidence row: (B, T, decoder width).

        Items fill placeholders in reading order, batch row by batch row: the first item of an evidence takes the
        first ``rows`` placeholders of that evidence, and so on. Each batch row may hold any number of items.

        Raises:
            BadInput: no batch of ids, evidence that is no mapping, a prompt longer than the context, or placeholders
                that do not match the evidence.
        """
        check_prompt(input_ids)
        check_evidence(evidence)
        check_context(context_of(self.config.text_config), input_ids.shape[1])
        evidence = evidence or {}
        input_ids = input_ids.to(cast(Tensor, self.get_input_embeddings().weight).device)
        masks = {name: input_ids == entry["token_id"] for name, entry in self.config.evidence.items()}
        # Placeholder ids may lie outside the vocabulary: look up a harmless id instead.
        ids = input_ids
        for mask in masks.values():
            ids = ids.masked_fill(mask, 0)
        embeds = cast(Tensor, self.get_input_embeddings()(ids))
        for name, items in evidence.items():
            rows = self.project(name, items)
            self._check_placeholders(name, masks[name], rows)
            embeds = embeds.masked_scatter(masks[name].unsqueeze(-1), rows.to(embeds))
        for name in masks.keys() - evidence.keys():
            self._check_placeholders(name, masks[name], None)
        return embeds

    def _check_placeholders(self, name: str, mask: Tensor, rows: Tensor | None) -> None:
        if not looks_at_values():
            return
        k, items = self.config.evidence[name]["rows"], 0 if rows is None else rows.shape[0]
        counts = mask.sum(dim=1)
        if int(counts.sum()) != items * k or bool((counts % k).any()):
            raise BadInput(
                got=f"{counts.tolist()} placeholders of {name!r} by batch row for {items} items",
                expected=f"{k} placeholders per item, whole items in each batch row: {items * k} in all",
                fix="Expand each placeholder of the prompt to its rows, and pass every item exactly once",
            )

    def forward(
        self,
        input_ids: Tensor | None = None,
        attention_mask: Tensor | None = None,
        position_ids: Tensor | None = None,
        past_key_values: Cache | None = None,
        inputs_embeds: Tensor | None = None,
        evidence: Mapping[str, EvidenceInput] | None = None,
        **kwargs: Any,
    ) -> BaseModelOutputWithPast:
        """Hidden states of the decoder.

        Args:
            input_ids: (B, T) with placeholders; or give ``inputs_embeds`` from `embed`.
            attention_mask: (B, past + T), 1 where a token counts. Padding may stand left or right.
            evidence: name -> N items; only with the prompt, not with the steps that follow it.

        Raises:
            BadInput: both or neither of ids and embeddings, a mask of another size, a prompt longer than the context,
                or placeholders that do not match the evidence.
        """
        if (input_ids is None) == (inputs_embeds is None) or (input_ids is None and evidence):
            raise BadInput(
                got="input_ids and inputs_embeds both or neither, or evidence beside inputs_embeds",
                expected="input_ids with evidence, or inputs_embeds alone",
                fix="Call embed(input_ids, evidence) to make inputs_embeds",
            )
        cached = 0 if past_key_values is None else int(past_key_values.get_seq_length())
        given = cast(Tensor, input_ids if inputs_embeds is None else inputs_embeds)
        if looks_at_values():
            check_prompt(given, attention_mask, cached)
            limit = context_of(self.config.text_config)
            check_context(limit, cached + given.shape[1], attention_mask, position_ids)
        if inputs_embeds is None:
            inputs_embeds = self.get_input_embeddings()(given) if cached else self.embed(given, evidence)
        if position_ids is None and attention_mask is not None and attention_mask.ndim == 2:
            # Without this, decoders with absolute positions would count left padding.
            counted = (attention_mask.long().cumsum(-1) - 1).clamp(min=0)
            position_ids = counted[:, -inputs_embeds.shape[1] :]
        outputs = self.language_model(
            inputs_embeds=inputs_embeds,
            attention_mask=attention_mask,
            position_ids=position_ids,
            past_key_values=past_key_values,
            **kwargs,
        )
        return cast(BaseModelOutputWithPast, outputs)


class FacialLM(_FacialPreTrained, GenerationMixin):
    """The backbone with the decoder's own head; trains, generates, saves and loads like any transformers model.

    Args:
        config: the configuration.
        decoder: a causal language model to take backbone and head from, with its weights; a new one with random
            weights when omitted. Its configuration must be ``config.text_config``: see `from_decoder`.

    Raises:
        BadConfig: the decoder has no linear head, or rescales its logits after it.
    """

    def __init__(self, config: FacialLMConfig, decoder: PreTrainedModel | None = None) -> None:
        super().__init__(config)
        text_config = cast(PreTrainedConfig, config.text_config)
        self.loss_type = "ForCausalLM"
        head = own_head(text_config, decoder)
        if decoder is not None:
            for part in decoder.modules():
                part._is_hf_initialized = True
            self.model = FacialLMModel(config, decoder.base_model)
            self.lm_head = head
        else:
            self.model = FacialLMModel(config)
            self.lm_head = nn.Linear(head.in_features, head.out_features, bias=head.bias is not None)
        self._tied_weights_keys = {"lm_head.weight": f"model.{self._embedding_name()}.weight"}
        # A generated placeholder would ask for evidence that does not exist.
        ids = [entry["token_id"] for entry in config.evidence.values()]
        self._suppressed = [token for token in ids if 0 <= token < text_config.vocab_size]
        self.post_init()

    @classmethod
    def from_decoder(cls, decoder: PreTrainedModel, evidence: Mapping[str, Mapping[str, Any]]) -> FacialLM:
        """Give a causal language model eyes: its weights are taken over, encoders and projectors are new."""
        config = FacialLMConfig(
            text_config=decoder.config,
            evidence={name: dict(entry) for name, entry in evidence.items()},
            # A configuration sets this on its parts, and the decoder's attention is chosen already.
            attn_implementation=decoder.config._attn_implementation,
        )
        return cls(config, decoder)

    def _embedding_name(self) -> str:
        embedding = self.model.get_input_embeddings()
        names = (name for name, module in self.model.named_modules() if module is embedding)
        return str(next(names))

    def get_input_embeddings(self) -> nn.Module:
        return self.model.get_input_embeddings()

    def set_input_embeddings(self, value: nn.Module) -> None:
        self.model.set_input_embeddings(value)

    def get_output_embeddings(self) -> nn.Module:
        return self.lm_head

    def set_output_embeddings(self, new_embeddings: nn.Module) -> None:
        self.lm_head = cast(nn.Linear, new_embeddings)

    def embed(self, input_ids: Tensor, evidence: Mapping[str, EvidenceInput] | None = None) -> Tensor:
        """See `FacialLMModel.embed`; the result can be passed to ``generate(inputs_embeds=...)``."""
        return self.model.embed(input_ids, evidence)

    def get_image_features(self, pixel_values: EvidenceInput, **kwargs: Any) -> BaseModelOutputWithPooling:
        """See `FacialLMModel.get_image_features`."""
        return self.model.get_image_features(pixel_values, **kwargs)

    def forward(
        self,
        input_ids: Tensor | None = None,
        attention_mask: Tensor | None = None,
        position_ids: Tensor | None = None,
        past_key_values: Cache | None = None,
        inputs_embeds: Tensor | None = None,
        evidence: Mapping[str, EvidenceInput] | None = None,
        labels: Tensor | None = None,
        logits_to_keep: int | Tensor = 0,
        places: Tensor | None = None,
        **kwargs: Any,
    ) -> CausalLMOutputWithPast:
        """Logits, and the loss when labels are given. Arguments as `FacialLMModel.forward`, and:

        Args:
            labels: (B, T), -100 where nothing is learnt; shifted inside.
            logits_to_keep: compute logits of the last so many positions only; 0 for all.
            places: (P,) positions b * T + t; logits are then (P, V), of these alone.
        """
        outputs = self.model(
            input_ids=input_ids,
            attention_mask=attention_mask,
            position_ids=position_ids,
            past_key_values=past_key_values,
            inputs_embeds=inputs_embeds,
            evidence=evidence,
            **{key: value for key, value in kwargs.items() if key != "num_items_in_batch"},
        )
        hidden = outputs.last_hidden_state
        keep = slice(-logits_to_keep, None) if isinstance(logits_to_keep, int) else logits_to_keep
        rows = hidden[:, keep] if places is None else hidden.flatten(0, 1)[places]
        logits = self.lm_head(like_weights(rows, self.lm_head))
        loss = None
        if labels is not None:
            loss = self.loss_function(logits=logits, labels=labels, vocab_size=logits.shape[-1], **kwargs)
        return CausalLMOutputWithPast(
            loss=loss,
            logits=logits,
            past_key_values=outputs.past_key_values,
            hidden_states=outputs.hidden_states,
            attentions=outputs.attentions,
        )

    def prepare_inputs_for_generation(
        self,
        input_ids: Tensor,
        next_sequence_length: int | None = None,
        past_key_values: Cache | None = None,
        attention_mask: Tensor | None = None,
        inputs_embeds: Tensor | None = None,
        is_first_iteration: bool | None = False,
        evidence: Mapping[str, EvidenceInput] | None = None,
        **kwargs: Any,
    ) -> dict[str, Any]:
        # Names are spelt out because generate() checks its keyword arguments against this signature.
        inputs: dict[str, Any] = super().prepare_inputs_for_generation(
            input_ids,
            next_sequence_length=next_sequence_length,
            past_key_values=past_key_values,
            attention_mask=attention_mask,
            inputs_embeds=inputs_embeds,
            is_first_iteration=is_first_iteration,
            **kwargs,
        )
        if is_first_iteration or not kwargs.get("use_cache", True):
            inputs["evidence"] = evidence
        return inputs

    def generate(self, *args: Any, suppress_tokens: list[int] | None = None, **kwargs: Any) -> Any:
        """As transformers' ``generate``, with ``evidence=``; placeholders are never generated.

        Raises:
            BadInput: see `embed`, or the prompt and all new tokens are more than the decoder's context.
        """
        settings = kwargs.get("generation_config") or self.generation_config
        given = dict(zip(("inputs",), args, strict=False)) | kwargs
        check_generation(context_of(self.config.text_config), {**settings.to_dict(), **given})
        suppressed = sorted({*(suppress_tokens or ()), *self._suppressed}) or None
        return super().generate(*args, suppress_tokens=suppressed, **kwargs)

    def _get_logits_processor(self, *args: Any, **kwargs: Any) -> LogitsProcessorList:
        return _WithoutPlaceholders(super()._get_logits_processor(*args, **kwargs))

    def _expand_inputs_for_generation(
        self,
        expand_size: int = 1,
        is_encoder_decoder: bool = False,
        input_ids: Tensor | None = None,
        **model_kwargs: Any,
    ) -> tuple[Tensor, dict[str, Any]]:
        # Beams and several returned sequences repeat each batch row; its evidence items go with it.
        evidence = model_kwargs.pop("evidence", None)
        expanded = super()._expand_inputs_for_generation(
            expand_size=expand_size,
            is_encoder_decoder=is_encoder_decoder,
            input_ids=input_ids,
            **model_kwargs,
        )
        ids, kwargs = cast(tuple[Tensor, dict[str, Any]], expanded)
        if evidence is not None:
            kwargs["evidence"] = {
                name: self._repeat_items(name, cast(Tensor, input_ids), items, expand_size)
                for name, items in evidence.items()
            }
        return ids, kwargs

    def _repeat_items(self, name: str, input_ids: Tensor, items: EvidenceInput, times: int) -> EvidenceInput:
        entry = self.config.evidence[name]
        counts = ((input_ids == entry["token_id"]).sum(dim=1) // entry["rows"]).tolist()

        def repeat(tensor: Tensor) -> Tensor:
            return torch.cat([part for row in tensor.split(counts) for part in [row] * times])

        if times == 1:
            return items
        return (
            {key: repeat(value) for key, value in items.items()}
            if isinstance(items, Mapping)
            else repeat(items)
        )


class _WithoutPlaceholders(LogitsProcessorList):
    """Scores are looked up by a prompt's tokens: to ids outside the vocabulary a word is given that is never said."""

    def __call__(self, input_ids: Tensor, scores: Tensor, **kwargs: Any) -> Tensor:
        size = scores.shape[-1]
        known = input_ids.masked_fill((input_ids < 0) | (input_ids >= size), size)
        scores = torch.cat([scores, scores.new_full((len(scores), 1), -torch.inf)], dim=1)
        return cast(Tensor, super().__call__(known, scores, **kwargs)[:, :size])


class FacialProcessor(ProcessorMixin):
    """What ``AutoProcessor`` finds until `mien.models.composite.processor`, which it opens, is loaded."""

    @classmethod
    def from_pretrained(cls, pretrained_model_name_or_path: Any, **kwargs: Any) -> Any:
        """The processor of a model's folder."""
        from mien.models.composite import processor

        return processor.FacialProcessor.from_pretrained(
            pretrained_model_name_or_path, **{**kwargs, "trust_remote_code": False}
        )


AutoConfig.register(FacialLMConfig.model_type, FacialLMConfig, exist_ok=True)
AutoModel.register(FacialLMConfig, FacialLMModel, exist_ok=True)
AutoModelForCausalLM.register(FacialLMConfig, FacialLM, exist_ok=True)
AutoModelForImageTextToText.register(FacialLMConfig, FacialLM, exist_ok=True)
AutoProcessor.register(FacialLMConfig, FacialProcessor, exist_ok=True)
