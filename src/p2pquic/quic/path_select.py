"""Who decides on which path both ends speak: the rule behind PATH_SELECT.

Either end may choose. A choice carries an epoch one above the last; the higher epoch wins, and of
two made at once (the same epoch) the client's. Without this, two ends that follow each other's
packets chase each other for ever.
"""

from __future__ import annotations

from p2pquic.core.errors import ProtocolError

EPOCH_JUMP_LIMIT = 2**16  # nobody moves that often: more is an attempt to have the last word


class PathSelection:
    """The epoch of the choice in force, and whether ours still has to be announced."""

    def __init__(self, *, is_client: bool) -> None:
        self.epoch = 0
        self.announcing = False
        self._is_client = is_client
        self._ours = False  # the choice in force was made at this end

    def choose(self) -> None:
        """This end chooses."""
        self.epoch += 1
        self.announcing = self._ours = True

    def acknowledged(self, epoch: int) -> None:
        """The other end has heard the choice of this epoch."""
        if epoch == self.epoch:
            self.announcing = False

    def accepts(self, epoch: int) -> bool:
        """Whether the other end's choice stands; if so it is the one in force.

        Raises:
            ProtocolError: the epoch jumps further than honest moving can.
        """
        if epoch > self.epoch + EPOCH_JUMP_LIMIT:
            raise ProtocolError(f"PATH_SELECT jumps from epoch {self.epoch} to {epoch}")
        overruled = epoch == self.epoch and self._ours and not self._is_client
        if epoch <= self.epoch and not overruled:
            return False
        self.epoch = epoch
        self.announcing = self._ours = False
        return True
