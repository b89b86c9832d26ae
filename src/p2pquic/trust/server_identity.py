"""Who the intermediate server is, kept on disk: a certificate, its key, and a secret.

After a restart peers still trust it, for its key is the same, and running calls go on, for their
relay tickets derive from the same secret.

`python -m p2pquic.trust.server_identity CERT KEY` makes them if need be and prints the --pin.
"""

from __future__ import annotations

import os
import sys
from pathlib import Path

from p2pquic.core.errors import P2PQuicError, UsageError
from p2pquic.quic.identity import Identity, write_private_file

SECRET_BYTES = 32  # as many as the keyed hash that uses it takes at most


def load_or_create_identity(certificate_file: Path, key_file: Path) -> Identity:
    """Read the server's identity; make one if neither file is there.

    Raises:
        UsageError: only one of the two is there, or they cannot be read or written.
    """
    is_new = not (certificate_file.exists() or key_file.exists())
    identity = Identity.load_or_create(certificate_file, key_file)
    if is_new:
        print(f"Made a new identity: {certificate_file} and {key_file}.", file=sys.stderr)
    return identity


def load_or_create_secret(file: Path) -> bytes:
    """Read the secret behind relay tickets; make it at the first start.

    Raises:
        UsageError: it cannot be read or written, or is too short to be a secret.
    """
    try:
        secret = file.read_bytes()
    except FileNotFoundError:
        secret = os.urandom(SECRET_BYTES)
        write_private_file(file, secret)
    except OSError as error:
        raise UsageError(f"Cannot read {file}: {error.strerror}.") from None
    if len(secret) != SECRET_BYTES:
        raise UsageError(f"{file} is damaged. Remove it; running calls then start again.")
    return secret


if __name__ == "__main__":
    try:
        print(load_or_create_identity(Path(sys.argv[1]), Path(sys.argv[2])).fingerprint)
    except P2PQuicError as error:
        sys.exit(f"p2pquic: {error}")
