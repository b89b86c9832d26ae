"""GStreamer: what of it a call cannot do without, and what only some calls need."""

from __future__ import annotations

from collections.abc import Callable

from p2pquic.core.errors import MissingRequirementError, P2PQuicError
from p2pquic.doctor.finding import Finding
from p2pquic.media.gstreamer import elements_of
from p2pquic.media.playout import playout_pipeline
from p2pquic.media.requirements import check_elements, check_media, check_sink, has_element
from p2pquic.media.source import source_pipeline

ELEMENT_LIMIT = 4.0  # seconds for one look; 20 ms but for the first start on a machine
DEVICE_LIMIT = 3.0  # seconds for the sound card; a sound server may have to start
MP3_DECODERS = ("mpg123audiodec", "avdec_mp3", "flump3dec")  # any of them will do


def check_sound() -> list[Finding]:
    """One finding on Opus, without which there is no call, and one on each place of sound."""
    try:
        _check_pipelines(source_pipeline("tone"), playout_pipeline("none"))
    except MissingRequirementError as error:
        return [Finding("problem", str(error))]
    return [
        Finding("ok", "GStreamer: Opus can be sent and played (--media tone, --sink none)."),
        _try(
            "GStreamer: MP3 files can be sent (--media FILE).",
            _check_mp3,
            "Without it, send a tone, the microphone or a WAV file.",
        ),
        _try(
            "GStreamer: what is heard can be recorded (--sink FILE.wav).",
            lambda: _check_pipelines(playout_pipeline("heard.wav")),
        ),
        _try("Speaker: there is one (--sink speaker).", _check_speaker),
        _try("Microphone: there is one (--media mic).", _check_microphone),
    ]


def _try(success: str, check: Callable[[], None], remedy: str = "") -> Finding:
    """A note with the check's own sentence, which mostly says what to do, unless all is well."""
    try:
        check()
    except P2PQuicError as error:
        return Finding("note", str(error), remedy)
    return Finding("ok", success)


def _check_pipelines(*pipelines: str) -> None:
    names = [name for pipeline in pipelines for name in elements_of(pipeline)]
    check_elements(names, ELEMENT_LIMIT)


def _check_mp3() -> None:
    _check_pipelines(source_pipeline("music.mp3"))
    if not any(has_element(name, ELEMENT_LIMIT) for name in MP3_DECODERS):
        raise MissingRequirementError(
            "GStreamer has no decoder for MP3. Install gstreamer1.0-plugins-good (Debian, Ubuntu)."
        )


def _check_speaker() -> None:
    _check_pipelines(playout_pipeline("speaker"))
    check_sink("speaker", DEVICE_LIMIT)


def _check_microphone() -> None:
    _check_pipelines(source_pipeline("mic"))
    check_media("mic", DEVICE_LIMIT)
