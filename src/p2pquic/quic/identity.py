"""Who an endpoint is: an Ed25519 key in a self-signed certificate, known by its public key.

Nobody vouches for anybody here. A certificate is only the envelope in which TLS carries the key;
what is compared is the SHA-256 of the key itself (its SubjectPublicKeyInfo, RFC 5280 4.1.2.7).
"""

from __future__ import annotations

import contextlib
import datetime
import hashlib
import os
import sys
import tempfile
import time
from dataclasses import dataclass
from pathlib import Path

from cryptography import x509
from cryptography.exceptions import UnsupportedAlgorithm
from cryptography.hazmat.primitives import serialization
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey
from cryptography.x509.oid import NameOID

from p2pquic.core.errors import UsageError

PEER_ID_BYTES = 16  # of the key's SHA-256: 128 bits, beyond finding a second key for an id
LIFETIME = datetime.timedelta(days=3650)  # the key is what counts, the dates are a formality
FINGERPRINT_PREFIX = "sha256:"
REPLACE_TRIES, REPLACE_PAUSE = 20, 0.01  # seconds between them; who reads the file takes a few ms


@dataclass(frozen=True)
class Identity:
    """A private key and the certificate that presents it."""

    private_key: Ed25519PrivateKey
    certificate: x509.Certificate

    @classmethod
    def generate(cls) -> Identity:
        """A new key in a new certificate."""
        key = Ed25519PrivateKey.generate()
        name = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, "p2pquic")])
        start = datetime.datetime(2026, 1, 1, tzinfo=datetime.UTC)
        certificate = (
            x509.CertificateBuilder()
            .subject_name(name)
            .issuer_name(name)
            .public_key(key.public_key())
            .serial_number(x509.random_serial_number())
            .not_valid_before(start)
            .not_valid_after(start + LIFETIME)
            .sign(key, None)
        )
        return cls(key, certificate)

    @classmethod
    def load(cls, certificate_file: Path, key_file: Path) -> Identity:
        """Read both from PEM files.

        Raises:
            UsageError: a file cannot be read, is no Ed25519 PEM, or the two do not belong together.
        """
        try:
            certificate = x509.load_pem_x509_certificate(certificate_file.read_bytes())
            key = serialization.load_pem_private_key(key_file.read_bytes(), password=None)
        except OSError as error:
            raise UsageError(f"Cannot read {error.filename}: {error.strerror}.") from None
        except (ValueError, TypeError, UnsupportedAlgorithm):
            raise UsageError(
                f"{certificate_file} and {key_file} must be a PEM certificate and an unencrypted "
                "PEM key. `make cert` makes a pair."
            ) from None
        if not isinstance(key, Ed25519PrivateKey):
            raise UsageError(f"{key_file} is not an Ed25519 key. `make cert` makes one.")
        identity = cls(key, certificate)
        if certificate.public_key() != key.public_key():
            raise UsageError(f"{certificate_file} was not made for the key in {key_file}.")
        return identity

    @classmethod
    def load_or_create(cls, certificate_file: Path, key_file: Path) -> Identity:
        """Read both from PEM files; make them if neither is there.

        Raises:
            UsageError: one of the two is missing, or they cannot be read or written.
        """
        missing = [file for file in (certificate_file, key_file) if not file.exists()]
        if len(missing) == 1:
            raise UsageError(
                f"{missing[0]} is missing, though its other half is there. Restore it, or remove "
                "both to get a new identity (which nobody knows or trusts yet)."
            )
        if not missing:
            return cls.load(certificate_file, key_file)
        identity = cls.generate()
        identity.save(certificate_file, key_file)
        return identity

    def save(self, certificate_file: Path, key_file: Path) -> None:
        """Write both as PEM, the key readable by its owner alone, each file whole or not at all.

        Raises:
            UsageError: a file cannot be written.
        """
        pem = serialization.Encoding.PEM
        key = self.private_key.private_bytes(
            pem, serialization.PrivateFormat.PKCS8, serialization.NoEncryption()
        )
        write_private_file(key_file, key)
        write_private_file(certificate_file, self.certificate.public_bytes(pem))

    @property
    def key_hash(self) -> bytes:
        """SHA-256 of the public key's SPKI, 32 bytes."""
        return key_hash(self.certificate)

    @property
    def peer_id(self) -> str:
        """The name of this endpoint among peers, 32 hexadecimal digits."""
        return peer_id(self.key_hash)

    @property
    def fingerprint(self) -> str:
        """The key as `--pin` takes it: `sha256:` and 64 hexadecimal digits."""
        return fingerprint(self.key_hash)


def key_hash(certificate: x509.Certificate) -> bytes:
    """SHA-256 of a certificate's SubjectPublicKeyInfo, 32 bytes."""
    spki = certificate.public_key().public_bytes(
        serialization.Encoding.DER, serialization.PublicFormat.SubjectPublicKeyInfo
    )
    return hashlib.sha256(spki).digest()


def peer_id(key_hash: bytes) -> str:
    """The peer id that belongs to a key hash."""
    return key_hash[:PEER_ID_BYTES].hex()


def fingerprint(key_hash: bytes) -> str:
    """A key hash as people compare it: `sha256:` and 64 hexadecimal digits."""
    return FINGERPRINT_PREFIX + key_hash.hex()


def parse_fingerprint(text: str) -> bytes:
    """Read `sha256:HEX` into 32 bytes.

    Raises:
        UsageError: the text is something else.
    """
    digits = text.removeprefix(FINGERPRINT_PREFIX)
    try:
        value = bytes.fromhex(digits)
    except ValueError:
        value = b""
    if not text.startswith(FINGERPRINT_PREFIX) or len(value) != hashlib.sha256().digest_size:
        raise UsageError(
            f"{text!r} is not a key fingerprint. It looks like sha256: and 64 hexadecimal digits; "
            "the intermediate server prints it when it starts."
        )
    return value


def write_private_file(path: Path, content: bytes) -> None:
    """Write a file readable by its owner alone, atomically.

    Raises:
        UsageError: the place cannot be written.
    """
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        handle, temporary = tempfile.mkstemp(dir=path.parent, prefix=f".{path.name}.")
        try:
            with os.fdopen(handle, "wb") as file:
                file.write(content)
            _replace(temporary, path)
        except BaseException:
            os.unlink(temporary)
            raise
    except OSError as error:
        raise UsageError(f"Cannot write {path}: {error.strerror}.") from None


def _replace(temporary: str, path: Path) -> None:
    """Put the new file in the place of the old one.

    Windows refuses while somebody reads the old one, which takes a moment.
    """
    if sys.platform == "win32":
        for _ in range(REPLACE_TRIES):
            with contextlib.suppress(PermissionError):
                os.replace(temporary, path)
                return
            time.sleep(REPLACE_PAUSE)
    os.replace(temporary, path)
