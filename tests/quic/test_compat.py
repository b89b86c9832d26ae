"""The check of aioquic's private names, tested by taking names away."""

from __future__ import annotations

import ast
import inspect

import pytest
from aioquic import tls
from aioquic.quic.connection import QuicConnection

from p2pquic.core.errors import MissingRequirementError
from p2pquic.quic import (
    address_discovery,
    audio_packets,
    compat,
    connection,
    many_paths,
    one_packet,
    path_life,
    paths,
    pinned_tls,
    recovery,
    remapped_paths,
    short_packets,
    shown_path,
    streams,
)


def test_the_pinned_version_has_every_name() -> None:
    assert compat.missing_names() == []
    compat.require_aioquic()


@pytest.mark.parametrize(
    ("cls", "name"),
    [(cls, name) for cls, names in compat.METHODS.items() for name in sorted(names)],
)
def test_a_method_that_is_gone_is_named(
    cls: type, name: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    owner = next(base for base in cls.__mro__ if name in vars(base))
    monkeypatch.delattr(owner, name)
    assert f"{cls.__name__}.{name}" in compat.missing_names()
    with pytest.raises(MissingRequirementError, match=name):
        compat.require_aioquic()


def test_attributes_are_looked_for_in_the_code_that_sets_them() -> None:
    wanted = {QuicConnection: {"_events", "_no_such_thing"}, tls.Context: {"_gone"}}
    assert compat.missing_names({}, wanted) == ["Context._gone", "QuicConnection._no_such_thing"]


def test_an_attribute_is_missed_once_no_method_mentions_it(monkeypatch: pytest.MonkeyPatch) -> None:
    def other_init(self: object) -> None:
        """A constructor of a future aioquic."""

    for name in list(vars(QuicConnection)):
        if callable(vars(QuicConnection)[name]) or isinstance(vars(QuicConnection)[name], property):
            monkeypatch.setattr(QuicConnection, name, other_init)
    missing = compat.missing_names()
    for name in compat.ATTRIBUTES[QuicConnection]:
        assert f"QuicConnection.{name}" in missing


def test_every_private_name_that_we_use_is_checked() -> None:
    """Reads our own source: a `self._name` of aioquic's that is not listed is a hole."""
    theirs = {
        name
        for cls in (*compat.METHODS, *compat.ATTRIBUTES)
        for name in (*vars(cls), *compat._names_in_code(cls))
        if name.startswith("_") and not name.endswith("__")
    }
    listed = {
        name
        for table in (compat.METHODS, compat.ATTRIBUTES)
        for names in table.values()
        for name in names
    }
    for module in (
        address_discovery,
        audio_packets,
        connection,
        many_paths,
        one_packet,
        path_life,
        paths,
        pinned_tls,
        recovery,
        remapped_paths,
        short_packets,
        shown_path,
        streams,
    ):
        tree = ast.parse(inspect.getsource(module))
        used = {node.attr for node in ast.walk(tree) if isinstance(node, ast.Attribute)}
        assert (used & theirs) - listed == set(), module.__name__
