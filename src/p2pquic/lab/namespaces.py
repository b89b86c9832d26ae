"""Network namespaces: machines of our own inside this one, without a name and without a trace.

A namespace is held by nothing but an open file descriptor of this process (and by the programs
running in it), so however we end, by return, exception or SIGKILL, the kernel takes it away:
nothing to remove, nothing to find in `ip netns`. Programs started in one are killed by the kernel
when we die. As root this works as it is; anybody else calls `gain_rights` first and becomes root
of a user namespace, where `ip netns add` would not be allowed.

It knows nothing of networks; see `topology` for what is put into the namespaces.
"""

from __future__ import annotations

import ctypes
import os
import shutil
import signal
import struct
import subprocess
import sys
import threading
from collections.abc import Callable, Sequence
from contextlib import suppress
from pathlib import Path
from subprocess import PIPE
from typing import IO, TypeVar

assert sys.platform == "linux", "The lab of real kernels needs Linux."

import fcntl

from p2pquic.core.errors import MissingRequirementError, P2PQuicError

T = TypeVar("T")
Stream = int | IO[str] | None  # as subprocess.Popen takes it

# <sched.h>, <sys/prctl.h>, <linux/capability.h>, <linux/if_tun.h>
CLONE_NEWUSER = 0x10000000
CLONE_NEWNET = 0x40000000
PR_SET_PDEATHSIG = 1
CAP_SYS_ADMIN = 21
TUNSETIFF = 0x400454CA
IFF_TUN = 0x0001
IFF_NO_PI = 0x1000

PROGRAMS = {"ip": "iproute2", "nft": "nftables"}  # with the package each is in
GOODBYE = 5.0  # seconds a program has to end after SIGTERM before it is killed

_libc = ctypes.CDLL(None, use_errno=True)


class CommandFailedError(P2PQuicError):
    """A program the lab needs to build its world failed."""


SYSTEM_PROGRAMS = ":/usr/sbin:/sbin"  # where Debian keeps them and an ordinary user does not look


def require_programs() -> None:
    """Make sure the programs of the system that a lab calls are there.

    Raises:
        MissingRequirementError: one is not; the text names its package.
    """
    if not os.environ["PATH"].endswith(SYSTEM_PROGRAMS):
        os.environ["PATH"] += SYSTEM_PROGRAMS
    for program, package in PROGRAMS.items():
        if shutil.which(program) is None:
            raise MissingRequirementError(
                f"The lab needs the program `{program}`; install the package {package}."
            )


def gain_rights() -> None:
    """Make sure this process may create namespaces: as it is, or as root of a user namespace.

    A user namespace can only be entered before this process has started a thread.

    Raises:
        MissingRequirementError: neither is possible here.
    """
    if _may_administer():
        return
    user, group = os.geteuid(), os.getegid()
    try:
        _check(_libc.unshare(CLONE_NEWUSER))
        Path("/proc/self/setgroups").write_text("deny")  # or the kernel refuses the group map
        Path("/proc/self/uid_map").write_text(f"0 {user} 1")
        Path("/proc/self/gid_map").write_text(f"0 {group} 1")
    except OSError as error:
        raise MissingRequirementError(
            f"The lab needs root or a user namespace and got neither: {error.strerror}. Run it as "
            "root with all its rights, or allow user namespaces (sysctl user.max_user_namespaces, "
            "kernel.apparmor_restrict_unprivileged_userns), or start it under "
            "`unshare --map-root-user` if this process already has threads."
        ) from error


def _may_administer() -> bool:
    lines = Path("/proc/self/status").read_text().splitlines()
    (effective,) = (line.split()[1] for line in lines if line.startswith("CapEff:"))
    return bool(int(effective, 16) & 1 << CAP_SYS_ADMIN)


class Namespace:
    """One network namespace, as the kernel makes it: a loopback that is down, and nothing else.

    Raises:
        MissingRequirementError: this process may not create one; `gain_rights` might help.
    """

    def __init__(self, name: str) -> None:
        self.name = name
        self._fd = -1
        self._fd = _in_a_thread(self._create)

    def _create(self) -> int:
        try:
            _check(_libc.unshare(CLONE_NEWNET))
        except OSError as error:
            raise MissingRequirementError(
                f"This process may not create network namespaces: {error.strerror}. "
                "Run the lab as root or in a user namespace."
            ) from error
        return os.open("/proc/thread-self/ns/net", os.O_RDONLY | os.O_CLOEXEC)

    @property
    def path(self) -> str:
        """A name for this namespace that our child processes understand if given `fd`."""
        return f"/proc/self/fd/{self._fd}"

    @property
    def fd(self) -> int:
        return self._fd

    def call(self, function: Callable[[], T]) -> T:
        """Call a function inside: what it opens (a socket, a device) belongs to this namespace."""

        def enter_and_call() -> T:
            _check(_libc.setns(self._fd, CLONE_NEWNET))
            return function()

        return _in_a_thread(enter_and_call)

    def set_sysctls(self, values: dict[str, str]) -> None:
        """Set kernel parameters of this namespace, by path below /proc/sys/net.

        Raises:
            MissingRequirementError: it is not for us to set them.
        """

        def write() -> None:
            for path, value in values.items():
                Path("/proc/sys/net", path).write_text(value)

        try:
            self.call(write)
        except OSError as error:
            raise MissingRequirementError(
                f"The lab may not set {error.filename} ({error.strerror}); containers forbid it."
            ) from None

    def open_tun(self, device: str) -> int:
        """Create the TUN device `device` here; reading the descriptor gives IP packets sent to it.

        The device vanishes when the descriptor is closed. It does not block.

        Raises:
            MissingRequirementError: /dev/net/tun is missing or not for us.
        """

        def open_device() -> int:
            fd = os.open("/dev/net/tun", os.O_RDWR | os.O_NONBLOCK | os.O_CLOEXEC)
            fcntl.ioctl(fd, TUNSETIFF, struct.pack("16sH22x", device.encode(), IFF_TUN | IFF_NO_PI))
            return fd

        try:
            return self.call(open_device)
        except OSError as error:
            raise MissingRequirementError(
                f"The lab needs /dev/net/tun, which cannot be used here: {error.strerror}. "
                "Load the kernel module tun and make the device readable and writable."
            ) from error

    def start(
        self,
        command: Sequence[str],
        fds: Sequence[int] = (),
        stdin: Stream = None,
        stdout: Stream = None,
        stderr: Stream = None,
    ) -> subprocess.Popen[str]:
        """Start a program inside, in a session of its own, with `fds` open. It dies with us.

        More exactly it is killed when the thread that started it ends: start what should live
        long from the main thread.

        Raises:
            MissingRequirementError: there is no such program.
        """
        runner = os.getpid()

        def enter() -> None:  # in the child, before the program replaces it
            _check(_libc.setns(self._fd, CLONE_NEWNET))
            _check(_libc.prctl(PR_SET_PDEATHSIG, signal.SIGKILL))
            if os.getppid() != runner:  # killed before we could ask to die with it
                os._exit(1)

        try:
            return subprocess.Popen(
                command,
                pass_fds=fds,
                preexec_fn=enter,
                start_new_session=True,
                text=True,
                stdin=stdin,
                stdout=stdout,
                stderr=stderr,
            )
        except FileNotFoundError:
            raise MissingRequirementError(f"There is no program {command[0]!r} here.") from None

    def run(self, command: Sequence[str], input: str = "", fds: Sequence[int] = ()) -> str:
        """Run a program inside to its end; its output.

        Raises:
            CommandFailedError: it failed; its complaint is in the text.
        """
        with self.start(command, fds, PIPE, PIPE, PIPE) as process:
            output, complaint = process.communicate(input)
        if process.returncode != 0:
            raise CommandFailedError(f"{' '.join(command)} failed in {self.name}: {complaint}")
        return output

    def close(self) -> None:
        """Let go of it; the kernel removes it when the last program inside has ended."""
        if self._fd >= 0:
            os.close(self._fd)
            self._fd = -1


def stop(process: subprocess.Popen[str]) -> None:
    """End a program we started, and whatever it started: kindly, then not. Its pipes are closed."""
    with process:
        if process.poll() is None:
            process.terminate()
            with suppress(subprocess.TimeoutExpired):  # then it is killed below
                process.wait(GOODBYE)
        with suppress(ProcessLookupError):  # the whole group is gone already
            os.killpg(process.pid, signal.SIGKILL)


def _check(result: int) -> None:
    """Raise the error a call into the C library left behind."""
    if result != 0:
        number = ctypes.get_errno()
        raise OSError(number, os.strerror(number))


def _in_a_thread(function: Callable[[], T]) -> T:
    """Call a function in a thread of its own: a thread may change its namespace, and then ends.

    So this process, and every other thread of it, stays where it is.
    """
    results: list[T] = []
    errors: list[BaseException] = []

    def call() -> None:
        try:
            results.append(function())
        except BaseException as error:  # handed to the caller below
            errors.append(error)

    thread = threading.Thread(target=call)
    thread.start()
    thread.join()
    if errors:
        raise errors[0]
    return results[0]
