"""The operator as a process: started two ways, observing, ended in order. A cluster of its own."""

import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from bayplan.notifications import notifier
from localcluster import Cluster
from tests import receivers
from tests.cluster import read
from tests.cluster.kube import Kube, Objects
from tests.cluster.manifests import make_job, make_service
from tests.cluster.under_test import NAMESPACE, OperatorProcess, Site

pytestmark = pytest.mark.cluster

LEASES = f"/apis/coordination.k8s.io/v1/namespaces/{NAMESPACE}/leases"


@pytest.fixture(scope="module")
def own(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Site]:
    """A site without any operator, and with one node."""
    with Cluster.start(kwok="m5.xlarge:us-east-1a=1") as local:
        yield Site(Kube(local.kubeconfig), local, tmp_path_factory.mktemp("own")).prepare()


def serves(site: Site) -> str:
    """The namespace in which a one-shot has just run to its end."""
    namespace = site.namespace()
    site.kube.apply(make_job("once", namespace, seconds=1))
    site.kube.until(read.jobs(namespace), lambda found: read.holds(found, "once", "Complete"))
    return namespace


def holder(found: Objects) -> Any:
    return found.get("bayplan", {}).get("spec", {}).get("holderIdentity")


def test_sigterm_ends_in_order(own: Site) -> None:
    """SIGTERM: exit code 0 within five seconds, and the lease is free for the next at once."""
    with own.operator() as operator:
        serves(own)
        began = time.monotonic()
        code = operator.terminate()
        took = time.monotonic() - began
    lease = own.kube.get(f"{LEASES}/bayplan")

    assert (0, "") == (code, lease["spec"].get("holderIdentity", ""))
    assert took < 5


def test_kopf_may_own_the_process(own: Site) -> None:
    """`kopf run -m bayplan.kopf_run` is the same operator."""
    words = ("-m", "kopf", "run", "-m", "bayplan.kopf_run", "-A")
    with OperatorProcess(own, (), "by-kopf", words) as operator:
        serves(own)

        assert "by-kopf" == holder(own.kube.listed(LEASES))
        assert 0 == operator.terminate()


def test_a_failure_is_told_over_http(own: Site, tmp_path: Path) -> None:
    """From a failed run to a signed POST, through a receiver that is ill at first."""
    with receivers.serving(500) as team:
        file = receivers.configured(tmp_path, team=team.url)
        with own.operator("--notifications-file", str(file)):
            namespace = own.namespace()
            wanted = [{"when": ["Failed"], "receiver": "team"}]
            policy = {"limit": 0}
            own.kube.apply(
                make_job(
                    "bad", namespace, seconds=1, code=3, retryPolicy=policy, notifications=wanted
                )
            )
            own.kube.until(read.jobs(namespace), lambda found: read.holds(found, "bad", "Failed"))
            again = await_posts(team, 2)[1]

    assert ("Failed", "bad", 3) == tuple(again.told[name] for name in ("on", "name", "exitCode"))
    assert again.headers["Bayplan-Signature"] == notifier.signature(
        receivers.KEY, int(again.headers["Bayplan-Timestamp"]), again.body
    )


def await_posts(team: receivers.Receiver, count: int) -> list[receivers.Post]:
    """As soon as so many have come."""
    ends = time.monotonic() + 30
    while len(team.posts) < count:
        assert time.monotonic() < ends, team.posts
        team.came.clear()
        team.came.wait(1)
    return team.posts


def test_a_standby_takes_over_when_the_leader_is_killed(own: Site) -> None:
    """A killed leader's lease runs out; the standby takes it and goes on."""
    with own.operator(identity="first") as first:
        own.kube.until(LEASES, lambda found: holder(found) == "first")
        with own.operator(identity="second"):
            first.kill()
            own.kube.until(LEASES, lambda found: holder(found) == "second", within=30)
            serves(own)


def test_a_restart_of_the_same_name_goes_on_at_once(own: Site) -> None:
    """Killed and started again with the same identity: its own lease is found, nobody waits."""
    with own.operator(identity="same") as first:
        own.kube.until(LEASES, lambda found: holder(found) == "same")
        first.kill()
    with own.operator(identity="same") as again:
        serves(own)

        assert "lease gained" in again.log()


def test_observing_writes_nothing_but_the_lease(own: Site) -> None:
    """`--mode Observe` says what it would do and leaves the cluster as it is."""
    namespace = own.namespace()
    own.kube.apply(make_service("web", namespace, replicas=1))
    with own.operator("--mode", "Observe", identity="observer") as operator:
        own.kube.until(LEASES, lambda found: holder(found) == "observer")
        operator.until_logged(f"pod={namespace}/web-")
        # A later service proves that cycles went on after the first was planned.
        own.kube.apply(make_service("later", namespace, replicas=1))
        operator.until_logged(f"pod={namespace}/later-")
        stored = own.kube.listed(read.services(namespace))

        assert not own.kube.listed(read.pods(namespace))
        assert ["status" in one for one in stored.values()] == [False, False]
