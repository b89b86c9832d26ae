"""What we read out of GStreamer's pipelines and messages."""

from __future__ import annotations

import asyncio

import pytest

from p2pquic.core.errors import MissingRequirementError, UsageError
from p2pquic.media.gstreamer import complaint_in, elements_of, launch
from p2pquic.media.playout import playout_pipeline
from p2pquic.media.requirements import check_elements, check_requirements
from p2pquic.media.source import source_pipeline


def test_elements_are_told_from_caps_and_properties() -> None:
    pipeline = "fdsrc fd=0 ! audio/x-raw,rate=48000 ! opusenc bitrate=64000 ! fdsink"
    assert list(elements_of(pipeline)) == ["fdsrc", "opusenc", "fdsink"]


@pytest.mark.parametrize(
    ("messages", "complaint"),
    [
        (
            "ERROR: from element /GstPipeline:pipeline0/GstTypeFindElement:typefind: "
            "Internal data stream error.\nAdditional debug info:\n"
            "ERROR: from element /GstPipeline:pipeline0/GstDecodeBin:decodebin0: "
            "This appears to be a text file\n",
            "This appears to be a text file",
        ),
        ('WARNING: erroneous pipeline: no element "opusenc"\n', 'no element "opusenc"'),
        (
            "Missing element: MPEG-4 AAC decoder\nERROR: from element /a/b: Your GStreamer "
            "installation is missing a plug-in.\n",
            "no plugin for MPEG-4 AAC decoder is installed",
        ),
        ("ALSA lib: cannot find card '0'\n", "GStreamer gave no reason"),
    ],
)
def test_the_cause_of_a_failure_is_one_line_of_many(messages: str, complaint: str) -> None:
    assert complaint_in(messages) == complaint


@pytest.mark.slow
def test_every_element_of_every_pipeline_is_in_the_packages_we_ask_for() -> None:
    media, sinks = ("file.mp3", "tone", "mic"), ("file.wav", "none", "speaker")
    pipelines = [*map(source_pipeline, media), *map(playout_pipeline, sinks)]
    check_elements(element for pipeline in pipelines for element in elements_of(pipeline))


def test_a_missing_element_is_named_with_the_way_to_install_it() -> None:
    with pytest.raises(MissingRequirementError, match=r"teleporter is missing.*apt install.*brew"):
        check_elements(["teleporter"])


def test_without_gstreamer_the_error_says_what_to_install(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PATH", "")
    with pytest.raises(MissingRequirementError, match=r"gst-launch-1.0 is missing.*apt install"):
        check_requirements(media="tone", sink=None)
    with pytest.raises(MissingRequirementError, match=r"cannot be started.*apt install"):
        asyncio.run(_launch_anything())


async def _launch_anything() -> None:
    await launch("fakesrc ! fakesink", blame=UsageError)
