"""The QUIC engine alone: datagrams, handshakes, and the memory of a connection at rest."""

from __future__ import annotations

import gc
import multiprocessing
from concurrent.futures import ProcessPoolExecutor
from functools import partial
from pathlib import Path
from time import process_time

from p2pquic.bench.engine_pair import EnginePair, MakeEnds, OurEnd
from p2pquic.bench.measuring import Benchmark
from p2pquic.bench.stock import StockEnd
from p2pquic.core.errors import MissingRequirementError
from p2pquic.quic.identity import Identity

ACKNOWLEDGED_WITHIN = 0.02  # virtual seconds, as in a call: one frame
_MEMORY = Path("/proc/self/status")
_KIBIBYTE = 1024


def datagrams_singly(make_ends: MakeEnds, size: int, count: int) -> float:
    """Datagrams per second through a connection, one way, each acknowledged at once."""
    pair = EnginePair(make_ends())
    pair.rest()
    begin = process_time()
    pair.send_singly(bytes(size), count)
    taken = process_time() - begin
    assert pair.arrived == count, "a datagram got lost in memory"
    return count / taken


def datagrams_in_turns(size: int, count: int) -> float:
    """Datagrams per second, both directions counted, acknowledgements riding as in a call."""
    ends = _our_ends()
    pair = EnginePair(ends)
    for end in ends:
        end.acknowledge_within(ACKNOWLEDGED_WITHIN)
    pair.rest()
    begin = process_time()
    pair.send_in_turns(bytes(size), count)
    taken = process_time() - begin
    assert pair.arrived == count, "a datagram got lost in memory"
    return count / taken


def handshakes(make_ends: MakeEnds, count: int) -> float:
    """Whole handshakes per second, both ends on the one core."""
    begin = process_time()
    for _ in range(count):
        EnginePair(make_ends())
    return count / (process_time() - begin)


def idle_memory(make_ends: MakeEnds, count: int) -> float:
    """KiB that one end of a connection at rest takes, in a process of its own."""
    if not _MEMORY.exists():
        raise MissingRequirementError("This system has no /proc to read memory from.")
    context = multiprocessing.get_context("spawn")
    with ProcessPoolExecutor(max_workers=1, mp_context=context) as process:
        return process.submit(_idle_memory_here, make_ends, count).result()


def _idle_memory_here(make_ends: MakeEnds, count: int) -> float:
    first = EnginePair(make_ends())  # what is made once for all
    pairs = []
    gc.collect()
    before = _resident_kibibytes()
    for _ in range(count):
        pairs.append(EnginePair(make_ends()))
        pairs[-1].rest()
    gc.collect()
    grown = _resident_kibibytes() - before
    del first
    return grown / (2 * count)


def _resident_kibibytes() -> int:
    fields = dict(line.split(":", 1) for line in _MEMORY.read_text().splitlines())
    return int(fields["VmRSS"].split()[0])


_CLIENT, _SERVER = Identity.generate(), Identity.generate()


def _our_ends() -> tuple[OurEnd, OurEnd]:
    return OurEnd.pair(_CLIENT, _SERVER)


def _stock_ends() -> tuple[StockEnd, StockEnd]:
    return StockEnd.pair(_SERVER)


DATAGRAMS = tuple(
    Benchmark(
        f"datagrams of {size} bytes singly{rival}",
        "per second",
        partial(datagrams_singly, make_ends, size),
        2000,
        goal if not rival else "",
    )
    for size, goal in ((200, ""), (1000, "5000"))
    for rival, make_ends in (("", _our_ends), (", stock aioquic", _stock_ends))
) + tuple(
    Benchmark(
        f"datagrams of {size} bytes, both ways, as in a call",
        "per second",
        partial(datagrams_in_turns, size),
        2000,
    )
    for size in (200, 1000)
)

HANDSHAKES = (
    Benchmark(
        "handshakes, both ends authenticated", "per second", partial(handshakes, _our_ends), 50
    ),
    Benchmark(
        "handshakes, stock aioquic, server authenticated",
        "per second",
        partial(handshakes, _stock_ends),
        50,
    ),
)

MEMORY = (
    Benchmark("memory of one end at rest", "KiB", partial(idle_memory, _our_ends), 200),
    Benchmark(
        "memory of one end at rest, stock aioquic", "KiB", partial(idle_memory, _stock_ends), 200
    ),
)
