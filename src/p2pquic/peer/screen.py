"""What a person wants to know about a call, gathered from the trace: the view without the drawing.

    trace entries  ->  CallView.update  ->  drawing.py draws it
                   ->  sentence          ->  one plain line, on a pipe

It reads the same records as tests and lab reports, so it cannot show what did not happen.
"""

from __future__ import annotations

from collections import deque
from dataclasses import dataclass, field

from p2pquic.core.events import Resilience
from p2pquic.core.trace import (
    AddressChanged,
    Closed,
    Connected,
    Entry,
    Failed,
    FrameReceived,
    FrameSent,
    Interruption,
    MemberIgnored,
    MemberJoined,
    MemberLeft,
    PathKind,
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
    WokeUp,
)
from p2pquic.peer.send_costs import SendCosts

RECENT_EVENTS = 8  # lines under the table; more would push it off a small terminal
MEANING: dict[Resilience, str] = {
    "lean": "no frame is sent twice",
    "hedged": "frames are sent twice while a path is in doubt",
    "hot": "every frame is sent by two paths, if there are two",
}
SHORT_ID = 8  # hexadecimal digits of a peer id: enough to tell the people in a room apart


@dataclass
class RemoteView:
    """One peer we talk to. Times in milliseconds, `loss` a share of 0..1."""

    peer: str
    role: str = ""
    shares: bool = True  # whether one of us has something for the other
    connected: bool = False
    unanswered: bool = False  # it has been called for long
    kind: PathKind | None = None
    interface: str = ""
    address: str = ""
    rtt_ms: float | None = None
    loss: float | None = None
    gaps_ms: list[float] = field(default_factory=list)
    playout: PlayoutReport | None = None

    @property
    def state(self) -> str:
        """One word for the path: where the next frame goes."""
        if not self.connected and not self.shares:
            return "no call"
        if not self.connected:
            return "no answer" if self.unanswered else "connecting"
        return self.kind or "connected"


@dataclass
class CallView:
    """Everything on the screen of one peer."""

    role: str = "both"  # ours
    room: str = ""
    peer: str = ""
    observed: str = ""
    addresses: list[str] = field(default_factory=list)
    remotes: dict[str, RemoteView] = field(default_factory=dict)
    ignored: set[str] = field(default_factory=set)  # who is here as well
    recent: deque[tuple[float, str]] = field(default_factory=lambda: deque(maxlen=RECENT_EVENTS))
    costs: SendCosts = field(default_factory=lambda: SendCosts("hedged"))

    def update(self, entry: Entry) -> bool:
        """Take one trace entry in; tells whether anything on the screen is different now."""
        text = sentence(entry.record)
        if text is not None:
            self.recent.append((entry.t, text))
        match entry.record:
            case Registered(peer, room, observed):
                self.peer, self.room, self.observed = peer, room, observed
            case AddressChanged(added, removed):
                kept = [address for address in self.addresses if address not in removed]
                self.addresses = kept + added
            case MemberJoined(peer, role):
                member = self._remote(peer)
                member.role, member.shares = role, self.role == "both" or role != self.role
            case MemberIgnored(peer):
                self.ignored.add(peer)
            case MemberLeft(peer):
                self.ignored.discard(peer)
                view = self.remotes.get(peer)
                if view is not None and not view.connected:  # a running call goes on without
                    del self.remotes[peer]
            case FrameSent(copy=copy):
                return self.costs.on_sent(entry.t, copy)
            case ResilienceChanged(resilience):
                self.costs.choose(resilience)
            case record:
                return self._update_remote(record) or text is not None
        return True

    def _update_remote(self, record: Record) -> bool:
        match record:
            case Connected(remote, kind):
                view = self._remote(remote)
                view.connected, view.kind = True, kind
            case Unanswered(remote):
                self._remote(remote).unanswered = True
            case PathSelected():
                view = self._remote(record.remote)
                view.kind, view.address = record.kind, record.remote_address
                view.interface = interface_of(record.local)
                view.rtt_ms = None
            case PathStatistics():
                view = self._remote(record.remote)
                view.rtt_ms, view.loss = record.rtt_ms, record.loss
            case Interruption():
                self._remote(record.remote).gaps_ms.append(record.gap_ms)
            case PlayoutReport():
                self._remote(record.remote).playout = record
            case Closed(remote=remote) if remote:
                self.remotes.pop(remote, None)
            case _:
                return False
        return True

    def _remote(self, peer: str) -> RemoteView:
        return self.remotes.setdefault(peer, RemoteView(peer))


def sentence(record: Record) -> str | None:
    """The line a person should read; None for what is not worth one."""
    match record:
        case FrameSent() | FrameReceived():
            return None  # first of all: a hundred a second
        case ServerTrusted(address, fingerprint):
            return (
                f"First contact with the server at {address}: from now on its key {fingerprint} "
                "is trusted. Compare it with what the server printed at its start; if they differ, "
                "somebody else answered."
            )
        case Registered(peer, room, observed, server):
            who = f"the server at {server}" if server else "the server"
            return f"In room {room} as {short(peer)}; {who} sees us at {observed}."
        case WokeUp(asleep):
            return f"This machine slept for {asleep:.0f} s."
        case AddressChanged(added, removed):
            return _address_sentence(added, removed)
        case MemberJoined(peer, role):
            return f"{short(peer)} is in the room ({role})."
        case MemberLeft(peer):
            return f"{short(peer)} left the room."
        case MemberIgnored(peer, role):
            return f"{short(peer)} is in the room ({role}) and is not called: --only names others."
        case Unanswered(remote, waited):
            return (
                f"{short(remote)} has not answered for {waited:.0f} s: perhaps it has calls with "
                "others alone (--only), or no way leads there. It is waited for."
            )
        case PeerRecognised(remote, last_met):
            if not last_met:
                return f"You have not met {short(remote)} before."
            return f"You have met {short(remote)} before, last on {last_met[:10]}."
        case Connected(remote, kind):
            return f"Connected to {short(remote)}, {_by(kind)}."
        case PathSelected():
            interface = interface_of(record.local) or record.local
            way = f"{_by(record.kind)}, over {interface}"
            return f"To {short(record.remote)} {way}: {record.reason}."
        case Interruption():
            counts = [
                f"{count} {word}"
                for count, word in (
                    (record.lost, "lost"),
                    (record.late, "late"),
                    (record.resent, "re-sent"),
                    (record.concealed, "concealed"),
                )
                if count
            ]
            detail = f" (frames: {', '.join(counts)})" if counts else ""
            gap = f"Interruption of {record.gap_ms:.0f} ms from {short(record.remote)}"
            heard = f"{record.heard_ms:.0f} ms heard" if record.heard_ms else "unheard"
            return f"{gap}, {heard}{detail}."
        case ResilienceChanged(resilience):
            return f"From now on {resilience}: {MEANING[resilience]}."
        case ReserveChanged(interfaces, used):
            names = ", ".join(interfaces)
            if used:
                return f"Nothing else is known to live: {names} is used, although to be avoided."
            return f"{names} is avoided again."
        case Failed(message):
            return message
        case Closed(reason, remote) if remote:
            return f"The call with {short(remote)} ended: {reason.rstrip('.')}."
    return None


def _address_sentence(added: list[str], removed: list[str]) -> str:
    parts = [f"{address} went away" for address in removed]
    parts += [f"{address} is usable" for address in added]
    return "; ".join(parts) + "." if parts else "No usable network yet; waiting for one."


def _by(kind: PathKind) -> str:
    return "directly" if kind == "direct" else "through the relay"


def short(peer: str) -> str:
    """A peer id as people read it."""
    return peer[:SHORT_ID]


def interface_of(local: str) -> str:
    """`wlan0` of `192.0.2.7:4433%wlan0`; empty if no interface is named."""
    return local.rpartition("%")[2] if "%" in local else ""
