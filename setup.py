"""The version, from Git; everything else that setuptools asks is in pyproject.toml.

CITATION.cff names the release that is worked on or was made last, say 0.2.0. At its tag, v0.2.0, that is the
version; before it, 0.2.0.dev12+g1a2b3c4, 12 commits after the last tag; after it, 0.2.0.post3+g5d6e7f8. A build
from changed files never has a release's own number. An sdist keeps the version that it was made with.
"""

import re
import subprocess
import sys
from pathlib import Path

from setuptools import setup

ROOT = Path(__file__).resolve().parent


def version(root: Path) -> str:
    """The version of the sources in `root`; without Git, the named one as a development version, which is said.

    Raises: SystemExit where the tag that is checked out is not the release that CITATION.cff names.
    """
    packed = root / "PKG-INFO"
    if packed.is_file():
        return re.search(r"^Version: (\S+)", packed.read_text("utf-8"), re.MULTILINE)[1]
    named = re.search(r"^version: (\S+)", (root / "CITATION.cff").read_text("utf-8"), re.MULTILINE)[1]
    commit = _git(root, "rev-parse", "--short", "HEAD") if (root / ".git").exists() else None
    if not commit:
        print(f"hmlcore: no Git history in {root}, the version is {named}.dev0", file=sys.stderr)
        return f"{named}.dev0"
    tag = _git(root, "describe", "--tags", "--abbrev=0", "--match", "v[0-9]*")
    since = int(_git(root, "rev-list", "--count", f"{tag}..HEAD" if tag else "HEAD"))
    if tag and not since and tag != f"v{named}":
        sys.exit(
            f"hmlcore: the tag {tag} is checked out, and CITATION.cff says version {named}; they must agree"
        )
    changed = bool(_git(root, "status", "--porcelain", "--untracked-files=no"))
    if tag and not since and not changed:
        return named
    return f"{named}.{'post' if tag == f'v{named}' else 'dev'}{since}+g{commit}{'.changed' * changed}"


def _git(root: Path, *arguments: str) -> str | None:
    """What Git answers; None where it is missing or has no answer."""
    try:
        done = subprocess.run(["git", *arguments], cwd=root, capture_output=True, text=True)
    except OSError:
        return None
    return done.stdout.strip() if done.returncode == 0 else None


if __name__ == "__main__":
    setup(version=version(ROOT))
