"""How a room, a connection, a stream or a follower of events waits for what may never come."""

from __future__ import annotations

import asyncio
from collections.abc import Callable


class Change:
    """Whoever waits looks again when it is told that something changed."""

    def __init__(self) -> None:
        self._told = asyncio.Event()

    def tell(self) -> None:
        """Something changed."""
        self._told.set()

    async def wait_for(self, is_there: Callable[[], object], check: Callable[[], None]) -> None:
        """Wait for what one waits for; `check` raises when it will not come any more."""
        while not is_there():
            check()
            self._told.clear()
            await self._told.wait()
