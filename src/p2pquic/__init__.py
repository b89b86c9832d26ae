"""Peer-to-peer QUIC that carries live audio through a change of address."""

__version__ = "0.1.0"
