"""Whatever happens to a call, the terminal is given back as it was."""

from __future__ import annotations

import os
import signal
import socket
import sys
from collections.abc import Iterator
from contextlib import contextmanager

import pytest

from tests.peer.in_terminal import Terminal, running_in_terminal

pytestmark = [
    pytest.mark.slow,
    pytest.mark.skipif(sys.platform != "linux", reason="looks at a Linux pseudo-terminal"),
]

PIN = "sha256:" + "ab" * 32
PROGRAM = """
import asyncio, sys
from p2pquic.peer.keyboard import Keyboard, has_keyboard

async def main():
    done = asyncio.get_running_loop().create_future()
    def on_key(key):
        print("pressed", key)
        if key == "q":
            done.set_result(None)
        if key == "x":
            done.set_exception(RuntimeError("x"))
    assert has_keyboard(sys.stdin)
    keyboard = Keyboard(
        sys.stdin, on_key=on_key, on_stop=lambda: None, on_continue=lambda: print("continued")
    )
    try:
        await done
    finally:
        keyboard.close()

asyncio.run(main())
"""


def test_keys_come_without_enter_and_the_terminal_is_given_back() -> None:
    with running_in_terminal(["-c", PROGRAM]) as terminal:
        terminal.wait_until_keys_come_at_once()
        terminal.press("r")
        assert terminal.wait_for("pressed r").count("r") == 2  # it is not echoed
        terminal.press("q")
        assert terminal.next_line() == "ended 0 in order"


def test_an_error_leaves_the_terminal_in_order() -> None:
    with running_in_terminal(["-c", PROGRAM]) as terminal:
        terminal.wait_until_keys_come_at_once()
        terminal.press("x")
        assert terminal.next_line() == "ended 1 in order"


def test_a_stopped_program_gives_the_terminal_back_and_takes_it_again() -> None:
    with running_in_terminal(["-c", PROGRAM]) as terminal:
        terminal.wait_until_keys_come_at_once()
        for _ in range(2):
            terminal.press("\x1a")  # Ctrl-Z
            assert terminal.next_line() == "stopped in order"
            os.kill(terminal.pid, signal.SIGCONT)
            terminal.wait_for("continued")
            terminal.wait_until_keys_come_at_once()
        terminal.press("q")
        assert terminal.next_line() == "ended 0 in order"


@contextmanager
def call_in_terminal() -> Iterator[Terminal]:
    """A peer that waits for an answer of its server."""
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as silent_server:
        silent_server.bind(("127.0.0.1", 0))
        server = f"127.0.0.1:{silent_server.getsockname()[1]}"
        call = f"-m p2pquic peer --role receiver --sink none --intermediate {server} --pin {PIN}"
        with running_in_terminal(call.split()) as terminal:
            terminal.wait_until_keys_come_at_once()
            yield terminal


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_a_call_that_a_signal_ends_leaves_the_terminal_in_order(number: int) -> None:
    with call_in_terminal() as terminal:
        os.kill(terminal.pid, number)
        assert terminal.next_line() == "ended 0 in order"


def test_a_key_switches_the_manner_of_a_call() -> None:
    with call_in_terminal() as terminal:
        for manner in ("hot", "lean", "hedged"):
            terminal.press("r")
            terminal.wait_for(f"now on {manner}")
        terminal.press("\x03")  # Ctrl-C
        assert terminal.next_line() == "ended 0 in order"
