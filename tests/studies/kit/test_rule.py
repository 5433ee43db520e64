"""What a rule is: everything that decides a claim, and nothing of how it is laid out."""

import pytest

from hmlcore.studies.kit.rule import Ruled, rule_of

KIT = '''
from hmlcore.results import ResultSet

NEAR = 0.02

def kept(score: float) -> bool:
    """At least."""
    return score >= bound() - NEAR

def bound(): return 0.9

def unused(): return 1
'''
CLAIMS = '''
"""Claims."""
from functools import partial
from hmlcore.studies.kit.claim import NEAR, Claim, kept as keeps
from hmlcore.studies.made import METRIC

def rule(results: ResultSet) -> str:
    """Kept.

    Confirmed: at least.
    """
    return keeps(_score(results))  # the score

def _score(results):
    return results.metric(METRIC)

def other(results, factor=1):
    return "refuted" if results else NEAR * factor

def factory(least):
    return lambda results: results > least

class Goal:
    def decide(self, results):
        return self.rule(results)

def goal(results): return results

GOALS = [Goal("Fast.", goal), Goal("Faster.", other)]
_WHERE = {"mixer": "hml"}
CLAIMS = [
    Claim("It keeps.", "one", rule, where=_WHERE),
    Claim("It keeps more.", "two", rule, {"mixer": "gru"}),
    Claim("Twice.", "one", partial(other, factor=2), called="twice"),
    Claim("Made.", "one", factory(0.5), called="made"),
    Claim("Nameless.", "one", lambda results: METRIC),
    *(Claim(g.statement, "one", g.decide, called=g.rule.__name__) for g in GOALS),
]
'''
INIT = 'METRIC = "accuracy"\n'
FILES = {
    "src/hmlcore/studies/made/claims.py": CLAIMS,
    "src/hmlcore/studies/made/__init__.py": INIT,
    "src/hmlcore/studies/kit/claim.py": KIT,
}
PATH = next(iter(FILES))
KEEPS, KEEPS_TWO, GOAL = Ruled("one", "rule"), Ruled("two", "rule"), Ruled("one", "goal")
TWICE, MADE, NAMELESS = Ruled("one", "twice"), Ruled("one", "made"), Ruled("one", "<lambda>")
EVERY = (KEEPS, KEEPS_TWO, GOAL, TWICE, MADE, NAMELESS)


def changed(before, after):
    """The claims whose rule is another where `before` reads `after`."""
    files = {path: text.replace(before, after) for path, text in FILES.items()}
    assert files != FILES
    return {
        ruled for ruled in EVERY if rule_of(ruled, PATH, files).digest != rule_of(ruled, PATH, FILES).digest
    }


@pytest.mark.parametrize(
    ("before", "after"),
    [
        ("  # the score", ""),
        ("return 0.9", "return (\n    0.9  # of all\n)"),
        ("(results: ResultSet) -> str", "(results)"),
        ("Kept.\n\n    Confirmed: at least.", "Kept. Confirmed: at\n    least."),
        ("return 1", "return 2"),
        ('"""Claims."""', '"""Of what is claimed."""'),
    ],
    ids=["comment", "layout", "annotation", "line of a docstring", "not named", "module's docstring"],
)
def test_what_decides_nothing_is_no_part_of_a_rule(before, after):
    assert changed(before, after) == set()


@pytest.mark.parametrize(
    ("before", "after", "whose"),
    [
        ("return keeps(_score(results))", "return not keeps(_score(results))", {KEEPS, KEEPS_TWO}),
        ("Confirmed: at least.", "Confirmed: more.", {KEEPS, KEEPS_TWO}),
        ("results.metric(METRIC)", 'results.metric(METRIC, split="test")', {KEEPS, KEEPS_TWO}),
        ("return 0.9", "return 0.8", {KEEPS, KEEPS_TWO}),
        ('"accuracy"', '"exact"', {KEEPS, KEEPS_TWO, NAMELESS}),
        ("{\"mixer\": \"hml\"}", "{}", {KEEPS, NAMELESS}),
        ("{\"mixer\": \"gru\"}", "{}", {KEEPS_TWO, NAMELESS}),
        ("factor=2", "factor=3", {TWICE, NAMELESS}),
        ("factory(0.5)", "factory(0.6)", {MADE, NAMELESS}),
        ("results > least", "results >= least", {MADE, NAMELESS}),
        ("return self.rule(results)", "return self.rule(results) or None", {GOAL, NAMELESS}),
        ("def goal(results): return results", "def goal(results): return None", {GOAL, NAMELESS}),
        ('"It keeps."', '"It keeps all."', {NAMELESS}),
    ],
    ids=[
        "function", "docstring", "helper", "helper's helper", "study's constant", "condition by name",
        "condition", "partial", "factory's argument", "factory", "class", "wrapped function", "sentence",
    ],
)  # fmt: skip
def test_what_decides_is_part_of_the_rules_that_name_it(before, after, whose):
    """A claim that nothing names is of all that its module does, sentences included."""
    found = changed(before, after)
    assert found - {NAMELESS} == whose - {NAMELESS}
    assert NAMELESS in found or NAMELESS not in whose


def test_a_rule_names_the_files_that_it_stands_in():
    assert rule_of(KEEPS, PATH, FILES).files == set(FILES)
    assert rule_of(GOAL, PATH, FILES).files == {PATH}


def test_where_its_files_lie_is_no_part_of_a_rule():
    moved = {path.replace("src/hmlcore/", "lib/"): text for path, text in FILES.items()}
    for ruled in EVERY:
        assert rule_of(ruled, next(iter(moved)), moved).text == rule_of(ruled, PATH, FILES).text


def test_a_relative_import_names_the_same_module():
    files = FILES | {PATH: CLAIMS.replace("from hmlcore.studies.made import", "from . import")}
    assert rule_of(KEEPS, PATH, files) == rule_of(KEEPS, PATH, FILES)


def test_what_is_not_among_the_files_stands_for_its_name():
    alone = rule_of(KEEPS, PATH, {PATH: CLAIMS})
    assert alone.files == {PATH} and "keeps" in alone.text and "0.9" not in alone.text


@pytest.mark.parametrize("files", [{}, {PATH: "def rule(:"}], ids=["no file", "no Python"])
def test_there_is_no_rule_without_a_source(files):
    assert rule_of(KEEPS, PATH, files) is None
