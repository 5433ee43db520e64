# ---
# jupyter:
#   kernelspec:
#     display_name: Python 3
#     language: python
#     name: python3
# ---

# %% [markdown]
# # Superposed Bindings
#
# A value can be tied to a key by multiplying the two, number by number, and many such products can be added into one vector of fixed size.
# Multiply the sum by the inverse of a key, and its value comes back, with the others turned into noise.
# Plate's holographic reduced representations {cite:p}`plate1995holographic` are this; the system that this part of the book takes up, HAMT, promised to replace attention with them.
#
# Three questions, in this order: what does such a sum hold, what does it cost, and does a model that learns its keys do what other memories do?
#
# What was found so far, before all else:
#
# 1. *What random pairs leave in a sum is known beforehand.* Recall follows the law of capacity, whatever the binding ({numref}`fig-capacity_over_law`); it is a law of numbers a pair, and nothing infinite is in it.
# 2. *Slots at equal bytes buy no room.* They are cheaper to write, and hold as much or less ({numref}`fig-capacity-of-slots`).
# 3. *Bits are cheap.* A sum of many things is noise anyway, and loses little when it is stored coarsely; the table below says how little.
# 4. *Pairs are learned soon, and nothing is taken back.* Keys made of contents by a fixed map recall pairs in steps in which memories that learn their keys have hardly begun; the last of several values the layer does not find in them, and a needle in few seeds.
#
# ```{hml-figure} capacity_over_law
# ```
#
# What waits for its runs says so, and fills itself once they are in the store.

# %% tags=["parameters"]
profile = "laptop"
run_missing = False

# %% tags=["remove-input"]
import plotly.io
import torch

from hmlcore.runner import results_of, trace_of
from hmlcore.studies.holographic.figures import capacity_of_slots, learned_keys, stored_states
from hmlcore.studies.holographic.slots import answer_chances, norms_by_block, slot_gates, slot_norms, slots_used

plotly.io.renderers.default = "plotly_mimetype"

# %% [markdown]
# ## Binding, superposing, unbinding
#
# A key of unit modulus is a list of phases, $k = e^{i\varphi}$.
# Binding turns each complex number of a value by the phase of its key, unbinding turns it back, and neither changes a length:
#
# $$
# M = \sum_j k_j \circ v_j, \qquad \bar k_i \circ M = v_i + \sum_{j \ne i} \bar k_i \circ k_j \circ v_j .
# $$
#
# The first term is what was asked for; the second is the rest, each value turned by a random phase.
# In plain torch, with a clean-up that takes the nearest of the known values:


# %%
def superpose(phases, values):
    """One vector for all pairs: phases [N, D/2] of the keys, complex values [N, D/2]."""
    return (torch.exp(1j * phases) * values).sum(0)


def unbind(phases, memory):
    """What each key finds in the sum."""
    return torch.exp(-1j * phases) * memory


def clean_up(found, values):
    """The number of the known value that is nearest to each."""
    return (found @ values.conj().T).real.argmax(-1)


# %%
generator = torch.Generator().manual_seed(0)
pairs, numbers = 12, 512
phases = 2 * torch.pi * torch.rand(pairs, numbers // 2, generator=generator, dtype=torch.float64)
values = torch.view_as_complex(torch.randn(pairs, numbers // 2, 2, generator=generator, dtype=torch.float64))
memory = superpose(phases, values)
found = unbind(phases, memory)
assert clean_up(found, values).tolist() == list(range(pairs))
torch.testing.assert_close(unbind(phases[0], superpose(phases[:1], values[:1])), values[0])

# %% [markdown]
# The op of the package writes the same sum token by token and reads it after the last one.
# It is given real numbers, two neighbouring ones for each complex one, and must find what the lines above find:

# %%
from hmlcore.ops.holographic import holographic, keys_of_phases


def tokens(x):
    """[N, D/2] complex, or [N, D] real, as the op wants it: [1, N, 1, D]."""
    return (torch.view_as_real(x).flatten(-2) if x.is_complex() else x)[None, :, None]


keys, write = tokens(keys_of_phases("unitary", phases)), torch.ones(1, 2 * pairs, 1, 1, dtype=torch.float64)
write[:, pairs:] = 0  # first all pairs, then every key again, which only reads
o, _ = holographic(
    torch.cat((keys, keys), 1), torch.cat((keys, keys), 1), torch.cat((tokens(values),) * 2, 1), write,
    torch.ones_like(write), binding="unitary",
)  # fmt: skip
torch.testing.assert_close(o[:, pairs:], tokens(found))

# %% [markdown]
# ## What a sum holds
#
# $N$ pairs in $D$ numbers leave a read that is right where its product with the right value exceeds those with all $K - 1$ others.
# Both are normal, so the share of right answers is an integral that knows only $D / N$ and $K$:
#
# $$
# P(D, N, K) = \int \varphi\bigl(x - \sqrt{D / N}\bigr)\, \Phi(x)^{K - 1}\, dx .
# $$
#
# Phases, signs and circular convolution with unit spectra are all diagonals of modulus one in some frame, so the law is one for the three of them ({numref}`fig-capacity_over_law`).
# You can watch it: {doc}`/book/explorers/binding` adds pairs one at a time.
#
# Several slots of a part of the size each, with keys spread among them, have the same number of numbers a pair on average; a slot that got more pairs than its share is what they lose by.

# %% tags=["hide-input"] figure="capacity_of_slots"
capacity = results_of("holographic_capacity", profile, run_missing)
capacity_of_slots(capacity)

# %% [markdown]
# A state that is only read can be stored in fewer bits.
# What it loses is to be seen beside the same superpositions as they were:

# %% tags=["hide-input"]
stored_states(capacity)

# %% [markdown]
# Keys that are always the same need not be random: where it is known how many will meet, they can be learned.

# %% tags=["hide-input"]
learned_keys(capacity)

# %% [markdown]
# ## What it costs
#
# The system's source has a table by which it needs a small part of attention's operations.
# It sets a whole sequence of attention against one token of its own.
# Set against each other token by token, operations at the source's own sizes, seconds and bytes look like this:
#
# ```{hml-figure} holographic_cost
# :awaited:
# ```
#
# The sizes that the system was described in, counted without being built, and one step of training of the smallest:
#
# ```{hml-table} holographic_sizes
# :awaited:
# ```
#
# ## Inside a trained model
#
# Two models were trained on recall, to be looked into: the layer of this package, and the system as its source describes it, each with the same number of slots of the same size.
# One seed each: they are shown, not compared.
# They read one sequence, pairs first; then keys are asked for.

# %% tags=["hide-input"] figure="slot_norms"
slots = trace_of("holographic_portrait", profile, run_missing)
slot_norms(slots)

# %% [markdown]
# The source calls a slot used whose norm is large.
# Its state is normalised slot by slot, so that all are large whatever they hold; how many different things are held says the effective rank of the slots' contents.
# In the layer a token goes to one slot, and a router that is trained to choose one may choose the same again and again: look at how few of its slots are not empty.

# %% tags=["hide-input"] figure="slots_used"
slots_used(slots)

# %% [markdown]
# Where a slot is not chosen it takes nothing; in the described system all slots are given the same, and differ by their gates alone.

# %% tags=["hide-input"] figure="slot_gates"
slot_gates(slots)

# %% tags=["hide-input"] figure="norms_by_block"
norms_by_block(slots)

# %% [markdown]
# What comes of it where an answer is asked for:

# %% tags=["hide-input"] figure="answer_chances"
answer_chances(slots)

# %% [markdown]
# ## What it learns
#
# The layer against attention, gated DeltaNet in the layout that matches it, the Hamiltonian memory as an oscillator with rotors, and Mamba-2, at equal parameters and, where it can be set, equal floats of state; each at the learning rate that validation chose for it in each task, with seeds that no choice has seen.
#
# ```{hml-table} holographic_tasks
# :awaited:
# ```
#
# A content that comes again has its old key before anything is trained, for one fixed map makes keys of contents.
# What is left to learn is that the value stands one token behind, and so recall comes early, copying too.
# A value that is written again is added to the old one.
# Asked for the last of several the layer stays near chance, and so does the Hamiltonian memory, although it corrects what it wrote; Mamba-2 and the gated delta rule are beginning to do better, and attention alone answers.
# The needle is found in few of its seeds.
#
# So few steps tell what is learned soon and not what can be held.
# What the others do with more of them, and with the start and layout that suit each, stands among {doc}`/book/results_at_a_glance`.
#
# What its parts are worth, one changed at a time:
#
# ```{hml-table} holographic_parts
# :awaited:
# ```
#
# Three of these lines were not foreseen.
#
# - *Routing keeps recall from being learned.* A pair that was written into one slot is found only by a query that goes to the same one, which is chance before anything is learned. Writing and reading all slots by shares is learned in some seeds; a fast and a slow slot, between which nothing chooses, in all.
# - *Signs overwrite.* Binding by signs recalls less than by phases, and is the only variant that often answers with the last of several values in more than one seed, although nothing in it takes anything back.
# - *A loss beside the task's takes over.* At the weight that was written down before, no seed learned to recall, whatever the lag. At lag 0 that loss itself becomes small, as it must: the state need only hold the token that came last. At random lags it stays larger, for it asks that every token be told from those before it, which may pull keys of equal contents apart. The lines with a lighter weight were added when that was seen; with it, too, fewer seeds learn than without a loss.
#
# Convolution holds what phases hold and is learned in fewer of its seeds: the same memory in another frame is another start for a training.
# The described system does not learn to recall in as many steps, with its loss or without.
#
# And what the layer recalls when its state is stored in fewer bits between the pairs and the questions:
#
# ```{hml-table} stored_reading
# :awaited:
# ```
#
# The source reports a training of few steps on its own ten sentences.
# Here are as many steps on real text, tested on WikiText-2 {cite:p}`merity2017pointer`; the line below the table says what was trained on.
# In so few steps nobody learns to use a memory, which is why nothing is claimed from it.
#
# ```{hml-table} holographic_text
# :awaited:
# ```
#
# ## What was claimed
#
# Each rule was written before the runs that decide it; one that was not is marked exploratory.
#
# ```{hml-claims} holographic
# ```
#
# ## The source's list
#
# Fifteen things are promised by the system's source.
# Each is looked for by its name when this page is made, and each claim about it is read from the store.
#
# ```{hml-capabilities} holographic
# ```
#
# ## What this does not say
#
# - The law is one of random keys and clean-up among known values. A model that learns its keys need not follow it, and one whose values are no codebook cannot be measured by it.
# - The models are small. What a sum of bindings does beside attention in large ones is not known from here.
# - The described system was written down again from its source, which leaves choices open; the docstring of the layer says what was chosen.
