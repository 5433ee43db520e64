"""`hml explore`: the explorers as pages on this machine alone, until Ctrl-C. Needs no torch."""

import errno
import json
import os
import sys
import webbrowser
from http import HTTPStatus
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

from hmlcore import interrupts, paths
from hmlcore.checks import check_int
from hmlcore.errors import HmlcoreError
from hmlcore.explorers.kinds import KINDS, kind
from hmlcore.explorers.page import store_script, whole_page

PORT = 8763
LARGEST_PORT = 65_535


class Handler(BaseHTTPRequestHandler):
    """Answers with the page of each explorer; nothing else is on this server."""

    server: "Server"

    def do_GET(self) -> None:
        """A page, the store's data, or the way to them."""
        name = self.path.split("?")[0].strip("/")
        if not name:
            self.send_response(HTTPStatus.FOUND)
            self.send_header("Location", f"/{self.server.first}")
            self.end_headers()
            return
        if name not in KINDS:
            self.send_error(HTTPStatus.NOT_FOUND, f"there is no explorer here but {', '.join(KINDS)}")
            return
        try:
            text = whole_page(name, own_store() if name == "store" else "")
        except HmlcoreError as error:
            self.send_error(HTTPStatus.INTERNAL_SERVER_ERROR, str(error).splitlines()[0])
            return
        body = text.encode()
        self.send_response(HTTPStatus.OK)
        self.send_header("Content-Type", "text/html; charset=utf-8")
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)

    def log_message(self, format: str, *args: object) -> None:
        """Quiet: the terminal has the address."""


class Server(ThreadingHTTPServer):
    """A server of this machine alone, which opens with one explorer."""

    daemon_threads = True

    def __init__(self, first: str, port: int):
        self.first = first
        super().__init__(("127.0.0.1", port), Handler)

    @property
    def address(self) -> str:
        """Where it is."""
        return f"http://127.0.0.1:{self.server_port}/{self.first}"


def own_store() -> str:
    """The script with what the project's store holds."""
    from hmlcore.explorers.store import store_data
    from hmlcore.results import Store
    from hmlcore.studies.kit.study import PROFILES

    return store_script(json.dumps(store_data(Store(paths.results()), PROFILES)))


def serve(name: str, port: int | None = None) -> Server:
    """A server for the explorer `name`; where no port is asked for and ours is taken, at a free one.

    Raises: HmlcoreError for an unknown explorer, or a port that is no port, is taken, or is not ours to take.
    """
    kind(name)
    asked = PORT if port is None else check_int("--port", port, 0)
    if asked > LARGEST_PORT:
        raise HmlcoreError(f"--port must be at most {LARGEST_PORT}, got {asked}")
    try:
        return Server(name, asked)
    except OSError as error:
        if error.errno not in (errno.EADDRINUSE, errno.EACCES):
            raise
        if port is not None:
            why = "is in use" if error.errno == errno.EADDRINUSE else "may not be used"
            raise HmlcoreError(f"--port {port} {why}; leave it out for a free one") from error
        return Server(name, 0)


def has_display() -> bool:
    """Whether a browser has a screen to open on."""
    return sys.platform in ("win32", "darwin") or bool(
        os.environ.get("DISPLAY") or os.environ.get("WAYLAND_DISPLAY")
    )


def explore(name: str, port: int | None = None, browser: bool = True) -> int:
    """Serve until Ctrl-C, which is how it ends: 0; 128 and the signal where another one asked."""
    server = serve(name, port)
    try:
        print(f"{name} explorer: {server.address}  (Ctrl-C ends it)", flush=True)
        if browser and not (has_display() and webbrowser.open(server.address)):
            print("no browser could be opened here: open that address in one", flush=True)
        server.serve_forever(poll_interval=0.2)
    except KeyboardInterrupt:
        print("\nexplorer closed", flush=True)
    finally:
        server.server_close()
    signum = interrupts.asked_by()
    return 0 if signum == 2 else 128 + signum
