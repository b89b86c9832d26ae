"""Draws the call: a live screen on a terminal, one plain line per event anywhere else.

The live screen is drawn by the one asyncio loop, at most twice a second and only when something
on it changed. A drawing takes some 5 ms, which a thread would take from the audio all the same:
whoever counts milliseconds sends the output to a file.
"""

from __future__ import annotations

import asyncio
import time
from typing import Protocol, TextIO

from rich.console import Console, Group
from rich.live import Live
from rich.table import Table
from rich.text import Text

from p2pquic.core.trace import Entry
from p2pquic.peer.screen import CallView, RemoteView, sentence, short

REDRAW_INTERVAL = 0.5  # seconds; a person does not read faster


class Screen(Protocol):
    """Shows trace entries to a person."""

    def show(self, entry: Entry) -> None:
        """Take one entry in."""
        ...

    def close(self) -> None:
        """Leave the terminal as a person expects it."""
        ...


def open_screen(stream: TextIO, title: str) -> Screen:
    """The screen that fits `stream`; needs a running asyncio loop."""
    return LiveScreen(stream, title) if stream.isatty() else PlainLines(stream)


class PlainLines:
    """One line for each event worth reading, with the time of day."""

    def __init__(self, stream: TextIO) -> None:
        self._stream = stream

    def show(self, entry: Entry) -> None:
        text = sentence(entry.record)
        if text is not None:
            print(f"{wall_clock(entry.t)}  {text}", file=self._stream, flush=True)

    def close(self) -> None:
        self._stream.flush()


class LiveScreen:
    """A table of the peers, redrawn in place."""

    def __init__(self, stream: TextIO, title: str) -> None:
        self._title = title
        self._view = CallView()
        self._changed = True
        self._live = Live(console=Console(file=stream), auto_refresh=False, redirect_stdout=False)
        self._live.start()
        self._timer: asyncio.TimerHandle | None = None
        self._redraw()

    def show(self, entry: Entry) -> None:
        self._changed |= self._view.update(entry)

    def close(self) -> None:
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
        self._live.update(draw(self._view, self._title), refresh=True)


def draw(view: CallView, title: str) -> Group:
    """The whole screen."""
    head = Text(title, style="bold")
    if view.room:
        head.append(f"\nroom {view.room} as {short(view.peer)}, seen at {view.observed}", "dim")
    here = ", ".join(view.addresses) or "no usable network; waiting for one"
    head.append(f"\nhere {here}", "dim" if view.addresses else "yellow")
    lines = [Text(f"{wall_clock(t)}  {text}", style="dim") for t, text in view.recent]
    return Group(head, _peer_table(view), *lines)


def _peer_table(view: CallView) -> Table:
    table = Table(expand=False)
    for heading in ("peer", "path", "over", "to"):
        table.add_column(heading, no_wrap=True)
    for heading in ("RTT", "loss", "interruptions"):
        table.add_column(heading, justify="right", no_wrap=True)
    for remote in view.remotes.values():
        style = "green" if remote.state == "direct" else "yellow"
        table.add_row(
            f"{short(remote.peer)} {remote.role}".strip(),
            Text(remote.state, style),
            remote.interface,
            remote.address,
            "" if remote.rtt_ms is None else f"{remote.rtt_ms:.0f} ms",
            "" if remote.loss is None else f"{remote.loss:.1%}",
            gaps_summary(remote),
        )
    if not view.remotes:
        table.add_row("nobody else is here yet")
    return table


def gaps_summary(remote: RemoteView) -> str:
    """`3, last 83 ms, longest 112 ms`."""
    gaps = remote.gaps_ms
    if not gaps:
        return "none"
    return f"{len(gaps)}, last {gaps[-1]:.0f} ms, longest {max(gaps):.0f} ms"


def wall_clock(t: float) -> str:
    """The time of day of a monotonic time."""
    return time.strftime("%H:%M:%S", time.localtime(time.time() - time.monotonic() + t))
