"""What is built: a wheel with the package and nothing else, and an sdist that holds the rest.

That the wheel can be installed and gives the command is tools/check-install.sh's to see.
"""

from __future__ import annotations

import subprocess
import sys
import tarfile
from email.message import Message
from email.parser import Parser
from pathlib import Path
from zipfile import ZipFile

import pytest

from p2pquic import __version__

PROJECT = Path(__file__).parent.parent

pytestmark = pytest.mark.slow


@pytest.fixture(scope="module")
def built(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The directory with both, as `make build` makes them."""
    directory = tmp_path_factory.mktemp("dist")
    subprocess.run(
        [sys.executable, "-m", "build", "--no-isolation", "--outdir", str(directory), str(PROJECT)],
        check=True,
        capture_output=True,
    )
    return directory


@pytest.fixture(scope="module")
def wheel(built: Path) -> ZipFile:
    return ZipFile(built / f"p2pquic-{__version__}-py3-none-any.whl")


@pytest.fixture(scope="module")
def metadata(wheel: ZipFile) -> Message:
    return Parser().parsestr(wheel.read(f"p2pquic-{__version__}.dist-info/METADATA").decode())


def test_the_wheel_holds_the_package_its_types_and_its_licence_alone(wheel: ZipFile) -> None:
    names = set(wheel.namelist())
    info = f"p2pquic-{__version__}.dist-info"
    assert {"p2pquic/py.typed", f"{info}/licenses/LICENSE"} <= names
    assert {name.split("/")[0] for name in names} == {"p2pquic", info}
    ours = {f"p2pquic/{file.relative_to(PROJECT / 'src/p2pquic').as_posix()}" for file in sources()}
    assert {name for name in names if name.startswith("p2pquic/")} == ours


def sources() -> list[Path]:
    package = PROJECT / "src/p2pquic"
    return [*package.rglob("*.py"), package / "py.typed"]


def test_the_wheel_gives_the_command(wheel: ZipFile) -> None:
    entries = wheel.read(f"p2pquic-{__version__}.dist-info/entry_points.txt").decode()
    assert "[console_scripts]\np2pquic = p2pquic.cli:main" in entries


def test_the_metadata_says_what_it_is(metadata: Message) -> None:
    assert metadata["Version"] == __version__
    assert metadata["License-Expression"] == "MIT"
    assert metadata["Requires-Python"] == ">=3.11"
    assert metadata["Description-Content-Type"] == "text/markdown"
    assert "Typing :: Typed" in metadata.get_all("Classifier", [])
    needed = [line for line in metadata.get_all("Requires-Dist", []) if "extra ==" not in line]
    assert "aioquic==1.7.2" in needed
    assert not [line for line in needed if line.startswith(("numpy", "matplotlib", "pytest"))]


def test_the_sdist_can_be_tested_and_built_again(built: Path) -> None:
    root = f"p2pquic-{__version__}"
    with tarfile.open(built / f"{root}.tar.gz") as archive:
        names = set(archive.getnames())
    for name in ("pyproject.toml", "LICENSE", "README.md", "Makefile", "tests/test_package.py"):
        assert f"{root}/{name}" in names
    assert not [name for name in names if "/.venv/" in name or "/out/" in name]
