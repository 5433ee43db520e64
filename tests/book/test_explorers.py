"""Explorers in a real browser: pages from the file system, anywidget's contract, and the book."""

import json
import statistics

import pytest
import torch
from selenium.webdriver.common.action_chains import ActionChains
from selenium.webdriver.common.by import By
from selenium.webdriver.common.keys import Keys

from hmlcore.explorers.kinds import KINDS
from hmlcore.explorers.models import packaged, source
from hmlcore.explorers.module import es_module
from hmlcore.explorers.page import SCRIPT, element, model_script, scripts, store_script, whole_page
from hmlcore.explorers.saved_trace import save_trace
from hmlcore.explorers.store import store_data
from hmlcore.models import Backbone, BackboneConfig
from hmlcore.results import Store

pytestmark = [pytest.mark.browser, pytest.mark.slow]
PICTURE = "[...document.querySelectorAll('.hmlx svg')].map(s => s.innerHTML).join('')"
WORDS = "document.querySelector('.hmlx .words').textContent"
ERROR = "document.querySelector('.hmlx .error')"


@pytest.fixture(scope="module")
def pages(tmp_path_factory):
    """A folder with every explorer as a page of its own, and one as anywidget would open it."""
    from made_up_results import copy_run

    folder = tmp_path_factory.mktemp("explorers")
    store = Store(folder / "results")
    for mixer in ("hml", "gru"):
        for seed in range(5):
            store.write(copy_run(mixer, seed))
    data = store_script(json.dumps(store_data(store, ("laptop",))))
    for name in KINDS:
        (folder / f"{name}.html").write_text(whole_page(name, data if name == "store" else ""), "utf-8")
    (folder / "rest").mkdir()
    for file, text in scripts("hml", "hml-start", "hml-text").items():  # gated DeltaNet's are missing
        (folder / "rest" / file).write_text(text, "utf-8")
    first = "".join(f'<script src="rest/{file}"></script>' for file in (model_script("hml"), SCRIPT))
    head = '<!doctype html><meta charset="utf-8"><link rel="icon" href="data:,">'
    for name, file in (("gradient", "later"), ("phase", "brought")):
        (folder / f"{file}.html").write_text(head + element(name, folder="rest/") + first, "utf-8")
    sources = {name: one.plain() for name, one in packaged("hml", "gated-deltanet").items()}
    (folder / "widget.html").write_text(
        f"""<!doctype html><meta charset="utf-8"><link rel="icon" href="data:,"><div id="here"></div>
<script type="module">
{es_module()}
const traits = {{explorer: "memory", sources: {json.dumps(sources)}, chosen: "hml", text: "aBcDa", at: null}};
const heard = {{}};
globalThis.saved = [];
globalThis.model = {{
  get: (name) => traits[name], set: (more) => Object.assign(traits, more),
  save_changes: () => saved.push({{text: traits.text, at: traits.at, chosen: traits.chosen}}),
  on: (event, f) => {{ heard[event] = f; }}, off: (event) => {{ delete heard[event]; }},
  hear: (more) => {{
    Object.assign(traits, more);
    for (const name in more) heard[`change:${{name}}`]?.();
  }},
  heard,
}};
globalThis.render = render;
globalThis.end = render({{model, el: document.getElementById("here")}});
</script>""",
        "utf-8",
    )
    return folder


@pytest.fixture
def view(chromium, open_at, pages):
    """Opens a page of :func:`pages` without any network."""
    chromium.execute_cdp_cmd("Network.enable", {})
    offline = {"offline": True, "latency": 0, "downloadThroughput": -1, "uploadThroughput": -1}
    chromium.execute_cdp_cmd("Network.emulateNetworkConditions", offline)
    yield open_at(pages.as_uri())
    chromium.execute_cdp_cmd("Network.emulateNetworkConditions", offline | {"offline": False})


def find(page, selector):
    return page.chrome.find_element(By.CSS_SELECTOR, selector)


def changed(page, before, what):
    page.wait(f"{PICTURE} !== args[0]", before, what=what)
    return page.js(f"return {PICTURE}")


def is_fine(page):
    assert page.console_errors() == []
    assert [u for u in page.outside_requests() if not u.startswith("file:")] == []


@pytest.mark.parametrize("name", [name for name in KINDS if name not in ("binding", "store")])
def test_it_draws_follows_the_scrubber_the_text_and_refuses_in_words(view, name):
    view.open(f"{name}.html")
    before = view.js(f"return {PICTURE}")
    assert before.count("<path") + before.count("<rect") > 3
    scrub = find(view, ".scrub")
    ActionChains(view.chrome).move_to_element(scrub).click().perform()  # the middle of the text
    before = changed(view, before, "the scrubber moved the picture")
    scrub.send_keys(Keys.ARROW_RIGHT)
    before = changed(view, before, "an arrow key moved the picture")
    text = find(view, "input[type=text]")
    text.send_keys("aK a")
    before = changed(view, before, "typing changed the picture")
    assert view.js(f"return {ERROR}.hidden")
    text.send_keys("é")
    view.wait(f"!{ERROR}.hidden && {ERROR}.textContent.includes('has not learned “é”')", what="a refusal")
    text.send_keys(Keys.BACKSPACE)
    view.wait(f"{ERROR}.hidden", what="the refusal gone")
    text.clear()
    text.send_keys("a", Keys.BACKSPACE)
    view.wait(f"{ERROR}.textContent.startsWith('Type something')", what="empty text refused")
    is_fine(view)


def press(page, text):
    (button,) = [b for b in page.chrome.find_elements(By.CSS_SELECTOR, ".hmlx button") if b.text == text]
    button.click()


def drag(page, label, by):
    slider = find(page, f'input[aria-label="{label}"]')
    ActionChains(page.chrome).drag_and_drop_by_offset(slider, by, 0).perform()


def choose(page, model):
    page.js("const s = document.querySelector('select[aria-label=Model]'); s.value = args[0];"
            " s.dispatchEvent(new Event('change'))", model)  # fmt: skip


def test_phase_space_answers_to_its_physics_and_freezes_a_key(view):
    view.open("phase.html")
    before, rotors = (
        view.js(f"return {x}") for x in (PICTURE, "document.querySelectorAll('.dials svg').length")
    )
    assert rotors == 4 and view.js("return document.querySelectorAll('.plane').length") == 4
    drag(view, "Friction", -60)
    before = changed(view, before, "friction changed the picture")
    view.wait(f"{WORDS}.includes('not what the model learned')", what="it says so")
    press(view, "As learned")
    view.wait(f"!{WORDS}.includes('not what the model learned')", what="as learned again")
    before = view.js(f"return {PICTURE}")
    find(view, ".plane").click()
    before = changed(view, before, "another head")
    press(view, "Freeze this token's key")
    changed(view, before, "another address")
    choose(view, "hml-sums")
    view.wait("document.querySelectorAll('.tokens .right').length > 10", what="sums answered right")
    is_fine(view)


def test_what_is_remembered_shows_an_overwritten_value_and_what_a_click_asks(view):
    view.open("memory.html")
    assert "% of what comes back" in view.js(f"return {WORDS}")
    before, words = view.js(f"return {PICTURE}"), view.js(f"return {WORDS}")
    map_ = find(view, ".stack svg")
    ActionChains(view.chrome).move_to_element_with_offset(map_, -map_.size["width"] // 4, 0).click().perform()
    changed(view, before, "a click chose a query")
    assert view.js(f"return {WORDS}") != words
    view.js("document.querySelector('.stack svg').focus()")
    before = view.js(f"return {PICTURE}")
    ActionChains(view.chrome).send_keys(Keys.ARROW_UP).perform()
    before = changed(view, before, "arrow keys walk through it")
    choose(view, "attention")
    changed(view, before, "attention's choice")
    is_fine(view)


BARS = "[...document.querySelectorAll('.tokens i')].map(e => e.hidden ? 0 : parseFloat(e.style.width))"


@pytest.mark.parametrize("name", ["phase", "memory"])
def test_a_sentence_is_typed_and_bars_show_what_of_it_is_held(view, name):
    view.open(f"{name}.html")
    text, sentence = find(view, "input[type=text]"), "The sea was calm, and the sea was 5 miles off."
    text.clear()
    text.send_keys(sentence[:12])
    (hint,) = view.chrome.find_elements(By.CSS_SELECTOR, ".hmlx .key[role=status]")
    assert hint.text.startswith("To this model small letters are keys")
    text.send_keys(sentence[12:])
    view.wait(f"{ERROR}.textContent.includes('has not learned “,”, “5”')", what="a refusal")
    press(view, "Read it with HML, sentences")
    assert not hint.is_displayed()
    tokens = "document.querySelectorAll('.tokens button').length"
    view.wait(f"{tokens} === {len(sentence)} && {ERROR}.hidden", what="the sentence read")
    assert text.get_property("value") == sentence
    assert view.js("return document.querySelector('select[aria-label=Model]').value") == "hml-text"
    last = view.js(f"return {BARS}")
    assert sum(bar > 0 for bar in last) > 5 and max(last) <= 100 and len(set(last)) > 5
    find(view, ".scrub").send_keys(Keys.HOME)
    view.wait(f"{BARS}.filter(Boolean).length === 1", what="after one token nothing else is held")
    find(view, ".scrub").send_keys(*[Keys.ARROW_RIGHT] * 9)
    view.wait(f"{BARS}.slice(10).every((bar) => !bar)", what="nothing is held that was not read")
    assert view.js(f"return {BARS}[0]") < 100
    text.send_keys(" Zoë")
    view.wait(f"{tokens} === {len(sentence) + 5} && {ERROR}.hidden", what="bytes are read as UTF-8")
    is_fine(view)


@pytest.mark.parametrize("file", ["phase", "brought"])
def test_the_example_of_a_sentence_changes_to_the_model_that_reads_it_and_back(view, file):
    """Where the page has the model, and where it comes only now."""
    view.open(f"{file}.html")
    press(view, "a sentence")
    view.wait("document.querySelector('select[aria-label=Model]').value === 'hml-text'", what="its model")
    typed = "document.querySelector('input[type=text]').value"
    view.wait("document.querySelectorAll('.tokens button').length > 60", what="the sentence read")
    assert view.js(f"return {typed}").startswith("The captain")
    choose(view, "hml")
    view.wait(f"{typed}.startsWith('aKbT') && {ERROR}.hidden", what="an example of recall")
    is_fine(view)


def test_a_model_comes_when_it_is_chosen_and_one_that_is_not_there_is_told(view):
    view.open("later.html")
    before = view.js(f"return {PICTURE}")
    assert view.js("return Object.keys(globalThis.hmlModels)") == ["hml"]
    choose(view, "hml-start")
    before = changed(view, before, "the model before training")
    assert view.js("return Object.keys(globalThis.hmlModels)") == ["hml", "hml-start"]
    choose(view, "gated-deltanet")
    view.wait(f"{ERROR}.textContent.startsWith('Gated DeltaNet, recall could not be loaded')", what="a refusal")
    assert view.js("return document.querySelector('select[aria-label=Model]').value") == "hml-start"
    assert view.js(f"return {PICTURE}") == before
    choose(view, "hml")
    changed(view, before, "back")
    assert view.js(f"return {ERROR}.hidden")


@pytest.mark.parametrize("name", ["phase", "memory", "gradient"])
def test_a_saved_trace_is_scrubbed_through_and_nothing_else(view, pages, tmp_path_factory, name):
    alphabet = "xyz"
    model = Backbone(BackboneConfig(3, "hml", d_model=16, layers=2, mixer_args={"num_heads": 2, "rotors": 2}))
    file = tmp_path_factory.mktemp("trace") / "trace.safetensors"
    save_trace(file, model, torch.tensor([0, 1, 2, 0, 1, 1, 2]), alphabet.__getitem__)
    text = json.dumps({"yours": source(file).plain()})
    place = element(name, models="yours", text="")
    script = f"<script>globalThis.hmlModels = {text};</script>" + f'<script src="rest/{SCRIPT}"></script>'
    head = '<!doctype html><meta charset="utf-8"><link rel="icon" href="data:,">'
    (pages / f"trace-{name}.html").write_text(head + place + script, "utf-8")
    view.open(f"trace-{name}.html")
    before = view.js(f"return {PICTURE}")
    assert "<path" in before and view.js(f"return {ERROR}.hidden")
    scrub = find(view, ".scrub")
    scrub.send_keys(Keys.ARROW_LEFT)
    changed(view, before, "an arrow key moved the picture")
    assert view.js("const t = document.querySelector('input[type=text]'); return [t.readOnly, t.value]") == [
        True, "xyzxyyz",
    ]  # fmt: skip
    shown = "[...document.querySelectorAll('.hmlx input[type=range]')].filter(e => e.offsetParent).length"
    assert view.js(f"return {shown}") == 1
    is_fine(view)


def test_pairs_are_added_one_at_a_time_until_one_is_lost(view):
    view.open("binding.html")
    counted = "document.querySelectorAll('.hmlx .tokens button').length"
    wrong = "document.querySelectorAll('.hmlx .tokens .wrong').length"
    before = view.js(f"return {PICTURE}")
    assert view.js(f"return {counted}") == 8 and view.js(f"return {wrong}") == 0
    press(view, "Add a pair")
    before = changed(view, before, "a pair more")
    assert view.js(f"return {counted}") == 9
    assert view.js("return document.querySelectorAll('.hmlx circle.measured').length") == 2
    for _ in range(5):
        press(view, "Add eight")
    assert view.js(f"return {counted}") == 49 and view.js(f"return {wrong}") > 5
    before = view.js(f"return {PICTURE}")
    find(view, ".hmlx .tokens button:nth-child(3)").click()
    before = changed(view, before, "another key is asked for")
    assert "Key 3 was bound to value" in view.js(f"return {WORDS}")
    assert view.js("return document.querySelector('.hmlx [aria-current=true]').textContent")[0] == "3"
    view.js("const s = document.querySelector('select[aria-label=\"Numbers D\"]'); s.value = 1024;"
            " s.dispatchEvent(new Event('change'))")  # fmt: skip
    changed(view, before, "more numbers")
    assert view.js(f"return {wrong}") < 3
    press(view, "Start again with one")
    assert "1 pairs" not in view.js(f"return {WORDS}") and view.js(f"return {counted}") == 1
    is_fine(view)


def test_the_store_opens_a_run(view):
    view.open("store.html")
    assert view.js("return document.querySelectorAll('.hmlx tbody tr').length") == 10
    find(view, ".hmlx tbody button").click()
    view.wait(
        "document.querySelector('.hmlx pre')?.textContent.startsWith('hml show ')", what="the run's command"
    )
    assert (
        view.js("return JSON.parse(document.querySelectorAll('.hmlx pre')[1].textContent).experiment") == "copy"
    )
    is_fine(view)


def test_slots_fill_drive_out_and_say_why(view):
    view.open("slots.html")
    assert "written to bucket" in view.js(f"return {WORDS}")
    before = view.js(f"return {PICTURE}")
    drag(view, "Ways", -60)
    before = changed(view, before, "fewer ways")
    find(view, ".tokens button:last-child").click()
    view.wait(f"{WORDS}.includes('its chunk is not whole yet')", what="the chunk under way")
    reasons = set()
    for number in range(1, 57):
        find(view, f".tokens button:nth-child({number})").click()
        reasons.add(view.js(f"return {WORDS}").split(": ")[1].split(" ")[0].rstrip(":"))
    assert {"not", "nothing", "written", "lost"} <= reasons, reasons
    gates = "const s = document.querySelector('select[aria-label=\"Written is\"]'); s.value = args[0];"
    view.js(gates + " s.dispatchEvent(new Event('change'))", "every")
    view.wait(f"{WORDS}.includes('55 passed the gate')", what="everything written but the first token")
    is_fine(view)


def test_as_a_widget_it_tells_the_kernel_and_hears_it(view):
    view.open("widget.html")
    view.wait("globalThis.end && document.querySelectorAll('.tokens button').length === 5", what="the widget")
    before = view.js(f"return {PICTURE}")
    find(view, "input[type=text]").send_keys("c")
    before = changed(view, before, "typing")
    assert view.js("return saved.at(-1)") == {"text": "aBcDac", "at": 5, "chosen": "hml"}
    view.js("model.hear({text: 'xYzx', at: 1})")
    before = changed(view, before, "the kernel's text")
    assert view.js("return document.querySelector('input[type=text]').value") == "xYzx"
    view.js("model.hear({chosen: 'gated-deltanet'})")
    changed(view, before, "the kernel's model")
    view.js("end()")
    assert view.js("return Object.keys(model.heard)") == []
    view.js("model.set({problem: 'the model is of another kind', sources: {}});"
            "render({model, el: document.getElementById('here')})")  # fmt: skip
    assert view.js(f"return {ERROR}.textContent") == "the model is of another kind"
    is_fine(view)


MOVE = """
const [label, values] = args, input = document.querySelector(`input[aria-label="${label}"]`), times = [];
for (const value of values) {
  input.value = value;
  const begin = performance.now();
  input.dispatchEvent(new Event("input"));
  input.getBoundingClientRect();
  times.push(performance.now() - begin);
}
return times;
"""


def timed(page, label, values):
    """Milliseconds from an input to the laid-out picture: the median by the clock, and processor time on
    average, which other programs on the machine do not lengthen."""

    def busy():
        found = page.chrome.execute_cdp_cmd("Performance.getMetrics", {})["metrics"]
        return {m["name"]: m["value"] for m in found}["TaskDuration"]

    page.js(MOVE, label, values[:5])
    before = busy()
    clock = statistics.median(page.js(MOVE, label, values))
    return clock, 1000 * (busy() - before) / len(values)


@pytest.mark.parametrize("name", ["phase", "memory", "gradient"])
def test_it_answers_at_once(view, name, capsys):
    """In processor time 16 ms to scrub and 60 ms from slider to redraw are the goals; what is measured is
    printed, and twice as much fails: machines differ."""
    view.chrome.execute_cdp_cmd("Performance.enable", {"timeDomain": "threadTicks"})
    try:
        view.open(f"{name}.html")
        found = {"scrub": timed(view, "Token that is being read", [i % 15 for i in range(31)])}
        if name != "memory":
            found["slider"] = timed(view, "Friction", [1 + 0.05 * (i % 9) for i in range(31)])
    finally:
        view.chrome.execute_cdp_cmd("Performance.disable", {})
    told = [f"{what} {clock:.1f} ms, of processor time {busy:.1f} ms" for what, (clock, busy) in found.items()]
    with capsys.disabled():
        print(f"\n{name} explorer: {'; '.join(told)}")
    assert found["scrub"][1] < 2 * 16 and found.get("slider", (0, 0))[1] < 2 * 60


@pytest.mark.parametrize("name", KINDS)
def test_it_is_as_wide_as_a_phone_and_reads_in_the_dark(view, name):
    size = {"width": 390, "height": 800, "deviceScaleFactor": 1, "mobile": True}
    media = {"features": [{"name": "prefers-color-scheme", "value": "dark"}]}
    view.chrome.execute_cdp_cmd("Emulation.setDeviceMetricsOverride", size)
    view.chrome.execute_cdp_cmd("Emulation.setEmulatedMedia", media)
    try:
        view.open(f"{name}.html")
        assert view.js("return document.documentElement.scrollWidth") <= 390
        ink = view.js("return getComputedStyle(document.querySelector('.hmlx')).color")
        assert ink == "rgb(230, 230, 230)"
        unnamed = view.js(
            "return [...document.querySelectorAll('.hmlx :is(input, select, button, svg[role=img])')]"
            ".filter(e => !e.getAttribute('aria-label') && !e.textContent.trim() && !e.closest('.key')).length"
        )
        assert unnamed == 0
    finally:
        view.chrome.execute_cdp_cmd("Emulation.clearDeviceMetricsOverride", {})
        view.chrome.execute_cdp_cmd("Emulation.setEmulatedMedia", {"features": []})


def test_without_scripts_a_page_of_the_book_has_a_picture_and_its_caption(page, smoke_book):
    page.chrome.execute_cdp_cmd("Emulation.setScriptExecutionDisabled", {"value": True})
    try:
        for name, own in KINDS.items():
            page.chrome.get(f"{page.site}/book/explorers/{name}.html")
            picture = find(page, ".hml-explorer img")
            assert int(picture.get_property("naturalWidth")) > 300
            assert (
                own.caption.split(":")[0].split(",")[0]
                in find(page, "figure:has(.hml-explorer) figcaption").text
            )
    finally:
        page.chrome.execute_cdp_cmd("Emulation.setScriptExecutionDisabled", {"value": False})


@pytest.mark.parametrize("path", ["book/index.html", *(f"book/explorers/{name}.html" for name in KINDS)])
def test_it_is_live_in_the_book_from_the_file_system(open_at, smoke_book, path):
    page = open_at(smoke_book.html.as_uri())
    page.open(path)
    page.wait("document.querySelector('.hml-explorer .hmlx svg path')", what="the explorer drawn")
    assert page.js("return document.querySelector('.hmlx .error:not([hidden])')?.textContent ?? ''") == ""
    # The theme's own rules for figures leave the layers of the map on each other.
    gaps = page.js(
        "const box = (n) => document.querySelector(`.stack ${n}`)?.getBoundingClientRect();"
        "const a = box('canvas'), b = box('svg');"
        "return a ? [a.x - b.x, a.y - b.y, a.width - b.width] : [0]"
    )
    assert max(map(abs, gaps)) < 1
    assert page.console_errors() == []
    assert [u for u in page.outside_requests() if not u.startswith("file:")] == []
