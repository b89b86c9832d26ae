"""docs/trace.md says what the records say."""

from __future__ import annotations

import runpy
from pathlib import Path

from p2pquic.core.trace import Record

TOOL = Path(__file__).parents[2] / "tools" / "trace_list.py"


def test_the_list_of_the_trace_is_up_to_date() -> None:
    tool = runpy.run_path(str(TOOL))
    assert tool["FILE"].read_text() == tool["trace_list"](), "run: python tools/trace_list.py"


def test_every_record_says_what_it_means() -> None:
    for record in Record.__subclasses__():
        assert record.__doc__
        assert not record.__doc__.startswith(record.__name__), "dataclass wrote it"
