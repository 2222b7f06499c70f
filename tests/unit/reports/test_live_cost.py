"""What the live cluster costs, in words."""

import pytest

from bayplan.reports.live_cost import sentence


@pytest.mark.parametrize(
    ("nodes", "unknown", "words"),
    [
        (0, [], ""),
        (1, [], "The node in use costs $1.500 an hour"),
        (2, [], "The 2 nodes in use cost $1.500 an hour"),
        (1, ["n"], "What the node in use costs is not known: n"),
        (3, ["n", "o"], "What the 3 nodes in use cost is not known: n and 1 more"),
    ],
)
def test_one_node_is_no_nodes(nodes: int, unknown: list[str], words: str) -> None:
    told = {
        "nodesInUse": nodes, "nodesOfUnknownPrice": unknown, "boundMicrodollarsPerHour": None,
        "costMicrodollarsPerHour": None if unknown else 1_500_000,
    }  # fmt: skip

    assert (
        sentence(told).removesuffix(
            " of an unknown type has no label eks-node-viewer/instance-price"
        )
        == words
    )
