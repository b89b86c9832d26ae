"""Draws the call: a live screen on a terminal, one plain line per event anywhere else.

The live screen is drawn by the one asyncio loop, at most twice a second and only when something
on it changed. A drawing takes some 5 ms, which a thread would take from the audio all the same:
whoever counts milliseconds sends the output to a file.
"""

from __future__ import annotations

import asyncio
import sys
from collections.abc import Callable
from typing import Protocol, TextIO

from rich.console import Console
from rich.live import Live

from p2pquic.core.events import Resilience
from p2pquic.core.trace import Entry
from p2pquic.peer.drawing import RESILIENCE_KEY, draw, manner_after, wall_clock
from p2pquic.peer.screen import CallView, sentence
from p2pquic.peer.send_costs import SendCosts

if sys.platform == "win32":
    from p2pquic.peer.windows_keyboard import Keyboard, has_keyboard
else:
    from p2pquic.peer.keyboard import Keyboard, has_keyboard

REDRAW_INTERVAL = 0.5  # seconds; a person does not read faster


class Screen(Protocol):
    """Shows trace entries to a person."""

    def show(self, entry: Entry) -> None:
        """Take one entry in."""
        ...

    def offer_choice(self, choose: Callable[[Resilience], None]) -> None:
        """Let the person choose the manner of resilience by a key, if there is a keyboard."""
        ...

    def release_keyboard(self) -> None:
        """Take no keys any more: the process may end without further notice."""
        ...

    def close(self) -> None:
        """Leave the terminal as a person expects it."""
        ...


def open_screen(stream: TextIO, title: str, role: str, resilience: Resilience) -> Screen:
    """The screen that fits `stream`; needs a running asyncio loop."""
    if stream.isatty():
        return LiveScreen(stream, title, role, resilience)
    return PlainLines(stream)


class PlainLines:
    """One line for each event worth reading, with the time of day."""

    def __init__(self, stream: TextIO) -> None:
        self._stream = stream

    def show(self, entry: Entry) -> None:
        text = sentence(entry.record)
        if text is not None:
            print(f"{wall_clock(entry.t)}  {text}", file=self._stream, flush=True)

    def offer_choice(self, choose: Callable[[Resilience], None]) -> None:
        """There is nobody to ask."""

    def release_keyboard(self) -> None:
        """There is none."""

    def close(self) -> None:
        self._stream.flush()


class LiveScreen:
    """The drawing of the call, redrawn in place; a key chooses the manner of resilience."""

    def __init__(self, stream: TextIO, title: str, role: str, resilience: Resilience) -> None:
        self._title = title
        self._view = CallView(role=role, costs=SendCosts(resilience))
        self._keyboard: Keyboard | None = None
        self._choose: Callable[[Resilience], None] = lambda _: None
        self._changed = True
        self._live = Live(console=Console(file=stream), auto_refresh=False, redirect_stdout=False)
        self._live.start()
        self._timer: asyncio.TimerHandle | None = None
        self._redraw()

    def show(self, entry: Entry) -> None:
        self._changed |= self._view.update(entry)

    def offer_choice(self, choose: Callable[[Resilience], None]) -> None:
        self._choose = choose
        if has_keyboard(sys.stdin):
            self._keyboard = Keyboard(
                sys.stdin,
                on_key=self._on_key,
                on_stop=self._on_stop,
                on_continue=self._on_continue,
            )
            self._changed = True

    def release_keyboard(self) -> None:
        if self._keyboard is not None:
            self._keyboard.close()
            self._keyboard = None

    def close(self) -> None:
        self.release_keyboard()
        if self._timer is not None:
            self._timer.cancel()
        self._draw()
        self._live.stop()

    def _redraw(self) -> None:
        self._timer = asyncio.get_running_loop().call_later(REDRAW_INTERVAL, self._redraw)
        if self._changed:
            self._changed = False
            self._draw()

    def _draw(self) -> None:
        keys = self._keyboard is not None
        self._live.update(draw(self._view, self._title, keys=keys), refresh=True)

    def _on_stop(self) -> None:
        self._live.console.show_cursor(True)

    def _on_continue(self) -> None:
        self._live.console.show_cursor(False)
        self._draw()

    def _on_key(self, key: str) -> None:
        if key.lower() == RESILIENCE_KEY:
            self._choose(manner_after(self._view.costs.resilience))
            self._draw()  # who pressed it waits for it
