# ---
# jupyter:
#   kernelspec:
#     display_name: Python 3
#     language: python
#     name: python3
# ---

# %% [markdown]
# # The Write-up
#
# The last two weeks of the {doc}`../roadmap` were for a paper and a release.
# The {doc}`../proposal` also says what success is: three things, none of which is a matter of taste.
# This chapter computes whether they are there, from the store and from the files of the repository, shows the paper's pages, and lists what stands between it and a preprint server.
# Where something waits for runs, it says so; nothing here is typed in, and nothing is claimed to be submitted.

# %% tags=["parameters"]
profile = "laptop"
run_missing = False

# %% tags=["remove-input"]
import pandas as pd

from hmlcore.figures.tables import render
from hmlcore.paper.criteria import LONG, MET, NOT_MET, PARTS, SECTIONS, WAITS, criteria
from hmlcore.paper.submission import BY_HAND, steps
from hmlcore.studies.export import claims
from hmlcore.studies.fair.gate import REACHED
from hmlcore.studies.fair.scoreboard import MARGIN, MARGIN_TEXT

# %% [markdown]
# ## Success, as it was defined
#
# *A plot in which the layer is comparable or better on long-context tasks.*
# Comparable has a rule: in the comparison of six families, the difference of paired seeds to each bounded memory that is measured is surely above zero, or surely above minus the margin.
# Long-context families are those whose answers hang on what was read long before.
# Books are counted among them by decision, although they are read here no further than the windows of training; where they alone pass, that says little of length.
# One of them suffices; each is named, also those that are lost.

# %%
margins = dict.fromkeys(LONG, MARGIN) | {"books": MARGIN_TEXT}
render(pd.DataFrame(margins.items(), columns=["family", "margin"]))

# %% [markdown]
# *A complete draft of a paper.*
# Complete means: all its sections, a proof of every proposition, no citation that leads nowhere, nothing that waits for runs, and a PDF that was made from the store as it is and keeps to its pages and margins.

# %%
list(SECTIONS)

# %% [markdown]
# *An open repository with proposal, roadmap, code and results.*
# The files are looked for.
# Whether a server shows them to everybody is nothing that files can tell, and is a step of the list below.

# %%
PARTS

# %% [markdown]
# The verdicts:

# %% tags=["nbval-ignore-output"]
found = criteria(profile)
assert set(found["verdict"]) <= {MET, NOT_MET, WAITS}
render(found, note=f"{profile} profile")

# %% [markdown]
# ## The plot
#
# The difference between the layer and every rival, family by family; right of the line the layer is ahead.
# {doc}`../results_at_a_glance` has it with its tables, and with the gate that a family has to pass.
#
# ```{hml-figure} fair_scoreboard
# :awaited:
# :name: fig-fair_scoreboard_writeup
# ```
#
# The rule that decides the first criterion, for each of its families, is the claim's own:

# %%
decisive = {f"fair.not_worse_in_{family}" for family in LONG}
rows = [(c.statement, c.name) for c in claims() if c.name in decisive]
assert len(rows) == len(LONG)
note = f"a case counts where another memory than HML reaches {REACHED:g}"
render(pd.DataFrame(rows, columns=["claim", "name"]), note=note)

# %% [markdown]
# ## All claims of the book
#
# One plot is a low bar.
# What became of everything that was claimed, study by study:
#
# ```{hml-claims}
# ```
#
# A verdict counts as exploratory where its rule, as it reads today, is younger than its runs.
# Comparisons of memories that were made before the fair start are among them; {doc}`../erratum` says which do not hold.
#
# ## The paper
#
# ```{hml-paper}
# ```
#
# It has a first part that cannot be refuted by an experiment, propositions with proofs, and a second that can.
# What it shows of the second is taken out of the store when it is compiled; where the store has nothing yet, its page says *not measured yet*.
#
# ## To a preprint server
#
# What a program can see is *done* or *to do*; the rest is for people, and stays *by hand* here even after they have done it.

# %% tags=["nbval-ignore-output"]
todo = steps(profile)
assert (todo["state"] == BY_HAND).any()
render(todo, note=f"{profile} profile")

# %% [markdown]
# ## What the ten weeks do not say
#
# - The models are small and trained on a laptop. What orders them here need not order them where models are large.
# - That a draft is complete says nothing about whether it is right: nobody but its authors has read it.
# - A criterion that is met by one family of three is met by one family of three; the scoreboard shows the others.
