"""The rival: aioquic as it comes, one path, driven like our own engine.

Its server cannot ask for a certificate, so its handshake authenticates the server alone.
"""

from __future__ import annotations

import ssl

from aioquic.quic.configuration import QuicConfiguration
from aioquic.quic.connection import QuicConnection
from aioquic.quic.events import DatagramFrameReceived

from p2pquic.quic.identity import Identity

_CLIENT, _SERVER = ("192.0.2.1", 1), ("192.0.2.2", 1)
_LARGEST_FRAME = 65535  # bytes; as our engine offers


class StockEnd:
    """One end; see `engine_pair.End`."""

    def __init__(self, connection: QuicConnection, other: tuple[str, int]) -> None:
        self._connection = connection
        self._other = other

    @classmethod
    def pair(cls, server: Identity) -> tuple[StockEnd, StockEnd]:
        """Both ends; the first has begun the handshake."""
        client = QuicConnection(configuration=_configuration(is_client=True))
        configuration = _configuration(is_client=False)
        configuration.certificate = server.certificate
        configuration.private_key = server.private_key
        answering = QuicConnection(
            configuration=configuration,
            original_destination_connection_id=client.original_destination_connection_id,
        )
        client.connect(_SERVER, 0.0)
        return cls(client, _SERVER), cls(answering, _CLIENT)

    @property
    def is_confirmed(self) -> bool:
        return self._connection._handshake_confirmed

    def send(self, payload: bytes, now: float) -> None:  # noqa: ARG002
        self._connection.send_datagram_frame(payload)

    def packets(self, now: float) -> list[bytes]:
        timer = self._connection.get_timer() if self._connection._close_at is not None else None
        if timer is not None and timer <= now:
            self._connection.handle_timer(now)
        return [data for data, _ in self._connection.datagrams_to_send(now)]

    def receive(self, packet: bytes, now: float) -> int:
        self._connection.receive_datagram(packet, self._other, now)
        datagrams = 0
        while (event := self._connection.next_event()) is not None:
            datagrams += isinstance(event, DatagramFrameReceived)
        return datagrams


def _configuration(*, is_client: bool) -> QuicConfiguration:
    return QuicConfiguration(
        alpn_protocols=["bench"],
        is_client=is_client,
        max_datagram_frame_size=_LARGEST_FRAME,
        verify_mode=ssl.CERT_NONE,
    )
