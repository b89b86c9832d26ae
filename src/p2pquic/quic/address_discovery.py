"""QUIC Address Discovery: being told under which address the other end hears us.

    draft-ietf-quic-address-discovery-00: a transport parameter says who provides and who receives;
    OBSERVED_ADDRESS is sent on every new path and whenever the remote address changes, and again
    on the same path if it gets lost.

So a probe from a new socket brings back that socket's server-reflexive address with its answer.
"""

from __future__ import annotations

from typing import Any, cast

from aioquic.buffer import Buffer
from aioquic.quic.connection import EPOCHS, QuicConnectionError, QuicReceiveContext
from aioquic.quic.packet import QuicErrorCode, QuicFrameType
from aioquic.quic.packet_builder import QuicDeliveryState, QuicPacketBuilder
from aioquic.quic.recovery import QuicPacketSpace

from p2pquic.core.errors import ProtocolError
from p2pquic.core.path import DirectPath
from p2pquic.quic import events
from p2pquic.quic.config import ConnectionConfig
from p2pquic.quic.frames import (
    OBSERVED_ADDRESS_CAPACITY,
    OBSERVED_ADDRESS_IPV4,
    OBSERVED_ADDRESS_IPV6,
    AddressDiscovery,
    ObservedAddress,
    encode_address_discovery,
    find_address_discovery,
)
from p2pquic.quic.path_life import PathLifeConnection
from p2pquic.quic.paths import Path


class AddressDiscoveringConnection(PathLifeConnection):
    """A connection whose ends may tell each other their addresses, as `discovery` says."""

    def __init__(
        self, config: ConnectionConfig, original_destination_connection_id: bytes | None = None
    ) -> None:
        super().__init__(config, original_destination_connection_id)
        self._discovery = config.discovery
        self._remote_discovery: AddressDiscovery | None = None
        self._observation_sequence = 0
        handlers: dict[int, Any] = self._QuicConnection__frame_handlers  # type: ignore[attr-defined]
        for frame_type in (OBSERVED_ADDRESS_IPV4, OBSERVED_ADDRESS_IPV6):
            handlers[frame_type] = (self._handle_observed_address_frame, EPOCHS("1"))

    def _confirm_handshake(self) -> None:
        super()._confirm_handshake()
        for path in self._paths.values():
            path.observation_due = self._must_observe(path)

    def _on_adopted(self, path: Path) -> None:
        super()._on_adopted(path)
        path.observation_due = self._must_observe(path)

    def _write_connection_limits(self, builder: QuicPacketBuilder, space: QuicPacketSpace) -> None:
        super()._write_connection_limits(builder, space)
        if self._shown is not None and self._shown.observation_due:
            self._write_observed_address_frame(builder, self._shown)

    def _serialize_transport_parameters(self) -> bytes:
        parameters = super()._serialize_transport_parameters()
        if self._discovery is None:
            return parameters
        return parameters + encode_address_discovery(self._discovery)

    def _parse_transport_parameters(self, data: bytes, from_session_ticket: bool = False) -> None:
        super()._parse_transport_parameters(data, from_session_ticket)
        try:
            self._remote_discovery = find_address_discovery(data)
        except ProtocolError as error:
            raise QuicConnectionError(
                QuicErrorCode.TRANSPORT_PARAMETER_ERROR, QuicFrameType.CRYPTO, str(error)
            ) from None

    def _handle_observed_address_frame(
        self, context: QuicReceiveContext, frame_type: int, buf: Buffer
    ) -> None:
        try:
            frame = ObservedAddress.pull(buf, frame_type)
        except ProtocolError as error:
            raise QuicConnectionError(
                QuicErrorCode.FRAME_ENCODING_ERROR, frame_type, str(error)
            ) from None
        if self._discovery is None or not self._discovery.receives:
            raise QuicConnectionError(
                QuicErrorCode.PROTOCOL_VIOLATION, frame_type, "OBSERVED_ADDRESS was not requested"
            )
        path = cast(Path, context.network_path)
        if path.observation is None or frame.sequence > path.observation.sequence:
            path.observation = frame
            self._tell(events.AddressObserved(path.addr, frame.address))

    def _write_observed_address_frame(self, builder: QuicPacketBuilder, path: Path) -> None:
        assert isinstance(path.addr, DirectPath)
        frame = ObservedAddress(self._observation_sequence, path.addr.remote)
        buffer = builder.start_frame(
            frame.frame_type, OBSERVED_ADDRESS_CAPACITY, self._on_observation_delivery, (path,)
        )
        frame.push(buffer)
        self._observation_sequence += 1
        path.observation_due = False

    def _on_observation_delivery(self, delivery: QuicDeliveryState, path: Path) -> None:
        if delivery != QuicDeliveryState.ACKED and path.addr in self._paths:
            path.observation_due = True

    def _must_observe(self, path: Path) -> bool:
        return (
            self._handshake_confirmed
            and isinstance(path.addr, DirectPath)
            and self._discovery is not None
            and self._discovery.provides
            and self._remote_discovery is not None
            and self._remote_discovery.receives
        )
