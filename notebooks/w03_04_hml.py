# ---
# jupyter:
#   kernelspec:
#     display_name: Python 3
#     language: python
#     name: python3
# ---

# %% [markdown]
# # The Hamiltonian Memory Layer
#
# A recurrent layer must decide what to do with a state of fixed size.
# The layer of this chapter treats that state as a mechanical system: a position $Q$, a momentum $P$, and an energy that each token shapes.
# The chapter derives the update, checks it against the package, looks at one trained head, and measures the layer against attention and a classical recurrent unit on three tasks.
#
# Every figure and every number below is read from the results store; the stamp under a figure says which profile, device and number of seeds made it.

# %% tags=["parameters"]
profile = "laptop"
run_missing = False

# %% tags=["remove-input"]
import plotly.io
import torch

from hmlcore.evaluation.claims import claim_table
from hmlcore.experiments import results_of, trace_of
from hmlcore.figures.bytes import bytes_by_context, bytes_position
from hmlcore.figures.copy import copy_curves, copy_heatmaps
from hmlcore.figures.portrait import phase_portrait
from hmlcore.figures.recall import recall_curves, recall_frontier
from hmlcore.figures.tables import models_table, render
from hmlcore.results.tuning import tuned

plotly.io.renderers.default = "plotly_mimetype"

# %% [markdown]
# ## State and energy
#
# Per head the state is a pair of matrices, position $Q$ and momentum $P$, each with $N$ rows (keys) and $D$ columns (values).
# Token $t$ brings a key $k_t$ of unit length, a value $v_t$ and a strength $\beta_t$, and with them a potential whose minimum is the association it wants stored:
#
# $$
# H_t(Q, P) = \tfrac12 \lVert P\rVert^2 + \tfrac12 \beta_t \lVert k_t^\top Q - v_t^\top\rVert^2 .
# $$ (eq-energy)
#
# Hamilton's equations, $\dot Q = \partial H/\partial P$ and $\dot P = -\partial H/\partial Q$, say that the position drifts with the momentum and that the momentum is kicked towards the stored association:
#
# $$
# \dot Q = P, \qquad \dot P = -\beta_t\, k_t \bigl(k_t^\top Q - v_t^\top\bigr).
# $$ (eq-motion)
#
# The leapfrog integrator {cite:p}`hairer2006geometric` splits one step of size $h$ into half a drift, a whole kick and half a drift.
# Friction $\gamma_t \in (0, 1]$ acts at the kick and forgetting $\alpha_t \in (0, 1]$ before the step:
#
# $$
# \begin{aligned}
# Q, P &\leftarrow \alpha_t Q,\ \alpha_t P,\\
# Q &\leftarrow Q + \tfrac h2 P,\\
# P &\leftarrow \gamma_t P - h \beta_t\, k_t (k_t^\top Q - v_t^\top),\\
# Q &\leftarrow Q + \tfrac h2 P, \qquad o_t = r_t^\top (Q + \mu P).
# \end{aligned}
# $$ (eq-leapfrog)
#
# With $\gamma \to 0$ and no momentum in the read this is the gated delta rule {cite:p}`yang2025gated`; the delta rule is the over-damped limit of the layer.

# %% [markdown]
# ## The step in ten lines
#
# The cell below is {eq}`eq-leapfrog` and nothing else.
# The package computes the same thing sixteen or more tokens at a time, in matrix form; the two must agree.

# %%
def leapfrog_memory(r, k, v, alpha, gamma, beta, h):
    Q = torch.zeros(k.shape[-1], v.shape[-1], dtype=k.dtype)
    P, outputs = torch.zeros_like(Q), []
    for t in range(len(k)):
        Q, P = alpha[t] * Q, alpha[t] * P
        Q = Q + h / 2 * P
        P = gamma[t] * P - h * beta[t] * torch.outer(k[t], k[t] @ Q - v[t])
        Q = Q + h / 2 * P
        outputs.append(r[t] @ Q)
    return torch.stack(outputs)


# %%
from hmlcore.ops.hamiltonian import chunk_hamiltonian, leapfrog, random_inputs

x = random_inputs(1, 200, 1, 8, 8, dtype=torch.float64)
log_alpha, log_gamma, beta, h = (
    x[name].detach() for name in ("log_alpha", "log_gamma", "beta", "h")
)
r, k, v = (x[name].detach() for name in ("r", "k", "v"))
coefficients = leapfrog(log_alpha, log_gamma, beta, h, mu=torch.zeros(1))
fast = chunk_hamiltonian(r, k, v, coefficients)[0][0, :, 0]
gates = (gate[0, :, 0] for gate in (log_alpha.exp(), log_gamma.exp(), beta))
slow = leapfrog_memory(r[0, :, 0], k[0, :, 0], v[0, :, 0], *gates, h)
print("equal to 1e-12:", bool((slow - fast).abs().max() < 1e-12))

# %% [markdown]
# Without friction and forgetting one step preserves phase-space area: its Jacobian $J$ satisfies $J^\top \Omega J = \Omega$.
# That is what *symplectic* means, and it holds whatever the step size, also where the motion is unstable.

# %%
def one_step(state, beta=0.7, h=1.3):
    Q, P = state[:2], state[2:]
    k = torch.tensor([0.6, 0.8], dtype=torch.float64)
    Q = Q + h / 2 * P
    P = P - h * beta * k * (k @ Q - 1.0)
    return torch.cat((Q + h / 2 * P, P))


start = torch.randn(4, dtype=torch.float64)
J = torch.autograd.functional.jacobian(one_step, start)
rotation = torch.tensor([[0.0, 1.0], [-1.0, 0.0]], dtype=torch.float64)
Omega = torch.kron(rotation, torch.eye(2, dtype=torch.float64))
print("symplectic to 1e-14:", bool((J.T @ Omega @ J - Omega).abs().max() < 1e-14))

# %% [markdown]
# ## One trained head on real text
#
# A small byte-level language model was trained on the source text of Python's standard library.
# {numref}`fig-portrait` follows one head of its last layer through a text it has not seen.
# The head's matrices are seen along one pair of directions $(a, b)$, the leading singular pair of the last $Q$: the orbit is $q_t = a^\top Q_t b$ and $p_t = a^\top P_t b$.
# Move the slider, or press play, to follow the text.

# %% tags=["hide-input"] mystnb={"figure": {"name": "fig-portrait", "caption": "Orbit, energy and gates of one trained head while it reads source text; the slider moves through the bytes."}}
phase_portrait(trace_of("bytes", profile, run_missing), corpus="stdlib")

# %% [markdown]
# The orbit is a sequence of kicks and decays, not a closed curve: the trained layer uses friction.
# Kinetic energy jumps where a token is written and falls as the friction takes it away; the potential is what is left of the prediction error after the step.
# The layer *can* conserve energy; whether it learns to is what the gates show.

# %% [markdown]
# ## Three questions
#
# Every mixer stands in the same backbone, with the same short convolution, the same number of parameters (the MLP's width makes them equal), the same learning rates to choose from on validation data, and the same seeds.
# State is **not** equal between mixers, and it cannot be for attention, whose cache grows with the sequence; the table says what each one uses.

# %%
copying = results_of("copy", profile, run_missing)
recalling = results_of("recall", profile, run_missing)
reading = results_of("bytes", profile, run_missing)

# %% [markdown]
# The models of the text experiment:

# %% tags=["remove-input"]
models_table(reading)

# %% [markdown]
# ### Copy: is it the load or the lag?
#
# A message of a few symbols, a silence, a signal, and then the message must be said again, one symbol a step.
# The number of symbols (the load) and the length of the silence (the lag) are separate knobs, because a long message fills any finite state while a long silence need not.
# The models are trained on short silences and on two loads, and tested on longer ones.
# The claim: *what limits a conserved state is the load, not the lag*.

# %% tags=["hide-input"] mystnb={"figure": {"name": "fig-copy", "caption": "Share of messages copied without an error over load and lag; the outline marks what was trained on."}}
copy_heatmaps(copying)

# %% tags=["hide-input"] mystnb={"figure": {"name": "fig-copy-lag", "caption": "The same against the lag, every seed a dot."}}
copy_curves(copying)

# %% [markdown]
# ### Recall: how many pairs per byte of state?
#
# Multi-query associative recall {cite:p}`arora2024zoology` writes pairs of a key and a value and asks for values by their keys.
# Attention keeps every pair in its cache; a bounded state must superpose them.
# The axis that makes this fair to read is the number of bytes that the state takes.

# %% tags=["hide-input"] mystnb={"figure": {"name": "fig-recall", "caption": "Accuracy of recall against bytes of state; up and to the left is better. The slider changes the number of pairs."}}
recall_frontier(recalling)

# %% tags=["hide-input"] mystnb={"figure": {"name": "fig-recall-pairs", "caption": "Accuracy of recall against the number of pairs, every seed a dot."}}
recall_curves(recalling)

# %% [markdown]
# ### Text: what does a bounded state cost?
#
# Byte-level language modelling, scored in bits per byte at the context of training and at a longer one.
# The corpora are the standard library's source text, split by module, and a subset of PG-19 {cite:p}`rae2020compressive`; because it is a subset, no number here compares with published PG-19 perplexities.

# %% tags=["hide-input"] mystnb={"figure": {"name": "fig-bytes", "caption": "Bits per byte on test text against the context, every seed a dot; lower is better."}}
bytes_by_context(reading)

# %% tags=["hide-input"] mystnb={"figure": {"name": "fig-bytes-position", "caption": "Bits per byte by position in the longest context: what more past is worth to each memory."}}
bytes_position(reading)

# %% [markdown]
# The means behind the first figure, the best first.
# The claims below compare HML with attention; the classical unit stands beside them because a small budget favours simple models, and where it leads here, neither matrix memory has earned its cost on text at this size.

# %% tags=["hide-input"]
scores = tuned(reading).metric("bits_per_byte")
means = scores.groupby(["mixer", "corpus", "context"])["value"].mean()
means = means.unstack(["corpus", "context"]).sort_index(axis=1)
means = means.loc[means.mean(axis=1).sort_values().index].map("{:.3f}".format)
means.columns = [f"{corpus}, {context} bytes" for corpus, context in means]
render(means.reset_index(), note=reading.stamp())

# %% [markdown]
# ## What was learned, and what was not
#
# Each claim was written into its experiment, with the rule that decides it, before the runs were made.
# The verdicts below are computed from the store.

# %% tags=["hide-input"]
claims = claim_table({"copy": copying, "recall": recalling, "bytes": reading})
render(claims, note=recalling.stamp())

# %% [markdown]
# What these measurements do not say:
#
# - The models are small and were trained for minutes; the laptop profile shows mechanisms and orderings, not the best that any of these layers can do.
# - Parameters and tuning are equal, state bytes are not: a recurrent unit of equal width holds far less state than either matrix memory, so its losses on recall are losses of state as much as of mechanism.
# - With a constant step the leapfrog differs from a momentum delta rule only in what is read {cite:p}`huang2026mdn`; nothing here shows that the symplectic step itself, rather than the matrix state and its gates, earns the result.
# - Symplectic is not bounded: when keys change from token to token the undamped step is a parametrically driven oscillator, and its state can grow. The trained layer avoids this by friction.
