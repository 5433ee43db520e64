"""The book's Sphinx extension for buttons that open a committed chapter in Binder or Colab.

Where the repository is published is known from `HMLCORE_REPOSITORY`, else from ``repository-code`` in
``CITATION.cff``, else from Git's remote ``origin``.  Without an address the pages have no such buttons, and the
build says so; Colab opens repositories on GitHub only.
"""

import os
import re

from sphinx.errors import ConfigError

from hmlcore import paths
from hmlcore.results.provenance import git

_HOSTS = r"(github\.com|gitlab\.com)"
_FORMS = re.compile(rf"(?:https?://(?:[^@/]*@)?|ssh://git@|git@){_HOSTS}[/:]([\w.-]+)/([\w.-]+?)(?:\.git)?/?")


def web_address(remote: str) -> str:
    """``https://github.com/WHO/WHAT`` of a remote's address in any form; "" where it is none of these hosts."""
    found = _FORMS.fullmatch(remote.strip())
    return f"https://{found[1]}/{found[2]}/{found[3]}" if found else ""


def repository() -> str:
    """The address of the repository; "" where it is not known.

    Raises: ConfigError where `HMLCORE_REPOSITORY` names something else.
    """
    if named := os.environ.get("HMLCORE_REPOSITORY"):
        if not web_address(named):
            raise ConfigError(f"HMLCORE_REPOSITORY is {named!r}, which is no repository on GitHub or GitLab")
        return web_address(named)
    cited = paths.root() / "CITATION.cff"
    lines = cited.read_text("utf-8") if cited.is_file() else ""
    if found := re.search(r"^repository-code: *[\"']?([^\s\"']+)", lines, re.MULTILINE):
        return web_address(found[1])
    return web_address(git(paths.root(), "remote", "get-url", "origin") or "")


def give_buttons(app, config) -> None:
    """Lead the theme's buttons to the repository, or leave them out."""
    options = dict(config.html_theme_options)
    buttons, address = dict(options.get("launch_buttons", {})), repository()
    if not address:
        print("notice: the repository's address is not known (HMLCORE_REPOSITORY): no Binder and Colab buttons")
        buttons = {}
        options.pop("repository_url", None)
    elif "github.com" not in address:
        buttons.pop("colab_url", None)
    found = {"repository_url": address} if address else {}
    config.html_theme_options = options | {"launch_buttons": buttons} | found


def setup(app) -> dict:
    app.connect("config-inited", give_buttons)
    return {"parallel_read_safe": True, "parallel_write_safe": True}
