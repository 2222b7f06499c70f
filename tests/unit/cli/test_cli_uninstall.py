"""How an operator leaves: nothing is let go while anybody may still lead. Time is virtual."""

import json
from typing import Any

import pytest

from bayplan.cli.client import ApiClient, Wire
from bayplan.cli.errors import NoCluster
from bayplan.cli.ops import uninstall_steps
from bayplan.cli.target import Target
from bayplan.cluster import errors

ORDER = uninstall_steps.Order("bayplan-system", "bayplan", "", 90, keeps_resources=True)
NAMES = ("bayplan.dev/run-tracking", "example.com/kept")


class Cluster(Wire):
    """A lease with holders by time, and a run pod with our finalizer until it is let go."""

    def __init__(self, *holders: tuple[float, str], lease: bool = True) -> None:
        self.now = 0.0
        self.holders, self.lease = holders, lease
        self.finalizers = list(NAMES)
        self.done: list[tuple[float, str]] = []  # when, verb

    def send(self, request: Any) -> bytes:
        self.done.append((self.now, f"{request.method} {request.path.rpartition('/')[2]}"))
        if "/leases/" in request.path:
            if not self.lease:
                raise errors.of(404)
            holder = [name for since, name in self.holders if since <= self.now][-1]
            spec = {"holderIdentity": holder, "leaseDurationSeconds": 15, "renewTime": self.now}
            return json.dumps({"spec": spec if holder else {}}).encode()
        if request.method == "GET":
            about = {"name": "run", "namespace": "a", "uid": "u", "finalizers": self.finalizers}
            return json.dumps({"metadata": {}, "items": [{"metadata": about}]}).encode()
        if request.path.endswith("/pods/run"):
            self.finalizers = [one for one in self.finalizers if one != NAMES[0]]
        return b"{}"

    def pause(self, seconds: float) -> None:
        self.now += seconds

    def monotonic(self) -> float:
        return self.now

    def leave(self) -> Any:
        return uninstall_steps.carry_out(ORDER, ApiClient(self, Target()), lambda _: None)

    @property
    def released_at(self) -> float:
        return next(when for when, what in self.done if what == "PATCH run")


def test_the_operator_stops_first_and_others_finalizers_stay() -> None:
    """Scaled to nothing, then the lease is awaited, then pods; resources stay."""
    cluster = Cluster((0, "bayplan-0"), (3, ""))

    assert {"released": 1, "resourcesKept": True} == cluster.leave()
    assert "PATCH scale" == cluster.done[0][1]
    assert [NAMES[1]] == cluster.finalizers
    assert cluster.released_at >= 3
    assert not [what for _, what in cluster.done if what.startswith("DELETE")]


def test_a_standby_that_takes_the_lease_is_waited_for() -> None:
    """A free lease is believed when it has stayed free: a standby would have taken it."""
    cluster = Cluster((0, "bayplan-0"), (3, ""), (5, "bayplan-1"), (20, ""))
    cluster.leave()

    assert cluster.released_at >= 20


def test_no_lease_is_nobody() -> None:
    """Uninstalled twice, or never started: nothing is waited for."""
    cluster = Cluster(lease=False)
    cluster.leave()

    assert 0 == cluster.released_at


def test_who_never_lets_go_is_named() -> None:
    """A holder that goes on renewing is another operator; nothing is touched."""
    cluster = Cluster((0, "stranger"))
    with pytest.raises(NoCluster, match="'stranger' still holds the lease"):
        cluster.leave()

    assert list(NAMES) == cluster.finalizers
