"""An intermediate server in your own program: it introduces peers, and relays while they need it.

async with serve("0.0.0.0:12345", certificate=Path("c.pem"), key=Path("c.key")) as server:
    print(server.address, server.fingerprint)
    await server.wait_closed()
"""

from __future__ import annotations

import os
import time
from collections.abc import Callable
from pathlib import Path
from types import TracebackType

from p2pquic.api.errors import ConnectionLostError
from p2pquic.core.addresses import LocalSocket, ServerAddress, SocketAddress
from p2pquic.core.errors import UsageError
from p2pquic.core.trace import Entry, Listening
from p2pquic.net import clock
from p2pquic.net.driver import Driver
from p2pquic.net.resolving import look_up
from p2pquic.net.udp import UdpSockets, has_ipv6
from p2pquic.quic.identity import Identity
from p2pquic.session.intermediate_session import IntermediateSession
from p2pquic.trust.server_identity import (
    SECRET_BYTES,
    load_or_create_identity,
    load_or_create_secret,
)


def serve(
    listen: str,
    *,
    certificate: Path | None = None,
    key: Path | None = None,
    on_event: Callable[[Entry], None] | None = None,
) -> Server:
    """Prepare a server; `async with` starts and stops it.

    Args:
        listen: The UDP address to listen on, as HOST:PORT, or one of IPv4 and one of IPv6 with a
            comma between; port 0 for any. `[::]` alone is every address, of IPv4 as well.
        certificate: The file of its certificate (PEM), made if it is not there.
        key: The file of its key (PEM). Without both, the server is somebody new at every start:
            peers that trusted it before refuse it.
        on_event: Called with every entry of the trace as it happens, in the running loop. It must
            not wait; an error in it is logged and ends the server.

    Raises:
        UsageError: the address is none, or one file is given without the other.
    """
    if (certificate is None) != (key is None):
        raise UsageError("The certificate and its key belong together: give both or neither.")
    return Server(look_up(listen), certificate, key, on_event or (lambda entry: None))  # noqa: ARG005


class Server:
    """A running intermediate server. Made by `serve`; one use only."""

    def __init__(
        self,
        listen: ServerAddress,
        certificate: Path | None,
        key: Path | None,
        on_event: Callable[[Entry], None],
    ) -> None:
        self._listen = listen
        self._files = None if certificate is None or key is None else (certificate, key)
        self._on_event = on_event
        self._has_stopped = False

    async def __aenter__(self) -> Server:
        if self._files is None:
            identity, secret = Identity.generate(), os.urandom(SECRET_BYTES)
        else:
            identity = load_or_create_identity(*self._files)
            secret = load_or_create_secret(self._files[1].with_suffix(".secret"))
        self._driver = driver = Driver(self._on_event)
        try:
            listen = _listen(driver.sockets, self._listen)
        except BaseException:
            driver.close()
            raise
        self.address = str(ServerAddress.of(*(each.address for each in listen)))
        """Where it listens, as HOST:PORT, or of both families with a comma between."""
        self.fingerprint = identity.fingerprint
        """Its key, in the form that a pin has."""
        driver.record(Listening(self.address, self.fingerprint))
        unix_origin = time.time() - clock.now()
        driver.run(IntermediateSession(listen, identity, secret, os.urandom, unix_origin))
        return self

    async def __aexit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        if self._has_stopped:
            return
        self._has_stopped = True
        try:
            self._driver.hang_up("the server stops")
            await self._driver.wait_until_over()
        finally:
            self._driver.close()

    def hang_up(self, reason: str) -> None:
        """Begin to stop; `wait_closed` returns when everybody was told."""
        self._driver.hang_up(reason)

    def fail(self, error: BaseException) -> None:
        """End at once: `wait_closed` raises this."""
        self._driver.fail(error)

    async def wait_closed(self) -> str:
        """Why it stopped, once it has.

        Raises:
            P2PQuicError: it failed; says how.
        """
        finish = await self._driver.wait_until_finished()
        if finish.failed:
            raise ConnectionLostError(finish.reason)
        return finish.reason


def _listen(sockets: UdpSockets, wanted: ServerAddress) -> list[LocalSocket]:
    """One socket per family, for what arrives at an IPv6 socket looks different as IPv4.

    Raises:
        UsageError: an address cannot be listened on.
    """
    if wanted.ipv6 is None or wanted.ipv6.host != "::" or wanted.ipv4 is not None:
        return [sockets.listen(address) for address in wanted.addresses]
    first = sockets.listen(SocketAddress("0.0.0.0", wanted.ipv6.port))
    if not has_ipv6():
        return [first]
    return [first, sockets.listen(SocketAddress("::", first.port))]
