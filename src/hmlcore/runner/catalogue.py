"""What there is to choose from: mixers, tasks, and the runs of every grid, known without importing torch.

Making all grids takes seconds, so what came of it is kept in the cache, under a hash of the package's sources:
a changed line makes it anew.
"""

import functools
import hashlib
import json
import os
import re
import sys
from collections.abc import Callable
from pathlib import Path
from typing import NamedTuple

import hmlcore
from hmlcore import paths, studies
from hmlcore.cache import cached_file
from hmlcore.errors import HmlcoreError
from hmlcore.files import json_text, listed
from hmlcore.results import Store, spec_hash
from hmlcore.studies.kit.study import PROFILES


class Catalogue(NamedTuple):
    """Mixer and task → its first sentence; profile → experiment → the spec hashes of its grid."""

    mixers: dict[str, str]
    tasks: dict[str, str]
    grids: dict[str, dict[str, list[str]]]


def catalogue() -> Catalogue:
    """What the installed sources, and studies of one's own, offer."""
    return Catalogue(**kept("catalogue", lambda sources: _made(sources)._asdict()))


def listing(store: Store) -> str:
    """For people: mixers, tasks, studies, and how many runs of each grid `store` has."""
    known, lines = catalogue(), []
    for title, entries in (("mixers", known.mixers), ("tasks", known.tasks)):
        lines += [title, *(f"  {name:<18} {sentence}" for name, sentence in entries.items())]
    lines.append("studies and their experiments" + " " * 11 + "".join(f"{profile:>16}" for profile in PROFILES))
    for study in studies.studies().values():
        lines.append(f"  {study.name}: {study.question}")
        for experiment in study.experiments:
            line = f"    {experiment.name:<36}"
            for profile in PROFILES:
                asked = {digest[:16] for digest in known.grids[profile][experiment.name]}
                stored = len(asked & store.hashes(profile, experiment.name))
                line += f"{f'{stored}/{len(asked)} runs':>16}"
            lines.append(line)
    return "\n".join(lines)


def kept(kind: str, make: Callable[[str], dict]) -> dict:
    """What `make` answers when given the hash of the sources, which alone decide it; kept in the cache.

    Args: kind, the name of the file there; make, answers plain JSON.
    """
    sources = _sources()
    file = paths.cache() / f"{kind}-{sources[:16]}.kept"
    try:
        text = cached_file(file, lambda: [json_text(make(sources)).encode()]).tobytes()
    except HmlcoreError:  # a cache that cannot be written is made anew every time
        return make(sources)
    for old in file.parent.glob(f"{kind}-*.kept"):
        if old != file and re.fullmatch(rf"{kind}-[0-9a-f]{{16}}\.kept", old.name):
            old.unlink(missing_ok=True)
    return json.loads(text)


@functools.lru_cache(maxsize=1)
def _made(_sources: str) -> Catalogue:
    from hmlcore.layers import MIXERS
    from hmlcore.tasks import TASKS

    return Catalogue(
        {name: _first_sentence(cls) for name, cls in sorted(MIXERS.items())},
        {name: _first_sentence(cls) for name, cls in sorted(TASKS.items())},
        {
            profile: {
                name: [spec_hash(spec) for spec in studies.protocol(name).grid(profile)]
                for name in studies.experiments()
            }
            for profile in PROFILES
        },
    )


def _sources() -> str:
    """A hash of every source that a grid or a docstring may come from."""
    digest = hashlib.sha256(sys.version.encode())
    for root in dict.fromkeys([*hmlcore.__path__, *studies.__path__]):
        for path in (p for pattern in ("**/*.py", "**/rates.json") for p in listed(Path(root), pattern)):
            digest.update(os.fsencode(path) + b"\0" + path.read_bytes())
    return digest.hexdigest()


def _first_sentence(cls: type) -> str:
    """Of a class's own module, or its docstring."""
    text = (sys.modules[cls.__module__].__doc__ or cls.__doc__ or "").strip()
    return re.split(r"(?<=[.;])\s|\n", text)[0].rstrip(".;")
