"""Events for whoever follows them: each follower has a queue of its own, from when it began."""

from __future__ import annotations

import weakref
from collections import deque
from collections.abc import AsyncIterator
from typing import Any, Generic, TypeVar, cast

from p2pquic.api.waiting import Change
from p2pquic.core.trace import Record

R = TypeVar("R", bound=Record)

WAITING_EVENTS = 1000  # that a follower has not taken; then the oldest goes


class EventQueues:
    """What happens, for everybody who follows it."""

    def __init__(self) -> None:
        self._queues: weakref.WeakSet[EventQueue[Any]] = weakref.WeakSet()
        self._is_over = False

    def follow(self, *kinds: type[R]) -> EventQueue[R]:
        """All records of these kinds, or all there are, from now on."""
        queue = EventQueue[R](kinds)
        if self._is_over:
            queue.close()
        self._queues.add(queue)
        return queue

    def put(self, record: Record) -> None:
        """Something happened."""
        for queue in list(self._queues):
            queue.put(record)

    def close(self) -> None:
        """Nothing more will happen."""
        self._is_over = True
        for queue in list(self._queues):
            queue.close()


class EventQueue(AsyncIterator[R], Generic[R]):
    """One follower's part."""

    def __init__(self, kinds: tuple[type[R], ...]) -> None:
        self._kinds = kinds
        self._waiting: deque[R] = deque(maxlen=WAITING_EVENTS)
        self._is_over = False
        self._changed = Change()

    def put(self, record: Record) -> None:
        """Keep it, if it is of a kind that is followed."""
        if isinstance(record, self._kinds or Record):
            self._waiting.append(cast(R, record))
            self._changed.tell()

    def close(self) -> None:
        """Nothing more comes."""
        self._is_over = True
        self._changed.tell()

    async def __anext__(self) -> R:
        await self._changed.wait_for(lambda: self._waiting, self._check)
        return self._waiting.popleft()

    def _check(self) -> None:
        if self._is_over:
            raise StopAsyncIteration
