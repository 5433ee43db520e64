"""Tables of the books: what every model scores and costs, and what it writes."""

import html
from collections import defaultdict
from collections.abc import Mapping, Sequence

import pandas as pd

from hmlcore.figures.style import in_order, mixer_style
from hmlcore.figures.tables import Table, models_frame, render, unequal
from hmlcore.results import ResultSet
from hmlcore.results.statistics import seed_interval
from hmlcore.results.text import bytes_text, signed, three
from hmlcore.studies.pg19.claims import ALL, by_book, training_context
from hmlcore.studies.pg19.curves import TRAINED, books_stamp, published, ways

# Short enough for a column: windows are random unless the state was carried.
_TRAINED = {way: name.removesuffix(", random windows") for way, name in TRAINED.items()}
# What a byte-level model may draw and a page cannot print, as the signs that stand for it.
_CONTROL = {code: 0x2400 + code for code in range(32) if chr(code) not in "\n\t"} | {127: 0x2421}


def pg19_setup(grids: Mapping[str, Sequence[Mapping]]) -> Table:
    """What the models are and read, a column a profile: profile → the specs of its grid. Needs no results."""
    columns = {profile: _setup(specs) for profile, specs in grids.items()}
    frame = pd.DataFrame(columns).rename_axis("").reset_index()
    return render(frame, note="from the settings; nothing here is measured", caption="Settings of the books.")


def _setup(specs: Sequence[Mapping]) -> dict[str, str]:
    main = [spec for spec in specs if spec["task"] == "bpe" and spec["variant"] == "windows"]
    tuned_with = [spec for spec in specs if spec["variant"] == "tuning"]
    one = main[0]
    text, asked, seeds = one["train"][0], one["long_text"], defaultdict(set)
    for spec in main:
        seeds[spec["mixer"]].add(spec["seed"])
    read = one["steps"] * one["batch_size"] * text["length"]
    rates = ", ".join(f"{lr:g}" for lr in sorted({spec["lr"] for spec in tuned_with}))
    return {
        "text": text["corpus"],
        "byte pairs": f"{text['vocab']:,}",
        "layers and width": f"{one['model']['layers']} of {one['model']['d_model']}",
        "parameters, all mixers": f"{one['model']['target_parameters']:,}",
        "training context": f"{text['length']:,} tokens",
        "training": f"{one['steps']:,} steps of {one['batch_size']} windows, {read:,} tokens",
        "learning rates tried": f"{rates}, {tuned_with[0]['steps']:,} steps each",
        "seeds": "–".join(str(n) for n in sorted({len(found) for found in seeds.values()})),
        "test": f"the first {asked['span']:,} bytes of {asked['books']} books",
        "contexts of the test": ", ".join(f"{context:,}" for context, _ in asked["windows"]),
    }


def pg19_scores(results: ResultSet) -> Table:
    """Bits per byte at the training context and at the longest, how far the latter are from HML's book by book,
    and perplexity of a token there; by tokenizer and way of training, the best first.

    Scores are means over seeds, with their t-interval from five seeds on.
    """
    chosen = published(results)
    lines = [
        line
        for task, variant in ways(chosen)
        for line in _scored(chosen.where(task=task, variant=variant), _TRAINED[task, variant])
    ]
    note = (
        f"{books_stamp(chosen)} · − HML: mean over books, in brackets its 95 % interval, with fewer than five "
        "books the smallest and largest; perplexity at the longest context, of a token"
    )
    return render(pd.DataFrame(lines), note=note, caption="Language models of books.")


def pg19_costs(results: ResultSet) -> Table:
    """Parameters, state, operations, speed and text read; a row a model, tokenizer and way of training."""
    chosen = published(results)
    lines = []
    for task, variant in ways(chosen):
        part = chosen.where(task=task, variant=variant)
        rows = part.metric("loss", split="train").drop_duplicates("spec_hash")
        read = part.metric("training_bytes", split="train").groupby("mixer")["value"].mean() / 1e6
        for mixer in in_order(rows["mixer"]):
            own = rows[rows["mixer"] == mixer]
            lines.append(
                {
                    "model": mixer_style(mixer).label, "trained on": _TRAINED[task, variant],
                    "parameters": int(own["parameters"].max()), "state": bytes_text(own["state_bytes"].max()),
                    "MFLOPs a token": f"{own['flops_per_token'].max() / 1e6:.3g}",
                    "tokens a second": three(own["tokens_per_s"].mean()), "MB read": f"{read[mixer]:.3g}",
                }
            )  # fmt: skip
    remarks = unequal(models_frame(chosen.where(task="bpe", variant="windows")))
    note = ". ".join([f"{chosen.stamp()} · state and operations at the training context, speed in training",
                      *remarks])  # fmt: skip
    return render(pd.DataFrame(lines), note=note, caption="Costs of the language models of books.")


def _scored(part: ResultSet, trained: str) -> list[dict]:
    rows, short = part.metric("bits_per_byte"), training_context(part, part.frame["task"].iloc[0])
    longest = rows[rows["context"] == rows["context"].max()]
    means = longest[longest["document"] == ALL].groupby("mixer")["value"].mean()
    perplexity = part.metric("perplexity", document=ALL, context=rows["context"].max())
    perplexity = perplexity.groupby("mixer")["value"].mean()
    lines = []
    for mixer in sorted(in_order(means.index), key=lambda m: (means[m] != means[m], means[m])):
        own = rows[(rows["mixer"] == mixer) & (rows["document"] == ALL)]
        at = {
            context: own.loc[own["context"] == context, "value"] for context in (short, rows["context"].max())
        }
        other = "" if mixer == "hml" or "hml" not in means else _difference(longest, mixer)
        lines.append(
            {
                "model": mixer_style(mixer).label, "trained on": trained,
                "bits per byte, training context": _score(at[short]),
                "longest context": _score(at[max(at)]), "− HML": other,
                "perplexity": three(perplexity[mixer]), "seeds": int(own["seed"].nunique()),
            }
        )  # fmt: skip
    return lines


def _score(values: pd.Series) -> str:
    if values.empty:
        return ""
    mean, low, high, _ = seed_interval(values)
    return f"{mean:.4f}" + ("" if low is None else f" ({low:.4f} to {high:.4f})")


def _difference(longest: pd.DataFrame, mixer: str) -> str:
    found = by_book(*(longest[longest["mixer"] == name] for name in (mixer, "hml")))
    mean, low, high, _ = found.estimate
    if low is None or high is None:
        low, high = min(found.differences), max(found.differences)
    return f"{signed(mean)} ({signed(low)} to {signed(high)})"


def pg19_samples(results: ResultSet) -> Table:
    """What each model went on with after the same prompt, as it was drawn: a row a model, its first seed."""
    chosen = published(results)
    rows = chosen.metric("sample").sort_values("seed")
    lines = []
    for task, variant in ways(chosen):
        here = rows[(rows["task"] == task) & (rows["variant"] == variant)]
        for mixer in in_order(here["mixer"]):
            row = here[here["mixer"] == mixer].iloc[0]
            named = f"{mixer_style(mixer).label}, {_TRAINED[task, variant]}, hml show {row['spec_hash'][:8]}"
            lines.append({"model": named, "continuation": row["text"].translate(_CONTROL)})
    first = rows.iloc[0]
    note = (
        f"{chosen.stamp()} · prompt “{first['prompt']}” · temperature {first['temperature']:g}, "
        f"top-p {first['top_p']:g}, {int(rows['value'].max()):,} tokens, the first that were drawn"
    )
    table = render(pd.DataFrame(lines), note=note, caption="Continuations, as they were drawn.")
    # Line breaks belong to what was drawn; a table of numbers would print them as escapes.
    cells = "".join(
        f"<tr><td>{html.escape(line['model'])}</td>"
        f'<td style="white-space: pre-wrap">{html.escape(line["continuation"])}</td></tr>\n'
        for line in lines
    )
    head = "<thead><tr><th>model</th><th>continuation</th></tr></thead>\n"
    body = f'<table class="dataframe hml-table">\n{head}<tbody>\n{cells}</tbody>\n</table>'
    latex = table.latex.replace(r"\begin{tabular}{ll}", r"\begin{tabular}{p{.2\linewidth}p{.7\linewidth}}")
    return Table(f'{body}\n<p class="hml-stamp"><small>{html.escape(note)}</small></p>\n', latex)
