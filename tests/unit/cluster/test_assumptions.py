"""What counts before it is seen: pods on their way, bindings, deletions."""

import dataclasses

from tests.builders import make_pod
from tests.unit.cluster.held import OWNER, Held


class TestCountedOn:
    def test_confirmed(self) -> None:
        """The first sight of a created pod confirms it; room is counted once throughout."""
        held = Held()
        held.node()
        free = held.cache.snapshot().free.copy()
        held.cache.assumptions.assume(make_pod(node="n1", uid="", owner=OWNER))
        counted = held.cache.snapshot().free.copy()
        held.pod(node="n1")

        assert (free != counted).any()
        assert (counted == held.cache.snapshot().free).all()
        assert {} == held.cache.state.assumed

    def test_forgotten(self) -> None:
        """A failed CREATE gives its room back and rings for those who wait."""
        held = Held()
        held.node()
        free = held.cache.snapshot().free.copy()
        held.cache.assumptions.assume(planned := make_pod(node="n1", uid="", owner=OWNER))
        held.bell.silence()
        held.cache.assumptions.forget(planned)

        assert (free == held.cache.snapshot().free).all()
        assert 1 == held.bell.placement
        assert {} == held.cache.state.pods

    def test_seen_before_it_failed(self) -> None:
        """What the watch has shown stays, though the answer to its CREATE was lost for good."""
        held = Held()
        held.cache.assumptions.assume(planned := make_pod(node="n1", uid="", owner=OWNER))
        held.pod(node="n1")
        held.cache.assumptions.forget(planned)

        assert "n1" == held.cache.state.pods["default", "p1"].node

    def test_foreign_namesake_stays(self) -> None:
        """A pod that somebody else has under that name is not lost from sight."""
        held = Held()
        held.pod(owner=None, node="n2")
        held.cache.assumptions.assume(planned := make_pod(node="n1", uid="", owner=OWNER))
        held.cache.assumptions.forget(planned)

        assert "n2" == held.cache.state.pods["default", "p1"].node

    def test_leaving_while_it_is_bound(self) -> None:
        """Neither its binding nor its delete came to anything: it waits as before."""
        held = Held()
        held.node()
        free = held.cache.snapshot().free.copy()
        held.pod(10, scheduler="bayplan")
        key = ("default", "p1")
        held.cache.assumptions.assume(dataclasses.replace(held.cache.state.pods[key], node="n1"))
        held.cache.assumptions.assume_leaving(key, "uid-p1", 77)
        held.cache.assumptions.unbind(key, "uid-p1", "n1")
        held.cache.assumptions.forget_leaving(key, "uid-p1")

        assert [key] == list(held.cache.state.unplaced)
        assert (free == held.cache.snapshot().free).all()

    def test_leaving(self) -> None:
        """A pod whose delete is decided counts as terminating until that is refused."""
        held = Held()
        held.pod(10, node="n1")
        held.cache.assumptions.assume_leaving(("default", "p1"), "uid-p1", 77)
        held.pod(11, node="n1", ready=True)

        assert 77 == held.cache.state.pods["default", "p1"].deleted_at

        assert held.cache.state.pods["default", "p1"].uprooted  # nobody else has deleted it
        assert held.cache.state.pods["default", "p1"].delete_assumed

        held.cache.assumptions.forget_leaving(("default", "p1"), "uid-p1")

        assert not held.cache.state.pods["default", "p1"].terminating
        assert not held.cache.state.pods["default", "p1"].delete_assumed
        assert not held.cache.state.pods["default", "p1"].uprooted

        held.pod(12, node="n1", ready=False)

        assert not held.cache.state.pods["default", "p1"].terminating

    def test_leaving_is_confirmed(self) -> None:
        """Once the API server says so, its word counts; another pod of that name is alive."""
        held = Held()
        held.pod(10, node="n1")
        held.cache.assumptions.assume_leaving(("default", "p1"), "uid-p1", 77)
        held.pod(11, node="n1", deleted_at=99)
        held.cache.assumptions.forget_leaving(("default", "p1"), "uid-p1")

        assert held.cache.state.pods["default", "p1"].uprooted
        assert not held.cache.state.pods["default", "p1"].delete_assumed
        assert 99 == held.cache.state.pods["default", "p1"].deleted_at

        held.gone("Pod", "p1", 12)
        held.pod(13, uid="second")

        assert not held.cache.state.pods["default", "p1"].terminating
