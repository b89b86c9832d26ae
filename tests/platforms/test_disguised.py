"""Our code where Linux is not: imported, run and stopped in disguise."""

from __future__ import annotations

import json
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
LINUX_MODULES = {
    *(
        f"p2pquic.lab.{name}"
        for name in (
            "internet",
            "kernel_lab",
            "kernel_transfer",
            "namespaces",
            "requirements",
            "router",
            "topology",
        )
    ),
    "p2pquic.net.monitor.linux",
    "p2pquic.net.monitor.rtnetlink",
}
STOP_LIMIT = 2.0  # seconds from the signal to the end


def in_disguise(platform: str, *words: str) -> list[str]:
    return [sys.executable, "-m", "tests.platforms.disguise", platform, *words]


@pytest.mark.slow
@pytest.mark.parametrize(
    ("platform", "other_keyboard"),
    [("win32", "p2pquic.peer.keyboard"), ("darwin", "p2pquic.peer.windows_keyboard")],
)
def test_every_module_can_be_imported_or_says_which_system_it_needs(
    platform: str, other_keyboard: str
) -> None:
    command = in_disguise(platform, "import")
    found = json.loads(subprocess.run(command, cwd=ROOT, check=True, capture_output=True).stdout)
    assert set(found) == LINUX_MODULES | {other_keyboard}
    assert all("Linux" in found[name] for name in LINUX_MODULES)
    assert "Windows" in found[other_keyboard]


@pytest.mark.slow
@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGUSR1])
def test_every_stop_signal_of_windows_ends_a_server_cleanly(
    number: signal.Signals, tmp_path: Path
) -> None:
    names = {"--cert": "s.pem", "--key": "s.key", "--trace": "trace"}
    files = [word for option, name in names.items() for word in (option, str(tmp_path / name))]
    command = in_disguise("win32", "run", "intermediate", "--listen", "127.0.0.1:0", *files)
    with subprocess.Popen(
        command, cwd=ROOT, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True
    ) as server:
        assert server.stdout is not None
        assert "Listening on 127.0.0.1" in server.stdout.readline()
        begin = time.monotonic()
        server.send_signal(number)  # SIGUSR1 plays the part of Ctrl-Break
        _, complaint = server.communicate(timeout=10 * STOP_LIMIT)
    assert (server.returncode, "Traceback" in complaint) == (0, False)
    assert time.monotonic() - begin < STOP_LIMIT
    assert f"stopped by {number.name}" in (tmp_path / "trace").read_text()


@pytest.mark.slow
def test_the_monitor_of_windows_reports_and_ends() -> None:
    command = in_disguise("win32", "run", "monitor", "--intermediate", "127.0.0.1:1")
    with subprocess.Popen(command, cwd=ROOT, stdout=subprocess.PIPE, text=True) as monitor:
        assert monitor.stdout is not None
        assert "127.0.0.1%lo" in monitor.stdout.readline()
        monitor.send_signal(signal.SIGINT)
        monitor.communicate(timeout=10 * STOP_LIMIT)
    assert monitor.returncode == 0
