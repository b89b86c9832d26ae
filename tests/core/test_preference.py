"""What a person thinks of the interfaces, as a table."""

from __future__ import annotations

import itertools
import re

import pytest

from p2pquic.core.addresses import LocalSocket
from p2pquic.core.errors import UsageError
from p2pquic.core.preference import INDIFFERENT, InterfacePreference

CABLE, WIFI, OTHER_WIFI, CELLULAR = (
    LocalSocket("192.0.2.1", 1000, name) for name in ("eth0", "wlan0", "wlan1", "rmnet0")
)
KERNEL = (CABLE, WIFI, OTHER_WIFI, CELLULAR)


@pytest.mark.parametrize(
    ("prefer", "avoid", "expected"),
    [
        pytest.param(None, None, KERNEL, id="the kernel's order"),
        pytest.param("wlan0", None, (WIFI, CABLE, OTHER_WIFI, CELLULAR), id="one"),
        pytest.param("rmnet0,wlan0", None, (CELLULAR, WIFI, CABLE, OTHER_WIFI), id="as named"),
        pytest.param("rmnet0, wlan0", None, (CELLULAR, WIFI, CABLE, OTHER_WIFI), id="with a space"),
        pytest.param("wlan*", None, (WIFI, OTHER_WIFI, CABLE, CELLULAR), id="a pattern"),
        pytest.param("wlan1,wlan*", None, (OTHER_WIFI, WIFI, CABLE, CELLULAR), id="the first fits"),
        pytest.param("usb0", None, KERNEL, id="one that is not there"),
        pytest.param("WLAN0", None, KERNEL, id="case matters"),
        pytest.param(None, "eth0", (WIFI, OTHER_WIFI, CELLULAR, CABLE), id="avoided comes last"),
        pytest.param("wlan*", "wlan1", (WIFI, CABLE, CELLULAR, OTHER_WIFI), id="avoiding wins"),
        pytest.param("rmnet?", "[ew]*", (CELLULAR, CABLE, WIFI, OTHER_WIFI), id="shell patterns"),
    ],
)
def test_sockets_come_in_the_persons_order(
    prefer: str | None, avoid: str | None, expected: tuple[LocalSocket, ...]
) -> None:
    assert InterfacePreference.parse(prefer, avoid).sort(KERNEL) == expected


def test_where_the_person_does_not_care_any_order_stays() -> None:
    for order in itertools.permutations(KERNEL):
        assert INDIFFERENT.sort(order) == order


@pytest.mark.parametrize(
    ("prefer", "avoid", "sentence"),
    [
        ("", None, "--prefer '' has an empty name in it"),
        ("eth0,", None, "--prefer 'eth0,' has an empty name in it"),
        (None, "rmnet0,,wlan0", "--avoid 'rmnet0,,wlan0' has an empty name in it"),
        ("eth0,wlan0", "wlan0", "--prefer and --avoid both name wlan0"),
    ],
)
def test_what_cannot_be_meant_is_refused(
    prefer: str | None, avoid: str | None, sentence: str
) -> None:
    with pytest.raises(UsageError, match=re.escape(sentence)):
        InterfacePreference.parse(prefer, avoid)
