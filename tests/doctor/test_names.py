"""Names are looked up together, and nobody waits for a resolver that is silent."""

from __future__ import annotations

import threading

import pytest

from p2pquic.core.addresses import ServerAddress, SocketAddress, parse_socket_address
from p2pquic.core.errors import InvalidAddressError, UsageError
from p2pquic.doctor.names import look_up

GOOD = SocketAddress("192.0.2.1", 1)


def resolve(text: str) -> ServerAddress:
    if text.startswith("unknown"):
        raise UsageError(f"Cannot find the host {text!r}.")
    return ServerAddress.of(parse_socket_address(text))


def test_a_name_that_is_not_found_is_a_problem_unless_another_is() -> None:
    addresses, (finding,) = look_up(["unknown:1"], resolve)
    assert (addresses, finding.level) == ([], "problem")
    assert "Cannot find the host" in finding.what
    assert "DNS" in finding.remedy
    addresses, (finding,) = look_up(["unknown:1", str(GOOD)], resolve)
    assert (addresses, finding.level) == ([GOOD], "note")


def test_what_is_no_name_at_all_is_the_callers_mistake() -> None:
    with pytest.raises(InvalidAddressError):
        look_up([str(GOOD), "nonsense"], resolve)


def test_a_silent_resolver_is_not_waited_for() -> None:
    release = threading.Event()

    def hang(text: str) -> ServerAddress:
        release.wait()
        return resolve(text)

    addresses, (finding,) = look_up(["slow:1"], hang, limit=0.01)
    release.set()
    assert addresses == []
    assert finding.what == "The look-up of slow:1 takes too long."
