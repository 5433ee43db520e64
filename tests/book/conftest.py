"""One smoke book for all tests of this folder, made from nothing, and a browser to look at it."""

import functools
import http.server
import json
import os
import shutil
import threading
from pathlib import Path
from typing import NamedTuple

import pytest
from filelock import FileLock

from hmlcore import book

ROOT = Path(__file__).resolve().parents[2]
# Background services would fail on a machine without a network and fill the log.
CHROMIUM_FLAGS = (
    "--headless --no-sandbox --disable-gpu --disable-quic --no-first-run --disable-background-networking "
    "--disable-component-update --disable-sync --window-size=1300,1000"
)


class SmokeBook(NamedTuple):
    chapters: list[Path]
    html: Path
    results: Path


def pytest_collection_modifyitems(items):
    """The smoke book is asked for first, by the browser last: others test on while one process makes it."""
    asked = [(item.path, getattr(item, "fixturenames", ())) for item in items]
    last = {path for path, fixtures in asked if "chromium" in fixtures}
    first = {path for path, fixtures in asked if "smoke_book" in fixtures} - last
    items.sort(key=lambda item: (item.path in last) - (item.path in first))


@pytest.fixture(scope="session")
def smoke_book(tmp_path_factory) -> SmokeBook:
    """Chapters executed in the smoke profile with an empty store, and the pages built from them.

    Where several processes share the tests, the first one that asks makes it for all. What `make book
    PROFILE=smoke` has made is taken over as far as it is of this very code, as a second `make book` would.
    """
    work = tmp_path_factory.getbasetemp()
    work = (work.parent if "PYTEST_XDIST_WORKER" in os.environ else work) / "smoke"
    made = work / "made.json"
    with FileLock(f"{work}.lock"), pytest.MonkeyPatch.context() as patch:
        patch.setenv("HMLCORE_RESULTS", str(work / "results"))
        patch.setenv("HMLCORE_CHECKPOINTS", str(work / "checkpoints"))
        if not made.exists():
            for path, copy in ((book.workspace("smoke"), work / "build"), (ROOT / "results", work / "results")):
                if path.is_dir():
                    shutil.copytree(path, copy)
            index = book.build_book("smoke", work=work / "build", fresh=True)
            chapters = book.execute_chapters("smoke", work=work / "build", fresh=True)
            made.write_text(json.dumps([str(index), *map(str, chapters)]))
    index, *chapters = map(Path, json.loads(made.read_text()))
    return SmokeBook(chapters, index.parent, work / "results")


@pytest.fixture(scope="session")
def site(smoke_book):
    """Address of the smoke book, served on loopback."""

    class Quiet(http.server.SimpleHTTPRequestHandler):
        def log_message(self, *args):
            pass

    handler = functools.partial(Quiet, directory=str(smoke_book.html))
    with http.server.ThreadingHTTPServer(("127.0.0.1", 0), handler) as server:
        threading.Thread(target=server.serve_forever, daemon=True).start()
        yield f"http://127.0.0.1:{server.server_port}"
        server.shutdown()


def _first_program(*names: str) -> str | None:
    return next((path for name in names if (path := shutil.which(name))), None)


@pytest.fixture(scope="session")
def chromium(tmp_path_factory):
    """Headless Chromium that records its console and every request.

    Skips where there is none; with HMLCORE_REQUIRE_BROWSER set, as in CI, that is a failure.
    """
    browser = _first_program("chromium", "chromium-browser", "google-chrome")
    driver = _first_program("chromedriver", f"{os.environ.get('CHROMEWEBDRIVER', '')}/chromedriver")
    if not (browser and driver):
        message = "no Chromium with ChromeDriver found (Debian: apt install chromium chromium-driver)"
        (pytest.fail if os.environ.get("HMLCORE_REQUIRE_BROWSER") else pytest.skip)(message)
    from selenium import webdriver

    options = webdriver.ChromeOptions()
    options.binary_location = browser
    for flag in (*CHROMIUM_FLAGS.split(), f"--user-data-dir={tmp_path_factory.mktemp('chromium')}"):
        options.add_argument(flag)
    options.set_capability("goog:loggingPrefs", {"performance": "ALL", "browser": "ALL"})
    chrome = webdriver.Chrome(options=options, service=webdriver.ChromeService(driver))
    chrome.set_script_timeout(60)
    yield chrome
    chrome.quit()


class Page:
    """A page open in the browser, and what happened since it was opened."""

    def __init__(self, chrome, site: str):
        self.chrome, self.site, self.requests = chrome, site, []
        chrome.get("about:blank")
        for log in ("performance", "browser"):
            chrome.get_log(log)

    def open(self, path: str) -> None:
        self.chrome.get(f"{self.site}/{path}")
        # A large page may still be parsed when the driver says that it has been opened.
        here = "document.readyState === 'complete' && location.pathname.endsWith(args[0])"
        self.wait(here, path.split("?")[0], what=f"{path} loaded", seconds=60)

    def js(self, script: str, *args):
        """The value of a script; `await` may be used in it."""
        code = f"const args = [...arguments], done = args.pop(); (async () => {{ {script} }})().then(done)"
        return self.chrome.execute_async_script(code, *args)

    def wait(self, condition: str, *args, what: str, seconds: float = 20):
        """Wait until the JavaScript expression `condition` holds and return its value."""
        from selenium.common.exceptions import TimeoutException
        from selenium.webdriver.support.ui import WebDriverWait

        try:
            return WebDriverWait(self.chrome, seconds).until(lambda _: self.js(f"return {condition}", *args))
        except TimeoutException:
            pytest.fail(f"{what}: not within {seconds} s; console: {self.console_errors()}")

    def outside_requests(self) -> list[str]:
        """Addresses requested so far that are neither this site nor inside the page."""
        for entry in self.chrome.get_log("performance"):
            event = json.loads(entry["message"])["message"]
            if event["method"] == "Network.requestWillBeSent":
                self.requests.append(event["params"]["request"]["url"])
        return [u for u in self.requests if not u.startswith((f"{self.site}/", "data:", "blob:", "about:"))]

    def console_errors(self) -> list[str]:
        return [e["message"] for e in self.chrome.get_log("browser") if e["level"] == "SEVERE"]


@pytest.fixture
def open_at(chromium):
    """Site, by its address, → a :class:`Page` of it."""
    return lambda site: Page(chromium, site)


@pytest.fixture
def page(chromium, site) -> Page:
    return Page(chromium, site)
