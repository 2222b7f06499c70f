"""Settings, and what of the nodes they make ours."""

import pydantic
import pytest
from click.testing import CliRunner

from bayplan import __main__
from bayplan.settings import Settings, is_ours, node_term
from tests.builders import make_node


@pytest.mark.parametrize(
    ("selector", "labels", "expected"),
    [
        ("", {}, True),
        ("a=b", {"a": "b"}, True),
        ("a==b", {"a": "b"}, True),
        ("a=b", {"a": "c"}, False),
        ("a!=b", {"a": "b"}, False),
        ("a!=b", {}, True),
        ("a", {"a": ""}, True),
        ("a", {}, False),
        ("!a", {"a": "x"}, False),
        ("a=b, c", {"a": "b", "c": "d"}, True),
    ],
)
def test_a_selector_says_which_nodes_are_ours(
    selector: str, labels: dict[str, str], expected: bool
) -> None:
    """The selector reads as kubectl's equality-based ones do."""
    assert expected is is_ours(make_node(labels=labels), node_term(selector))


@pytest.mark.parametrize(
    "labels",
    [{"node-role.kubernetes.io/control-plane": ""}, {"eks.amazonaws.com/compute-type": "fargate"}],
)
def test_control_plane_and_fargate_are_never_ours(labels: dict[str, str]) -> None:
    """No selector brings them in."""
    assert not is_ours(make_node(labels=labels), node_term(""))


def test_lease_times_leave_room() -> None:
    """A lease whose holder may write longer than it holds is refused."""
    with pytest.raises(pydantic.ValidationError, match="lease times must rise"):
        Settings(lease_duration_seconds=5)


@pytest.mark.parametrize("name", ["a,b", "Team", "team a", "*", "ä"])
def test_one_namespace_or_all(name: str) -> None:
    """A list or a pattern of namespaces is refused with what to do instead."""
    with pytest.raises(pydantic.ValidationError, match="run one operator for each"):
        Settings(namespace=name)


@pytest.mark.parametrize(
    ("words", "told"),
    [
        (["--node-selector", "a in (b)"], "key=value"),
        (["--writes-in-flight", "0"], "--writes-in-flight"),
        (["--mode", "Watch"], "Observe"),
        (["--lease-retry-seconds", "20"], "lease times must rise"),
        (["--pools", "--namespace", "team"], "--pools needs the whole cluster"),
        (["--pools=true", "--namespace=team"], "--pools needs the whole cluster"),
        (["--pools=perhaps"], "--pools"),
        (["--karpenter-metrics", "karpenter:8080"], "is not a URL; write http://"),
        (["--prices-file", "/nowhere/prices.csv"], "/nowhere/prices.csv: No such file"),
    ],
)
def test_a_wrong_option_gets_one_clear_line(words: list[str], told: str) -> None:
    """Usage errors exit 2 with the option and the remedy, never with a traceback."""
    answer = CliRunner().invoke(__main__.main, words)

    assert 2 == answer.exit_code
    assert told in answer.output
    assert "Traceback" not in answer.output


def test_the_version_is_told() -> None:
    """`--version` prints it and ends."""
    answer = CliRunner().invoke(__main__.main, ["--version"])

    assert (0, "0.1.0\n") == (answer.exit_code, answer.output)
