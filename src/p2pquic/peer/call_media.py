"""The audio of a call: one source for everybody, one playout for each remote peer.

    StartMedia  ->  source  ->  MediaPacketReady, each RTP packet
    PlayMedia   ->  that remote's playout (its own speaker pipeline, its own WAV)
    StopMedia   ->  that playout ends

Opening a pipeline takes tens of milliseconds and must not hold up the network, so it happens
beside; what arrives meanwhile waits in a short queue.
"""

from __future__ import annotations

import asyncio
from collections import deque
from collections.abc import Callable, Coroutine
from pathlib import Path
from typing import Any

from p2pquic.media.playout import Playout, open_playout
from p2pquic.media.source import Source, open_source

WAITING_PACKETS = 50  # packets of 20 ms that wait for a pipeline to open: one second


class CallMedia:
    """Performs the media actions of one peer."""

    def __init__(
        self,
        *,
        media: str,
        sink: str,
        once: bool,
        delay: float,
        on_packet: Callable[[bytes], None],
        on_end: Callable[[], None],
        on_failure: Callable[[BaseException], None],
    ) -> None:
        self._media = media
        self._sink = sink
        self._once = once
        self._delay = delay
        self._on_packet = on_packet
        self._on_end = on_end
        self._on_failure = on_failure
        self._source: Source | None = None
        self._starting = False
        self._opened = 0
        self._playouts: dict[str, RemotePlayout] = {}
        self._tasks: set[asyncio.Task[None]] = set()

    def start(self) -> None:
        """Open the source, unless it is open."""
        if not self._starting:
            self._starting = True
            self._run(self._open_source())

    def play(self, remote: str, rtp: bytes) -> None:
        """Give one packet to the playout of `remote`, which the first packet opens."""
        playout = self._playouts.get(remote)
        if playout is None:
            self._opened += 1
            playout = RemotePlayout(numbered_sink(self._sink, self._opened), self._delay)
            self._playouts[remote] = playout
            self._run(playout.open(on_end=lambda: self._run(playout.close())))
        playout.write(rtp)

    def stop(self, remote: str) -> None:
        """End the playout of `remote`; without one there is nothing to end."""
        playout = self._playouts.pop(remote, None)
        if playout is not None:
            self._run(playout.close())

    async def close(self) -> None:
        """End everything; the WAV files are complete afterwards."""
        for remote in list(self._playouts):
            self.stop(remote)
        if self._source is not None:
            await self._source.close()
        await asyncio.gather(*self._tasks)

    async def _open_source(self) -> None:
        self._source = await open_source(
            self._media, once=self._once, on_packet=self._on_packet, on_end=self._on_end
        )

    def _run(self, work: Coroutine[Any, Any, None]) -> None:
        task = asyncio.get_running_loop().create_task(work)
        self._tasks.add(task)
        task.add_done_callback(self._on_done)

    def _on_done(self, task: asyncio.Task[None]) -> None:
        self._tasks.discard(task)
        if not task.cancelled() and (error := task.exception()):
            self._on_failure(error)


class RemotePlayout:
    """The playout of one remote peer, also while it opens."""

    def __init__(self, sink: str, delay: float) -> None:
        self._sink = sink
        self._delay = delay
        self._playout: Playout | None = None
        self._opened = asyncio.Event()
        self._waiting: deque[bytes] = deque(maxlen=WAITING_PACKETS)

    async def open(self, on_end: Callable[[], None]) -> None:
        """Open the pipeline and play what waited for it; `on_end` if it ends before we end it."""
        try:
            self._playout = await open_playout(self._sink, delay=self._delay, on_end=on_end)
            while self._waiting:
                self._playout.write(self._waiting.popleft())
        finally:
            self._opened.set()

    def write(self, rtp: bytes) -> None:
        """Play one packet, now or as soon as the pipeline is open."""
        if self._playout is None:
            self._waiting.append(rtp)
        else:
            self._playout.write(rtp)

    async def close(self) -> None:
        """End the pipeline, once it has opened."""
        await self._opened.wait()
        if self._playout is not None:
            await self._playout.close()


def numbered_sink(sink: str, number: int) -> str:
    """The sink of the `number`th sender: FILE.wav, then FILE-2.wav, FILE-3.wav ..."""
    if number == 1 or sink in ("speaker", "none"):
        return sink
    path = Path(sink)
    return str(path.with_stem(f"{path.stem}-{number}"))
