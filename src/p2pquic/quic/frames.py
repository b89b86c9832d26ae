"""The frames and the transport parameter we add to QUIC: bytes to types and back.

PATH_SELECT         0x9f81b0  epoch (i), class (i), connection id sequence number (i)
OBSERVED_ADDRESS    0x9f81a6  sequence (i), IPv4 address (32), port (16)
                    0x9f81a7  sequence (i), IPv6 address (128), port (16)
address_discovery   0x9f81a176 transport parameter (i): 0 provides, 1 receives, 2 both

The latter three are draft-ietf-quic-address-discovery-00.
"""

from __future__ import annotations

import ipaddress
from dataclasses import dataclass
from enum import IntEnum

from aioquic.buffer import Buffer, BufferReadError, size_uint_var

from p2pquic.core.addresses import SocketAddress, require_unicast
from p2pquic.core.errors import ProtocolError

PATH_SELECT = 0x9F81B0
OBSERVED_ADDRESS_IPV4 = 0x9F81A6
OBSERVED_ADDRESS_IPV6 = 0x9F81A7
ADDRESS_DISCOVERY = 0x9F81A176

FRAME_TYPE_SIZE = 4  # bytes of each of our frame types as a varint
PATH_SELECT_CAPACITY = FRAME_TYPE_SIZE + 8 + 1 + 8
OBSERVED_ADDRESS_CAPACITY = FRAME_TYPE_SIZE + 8 + 16 + 2


class PathClass(IntEnum):
    """What a selected path leads through."""

    DIRECT = 0
    RELAY = 1


INSISTS = 2  # the bit of the class field that says so


class AddressDiscovery(IntEnum):
    """What an endpoint offers in the address_discovery transport parameter."""

    PROVIDES = 0
    RECEIVES = 1
    BOTH = 2

    @property
    def provides(self) -> bool:
        """Will tell the other end its address."""
        return self is not AddressDiscovery.RECEIVES

    @property
    def receives(self) -> bool:
        """Wants to be told its address."""
        return self is not AddressDiscovery.PROVIDES


@dataclass(frozen=True, slots=True)
class PathSelect:
    """The sender of this frame speaks, from now on, on the path named here.

    NATs make the address of a path differ at its two ends, so it is named by the connection id
    (issued by the receiver of this frame) that the sender uses on it. `insists`: the sender prefers
    the interface it leaves by, so the receiver should not change for speed alone.
    """

    epoch: int
    path_class: PathClass
    sequence: int
    insists: bool = False

    def push(self, buffer: Buffer) -> None:
        """Write the fields after the frame type."""
        buffer.push_uint_var(self.epoch)
        buffer.push_uint_var(self.path_class | INSISTS * self.insists)
        buffer.push_uint_var(self.sequence)

    @classmethod
    def pull(cls, buffer: Buffer) -> PathSelect:
        """Read the fields after the frame type.

        Raises:
            ProtocolError: an unknown class.
            BufferReadError: the frame is cut short.
        """
        epoch, number, sequence = (buffer.pull_uint_var() for _ in range(3))
        try:
            return cls(epoch, PathClass(number & ~INSISTS), sequence, bool(number & INSISTS))
        except ValueError:
            raise ProtocolError(f"PATH_SELECT names the unknown class {number}") from None


@dataclass(frozen=True, slots=True)
class ObservedAddress:
    """The address from which the sender of this frame hears its receiver on this path."""

    sequence: int
    address: SocketAddress

    @property
    def frame_type(self) -> int:
        """One for each IP version."""
        return OBSERVED_ADDRESS_IPV6 if self.address.family == 6 else OBSERVED_ADDRESS_IPV4

    def push(self, buffer: Buffer) -> None:
        """Write the fields after the frame type."""
        buffer.push_uint_var(self.sequence)
        buffer.push_bytes(ipaddress.ip_address(self.address.host).packed)
        buffer.push_uint16(self.address.port)

    @classmethod
    def pull(cls, buffer: Buffer, frame_type: int) -> ObservedAddress:
        """Read the fields after the frame type.

        Raises:
            BufferReadError: the frame is cut short.
            ProtocolError: nobody can be heard from such an address.
        """
        sequence = buffer.pull_uint_var()
        host = ipaddress.ip_address(
            buffer.pull_bytes(16 if frame_type == OBSERVED_ADDRESS_IPV6 else 4)
        )
        address = SocketAddress(str(host), buffer.pull_uint16())
        try:
            require_unicast(address)
        except ValueError as error:
            raise ProtocolError(f"OBSERVED_ADDRESS: {error}") from None
        return cls(sequence, address)


def encode_address_discovery(value: AddressDiscovery) -> bytes:
    """The transport parameter: id, length, value (RFC 9000 section 18)."""
    buffer = Buffer(capacity=16)
    buffer.push_uint_var(ADDRESS_DISCOVERY)
    buffer.push_uint_var(size_uint_var(value))
    buffer.push_uint_var(value)
    return buffer.data


def find_address_discovery(parameters: bytes) -> AddressDiscovery | None:
    """Look the parameter up among an encoded list of transport parameters; None if absent.

    Raises:
        ProtocolError: the list is malformed or the value is not one of the three.
    """
    buffer = Buffer(data=parameters)
    try:
        while not buffer.eof():
            identifier = buffer.pull_uint_var()
            value = buffer.pull_bytes(buffer.pull_uint_var())
            if identifier == ADDRESS_DISCOVERY:
                inner = Buffer(data=value)
                number = inner.pull_uint_var()
                if not inner.eof():
                    raise ProtocolError("trailing bytes in the address_discovery parameter")
                return AddressDiscovery(number)
    except (BufferReadError, ValueError):
        raise ProtocolError("malformed address_discovery transport parameter") from None
    return None
