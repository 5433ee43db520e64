"""What a claim's rule is, read from its source: the function and everything that it names, docstrings included.

The rule of a claim is the set of statements that decide it: the expression given as its rule, its conditions
(`where`), and every definition of the study and of the kit that these name, directly or through others. Two
sources hold the same rule where these sets are equal; comments, layout, annotations and where a line of a
docstring breaks do not count, and what lower floors define (results, statistics) stands for its name.

A source is read as text: nothing is imported, so that any version of it can be asked.
"""

import ast
import hashlib
from collections.abc import Iterable, Iterator, Mapping
from functools import lru_cache
from pathlib import PurePosixPath
from typing import Any, NamedTuple, TypeGuard

_DEFINITIONS = (ast.FunctionDef, ast.AsyncFunctionDef, ast.ClassDef)
_SILENT = {"annotation", "returns", "ctx", "kind", "type_comment", "type_params"}
"""Fields of a syntax tree that decide nothing, or that depend on the Python that reads it."""


class Source(NamedTuple):
    """A module's top level: name → the statements that define it, name → (module, level, name there), and all
    statements that are neither imports nor definitions of functions and classes."""

    statements: dict[str, list[ast.stmt]]
    imports: dict[str, tuple[str, int, str]]
    loose: list[ast.stmt]


class Ruled(NamedTuple):
    """What identifies a claim in the source of its study: the experiment and the name of its rule."""

    experiment: str
    rule: str


class Rule(NamedTuple):
    """All that decides a claim as one text without layout, and the files that it stands in."""

    text: str
    files: frozenset[str]

    @property
    def digest(self) -> str:
        """The rule's name by content: SHA-256 of its text."""
        return hashlib.sha256(self.text.encode()).hexdigest()


@lru_cache(maxsize=512)
def source(text: str) -> Source | None:
    """The top level of a module; None where it is no Python."""
    try:
        body = ast.parse(text).body
    except (SyntaxError, ValueError):
        return None
    found = Source({}, {}, [])
    for statement in body:
        if not isinstance(statement, (*_DEFINITIONS, ast.Import, ast.ImportFrom)) and not _is_text(statement):
            found.loose.append(statement)
        if isinstance(statement, ast.ImportFrom):
            for alias in statement.names:
                place = (statement.module or "", statement.level, alias.name)
                found.imports[alias.asname or alias.name] = place
        for name in _defined(statement):
            found.statements.setdefault(name, []).append(statement)
    return found


def rule_of(ruled: Ruled, path: str, files: Mapping[str, str]) -> Rule | None:
    """The rule of the claim that the module at `path` makes; None where there is no such module.

    Args: files, path → text: those that a rule may consist of. Others stand for the names imported of them.
    """
    start = source(files[path]) if path in files else None
    nodes = _entry(ruled, start) if start else []
    if not nodes:
        return None
    found, seen, places = {canonical(node) for node in nodes}, set(), {path}
    waiting = [(path, name) for node in nodes for name in _names(node)]
    while waiting:
        place = waiting.pop()
        if place in seen:
            continue
        seen.add(place)
        for owner, statement in _definition(*place, files):
            found.add(canonical(statement))
            places.add(owner)
            waiting += [(owner, name) for name in _names(statement)]
    return Rule("\n".join(sorted(found)), frozenset(places))


def canonical(node: object) -> str:
    """A syntax tree without its layout; empty fields are left out, as they differ between Pythons."""
    if _is_text(node):
        return repr(" ".join(node.value.value.split()))
    if isinstance(node, ast.AST):
        fields = ((name, getattr(node, name, None)) for name in node._fields if name not in _SILENT)
        inner = (f"{name}={canonical(value)}" for name, value in fields if value is not None and value != [])
        return f"{type(node).__name__}({', '.join(inner)})"
    return f"[{', '.join(map(canonical, node))}]" if isinstance(node, list) else repr(node)


def _entry(ruled: Ruled, module: Source) -> list[ast.AST]:
    """Where a claim is made: its rule and conditions, or the whole call that wraps a rule of this name (a goal,
    a partial); where no call names it (a lambda, a loop), all that the module does outside definitions."""
    calls = [n for s in module.loose for n in ast.walk(s) if isinstance(n, ast.Call)]
    found: list[ast.AST] = []
    for call in (c for c in calls if _mentions(c, ruled.rule)):
        plain = isinstance(call.func, ast.Name) and call.func.id == "Claim"
        spread = any(isinstance(value, ast.Starred) for value in call.args)
        given = dict(zip(("statement", "experiment", "rule", "where"), call.args, strict=False))
        given |= {keyword.arg: keyword.value for keyword in call.keywords}
        if not plain or spread or None in given:
            found.append(call)
            continue
        experiment = given.get("experiment")
        if not isinstance(experiment, ast.Constant) or experiment.value == ruled.experiment:
            found += [given[name] for name in ("rule", "where") if name in given]
    return found or list(module.loose)


def _mentions(call: ast.Call, name: str) -> bool:
    """Whether a call is given what is called `name`, or that name itself."""
    for value in (*call.args, *(keyword.value for keyword in call.keywords if keyword.arg != "experiment")):
        if isinstance(value, ast.Name) and value.id == name:
            return True
    called = (keyword.value for keyword in call.keywords if keyword.arg == "called")
    return any(isinstance(value, ast.Constant) and value.value == name for value in called)


def _definition(path: str, name: str, files: Mapping[str, str]) -> Iterator[tuple[str, ast.stmt]]:
    """(module's path, statement) that define `name` in the module at `path`; none for what no file has."""
    visited: set[tuple[str, str]] = set()
    while path in files and (path, name) not in visited:
        visited.add((path, name))
        module = source(files[path])
        if module is None:
            return
        if name in module.statements:
            yield from ((path, statement) for statement in module.statements[name])
            return
        if name not in module.imports:
            return
        where, level, name = module.imports[name]
        path = _path_of(where, level, path, files)


def _path_of(module: str, level: int, importer: str, files: Iterable[str]) -> str:
    """The one of `files` that an import in `importer` means; "" where none is it."""
    parts = module.split(".") if module else []
    if level:
        parents = PurePosixPath(importer).parents
        stem = "/".join((*(parents[level - 1].parts if level <= len(parents) else ()), *parts))
        wanted = (f"{stem}.py", f"{stem}/__init__.py")
        return next((path for path in files if path in wanted), "")
    # The last two names tell modules apart, and hold for studies that lie outside the package as well.
    tail = "/" + "/".join(parts[-2:])
    endings = (f"{tail}.py", f"{tail}/__init__.py")
    return next((path for path in files if f"/{path}".endswith(endings)), "")


def _is_text(node: object) -> TypeGuard[Any]:
    """Whether this is a docstring, of a module, a function or a name."""
    return (
        isinstance(node, ast.Expr)
        and isinstance(node.value, ast.Constant)
        and isinstance(node.value.value, str)
    )


def _defined(statement: ast.stmt) -> Iterator[str]:
    if isinstance(statement, _DEFINITIONS):
        yield statement.name
    elif isinstance(statement, ast.Assign | ast.AnnAssign | ast.AugAssign):
        targets = statement.targets if isinstance(statement, ast.Assign) else [statement.target]
        yield from (n.id for target in targets for n in ast.walk(target) if isinstance(n, ast.Name))


def _names(node: ast.AST) -> set[str]:
    """The names in a tree, annotations aside."""
    found, waiting = set(), [node]
    while waiting:
        here = waiting.pop()
        if isinstance(here, ast.Name):
            found.add(here.id)
        for field, value in ast.iter_fields(here):
            if field not in _SILENT:
                waiting += [
                    n for n in (value if isinstance(value, list) else [value]) if isinstance(n, ast.AST)
                ]
    return found
