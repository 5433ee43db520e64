"""Requests to stop: the first interrupts, a late second one ends the process, and no update is cut in two."""

import os
import signal
import subprocess
import sys

import pytest

from hmlcore import interrupts
from hmlcore.interrupts import SIGNALS, handled_by, listening, uninterrupted

pytestmark = pytest.mark.skipif(os.name != "posix", reason="signals are POSIX")


@pytest.mark.parametrize("signum", SIGNALS)
def test_a_request_interrupts_and_its_echo_does_not(signum):
    before = [signal.getsignal(s) for s in SIGNALS]
    with listening():
        assert interrupts.asked_by() == signal.SIGINT
        with pytest.raises(KeyboardInterrupt):
            os.kill(os.getpid(), signum)
        for echo in SIGNALS:  # such as a terminal and a parent send
            os.kill(os.getpid(), echo)
        assert interrupts.asked_by() == signum
    with listening(), pytest.raises(KeyboardInterrupt):  # the next command
        os.kill(os.getpid(), signum)
    assert [signal.getsignal(s) for s in SIGNALS] == before


@pytest.mark.parametrize("signum", SIGNALS)
def test_a_request_waits_for_the_end_of_an_update(signum):
    done = []
    with listening(), pytest.raises(KeyboardInterrupt), uninterrupted():
        os.kill(os.getpid(), signum)
        done.append("all")
    assert done == ["all"]


def test_what_a_process_was_started_to_ignore_stays_ignored():
    before = signal.signal(signal.SIGHUP, signal.SIG_IGN)
    try:
        with listening(), handled_by(pytest.fail):
            os.kill(os.getpid(), signal.SIGHUP)
            assert signal.getsignal(signal.SIGHUP) is signal.SIG_IGN
    finally:
        signal.signal(signal.SIGHUP, before)


SECOND = """
import os, signal, time
from hmlcore import interrupts
interrupts._ONE_REQUEST_S = 0.01
with interrupts.listening():
    try:
        os.kill(os.getpid(), signal.SIGINT)
    except KeyboardInterrupt:
        print("first", flush=True)
    time.sleep(0.02)
    os.kill(os.getpid(), signal.SIGTERM)
    print("never")
"""
OWN = """
import os, signal
from hmlcore.interrupts import uninterrupted
with uninterrupted():
    os.kill(os.getpid(), signal.SIGTERM)
    print("first", flush=True)
print("never")
"""


@pytest.mark.parametrize("code", [SECOND, OWN], ids=["a second request", "nobody listens"])
def test_a_process_ends_at_once(code):
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True)
    assert (done.returncode, done.stdout) == (-signal.SIGTERM, "first\n"), done.stderr
