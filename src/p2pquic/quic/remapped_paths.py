"""Following the other end when its NAT gives a path another address.

    path ---- old address        a packet of it, newer than any of it before,
         `--- new address <----  comes from a new address: the path goes on there

In stock QUIC a server does so for its client (RFC 9000 section 9.3), and with the newest packet of
all. Here either end does, and with the newest of *that* path: on a slower one none is ever the
newest of all.
"""

from __future__ import annotations

from aioquic import tls

from p2pquic.core.path import PathAddress
from p2pquic.quic import events
from p2pquic.quic.many_paths import ManyPathsConnection
from p2pquic.quic.paths import Path

LATELY = 64  # packets by which one of a slow path may come later than the newest: a second's worth


class RemappedPathsConnection(ManyPathsConnection):
    """One end of a connection whose paths keep their names on our side alone."""

    def _receive_from_elsewhere(self, data: bytes, addr: PathAddress, now: float) -> Path:
        received_before = self._lately_received()
        path = super()._receive_from_elsewhere(data, addr, now)
        if path.addr not in self._paths:
            number = max(self._lately_received() - received_before, default=-1)
            self._follow(path, number, len(data))
        return path

    def _follow(self, arrival: Path, number: int, received: int) -> None:
        """Packet `number`, of `received` bytes, came from there with a path's connection id."""
        path = self._path_by_host_sequence(arrival.host_sequence)
        if path is None or path is arrival or number <= path.followed:
            return
        old, path.followed = path.addr, number
        del self._paths[old]
        path.move(arrival.addr, received)
        path.remote_challenges.extend(arrival.remote_challenges)
        self._paths[path.addr] = path
        self._on_adopted(path)
        self._tell(events.PathMoved(old, path.addr))

    def _lately_received(self) -> set[int]:
        """The numbers of the packets that came last, and are not acknowledged for good."""
        space = self._spaces.get(tls.Epoch.ONE_RTT)
        if space is None:
            return set()
        horizon = space.largest_received_packet - LATELY
        return {n for each in space.ack_queue for n in range(max(each.start, horizon), each.stop)}
