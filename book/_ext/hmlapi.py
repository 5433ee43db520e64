"""The book's reference: docstrings, which are written to be read in a terminal, as pages.

What is indented after an empty line stays as it is typed; what stands under ``Args:`` becomes a list.
"""

import re

SECTION = re.compile(r"(Args|Attributes|Raises|Returns|State|Source): ?(.*)")
# Code, in one backtick or two, and roles: all that is more than text.
SPAN = re.compile(r"(:[\w:]+:`[^`]+`|``[^`]+``|`[^`]+`)")
SPECIAL = re.compile(r"([\\*|]|(?<=\w)_\b)")


def text(words: str) -> str:
    """Plain words as reStructuredText: code is code, and no other character has a meaning of its own."""
    parts = SPAN.split(words)
    for i, part in enumerate(parts):
        if i % 2 == 0:
            plain = SPECIAL.sub(r"\\\1", part)
            # Markup begins and ends where a word does.
            ends = r"\ " * (i + 1 < len(parts) and re.search(r"\w$", part) is not None)
            parts[i] = r"\ " * (i > 0 and re.match(r"\w", part) is not None) + plain + ends
        elif not part.startswith((":", "``")):
            parts[i] = f"`{part}`"
    return re.sub("::$", ":", "".join(parts))  # what comes is indented, and that is enough


def converted(lines: list[str]) -> list[str]:
    """A docstring's lines as those of reStructuredText."""
    made: list[str] = []
    for block in re.split(r"\n(?:[ ]*\n)+", "\n".join(lines).strip("\n")):
        rows = block.splitlines()
        if rows and all(row.startswith("    ") for row in rows):
            made += ["::", "", *rows, ""]
            continue
        for head, body in _parts(rows):
            made += [*_part(head, body), ""]
    return made


def _parts(rows: list[str]) -> list[tuple[str, list[str]]]:
    """A block cut where a section begins: its title, or "", and its rows."""
    parts: list[tuple[str, list[str]]] = []
    for row in rows:
        if match := SECTION.fullmatch(row):
            parts.append((match[1], [match[2]] if match[2] else []))
        elif not parts:
            parts.append(("", [row]))
        else:
            parts[-1][1].append(row)
    return parts


def _part(head: str, body: list[str]) -> list[str]:
    title = f"**{head}:** " if head else ""
    if not head or not body or not body[0].startswith("    "):
        return [title + text(" ".join(row.strip() for row in body))]
    entries: list[str] = []
    for row in body:
        if row.startswith("     ") and entries:
            entries[-1] += f" {row.strip()}"
        else:
            entries.append(row.strip())
    return [title.strip(), "", *(f"- {text(entry)}" for entry in entries)]


def process(app, what, name, obj, options, lines) -> None:
    """Replace a docstring's lines by those of a page."""
    lines[:] = converted(lines)


def skip(app, what, name, obj, skipped, options):
    """Leave out what collections.namedtuple writes itself."""
    return True if str(getattr(obj, "__doc__", "")).startswith("Alias for field number") else None


def setup(app) -> dict:
    app.connect("autodoc-process-docstring", process)
    app.connect("autodoc-skip-member", skip)
    return {"parallel_read_safe": True, "parallel_write_safe": True}
