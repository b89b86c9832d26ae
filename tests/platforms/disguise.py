"""Runs our code in a process that looks like macOS or Windows, as far as Linux can look like them.

    everything is imported once       so that Python's own and foreign modules are the real ones
    sys.platform, missing modules     as that system has it
    ours is imported anew             and takes that system's branches

`python -m tests.platforms.disguise PLATFORM import` prints which modules of ours cannot be imported
and why; `... PLATFORM run ARGUMENT...` is the p2pquic command in disguise. What this cannot show is
how the other system answers.
"""

from __future__ import annotations

import asyncio
import ctypes
import importlib
import json
import os
import pkgutil
import signal
import socket
import sys
import types
from collections.abc import Iterator
from typing import Any

MISSING_MODULES = {"win32": ("fcntl", "termios", "tty", "resource", "pwd", "grp"), "darwin": ()}
LINUX_ONLY: dict[Any, tuple[str, ...]] = {
    socket: ("SO_BINDTODEVICE", "AF_NETLINK", "NETLINK_ROUTE"),
    os: ("setns", "sched_setscheduler", "sched_param", "SCHED_FIFO", "eventfd"),
}
POSIX_ONLY: dict[Any, tuple[str, ...]] = {
    os: ("geteuid", "getegid", "getpgrp", "tcgetpgrp", "killpg", "sysconf", "O_CLOEXEC", "fork"),
    signal: ("SIGHUP", "SIGKILL", "SIGTSTP", "SIGCONT", "SIGSTOP"),
}


def our_modules() -> Iterator[str]:
    """The names of all modules of p2pquic but the one that runs the command."""
    import p2pquic

    for module in pkgutil.walk_packages(p2pquic.__path__, "p2pquic."):
        if not module.name.endswith("__main__"):
            yield module.name


def put_on(platform: str, names: list[str]) -> None:
    """Look like `platform` to what is imported from now on; `names` of ours shall work with it."""
    for name in names:
        if not name.endswith("windows_keyboard"):
            importlib.import_module(name)
    for name in [name for name in sys.modules if name.split(".")[0] == "p2pquic"]:
        del sys.modules[name]
    for name in MISSING_MODULES[platform]:
        sys.modules[name] = None  # type: ignore[assignment]  # Python's way to say "not here"
    lacks = [LINUX_ONLY, POSIX_ONLY] if platform == "win32" else [LINUX_ONLY]
    for owner, attributes in (item for each in lacks for item in each.items()):
        for attribute in attributes:
            if hasattr(owner, attribute):
                delattr(owner, attribute)
    if platform == "win32":
        has: Any = {"WinDLL": lambda _: types.SimpleNamespace(timeBeginPeriod=lambda _: 0)}
        vars(ctypes).update(has)
        vars(asyncio)["ProactorEventLoop"] = asyncio.SelectorEventLoop
        vars(signal)["SIGBREAK"] = signal.SIGUSR1
        sys.modules["msvcrt"] = types.ModuleType("msvcrt")
    sys.platform = platform


def failures(names: list[str]) -> dict[str, str]:
    """Which of these modules cannot be imported, and the last line of why."""
    found = {}
    for name in names:
        try:
            importlib.import_module(name)
        except Exception as error:
            found[name] = f"{type(error).__name__}: {error}"
    return found


def run(arguments: list[str]) -> int:
    """The command, with socket options that Linux understands: none."""
    from p2pquic.net import udp
    from p2pquic.net.monitor import poll

    for module in (udp, poll):
        vars(module)["bind_to_interface"] = lambda *_: None
    vars(udp).update(forbid_fragments=lambda _: None, claim_port=lambda _: None)
    from p2pquic.cli import main

    sys.argv[1:] = arguments
    return main()


if __name__ == "__main__":
    _, chosen, order, *rest = sys.argv
    if order == "run":
        put_on(chosen, ["p2pquic.cli", "p2pquic.intermediate.server", "p2pquic.net.monitor.watch"])
        sys.exit(run(rest))
    modules = list(our_modules())
    put_on(chosen, modules)
    print(json.dumps(failures(modules)))
