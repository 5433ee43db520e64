"""What `hml bench` prints of ops: times and ratios by length, decoding by context, whether the goals hold."""

import pandas as pd

from hmlcore.evaluation.op_candidates import CANDIDATES
from hmlcore.results import ResultSet, Run
from hmlcore.studies.speed.claims import OURS, goal_table


def op_results(runs: list[Run]) -> ResultSet:
    """The results of `runs`, as if they had been stored and loaded."""
    return ResultSet(pd.concat([run.table().to_pandas() for run in runs], ignore_index=True))


def op_table(runs: list[Run]) -> str:
    """For people: microseconds a token, their ratio to HML's (p = 2), over the machine's floor (the larger of
    bytes over copy bandwidth and FLOPs over matmul rate), spread and path; then the goals."""
    rows = [(row, run.spec["mixer"]) for run in runs for row in run.rows]
    copied, multiplied = (
        next(row["value"] for row, _ in rows if row["metric"] == limit)
        for limit in ("copy_bandwidth", "matmul_rate")
    )
    memory = {(m, row["length"]): row["value"] for row, m in rows if row["metric"] == "peak_memory_bytes"}
    lines = [f"floors: {copied / 1e9:.3g} GB/s copied, {multiplied / 1e9:.3g} GFLOP/s multiplied"]
    for metric, title, extra in (
        ("seconds_train", "ops, training: forward and backward", "peak B/token"),
        ("seconds_decode", "ops, decoding after T tokens", "bytes moved"),
    ):
        chosen = sorted(
            ((row, name) for row, name in rows if row["metric"] == metric),
            key=lambda found: (found[0]["length"], list(CANDIDATES).index(found[1])),
        )
        ours = {row["length"]: row["value"] for row, name in chosen if name == OURS}
        lines += [
            title,
            f"  {'T':>9}  {'op':<20}{'µs/token':>10}{'÷ ours':>8}{'÷ floor':>9}{'spread':>8}{extra:>15}  path",
        ]
        for row, name in chosen:
            length, seconds, tokens = row["length"], row["value"], 1
            held = row["bytes_moved"]
            if metric == "seconds_train":
                tokens = row["batch"] * length
                held = memory[name, length] / tokens
            floor = max(row["floor_bytes_s"], row["floor_flops_s"])
            ratio = f"{seconds / ours[length]:.2f}" if length in ours else "-"
            lines.append(
                f"  {length:>9}  {name:<20}{1e6 * seconds / tokens:>10.4g}{ratio:>8}{seconds / floor:>9.3g}"
                f"{row['spread']:>8.0%}{held:>15,.0f}  {row['path']}"
            )
    return "\n".join([*lines, "goals", *_goals(goal_table(op_results(runs)))])


def _goals(table: pd.DataFrame) -> list[str]:
    """Two lines a goal; what this machine cannot measure stays empty."""
    lines = []
    for row in table.itertuples():
        lines.append(f"  {row.goal}")
        lines.append(f"    {row.verdict}: {row.measured}" if row.verdict else "    (not measured here)")
    return lines
