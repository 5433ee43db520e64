"""Behind the interface of transformers text has the tokens that it has here, and comes back as it was."""

import pytest
import torch

from hmlcore.errors import HmlcoreError
from hmlcore.models import Backbone, BackboneConfig
from hmlcore.models.generation import Sampling, generate
from hmlcore.models.saved import load_model, save_model
from hmlcore.tasks.bpe import BPE, ByteTokenizer, learn

transformers = pytest.importorskip("transformers")
from hmlcore.models.hf import HmlForCausalLM  # noqa: E402
from hmlcore.models.hf_tokenizer import END, text_tokenizer  # noqa: E402

transformers.utils.logging.disable_progress_bar()
TEXT = "Ā Once é\n  upon ,a\ttime!\r\n 'tis İ E\u0301 <|endoftext|> \u00a0x"


@pytest.fixture(scope="module")
def pairs():
    return learn(["once upon a time there was, and once upon another"] * 9, 275)


@pytest.mark.parametrize("kind", ["bytes", "bpe"])
def test_text_has_our_tokens_and_comes_back(kind, pairs, tmp_path):
    ours = ByteTokenizer() if kind == "bytes" else pairs
    text_tokenizer(None if kind == "bytes" else pairs.text).save_pretrained(tmp_path)
    theirs = transformers.AutoTokenizer.from_pretrained(tmp_path)
    tokens = theirs(TEXT)["input_ids"]
    assert tokens == ours.encode(TEXT.encode()).tolist() and theirs.decode(tokens) == TEXT
    assert len(theirs) == ours.vocab_size and theirs.convert_ids_to_tokens(theirs.eos_token_id) == END
    assert ours.decode([theirs.eos_token_id]) == b"\0"


@pytest.mark.parametrize("kind", ["bytes", "bpe"])
def test_a_saved_folder_is_a_pipeline(kind, pairs, tmp_path):
    """Of a model as the runner saves it; several prompts at once are as each alone."""
    torch.manual_seed(0)
    ours = ByteTokenizer() if kind == "bytes" else pairs
    backbone = Backbone(BackboneConfig(ours.vocab_size, "hml", 16, 2, 24, embedding_std=0.5)).eval()
    save_model(tmp_path / "model", backbone, {} if kind == "bytes" else {"tokenizer": pairs.text})
    model, extra = load_model(tmp_path / "model")
    HmlForCausalLM.from_backbone(model).save_pretrained(tmp_path / "folder")
    text_tokenizer(extra.get("tokenizer")).save_pretrained(tmp_path / "folder")
    write = transformers.pipeline("text-generation", str(tmp_path / "folder"), device="cpu")
    asked = dict(max_new_tokens=6, do_sample=False, return_full_text=False)
    prompts = ["Once upon", "a much longer time"]
    together = write(prompts, batch_size=2, **asked)
    for prompt, (written,) in zip(prompts, together, strict=True):
        tokens = torch.tensor([ours.encode(prompt.encode()).tolist()])
        new = generate(backbone, tokens, 6, Sampling(temperature=0))
        said = text_tokenizer(extra.get("tokenizer")).decode(new[0], skip_special_tokens=True)
        assert written["generated_text"] == said == write(prompt, **asked)[0]["generated_text"]


@pytest.mark.parametrize("text", ["", "[]", "{}", '{"model": {"vocab": {}}}', "no JSON"])
def test_what_is_no_tokenizer_is_refused(text):
    with pytest.raises(HmlcoreError, match="this is no byte-level tokenizer"):
        text_tokenizer(text)
    with pytest.raises(HmlcoreError, match="this is no byte-level tokenizer"):
        BPE(text)
