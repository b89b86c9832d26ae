"""A text file of what is known: a name and a value on each line, for people to read and correct.

    # comments and empty lines are left as they are
    music.example:12345 sha256:...

Several processes may change it: each change starts from what the file says by then, under a lock,
and replaces the file as a whole. Nobody ever reads half of one.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

from p2pquic.core.errors import UsageError
from p2pquic.quic.identity import write_private_file
from p2pquic.trust.file_lock import holding

FOREIGN_BYTES = "surrogateescape"  # somebody's comment in another encoding stays what it is


@dataclass(frozen=True)
class KnownLine:
    """What the file says of one name, and in which line, counted from 1."""

    value: str
    number: int


class KnownFile:
    """The file; it need not be there. Names are compared without regard to case."""

    def __init__(self, file: Path, line: re.Pattern[str], example: str) -> None:
        """`line` matches a whole line and has the groups `name` and `value`, as in `example`."""
        self.file = file
        self._line = line
        self._example = example

    def read(self) -> dict[str, KnownLine]:
        """What it says, by name in lower case.

        Raises:
            UsageError: it cannot be read, or a line of it is damaged.
        """
        known: dict[str, KnownLine] = {}
        for number, text in enumerate(self._lines(), start=1):
            if not text.strip() or text.lstrip().startswith("#"):
                continue
            match = self._line.fullmatch(text.strip())
            if match is None:
                raise UsageError(
                    f"Line {number} of {self.file} is damaged: {text.strip()[:80]!r} is not of the "
                    f"form `{self._example}`. Correct the line or remove it."
                )
            name = match["name"].lower()
            if name in known:
                raise UsageError(
                    f"Line {number} of {self.file} speaks of {match['name']} again, after line "
                    f"{known[name].number}. Remove one of them."
                )
            known[name] = KnownLine(match["value"], number)
        return known

    @contextmanager
    def changing(self) -> Iterator[dict[str, KnownLine]]:
        """What it says, while no other process may change it.

        Raises:
            UsageError: see `read`; or its lock cannot be had.
        """
        with holding(self.file.with_name(f"{self.file.name}.lock")):
            yield self.read()

    def write(self, name: str, value: str, known: KnownLine | None) -> None:
        """Say `value` of `name`, in its line if it has one; only inside `changing`.

        Raises:
            UsageError: it cannot be written.
        """
        lines = self._lines()
        if known is None:
            lines.append(f"{name} {value}")
        else:
            lines[known.number - 1] = f"{name} {value}"
        text = "".join(f"{line}\n" for line in lines)
        write_private_file(self.file, text.encode(errors=FOREIGN_BYTES))

    def _lines(self) -> list[str]:
        try:
            return self.file.read_text(encoding="utf-8", errors=FOREIGN_BYTES).splitlines()
        except FileNotFoundError:
            return []
        except OSError as error:
            raise UsageError(f"Cannot read {self.file}: {error.strerror}.") from None
