"""What the lab of real kernels needs of this machine, checked before it is built.

`python -m p2pquic.lab.requirements` asks in a process of its own, for asking may change the
process: see `gain_rights`. It exits with 0, or with the sentence that says what is missing.
"""

from __future__ import annotations

import os
import sys
from contextlib import closing

assert sys.platform == "linux", "The lab of real kernels needs Linux."

from p2pquic.core.errors import MissingRequirementError
from p2pquic.lab import namespaces


def check_lab() -> None:
    """See that the lab can be built here; makes this process able to where it takes rights.

    Raises:
        MissingRequirementError: it cannot; says why.
    """
    namespaces.gain_rights()
    namespaces.require_programs()
    with closing(namespaces.Namespace("trial")) as trial:
        os.close(trial.open_tun("tun0"))
        trial.set_sysctls({"ipv4/ip_forward": "1"})
        try:
            trial.run(["nft", "list", "ruleset"])
        except namespaces.CommandFailedError as error:
            raise MissingRequirementError(f"The kernel lets nobody use nftables: {error}") from None


if __name__ == "__main__":
    try:
        check_lab()
    except MissingRequirementError as error:
        sys.exit(str(error))
