"""Draw the still pictures that pages show until an explorer's scripts run: book/_static/explorers/NAME.png.

    .venv/bin/python tools/still_pictures.py [NAME ...]

Needs Chromium and ChromeDriver on the path, and Selenium (pip install hmlcore[test]).
"""

import base64
import json
import shutil
import sys
import tempfile
from pathlib import Path

from selenium import webdriver

from hmlcore import paths
from hmlcore.explorers.kinds import KINDS
from hmlcore.explorers.page import store_script, whole_page
from hmlcore.explorers.store import store_data
from hmlcore.results import Store

WIDTH, HEIGHT, TALLEST = 820, 1200, 1000
FLAGS = (
    "--headless",
    "--no-sandbox",
    "--disable-gpu",
    "--disable-background-networking",
    "--no-first-run",
    "--hide-scrollbars",
)


def picture(chrome: webdriver.Chrome, page: Path) -> bytes:
    """The explorer on `page`, light, as PNG."""
    chrome.get(page.as_uri())
    box = chrome.execute_script(
        "const r = document.querySelector('.hmlx').getBoundingClientRect();return [r.x, r.y, r.width, r.height]"
    )
    clip = dict(zip(("x", "y", "width", "height"), box, strict=True)) | {"scale": 1}
    clip["height"] = min(TALLEST, clip["height"])
    shot = chrome.execute_cdp_cmd("Page.captureScreenshot", {"clip": clip, "captureBeyondViewport": True})
    return base64.b64decode(shot["data"])


def main(names: list[str]) -> None:
    """Draw those named, or all."""
    options = webdriver.ChromeOptions()
    options.binary_location = shutil.which("chromium") or shutil.which("google-chrome") or ""
    for flag in (*FLAGS, f"--window-size={WIDTH},{HEIGHT}"):
        options.add_argument(flag)
    folder = paths.project() / "book" / "_static" / "explorers"
    folder.mkdir(exist_ok=True)
    service = webdriver.ChromeService(shutil.which("chromedriver"))
    with tempfile.TemporaryDirectory() as scratch, webdriver.Chrome(options=options, service=service) as chrome:
        for name in names or KINDS:
            found = store_data(Store(paths.results()), ("laptop",), specs=False) if name == "store" else None
            page = Path(scratch) / f"{name}.html"
            page.write_text(whole_page(name, store_script(json.dumps(found)) if found else ""), "utf-8")
            (folder / f"{name}.png").write_bytes(picture(chrome, page))
            print(folder / f"{name}.png")


if __name__ == "__main__":
    main(sys.argv[1:])
