"""The backbone as a Hugging Face model, for every registered mixer; importing this registers it.

    import hmlcore.models.hf
    HmlForCausalLM.from_backbone(backbone).save_pretrained(folder)
    AutoModelForCausalLM.from_pretrained(folder).generate(tokens)

The Trainer of transformers decides by names which weights decay, and would shrink what moves a memory. It asks
one method, which can give our answer:

    from transformers import Trainer
    from hmlcore.layers.base import decaying

    class OurTrainer(Trainer):
        def get_decay_parameter_names(self, model):
            return decaying(model)

Needs transformers: ``pip install hmlcore[hf]``.
"""

from dataclasses import asdict, fields, replace
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from hmlcore.checks import check_arguments, check_optional
from hmlcore.errors import require
from hmlcore.files import listed
from hmlcore.layers.base import former_names
from hmlcore.models.backbone import Backbone, BackboneConfig
from hmlcore.models.documents import document_starts, next_positions, read_documents
from hmlcore.models.hf_arguments import (
    DOCUMENTS,
    LOSS,
    check_fields,
    check_labels,
    check_options,
    check_place,
    check_sparse,
    counted_tokens,
)
from hmlcore.models.padding import read_padded
from hmlcore.models.saved import count_blocks
from hmlcore.models.sparse import SparseConfig
from hmlcore.models.tensor_file import names_in
from hmlcore.optional import need

try:
    from transformers import (
        AutoConfig,
        AutoModelForCausalLM,
        GenerationMixin,
        PreTrainedConfig,
        PreTrainedModel,
    )
    from transformers.modeling_outputs import CausalLMOutputWithPast

    from hmlcore.models.hf_cache import HmlCache, check_input
except ModuleNotFoundError:
    need("hmlcore.models.hf", "hf", "transformers")
    raise


class HmlConfig(PreTrainedConfig):
    """A :class:`~hmlcore.models.BackboneConfig` by the same names, beside what every configuration has;
    `sparse` holds the further fields of a :class:`~hmlcore.models.SparseConfig`.

    Raises: HmlcoreError for tie_word_embeddings=False, the head is the embedding's own weight, and for a
        misspelt field, in `sparse` too.
    """

    model_type = "hml"
    keys_to_ignore_at_inference = ["past_key_values"]  # noqa: RUF012, a Trainer adds a list to it
    attribute_map = {  # noqa: RUF012
        "hidden_size": "d_model", "num_hidden_layers": "layers", "intermediate_size": "d_ff",
    }  # fmt: skip

    vocab_size: int = 256
    mixer: str = "hml"
    d_model: int = 64
    layers: int = 2
    d_ff: int = 128
    mixer_args: dict | None = None
    embedding_std: float = 0.02
    sparse: dict | None = None
    use_cache: bool = True
    tie_word_embeddings: bool = True

    def __post_init__(self, **options):
        check_fields(self, options, [field.name for field in fields(BackboneConfig)])
        require(
            self.tie_word_embeddings, "tie_word_embeddings must be True, got False: the head has no own weight"
        )
        self.mixer_args = check_optional("mixer_args", self.mixer_args, check_arguments) or {}
        self.sparse = check_optional("sparse", self.sparse, check_sparse)
        super().__post_init__(**options)

    @property
    def backbone(self) -> BackboneConfig:
        """What determines the backbone."""
        kind = BackboneConfig if self.sparse is None else SparseConfig
        return kind(
            self.vocab_size, self.mixer, self.d_model, self.layers, self.d_ff, dict(self.mixer_args or {}),
            self.embedding_std, **(self.sparse or {}),
        )  # fmt: skip


class HmlForCausalLM(PreTrainedModel, GenerationMixin):
    """:class:`~hmlcore.models.Backbone` behind the interface of transformers.

    `generate` greedily, by sampling or with beams. Padding: in plain calls on either side; in `generate` on
    the left, given by `attention_mask`, which no memory sees. A mixer whose state grows with the sequence
    takes rows of different lengths only with use_cache=False. Documents that share a row are kept apart where
    the mixer packs. A cache is good for one call (:class:`HmlCache`).
    Refused: inputs_embeds, output_hidden_states, output_attentions, masks with gaps, assisted generation, and
    arguments that are not known.
    """

    config_class = HmlConfig
    _no_split_modules: Any = ("Block",)
    _is_stateful = True

    def __init__(self, config: HmlConfig):
        super().__init__(config)
        self.backbone = config.backbone.build()
        self.post_init()

    @classmethod
    def from_backbone(cls, backbone: Backbone, **options) -> "HmlForCausalLM":
        """`backbone` itself, not a copy, as such a model; `options` are other fields of its configuration."""
        require(isinstance(backbone, Backbone), f"backbone must be a Backbone, got {type(backbone).__name__}")
        kind = type(backbone.config)
        require(kind in (BackboneConfig, SparseConfig), f"backbone must not be of a {kind.__name__}")
        given = asdict(backbone.config)
        own = {field.name for field in fields(BackboneConfig)}
        sparse = {name: given.pop(name) for name in set(given) - own}
        with torch.device("meta"):
            model = cls(HmlConfig(**given, sparse=sparse or None, **options))
        model.backbone = backbone
        return model.train(backbone.training)

    @classmethod
    def from_pretrained(cls, *arguments, output_loading_info: bool = False, **options):
        """As of transformers.

        Raises: HmlcoreError where the file lacks weights, instead of drawing them, or has others than the
            config says; in a folder, before a model is built that has other numbers of layers.
        """
        folder = Path(str((*arguments, options.get("pretrained_model_name_or_path"))[0]))
        if folder.is_dir():
            _compare_layers(folder, options.get("config"))
        loaded: Any = super().from_pretrained(*arguments, output_loading_info=True, **options)
        model, info = loaded
        former = former_names(model)
        if former.keys() & info["unexpected_keys"]:  # an older folder
            loaded = super().from_pretrained(
                *arguments, output_loading_info=True, key_mapping=former, **options
            )
            model, info = loaded
            del model._weight_conversions  # or a save would write the former names
        name = arguments[0] if arguments else "the model"
        missing, unknown = sorted(info["missing_keys"]), sorted(info["unexpected_keys"])
        require(not missing, f"{name} lacks weights: {', '.join(missing)}")
        require(not unknown, f"{name} has weights that its config has no place for: {', '.join(unknown)}")
        return (model, info) if output_loading_info else model

    def _init_weights(self, module) -> None:
        """Rows of an embedding that takes the place of the backbone's are drawn as its were; all else the
        backbone draws itself when it is built."""
        own = any(module is part for part in self.backbone.modules())
        if isinstance(module, torch.nn.Embedding) and not own:
            torch.nn.init.normal_(module.weight, std=self.config.embedding_std)

    def get_input_embeddings(self):
        return self.backbone.embedding

    def set_input_embeddings(self, value: torch.nn.Embedding) -> None:
        config, count = self.backbone.config, value.num_embeddings
        require(
            count == config.vocab_size or not isinstance(config, SparseConfig),
            f"a sparse memory's gate counts {config.vocab_size} ids: the vocabulary cannot become {count}",
        )
        self.backbone.embedding = value
        self.backbone.config = replace(config, vocab_size=count)

    def _prepare_cache_for_generation(self, generation_config, model_kwargs, *arguments, **options):
        chosen = generation_config.cache_implementation
        require(
            chosen is None,
            f"cache_implementation must be None, the model has a cache of its own; got {chosen!r}",
        )
        mask, cache = (model_kwargs.get(name) for name in ("attention_mask", "past_key_values"))
        require(
            mask is None or bool((mask[:, -1] != 0).all()),
            "attention_mask ends in padding; to generate, pad on the left (padding_side='left')",
        )
        if cache is not None:
            length = generation_config._mask_length if mask is None else mask.shape[1]
            require(
                length > cache.get_seq_length(),
                f"past_key_values has read {cache.get_seq_length()} tokens; input_ids must be those and what "
                f"follows, or attention_mask be of so many, got {length}",
            )
        elif generation_config.use_cache is not False:
            model_kwargs["past_key_values"] = HmlCache()

    def forward(
        self,
        input_ids: Tensor | None = None,
        attention_mask: Tensor | None = None,
        position_ids: Tensor | None = None,
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
            position_ids: [B, T], [1, T] or [T]. They do not enter the mixers; where they begin again, another
                document does, which sees nothing of those before it.
            past_key_values: the memory to go on from, once.
            labels: [B, T], compared with the logits one place before; −100 does not count. A collator puts
                it where documents begin.
            use_cache: return the memory. None: as configured, except in training and of packed documents.
            logits_to_keep: only those of the last so many tokens, or of the given places.
            options: what else transformers passes: seq_idx and cu_seq_lens_q, other ways to say where
                documents begin; cache_position; num_items_in_batch, ignore_index and shift_labels for the loss.
        Raises: HmlcoreError for what is not supported, and for an argument that is not known.
        """
        check_options(self, options)
        check_input(input_ids, past_key_values)
        assert input_ids is not None  # or it was refused
        check_labels(input_ids, logits_to_keep, labels=labels, shift_labels=options.get("shift_labels"))
        cache = past_key_values if past_key_values is not None else HmlCache()
        check_place(input_ids, cache.seen, options.get("cache_position"))
        counted = counted_tokens(input_ids, cache.seen, attention_mask)
        documents = {name: options.get(name) for name in DOCUMENTS}
        starts = document_starts(input_ids, counted, position_ids, **documents)
        if use_cache is None:
            use_cache = past_key_values is not None or (self.config.use_cache and not self.training)
            use_cache = use_cache and (starts is None or past_key_values is not None)
        require(
            starts is None or not (use_cache or cache.seen),
            "use_cache must be False, and past_key_values None, where documents share a row: they have no one "
            "memory",
        )
        positions = next_positions(input_ids, counted, position_ids, cache.positions)
        kept = slice(-logits_to_keep, None) if isinstance(logits_to_keep, int) else logits_to_keep
        logits, states = self._logits(input_ids, counted, starts, cache, use_cache, kept)
        loss = None
        if labels is not None or options.get("shift_labels") is not None:
            of_loss = {name: options[name] for name in LOSS if name in options}
            loss = self.loss_function(logits=logits, labels=labels, vocab_size=logits.shape[-1], **of_loss)
        after = (
            cache.followed_by(states, input_ids.shape[1], positions)
            if use_cache and states is not None
            else None
        )
        output = CausalLMOutputWithPast(loss=loss, logits=logits, past_key_values=after)
        whole = self.config.return_dict if return_dict is None else return_dict
        return output if whole else output.to_tuple()

    def _logits(
        self, tokens, counted, starts, cache: HmlCache, keep: bool | None, kept
    ) -> tuple[Tensor, list | None]:
        if tokens.shape[1] == 1 and cache.states is not None and counted is None:
            logits, states = self.backbone.step(tokens[:, 0], cache.states)
            return logits[:, None][:, kept], states
        if starts is not None:
            hidden, states = read_documents(self.backbone, tokens, counted, starts), None
        elif counted is None:
            hidden, states = self.backbone.hidden(tokens, cache.states)
        else:
            hidden, states = read_padded(self.backbone, tokens, counted, cache.states, keep)
        return self.backbone.logits(hidden[:, kept]), states


def _compare_layers(folder: Path, config: HmlConfig | Path | str | None) -> None:
    """Refuse millions of layers that are not there, before they are built."""
    names: list[str] = []
    for part in listed(folder, "*.safetensors"):
        names += names_in(part)
    said = (config if isinstance(config, HmlConfig) else HmlConfig.from_pretrained(config or folder)).layers
    blocks = count_blocks(names)
    require(not names or said == blocks, f"{folder} says layers = {said}, and holds {blocks} blocks")


AutoConfig.register("hml", HmlConfig, exist_ok=True)
AutoModelForCausalLM.register(HmlConfig, HmlForCausalLM, exist_ok=True)
