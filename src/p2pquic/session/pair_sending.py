"""Which frames of ours go on which path of a call, and which go again.

every frame         on the selected path
after a change      the newest unacknowledged one at once, the older ones a breath later,
                    and for a moment duplicates on the paths that are being tried out
"""

from __future__ import annotations

from p2pquic.core.events import Resilience
from p2pquic.core.frames import Frame
from p2pquic.core.path import PathAddress
from p2pquic.core.trace import Copy
from p2pquic.quic.connection import MultipathConnection
from p2pquic.session.direct_paths import DirectPaths
from p2pquic.session.pair_media import PairMedia
from p2pquic.session.pair_trace import PairTrace

TRYING_OUT = (
    0.1  # seconds after a change in which untried paths get duplicates: one long round trip
)


class PairSending:
    """The sending half of one call's audio; that there is a way out is the caller's to know."""

    def __init__(
        self,
        media: PairMedia,
        direct: DirectPaths,
        trace: PairTrace,
        resilience: Resilience,
        now: float,
    ) -> None:
        self._media = media
        self._direct = direct
        self._trace = trace
        self.resilience = resilience
        self._changed_at = now
        self._older: list[Frame] = []

    @property
    def deadline(self) -> float | None:
        """When to call `send_older`."""
        return self._changed_at if self._older else None

    def send_new(self, connection: MultipathConnection, frame: Frame, now: float) -> None:
        """A frame has just been produced."""
        assert connection.selected is not None
        self._send(connection, frame, connection.selected, now)
        if now - self._changed_at <= TRYING_OUT:
            self._duplicate(connection, frame, now)
        else:
            self._trace.hedging([])

    def send_again(
        self, connection: MultipathConnection, path: PathAddress, back: float, now: float
    ) -> None:
        """Send what may have died before `path` took over; that is possible since `back`.

        The newest frame leaves before packets are built for the older ones.
        """
        self._changed_at = now
        frames = self._media.unacknowledged(back)
        for newest in frames[:1]:
            self._send(connection, newest, path, now)
            self._duplicate(connection, newest, now)
        self._older = frames[1:]

    def send_older(self, connection: MultipathConnection, now: float) -> None:
        """The newest has left; now the others."""
        older, self._older = self._older, []
        if connection.selected is not None:
            for frame in older:
                self._send(connection, frame, connection.selected, now)

    def _duplicate(self, connection: MultipathConnection, frame: Frame, now: float) -> None:
        """Send a copy on every path that is being tried: whichever works first, audio is there."""
        if self.resilience == "lean":
            return
        tried = [path for path in self._direct.unproven(connection) if path != connection.selected]
        self._trace.hedging(tried)
        for path in tried:
            self._send(connection, frame, path, now, "duplicate")

    def _send(
        self,
        connection: MultipathConnection,
        frame: Frame,
        path: PathAddress,
        now: float,
        copy: Copy | None = None,
    ) -> None:
        self._media.send(connection, frame, path, self._trace.name(path), now, copy)
