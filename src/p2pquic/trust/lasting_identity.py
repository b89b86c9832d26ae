"""Who this user is to others, from one run to the next: a key in the user's data folder.

One process at a time is that peer: a server has one place for a peer id, and so has a call. Whoever
finds the identity in use takes a new one for the run, so that several peers can run on one machine.
"""

from __future__ import annotations

import sys
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path

from p2pquic.core.errors import UsageError
from p2pquic.quic.identity import Identity
from p2pquic.trust.file_lock import holding_if_free


@contextmanager
def lasting_identity(directory: Path) -> Iterator[Identity | None]:
    """The identity kept in `directory`, made at its first use, and ours until the end of the block.

    None if another process uses it, or the folder cannot be written; a person is told.

    Raises:
        UsageError: its files are damaged, or one of the two is missing.
    """
    with ExitStack() as stack:
        try:
            is_ours = stack.enter_context(holding_if_free(directory / "peer.lock"))
        except UsageError as error:
            _say(f"{error} So this run has an identity of its own.")
            is_ours = False
        else:
            if not is_ours:
                _say("Your lasting identity is in use; this run has one of its own.")
        yield _load_or_create(directory) if is_ours else None


def _load_or_create(directory: Path) -> Identity:
    files = directory / "peer.pem", directory / "peer.key"
    is_new = not any(file.exists() for file in files)
    identity = Identity.load_or_create(*files)
    _say(f"You are peer {identity.peer_id}{', from now on' if is_new else ''} ({files[1]}).")
    return identity


def _say(sentence: str) -> None:
    print(sentence, file=sys.stderr)
