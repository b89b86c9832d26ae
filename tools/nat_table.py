"""Writes docs/nats.md: which NATs let which others through, by which candidate, and which do not.

python tools/nat_table.py             # a test holds the file to what this writes
"""

from __future__ import annotations

from pathlib import Path

from p2pquic.lab.neighbourhoods import KINDS, NEIGHBOURHOODS, name_of, pair
from p2pquic.lab.networks import MOVER, OTHER, Link
from p2pquic.lab.reach import CandidateKind, Reach, reach

FILE = Path(__file__).parent.parent / "docs" / "nats.md"
INTRODUCTION = """\
# Who reaches whom

Two ends, each behind a NAT of a kind of RFC 4787: *M* is its mapping (section 4.1), *F* its
filtering (section 5), each endpoint-independent (*EI*), address-dependent (*AD*) or
address-and-port-dependent (*APD*). The usual home router is EIM/APDF, a "symmetric" NAT APDM/APDF.
Written by `python tools/nat_table.py`; tests let a call of the simulator run for every cell.

A cell says by which of its addresses each end is reached, the end of the row first:

* **H** host: the address that stands on its interface;
* **S** server-reflexive: where the server sees it, as the candidates say;
* **P** peer-reflexive: another one, that only the other end ever saw (RFC 8445 section 7.3.1.3);
* **relay**: by none, so the call stays on the relay.

Whether a NAT keeps port numbers changes no cell: nobody guesses ports.

"""
NEIGHBOURS = """
## More than one NAT each

"Two NATs in a row" is a home router (EIM/APDF) behind a carrier's NAT (EIM/APDF, other ports,
mappings of 30 s). The mover is named first.

| who stands where | mover and other side are reached at |
|---|---|
"""
WHY = """
## Why these stay on the relay

* *One maps by destination (ADM or APDM), the other filters by port (APDF):* the first comes from
  a port that nobody was told of, and the other lets only the port in that it spoke to.
* *Both map by destination:* neither is where it was said to be. It works in one case alone: one of
  them filters by nothing, the other not by port, and one maps by address only.
* *Both behind one NAT that does not hairpin:* each knows of the other only an address of that very
  NAT, which drops what comes to it from inside; the addresses between the routers are known to no
  host. In one LAN the host addresses do.
* *Two NATs in a row* let through no more than the stricter of them.

Guessing the next port of a symmetric NAT is not attempted: most draw it at random.
"""
LETTERS: dict[CandidateKind | None, str] = {
    "host": "H",
    "server-reflexive": "S",
    "peer-reflexive": "P",
    None: "relay",
}
ENDS = Link(MOVER, "wlan0"), Link(OTHER, "eth0")


def nat_table() -> str:
    """The document."""
    names = [name_of(kind) for kind in KINDS]
    lines = [f"| | {' | '.join(names)} |\n", "|---" * (len(names) + 1) + "|\n"]
    for name, one in zip(names, KINDS, strict=True):
        cells = (_cell(reach(pair(one, other), *ENDS)) for other in KINDS)
        lines.append(f"| **{name}** | {' | '.join(cells)} |\n")
    rows = (
        f"| {name} | {_cell(reach(topology, *ENDS))} |\n"
        for name, topology in NEIGHBOURHOODS.items()
    )
    return INTRODUCTION + "".join(lines) + NEIGHBOURS + "".join(rows) + WHY


def _cell(found: Reach) -> str:
    if not found.is_direct:
        return "relay"
    return f"{LETTERS[found.first]} {LETTERS[found.second]}"


if __name__ == "__main__":
    FILE.write_text(nat_table())
