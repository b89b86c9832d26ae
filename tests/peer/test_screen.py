"""What the screen of a call says, from trace records alone."""

from __future__ import annotations

import io
from collections.abc import Sequence

import pytest
from rich.console import Console

from p2pquic.core.trace import (
    AddressChanged,
    Closed,
    Connected,
    Copy,
    Entry,
    Failed,
    FrameReceived,
    FrameSent,
    Interruption,
    MemberIgnored,
    MemberJoined,
    MemberLeft,
    PathSelected,
    PathStatistics,
    PeerRecognised,
    PlayoutReport,
    Record,
    Registered,
    ReserveChanged,
    ResilienceChanged,
    ServerTrusted,
    Unanswered,
)
from p2pquic.peer.drawing import draw, manner_after
from p2pquic.peer.screen import RECENT_EVENTS, CallView, sentence
from p2pquic.peer.terminal import PlainLines
from tests.peer.in_terminal import running_in_terminal

BOB = "b0b0b0b0" + "0" * 24
ROLES = ("sender", "both", "receiver")
DIRECT = PathSelected(
    path="p2",
    kind="direct",
    local="192.0.2.7:4433%wlan0",
    remote_address="198.51.100.9:5544",
    reason="it answered first",
    remote=BOB,
)


def view_of(*records: Record) -> CallView:
    view = CallView()
    for moment, record in enumerate(records):
        view.update(Entry(float(moment), record))
    return view


def drawn(view: CallView, *, keys: bool = False, width: int = 130) -> str:
    output = io.StringIO()
    console = Console(file=output, width=width, height=24)
    console.print(draw(view, "p2pquic peer by 203.0.113.10:12345", keys=keys))
    return output.getvalue()


@pytest.mark.parametrize(
    ("record", "expected"),
    [
        (
            Registered("a" * 32, "lobby", "203.0.113.5:4433"),
            "In room lobby as aaaaaaaa; the server sees us at 203.0.113.5:4433.",
        ),
        (
            ServerTrusted("203.0.113.10:12345", "sha256:abcd"),
            "First contact with the server at 203.0.113.10:12345: from now on its key sha256:abcd "
            "is trusted. Compare it with what the server printed at its start; if they differ, "
            "somebody else answered.",
        ),
        (MemberJoined(BOB, "sender"), "b0b0b0b0 is in the room (sender)."),
        (
            MemberIgnored(BOB, "sender"),
            "b0b0b0b0 is in the room (sender) and is not called: --only names others.",
        ),
        (
            PeerRecognised(BOB, "2026-11-20T18:03:11Z"),
            "You have met b0b0b0b0 before, last on 2026-11-20.",
        ),
        (PeerRecognised(BOB, ""), "You have not met b0b0b0b0 before."),
        (
            Unanswered(BOB, 10.0),
            "b0b0b0b0 has not answered for 10 s: perhaps it has calls with others alone (--only), "
            "or no way leads there. It is waited for.",
        ),
        (MemberLeft(BOB), "b0b0b0b0 left the room."),
        (Connected(BOB, "relay", "client", "00"), "Connected to b0b0b0b0, through the relay."),
        (DIRECT, "To b0b0b0b0 directly, over wlan0: it answered first."),
        (
            Interruption(BOB, 83.4, lost=0, late=2, resent=1, concealed=3, heard_ms=60.0),
            "Interruption of 83 ms from b0b0b0b0, 60 ms heard "
            "(frames: 2 late, 1 re-sent, 3 concealed).",
        ),
        (Interruption(BOB, 83.4, 0, 0, 0), "Interruption of 83 ms from b0b0b0b0, unheard."),
        (
            ReserveChanged(["rmnet0"], used=True),
            "Nothing else is known to live: rmnet0 is used, although to be avoided.",
        ),
        (ReserveChanged(["rmnet0"], used=False), "rmnet0 is avoided again."),
        (ResilienceChanged("lean"), "From now on lean: no frame is sent twice."),
        (
            AddressChanged(["10.0.0.9%rmnet0"], ["192.0.2.7%wlan0"]),
            "192.0.2.7%wlan0 went away; 10.0.0.9%rmnet0 is usable.",
        ),
        (AddressChanged([], []), "No usable network yet; waiting for one."),
        (Failed("No sound card."), "No sound card."),
        (Closed("stopped by SIGINT"), None),
        (Closed("they hung up", BOB), "The call with b0b0b0b0 ended: they hung up."),
        (FrameReceived(1, "p1", BOB), None),
    ],
)
def test_events_are_told_in_sentences(record: Record, expected: str | None) -> None:
    assert sentence(record) == expected


def test_a_call_is_followed_from_relay_to_direct() -> None:
    view = view_of(MemberJoined(BOB, "sender"))
    assert view.remotes[BOB].state == "connecting"
    view.update(Entry(1.0, Connected(BOB, "relay", "client", "00")))
    assert view.remotes[BOB].state == "relay"
    view.update(Entry(2.0, DIRECT))
    view.update(Entry(3.0, PathStatistics(BOB, "p2", rtt_ms=41.7, loss=0.013)))
    screen = drawn(view)
    for part in ("b0b0b0b0 sender", "direct", "wlan0", "198.51.100.9:5544", "42 ms", "1.3%"):
        assert part in screen


def test_who_does_not_answer_and_who_is_not_called_are_seen() -> None:
    view = view_of(MemberJoined(BOB, "sender"), Unanswered(BOB, 10.0))
    assert view.remotes[BOB].state == "no answer"
    assert "nobody else is here yet" in drawn(view_of())
    view = view_of(MemberIgnored(BOB, "sender"))
    assert "nobody that --only names is here yet" in drawn(view)
    view.update(Entry(1.0, MemberLeft(BOB)))
    assert "nobody else is here yet" in drawn(view)


def test_two_who_only_listen_are_not_shown_as_connecting_for_ever() -> None:
    view = CallView(role="receiver")
    for peer, role in (("a" * 32, "receiver"), (BOB, "sender")):
        view.update(Entry(0.0, MemberJoined(peer, role)))
    assert [each.state for each in view.remotes.values()] == ["no call", "connecting"]


def test_the_rtt_of_the_old_path_is_not_shown_for_the_new() -> None:
    other = PathSelected("p1", "relay", "192.0.2.7:4433%wlan0", "203.0.113.1:1", "moved", BOB)
    view = view_of(DIRECT, PathStatistics(BOB, "p2", 41.7, 0.0), other)
    assert view.remotes[BOB].rtt_ms is None


def test_every_interruption_counts() -> None:
    gaps = [Interruption(BOB, gap, 0, 0, 0) for gap in (80.0, 112.0, 83.0)]
    assert "3, last 83 ms, longest 112 ms" in drawn(view_of(*gaps))


def test_what_was_heard_stands_beside_the_raw_gaps() -> None:
    screen = drawn(
        view_of(Interruption(BOB, 530.0, 0, 0, 0), PlayoutReport(BOB, 25, 1, 480, 480, 61))
    )
    for part in ("1, last 530 ms, longest 530 ms", "1, 480 ms", " 25 ", "61 ms"):
        assert part in screen


def sent(view: CallView, copies: Sequence[Copy], seconds: range) -> None:
    for n in range(seconds.start * 50, seconds.stop * 50 + 1):
        for copy in copies:
            view.update(Entry(n * 0.020, FrameSent(n, "p2", BOB, copy)))


def test_each_manner_shows_what_it_cost_while_it_was_in_use() -> None:
    view = view_of(DIRECT)
    sent(view, ["first"], range(10))
    view.update(Entry(10.0, ResilienceChanged("hot")))
    sent(view, ["first", "duplicate"], range(10, 20))
    assert view.costs.per_second == {
        "hedged": {"first": 50, "duplicate": 0, "resend": 0},
        "hot": {"first": 50, "duplicate": 50, "resend": 0},
    }
    assert "> hot" in drawn(view)
    assert "resilience (r: lean)" in drawn(view, keys=True)


def test_copies_are_drawn_only_when_their_number_changes() -> None:
    view = view_of(DIRECT)
    sent(view, ["first"], range(3))
    assert not any(
        view.update(Entry(3.0 + n * 0.020, FrameSent(n, "p2", BOB, "first"))) for n in range(1, 200)
    )


def room_of(members: int) -> CallView:
    """As somebody sees it who hears two of three, after an interruption of each."""
    view = view_of(AddressChanged(["192.168.178.23%wlan0", "10.101.44.7%rmnet0"], []))
    for number in range(members - 1):
        peer, role = f"{number:08x}" + "0" * 24, ROLES[number % 3]
        records: list[Record] = [
            MemberJoined(peer, role),
            Connected(peer, "relay", "client", "00"),
            PathSelected(
                "p2", "direct", "10.101.44.7:40001%rmnet0", f"198.51.100.{number}:50123", "", peer
            ),
            PathStatistics(peer, "p2", rtt_ms=141.7, loss=0.137),
        ]
        if role != "receiver":
            records.append(Interruption(peer, 530.0, 0, 0, 0))
            records.append(PlayoutReport(peer, 25, 1, 480, 480, 161))
        for record in records:
            view.update(Entry(20.0, record))
    view.update(Entry(21.0, Failed("This happened last.")))
    return view


@pytest.mark.parametrize("members", [2, 3, 5, 16])
def test_a_room_fits_the_smallest_usual_terminal(members: int) -> None:
    screen = drawn(room_of(members), keys=True, width=80)
    assert len(screen.splitlines()) < 24, "one line is for the cursor"
    assert screen.count("direct, rmnet0 142 ms 13.7%") == members - 1
    assert "This happened last." in screen
    assert "resilience (r: hot)" in screen
    assert "> hedged" in screen
    assert "\N{HORIZONTAL ELLIPSIS}" not in screen, "nothing is cut off"


SHOW_A_ROOM = """
import asyncio, sys
from p2pquic.core.trace import Connected, Entry, Failed, MemberJoined
from p2pquic.peer.terminal import open_screen

async def show():
    screen = open_screen(sys.stdout, "p2pquic peer", "both", "hedged")
    for number in range(15):
        peer = f"{number:08x}" + "0" * 24
        screen.show(Entry(0.0, MemberJoined(peer, "receiver")))
        screen.show(Entry(0.0, Connected(peer, "relay", "client", "00")))
    screen.show(Entry(1.0, Failed("This happened last.")))
    screen.close()

asyncio.run(show())
"""


@pytest.mark.slow
def test_in_a_terminal_of_24_lines_nothing_of_a_room_of_sixteen_scrolls_away() -> None:
    with running_in_terminal(["-c", SHOW_A_ROOM]) as terminal:
        shown = terminal.wait_for("This happened last.")
        assert terminal.next_line() == "ended 0 in order"
    drawing = shown[shown.rindex("p2pquic peer") :]
    assert drawing.count(" receiver ") == 15
    assert drawing.count("\n") < 23
    assert "\N{HORIZONTAL ELLIPSIS}" not in drawing


def test_of_who_only_listens_no_sound_is_told() -> None:
    lines = drawn(room_of(4)).splitlines()
    (listener,) = (line for line in lines if line.startswith("00000002 receiver"))
    assert "none" not in listener
    (speaker,) = (line for line in lines if line.startswith("00000000 sender"))
    assert "1, last 530 ms, longest 530 ms" in speaker
    assert "1, 480 ms" in speaker


def test_the_key_leads_through_every_manner_and_back() -> None:
    assert [manner_after(each) for each in ("lean", "hedged", "hot")] == ["hedged", "hot", "lean"]


def test_addresses_come_and_go() -> None:
    view = view_of(AddressChanged(["192.0.2.7%wlan0"], []))
    assert "here 192.0.2.7%wlan0" in drawn(view)
    view.update(Entry(1.0, AddressChanged([], ["192.0.2.7%wlan0"])))
    assert "no usable network" in drawn(view)


@pytest.mark.parametrize("farewell", [MemberLeft(BOB), Closed("they hung up", BOB)])
def test_who_left_is_not_on_the_screen(farewell: Record) -> None:
    assert view_of(DIRECT, farewell).remotes == {}


def test_a_frame_changes_nothing_on_the_screen() -> None:
    view = view_of(DIRECT)
    assert not view.update(Entry(1.0, FrameReceived(1, "p2", BOB)))
    assert view.update(Entry(2.0, PathStatistics(BOB, "p2", 41.7, 0.0)))


def test_only_recent_events_are_kept() -> None:
    view = view_of(*[Failed(f"event {number}") for number in range(RECENT_EVENTS + 3)])
    assert view.recent[0][1] == "event 3"


def test_a_pipe_gets_one_line_per_event() -> None:
    output = io.StringIO()
    screen = PlainLines(output)
    for record in (MemberJoined(BOB, "sender"), FrameReceived(1, "p1", BOB), MemberLeft(BOB)):
        screen.show(Entry(0.0, record))
    screen.close()
    assert [line.split("  ")[1] for line in output.getvalue().splitlines()] == [
        "b0b0b0b0 is in the room (sender).",
        "b0b0b0b0 left the room.",
    ]
