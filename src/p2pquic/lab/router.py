"""A NAT of the lab: a network namespace that forwards and masquerades, as a home router does.

    machine's interface --- veth --- lan   nftables, conntrack   wan --- TUN --- the internet
    a shared network ------ TUN ---- lan

IPv6, where there is any, is routed and not translated, behind a firewall that keeps state.

The NAT is the kernel's own masquerade, and it also drops what nobody asked for: an unsolicited
packet that conntrack remembers would occupy the very flow a punch is about to open and move it to
another port. It forgets as a router does that starts again: conntrack is emptied, by one netlink
message and so in one moment, and what masquerade gives from then on comes from another range.

conntrack makes no hairpin by itself. `hairpin_rules` write down who owns which public port, and to
which of our own each has spoken.
"""

from __future__ import annotations

import os
import socket
import struct
import sys
from contextlib import closing

assert sys.platform == "linux", "The lab of real kernels needs Linux."

import fcntl

from p2pquic.core.errors import UsageError
from p2pquic.lab.namespaces import Namespace
from p2pquic.lab.networks import Access, Link, Nat

HOST_SYSCTLS = {
    "ipv6/conf/all/disable_ipv6": "1",  # but for interfaces that are to have it, see `speak_ipv6`
    "ipv6/conf/default/disable_ipv6": "1",
    "ipv4/conf/all/rp_filter": "2",  # loose, as distributions have it: two uplinks are two routes
    "ipv4/conf/default/rp_filter": "2",
}
ROUTER_SYSCTLS = HOST_SYSCTLS | {
    "ipv4/ip_forward": "1",
    "ipv4/conf/all/send_redirects": "0",  # nobody asked how a hairpin could be spared
    "ipv4/conf/default/send_redirects": "0",
}

ALL_PORTS = 1024, 65535  # whatever an inside owns already is among them, and stays its own
FIRST_PORTS = 2000, 9999  # of a NAT that keeps no port numbers
OTHER_PORTS = ((10000, 19999), (20000, 29999))  # in turn, after each forgetting: never the same,
# nor any that a kernel hands out by itself (32768 to 60999), which masquerade would keep

SIOCGIFFLAGS, IFF_RUNNING = 0x8913, 0x40  # <linux/sockios.h>, <linux/if.h>
FIREWALL_RULES = """
    table ip6 filter {
        chain input { type filter hook input priority filter; iifname "wan" ct state new drop
        }
        chain forward { type filter hook forward priority filter; iifname "wan" ct state new drop
        }
    }
"""

INTERFACE_REQUEST = struct.Struct("=16s H 22x")  # struct ifreq: name, flags

# <linux/netlink.h>, <linux/netfilter/nfnetlink.h>, <linux/netfilter/nfnetlink_conntrack.h>
NETLINK_NETFILTER = 12
NLM_F_REQUEST, NLM_F_ACK = 0x01, 0x04
NLMSG_ERROR = 2
CTNETLINK_DELETE = 1 << 8 | 2  # NFNL_SUBSYS_CTNETLINK, IPCTNL_MSG_CT_DELETE: without a tuple, all
MESSAGE = struct.Struct("=IHHII BBH")  # nlmsghdr: length, type, flags, sequence, port; nfgenmsg
ANSWER = struct.Struct("=IHHII i")  # nlmsghdr and the error, 0 or negative


class Router:
    """One NAT with one machine behind it, or a shared network. Close it.

    Raises:
        UsageError: no NAT of the kernel behaves as asked.
    """

    def __init__(
        self, link: Link, nat: Nat, access: Access, ipv6: Access | None, *, firewall: bool
    ) -> None:
        self._link = link
        self._nat = nat
        self._access = access
        self._forgotten = 0
        self._ipv6 = ipv6
        self._rules = nat_rules(nat, access) + (FIREWALL_RULES if ipv6 and firewall else "")
        self._namespace = Namespace(f"the NAT of {link}")
        self._probe = self._namespace.call(lambda: socket.socket(type=socket.SOCK_DGRAM))

    def close(self) -> None:
        """Let go of it."""
        self._probe.close()
        self._namespace.close()

    @property
    def is_ready(self) -> bool:
        """Whether the kernel sends towards the machine; a moment after the link came up it does."""
        request = INTERFACE_REQUEST.pack(b"lan", 0)
        _, flags = INTERFACE_REQUEST.unpack(fcntl.ioctl(self._probe, SIOCGIFFLAGS, request))
        return bool(flags & IFF_RUNNING)

    def open_wan(self) -> int:
        """Create the device towards the internet; the descriptor carries its packets."""
        return self._namespace.open_tun("wan")

    def open_lan(self) -> int:
        """Create the device towards a shared network; the descriptor carries its packets."""
        return self._namespace.open_tun("lan")

    def connect(self, machine: Namespace) -> None:
        """Give `machine` its interface, and route and translate what it sends."""
        self._namespace.set_sysctls(ROUTER_SYSCTLS)
        peer = f"veth peer name {self._link.interface} netns {machine.path}"
        self._namespace.run(["ip", "link", "add", "lan", "type", *peer.split()], fds=[machine.fd])
        self.forward()

    def forward(self) -> None:
        """Route and translate between `lan` and `wan`, which are there."""
        router, access = self._namespace, self._access
        router.set_sysctls(ROUTER_SYSCTLS)
        orders = (
            "link set lo up",
            "link set lan up",
            f"address add {access.gateway}/24 dev lan",
            "link set wan up",
            f"address add {access.public}/32 dev wan",
            "route add default dev wan",
        )
        router.run(["ip", "-batch", "-"], "\n".join(orders) + "\n")
        if self._ipv6 is not None:
            self._route_ipv6(self._ipv6)
        router.run(["nft", "-f", "-"], self._rules)
        lifetime = str(round(self._nat.lifetime))
        router.set_sysctls(
            {
                "netfilter/nf_conntrack_udp_timeout": lifetime,
                "netfilter/nf_conntrack_udp_timeout_stream": lifetime,
            }
        )

    def _route_ipv6(self, access: Access) -> None:
        speak_ipv6(self._namespace, "lan")
        speak_ipv6(self._namespace, "wan")
        self._namespace.set_sysctls({"ipv6/conf/all/forwarding": "1"})
        orders = (
            f"address add {access.gateway}/64 dev lan nodad",
            "route add ::/0 dev wan",
        )
        self._namespace.run(["ip", "-batch", "-"], "\n".join(orders) + "\n")

    def give_other_ports(self) -> None:
        """Flows that begin from now on leave from ports of another range."""
        ports = OTHER_PORTS[self._forgotten % len(OTHER_PORTS)]
        self._forgotten += 1
        self._namespace.run(["nft", "-f", "-"], other_ports(self._nat, ports))

    def forget(self) -> None:
        """Forget every flow; the next packet of each begins it anew."""
        self._namespace.call(_empty_conntrack)


def speak_ipv6(machine: Namespace, interface: str) -> None:
    """Let an interface have IPv6: the addresses it is given, at once, and nothing else.

    Without duplicate address detection, which takes one or two seconds, and is tested elsewhere.
    """
    switches = {"accept_dad": "0", "accept_ra": "0", "addr_gen_mode": "1", "disable_ipv6": "0"}
    machine.set_sysctls({f"ipv6/conf/{interface}/{name}": on for name, on in switches.items()})


def _empty_conntrack() -> None:
    with closing(socket.socket(socket.AF_NETLINK, socket.SOCK_RAW, NETLINK_NETFILTER)) as netlink:
        flags = NLM_F_REQUEST | NLM_F_ACK
        netlink.send(MESSAGE.pack(MESSAGE.size, CTNETLINK_DELETE, flags, 1, 0, 0, 0, 0))
        _, kind, _, _, _, error = ANSWER.unpack_from(netlink.recv(4096))
    assert kind == NLMSG_ERROR
    if error:
        raise OSError(-error, os.strerror(-error))


def nat_rules(nat: Nat, access: Access) -> str:
    """The nftables rules that make the kernel this kind of NAT between `lan` and `wan`.

    masquerade keeps the port while it is free: in practice endpoint-independent mapping, with
    the filtering of conntrack, which is by address and port. From a range that no port lies in, it
    gives each inside another one, and again the same for every remote. fully-random takes a new
    port for every flow: symmetric. A full cone also lets strangers in, all to the one machine.

    Raises:
        UsageError: no NAT of the kernel behaves so.
    """
    masquerade, welcome, unsolicited = "masquerade", "", "drop"
    match nat.mapping, nat.filtering, nat.port_preservation:
        case "endpoint-independent", "address-and-port-dependent", True:
            pass
        case "endpoint-independent", "address-and-port-dependent", False:
            masquerade = f"meta l4proto udp masquerade to :{_ports(FIRST_PORTS)}"
        case "address-and-port-dependent", "address-and-port-dependent", False:
            masquerade = "masquerade fully-random"
        case "endpoint-independent", "endpoint-independent", True:
            welcome, unsolicited = f'iifname "wan" dnat to {access.address}', "accept"
        case _:
            raise UsageError(f"The lab cannot build a NAT like {nat}; the simulator can.")
    return f"""
        table ip nat {{
            chain incoming {{ type nat hook prerouting priority dstnat; {welcome}
            }}
            chain outgoing {{ type nat hook postrouting priority srcnat; oifname "wan" {masquerade}
            }}
        }}
        table ip filter {{
            chain input {{ type filter hook input priority filter; iifname "wan" ct state new drop
            }}
            chain forward {{ type filter hook forward priority filter
                iifname "wan" ct state new {unsolicited}
            }}
        }}
        {hairpin_rules(nat, access) if nat.hairpins else ""}
    """


def hairpin_rules(nat: Nat, access: Access) -> str:
    """The nftables rules by which two insides reach each other at their public addresses.

    Whoever leaves by a public port owns it in `insides`; the other inside sees that port, too (RFC
    4787, REQ-9). `spoken` has the ports from and to which a hairpin went: a filter by address and
    port. What it drops is not confirmed yet, so conntrack does not remember it.
    """
    lifetime = f"flags dynamic, timeout; timeout {round(nat.lifetime)}s;"
    turned = 'iifname "lan" oifname "lan" meta l4proto udp'
    owner = "udp sport : ct original ip saddr . ct original proto-src"
    spoken = "udp sport . ct original proto-dst"
    return f"""
        table ip hairpin {{
            map insides {{ type inet_service : ipv4_addr . inet_service; {lifetime}
            }}
            set spoken {{ type inet_service . inet_service; {lifetime}
            }}
            chain incoming {{ type nat hook prerouting priority dstnat
                iifname "lan" ip daddr {access.public} dnat ip to udp dport map @insides
            }}
            chain outgoing {{ type nat hook postrouting priority srcnat
                {turned} snat to {access.public}:{_ports(ALL_PORTS)}
            }}
            chain remember {{ type filter hook postrouting priority srcnat + 1
                iifname "lan" ct direction original update @insides {{ {owner} }}
                {turned} ct direction original update @spoken {{ {spoken} }}
                {turned} ct state new ct original proto-dst . udp sport != @spoken drop
            }}
        }}
    """


def _ports(ports: tuple[int, int]) -> str:
    return f"{ports[0]}-{ports[1]}"


def other_ports(nat: Nat, ports: tuple[int, int]) -> str:
    """The nftables orders after which masquerade gives UDP flows ports of this range.

    It still looks first whether it knows the sender, and then keeps the sender's port: mapping
    stays endpoint-independent. Only a full cone is one no longer: strangers find nobody there.
    """
    manner = "" if nat.mapping == "endpoint-independent" else "fully-random"
    to = f"to :{_ports(ports)} {manner}"
    return f"""
        flush chain ip nat outgoing
        add rule ip nat outgoing oifname "wan" meta l4proto udp masquerade {to}
        {"flush map ip hairpin insides; flush set ip hairpin spoken" if nat.hairpins else ""}
    """
