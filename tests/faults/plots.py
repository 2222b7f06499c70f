"""What happens in a history besides the faults: what people apply, and when.

A plot waits for what it has asked for before it asks for the next thing, however long faults delay
it; it ends when nothing of it is under way. Each ends in one state only, whatever happened
meanwhile, and that state is written down in the tests from the undisturbed history.
"""

import datetime as dt
import time
from collections.abc import Callable, Mapping
from typing import Any

from tests.cluster import read
from tests.cluster.kube import Objects
from tests.cluster.manifests import make_job, make_service
from tests.faults.state import State
from tests.faults.world import World

Plot = Callable[[World], None]
PATIENCE_SECONDS = 150.0
PERIOD_SECONDS = 10  # the shortest that a schedule may have
FIRST_SLOT_SECONDS = 2
LAST_SLOT_SECONDS = FIRST_SLOT_SECONDS + PERIOD_SECONDS


def jobs(world: World) -> None:
    """Two slots of a schedule, of which only the newest keeps its pod; a run that fails twice."""
    world.began = int(time.time())
    first = dt.datetime.fromtimestamp(world.began + FIRST_SLOT_SECONDS, dt.UTC).strftime(
        "%Y-%m-%dT%H:%M:%SZ"
    )
    kube, jobs = world.ground.site.kube, read.jobs(world.namespace)
    kube.create(
        jobs,
        make_job(
            "slots",
            world.namespace,
            schedule=f"R2/{first}/PT{PERIOD_SECONDS}S",
            missedRunPolicy="RunAll",  # an operator that is down for a while skips nothing
            history={"successful": 1},
            seconds=1,
        ),
    )
    retries = {"limit": 1, "delaySeconds": 1}
    kube.create(jobs, make_job("fails", world.namespace, seconds=1, code=7, retryPolicy=retries))

    def over(found: Objects) -> bool:
        runs = {name: _status(one).get("statistics", {}).get("runs") for name, one in found.items()}
        return runs == {"slots": 2, "fails": 1}

    kube.until(jobs, over, within=PATIENCE_SECONDS)


def service(world: World) -> None:
    """Two instances; a rollout; down to one; its node cordoned, so that it moves."""
    kube, services = world.ground.site.kube, read.services(world.namespace)
    pods = read.pods(world.namespace)
    kube.create(services, make_service("web", world.namespace, replicas=2, ready_delay="500ms"))
    kube.until(services, _at_rest(2), within=PATIENCE_SECONDS)
    old = set(kube.listed(pods))
    newer = make_service("web", world.namespace, replicas=2, ready_delay="500ms", cpu="200m")
    kube.patch(f"{services}/web", {"spec": newer["spec"]})
    kube.until(
        pods, lambda found: _are(found, 2) and not old & found.keys(), within=PATIENCE_SECONDS
    )
    kube.until(services, _at_rest(2), within=PATIENCE_SECONDS)
    kube.patch(f"{services}/web", {"spec": {"replicas": 1}})
    kube.until(pods, lambda found: _are(found, 1), within=PATIENCE_SECONDS)
    kube.until(services, _at_rest(1), within=PATIENCE_SECONDS)
    [node] = read.running(kube.listed(pods)).values()
    kube.patch(f"/api/v1/nodes/{node}", {"spec": {"unschedulable": True}})
    kube.until(
        pods,
        lambda found: _are(found, 1) and node not in read.running(found).values(),
        within=PATIENCE_SECONDS,
    )


def both(world: World) -> None:
    """A service that is rolled out and scaled while a job's slots come."""
    world.began = int(time.time())
    kube = world.ground.site.kube
    kube.create(read.services(world.namespace), make_service("web", world.namespace, replicas=2))
    first = dt.datetime.fromtimestamp(world.began + FIRST_SLOT_SECONDS, dt.UTC).strftime(
        "%Y-%m-%dT%H:%M:%SZ"
    )
    slots = make_job(
        "slots",
        world.namespace,
        schedule=f"R2/{first}/PT{PERIOD_SECONDS}S",
        missedRunPolicy="RunAll",
        history={"successful": 1},
        seconds=1,
    )
    kube.create(read.jobs(world.namespace), slots)
    retries = {"limit": 1, "delaySeconds": 1}
    fails = make_job("fails", world.namespace, seconds=1, code=7, retryPolicy=retries)
    kube.create(read.jobs(world.namespace), fails)
    newer = make_service("web", world.namespace, replicas=3, cpu="200m")
    kube.patch(f"{read.services(world.namespace)}/web", {"spec": newer["spec"]})


def _at_rest(count: int) -> Callable[[Objects], bool]:
    def met(found: Objects) -> bool:
        status = _status(found.get("web", {}))
        counts = [status.get(word) for word in ("replicas", "availableReplicas", "updatedReplicas")]
        return counts == [count] * 3 and read.holds(found, "web", "Ready")

    return met


def _are(found: Objects, count: int) -> bool:
    return len(found) == count == len(read.running(found))


def _status(one: Mapping[str, Any]) -> Mapping[str, Any]:
    status: Mapping[str, Any] = one.get("status", {})
    return status


def _pod(phase: str) -> dict[str, Any]:
    return {"phase": phase, "leaving": False, "finalizers": [], "placed": True}


def _counts(**given: int) -> dict[str, int]:
    return {
        word: given.get(word, 0) for word in ("runs", "successes", "failures", "missed", "lost")
    }


_FAILS = {
    "observed": True,
    "active": [],
    "history": [[None, "Failed", 7, 2]],
    "counts": _counts(runs=1, failures=1),
    "last slot": None,
    "remaining": None,
    "conditions": {
        "Ready": "False",
        "Stalled": "True",
        "Placed": "True",
        "LastRunSucceeded": "False",
        "Suspended": "False",
        "Failed": "True",
    },
}
_SLOTS = {
    "observed": True,
    "active": [],
    "history": [
        [LAST_SLOT_SECONDS, "Succeeded", 0, 1],
        [FIRST_SLOT_SECONDS, "Succeeded", 0, 1],
    ],
    "counts": _counts(runs=2, successes=2),
    "last slot": LAST_SLOT_SECONDS,
    "remaining": 0,
    "conditions": {
        "Ready": "True",
        "Placed": "True",
        "LastRunSucceeded": "True",
        "Suspended": "False",
    },
}
_RUN_PODS = {
    "fails once attempt 0": [_pod("Failed")],  # `history.failed` keeps it for its log
    "fails once attempt 1": [_pod("Failed")],
    f"slots +{LAST_SLOT_SECONDS} attempt 0": [_pod("Succeeded")],
}


def _web(count: int) -> dict[str, Any]:
    words = ("replicas", "readyReplicas", "updatedReplicas", "availableReplicas")
    return {
        "observed": True,
        "counts": dict.fromkeys(words, count),
        "settled": True,
        "conditions": {
            "Ready": "True",
            "Available": "True",
            "Progressing": "True",
            "Placed": "True",
        },
    }


# How each plot ends, whatever happened meanwhile.
ENDS: Mapping[Plot, State] = {
    jobs: {
        "jobs": {"fails": _FAILS, "slots": _SLOTS},
        "services": {},
        "pods": _RUN_PODS,
        "budgets": {},
        "revisions": {},
    },
    service: {
        "jobs": {},
        "services": {"web": _web(1)},
        "pods": {"web of the newest revision": [_pod("Running")]},
        "budgets": {},
        "revisions": {"web": True},
    },
    both: {
        "jobs": {"fails": _FAILS, "slots": _SLOTS},
        "services": {"web": _web(3)},
        "pods": {**_RUN_PODS, "web of the newest revision": [_pod("Running")] * 3},
        "budgets": {"web": 2},
        "revisions": {"web": True},
    },
}
