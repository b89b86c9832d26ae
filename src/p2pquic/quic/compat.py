"""The private names of aioquic that this package stands on, checked before anything runs.

aioquic is pinned to one version because `connection.py` overrides and reads what aioquic calls
private. Should an installer ignore the pin, the first import says which names are missing
instead of failing in the middle of a call.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping

import aioquic
from aioquic import tls
from aioquic.quic import connection, packet_builder, recovery, stream
from aioquic.quic.congestion import cubic

from p2pquic.core.errors import MissingRequirementError

AIOQUIC_VERSION = "1.7.2"

METHODS: Mapping[type, frozenset[str]] = {
    connection.QuicConnection: frozenset(
        {
            "_confirm_handshake",
            "_find_network_path",
            "_handle_ack_frame",
            "_handle_datagram_frame",
            "_handle_new_connection_id_frame",
            "_handle_path_response_frame",
            "_handle_ping_frame",
            "_handle_retire_connection_id_frame",
            "_idle_timeout",
            "_initialize",
            "_on_path_challenge_delivery",
            "_parse_transport_parameters",
            "_payload_received",
            "_retire_peer_cid",
            "_send_probe",
            "_serialize_transport_parameters",
            "_stream_is_discarded",
            "_write_ack_frame",
            "_write_application",
            "_write_connection_limits",
            "_write_datagram_frame",
            "_write_path_challenge_frame",
            "_write_ping_frame",
            "_write_stream_frame",
            "_write_stream_limits",
        }
    ),
    recovery.QuicPacketRecovery: frozenset({"_detect_loss", "_on_packets_lost"}),
    tls.Context: frozenset(
        {
            "_client_handle_certificate_verify",
            "_server_handle_certificate",
            "_set_peer_certificate",
            "_setup_traffic_protection",
        }
    ),
}
"""Methods we override or call, by the class that defines them."""

ATTRIBUTES: Mapping[type, frozenset[str]] = {
    connection.QuicConnection: frozenset(
        {
            "_QuicConnection__frame_handlers",
            "_ack_delay",
            "_ack_eliciting_sent_since_receipt",
            "_close_at",
            "_close_event",
            "_close_pending",
            "_configuration",
            "_crypto_streams",
            "_cryptos",
            "_datagrams_pending",
            "_events",
            "_handshake_confirmed",
            "_handshake_done_pending",
            "_host_cids",
            "_is_client",
            "_local_max_data",
            "_local_max_streams_bidi",
            "_local_max_streams_uni",
            "_loss",
            "_loss_at",
            "_max_datagram_size",
            "_network_paths",
            "_original_destination_connection_id",
            "_pacing_at",
            "_packet_number",
            "_peer_cid",
            "_peer_cid_available",
            "_peer_retire_prior_to",
            "_ping_pending",
            "_probe_pending",
            "_retire_connection_ids",
            "_spin_bit",
            "_spaces",
            "_spin_highest_pn",
            "_state",
            "_streams",
            "_streams_blocked_pending",
            "_streams_queue",
            "tls",
        }
    ),
    recovery.QuicPacketRecovery: frozenset(
        {
            "_cc",
            "_pacer",
            "_pto_count",
            "_rtt_first_sample_time",
            "_rtt_initialized",
            "_rtt_latest",
            "_rtt_min",
            "_rtt_smoothed",
            "_rtt_variance",
            "_time_of_last_sent_ack_eliciting_packet",
        }
    ),
    cubic.CubicCongestionControl: frozenset({"_max_datagram_size"}),
    tls.Context: frozenset({"_peer_certificate", "_request_client_certificate"}),
    packet_builder.QuicPacketBuilder: frozenset({"_flight_bytes", "_packet"}),
    stream.QuicStreamSender: frozenset({"_buffer", "_buffer_fin", "_reset_error_code"}),
}
"""Instance attributes we read or set, looked up in the code of the class that sets them."""


def missing_names(
    methods: Mapping[type, Iterable[str]] = METHODS,
    attributes: Mapping[type, Iterable[str]] = ATTRIBUTES,
) -> list[str]:
    """The names that the installed aioquic lacks, as `Class.name`, sorted."""
    missing = [
        f"{cls.__name__}.{name}"
        for cls, names in methods.items()
        for name in names
        if not callable(getattr(cls, name, None))
    ]
    for cls, names in attributes.items():
        known = _names_in_code(cls)
        missing += [f"{cls.__name__}.{name}" for name in names if name not in known]
    return sorted(missing)


def installed_version() -> str:
    """The version of the aioquic that is installed."""
    return aioquic.__version__


def require_aioquic() -> None:
    """Refuse to run on an aioquic that we cannot extend.

    Raises:
        MissingRequirementError: a private name is gone; says which and what to install.
    """
    if missing := missing_names():
        raise MissingRequirementError(
            f"This program extends aioquic {AIOQUIC_VERSION}, and the installed aioquic lacks "
            f"{', '.join(missing)}. Install the right one: pip install aioquic=={AIOQUIC_VERSION}"
        )


def hash_epochs_by_identity() -> None:
    """Save Enum's own hash: members are equal when they are the same object.

    Keys and spaces of packets are looked up by epoch, ten times a packet.
    """
    tls.Epoch.__hash__ = object.__hash__  # type: ignore[method-assign]


def _names_in_code(cls: type) -> set[str]:
    """Every attribute name that the methods of a class mention."""
    names: set[str] = set()
    for member in vars(cls).values():
        function = getattr(member, "fget", member)
        if code := getattr(function, "__code__", None):
            names.update(code.co_names)
    return names
