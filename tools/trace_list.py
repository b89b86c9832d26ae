"""Writes docs/trace.md, the list of everything a trace can say, from the records themselves.

python tools/trace_list.py            # a test holds the file to what this writes
"""

from __future__ import annotations

import dataclasses
import inspect
from pathlib import Path

from p2pquic.core.trace import Record

FILE = Path(__file__).parent.parent / "docs" / "trace.md"
INTRODUCTION = """\
# The trace

`--trace FILE` writes a line of JSON for each decision and each frame, as it happens; `-` is
standard output.

    {"t": 5127.041836, "event": "frame_unsent", "seq": 731, "remote": "7ec40114890ca9c67a915c1e..."}

`t` is seconds of CLOCK_MONOTONIC, which all programs of one machine share. `remote` and `peer` are
peer ids, `seq` counts a sender's frames from 0, 50 a second whatever the network does. A path is
called `direct/INTERFACE/ADDRESS:PORT` (our interface, their address) or `relay/INTERFACE`; where
there are several servers, `relay/INTERFACE/ADDRESS:PORT`. New events and fields may be added; a
reader ignores what it does not know.

| event | fields | says |
|---|---|---|
"""


def trace_list() -> str:
    """The document."""
    return INTRODUCTION + "".join(_row(record) for record in Record.__subclasses__())


def _row(record: type[Record]) -> str:
    fields = ", ".join(f"`{field.name}`" for field in dataclasses.fields(record))
    said = " ".join(inspect.getdoc(record).split())  # type: ignore[union-attr]  # each has one
    return f"| `{record.event}` | {fields} | {said} |\n"


if __name__ == "__main__":
    FILE.write_text(trace_list())
