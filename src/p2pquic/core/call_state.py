"""How a call stands, for a program that asks."""

from __future__ import annotations

from dataclasses import dataclass

from p2pquic.core.trace import PathKind


@dataclass(frozen=True, slots=True)
class Path:
    """One way to the other end, as it is now.

    `name` is what events call it now, as in "direct/wlan0/198.51.100.9:5544" or "relay/wlan0" (with
    several servers "relay/wlan0/203.0.113.10:12345"). A relay path that leaves by another interface
    has another name and goes on: it is pinned and probed by `id`, which stays. `interface` is the
    one of ours it leaves by, `remote_address` where it leads (the server, for a relay path), `rtt`
    its smoothed round-trip time in seconds, None while nobody has measured it. `is_proven`: it has
    answered, and nothing casts doubt on that.
    """

    name: str
    kind: PathKind
    interface: str
    remote_address: str
    rtt: float | None
    is_proven: bool
    is_selected: bool
    is_pinned: bool
    id: str


@dataclass(frozen=True, slots=True)
class Statistics:
    """What a call has come to so far.

    `rtt` in seconds is that of the selected path. Of what we sent unreliably (audio and datagrams,
    every copy counts) `delivered` copies were acknowledged and `lost` ones believed lost.
    `datagrams_received` counts each once.
    """

    rtt: float | None
    delivered: int
    lost: int
    datagrams_sent: int
    datagrams_received: int

    @property
    def loss(self) -> float:
        """The share of copies that were lost, 0 to 1."""
        return self.lost / max(1, self.lost + self.delivered)
