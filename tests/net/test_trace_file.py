"""The trace on disk."""

from __future__ import annotations

from pathlib import Path

import pytest

from p2pquic.core.errors import UsageError
from p2pquic.core.trace import Entry, Failed, from_line
from p2pquic.net.trace_file import TraceFile

ENTRY = Entry(1.5, Failed("something"))


def test_a_line_is_there_as_soon_as_it_is_written(tmp_path: Path) -> None:
    trace = TraceFile(str(tmp_path / "trace"))
    trace.write(ENTRY)
    assert from_line((tmp_path / "trace").read_text().removesuffix("\n")) == ENTRY
    trace.close()


def test_without_a_file_nothing_is_written(capsys: pytest.CaptureFixture[str]) -> None:
    trace = TraceFile(None)
    trace.write(ENTRY)
    trace.close()
    assert capsys.readouterr() == ("", "")


def test_a_dash_is_standard_output(capfd: pytest.CaptureFixture[str]) -> None:
    trace = TraceFile("-")
    trace.write(ENTRY)
    trace.close()
    assert from_line(capfd.readouterr().out.removesuffix("\n")) == ENTRY


def test_a_file_that_cannot_be_written_is_a_sentence(tmp_path: Path) -> None:
    with pytest.raises(UsageError, match="No such file or directory"):
        TraceFile(str(tmp_path / "missing" / "trace"))


def test_a_full_disk_ends_the_trace_and_not_the_call(capsys: pytest.CaptureFixture[str]) -> None:
    trace = TraceFile("/dev/full")
    trace.write(ENTRY)
    trace.write(ENTRY)
    assert capsys.readouterr().err == "The trace /dev/full ends here: No space left on device.\n"
