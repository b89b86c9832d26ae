"""How two ends may stand towards each other: every pair of kinds of NAT, and named topologies.

    mover --- home NAT ---+                             mover ---+
                          +--- carrier NAT ---+                  +--- home NAT ---+
    other --- home NAT ---+                   |         other ---+                |
                                          internet                            internet

`mover` has a telephone's cellular network beside each, `rmnet0`, to move to. Delays are the usual
ones: 10 ms from an end to the internet, of which 2 are inside the house.
"""

from __future__ import annotations

import dataclasses
import itertools
from typing import get_args

from p2pquic.lab.networks import (
    CELLULAR,
    HOME,
    MOVER,
    OTHER,
    PORT_RESTRICTED,
    SYMMETRIC,
    WIFI,
    Dependence,
    Host,
    Interface,
    Nat,
    Network,
    Topology,
)

UPLINK, TRUNK = 0.008, 0.004  # seconds: out of a house, and through a carrier

KINDS: tuple[Nat | None, ...] = (  # of RFC 4787, and no NAT at all
    None,
    *(
        Nat(mapping, filtering, port_preservation=mapping == "endpoint-independent")
        for mapping, filtering in itertools.product(get_args(Dependence), repeat=2)
    ),
)


def name_of(nat: Nat | None) -> str:
    """`EIM/APDF` and the like, as the RFC's readers write it."""
    if nat is None:
        return "public"
    short = {"endpoint-independent": "EI", "address-dependent": "AD"}
    return f"{short.get(nat.mapping, 'APD')}M/{short.get(nat.filtering, 'APD')}F"


def pair(one: Nat | None, other: Nat | None) -> Topology:
    """The mover behind the one, the other side behind the other."""
    return Topology(
        Host(MOVER, (dataclasses.replace(WIFI, nat=one),)),
        Host(OTHER, (dataclasses.replace(HOME, nat=other),)),
    )


CARRIER_NAT = Nat(  # as the field has them: other ports, and mappings of no more than 30 s
    "endpoint-independent", "address-and-port-dependent", port_preservation=False, lifetime=30.0
)
CARRIER = Network("carrier", CARRIER_NAT, TRUNK)
HAIRPIN_CARRIER = dataclasses.replace(CARRIER, nat=dataclasses.replace(CARRIER_NAT, hairpins=True))
SYMMETRIC_CARRIER = dataclasses.replace(CARRIER, nat=dataclasses.replace(SYMMETRIC, lifetime=30.0))
HOUSE = Network("house", PORT_RESTRICTED, UPLINK)
HOUSE_BEHIND_CARRIER = dataclasses.replace(HOUSE, delay=UPLINK - TRUNK, behind=CARRIER)


def _inside(interface: Interface, network: Network, nat: Nat | None = None) -> Interface:
    """The interface in a shared network, as far from the internet as it was outside."""
    inside = dataclasses.replace(interface, nat=nat, network=network)
    trip = sum(each.delay for each in inside.networks)
    return dataclasses.replace(inside, delay=interface.delay - trip)


def _ends(mover: Interface, other: Interface, cellular: Interface = CELLULAR) -> Topology:
    return Topology(Host(MOVER, (mover, cellular)), Host(OTHER, (other,)))


CELLULAR_BEHIND_CARRIER = _ends(WIFI, HOME, _inside(CELLULAR, CARRIER))

NEIGHBOURHOODS: dict[str, Topology] = {
    "both in one LAN": _ends(_inside(WIFI, HOUSE), _inside(HOME, HOUSE)),
    "both in one LAN behind a carrier's NAT": _ends(
        _inside(WIFI, HOUSE_BEHIND_CARRIER), _inside(HOME, HOUSE_BEHIND_CARRIER)
    ),
    "one LAN, the mover behind a router of its own in it": _ends(
        _inside(WIFI, HOUSE, PORT_RESTRICTED), _inside(HOME, HOUSE)
    ),
    "two NATs in a row, the other side public": _ends(
        _inside(WIFI, CARRIER, PORT_RESTRICTED), dataclasses.replace(HOME, nat=None)
    ),
    "two NATs in a row, the other side behind one": _ends(
        _inside(WIFI, CARRIER, PORT_RESTRICTED), HOME
    ),
    "two NATs in a row at both ends": _ends(
        _inside(WIFI, CARRIER, PORT_RESTRICTED),
        _inside(HOME, dataclasses.replace(CARRIER, name="rival"), PORT_RESTRICTED),
    ),
    "two homes behind one carrier's NAT that hairpins": _ends(
        _inside(WIFI, HAIRPIN_CARRIER, PORT_RESTRICTED),
        _inside(HOME, HAIRPIN_CARRIER, PORT_RESTRICTED),
    ),
    "two homes behind one carrier's NAT that does not hairpin": _ends(
        _inside(WIFI, CARRIER, PORT_RESTRICTED), _inside(HOME, CARRIER, PORT_RESTRICTED)
    ),
    "a home behind a carrier's symmetric NAT, the other side behind one": _ends(
        _inside(WIFI, SYMMETRIC_CARRIER, PORT_RESTRICTED), HOME
    ),
    "a home behind a carrier's symmetric NAT, the other side public": _ends(
        _inside(WIFI, SYMMETRIC_CARRIER, PORT_RESTRICTED), dataclasses.replace(HOME, nat=None)
    ),
}
