"""The page "Use the layer" as it stands: its code is run from top to bottom."""

import json
import re
from pathlib import Path

import pytest
import torch

PAGE = (Path(__file__).resolve().parents[2] / "book" / "use.md").read_text("utf-8")
HARNESS = "With the evaluation harness"


def blocks(text):
    return re.findall(r"^```python\n(.*?)^```", text, re.MULTILINE | re.DOTALL)


def run(text, scope):
    for code in blocks(text):
        exec(compile(code, "book/use.md", "exec"), scope)


@pytest.fixture
def scope(tmp_path, monkeypatch):
    """What the page has defined before its part about the harness."""
    transformers = pytest.importorskip("transformers")
    transformers.utils.logging.disable_progress_bar()
    monkeypatch.chdir(tmp_path)
    torch.manual_seed(0)
    scope = {}
    run(PAGE.partition(f"## {HARNESS}")[0], scope)
    return scope


def test_the_code_runs_and_is_all_there_is(scope):
    sections = re.findall(r"^## (.*)$", PAGE, re.MULTILINE)
    assert sections[0] == "Ten lines" and sections[-1] == HARNESS
    assert len([line for line in blocks(PAGE)[0].splitlines() if line]) <= 11
    for part in PAGE.split("\n## ")[1:]:
        assert blocks(part), "a section without code"
    assert scope["loaded"].config.model_type == "hml" and scope["new"].shape == (1, 20)


LINES = [("Once upon", " a time", " a lime"), ("To be", " or not", " on top"), ("No", " one", " two")]
TASK = """
task: tiny
dataset_path: json
dataset_kwargs: {{data_files: {{test: {data}}}, cache_dir: {cache}}}
test_split: test
output_type: multiple_choice
doc_to_text: "{{{{start}}}}"
doc_to_choice: "{{{{choices}}}}"
doc_to_target: label
target_delimiter: ""
metric_list: [{{metric: acc}}]
"""


def test_the_harness_measures_a_task_of_our_own(scope, tmp_path):
    """The likelier ending by the harness is the likelier one by our model."""
    from lm_eval.tasks import TaskManager

    folder = tmp_path / "tasks"
    folder.mkdir()
    data = folder / "tiny.jsonl"
    rows = [{"start": start, "choices": [right, wrong], "label": 0} for start, right, wrong in LINES]
    data.write_text("".join(json.dumps(row) + "\n" for row in rows), "utf-8")
    (folder / "tiny.yaml").write_text(TASK.format(data=data, cache=tmp_path / "cache"), "utf-8")
    scope |= {"tasks": ["tiny"], "task_manager": TaskManager(include_path=str(folder), include_defaults=False)}
    run(PAGE.partition(f"## {HARNESS}")[2], scope)

    def score(start, end):
        tokens = torch.tensor([list((start + end).encode())])
        chances = scope["model"](tokens[:, :-1])[0].log_softmax(-1).gather(-1, tokens[:, 1:, None])
        return chances[0, -len(end) :].sum().item()

    right = [score(start, right) > score(start, wrong) for start, right, wrong in LINES]
    assert scope["measured"]["results"]["tiny"]["acc,none"] == pytest.approx(sum(right) / len(LINES))
