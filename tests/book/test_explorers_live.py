"""An explorer in a live JupyterLab: the kernel's widget draws, answers to the hand, and tells the kernel."""

import re
import secrets
import subprocess
import sys

import nbformat
import pytest
from selenium.webdriver.common.action_chains import ActionChains
from selenium.webdriver.common.by import By
from selenium.webdriver.common.keys import Keys

from hmlcore.notebooks import own_kernel

pytestmark = [pytest.mark.browser, pytest.mark.slow]
PICTURE = "[...document.querySelectorAll('.hmlx svg')].map(s => s.innerHTML).join('')"
CELLS = (
    "from hmlcore.explorers.widgets import PhaseExplorer\nexplorer = PhaseExplorer()\nexplorer",
    "print(f'heard {explorer.text} at {explorer.at}')\nexplorer.text = 'xYzx'",
)


@pytest.fixture
def lab(tmp_path):
    """Address of a notebook open in JupyterLab, which a folder of its own serves."""
    notebook = nbformat.v4.new_notebook(cells=[nbformat.v4.new_code_cell(cell) for cell in CELLS])
    notebook.metadata["kernelspec"] = {"name": "python3", "display_name": "Python 3", "language": "python"}
    nbformat.write(notebook, tmp_path / "explorer.ipynb")
    token = secrets.token_hex(8)
    command = [
        sys.executable, "-m", "jupyterlab", "--no-browser", "--allow-root", "--ip=127.0.0.1", "--port=0",
        f"--IdentityProvider.token={token}", f"--ServerApp.root_dir={tmp_path}", "--LabApp.news_url=",
        f"--LabApp.user_settings_dir={tmp_path / 'settings'}", f"--LabApp.workspaces_dir={tmp_path / 'spaces'}",
    ]  # fmt: skip
    with own_kernel():
        server = subprocess.Popen(command, cwd=tmp_path, stderr=subprocess.PIPE, text=True)
    try:
        said = []
        for line in server.stderr:
            said.append(line)
            if found := re.search(r"http://127\.0\.0\.1:(\d+)/lab", line):
                yield f"http://127.0.0.1:{found[1]}", f"lab/tree/explorer.ipynb?token={token}"
                break
        else:
            pytest.fail(f"JupyterLab did not start: {''.join(said)[-2000:]}")
    finally:
        server.terminate()
        server.communicate(timeout=60)


def changed(page, before, what):
    page.wait(f"{PICTURE} !== args[0]", before, what=what)
    return page.js(f"return {PICTURE}")


def test_in_jupyterlab_it_draws_follows_the_hand_and_tells_the_kernel(open_at, lab):
    site, path = lab
    page = open_at(site)
    page.chrome.get(f"{site}/{path}")
    cell = ".jp-Notebook .jp-CodeCell .cm-content"
    page.wait(f"document.querySelectorAll('{cell}').length === 2", what="the notebook", seconds=120)
    # The kernel must be there before it is asked.
    idle = "document.querySelector('.jp-Notebook-ExecutionIndicator')?.dataset.status === 'idle'"
    page.wait(idle, what="the kernel", seconds=120)
    page.chrome.find_element(By.CSS_SELECTOR, cell).click()
    ActionChains(page.chrome).key_down(Keys.SHIFT).send_keys(Keys.ENTER).key_up(Keys.SHIFT).perform()
    page.wait("document.querySelectorAll('.hmlx .plane svg path').length > 4", what="drawn", seconds=120)
    before = page.js(f"return {PICTURE}")
    knob = page.chrome.find_element(By.CSS_SELECTOR, '.hmlx input[aria-label="Friction"]')
    page.js("document.querySelector('.hmlx input[aria-label=Friction]').scrollIntoView({block: 'center'})")
    ActionChains(page.chrome).drag_and_drop_by_offset(knob, -40, 0).perform()
    before = changed(page, before, "a drag changed the picture")
    page.chrome.find_element(By.CSS_SELECTOR, ".hmlx .plane").click()
    before = changed(page, before, "a click chose another head")
    page.chrome.find_element(By.CSS_SELECTOR, ".hmlx input[type=text]").send_keys("b")
    before = changed(page, before, "typing changed the picture")
    page.js(f"document.querySelectorAll('{cell}')[1].scrollIntoView({{block: 'center'}})")
    page.chrome.find_elements(By.CSS_SELECTOR, cell)[1].click()
    ActionChains(page.chrome).key_down(Keys.SHIFT).send_keys(Keys.ENTER).key_up(Keys.SHIFT).perform()
    said = "[...document.querySelectorAll('.jp-OutputArea-output pre')].map(e => e.textContent).join('')"
    page.wait(f"{said}.includes('heard aKbTaMbRaX cD a b cb at 19')", what="the kernel heard the text")
    changed(page, before, "the kernel's text changed the picture")
    page.wait("document.querySelector('.hmlx input[type=text]').value === 'xYzx'", what="the kernel's text")
    assert page.console_errors() == []
    assert page.outside_requests() == []
