"""Whether a rule came before its runs: made-up histories, with and without Git."""

import os
import shutil
import subprocess
from datetime import UTC, datetime, timedelta

import pytest

from hmlcore.studies.kit import standing
from hmlcore.studies.kit.rule import Ruled
from hmlcore.studies.kit.standing import BEFORE, EXPLORATORY, UNKNOWN, Case, Standing, standings

RULED = Ruled("one", "rule")
KIT = "def near(score):\n    return score > 0.02\n"
CLAIMS = '''from hmlcore.studies.kit.claim import Claim, near

def rule(results):
    """Confirmed: near."""
    return near(results)

CLAIMS = [Claim("It is near.", "one", rule)]
'''
FARTHER = CLAIMS.replace("return near", "return not near")
pytestmark = pytest.mark.skipif(shutil.which("git") is None, reason="git is not installed")


def at(day):
    """Noon of a day of November."""
    return (datetime(2026, 11, 1, 12, tzinfo=UTC) + timedelta(days=day - 1)).isoformat()


class Checkout:
    """A repository with a study and the kit, whose commits are a day apart."""

    def __init__(self, top):
        self.top = top
        self.claims = top / "studies" / "made" / "claims.py"
        self.git("init", "-q", "-b", "main")

    def git(self, *args, day=1, written=None):
        dates = {"GIT_AUTHOR_DATE": at(written or day), "GIT_COMMITTER_DATE": at(day)}
        who = ["-c", "user.name=a", "-c", "user.email=a@example.org", "-c", "commit.gpgsign=false"]
        done = subprocess.run(
            ["git", *who, *args],
            cwd=self.top,
            check=True,
            capture_output=True,
            text=True,
            env=os.environ | dates,
        )
        return done.stdout.strip()

    def write(self, claims=None, kit=None):
        for text, path in ((claims, self.claims), (kit, self.top / "studies" / "kit" / "claim.py")):
            if text is not None:
                path.parent.mkdir(parents=True, exist_ok=True)
                path.write_text(text)

    def commit(self, day, claims=None, kit=None, written=None):
        self.write(claims, kit)
        self.git("add", "-A", day=day)
        self.git("commit", "-qm", f"day {day}", "--allow-empty", day=day, written=written)
        return self.git("rev-parse", "HEAD")

    def standing(self, *runs, stored=None, ruled=RULED):
        (found,) = standings([Case(ruled, self.claims, list(runs), stored)])
        return found


@pytest.fixture
def checkout(tmp_path):
    """Its first commit, on the first, has the kit and no claim."""
    made = Checkout(tmp_path)
    made.commit(1, kit=KIT)
    return made


def test_a_rule_that_was_committed_before_its_runs(checkout):
    rule = checkout.commit(2, CLAIMS)
    later = checkout.commit(3)
    found = checkout.standing((rule, at(2)), (later, at(4)))
    assert found[:4] == (BEFORE, rule, at(2), at(2)) and len(found.digest) == 64


def test_a_rule_that_came_after_one_of_its_runs(checkout):
    first = checkout.git("rev-parse", "HEAD")
    rule = checkout.commit(2, CLAIMS)
    found = checkout.standing((first, at(1)), (rule, at(3)))
    assert found[:4] == (EXPLORATORY, rule, at(2), at(1))


def test_a_comment_is_no_change_and_the_oldest_of_the_series_counts(checkout):
    rule = checkout.commit(2, CLAIMS)
    checkout.commit(5, CLAIMS.replace("return near(results)", "# As near as that.\n    return near( results )"))
    assert checkout.standing((rule, at(3)))[:3] == (BEFORE, rule, at(2))


@pytest.mark.parametrize(
    "change",
    [
        {"claims": FARTHER},
        {"kit": KIT.replace("0.02", "0.05")},
        {"claims": CLAIMS.replace('near."', 'far."', 1)},
    ],
    ids=["function", "helper", "docstring"],
)
def test_a_change_after_the_runs_makes_a_claim_exploratory(checkout, change):
    rule = checkout.commit(2, CLAIMS)
    changed = checkout.commit(4, **change)
    assert checkout.standing((rule, at(3)))[:3] == (EXPLORATORY, changed, at(4))
    assert checkout.standing((changed, at(5))).status == BEFORE


def test_a_series_is_broken_by_another_rule_between(checkout):
    checkout.commit(2, CLAIMS)
    checkout.commit(3, FARTHER)
    back = checkout.commit(4, CLAIMS)
    assert checkout.standing((back, at(5))).commit == back


def test_what_the_commit_of_a_run_has_counts_before_any_clock(checkout):
    """Rebased after the runs, the rule's commit is younger than they are."""
    old = checkout.commit(2, CLAIMS)
    checkout.git("commit", "-q", "--amend", "-m", "reworded", day=9)
    new = checkout.git("rev-parse", "HEAD")
    assert new != old
    assert checkout.standing((old, at(3)))[:3] == (BEFORE, new, at(9))
    assert checkout.standing((checkout.git("rev-parse", "HEAD^"), at(20))).status == EXPLORATORY


@pytest.mark.parametrize(("day", "status"), [(5, BEFORE), (6, BEFORE), (4, EXPLORATORY)])
def test_of_a_commit_that_is_not_known_the_clocks_tell(checkout, day, status):
    """By the later of the two dates: the text that was committed on the fifth may be younger than its author's
    date."""
    checkout.commit(5, CLAIMS, written=2)
    assert (
        checkout.standing(("f" * 40, at(day))).status
        == checkout.standing(("unknown", at(day))).status
        == status
    )


def test_of_a_run_that_says_nothing_nothing_is_known(checkout):
    rule = checkout.commit(2, CLAIMS)
    assert checkout.standing(("unknown", "")).status == checkout.standing().status == UNKNOWN
    assert checkout.standing(("unknown", ""), (rule, at(3))).status == UNKNOWN
    assert checkout.standing(("unknown", ""), ("unknown", at(1))).status == EXPLORATORY


def test_a_rule_that_is_not_committed_came_after_every_run(checkout):
    rule = checkout.commit(2, CLAIMS)
    checkout.write(FARTHER)
    for commit in (rule, "unknown"):
        assert checkout.standing((commit, at(3)))[:3] == (EXPLORATORY, "", "")
    checkout.write(CLAIMS)
    assert checkout.standing((rule, at(3))).status == BEFORE


def test_renames_are_followed(checkout):
    rule = checkout.commit(2, CLAIMS)
    for day, folder in ((3, "named"), (4, "again")):
        moved = checkout.top / "studies" / folder / "claims.py"
        moved.parent.mkdir()
        checkout.git("mv", str(checkout.claims), str(moved))
        checkout.claims = moved
        checkout.commit(day)
    assert checkout.standing((rule, at(2)))[:3] == (BEFORE, rule, at(2))


def test_a_rule_of_a_branch_stands_since_the_branch(checkout):
    checkout.git("checkout", "-qb", "other")
    rule = checkout.commit(2, CLAIMS)
    checkout.git("checkout", "-q", "main")
    checkout.commit(3, kit=KIT + "# on the other side\n")
    checkout.git("merge", "-q", "--no-ff", "other", "-m", "merged", day=4)
    assert checkout.standing((rule, at(2)))[:3] == (BEFORE, rule, at(2))


def test_a_repository_that_a_hook_names_has_no_say(checkout, monkeypatch):
    rule = checkout.commit(2, CLAIMS)
    monkeypatch.setenv("GIT_DIR", "/nowhere")
    assert checkout.standing((rule, at(3))).status == BEFORE


def without(how, checkout, monkeypatch):
    """The same files where Git cannot be asked for all of their history."""
    if how == "no Git":
        monkeypatch.setattr(standing, "checkout_of", lambda root: None)
        return checkout
    copy = checkout.top.parent / f"{checkout.top.name}-copy"
    if how == "no repository":
        shutil.copytree(checkout.top / "studies", copy / "studies")
    else:
        checkout.git("clone", "-q", "--depth", "1", f"file://{checkout.top}", str(copy))
    made = object.__new__(Checkout)
    made.top, made.claims = copy, copy / checkout.claims.relative_to(checkout.top)
    return made


@pytest.mark.parametrize("how", ["no Git", "no repository", "cut short"])
def test_without_a_history_what_was_stored_of_the_same_rule_counts(checkout, monkeypatch, how):
    rule = checkout.commit(2, CLAIMS)
    run = (rule, at(3))
    known = checkout.standing(run)
    bare = without(how, checkout, monkeypatch)
    assert bare.standing(run, stored=known._asdict()) == known
    assert bare.standing(run) == Standing(UNKNOWN, digest=known.digest)
    bare.write(FARTHER)
    assert bare.standing(run, stored=known._asdict()).status == UNKNOWN


def test_many_cases_keep_their_order(checkout):
    rule = checkout.commit(2, CLAIMS)
    first = checkout.git("rev-parse", "HEAD^")
    cases = [Case(RULED, checkout.claims, [(commit, at(3))]) for commit in (rule, first, rule)]
    assert [found.status for found in standings(cases)] == [BEFORE, EXPLORATORY, BEFORE]
    assert standings([]) == []


def test_what_stands_beside_a_verdict():
    assert [Standing(status).beside("confirmed") for status in (BEFORE, EXPLORATORY, UNKNOWN)] == [
        "confirmed", "confirmed (exploratory)", "confirmed (rule not dated)",
    ]  # fmt: skip
    words = Standing(EXPLORATORY, "a" * 40, at(2), at(1)).words()
    assert words == f"exploratory: since {'a' * 12} of {at(2)}, the first run began {at(1)}"
    assert Standing(UNKNOWN).words() == UNKNOWN and "not committed" in Standing(EXPLORATORY).words()
