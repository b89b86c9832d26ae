"""What a call needs of this machine, checked before it starts.

A missing plugin would otherwise show up in the middle of a call as a pipeline that does not link.
"""

from __future__ import annotations

import os
import subprocess
from collections.abc import Callable, Iterable
from typing import IO

from p2pquic.core.errors import MissingRequirementError, P2PQuicError, UsageError
from p2pquic.media.gstreamer import (
    INSPECT,
    INSTALL_HINT,
    LAUNCH,
    complaint_in,
    elements_of,
    environment,
    find_program,
    launch_command,
)
from p2pquic.media.playout import check_wav_file, playout_error, playout_pipeline
from p2pquic.media.source import file_source, open_media_file, source_error, source_pipeline

PROBE_TIMEOUT = 15.0  # seconds; GStreamer's first start on a machine scans all its plugins


def check_requirements(*, media: str | None, sink: str | None) -> None:
    """See that `media` can be sent and `sink` played on; None for what the call does not use.

    Raises:
        MissingRequirementError: GStreamer, one of its plugins or a sound device is missing.
        UsageError: the file cannot be read, holds no audio, or cannot be written.
    """
    if media is not None and sink is not None and os.path.realpath(media) == os.path.realpath(sink):
        raise UsageError(f"{sink} cannot be sent and recorded over at once.")
    pipelines = [source_pipeline(media)] if media is not None else []
    pipelines += [playout_pipeline(sink)] if sink is not None else []
    check_elements(element for pipeline in pipelines for element in elements_of(pipeline))
    if media is not None:
        check_media(media)
    if sink is not None:
        check_sink(sink)


def check_elements(names: Iterable[str], limit: float = PROBE_TIMEOUT) -> None:
    """See that GStreamer and these elements of it are installed; each is given `limit` seconds.

    Raises:
        MissingRequirementError: one is not.
    """
    for program in (LAUNCH, INSPECT):
        if find_program(program) is None:
            raise MissingRequirementError(f"{program} is missing. {INSTALL_HINT}")
    for name in sorted(set(names)):
        if not has_element(name, limit):
            raise MissingRequirementError(f"GStreamer's element {name} is missing. {INSTALL_HINT}")


def has_element(name: str, limit: float = PROBE_TIMEOUT) -> bool:
    """Whether GStreamer, which must be installed, has this element.

    Raises:
        MissingRequirementError: it does not say so within `limit` seconds.
    """
    try:
        inspect = find_program(INSPECT) or INSPECT
        answer = subprocess.run([inspect, "--exists", name], env=environment(), timeout=limit)
    except subprocess.TimeoutExpired:
        raise MissingRequirementError(
            f"{INSPECT} does not answer within {limit:.0f} s. Its first start looks at all "
            "plugins: run it once by hand, then try again."
        ) from None
    return answer.returncode == 0


def check_media(media: str, limit: float = PROBE_TIMEOUT) -> None:
    """Decode the first bit of `media` within `limit` seconds to see that there is audio in it.

    Raises:
        UsageError, MissingRequirementError: there is none.
    """

    def blame(reason: str) -> P2PQuicError:
        return source_error(media, reason)

    match media:
        case "mic":
            _probe("autoaudiosrc ! audioconvert ! fakesink num-buffers=1", blame, limit)
        case "tone":
            pass
        case _:
            with open_media_file(media) as file:
                _probe(
                    f"{file_source(media)} ! decodebin ! audioconvert ! fakesink num-buffers=1",
                    blame,
                    limit,
                    stdin=file,
                )


def check_sink(sink: str, limit: float = PROBE_TIMEOUT) -> None:
    """Open the sound card within `limit` seconds, or see that the file can be written.

    Raises:
        UsageError, MissingRequirementError: that cannot be done.
    """
    match sink:
        case "speaker":
            _probe(
                "audiotestsrc wave=silence num-buffers=1 ! audioconvert ! audioresample"
                " ! autoaudiosink",
                lambda reason: playout_error("speaker", reason),
                limit,
            )
        case "none":
            pass
        case _:
            check_wav_file(sink)


def _probe(
    pipeline: str,
    blame: Callable[[str], P2PQuicError],
    limit: float,
    stdin: IO[bytes] | int = subprocess.DEVNULL,
) -> None:
    """Run a pipeline that ends by itself.

    Not quiet: without any sound card autoaudiosink warns, plays to nobody and reports success.
    """
    try:
        probe = subprocess.run(
            launch_command(pipeline, quiet=False),
            stdin=stdin,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            env=environment(),
            timeout=limit,
            text=True,
            errors="replace",
        )
    except subprocess.TimeoutExpired:
        raise blame(f"nothing came within {limit:.0f} s") from None
    if probe.returncode != 0 or "WARNING: from element" in probe.stdout:
        raise blame(complaint_in(probe.stdout))
