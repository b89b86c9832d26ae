"""What each system wants to hear of a UDP socket before it is ours.

                          Linux              macOS              Windows
    leave by this         SO_BINDTODEVICE    IP_BOUND_IF        IP_UNICAST_IF
    interface only                           IPV6_BOUND_IF      IPV6_UNICAST_IF
    do not fragment       IP_MTU_DISCOVER    IP_DONTFRAG        IP_DONTFRAGMENT
                          IPV6_MTU_DISCOVER  IPV6_DONTFRAG      IPV6_DONTFRAG

The numbers are those of the systems' headers: Python names few of them, and not everywhere. What
macOS and Windows are asked for here was never asked of one: see docs/limitations.md.
"""

from __future__ import annotations

import contextlib
import socket
import sys

# linux/in.h, linux/in6.h
LINUX_IP_MTU_DISCOVER, LINUX_IPV6_MTU_DISCOVER = 10, 23
LINUX_IPV6_ADDR_PREFERENCES, LINUX_PREFER_SRC_PUBLIC = 72, 0x2
LINUX_PMTUDISC_PROBE = 3  # set the DF bit, and do not believe cached (forgeable) path MTUs
# netinet/in.h, netinet6/in6.h of macOS; IP_DONTFRAG since macOS 11
MACOS_IP_BOUND_IF, MACOS_IPV6_BOUND_IF = 25, 125
MACOS_IP_DONTFRAG, MACOS_IPV6_DONTFRAG = 28, 62
# ws2ipdef.h, winsock2.h
WINDOWS_IP_UNICAST_IF, WINDOWS_IPV6_UNICAST_IF = 31, 31
WINDOWS_IP_DONTFRAGMENT, WINDOWS_IPV6_DONTFRAG = 14, 14
WINDOWS_SO_EXCLUSIVEADDRUSE = ~socket.SO_REUSEADDR

Option = tuple[int, int, int | bytes]
"""Level, option and value, as setsockopt takes them."""


def bind_to_interface(udp: socket.socket, interface: str) -> None:
    """Let nothing out but by `interface`.

    Raises:
        OSError: there is no such interface, or no right to.
    """
    if sys.platform == "linux":
        udp.setsockopt(socket.SOL_SOCKET, socket.SO_BINDTODEVICE, interface.encode() + b"\0")
    else:
        from p2pquic.net.interfaces import interface_index  # nothing that Linux should load

        _set(udp, binding(sys.platform, udp.family, interface_index(interface)))


def forbid_fragments(udp: socket.socket) -> None:
    """Set the Don't Fragment bit, as RFC 9000 section 14 demands; where the system has a way."""
    if sys.platform == "linux":
        _set(udp, not_fragmenting(sys.platform, udp.family))
    else:
        with contextlib.suppress(OSError):  # macOS before 11; ours fit any Ethernet all the same
            _set(udp, not_fragmenting(sys.platform, udp.family))


def prefer_lasting_source(udp: socket.socket) -> None:
    """Answer from a lasting IPv6 address (RFC 5014); on Linux, which would take a temporary one."""
    if sys.platform == "linux":
        _set(udp, (socket.IPPROTO_IPV6, LINUX_IPV6_ADDR_PREFERENCES, LINUX_PREFER_SRC_PUBLIC))


def claim_port(udp: socket.socket) -> None:
    """Share the port with nobody: on Windows any program of the user could take it over."""
    if sys.platform == "win32":
        udp.setsockopt(socket.SOL_SOCKET, WINDOWS_SO_EXCLUSIVEADDRUSE, 1)


def binding(platform: str, family: int, index: int) -> Option:
    """The option that binds to the interface of that number, on macOS or Windows."""
    is_ipv6 = family == socket.AF_INET6
    level = socket.IPPROTO_IPV6 if is_ipv6 else socket.IPPROTO_IP
    if platform == "darwin":
        return level, MACOS_IPV6_BOUND_IF if is_ipv6 else MACOS_IP_BOUND_IF, index
    if is_ipv6:
        return level, WINDOWS_IPV6_UNICAST_IF, index
    return level, WINDOWS_IP_UNICAST_IF, index.to_bytes(4, "big")  # in network order, IPv4 alone


def not_fragmenting(platform: str, family: int) -> Option:
    """The option that sets the Don't Fragment bit."""
    is_ipv6 = family == socket.AF_INET6
    level = socket.IPPROTO_IPV6 if is_ipv6 else socket.IPPROTO_IP
    if platform == "linux":
        option = LINUX_IPV6_MTU_DISCOVER if is_ipv6 else LINUX_IP_MTU_DISCOVER
        return level, option, LINUX_PMTUDISC_PROBE
    if platform == "darwin":
        return level, MACOS_IPV6_DONTFRAG if is_ipv6 else MACOS_IP_DONTFRAG, 1
    return level, WINDOWS_IPV6_DONTFRAG if is_ipv6 else WINDOWS_IP_DONTFRAGMENT, 1


def _set(udp: socket.socket, option: Option) -> None:
    udp.setsockopt(*option)
