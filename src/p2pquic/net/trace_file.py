"""Writes the trace as JSON lines while it happens, so that a crash loses nothing.

One record is one line and one unbuffered write. Who follows the file may still meet the beginning
of its last line (the kernel shows a write page by page) and waits for the line end.
"""

from __future__ import annotations

import io
import sys

from p2pquic.core.errors import UsageError
from p2pquic.core.trace import Entry, to_line

STANDARD_OUTPUT = "-"


class TraceFile:
    """The file of --trace; without one it takes entries and writes nothing."""

    def __init__(self, target: str | None) -> None:
        """Open `target` for writing; `-` is standard output.

        Raises:
            UsageError: the file cannot be written.
        """
        self._target = target
        self._file: io.FileIO | None = None
        if target is None:
            return
        try:
            if target == STANDARD_OUTPUT:
                self._file = io.FileIO(sys.stdout.fileno(), "w", closefd=False)
            else:
                self._file = io.FileIO(target, "w")
        except OSError as error:
            raise UsageError(f"Cannot write the trace {target}: {error.strerror}.") from None

    def write(self, entry: Entry) -> None:
        """Write one entry. A full disk ends the trace, with a sentence, and not the call."""
        if self._file is None:
            return
        try:
            self._file.write(f"{to_line(entry)}\n".encode())
        except OSError as error:
            print(f"The trace {self._target} ends here: {error.strerror}.", file=sys.stderr)
            self.close()

    def close(self) -> None:
        """Close the file; may be called twice."""
        if self._file is not None:
            self._file.close()
            self._file = None
