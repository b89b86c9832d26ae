"""The scenarios that have a name: what is run, tested and reported.

Each changes one thing of the ordinary world: the mover on Wi-Fi with cellular to fall back to, the
other side at home, both behind port-restricted NATs. Where a scenario says "settled", both
interfaces have been up long enough to be used without a probe.
"""

from __future__ import annotations

import dataclasses

from p2pquic.core.errors import UsageError
from p2pquic.lab.neighbourhoods import CELLULAR_BEHIND_CARRIER, NEIGHBOURHOODS
from p2pquic.lab.networks import (
    CELLULAR,
    DATA_CENTRE,
    HOME,
    MOVER,
    OTHER,
    PORT_RESTRICTED,
    SERVER,
    SYMMETRIC,
    WIFI,
    Families,
    Host,
    Interface,
    Link,
    Topology,
)
from p2pquic.lab.scenarios import Change, Move, Scenario, break_before_make, make_before_break

RECEIVERS = 8  # of the room
BOTH_UP = ("wlan0", "rmnet0")
PAUSE = 0.150  # seconds for which Wi-Fi itself falls silent now and then, scanning or retrying
TAKEN = 5.0  # seconds after which the kernel's favourite has proved that it stays, and is taken
MOVES, BETWEEN_MOVES, AWAY = 60, 0.200, 0.100  # how many; seconds apart; seconds without the one

_WIFI_TO_CELLULAR = break_before_make(gone="wlan0", come="rmnet0")
_WIFI_FALLS_SILENT = Change(0.0, "link_dies", "wlan0")
_WAY_THERE_DIES = Change(0.0, "way_dies", "wlan0", MOVER, towards=Link(OTHER, "eth0"))
_WAY_BACK_DIES = Change(0.0, "way_dies", "eth0", OTHER, towards=Link(MOVER, "wlan0"))


def _lossy(access: Interface) -> Interface:
    """Half of 3 % loss and 10 ms jitter: a path has two such ends."""
    return dataclasses.replace(access, loss=0.015, jitter=0.005)


def _flapping() -> tuple[Move, ...]:
    """Each time the interface that carries the call goes, and is back before the other goes."""
    return tuple(
        Move(
            number * BETWEEN_MOVES,
            (
                Change(0.0, "interface_down", f"wlan{number % 2}"),
                Change(AWAY, "interface_up", f"wlan{number % 2}"),
            ),
        )
        for number in range(MOVES)
    )


_ETHERNET = Interface("eth0", delay=0.009, nat=PORT_RESTRICTED)
_TUNNEL = Interface("tun0", delay=0.012, nat=None)  # of a VPN whose other end is in a data centre
_SECOND_WIFI = dataclasses.replace(WIFI, name="wlan1")
_RELAYED = Topology(
    mover=Host(MOVER, tuple(dataclasses.replace(each, nat=SYMMETRIC) for each in (WIFI, CELLULAR))),
    other=Host(OTHER, (dataclasses.replace(HOME, nat=SYMMETRIC),)),
)
_FAR_SERVER = Host("far", (dataclasses.replace(DATA_CENTRE, delay=0.030),))
_CAPTIVE = dataclasses.replace(WIFI, loss=1.0)  # an address, a route, and nothing behind it


def _comes_and_goes(interface: str) -> tuple[Move, ...]:
    """Long enough to be taken, and left again."""
    return (
        Move(0.0, (Change(0.0, "interface_up", interface),)),
        Move(TAKEN, (Change(0.0, "interface_down", interface),)),
    )


_ANNOUNCED = (
    Scenario(
        "break-before-make",
        "Wi-Fi dies, half a second later cellular is there; both sides send and receive.",
        moves=(_WIFI_TO_CELLULAR,),
    ),
    Scenario(
        "break-before-make-sender",
        "The side that only sends changes from Wi-Fi to cellular, half a second apart.",
        moves=(_WIFI_TO_CELLULAR,),
        mover_role="sender",
    ),
    Scenario(
        "break-before-make-receiver",
        "The side that only receives changes from Wi-Fi to cellular, half a second apart.",
        moves=(_WIFI_TO_CELLULAR,),
        mover_role="receiver",
    ),
    Scenario(
        "make-before-break",
        "Cellular comes up two seconds before Wi-Fi dies.",
        moves=(make_before_break(gone="wlan0", come="rmnet0"),),
    ),
    Scenario(
        "relay-only",
        "Symmetric NATs on both sides allow no direct path; Wi-Fi dies, then cellular is there.",
        topology=_RELAYED,
        moves=(_WIFI_TO_CELLULAR,),
        settles_on="relay",
    ),
    Scenario(
        "wifi-cellular-wifi-twice",
        "To cellular and back, twice, six seconds apart, each time with an outage between.",
        moves=(
            break_before_make(gone="wlan0", come="rmnet0"),
            break_before_make(gone="rmnet0", come="wlan0", after=6.0),
            break_before_make(gone="wlan0", come="rmnet0", after=12.0),
            break_before_make(gone="rmnet0", come="wlan0", after=18.0),
        ),
    ),
    Scenario(
        "other-side-public",
        "Wi-Fi dies, then cellular is there; the other side has a public address.",
        topology=Topology(other=Host(OTHER, (dataclasses.replace(HOME, nat=None),))),
        moves=(_WIFI_TO_CELLULAR,),
    ),
    Scenario(
        "start-together",
        "Both sides start at the same instant and nothing changes: the way to a direct path.",
        stagger=0.0,
    ),
    Scenario(
        "no-change",
        "Nothing happens: what the world itself costs.",
    ),
)

_MORE_MOVES = (
    Scenario(
        "long-outage",
        "Wi-Fi dies, and only eight seconds later cellular is there.",
        moves=(break_before_make(gone="wlan0", come="rmnet0", outage=8.0),),
    ),
    Scenario(
        "both-move",
        "Both sides change from Wi-Fi to cellular in the same moment, half a second apart.",
        topology=Topology(other=Host(OTHER, (WIFI, CELLULAR))),
        moves=(break_before_make(gone="wlan0", come="rmnet0", hosts=(MOVER, OTHER)),),
        other_up=("wlan0",),
    ),
    Scenario(
        "sixty-moves",
        "Of two Wi-Fi networks the one in use goes for 100 ms, sixty times, every 200 ms.",
        topology=Topology(mover=Host(MOVER, (WIFI, dataclasses.replace(WIFI, name="wlan1")))),
        moves=_flapping(),
        mover_up=("wlan0", "wlan1"),
    ),
)

_ROOMS = (
    Scenario(
        "room-of-nine",
        "The one who sends to eight receivers changes from Wi-Fi to cellular, half a second apart.",
        topology=Topology(
            guests=tuple(Host(f"guest{number}", (HOME,)) for number in range(1, RECEIVERS))
        ),
        moves=(_WIFI_TO_CELLULAR,),
        mover_role="sender",
    ),
)

_INTERFACES = (
    Scenario(
        "ethernet-plugged-in",
        "A cable is plugged in beside Wi-Fi, preferred by its metric; later it is pulled out.",
        topology=Topology(mover=Host(MOVER, (_ETHERNET, WIFI))),
        moves=_comes_and_goes("eth0"),
    ),
    Scenario(
        "vpn-up",
        "A VPN that takes everything comes up over Wi-Fi, and goes down again.",
        topology=Topology(mover=Host(MOVER, (_TUNNEL, WIFI))),
        moves=_comes_and_goes("tun0"),
    ),
    Scenario(
        "metric-change",
        "Of two Wi-Fi networks the other becomes the cheaper route, then the first again.",
        topology=Topology(mover=Host(MOVER, (WIFI, _SECOND_WIFI))),
        moves=(
            Move(0.0, (Change(0.0, "interface_preferred", "wlan1"),)),
            Move(TAKEN, (Change(0.0, "interface_preferred", "wlan0"),)),
        ),
        mover_up=("wlan0", "wlan1"),
        aftermath=TAKEN,
    ),
    Scenario(
        "address-replaced",
        "A new lease: Wi-Fi has another address in place of the one it had.",
        moves=(Move(0.0, (Change(0.0, "address_replaced", "wlan0"),)),),
    ),
    Scenario(
        "captive-wifi",
        "A Wi-Fi that leads nowhere comes, and is preferred by its metric.",
        topology=Topology(mover=Host(MOVER, (_CAPTIVE, CELLULAR))),
        moves=(Move(0.0, (Change(0.0, "interface_up", "wlan0"),)),),
        mover_up=("rmnet0",),
        aftermath=TAKEN,
    ),
)

_SILENT = (
    Scenario(
        "silent-death",
        "Wi-Fi carries nothing any more and no kernel notices; cellular is up.",
        moves=(Move(0.0, (_WIFI_FALLS_SILENT,)),),
        mover_up=BOTH_UP,
    ),
    Scenario(
        "silent-death-relay",
        "The same, but cellular is behind a symmetric NAT: what is left is the relay.",
        topology=Topology(
            mover=Host(MOVER, (WIFI, dataclasses.replace(CELLULAR, nat=SYMMETRIC))),
        ),
        moves=(Move(0.0, (_WIFI_FALLS_SILENT,)),),
        mover_up=BOTH_UP,
    ),
    Scenario(
        "nat-forgets",
        "The mover's NAT forgets every mapping, of the direct path and of the relay's leg.",
        moves=(Move(0.0, (Change(0.0, "nat_forgets", "wlan0"),)),),
    ),
    Scenario(
        "way-dies-there",
        "Nothing passes directly any more from the mover to the other side; back it does.",
        moves=(Move(0.0, (_WAY_THERE_DIES,)),),
    ),
    Scenario(
        "way-dies-back",
        "Nothing passes directly any more from the other side to the mover; there it does.",
        moves=(Move(0.0, (_WAY_BACK_DIES,)),),
    ),
    Scenario(
        "black-hole",
        "The direct way to the other side dies, and two seconds later the way back as well.",
        moves=(Move(0.0, (_WAY_THERE_DIES,)), Move(2.0, (_WAY_BACK_DIES,))),
    ),
    Scenario(
        "wifi-pause",
        "Wi-Fi carries nothing for 150 ms, as it does now and then; cellular is up.",
        moves=(Move(0.0, (_WIFI_FALLS_SILENT, Change(PAUSE, "link_recovers", "wlan0"))),),
        mover_up=BOTH_UP,
    ),
    Scenario(
        "server-dies",
        "Of two servers the nearer, which relays, is killed; the other takes over.",
        topology=dataclasses.replace(_RELAYED, more_servers=(_FAR_SERVER,)),
        moves=(Move(0.0, (Change(0.0, "server_dies", "eth0", SERVER),)),),
        settles_on="relay",
        settle=4.0,
    ),
    Scenario(
        "lossy",
        "3 % of packets are lost and 10 ms of jitter added for ten minutes; nothing changes.",
        topology=Topology(
            mover=Host(MOVER, (_lossy(WIFI), _lossy(CELLULAR))),
            other=Host(OTHER, (_lossy(HOME),)),
        ),
        aftermath=600.0,
    ),
)

_AWAY_AND_BACK = (
    break_before_make(gone="wlan0", come="rmnet0"),
    break_before_make(gone="rmnet0", come="wlan0", after=6.0),
)
_NEIGHBOURS = (
    Scenario(
        "one-lan",
        "Both in one LAN; the mover goes to cellular, and six seconds later comes back.",
        topology=NEIGHBOURHOODS["both in one LAN"],
        moves=_AWAY_AND_BACK,
    ),
    Scenario(
        "two-nats",
        "Both homes behind a NAT and a carrier's NAT; the mover goes to cellular and comes back.",
        topology=NEIGHBOURHOODS["two NATs in a row at both ends"],
        moves=_AWAY_AND_BACK,
    ),
    Scenario(
        "carrier-nat",
        "Cellular stands by for 40 s behind a NAT that remembers 30 s; then Wi-Fi falls silent.",
        topology=CELLULAR_BEHIND_CARRIER,
        moves=(Move(0.0, (_WIFI_FALLS_SILENT,)),),
        mover_up=BOTH_UP,
        settle=40.0,
    ),
    Scenario(
        "hairpin",
        "Two homes behind one carrier's NAT, which hairpins; the mover goes to cellular and back.",
        topology=NEIGHBOURHOODS["two homes behind one carrier's NAT that hairpins"],
        moves=_AWAY_AND_BACK,
    ),
    Scenario(
        "no-hairpin",
        "Two homes behind one carrier's NAT, which does not hairpin: they stay on the relay.",
        topology=NEIGHBOURHOODS["two homes behind one carrier's NAT that does not hairpin"],
        settles_on="relay",
    ),
)


def _speaking(families: Families, access: Interface) -> Interface:
    """The same access network with other families of IP; IPv6 behind a stateful firewall."""
    return dataclasses.replace(access, families=families)


_SERVER_OF_BOTH = Host(SERVER, (_speaking("both", DATA_CENTRE),))

_FAMILIES = (
    Scenario(
        "both-ipv6",
        "Both sides have IPv6 alone, behind firewalls; Wi-Fi dies, then cellular is there.",
        topology=Topology(
            mover=Host(MOVER, (_speaking("IPv6", WIFI), _speaking("IPv6", CELLULAR))),
            other=Host(OTHER, (_speaking("IPv6", HOME),)),
            server=_SERVER_OF_BOTH,
        ),
        moves=(_WIFI_TO_CELLULAR,),
    ),
    Scenario(
        "one-side-dual",
        "The mover has IPv4 and IPv6 on both networks, the other side IPv6 alone.",
        topology=Topology(
            mover=Host(MOVER, (_speaking("both", WIFI), _speaking("both", CELLULAR))),
            other=Host(OTHER, (_speaking("IPv6", HOME),)),
            server=_SERVER_OF_BOTH,
        ),
        moves=(_WIFI_TO_CELLULAR,),
    ),
    Scenario(
        "both-dual",
        "Both sides have IPv4 and IPv6 on every network; Wi-Fi dies, then cellular is there.",
        topology=Topology(
            mover=Host(MOVER, (_speaking("both", WIFI), _speaking("both", CELLULAR))),
            other=Host(OTHER, (_speaking("both", HOME),)),
            server=_SERVER_OF_BOTH,
        ),
        moves=(_WIFI_TO_CELLULAR,),
    ),
    Scenario(
        "ipv4-to-ipv6",
        "Wi-Fi has IPv4 alone, cellular IPv6, the other side IPv4: then the relay bridges them.",
        topology=Topology(
            mover=Host(MOVER, (WIFI, _speaking("IPv6", CELLULAR))), server=_SERVER_OF_BOTH
        ),
        moves=(_WIFI_TO_CELLULAR,),
    ),
    Scenario(
        "ipv4-to-ipv6-and-back",
        "The same, and back to Wi-Fi six seconds later: direct again.",
        topology=Topology(
            mover=Host(MOVER, (WIFI, _speaking("IPv6", CELLULAR))), server=_SERVER_OF_BOTH
        ),
        moves=(_WIFI_TO_CELLULAR, break_before_make(gone="rmnet0", come="wlan0", after=6.0)),
    ),
)

SCENARIOS: dict[str, Scenario] = {
    scenario.name: scenario
    for scenario in (
        *_ANNOUNCED,
        *_MORE_MOVES,
        *_ROOMS,
        *_INTERFACES,
        *_SILENT,
        *_NEIGHBOURS,
        *_FAMILIES,
    )
}


def scenario_named(name: str) -> Scenario:
    """Look a scenario up.

    Raises:
        UsageError: there is none of this name.
    """
    if name not in SCENARIOS:
        raise UsageError(f"There is no scenario {name!r}. Choose from: {', '.join(SCENARIOS)}.")
    return SCENARIOS[name]
