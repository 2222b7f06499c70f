"""One reading of kubeconfig files, for the client and for what commands ask of contexts."""

from pathlib import Path

import pytest

from bayplan import kubeconfig_files
from bayplan.cli import target
from bayplan.cli.errors import NoCluster

ONE = """
current-context: a
contexts:
- {name: a, context: {cluster: x, namespace: one}}
clusters:
- {name: x, cluster: {server: "http://127.0.0.1:1"}}
"""
TWO = """
current-context: b
contexts:
- {name: a, context: {cluster: y, namespace: other}}
- {name: b, context: {cluster: y}}
- {name: c}
"""


@pytest.fixture
def home(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    (tmp_path / "one").write_text(ONE)
    (tmp_path / "two").write_text(TWO)
    monkeypatch.setenv("HOME", str(tmp_path))
    return tmp_path


def test_the_first_file_that_has_a_name_counts(home: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A tilde is the home, also for the namespace, and a file that is not there is passed over."""
    monkeypatch.setenv("KUBECONFIG", "~/none:~/one:~/two")
    found = kubeconfig_files.read(kubeconfig_files.paths(None))

    assert ("a", {"a", "b", "c"}) == (found.current, set(found.contexts))
    assert home == found.clusters["x"][1]
    assert "one" == target.named_by_context(target.Target())
    assert {"a": "one", "b": "", "c": ""} == target.contexts(target.Target())
    assert "default" == target.named_by_context(target.Target(context="b"))


def test_a_chosen_file_goes_before_the_variable(
    home: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """As in kubectl it is one file, whatever colons its name has."""
    monkeypatch.setenv("KUBECONFIG", str(home / "one"))
    (home / "with:colon").write_text(TWO)

    assert [home / "with:colon"] == kubeconfig_files.paths(home / "with:colon")
    assert "default" == target.named_by_context(target.Target(kubeconfig=home / "with:colon"))
    monkeypatch.delenv("KUBECONFIG")
    assert [home / ".kube/config"] == kubeconfig_files.paths(None)


@pytest.mark.parametrize(("text", "told"), [("- a\n", "is no kubeconfig"), ("a: [", "is no YAML")])
def test_a_file_that_is_no_kubeconfig_is_named(home: Path, text: str, told: str) -> None:
    (home / "bad").write_text(text)

    with pytest.raises(kubeconfig_files.UnreadableKubeconfig, match=f"bad.*{told}"):
        kubeconfig_files.read([home / "bad"])
    with pytest.raises(NoCluster, match=told):
        target.named_by_context(target.Target(kubeconfig=home / "bad"))
