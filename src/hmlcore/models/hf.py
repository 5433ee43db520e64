"""The backbone as a Hugging Face model, for every registered mixer; importing this registers it.

    import hmlcore.models.hf
    HmlForCausalLM.from_backbone(backbone).save_pretrained(folder)
    AutoModelForCausalLM.from_pretrained(folder).generate(tokens)

Needs transformers: ``pip install hmlcore[hf]``.
"""

from dataclasses import asdict, replace

import torch
from torch import Tensor

from hmlcore.errors import HmlcoreError, require
from hmlcore.layers.base import former_names
from hmlcore.models.backbone import Backbone, BackboneConfig
from hmlcore.models.padding import read_padded, select

try:
    from transformers import (
        AutoConfig,
        AutoModelForCausalLM,
        GenerationMixin,
        PreTrainedConfig,
        PreTrainedModel,
    )
    from transformers.cache_utils import Cache
    from transformers.modeling_outputs import CausalLMOutputWithPast
except ModuleNotFoundError as error:
    if error.name != "transformers":
        raise
    raise HmlcoreError(
        "hmlcore.models.hf needs the package 'transformers' (pip install hmlcore[hf])"
    ) from error


class HmlConfig(PreTrainedConfig):
    """A :class:`~hmlcore.models.BackboneConfig` by the same names, beside what every configuration has.

    Raises: HmlcoreError for tie_word_embeddings=False; the head is the embedding's own weight.
    """

    model_type = "hml"
    keys_to_ignore_at_inference = ("past_key_values",)
    attribute_map = {  # noqa: RUF012
        "hidden_size": "d_model", "num_hidden_layers": "layers", "intermediate_size": "d_ff",
    }  # fmt: skip

    vocab_size: int = 256
    mixer: str = "hml"
    d_model: int = 64
    layers: int = 2
    d_ff: int = 128
    mixer_args: dict | None = None
    use_cache: bool = True
    tie_word_embeddings: bool = True

    def __post_init__(self, **options):
        require(
            self.tie_word_embeddings, "tie_word_embeddings must be True, got False: the head has no own weight"
        )
        self.mixer_args = dict(self.mixer_args or {})
        super().__post_init__(**options)

    @property
    def backbone(self) -> BackboneConfig:
        """What determines the backbone."""
        return BackboneConfig(
            self.vocab_size, self.mixer, self.d_model, self.layers, self.d_ff, dict(self.mixer_args)
        )


class HmlCache(Cache):
    """The memory of a batch between two calls: `states`, one mixer state per block, after `seen` tokens.

    Beams are followed by reordering. A state is no list of tokens, so none can be taken back: no crop, no
    assisted generation.
    """

    is_compileable = False
    is_croppable = False
    is_initialized = False

    def __init__(self):
        super().__init__(layers=[])
        self.states: list | None = None
        self.seen = 0

    def get_seq_length(self, layer_idx: int = 0) -> int:
        """Tokens read so far, padding included."""
        return self.seen

    def get_max_length(self, layer_idx: int | None = None) -> int:
        """−1: there is no longest sequence."""
        return -1

    @property
    def batch_size(self) -> int:
        """Sequences, −1 before the first call."""
        return -1 if self.states is None else len(self.states[0][0])

    def reorder_cache(self, beam_idx: Tensor) -> None:
        """Sequence i goes on from what was sequence beam_idx[i]."""
        self.states = select(self.states, beam_idx)

    def batch_select_indices(self, indices: Tensor) -> None:
        """Keep the sequences `indices`."""
        self.states = select(self.states, indices)

    def batch_repeat_interleave(self, repeats: int) -> None:
        """Each sequence `repeats` times."""
        if self.states is not None:
            rows = torch.arange(self.batch_size, device=self.states[0][0].device)
            self.states = select(self.states, rows.repeat_interleave(repeats))

    def reset(self) -> None:
        """Forget everything."""
        self.states, self.seen = None, 0

    def crop(self, tokens_to_remove: int) -> None:
        """Refused, except for 0: what was read cannot be taken out of a state."""
        require(tokens_to_remove == 0, f"a cache of states cannot take back {tokens_to_remove} tokens")


class HmlForCausalLM(PreTrainedModel, GenerationMixin):
    """:class:`~hmlcore.models.Backbone` behind the interface of transformers.

    `generate` greedily, by sampling or with beams. Padding: in plain calls on either side; in `generate` on
    the left, given by `attention_mask`, which no memory sees. A mixer whose state grows with the sequence
    takes rows of different lengths only with use_cache=False.
    Refused: inputs_embeds, output_hidden_states, output_attentions, masks with gaps, assisted generation.
    """

    config_class = HmlConfig
    _no_split_modules = ("Block",)
    _is_stateful = True

    def __init__(self, config: HmlConfig):
        super().__init__(config)
        self.backbone = Backbone(config.backbone)
        self.post_init()

    @classmethod
    def from_backbone(cls, backbone: Backbone, **options) -> "HmlForCausalLM":
        """`backbone` itself, not a copy, as such a model; `options` are other fields of its configuration."""
        require(isinstance(backbone, Backbone), f"backbone must be a Backbone, got {type(backbone).__name__}")
        with torch.device("meta"):
            model = cls(HmlConfig(**asdict(backbone.config), **options))
        model.backbone = backbone
        return model.train(backbone.training)

    @classmethod
    def from_pretrained(cls, *arguments, output_loading_info: bool = False, **options):
        """As of transformers. Raises: HmlcoreError where the file lacks weights, instead of drawing them."""
        model, info = super().from_pretrained(*arguments, output_loading_info=True, **options)
        former = former_names(model)
        if former.keys() & info["unexpected_keys"]:  # an older folder
            model, info = super().from_pretrained(
                *arguments, output_loading_info=True, key_mapping=former, **options
            )
            del model._weight_conversions  # or a save would write the former names
        missing = sorted(info["missing_keys"])
        require(
            not missing, f"{arguments[0] if arguments else 'the model'} lacks weights: {', '.join(missing)}"
        )
        return (model, info) if output_loading_info else model

    def _init_weights(self, module) -> None:
        """Nothing: the backbone draws its own weights when it is built."""

    def get_input_embeddings(self):
        return self.backbone.embedding

    def set_input_embeddings(self, value) -> None:
        self.backbone.embedding = value
        self.backbone.config = replace(self.backbone.config, vocab_size=value.num_embeddings)

    def _prepare_cache_for_generation(self, generation_config, model_kwargs, *arguments, **options):
        chosen = generation_config.cache_implementation
        require(
            chosen is None,
            f"cache_implementation must be None, the model has a cache of its own; got {chosen!r}",
        )
        mask = model_kwargs.get("attention_mask")
        require(
            mask is None or bool((mask[:, -1] != 0).all()),
            "attention_mask ends in padding; to generate, pad on the left (padding_side='left')",
        )
        if model_kwargs.get("past_key_values") is None and generation_config.use_cache is not False:
            model_kwargs["past_key_values"] = HmlCache()

    def forward(
        self,
        input_ids: Tensor | None = None,
        attention_mask: Tensor | None = None,
        past_key_values: HmlCache | None = None,
        labels: Tensor | None = None,
        use_cache: bool | None = None,
        logits_to_keep: int | Tensor = 0,
        return_dict: bool | None = None,
        **options,
    ) -> CausalLMOutputWithPast | tuple:
        """Logits [B, T, vocab_size] of input_ids [B, T]; with `labels` the mean loss of the next tokens.

        Args:
            attention_mask: [B, T], or with a cache [B, tokens so far + T]; 0 for padding, whose logits are 0.
            past_key_values: the memory to go on from; it is moved on in place.
            labels: [B, T], compared with the logits one place before; −100 does not count.
            use_cache: return the memory. None: as configured, except in training.
            logits_to_keep: only those of the last so many tokens, or of the given places.
        Raises: HmlcoreError for what is not supported.
        """
        self._refuse(input_ids, past_key_values, options)
        if use_cache is None:
            use_cache = past_key_values is not None or (self.config.use_cache and not self.training)
        cache = past_key_values if past_key_values is not None else HmlCache()
        kept = slice(-logits_to_keep, None) if isinstance(logits_to_keep, int) else logits_to_keep
        logits, states = self._logits(input_ids, attention_mask, cache, use_cache, kept)
        if use_cache:
            cache.states, cache.seen = states, cache.seen + input_ids.shape[1]
        loss = None
        if labels is not None:
            loss = self.loss_function(
                logits=logits, labels=labels, vocab_size=logits.shape[-1], **_of_loss(options)
            )
        output = CausalLMOutputWithPast(loss=loss, logits=logits, past_key_values=cache if use_cache else None)
        return output if return_dict is not False else output.to_tuple()

    def _refuse(self, input_ids, past_key_values, options: dict) -> None:
        for name in ("inputs_embeds", "output_hidden_states", "output_attentions"):
            given = options.get(name)
            require(given is None or given is False, f"{name} is not supported by {type(self).__name__}")
        require(
            input_ids is not None and input_ids.ndim == 2,
            f"input_ids must be [B, T], got {None if input_ids is None else tuple(input_ids.shape)}",
        )
        require(
            past_key_values is None or isinstance(past_key_values, HmlCache),
            f"past_key_values must be an HmlCache, got {type(past_key_values).__name__}",
        )
        held = -1 if past_key_values is None else past_key_values.batch_size
        require(
            held in (-1, len(input_ids)),
            f"past_key_values holds {held} sequences, and input_ids has {len(input_ids)}",
        )

    def _logits(self, tokens, mask, cache: HmlCache, keep: bool, kept) -> tuple[Tensor, list | None]:
        length = tokens.shape[1]
        if mask is not None:
            require(
                mask.shape in (tokens.shape, (len(tokens), cache.seen + length)),
                f"attention_mask must be [B, {cache.seen + length}], got {tuple(mask.shape)}",
            )
            mask = mask[:, -length:]
        if length == 1 and cache.states is not None and (mask is None or bool(mask.all())):
            logits, states = self.backbone.step(tokens[:, 0], cache.states)
            return logits[:, None][:, kept], states
        if mask is None:
            hidden, states = self.backbone.hidden(tokens, cache.states)
        else:
            hidden, states = read_padded(self.backbone, tokens, mask, cache.states, keep)
        return self.backbone.logits(hidden[:, kept]), states


def _of_loss(options: dict) -> dict:
    """What a trainer passes on to the loss."""
    return {k: v for k, v in options.items() if k in ("num_items_in_batch", "ignore_index", "shift_labels")}


AutoConfig.register("hml", HmlConfig, exist_ok=True)
AutoModelForCausalLM.register(HmlConfig, HmlForCausalLM, exist_ok=True)
