# ---
# jupyter:
#   kernelspec:
#     display_name: Python 3
#     language: python
#     name: python3
# ---

# %% [markdown]
# # What the Baselines Remember
#
# A comparison is worth what its weakest baseline is worth.
# This chapter introduces the ten mixers that later chapters measure the Hamiltonian memory against, all of them or some: what each keeps of the past, in one equation and one picture, and what that costs in bytes, in operations and in time.
# Each was written for this book from its paper and is tested against an implementation by other hands, where there is one, with copied weights and equal gradients.
#
# Three findings, before all else.
#
# 1. *From which length on a state of fixed size pays depends on the memory.* The Hamiltonian memory trains faster than attention from some length on and slower below it; some memories are faster at every length that was timed, and one at none ({numref}`fig-speed-train`).
# 2. *How the backbone starts is an experiment of its own.* Width of the embedding and norm of what is read were chosen by one rule for memories of seven kinds; that all of them leave the plateau of token frequencies as early as the rule wants, no start brings about.
# 3. *Small models follow cues, not the nesting.* On ListOps nobody keeps far beyond the training what the outermost operator does not give away.
#
# All of them stand in the same backbone and answer the same question: given the state $s_{t-1}$ and the token $x_t$, what is $s_t$, and what is read from it?
# Equations keep the letters of their papers, some of which {doc}`../notation` uses otherwise: $q_t$ is $r_t$ there, $h_t$ is a state, $\gamma$ a decay, $\mu_t$ and $\eta_t$ are gates.

# %% tags=["parameters"]
profile = "laptop"
run_missing = False

# %% tags=["remove-input"]
import pandas as pd
import plotly.io
import torch

from hmlcore.figures.tables import models_table, render
from hmlcore.results.tuning import tuned
from hmlcore.runner import results_of, trace_of
from hmlcore.studies.export import verdicts
from hmlcore.studies.ground.figures import ground_losses, ground_standings
from hmlcore.studies.lra.figures import listops_by_length, listops_ranking, listops_table
from hmlcore.studies.portraits.figures import memory_states
from hmlcore.studies.speed.figures import memory_table, speed_decode, speed_memory, speed_paths_table
from hmlcore.studies.speed.figures import speed_train, state_size_figure

plotly.io.renderers.default = "plotly_mimetype"

# %% [markdown]
# ## Keep everything: attention and Hyena
#
# **Attention** {cite:p}`vaswani2017attention` appends every key and value, rotated by its position {cite:p}`su2024roformer`, and reads by comparing a query with all of them:
#
# $$
# s_t = (s_{t-1}, k_t, v_t), \qquad o_t = \sum_{i \le t} \frac{e^{q_t^\top k_i / \sqrt N}}{\sum_{j \le t} e^{q_t^\top k_j / \sqrt N}}\, v_i .
# $$ (eq-base-attention)
#
# Nothing is lost, and nothing is summarised: the state grows by $2d$ numbers a token.
#
# **Hyena** {cite:p}`poli2023hyena` replaces the comparison by a convolution as long as the sequence, whose filter $f$ a small network draws from the position, between two gates:
#
# $$
# o_t = x^0_t \circ \sum_{i \le t} f_{t-i} \circ (x^1_i \circ v_i) .
# $$ (eq-base-hyena)
#
# The filter does not depend on the tokens and no recurrence of fixed size computes it, so decoding needs the whole history: Hyena has no step of constant cost.

# %% [markdown]
# ## Keep a vector: LSTM and GRU
#
# The classical units {cite:p}`hochreiter1997long,cho2014learning` keep one vector and rewrite all of it at every token.
# The GRU interpolates,
#
# $$
# h_t = z_t \circ h_{t-1} + (1 - z_t) \circ \tanh\bigl(W x_t + b + \rho_t \circ (U h_{t-1} + c)\bigr),
# $$ (eq-base-gru)
#
# and the LSTM keeps a cell $c_t = \phi_t \circ c_{t-1} + \iota_t \circ g_t$ beside what it shows, $h_t = \omega_t \circ \tanh c_t$.
# Their gates see the state itself, so no associative scan exists and training is sequential; their state is the smallest here.

# %% [markdown]
# ## Keep decaying sums: the state space models and retention
#
# **Mamba** {cite:p}`gu2023mamba` gives each channel $N$ numbers that decay at their own rates and lets the token choose the step size $\Delta_t$, what is written ($B_t$) and what is read ($C_t$):
#
# $$
# h_t = e^{\Delta_t A} \circ h_{t-1} + \Delta_t\, u_t B_t, \qquad o_t = C_t^\top h_t + D u_t .
# $$ (eq-base-mamba)
#
# **Mamba-2** {cite:p}`dao2024transformers` shares one decay per head, which turns the state into a matrix and the computation into matrix products.
# **RetNet** {cite:p}`sun2023retentive` fixes the decay $\gamma$ per head and lets nothing but keys and values depend on the token:
#
# $$
# S_t = \gamma S_{t-1} + k_t v_t^\top, \qquad o_t = S_t^\top q_t .
# $$ (eq-base-retnet)
#
# All three only add: an old value under the same key is outlived, never replaced.

# %% [markdown]
# ## Keep corrections: the delta rules
#
# **Gated DeltaNet** {cite:p}`yang2025gated,schlag2021linear` writes what is missing, the difference between the value and what the key already recalls:
#
# $$
# S_t = \alpha_t S_{t-1} - \beta_t k_t \bigl(k_t^\top \alpha_t S_{t-1} - v_t^\top\bigr) .
# $$ (eq-base-delta)
#
# **Momentum DeltaNet** {cite:p}`huang2026mdn` lets that correction gather speed in a second matrix $M$, and is the nearest published relative of the Hamiltonian memory:
#
# $$
# M_t = \mu_t M_{t-1} + \eta_t k_t \bigl(k_t^\top \alpha_t S_{t-1} - v_t^\top\bigr), \qquad S_t = \alpha_t S_{t-1} - \beta_t M_t .
# $$ (eq-base-mdn)

# %% [markdown]
# ## Keep oscillations: LinOSS
#
# **LinOSS** {cite:p}`rusch2025oscillatory,boyer2025learning` drives a bank of oscillators that know nothing of one another and whose stiffness $A$, the square of a frequency, and damping $G$ are learned but do not depend on the token:
#
# $$
# \ddot y = -A y - G \dot y + B u .
# $$ (eq-base-linoss)
#
# It shares the Hamiltonian memory's mechanics and lacks its associations; between them the comparison tells which of the two matters.
#
# ## Three of them in ten lines
#
# The matrix memories differ in what they subtract before they write, and in whether the write has inertia.
# One loop therefore computes retention, the gated delta rule and its momentum form; the package must agree with each.

# %%
def matrix_memory(q, k, v, keep, strength, correct=True, inertia=None):
    S = torch.zeros(k.shape[-1], v.shape[-1], dtype=k.dtype)
    M, outputs = torch.zeros_like(S), []
    for t in range(len(k)):
        S = keep[t] * S
        miss = (k[t] @ S if correct else 0) - v[t]
        write = torch.outer(k[t], miss)
        M = write if inertia is None else inertia[t] * M + write
        S = S - strength[t] * M
        outputs.append(q[t] @ S)
    return torch.stack(outputs)


# %%
from hmlcore.ops.delta_rule import chunk_delta_rule
from hmlcore.ops.momentum_delta import chunk_momentum_delta
from hmlcore.ops.retention import parallel_retention

torch.manual_seed(0)
q, k, v = torch.randn(3, 1, 100, 1, 8, dtype=torch.float64)
k = torch.nn.functional.normalize(k, dim=-1)
alpha, beta, mu = torch.rand(3, 1, 100, 1, dtype=torch.float64)
one, flat = torch.ones_like(beta), lambda *xs: (x[0, :, 0] for x in xs)
gamma = alpha[0, :1, 0]
pairs = {
    "retention": (
        parallel_retention(q, k, v, gamma.log())[0],
        matrix_memory(*flat(q, k, v), gamma.expand(100), one[0], correct=False),
    ),
    "gated delta rule": (
        chunk_delta_rule(q, k, v, alpha.log(), beta)[0],
        matrix_memory(*flat(q, k, v, alpha, beta)),
    ),
    "momentum delta rule": (
        chunk_momentum_delta(q, k, v, alpha.log(), mu.log(), beta, one)[0],
        matrix_memory(*flat(q, k, v, alpha, beta), inertia=mu[0, :, 0]),
    ),
}
for name, (fast, slow) in pairs.items():
    print(f"{name}, equal to 1e-10:", bool((fast[0, :, 0] - slow).abs().max() < 1e-10))

# %% [markdown]
# ## One picture of each state
#
# Every mixer below was trained to evaluate nested expressions, on the ground of the section after this one, and then read one of them, token by token from left to right.
# {numref}`fig-memory-states` shows the state of its last block: what grows, what is rewritten at every token, and what lingers.
# The training is short and none of them follows the nesting yet; HML is its default here and in the costs and timings below, the delta rule, and the leapfrog of the first proposal in the lists.

# %% tags=["hide-input"] figure="memory_states"
memory_states(trace_of("portraits", profile, run_missing))

# %% [markdown]
# What a state costs is arithmetic, and the table computes it from the single layers that were timed for this chapter (in whole models the width of the MLP makes parameters equal).

# %% tags=["hide-input"]
timings = results_of("speed", profile, run_missing)
memory_table(timings)

# %% tags=["hide-input"] figure="state_size"
state_size_figure(timings)

# %% [markdown]
# ## The ground under a comparison
#
# Before memories are compared, all of them need a start from which they can learn: how wide the embedding begins, and whether a gated memory gives every read unit size (*head*), leaves small reads small (*soft*), or leaves all as they are (*none*).
# Every pair of these was tried with seven kinds of memory at once (not with the classical units, LinOSS and momentum DeltaNet), trained by Muon, on recall and on books, and judged on validation data by a rule that was fixed before; when two pairs turned out equal it was completed: the one that changes less.
# The first row of the table is what it takes; the last column is the training step at which the last memory did better than a code that knows only how frequent tokens are, which the rule wants within twenty, and which no start brings about.
# The second bake-off, copy and recall of {doc}`w03_04_hml`, counting in {doc}`w05_06_synthetic` and the comparison of {doc}`../results_at_a_glance` stand on the first row; the lists below and what else is marked so were made before, with AdamW and a norm a head.

# %% tags=["hide-input"]
ground = results_of("ground", profile, run_missing)
ground_standings(ground)

# %% tags=["hide-input"]
ground_losses(ground)

# %% [markdown]
# ## ListOps: who follows a nested thought?
#
# ListOps {cite:p}`nangia2018listops` asks for the value of an expression such as `[MAX 2 [MED 7 1 4 ] 9 ]`: a nested list of minima, maxima, medians and sums modulo ten, read one token at a time and answered with one digit.
# It is the first task of Long Range Arena {cite:p}`tay2021long` and the generator here follows that one exactly, with a seed and a fixed order that the original lacks; shorter expressions come from the same law with a smaller limit on their length.
#
# Each model is trained on three limits in turn and tested on those and on longer ones.
# Two questions are kept apart.
# *Causal* models see each token once, from left to right, as a memory must.
# *Bidirectional* ones let every second block read from right to left {cite:p}`alkin2025vision`; published results of S4 and its relatives on this task are of this second kind {cite:p}`gu2022efficiently`.
# Both have the same parameters and the same state.

# %% tags=["hide-input"]
listops = results_of("lra_listops", profile, run_missing)
models_table(listops)

# %% tags=["hide-input"] figure="listops_by_length"
listops_by_length(listops)

# %% tags=["hide-input"] figure="listops_ranking"
listops_ranking(listops)

# %% tags=["hide-input"]
listops_table(listops)

# %% [markdown]
# How much of this is following the nesting?
# A good part of the answer can be guessed from the outermost operator alone: maxima are large, minima small.
# The cell below counts, over training expressions, the most frequent value under each outermost operator, and lets that one token answer the test.

# %%
from hmlcore.studies.kit.comparison import task_from

tests = [e for e in listops.specs()[0]["evaluate"] if e["split"] == "test"]
one_token = {}
for entry in tests:
    task = task_from(entry)
    seen = task.batch("train", 0, 8000, seed=0)
    asked = task.batch("test", 0, entry["examples"], seed=0)
    counts = torch.zeros(task.vocab_size, task.classes)
    counts.index_put_((seen.inputs[:, 0], seen.labels), torch.ones(8000), accumulate=True)
    right = counts.argmax(1)[asked.inputs[:, 0]] == asked.labels
    one_token[task.max_length] = right.float().mean().item()

# %% tags=["hide-input"]
means = tuned(listops).metric("accuracy", direction="causal")
means = means.groupby(["mixer", "length"])["value"].mean().unstack("length")
rows = {"outermost operator alone": one_token, "HML": means.loc["hml"], "best mixer": means.max()}
frame = pd.DataFrame(rows).T.map("{:.3f}".format)
frame.columns = [f"below {length} tokens" for length in frame]
render(frame.reset_index(names="answer by"), note=listops.stamp())

# %% [markdown]
# Read beside this, the figures say something sober.
# What mixers add to that one token shrinks as expressions grow longer, and past the lengths of training there is little left of it for any of them: in this budget they learn cues near the outermost operator rather than the nesting.
# The ranking therefore shows who learns such cues quickly; the Hamiltonian memory, which starts as a slow writer, is not among them.
# The claim about longer expressions at the end of this chapter is judged by the rule that was written down beforehand, and that rule, which asks only for more than the most frequent answer, asked too little.

# %% [markdown]
# ## Speed and memory on this machine
#
# Time depends on a machine and an implementation as much as on an equation, so all mixers are timed side by side in one run: for each length every mixer takes its turn, again and again, and what is compared are medians of the same minutes.
# One layer, one sequence at a time, forward and backward; then the cost of one more token after a context of that length.
# The buttons change from time per token to its ratio to attention and to the gated delta rule, and a ring marks where a mixer becomes faster than attention.

# %% tags=["hide-input"] figure="speed_train"
speed_train(timings)

# %% tags=["hide-input"] figure="speed_decode"
speed_decode(timings)

# %% tags=["hide-input"] figure="speed_memory"
speed_memory(timings)

# %% [markdown]
# Which code produced each timing, and where it crosses attention:

# %% tags=["hide-input"]
speed_paths_table(timings)

# %% [markdown]
# ## What was claimed, and what came of it
#
# Each claim has a rule that decides it from the store.
# *Exploratory* is a verdict whose rule, as it is written today, is younger than its runs; a rule that was only rewritten, or moved with its words changed, counts as younger too, since nothing else can be computed.

# %% tags=["hide-input"]
render(verdicts(listops, timings), note=listops.stamp())

# %% [markdown]
# What these measurements do not say:
#
# - The models are small, the expressions short and the training brief: the laptop profile orders mechanisms, it does not reproduce published scores, which belong to longer expressions, larger models and days of training.
# - Parameters are equal, tuning is a choice between few learning rates, and bidirectional models had a single one; the matrix memories hold equal state, while attention, Hyena, the classical units, Mamba and LinOSS do not.
# - On a processor, a timing compares implementations in one framework: units with a fused kernel there (the LSTM) look better, and those whose published speed comes from a GPU kernel look worse, than they would elsewhere.
