"""What a check found, for a person."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

Level = Literal["ok", "note", "problem"]


@dataclass(frozen=True)
class Finding:
    """One line of the report.

    A `problem` makes a call impossible; a `note` is something that a call can do without, or that
    could not be found out. `what` and `remedy` (what to do about it) are whole sentences.
    """

    level: Level
    what: str
    remedy: str = ""

    def __str__(self) -> str:
        return f"{self.level:<8} {self.what} {self.remedy}".rstrip()
