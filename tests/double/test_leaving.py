"""How an operator leaves: in that order, and only what is ours."""

import itertools
import json
from typing import Any

import pytest

from bayplan.api import names
from bayplan.cli.errors import NoCluster
from bayplan.cli.ops import uninstall_steps
from bayplan.cluster.transport import Request
from tests.double.bodies import encoded, listed
from tests.double.transport import Answer, Double, Reply
from tests.double.wire import Played, client

ORDER = uninstall_steps.Order("system", "bayplan", "", 30, keeps_resources=True)
FREE = Answer(encoded({"spec": {"holderIdentity": ""}}))
GONE = Answer(status=404)


def held(name: str, *finalizers: str) -> dict[str, Any]:
    about = {"name": name, "namespace": "team", "uid": f"uid-{name}"}
    return {"metadata": {**about, "finalizers": list(finalizers)}}


class Left:
    """One order carried out against a script, in time that passes by pauses only."""

    def __init__(self, order: uninstall_steps.Order, *leases: Reply, pods: list[bytes]) -> None:
        self.double = Double()
        self.double.reply("scale", "", Answer())
        self.double.reply("get", "Lease", *leases)
        self.double.reply("list", "Pod", *map(Answer, pods))
        self.double.reply("release", "Pod", Answer())
        self.double.reply("delete", "CustomResourceDefinition", Answer())
        self.wire = Played(self.double)
        self.answer = uninstall_steps.carry_out(order, client(self.wire), lambda _: None)

    @property
    def passed(self) -> float:
        return self.wire.passed

    @property
    def done(self) -> list[str]:
        return [request.verb for request in self.double.seen]

    @property
    def steps(self) -> list[str]:
        """What was done, however often in a row."""
        return [verb for verb, _ in itertools.groupby(self.done)]


def test_it_stops_waits_and_lets_go() -> None:
    """Scale, wait for the lease, then only our finalizer goes; a second look finds nothing."""
    pods = [
        listed(held("a", names.RUN_TRACKING, "theirs"), held("b", "theirs")),
        listed(),
    ]
    left = Left(ORDER, FREE, pods=pods)
    release = json.loads(left.double.asked("release")[0].body or b"")

    assert ["scale", "get", "list", "release", "list"] == left.steps
    assert 5 == left.passed  # a standby may still live, and take the free lease up
    assert [names.RUN_TRACKING] == release["metadata"]["$deleteFromPrimitiveList/finalizers"]
    assert {"released": 1, "resourcesKept": True} == left.answer


def test_a_silent_holder_counts_as_gone() -> None:
    """A lease that is not renewed for its whole duration is as free as one that was given back."""
    lease = {"spec": {"holderIdentity": "pod-1", "leaseDurationSeconds": 7, "renewTime": "x"}}
    left = Left(ORDER, Answer(encoded(lease)), pods=[listed()])

    assert 7 + 5 == left.passed


def test_a_living_holder_is_waited_for_and_named() -> None:
    """While somebody renews the lease nothing is let go: the pods would come again."""
    times = itertools.count()

    def renewed(request: Request) -> Answer:
        del request
        spec = {"holderIdentity": "pod-1", "leaseDurationSeconds": 15, "renewTime": next(times)}
        return Answer(encoded({"spec": spec}))

    with pytest.raises(NoCluster, match="'pod-1' still holds the lease system/bayplan"):
        Left(ORDER, renewed, pods=[listed(held("a", names.RUN_TRACKING))])


def test_no_deployment_and_no_lease_are_fine() -> None:
    """An operator outside the cluster has no Deployment; one that never led has no lease."""
    left = Left(ORDER, GONE, pods=[listed()])

    assert {"released": 0, "resourcesKept": True} == left.answer


def test_everything_goes_when_told() -> None:
    """All definitions are deleted, and only after the pods have been let go."""
    order = uninstall_steps.Order("system", "bayplan", "", 30, keeps_resources=False)
    left = Left(order, FREE, pods=[listed()])

    assert ["scale", "get", "list", "delete"] == left.steps
    assert 3 == left.done.count("delete")  # BatchJob, LongService, Pool


def test_pods_that_keep_coming_are_told() -> None:
    """Another operator at work: said in one line, not tried for ever."""
    with pytest.raises(NoCluster, match="another operator"):
        Left(ORDER, FREE, pods=[listed(held("a", names.RUN_TRACKING))])
