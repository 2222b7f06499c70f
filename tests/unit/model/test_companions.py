"""The annotation bayplan.dev/companions: what it says, and what is said about a slip in it."""

import pytest

from bayplan.cluster import pods
from bayplan.model import companions
from bayplan.model.companions import ANNOTATION, Companions
from bayplan.model.resources import Vector

ONE = Vector({"cpu": 1000, "memory": 1 << 30, "pods": 1})


def test_what_it_says() -> None:
    """Quantities as Kubernetes writes them; one companion if no count is given."""
    assert Companions(1, ONE) == companions.read('{"cpu": "1", "memory": "1Gi"}')
    assert Companions(3, ONE) == companions.read('{"cpu": 1, "memory": 1073741824, "count": 3}')
    assert (
        "2 × 500m cpu, 1Gi memory"
        == companions.read('{"cpu": 0.5, "memory": "1Gi", "count": 2}').words
    )


def test_companions_may_need_other_nodes() -> None:
    """`nodeSelector` counts in place of the pod's own."""
    said = companions.read('{"cpu": "1", "memory": "1Gi", "nodeSelector": {"b": "2", "a": "1"}}')

    assert (("a", "1"), ("b", "2")) == said.selector


SLIPS = {
    "1": "is no JSON object",
    "{": "is no JSON object",
    "[" * 100_000: "is no JSON object",
    "[]": "is no JSON object",
    "{}": "cpu is missing",
    '{"cpu": "1"}': "memory is missing",
    '{"cpu": "1", "memory": "1Gi", "counts": 1}': '"counts" is no field of it; there are cpu, ',
    '{"cpu": "1 core", "memory": "1Gi"}': "cpu: ",
    '{"cpu": "0", "memory": "1Gi"}': "cpu must be more than 0",
    '{"cpu": "-1", "memory": "1Gi"}': "cpu",
    '{"cpu": true, "memory": "1Gi"}': "cpu must be a quantity",
    '{"cpu": null, "memory": "1Gi"}': "cpu must be a quantity",
    '{"cpu": "1", "memory": []}': "memory must be a quantity",
    '{"cpu": "1", "memory": "1Zi"}': "memory: ",
    '{"cpu": "1", "memory": "1Gi", "count": 0}': "count must be a whole number from 1 to 100",
    '{"cpu": "1", "memory": "1Gi", "count": 101}': "count must be a whole number from 1 to 100",
    '{"cpu": "1", "memory": "1Gi", "count": "2"}': 'from 1 to 100, not "2"',
    '{"cpu": "1", "memory": "1Gi", "count": 1.5}': "count must be a whole number",
    '{"cpu": "1", "memory": "1Gi", "count": true}': "count must be a whole number",
    '{"cpu": "1", "memory": "1Gi", "nodeSelector": "a=b"}': "nodeSelector must be an object",
    '{"cpu": "1", "memory": "1Gi", "nodeSelector": {"a": 1}}': "nodeSelector must be an object",
}


@pytest.mark.parametrize("text", SLIPS)
def test_a_slip_is_told_with_its_field(text: str) -> None:
    """One problem, and nothing else of the annotation counts."""
    found = companions.read(text)

    assert SLIPS[text] in found.problem
    assert Companions(problem=found.problem) == found
    assert len(found.problem) < 200


def test_a_pod_is_read_with_its_companions() -> None:
    """And with the pod that made it, whether that is its controller or not."""
    owner = {"apiVersion": "v1", "kind": "Pod", "name": "driver", "uid": "u"}
    metadata = {
        "name": "p",
        "annotations": {ANNOTATION: '{"cpu": "1", "memory": "1Gi"}'},
        "ownerReferences": [owner],
    }
    read = pods.pod_from_dict({"metadata": metadata})
    owner["controller"] = True

    assert Companions(1, ONE) == read.companions
    assert read.owner == pods.pod_from_dict({"metadata": metadata}).owner
    assert read.owner is not None
    assert ("Pod", "driver", "u") == (read.owner.kind, read.owner.name, read.owner.uid)
    assert pods.pod_from_dict({"metadata": {"name": "p"}}).companions is None
