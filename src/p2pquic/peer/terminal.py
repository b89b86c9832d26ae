"""Draws the call: a live screen on a terminal, one plain line per event anywhere else.

The live screen is drawn by the one asyncio loop, at most twice a second and only when something
on it changed. A drawing takes some 5 ms, which a thread would take from the audio all the same:
whoever counts milliseconds sends the output to a file.
"""

from __future__ import annotations

import asyncio
import sys
import time
from collections.abc import Callable
from typing import Protocol, TextIO, get_args

from rich.console import Console, Group
from rich.live import Live
from rich.table import Table
from rich.text import Text

from p2pquic.core.events import Resilience
from p2pquic.core.trace import Copy, Entry
from p2pquic.peer.screen import MEANING, CallView, RemoteView, sentence, short
from p2pquic.peer.send_costs import SendCosts

if sys.platform == "win32":
    from p2pquic.peer.windows_keyboard import Keyboard, has_keyboard
else:
    from p2pquic.peer.keyboard import Keyboard, has_keyboard

MANNERS: tuple[Resilience, ...] = get_args(Resilience)
RESILIENCE_KEY = "r"
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


def open_screen(stream: TextIO, title: str, resilience: Resilience) -> Screen:
    """The screen that fits `stream`; needs a running asyncio loop."""
    if stream.isatty():
        return LiveScreen(stream, title, resilience)
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
    """Tables of the call, redrawn in place; a key chooses the manner of resilience."""

    def __init__(self, stream: TextIO, title: str, resilience: Resilience) -> None:
        self._title = title
        self._view = CallView(costs=SendCosts(resilience))
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


def manner_after(resilience: Resilience) -> Resilience:
    """The next more careful manner; after the most careful the leanest."""
    return MANNERS[(MANNERS.index(resilience) + 1) % len(MANNERS)]


def draw(view: CallView, title: str, *, keys: bool = False) -> Group:
    """The whole screen; whether `keys` can be pressed."""
    head = Text(title, style="bold")
    if view.room:
        head.append(f"\nroom {view.room} as {short(view.peer)}, seen at {view.observed}", "dim")
    here = ", ".join(view.addresses) or "no usable network; waiting for one"
    head.append(f"\nhere {here}", "dim" if view.addresses else "yellow")
    lines = [Text(f"{wall_clock(t)}  {text}", style="dim") for t, text in view.recent]
    tables = [_peer_table(view)]
    if view.remotes:
        tables += [_sound_table(view), _cost_table(view.costs, keys=keys)]
    return Group(head, *tables, *lines)


def _peer_table(view: CallView) -> Table:
    table = Table(expand=False)
    for heading in ("peer", "path", "over", "to"):
        table.add_column(heading, no_wrap=True)
    for heading in ("RTT", "loss"):
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
        )
    if not view.remotes:
        table.add_row("nobody else is here yet")
    return table


def _sound_table(view: CallView) -> Table:
    table = Table(expand=False)
    table.add_column("peer", no_wrap=True)
    for heading in ("interruptions", "heard", "concealed", "buffer"):
        table.add_column(heading, justify="right", no_wrap=True)
    for remote in view.remotes.values():
        report = remote.playout
        table.add_row(
            short(remote.peer),
            gaps_summary(remote),
            heard_summary(remote),
            "" if report is None else f"{report.concealed} frames",
            "" if report is None else f"{report.buffer_ms} ms",
        )
    return table


def _cost_table(costs: SendCosts, *, keys: bool) -> Table:
    table = Table(expand=False)
    hint = f" ({RESILIENCE_KEY}: {manner_after(costs.resilience)})" if keys else ""
    table.add_column(f"resilience{hint}", no_wrap=True)
    for heading in ("sent/s: first", "duplicate", "re-sent"):
        table.add_column(heading, justify="right", no_wrap=True)
    table.add_column("which means")
    kinds: tuple[Copy, ...] = ("first", "duplicate", "resend")
    for manner in MANNERS:
        in_use = manner == costs.resilience
        figures = costs.per_second.get(manner)
        table.add_row(
            f"{'>' if in_use else ' '} {manner}",
            *("" if figures is None else str(figures[kind]) for kind in kinds),
            MEANING[manner],
            style="bold" if in_use else "dim",
        )
    return table


def gaps_summary(remote: RemoteView) -> str:
    """`3, last 83 ms, longest 112 ms`."""
    gaps = remote.gaps_ms
    if not gaps:
        return "none"
    return f"{len(gaps)}, last {gaps[-1]:.0f} ms, longest {max(gaps):.0f} ms"


def heard_summary(remote: RemoteView) -> str:
    """`2, longest 540 ms`: what of the interruptions an ear noticed."""
    report = remote.playout
    if report is None or not report.interruptions:
        return "none"
    return f"{report.interruptions}, longest {report.longest_ms:.0f} ms"


def wall_clock(t: float) -> str:
    """The time of day of a monotonic time."""
    return time.strftime("%H:%M:%S", time.localtime(time.time() - time.monotonic() + t))
