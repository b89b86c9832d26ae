"""A fake NAT does what RFC 4787 says of its kind. What the kernel does is in tests/contract."""

from random import Random

import pytest

from p2pquic.core.addresses import SocketAddress
from p2pquic.lab.nat import NatBox, can_punch
from p2pquic.lab.networks import FULL_CONE, PORT_RESTRICTED, SYMMETRIC, Nat
from p2pquic.lab.worlds import NATS

PRIVATE = SocketAddress("192.168.1.2", 5000)
NEIGHBOUR = SocketAddress("192.168.1.3", 5000)
SERVER = SocketAddress("198.51.100.4", 443)
SAME_HOST_OTHER_PORT = SocketAddress("198.51.100.4", 444)
STRANGER = SocketAddress("198.51.100.9", 443)
ADDRESS_RESTRICTED = Nat("address-dependent", "address-dependent")


def box(kind: Nat) -> NatBox:
    return NatBox(kind, "198.51.100.1", Random(7))


def test_a_mapping_keeps_the_private_port_while_it_is_free() -> None:
    nat = box(PORT_RESTRICTED)
    assert nat.outbound(PRIVATE, SERVER, now=0.0) == ("198.51.100.1", 5000)
    second = nat.outbound(NEIGHBOUR, SERVER, now=0.0)
    assert second.port != 5000
    assert nat.inbound(second, SERVER, now=0.0) == NEIGHBOUR


@pytest.mark.parametrize(
    ("kind", "same_to_other_port", "same_to_stranger"),
    [
        (FULL_CONE, True, True),
        (PORT_RESTRICTED, True, True),
        (ADDRESS_RESTRICTED, True, False),
        (SYMMETRIC, False, False),
    ],
)
def test_mapping_depends_on_what_its_key_keeps(
    kind: Nat, same_to_other_port: bool, same_to_stranger: bool
) -> None:
    nat = box(kind)
    public = nat.outbound(PRIVATE, SERVER, now=0.0)
    assert nat.outbound(PRIVATE, SERVER, now=1.0) == public
    assert (nat.outbound(PRIVATE, SAME_HOST_OTHER_PORT, now=1.0) == public) is same_to_other_port
    assert (nat.outbound(PRIVATE, STRANGER, now=1.0) == public) is same_to_stranger


@pytest.mark.parametrize(
    ("kind", "other_port_passes", "stranger_passes"),
    [
        (FULL_CONE, True, True),
        (ADDRESS_RESTRICTED, True, False),
        (PORT_RESTRICTED, False, False),
        (SYMMETRIC, False, False),
    ],
)
def test_filtering_depends_on_what_its_key_keeps(
    kind: Nat, other_port_passes: bool, stranger_passes: bool
) -> None:
    nat = box(kind)
    public = nat.outbound(PRIVATE, SERVER, now=0.0)
    assert nat.inbound(public, SERVER, now=0.1) == PRIVATE
    assert (nat.inbound(public, SAME_HOST_OTHER_PORT, now=0.1) == PRIVATE) is other_port_passes
    assert (nat.inbound(public, STRANGER, now=0.1) == PRIVATE) is stranger_passes


def test_nothing_comes_in_before_something_went_out() -> None:
    nat = box(FULL_CONE)
    assert nat.inbound(SocketAddress("198.51.100.1", 5000), SERVER, now=0.0) is None


def test_an_unsolicited_packet_leaves_no_trace() -> None:
    nat = box(PORT_RESTRICTED)
    nat.inbound(SocketAddress("198.51.100.1", 5000), STRANGER, now=0.0)
    assert nat.outbound(PRIVATE, STRANGER, now=0.1) == ("198.51.100.1", 5000)


def test_a_silent_mapping_is_forgotten_and_traffic_either_way_keeps_it() -> None:
    nat = box(PORT_RESTRICTED)
    public = nat.outbound(PRIVATE, SERVER, now=0.0)
    assert nat.inbound(public, SERVER, now=29.0) == PRIVATE
    assert nat.inbound(public, SERVER, now=58.0) == PRIVATE
    assert nat.inbound(public, SERVER, now=88.0) is None


def test_one_flow_does_not_keep_the_permission_of_another() -> None:
    nat = box(PORT_RESTRICTED)
    public = nat.outbound(PRIVATE, STRANGER, now=0.0)
    nat.outbound(PRIVATE, SERVER, now=20.0)
    assert nat.inbound(public, STRANGER, now=31.0) is None
    assert nat.inbound(public, SERVER, now=31.0) == PRIVATE


def test_a_symmetric_nat_gets_a_new_port_after_forgetting() -> None:
    nat = box(SYMMETRIC)
    before = nat.outbound(PRIVATE, SERVER, now=0.0)
    assert nat.outbound(PRIVATE, SERVER, now=31.0) != before


@pytest.mark.parametrize("kind", [PORT_RESTRICTED, SYMMETRIC, FULL_CONE])
def test_a_nat_that_was_made_to_forget_refuses_answers_and_gives_other_ports(kind: Nat) -> None:
    nat = box(kind)
    before = nat.outbound(PRIVATE, SERVER, now=0.0)
    nat.forget()
    assert nat.inbound(before, SERVER, now=0.1) is None
    after = nat.outbound(PRIVATE, SERVER, now=0.2)
    assert after != before
    assert (nat.outbound(PRIVATE, STRANGER, now=0.3) == after) is (kind is not SYMMETRIC)
    nat.forget()
    assert nat.outbound(PRIVATE, SERVER, now=0.4) not in (before, after)


@pytest.mark.parametrize(
    ("one", "other", "expected"),
    [
        ("public", "symmetric", True),
        ("full cone", "symmetric", True),
        ("address-restricted", "symmetric", True),
        ("port-restricted", "symmetric", False),
        ("port-restricted", "port-restricted", True),
        ("port-restricted", "address-dependent", False),
        ("address-restricted", "address-dependent", True),
        ("address-dependent", "address-dependent", False),
        ("symmetric", "symmetric", False),
    ],
)
def test_which_nats_can_be_punched(one: str, other: str, expected: bool) -> None:
    first: Nat | None = NATS[one]
    second: Nat | None = NATS[other]
    assert can_punch(first, second) is can_punch(second, first) is expected
