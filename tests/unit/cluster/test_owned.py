"""What our resources own beside pods."""

from tests.unit.cluster.written import seen


def test_children() -> None:
    """What our resources own is a child; everybody else's is only known to exist."""
    owner = {"kind": "LongService", "name": "web", "uid": "1", "controller": True}
    body = {
        "metadata": {
            "name": "web-5", "namespace": "ns", "uid": "2", "ownerReferences": [owner],
            "annotations": {"bayplan.dev/digest": "abc"},
        },
        "revision": 4,
        "data": {"template": {"x": 1}},
    }  # fmt: skip
    owned = seen("ControllerRevision", body)
    foreign = seen("ControllerRevision", {"metadata": {"name": "x"}, "data": {"big": "y"}})

    assert ("1", 4, {"template": {"x": 1}}, "abc") == (
        owned.owner.uid,
        owned.child.revision,
        owned.child.body,
        owned.child.digest,
    )
    assert foreign is None
