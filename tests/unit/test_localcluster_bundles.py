"""Bundles of localcluster: what is pinned, what is missing, and what is said about it."""

import dataclasses
import xml.etree.ElementTree as ET
from pathlib import Path

import pytest

from localcluster import bundles
from localcluster.bundles import Bundle

NOWHERE = Bundle("nowhere", debian=("nosuch-package",), files=("nosuch-program",), pypi=("x==1",))


@pytest.fixture(autouse=True)
def nothing_there(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A machine without package managers, and an empty cache."""
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path))
    monkeypatch.setenv("PATH", str(tmp_path))


def test_every_bundle_pins_its_versions() -> None:
    """A bundle that is fetched again later is the same one."""
    for bundle in bundles.BUNDLES.values():
        assert all("==" in requirement for requirement in bundle.pypi)
        assert all(coordinates.count(":") == 2 for coordinates in bundle.maven)
        assert bool(bundle.debian) == bool(bundle.files)


def test_another_pin_is_another_folder() -> None:
    """What was fetched for other pins is never taken."""
    other = dataclasses.replace(NOWHERE, pypi=("x==2",))
    jars = dataclasses.replace(NOWHERE, pypi=(), maven=("g:x:1",))

    assert 3 == len({one.digest for one in (NOWHERE, other, jars)})
    assert NOWHERE.digest == dataclasses.replace(NOWHERE, files=()).digest


def test_what_is_missing_says_what_to_do() -> None:
    """The program that is not there, and the command that fetches the rest."""
    assert [
        "nosuch-program",
        "`python -m localcluster build nowhere`",
    ] == NOWHERE.missing()


def test_a_machine_without_packages_is_told_which() -> None:
    """Nothing is fetched, and the error names the programs and the packages that have them."""
    with pytest.raises(bundles.BuildError, match=r"nosuch-program.*nosuch-package"):
        bundles.build([NOWHERE])

    assert not NOWHERE.folder.exists()


def test_a_project_of_maven_names_each_dependency() -> None:
    """Group, artifact and version, apart."""
    found = ET.fromstring(bundles.pom(Bundle("b", maven=("org.a:b_2.13:4.3.1", "g:c:2"))))  # noqa: S314  our own text
    told = [[part.text for part in one] for one in found.findall("./dependencies/dependency")]

    assert [["org.a", "b_2.13", "4.3.1"], ["g", "c", "2"]] == told
