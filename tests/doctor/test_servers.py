"""What the doctor makes of the answers of servers."""

from __future__ import annotations

import pytest

from p2pquic.core.addresses import LocalSocket, SocketAddress
from p2pquic.doctor.finding import Finding
from p2pquic.doctor.servers import judge_nats, judge_servers
from p2pquic.session.server_probe import Answer

WLAN = LocalSocket("192.168.1.7", 50000, "wlan0")
RMNET = LocalSocket("10.0.0.7", 50000, "rmnet0")
SERVER = SocketAddress("9.9.9.9", 12345)
OTHER = SocketAddress("8.8.8.8", 12345)
OBSERVED = SocketAddress("7.7.7.7", 50000)
KEY, OTHER_KEY = b"k" * 32, b"o" * 32


def good(local: LocalSocket = WLAN, server: SocketAddress = SERVER) -> Answer:
    return Answer(local, server, True, 0.0314, KEY, OBSERVED)


def levels(findings: list[Finding]) -> list[str]:
    return [finding.level for finding in findings]


def test_a_server_that_answers_is_told_with_time_address_and_key() -> None:
    key, way = judge_servers([SERVER], [good()], [KEY], {})
    assert levels([key, way]) == ["ok", "ok"]
    assert "holds the key of the --pin" in key.what
    assert "by wlan0: handshake in 31 ms; it hears us as 7.7.7.7:50000." in way.what


def test_a_key_that_no_pin_names_is_a_problem_even_beside_a_good_server() -> None:
    wrong = Answer(WLAN, OTHER, True, 0.03, OTHER_KEY, OBSERVED)
    findings = judge_servers([SERVER, OTHER], [good(), wrong], [KEY], {})
    assert levels(findings) == ["ok", "ok", "problem", "ok"]
    assert OTHER_KEY.hex() in findings[2].what
    assert (
        levels(judge_servers([SERVER, OTHER], [good(), wrong], [KEY, OTHER_KEY], {})) == ["ok"] * 4
    )


def test_without_a_pin_the_key_is_shown_and_said_to_be_compared_with_nothing() -> None:
    key = judge_servers([SERVER], [good()], [], {})[0]
    assert key.level == "note"
    assert f"sha256:{KEY.hex()}, which was compared with nothing" in key.what


@pytest.mark.parametrize(
    ("answer", "error", "said"),
    [
        (Answer(WLAN, SERVER), "", "no answer by wlan0 within 3 s"),
        (Answer(WLAN, SERVER), "connection refused", "the network says 'connection refused'"),
        (Answer(WLAN, SERVER, heard=True), "", "it is no intermediate server of ours."),
        (Answer(WLAN, SERVER, heard=True, refusal="no ALPN"), "", "server of ours (no ALPN)."),
    ],
)
def test_a_server_that_cannot_be_used_is_a_problem_unless_another_can(
    answer: Answer, error: str, said: str
) -> None:
    (finding,) = judge_servers([SERVER], [answer], [], {SERVER: error})
    assert finding.level == "problem"
    assert said in finding.what
    assert finding.remedy
    beside = judge_servers([SERVER, OTHER], [answer, good(server=OTHER)], [KEY], {SERVER: error})
    assert levels(beside) == ["note", "ok", "ok"]


def test_an_interface_that_does_not_reach_the_server_is_a_note_while_another_does() -> None:
    findings = judge_servers([SERVER], [good(), Answer(RMNET, SERVER)], [KEY], {})
    assert levels(findings) == ["ok", "ok", "note"]
    assert "by rmnet0: no answer" in findings[2].what


def test_a_server_that_tells_no_address_is_noted() -> None:
    silent = Answer(WLAN, SERVER, True, 0.03, KEY)
    finding = judge_servers([SERVER], [silent], [KEY], {})[1]
    assert finding.level == "note"
    assert "does not say where it hears us" in finding.what
    assert judge_nats([silent]) == []


def test_a_server_of_a_family_that_this_machine_lacks_is_out_of_reach() -> None:
    (finding,) = judge_servers([SocketAddress("2001:db8::1", 1)], [], [], {})
    assert finding.level == "problem"
    assert "no address of this machine has an IPv6 route" in finding.what


def test_each_local_address_has_a_nat_of_its_own() -> None:
    findings = judge_nats([good(WLAN), good(RMNET), Answer(RMNET, OTHER)])
    assert [finding.what.split(":")[0] for finding in findings] == [
        "NAT on wlan0",
        "NAT mapping on wlan0",
        "NAT on rmnet0",
        "NAT mapping on rmnet0",
    ]
