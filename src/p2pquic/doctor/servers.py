"""What the answers of servers mean: pure, from answers to findings."""

from __future__ import annotations

from collections.abc import Collection, Sequence

from p2pquic.core.addresses import SocketAddress
from p2pquic.doctor.finding import Finding, Level
from p2pquic.doctor.nat_mapping import Observation, judge_nat
from p2pquic.quic.identity import FINGERPRINT_PREFIX
from p2pquic.session.server_probe import PROBE_LIMIT, Answer

Errors = dict[SocketAddress, str]
"""What the system said of a plain datagram to a server that gave no answer, as an ICMP error."""


def judge_servers(
    servers: Sequence[SocketAddress],
    answers: Sequence[Answer],
    pins: Collection[bytes],
    errors: Errors,
) -> list[Finding]:
    """Whether each server can be used, by which interface, and who it is.

    A server is missed only if no other one answers; one that holds a wrong key is always a problem.
    `pins` are hashes of keys (32 bytes), any of which will do.
    """
    reached = {answer.server for answer in answers if answer.key_hash is not None}
    level: Level = "note" if reached else "problem"
    findings: list[Finding] = []
    for server in servers:
        of_it = [answer for answer in answers if answer.server == server]
        if not of_it:
            findings.append(_out_of_reach(server, level))
        elif server in reached:
            findings += _reached(of_it, pins)
        else:
            findings.append(_not_reached(of_it, level, errors.get(server, "")))
    return findings


def judge_nats(answers: Sequence[Answer]) -> list[Finding]:
    """The NAT before each of our addresses from which a server was reached."""
    by_address: dict[tuple[str, str], list[Observation]] = {}
    for answer in answers:
        if answer.observed is not None:
            local = answer.local
            seen = Observation(local.address, answer.server, answer.observed)
            by_address.setdefault((local.host, local.interface), []).append(seen)
    return [
        finding
        for (_, interface), seen in by_address.items()
        for finding in judge_nat(interface, seen)
    ]


def _out_of_reach(server: SocketAddress, level: Level) -> Finding:
    return Finding(
        level,
        f"Server {server}: no address of this machine has an IPv{server.family} route to it.",
        "Use another network, or another address of the server.",
    )


def _reached(answers: Sequence[Answer], pins: Collection[bytes]) -> list[Finding]:
    """Findings on a server that answered by one interface at least."""
    findings = [_key(answers, pins)]
    for interface in dict.fromkeys(answer.local.interface for answer in answers):
        by_it = [answer for answer in answers if answer.local.interface == interface]
        times = [answer.handshake for answer in by_it if answer.handshake is not None]
        seen = dict.fromkeys(str(each.observed) for each in by_it if each.observed is not None)
        about = f"Server {answers[0].server} by {interface}:"
        if not times:
            findings.append(
                Finding(
                    "note",
                    f"{about} no answer within {PROBE_LIMIT:.0f} s.",
                    "A call will use the other interfaces; check that this one has internet.",
                )
            )
        elif not seen:
            findings.append(
                Finding(
                    "note",
                    f"{about} handshake in {min(times) * 1000:.0f} ms, but it does not say where "
                    "it hears us.",
                    "Update the server; direct paths need that address.",
                )
            )
        else:
            what = f"handshake in {min(times) * 1000:.0f} ms; it hears us as {' and '.join(seen)}."
            findings.append(Finding("ok", f"{about} {what}"))
    return findings


def _key(answers: Sequence[Answer], pins: Collection[bytes]) -> Finding:
    server = answers[0].server
    keys = {answer.key_hash for answer in answers if answer.key_hash is not None}
    shown = " and ".join(sorted(FINGERPRINT_PREFIX + key.hex() for key in keys))
    if not pins:
        return Finding(
            "note",
            f"Server {server} holds the key {shown}, which was compared with nothing.",
            "Compare it with what the server printed when it started, and give it as --pin.",
        )
    if keys <= set(pins):
        return Finding("ok", f"Server {server} holds the key of the --pin.")
    return Finding(
        "problem",
        f"Server {server} holds the key {shown}, which no --pin names.",
        "Compare it with what the server printed when it started: its key was made anew, or "
        "somebody poses as it.",
    )


def _not_reached(answers: Sequence[Answer], level: Level, error: str) -> Finding:
    server = answers[0].server
    refusals = [answer.refusal for answer in answers if answer.refusal]
    if any(answer.heard for answer in answers):
        said = f" ({refusals[0]})" if refusals else ""
        return Finding(
            level,
            f"Server {server}: something answers there, but it is no intermediate server of "
            f"ours{said}.",
            "Check the port, and that both ends run the same version.",
        )
    if error:
        return Finding(
            level,
            f"Server {server}: the network says {error!r}.",
            f"Check the address, and that the server runs and listens on UDP port {server.port}.",
        )
    interfaces = ", ".join(dict.fromkeys(answer.local.interface for answer in answers))
    return Finding(
        level,
        f"Server {server}: no answer by {interfaces} within {PROBE_LIMIT:.0f} s.",
        f"Check the address, that the server runs, and that firewalls, here and there, let UDP to "
        f"port {server.port} pass.",
    )
