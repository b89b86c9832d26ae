"""TLS in which both ends show a key and each decides by the key alone.

aioquic's server never asks for a client certificate, accepts an empty one, and its client trusts
certificate authorities. Here both ends must present a certificate; the handshake proves that they
hold its key (CertificateVerify, RFC 8446 4.4.3), and `accepts` decides whether that key will do.

aioquic has no exporter either: `exporter_secret` is derived at the one moment when the transcript
stands where RFC 8446 7.1 wants it (client hello to server Finished).
"""

from __future__ import annotations

from collections.abc import Callable

from aioquic import tls
from aioquic.buffer import Buffer
from cryptography.exceptions import UnsupportedAlgorithm
from cryptography.hazmat.primitives import hashes

from p2pquic.quic.identity import key_hash

AcceptsKey = Callable[[bytes], bool]


class PinnedContext(tls.Context):
    """A TLS context that asks for, and judges, the other end's public key."""

    accepts: AcceptsKey
    peer_key_hash: bytes | None
    exporter_secret: bytes | None

    @classmethod
    def adopt(cls, stock: tls.Context, accepts: AcceptsKey) -> PinnedContext:
        """Take over a context that aioquic has set up, before its first message."""
        context = cls.__new__(cls)
        vars(context).update(vars(stock))
        context.accepts = accepts
        context.peer_key_hash = None
        context.exporter_secret = None
        context._request_client_certificate = True
        return context

    def export(self, label: bytes, length: int) -> bytes:
        """Keying material for `label` (RFC 8446 7.5, empty context); same at both ends."""
        assert self.exporter_secret is not None, "exported before the handshake"
        assert self.key_schedule is not None
        algorithm = self.key_schedule.algorithm
        empty = hashes.Hash(algorithm).finalize()
        secret = tls.hkdf_expand_label(
            algorithm, self.exporter_secret, label, empty, algorithm.digest_size
        )
        return tls.hkdf_expand_label(algorithm, secret, b"exporter", empty, length)

    def _setup_traffic_protection(
        self, direction: tls.Direction, epoch: tls.Epoch, label: bytes
    ) -> None:
        super()._setup_traffic_protection(direction, epoch, label)
        if epoch == tls.Epoch.ONE_RTT and self.key_schedule is not None:
            self.exporter_secret = self.key_schedule.derive_secret(b"exp master")

    def _set_peer_certificate(self, certificate: tls.Certificate) -> None:
        super()._set_peer_certificate(certificate)
        assert self._peer_certificate is not None
        try:
            self.peer_key_hash = key_hash(self._peer_certificate)
        except (ValueError, UnsupportedAlgorithm) as error:
            raise tls.AlertBadCertificate("Certificate has an unreadable key") from error
        if not self.accepts(self.peer_key_hash):
            raise tls.AlertBadCertificate("the other end holds another key than expected")

    def _server_handle_certificate(self, input_buf: Buffer) -> None:
        super()._server_handle_certificate(input_buf)
        if self._peer_certificate is None:
            raise tls.AlertBadCertificate("the client showed no certificate")
