"""Looks up the servers' names, but does not wait long for a resolver that gives no answer."""

from __future__ import annotations

import time
from collections.abc import Callable, Sequence
from threading import Thread

from p2pquic.core.addresses import ServerAddress, SocketAddress
from p2pquic.core.errors import InvalidAddressError, P2PQuicError
from p2pquic.doctor.finding import Finding, Level

LOOKUP_LIMIT = 3.0  # seconds for all names together

Resolve = Callable[[str], ServerAddress]
"""Makes HOST:PORT addresses. Raises UsageError."""


def look_up(
    names: Sequence[str], resolve: Resolve, limit: float = LOOKUP_LIMIT
) -> tuple[list[SocketAddress], list[Finding]]:
    """The addresses of the servers, and what is wrong with those that have none.

    Raises:
        InvalidAddressError: one is no HOST:PORT at all.
    """
    lookups = [_Lookup(name, resolve) for name in names]
    deadline = time.monotonic() + limit
    addresses: list[SocketAddress] = []
    faults: list[str] = []
    for lookup in lookups:
        lookup.join(max(0.0, deadline - time.monotonic()))
        match lookup.outcome:
            case ServerAddress() as server:
                addresses += server.addresses
            case InvalidAddressError() as error:
                raise error
            case P2PQuicError() as error:
                faults.append(str(error))
            case None:
                faults.append(f"The look-up of {lookup.host_and_port} takes too long.")
    remedy = "Check the name and this machine's DNS resolver, or give a numeric address."
    level: Level = "note" if addresses else "problem"
    return addresses, [Finding(level, fault, remedy) for fault in faults]


class _Lookup(Thread):
    """One look-up; it may hang, and does not keep the process from ending."""

    def __init__(self, host_and_port: str, resolve: Resolve) -> None:
        super().__init__(daemon=True)
        self.host_and_port = host_and_port
        self.outcome: ServerAddress | P2PQuicError | None = None
        self._resolve = resolve
        self.start()

    def run(self) -> None:
        try:
            self.outcome = self._resolve(self.host_and_port)
        except P2PQuicError as error:
            self.outcome = error
