"""Our UDP sockets: one per usable local address, bound to it and to its device.

    usable addresses  ->  open / close  ->  LocalSocket ...  ->  the session's SocketsChanged

Bound to the device, a packet leaves by that interface or not at all; without, the kernel could
send a cellular packet over Wi-Fi. A send error is counted, traced once per kind and socket, and
decides nothing: whether an address is alive is the monitor's to say; whether a path is, the
session's.
"""

from __future__ import annotations

import errno
import ipaddress
import os
import socket
from collections import Counter
from collections.abc import Callable, Iterable
from functools import partial
from typing import Any

from p2pquic.core.addresses import LocalAddress, LocalSocket, SocketAddress
from p2pquic.core.errors import UsageError
from p2pquic.core.trace import Dropped, Record
from p2pquic.net.datagram_reader import MAX_DATAGRAM, start_reading
from p2pquic.net.monitor.usable import LOOPBACK_INTERFACE
from p2pquic.net.socket_options import (
    bind_to_interface,
    claim_port,
    forbid_fragments,
    prefer_lasting_source,
)

READS_PER_WAKE = 64  # datagrams; more would keep timers and the other sockets waiting
PORTS_REMEMBERED = 32  # of addresses that went away; a home, an office and some trains
RECEIVE_BUFFER = 1 << 20  # bytes; 1 MiB holds a second of a busy relay while Python is away

OnDatagram = Callable[[LocalSocket, SocketAddress, bytes], None]
OnRecord = Callable[[Record], None]


def has_ipv6() -> bool:
    """Whether this machine's kernel knows IPv6 at all."""
    try:
        socket.socket(socket.AF_INET6, socket.SOCK_DGRAM).close()
    except OSError:
        return False
    return True


def open_udp_socket(address: SocketAddress, interface: str = "") -> socket.socket:
    """A non-blocking UDP socket bound to `address`, and to the device `interface` if given.

    Raises:
        OSError: the address is gone, taken, or not ours.
    """
    family = socket.AF_INET6 if address.family == 6 else socket.AF_INET
    udp = socket.socket(family, socket.SOCK_DGRAM)
    try:
        udp.setblocking(False)
        udp.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, RECEIVE_BUFFER)
        if family == socket.AF_INET6:
            udp.setsockopt(socket.IPPROTO_IPV6, socket.IPV6_V6ONLY, 1)
        forbid_fragments(udp)
        claim_port(udp)
        if interface:
            bind_to_interface(udp, interface)
        udp.bind(address)
    except BaseException:
        udp.close()
        raise
    return udp


class UdpSockets:
    """The open sockets of one process, read through the running asyncio loop.

    One wake-up may bring many datagrams: `on_datagram` for each, then `on_read` once.
    """

    def __init__(
        self,
        on_datagram: OnDatagram,
        on_record: OnRecord,
        on_read: Callable[[], None] = lambda: None,
    ) -> None:
        self._on_datagram = on_datagram
        self._on_record = on_record
        self._on_read = on_read
        self._open: dict[LocalSocket, socket.socket] = {}
        self._stop_reading: dict[LocalSocket, Callable[[], object]] = {}
        self._ports: dict[
            str, int
        ] = {}  # that an address had, whatever its interface, oldest first
        self.faults: Counter[tuple[LocalSocket, str]] = Counter()

    def listen(self, address: SocketAddress) -> LocalSocket:
        """Open a server's socket.

        One for all IPv6 addresses answers from a lasting one: a temporary address (RFC 8981), which
        the kernel would prefer, is none that anybody spoke to.

        Raises:
            UsageError: the address cannot be listened on; says why.
        """
        try:
            udp = open_udp_socket(address)
            if address.host == "::":
                prefer_lasting_source(udp)
            return self._add(udp, interface="")
        except OSError as error:
            hint = ""
            if error.errno == errno.EADDRNOTAVAIL:
                hint = f" No interface here has it; behind a NAT, listen on 0.0.0.0:{address.port}."
            raise UsageError(f"Cannot listen on {address}: {_reason(error)}.{hint}") from None

    def follow(self, addresses: Iterable[LocalAddress]) -> tuple[LocalSocket, ...]:
        """Have exactly one socket per address: open the new, close the vanished, keep the rest.

        An address that comes back gets the port it had, if that is free: its NAT, and the NATs it
        spoke to, may still know that one. So does the address of an interface that was renamed.
        An address that went away before it could be bound is left out and traced: the monitor is
        about to say the same.
        """
        wanted = list(addresses)
        by_address = {LocalAddress(local.host, local.interface): local for local in self._open}
        for address in by_address.keys() - set(wanted):
            self._remove(by_address.pop(address))
        for address in wanted:
            if address not in by_address:
                try:
                    by_address[address] = self._open_bound(address)
                except OSError as error:
                    self._on_record(Dropped(f"cannot bind: {_reason(error)}", str(address)))
        return tuple(by_address[address] for address in wanted if address in by_address)

    def send(self, local: LocalSocket, remote: SocketAddress, data: bytes) -> None:
        """Send at once or not at all; UDP owes nothing more."""
        udp = self._open.get(local)
        if udp is None:
            self._count(local, "sending on a closed socket")
            return
        try:
            udp.sendto(data, remote)
        except OSError as error:
            self._count(local, f"sending: {_reason(error)}")

    def close(self) -> None:
        """Close all; may be called twice."""
        for local in list(self._open):
            self._remove(local)

    def _open_bound(self, address: LocalAddress) -> LocalSocket:
        """Bind to the address and its device; only to the address where that right is missing.

        The loopback interface is never bound to: its addresses also stand for a server on this
        machine, whose other peers are beyond other interfaces.
        """
        is_loopback = ipaddress.ip_address(address.host).is_loopback  # whatever its interface is
        device = "" if is_loopback or address.interface == LOOPBACK_INTERFACE else address.interface
        try:
            udp = self._open_on_its_port(address, device)
        except PermissionError as error:  # Linux before 5.7 wants CAP_NET_RAW
            self._on_record(Dropped(f"cannot bind to the device: {_reason(error)}", str(address)))
            udp = self._open_on_its_port(address, "")
        local = self._add(udp, address.interface)
        self._ports.pop(address.host, None)
        self._ports[address.host] = local.port
        if len(self._ports) > PORTS_REMEMBERED:
            del self._ports[next(iter(self._ports))]
        return local

    def _open_on_its_port(self, address: LocalAddress, device: str) -> socket.socket:
        port = self._ports.get(address.host, 0)
        try:
            return open_udp_socket(SocketAddress(address.host, port), device)
        except OSError as error:
            if not port or error.errno not in (errno.EADDRINUSE, errno.EACCES):
                raise  # Windows says "no access" of a port that somebody claimed
            return open_udp_socket(SocketAddress(address.host, 0), device)

    def _add(self, udp: socket.socket, interface: str) -> LocalSocket:
        host, port = udp.getsockname()[:2]
        local = LocalSocket(host, port, interface)
        self._open[local] = udp
        self._stop_reading[local] = start_reading(
            udp, partial(self._on_readable, local, udp), partial(self._on_fault, local)
        )
        return local

    def _remove(self, local: LocalSocket) -> None:
        udp = self._open.pop(local)
        self._stop_reading.pop(local)()
        udp.close()

    def _on_readable(
        self, local: LocalSocket, udp: socket.socket, first: tuple[bytes, Any] | None
    ) -> None:
        if first is not None:
            data, source = first
            self._on_datagram(local, SocketAddress(source[0], source[1]), data)
        self._read(local, udp)
        self._on_read()

    def _on_fault(self, local: LocalSocket, error: OSError) -> None:
        self._count(local, f"receiving: {_reason(error)}")

    def _read(self, local: LocalSocket, udp: socket.socket) -> None:
        for _ in range(READS_PER_WAKE):
            if local not in self._open:
                return  # what the last datagram led to closed this socket
            try:
                data, source = udp.recvfrom(MAX_DATAGRAM)
            except BlockingIOError:
                return
            except OSError as error:  # an ICMP error of an earlier send, on some systems
                self._on_fault(local, error)
                return
            self._on_datagram(local, SocketAddress(source[0], source[1]), data)

    def _count(self, local: LocalSocket, fault: str) -> None:
        self.faults[local, fault] += 1
        if self.faults[local, fault] == 1:
            self._on_record(Dropped(fault, str(local)))


def _reason(error: OSError) -> str:
    """`address already in use (EADDRINUSE)`."""
    if error.errno is None:
        return str(error)
    name = errno.errorcode.get(error.errno, str(error.errno))
    words = error.strerror or os.strerror(error.errno)  # which knows no socket errors on Windows
    return f"{words.lower()} ({name})"
