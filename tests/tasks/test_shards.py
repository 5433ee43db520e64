"""Shards of tokens: the documents' own, made once, mapped, whole or not at all."""

import numpy as np
import pytest

from hmlcore.tasks import shards
from hmlcore.tasks.bpe import ByteTokenizer, learn
from hmlcore.tasks.documents import Documents
from hmlcore.tasks.shards import tokenised

TEXTS = [f"document {i}: " + "the ship and the sea and the sky; " * (i + 1) for i in range(9)]


@pytest.fixture
def cache(tmp_path, monkeypatch):
    monkeypatch.setenv("HMLCORE_CACHE", str(tmp_path))
    monkeypatch.setattr(shards, "SHARD_BYTES", 400)
    return tmp_path / "tokens"


@pytest.fixture(scope="module")
def byte_pairs():
    return learn(TEXTS, 275)


def documents(texts=TEXTS):
    return Documents.of([(f"d{i}", text.encode()) for i, text in enumerate(texts)])


def test_tokens_are_those_of_each_document_alone(cache, byte_pairs):
    found = tokenised(documents(), byte_pairs)
    assert len(found) == 9 and found.names == tuple(f"d{i}" for i in range(9))
    for i, text in enumerate(TEXTS):
        assert byte_pairs.decode(found[i]) == text.encode()
        assert found.sizes[i] == len(found[i]) == len(byte_pairs.encode(text.encode()))
    assert found.cut(3, 5, 7).tolist() == found[3][5:12].tolist()
    assert found.cut(3, 5, 7).dtype == np.int64


def test_shards_hold_whole_documents_and_are_mapped(cache, byte_pairs):
    found = tokenised(documents(), byte_pairs)
    files = sorted(cache.glob("*/*.kept"))
    sizes = [len(text) for text in TEXTS]
    parts = shards._parts(np.array(sizes))
    assert len(files) == len(parts) > 2
    assert [i for part in parts for i in part] == list(range(9))
    for part in parts:
        assert len(part) == 1 or sum(sizes[i] for i in part) <= 400
    assert not found[0].flags.owndata and not found[0].flags.writeable
    assert shards._parts(np.array([900, 1, 399, 1])) == [range(0, 1), range(1, 3), range(3, 4)]


def test_they_are_made_once_and_go_on_where_they_were_interrupted(cache, byte_pairs, monkeypatch):
    whole = tokenised(documents(), byte_pairs)
    files = sorted(cache.glob("*/*.kept"))
    files[1].unlink()
    made = []
    encoded = shards._encoded
    monkeypatch.setattr(
        shards, "_encoded", lambda text, part, how: made.append(part) or encoded(text, part, how)
    )
    again = tokenised(documents(), byte_pairs)
    assert len(made) == 1 and files[1].exists()
    assert all(np.array_equal(whole[i], again[i]) for i in range(9))
    tokenised(documents(), byte_pairs)
    assert len(made) == 1


def test_other_text_and_other_tokenizers_have_other_shards(cache, byte_pairs):
    one = tokenised(documents(), byte_pairs)
    changed = tokenised(documents(["something else", *TEXTS[1:]]), byte_pairs)
    coarse = tokenised(documents(), learn(TEXTS, 262))
    assert byte_pairs.decode(changed[0]) == b"something else"
    assert coarse.sizes.sum() > one.sizes.sum()
    assert len(list(cache.iterdir())) == 3


def test_bytes_need_no_shards(cache):
    found = tokenised(documents(), ByteTokenizer())
    assert found[2].tobytes() == TEXTS[2].encode() and not cache.exists()


@pytest.mark.parametrize("damage", ["foreign", "altered", "of other documents", "of another place"])
def test_a_damaged_shard_is_said_and_made_again(cache, byte_pairs, damage, capsys):
    wanted = [tokens.copy() for tokens in tokenised(documents(), byte_pairs)._documents]
    file, other = sorted(cache.glob("*/*.kept"))[:2]
    if damage == "foreign":
        file.write_bytes(b"nothing")
    elif damage == "altered":
        content, tokens = file.read_bytes(), wanted[0].tobytes()
        file.write_bytes(content.replace(tokens, tokens[2:] + tokens[:2]))
    elif damage == "of another place":
        file.write_bytes(other.read_bytes())
    else:
        tokenised(documents([text.upper() for text in TEXTS]), byte_pairs)
        (copied,) = set(cache.glob(f"*/{file.name}")) - {file}
        file.write_bytes(copied.read_bytes())
    found = tokenised(documents(), byte_pairs)
    assert capsys.readouterr().err == f"hml: {file} is damaged (its hash is another); it is made again\n"
    assert all(np.array_equal(wanted[i], found[i]) for i in range(9))
    tokenised(documents(), byte_pairs)
    assert capsys.readouterr().err == ""
