"""What the live screen looks like: the call as a few lines that fit the terminal.

    title, room, addresses                     3 lines
    a line for each peer of the room           with all columns on a wide terminal
    what the manners of resilience cost        all three, or the one in use where lines are scarce
    what happened last                         as much of it as there are lines left

A room of sixteen fits 80 columns and 24 lines. The terminal is asked for its size at each drawing.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import get_args

from rich.console import Console, ConsoleOptions, RenderResult
from rich.table import Table
from rich.text import Text

from p2pquic.core.events import Resilience
from p2pquic.core.trace import Copy
from p2pquic.peer.screen import MEANING, CallView, RemoteView, short
from p2pquic.peer.send_costs import SendCosts

MANNERS: tuple[Resilience, ...] = get_args(Resilience)
RESILIENCE_KEY = "r"
WIDE = 130  # columns from which on there is room for every column
EVENTS_WANTED = 6  # lines; where fewer are left, only the manner in use is shown


@dataclass(frozen=True, slots=True)
class CallDrawing:
    """The whole screen; whether `keys` can be pressed."""

    view: CallView
    title: str
    keys: bool = False

    def __rich_console__(self, console: Console, options: ConsoleOptions) -> RenderResult:
        is_wide = options.max_width >= WIDE
        head = _head(self.view, self.title)
        peers = _peer_table(self.view, is_wide=is_wide)
        left = console.height - 1 - _lines(head, console, options) - peers.row_count - 1
        yield head
        yield peers
        if self.view.remotes:
            has_room = left > len(MANNERS) + EVENTS_WANTED
            manners = MANNERS if has_room else (self.view.costs.resilience,)
            left -= len(manners) + 1
            yield _cost_table(self.view.costs, manners, keys=self.keys, is_wide=is_wide)
        yield from _newest(self.view, left, console, options)


def draw(view: CallView, title: str, *, keys: bool = False) -> CallDrawing:
    """The whole screen; whether `keys` can be pressed."""
    return CallDrawing(view, title, keys)


def manner_after(resilience: Resilience) -> Resilience:
    """The next more careful manner; after the most careful the leanest."""
    return MANNERS[(MANNERS.index(resilience) + 1) % len(MANNERS)]


def wall_clock(t: float) -> str:
    """The time of day of a monotonic time."""
    return time.strftime("%H:%M:%S", time.localtime(time.time() - time.monotonic() + t))


def _head(view: CallView, title: str) -> Text:
    head = Text(title, style="bold")
    if view.room:
        head.append(f"\nroom {view.room} as {short(view.peer)}, seen at {view.observed}", "dim")
    here = ", ".join(view.addresses) or "no usable network; waiting for one"
    head.append(f"\nhere {here}", "dim" if view.addresses else "yellow")
    return head


def _newest(view: CallView, lines: int, console: Console, options: ConsoleOptions) -> list[Text]:
    """The last events, each whole, in at most so many lines."""
    chosen: list[Text] = []
    for t, text in reversed(view.recent):
        event = Text(f"{wall_clock(t)}  {text}", style="dim")
        lines -= _lines(event, console, options)
        if lines < 0:
            break
        chosen.insert(0, event)
    return chosen


def _lines(text: Text, console: Console, options: ConsoleOptions) -> int:
    return len(text.wrap(console, options.max_width))


# ---- tables ----------------------------------------------------------------------------------


@dataclass(frozen=True, slots=True)
class _Column:
    heading: str
    cell: Callable[[RemoteView], str | Text]
    is_figure: bool = False


def _gaps(remote: RemoteView) -> str:
    """`3, 112 ms`: how many, and the longest."""
    gaps = remote.gaps_ms
    return f"{len(gaps)}, {max(gaps):.0f} ms" if gaps else _nothing(remote)


def _gaps_in_detail(remote: RemoteView) -> str:
    """`3, last 83 ms, longest 112 ms`."""
    gaps = remote.gaps_ms
    if not gaps:
        return _nothing(remote)
    return f"{len(gaps)}, last {gaps[-1]:.0f} ms, longest {max(gaps):.0f} ms"


def _heard(remote: RemoteView) -> str:
    """`2, 540 ms`: what of the interruptions an ear noticed, and the longest."""
    report = remote.playout
    if report is None or not report.interruptions:
        return _nothing(remote)
    return f"{report.interruptions}, {report.longest_ms:.0f} ms"


def _nothing(remote: RemoteView) -> str:
    return "" if remote.role == "receiver" else "none"


def _path(remote: RemoteView) -> Text:
    way = f"{remote.state}, {remote.interface}" if remote.interface else remote.state
    return Text(way, "green" if remote.state == "direct" else "yellow")


_WHO = _Column("peer", lambda remote: f"{short(remote.peer)} {remote.role}".strip())
_WAY = (
    _Column("path", _path),
    _Column(
        "RTT",
        lambda remote: "" if remote.rtt_ms is None else f"{remote.rtt_ms:.0f} ms",
        is_figure=True,
    ),
    _Column(
        "loss",
        lambda remote: "" if remote.loss is None else f"{remote.loss:.1%}",
        is_figure=True,
    ),
)
_BUFFER = _Column(
    "buffer",
    lambda remote: "" if remote.playout is None else f"{remote.playout.buffer_ms} ms",
    is_figure=True,
)
_HEARD = _Column("heard", _heard, is_figure=True)
_NARROW = (_WHO, *_WAY, _Column("gaps, longest", _gaps, is_figure=True), _HEARD, _BUFFER)
_ALL = (
    _WHO,
    _WAY[0],
    _Column("to", lambda remote: remote.address),
    *_WAY[1:],
    _Column("gaps", _gaps_in_detail, is_figure=True),
    _HEARD,
    _Column(
        "concealed",
        lambda remote: "" if remote.playout is None else str(remote.playout.concealed),
        is_figure=True,
    ),
    _BUFFER,
)


def _table() -> Table:
    return Table(box=None, expand=False, pad_edge=False, padding=(0, 1, 0, 0))


def _peer_table(view: CallView, *, is_wide: bool) -> Table:
    table = _table()
    columns = _ALL if is_wide else _NARROW
    for column in columns:
        table.add_column(
            column.heading, justify="right" if column.is_figure else "left", no_wrap=True
        )
    for remote in view.remotes.values():
        table.add_row(*(column.cell(remote) for column in columns))
    if not view.remotes:
        whom = "nobody that --only names" if view.ignored else "nobody else"
        table.add_row(f"{whom} is here yet")
    return table


def _cost_table(
    costs: SendCosts, manners: Sequence[Resilience], *, keys: bool, is_wide: bool
) -> Table:
    table = _table()
    hint = f" ({RESILIENCE_KEY}: {manner_after(costs.resilience)})" if keys else ""
    table.add_column(f"resilience{hint}", no_wrap=True)
    for heading in ("sent/s: first", "duplicate", "re-sent"):
        table.add_column(heading, justify="right", no_wrap=True)
    if is_wide:  # the event says it, too, when somebody chooses
        table.add_column("which means", no_wrap=True)
    kinds: tuple[Copy, ...] = ("first", "duplicate", "resend")
    for manner in manners:
        in_use = manner == costs.resilience
        figures = costs.per_second.get(manner)
        table.add_row(
            f"{'>' if in_use else ' '} {manner}",
            *("" if figures is None else str(figures[kind]) for kind in kinds),
            *([MEANING[manner]] if is_wide else []),
            style="bold" if in_use else "dim",
        )
    return table
