"""A host on a Wi-Fi whose gateway answers "administratively prohibited" (ICMP type 3, code 13).

Runs inside a network namespace of its own. Sends to the server, is told that it may not, sends
again, and then the server answers after all: somebody has logged in. Prints JSON: how many refusals
the kernel took in, what faults our sockets counted, and what they received.
"""

from __future__ import annotations

import asyncio
import json
import socket
import struct
from pathlib import Path

from p2pquic.core.addresses import LocalAddress, LocalSocket, SocketAddress
from p2pquic.net import process
from p2pquic.net.udp import UdpSockets
from tests.net.moving_host import SERVER, WIFI_UP, ip

SERVER_ADDRESS = SocketAddress(SERVER, 4433)
GATEWAY, HOST = "192.0.2.1", "192.0.2.7"
ETHERNET = 14  # bytes of its header; 20 of the IPv4 header follow
UDP, ICMP = 17, 1


def checksum(data: bytes) -> int:
    """RFC 1071."""
    total: int = sum(struct.unpack(f">{len(data) // 2}H", data))
    while total >> 16:
        total = (total & 0xFFFF) + (total >> 16)
    return ~total & 0xFFFF


def packet(source: str, protocol: int, payload: bytes) -> bytes:
    """An IPv4 packet to the host."""
    addresses = socket.inet_aton(source) + socket.inet_aton(HOST)
    head = struct.pack(">BBHHHBBH", 0x45, 0, 20 + len(payload), 0, 0, 64, protocol, 0)
    sum_ = struct.pack(">H", checksum(head + addresses))
    return head[:10] + sum_ + addresses + payload


def refusal(refused: bytes) -> bytes:
    """What a gateway says about a packet that may not pass; it quotes its beginning."""
    body = struct.pack(">BBHI", 3, 13, 0, 0) + refused[:28]
    body = body[:2] + struct.pack(">H", checksum(body)) + body[4:]
    return packet(GATEWAY, ICMP, body)


def answer(local: LocalSocket) -> bytes:
    data = b"welcome"
    ports = struct.pack(">HHHH", SERVER_ADDRESS.port, local.port, 8 + len(data), 0)  # no checksum
    return packet(SERVER, UDP, ports + data)


def refusals_taken_in() -> int:
    lines = [line.split() for line in Path("/proc/net/snmp").read_text().splitlines()]
    names, values = (line for line in lines if line[0] == "Icmp:")
    return int(values[names.index("InDestUnreachs")])


async def visit() -> int:
    for command in ("link set lo up", *WIFI_UP):
        await ip(command)
    received: asyncio.Queue[bytes] = asyncio.Queue()
    sockets = UdpSockets(lambda _, __, data: received.put_nowait(data), lambda _: None)
    (local,) = sockets.follow((LocalAddress(HOST, "wlan0"),))
    with socket.socket(socket.AF_PACKET, socket.SOCK_RAW, socket.htons(0x0800)) as far:
        far.bind(("wlan0-far", 0))
        for _ in range(3):
            sockets.send(local, SERVER_ADDRESS, b"hello")
            frame = far.recv(2048)
            back = frame[6:12] + frame[:6] + frame[12:ETHERNET]
            far.send(back + refusal(frame[ETHERNET:]))
            await asyncio.sleep(0.01)  # whatever comes of it has come
        far.send(back + answer(local))
        heard = await asyncio.wait_for(received.get(), 2.0)
    faults = [fault for _, fault in sockets.faults]
    print(json.dumps([refusals_taken_in(), faults, heard.decode()]))
    sockets.close()
    return 0


if __name__ == "__main__":
    process.run(visit())
