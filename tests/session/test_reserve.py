"""Which sockets are used when some are to be avoided."""

from __future__ import annotations

from p2pquic.core.addresses import LocalSocket
from p2pquic.core.preference import InterfacePreference
from p2pquic.session.reserve import CALM, Reserve

WIFI = LocalSocket("192.168.1.2", 4000, "wlan0")
WIFI_V6 = LocalSocket("2001:db8::2", 4000, "wlan0")
CELLULAR = LocalSocket("192.168.2.2", 4000, "rmnet0")


def reserve(*sockets: LocalSocket, avoid: str = "rmnet*") -> Reserve:
    made = Reserve(InterfacePreference(avoid=(avoid,)), families={4})
    made.set_sockets(sockets)
    return made


def used(reserve: Reserve) -> tuple[LocalSocket, ...]:
    return reserve.in_use


def test_what_is_to_be_avoided_is_not_there_while_something_else_is() -> None:
    assert used(reserve(CELLULAR, WIFI)) == (WIFI,)
    assert used(reserve(CELLULAR)) == (CELLULAR,)
    assert used(reserve()) == ()


def test_an_interface_that_cannot_reach_the_server_holds_up_nothing() -> None:
    assert used(reserve(WIFI_V6, CELLULAR)) == (WIFI_V6, CELLULAR)


def test_where_nothing_is_to_be_avoided_everything_is_in_use() -> None:
    calm = reserve(CELLULAR, WIFI, avoid="usb0")
    assert used(calm) == (CELLULAR, WIFI)
    assert not calm.has_choice


def test_it_is_called_up_at_once_and_stood_down_after_a_calm_while() -> None:
    cellular = reserve(WIFI, CELLULAR)
    assert cellular.judge(is_needed=True, now=1.0)
    assert used(cellular) == (WIFI, CELLULAR)
    assert not cellular.judge(is_needed=True, now=1.1)
    assert not cellular.judge(is_needed=False, now=1.2)
    assert cellular.deadline == 1.2 + CALM
    assert not cellular.judge(is_needed=True, now=1.3), "the calm was short; it counts anew"
    assert not cellular.judge(is_needed=False, now=1.4)
    assert not cellular.judge(is_needed=False, now=1.3 + CALM)
    assert cellular.judge(is_needed=False, now=1.4 + CALM)
    assert used(cellular) == (WIFI,)
    assert cellular.deadline is None


def test_what_it_was_needed_for_may_come_back_and_has_to_prove_itself() -> None:
    cellular = reserve(CELLULAR)
    cellular.set_sockets((WIFI, CELLULAR))
    assert used(cellular) == (WIFI, CELLULAR)
    cellular.judge(is_needed=False, now=5.0)
    assert cellular.judge(is_needed=False, now=5.0 + CALM)
    assert used(cellular) == (WIFI,)


def test_when_the_last_other_address_goes_it_is_there_in_the_same_moment() -> None:
    cellular = reserve(WIFI, CELLULAR)
    cellular.set_sockets((CELLULAR,))
    assert used(cellular) == (CELLULAR,)
