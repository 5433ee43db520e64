"""The tokenizers of models of text behind the interface of transformers.

    model, extra = load_model(path)
    HmlForCausalLM.from_backbone(model).save_pretrained(folder)
    text_tokenizer(extra.get("tokenizer")).save_pretrained(folder)
    pipeline("text-generation", folder)("Once upon")

Needs transformers: ``pip install hmlcore[hf]``.
"""

import json
from typing import Any

from hmlcore.errors import HmlcoreError
from hmlcore.optional import need

END = "<|end|>"
"""What byte 0 is called, which no text has: programs ask for a token that ends texts, and for one that pads."""


def text_tokenizer(pairs: str | None = None, **options: Any) -> Any:
    """What turns text into the tokens of a model of text, and back, as a PreTrainedTokenizerFast.

    Nothing is added to a text, and decoding gives it back, but for byte 0, which is lost: :data:`END`.
    Padding is on the left, as `generate` needs it.
    Args:
        pairs: byte pairs as `tokenizers` writes them, which :func:`~hmlcore.models.saved.load_model` gives as
            ``extra["tokenizer"]``. None: bytes, each the token of its number.
        options: others of PreTrainedTokenizerFast.
    Raises: HmlcoreError where transformers is not installed, and for `pairs` that are no byte pairs.
    """
    need("a tokenizer for transformers", "hf", "transformers")
    from tokenizers import Tokenizer, decoders, models, pre_tokenizers
    from transformers import PreTrainedTokenizerFast

    if pairs is None:
        bytes_alone = Tokenizer(models.BPE({char: byte for byte, char in enumerate(_byte_characters())}, []))
        bytes_alone.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=False, use_regex=False)
        bytes_alone.decoder = decoders.ByteLevel()
        pairs = bytes_alone.to_str()
    try:
        parts = json.loads(pairs)
        vocabulary = parts["model"]["vocab"]
        vocabulary[END] = vocabulary.pop(_byte_characters()[0])
        inner = Tokenizer.from_str(json.dumps(parts))
    except Exception as error:  # the library raises bare Exceptions
        raise HmlcoreError(f"this is no byte-level tokenizer ({type(error).__name__}: {error})") from error
    usual = dict(eos_token=END, pad_token=END, padding_side="left", clean_up_tokenization_spaces=False)
    return PreTrainedTokenizerFast(tokenizer_object=inner, **usual | options)


def _byte_characters() -> list[str]:
    """The characters that stand for bytes 0 … 255: themselves where they are seen, else those after U+00FF."""
    seen = {*range(0x21, 0x7F), *range(0xA1, 0xAD), *range(0xAE, 0x100)}
    others = iter(range(0x100, 0x200))
    return [chr(byte if byte in seen else next(others)) for byte in range(256)]
