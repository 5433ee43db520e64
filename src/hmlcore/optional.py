"""Packages that come with an extra: whether they are there, and one line that names the extra where not."""

import importlib.util
import sys

from hmlcore.errors import require


def installed(package: str) -> bool:
    """Whether `package` can be imported; a mere folder of that name (wandb leaves some) is none."""
    if package in sys.modules:
        return sys.modules[package] is not None
    try:
        found = importlib.util.find_spec(package)
    except ModuleNotFoundError:  # not even what holds it is there
        return False
    return found is not None and found.origin is not None


def need(what: str, extra: str, *packages: str) -> None:
    """Raise HmlcoreError unless all of `packages` are installed, without which there is no `what`."""
    for package in packages:
        require(
            installed(package),
            f"{what} needs the package {package!r}, which is not installed: pip install hmlcore[{extra}]",
        )
