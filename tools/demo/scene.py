"""What happens between `kubectl apply` and the tables: ask for runs, look on, know when to end."""

import dataclasses
import time
from collections.abc import Callable, Mapping
from typing import Any

from localcluster import Cluster
from localcluster.kwok import LABEL
from tools.demo import company, mirror, picture

_API = f"/apis/bayplan.dev/v1alpha1/namespaces/{company.NAMESPACE}"
JOBS = f"{_API}/batchjobs"
SERVICES = f"{_API}/longservices"
PODS = f"/api/v1/namespaces/{company.NAMESPACE}/pods"
NODES = "/api/v1/nodes"
PATHS = (JOBS, SERVICES, PODS, NODES)

_SERVICE = "bayplan.dev/service"
_FRAME_SECONDS = 0.25
_TOKEN = "demo"  # noqa: S105  a run-now token, which names a run


@dataclasses.dataclass(frozen=True, slots=True)
class View:
    """Everything at one moment."""

    jobs: list[mirror.Object]
    services: list[mirror.Object]
    pods: list[mirror.Object]
    stored_nodes: list[mirror.Object]
    at: float  # seconds since 1970

    @property
    def nodes(self) -> list[picture.Node]:
        return picture.nodes(self.stored_nodes, self.pods)

    @property
    def has_real_nodes(self) -> bool:
        return any(LABEL not in one["metadata"]["labels"] for one in self.stored_nodes)

    @property
    def busiest_for_services(self) -> str:
        """The fake node with the most instances of services; empty without any."""
        names = [
            str(pod["spec"]["nodeName"])
            for pod in self.comparable_pods
            if _SERVICE in pod["metadata"]["labels"] and pod["spec"].get("nodeName")
        ]
        return max(names, key=lambda name: (names.count(name), name), default="")

    @property
    def comparable_nodes(self) -> list[picture.Node]:
        """The fake nodes with nothing on them but what the rival gets as well."""
        stored = [one for one in self.stored_nodes if LABEL in one["metadata"]["labels"]]
        return picture.nodes(stored, self.comparable_pods)

    @property
    def comparable_pods(self) -> list[mirror.Object]:
        """Pods that exist and are not bound for real nodes, of which the rival has none."""
        return [
            pod
            for pod in self.pods
            if not picture.has_ended(pod)
            and "deletionTimestamp" not in pod["metadata"]
            and pod["spec"].get("nodeSelector", {}).get(LABEL)
        ]


def look(held: mirror.Mirror) -> View:
    jobs, services, pods, nodes = map(held.read, PATHS)
    return View(jobs, services, pods, nodes, time.time())


class Scene:
    """The course of the demo: who is asked to run, the fullest moment, what is left to see."""

    def __init__(self, cluster: Cluster) -> None:
        self._cluster = cluster
        self._asked: set[str] = set()
        self.fullest: View | None = None
        self.exit_codes: dict[tuple[str, str], dict[int, int]] = {}  # (job, run) -> attempt -> code

    def advance(self, view: View) -> list[str]:
        """Ask for the first runs; remember the fullest moment. Returns what is still awaited."""
        jobs = {str(job["metadata"]["name"]): job for job in view.jobs}
        for name in company.ASKED_AT_ONCE:
            self._ask(name, jobs)
        awaited = self._awaited(view, jobs)
        if not self.fullest or _fullness(view) >= _fullness(self.fullest):
            self.fullest = view
        for which, codes in picture.exit_codes(view.pods).items():
            self.exit_codes.setdefault(which, {}).update(codes)
        return awaited

    def _ask(self, name: str, jobs: Mapping[str, Any]) -> None:
        if name in jobs and name not in self._asked:
            note = {"metadata": {"annotations": {"bayplan.dev/run-now": _TOKEN}}}
            self._cluster.request("PATCH", f"{JOBS}/{name}", note)
            self._asked.add(name)

    def _awaited(self, view: View, jobs: Mapping[str, mirror.Object]) -> list[str]:
        awaited = []
        totals = picture.counts(view.jobs, view.services)
        if not view.services or totals.ready < totals.desired:
            awaited.append("services")
        chain = picture.last_runs(jobs[name] for name in company.CHAIN if name in jobs)
        failed = any(run.outcome != "Succeeded" for run in chain)
        if not failed and len(chain) < len(company.CHAIN):
            awaited.append("the nightly chain")
        if _asked_run(jobs, "report") is None:
            awaited.append("the report")
        crawlers = [job for job in view.jobs if company.is_crawler(job)]
        if not crawlers or not all(picture.last_runs([job]) for job in crawlers):
            awaited.append("a round of crawlers")
        return awaited


def play(
    cluster: Cluster,
    held: mirror.Mirror,
    *,
    check: Callable[[], None],
    show: Callable[[View, list[str]], None],
    within_seconds: float,
) -> tuple[Scene, list[str]]:
    """Look on until all has been seen or the time is over; what was not seen is returned."""
    scene = Scene(cluster)
    ends = time.monotonic() + within_seconds
    while True:
        held.changed.clear()
        view = look(held)
        awaited = scene.advance(view)
        show(view, awaited)
        left = ends - time.monotonic()
        if not awaited or left <= 0:
            return scene, awaited
        check()
        held.changed.wait(min(left, 1.0))
        time.sleep(min(left, _FRAME_SECONDS))  # events come in bursts; four frames a second do


def _asked_run(jobs: Mapping[str, mirror.Object], name: str) -> mirror.Object | None:
    return picture.asked_run(jobs[name], _TOKEN) if name in jobs else None


def _fullness(view: View) -> tuple[int, int]:
    """More pods are fuller; of as many, more CPU."""
    nodes = view.comparable_nodes
    return sum(node.pods for node in nodes), picture.cpu_requested(nodes)
