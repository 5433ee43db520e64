"""The law of every model that reads in chunks: one pass, any cutting and single steps agree to the bit."""

import torch


def same(one, other):
    """Whether two states are equal, number by number."""
    return all(torch.equal(x, y) for a, b in zip(one, other, strict=True) for x, y in zip(a, b, strict=True))


@torch.no_grad()
def one_pass_as_cut(model, tokens, cuts, steps):
    """Hold the law on tokens [B, T]: cut into `cuts`, and `steps` of them one by one. The state of one pass."""
    logits, state = model(tokens)
    parts, cut = [], None
    for part in tokens.split(cuts, 1):
        said, cut = model(part, cut)
        parts.append(said)
    assert torch.equal(torch.cat(parts, 1), logits) and same(cut, state)
    singly, stepped = [], model.init_state(len(tokens))
    for token in tokens[:, :steps].T:
        said, stepped = model.step(token, stepped)
        singly.append(said)
    assert torch.equal(torch.stack(singly, 1), logits[:, :steps])
    return state
