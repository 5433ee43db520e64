"""`hml explore`: pages on this machine alone, a port that is free, an end by Ctrl-C; and what pages hold."""

import json
import os
import signal
import socket
import subprocess
import sys
import threading
import urllib.error
import urllib.request
from contextlib import closing, contextmanager

import pytest

from hmlcore.errors import HmlcoreError
from hmlcore.explorers import serve
from hmlcore.explorers.kinds import KINDS
from hmlcore.explorers.page import SCRIPT, at_once, element, scripts, whole_page
from hmlcore.explorers.store import store_data
from hmlcore.results import Store


@contextmanager
def serving(name="memory"):
    server = serve.serve(name, 0)
    threading.Thread(target=server.serve_forever, args=(0.05,), daemon=True).start()
    try:
        yield server
    finally:
        server.shutdown()
        server.server_close()


def test_every_explorer_is_served_and_nothing_else(tmp_path, monkeypatch):
    monkeypatch.setenv("HMLCORE_RESULTS", str(tmp_path))
    with serving() as server:
        root = server.address.rsplit("/", 1)[0]
        assert server.server_address[0] == "127.0.0.1"
        with urllib.request.urlopen(root) as answer:
            assert answer.url == server.address and 'data-explorer="memory"' in answer.read().decode()
        for name, own in KINDS.items():
            text = urllib.request.urlopen(f"{root}/{name}").read().decode()
            assert f"<h1>{own.question}</h1>" in text and "http://" not in text.replace(
                "http://www.w3.org/2000/svg", ""
            )
        with pytest.raises(urllib.error.HTTPError, match="404"):
            urllib.request.urlopen(f"{root}/../pyproject.toml")


def test_a_port_in_use_is_refused_if_asked_for_and_else_another_is_taken(monkeypatch):
    with closing(socket.socket()) as taken:
        taken.bind(("127.0.0.1", 0))
        taken.listen()
        port = taken.getsockname()[1]
        with pytest.raises(HmlcoreError, match=f"--port {port} is in use; leave it out for a free one"):
            serve.serve("phase", port)
        monkeypatch.setattr(serve, "PORT", port)
        with serve.serve("phase") as server:
            assert server.server_port != port


@pytest.mark.parametrize(
    ("name", "port", "words"),
    [
        (
            "chess",
            None,
            "unknown explorer 'chess'; known: binding, gradient, memory, phase, race, slots, store",
        ),
        ("phase", 70_000, "--port must be at most 65535, got 70000"),
        ("phase", -1, "--port must be at least 0, got -1"),
    ],
)
def test_bad_arguments_are_refused_before_anything_is_served(name, port, words):
    with pytest.raises(HmlcoreError, match=words):
        serve.serve(name, port)


def test_ctrl_c_ends_it_and_without_a_display_it_says_where_to_look():
    environment = {k: v for k, v in os.environ.items() if k not in ("DISPLAY", "WAYLAND_DISPLAY")}
    command = [sys.executable, "-m", "hmlcore", "explore", "phase", "--port", "0"]
    started = subprocess.Popen(
        command, env=environment, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True
    )
    first, second = started.stdout.readline(), started.stdout.readline()
    started.send_signal(signal.SIGINT)
    out, err = started.communicate(timeout=60)
    assert first.startswith("phase explorer: http://127.0.0.1:") and "open that address" in second
    assert (started.returncode, out, err) == (0, "\nexplorer closed\n", "")


def test_a_page_adds_at_most_500_kilobytes():
    for name, own in KINDS.items():
        size = sum(len(text.encode()) for text in scripts(*at_once(name, own.models)).values())
        assert size <= 500_000, name
        later = [len(text.encode()) for file, text in scripts(*own.models).items() if file != SCRIPT]
        assert size + max(later, default=0) <= 500_000 or set(at_once(name, own.models)) == set(own.models)
        whole = sum(len(text.encode()) for text in scripts(*own.models).values())
        assert len(whole_page(name).encode()) <= whole + 5_000


def test_no_text_of_the_reader_s_leaves_its_attribute_and_no_data_its_script():
    assert 'data-text="&quot;&gt;&lt;script&gt;"' in element("memory", text='"><script>')
    assert (
        whole_page("store", "x = '</script>';").count("</script>") == whole_page("store").count("</script>") + 1
    )


def test_the_store_s_data_are_its_runs(tmp_path):
    from made_up_results import copy_run

    store = Store(tmp_path)
    for mixer in ("hml", "gru"):
        for seed in range(5):
            store.write(copy_run(mixer, seed))
    (found,) = store_data(store, ("laptop",))["experiments"]
    json.dumps(found, allow_nan=False)
    assert (found["name"], found["study"], len(found["rows"])) == ("copy", "copy", 10)
    assert found["common"]["lr"] == 0.003 and "mixer" not in found["common"]
    (hml, _) = found["curves"]
    assert hml["seeds"] == 5 and hml["steps"][0] == 25 and len(hml["mean"]) == len(hml["steps"]) <= 12
    assert all(low < mean < high for low, mean, high in zip(hml["low"], hml["mean"], hml["high"], strict=True))
    bare = store_data(store, ("laptop",), specs=False)["experiments"][0]
    assert "spec" in found["columns"] and "spec" not in bare["columns"]
