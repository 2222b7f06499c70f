"""An eventful while: edits, scales, failures and node churn, with the auditor listening.

Five operations a second, chosen by a seed, on a population that stays about as large as it is: the
memory of the last third is compared with that of the second. Rules that are broken are told one by
one. `--minutes 30` is what is promised; less shows less.
"""

import argparse
import asyncio
import contextlib
import os
import random
import statistics
import sys
import time
from collections import Counter
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Any

from localcluster import Cluster
from tests.audit import readings
from tests.audit.watcher import Watcher
from tests.cluster import read
from tests.cluster.kube import RefusedError
from tests.cluster.manifests import make_job, make_service
from tests.cluster.under_test import ROOT, Site
from tests.scale.e2e import budgets, client, ground

NODES = "m5.2xlarge:us-east-1a=6,m5.2xlarge:us-east-1b=6,c5.2xlarge:us-east-1c=6"
A_SECOND = 5
_MOST_JOBS, _MOST_SERVICES, _FEWEST_NODES = 60, 20, 12
_SETTLE_SECONDS = 45
_LEASES = "/apis/coordination.k8s.io/v1/namespaces/kube-node-lease/leases"
_PLAIN, _ROUGH = "plain", "rough"  # in the rough one people delete pods
_BUILD = ROOT / "build"
_LOG = _BUILD / "soak-operator.log"  # of a run that broke a rule
_JOURNAL = _BUILD / "soak-journal.jsonl"  # what the API server said, and when what was broken


@dataclass
class World:
    """What there is, as far as operations need to know. `dice` chooses everything."""

    site: Site
    local: Cluster
    dice: random.Random
    done: Counter[str] = field(default_factory=Counter)
    jobs: list[tuple[str, str]] = field(default_factory=list)  # namespace, name
    services: dict[tuple[str, str], int] = field(default_factory=dict)  # -> replicas
    nodes: list[str] = field(default_factory=list)
    cordoned: set[str] = field(default_factory=set)
    number: int = 0

    def act(self) -> None:
        """One operation; what it meets may be gone already."""
        weights: Mapping[Callable[[], None], int] = {
            self.new_job: 25,
            self.end_job: 20,
            self.new_service: 5,
            self.end_service: 3,
            self.scale: 20,
            self.edit: 8,
            self.cordon: 4,
            self.uncordon: 4,
            self.delete_pod: 8,
            self.churn: 1,
        }
        what = self.dice.choices(list(weights), list(weights.values()))[0]
        try:
            what()
        except RefusedError as error:
            if error.status not in {404, 409}:
                raise
        self.done[what.__name__] += 1

    def new_job(self) -> None:
        if len(self.jobs) >= _MOST_JOBS:
            return self.end_job()
        space, name = self._named("job")
        seconds, code = self.dice.randint(1, 15), self.dice.choice((0, 0, 0, 1))
        more = self.dice.choice(({}, {}, {"schedule": f"R{self.dice.randint(1, 5)}//PT10S"}))
        policy = {"limit": self.dice.randint(0, 2), "delaySeconds": self.dice.randint(1, 5)}
        cpu = f"{self.dice.choice((100, 250, 1000, 3000))}m"
        body = make_job(
            name, space, seconds=seconds, code=code, cpu=cpu, retryPolicy=policy, **more
        )
        self.site.kube.create(read.jobs(space), body)
        self.jobs.append((space, name))
        return None

    def end_job(self) -> None:
        if self.jobs:
            space, name = self.jobs.pop(self.dice.randrange(len(self.jobs)))
            self.site.kube.delete(f"{read.jobs(space)}/{name}")

    def new_service(self) -> None:
        if len(self.services) >= _MOST_SERVICES:
            return self.end_service()
        space, name = self._named("web")
        replicas, delay = self.dice.randint(1, 8), self.dice.choice(("0s", "1s", "3s"))
        cpu = f"{self.dice.choice((100, 500, 1500))}m"
        body = make_service(name, space, replicas=replicas, cpu=cpu, ready_delay=delay)
        self.site.kube.create(read.services(space), body)
        self.services[space, name] = replicas
        return None

    def end_service(self) -> None:
        if len(self.services) > _MOST_SERVICES // 2:
            space, name = self.dice.choice(sorted(self.services))
            del self.services[space, name]
            self.site.kube.delete(f"{read.services(space)}/{name}")

    def scale(self) -> None:
        self._patch_service({"replicas": self.dice.randint(0, 10)})

    def edit(self) -> None:
        """A new template: a rollout."""
        self._patch_service(
            {"template": {"metadata": {"labels": {"turn": str(self.dice.randint(1, 1000))}}}}
        )

    def cordon(self) -> None:
        if len(self.nodes) - len(self.cordoned) > _FEWEST_NODES:
            node = self.dice.choice(self.nodes)
            self.cordoned.add(node)
            self._set_unschedulable(node, wanted=True)

    def uncordon(self) -> None:
        if self.cordoned:
            node = self.dice.choice(sorted(self.cordoned))
            self.cordoned.discard(node)
            self._set_unschedulable(node, wanted=False)

    def delete_pod(self) -> None:
        """A person deletes somebody's pod."""
        pods = sorted(self.site.kube.listed(f"{read.pods(_ROUGH)}?limit=50"))
        if pods:
            self.site.kube.delete(f"{read.pods(_ROUGH)}/{self.dice.choice(pods)}")

    def churn(self) -> None:
        """An instance is terminated, another one comes."""
        node = self.nodes.pop(self.dice.randrange(len(self.nodes)))
        self.cordoned.discard(node)
        self.local.delete_node(node)
        # The next one may get the same name at once; whoever collects garbage takes a while.
        with contextlib.suppress(RefusedError):  # it was there first
            self.site.kube.delete(f"{_LEASES}/{node}")
        zone = self.dice.choice("abc")
        self.nodes += self.local.add_kwok_nodes(f"m5.2xlarge:us-east-1{zone}=1")

    def _patch_service(self, spec: Mapping[str, Any]) -> None:
        if self.services:
            space, name = self.dice.choice(sorted(self.services))
            self.site.kube.patch(f"{read.services(space)}/{name}", {"spec": spec})

    def _set_unschedulable(self, node: str, *, wanted: bool) -> None:
        self.site.kube.patch(f"/api/v1/nodes/{node}", {"spec": {"unschedulable": wanted}})

    def _named(self, stem: str) -> tuple[str, str]:
        self.number += 1
        return self.dice.choice((_PLAIN, _PLAIN, _ROUGH)), f"{stem}-{self.number}"


async def run(minutes: float, seed: int, pace: float) -> dict[str, float]:
    with ground.site(NODES, node_monitor_grace_seconds=20) as (site, local):
        for space in (_PLAIN, _ROUGH):
            local.request("POST", "/api/v1/namespaces", {"metadata": {"name": space}})
            accounts = f"/api/v1/namespaces/{space}/serviceaccounts"
            site.kube.until(accounts, lambda found: "default" in found)
        _BUILD.mkdir(exist_ok=True)
        with (
            _JOURNAL.open("w", encoding="utf-8") as journal,
            Watcher(local.kubeconfig, journal) as watcher,
            ground.Operator(site) as operator,
        ):
            watcher.auditor.excuse(_ROUGH)
            operator.until_leading()
            world = World(site, local, random.Random(seed))  # noqa: S311  a replay, no secret
            world.nodes = sorted(site.kube.listed("/api/v1/nodes"))
            before = operator.metrics()
            memory = await _busy(world, operator, watcher, minutes * 60, pace)
            after = operator.metrics()
            await asyncio.sleep(_SETTLE_SECONDS)
            broken = await asyncio.to_thread(watcher.judged)
            for one in broken:
                print(f"  broken: {one}")
            for fault in watcher.faults:
                print(f"  heard anew after: {fault}")
            if broken:
                _LOG.write_text(operator.log(), encoding="utf-8")
                print(f"  what the operator said is in {_LOG}, and the server in {_JOURNAL}")
            third = len(memory) // 3
            second, last = (statistics.fmean(memory[third * n : third * (n + 1)]) for n in (1, 2))
            lag = client.bucketed(before, after, "bayplan_loop_lag_seconds", 0.99)
            print(f"done {dict(world.done)}; heard {watcher.auditor.seen}; load {os.getloadavg()}")
            return {
                "violations": len(broken),
                "rss_growth_percent": round(100 * (last / second - 1), 1),
                "lag_p99_ms": round(1000 * lag, 1),
                "defects": client.metric(after, "bayplan_reconcile_errors_total"),
                "operations_a_second": round(sum(world.done.values()) / (minutes * 60), 1),
                "rss_mib": operator.rss_mib(),
            }


async def _busy(
    world: World, operator: ground.Operator, watcher: Watcher, seconds: float, pace: float
) -> list[int]:
    """Act at the pace until the time is over; the operator's memory, once a second."""
    memory: list[int] = []
    told = 0
    began = due = time.monotonic()
    while due - began < seconds:
        due += 1 / pace
        await asyncio.to_thread(world.act)
        if len(watcher.auditor.violations) > told:
            told = len(watcher.auditor.violations)
            print(f"  {watcher.auditor.violations[-1]}")
            print("  stored there:", *await asyncio.to_thread(_stored, world, watcher))
        if len(memory) <= due - began:
            memory.append(operator.rss_now_mib())
        await asyncio.sleep(max(due - time.monotonic(), 0))
    return memory


def _stored(world: World, watcher: Watcher) -> list[str]:
    """What the server has on the node that the newest violation names, not what was heard of it."""
    node = next((one for one in world.nodes if one in watcher.auditor.violations[-1].text), "")
    if not node:
        return []
    pods = world.site.kube.get(f"/api/v1/pods?fieldSelector=spec.nodeName={node}")["items"]
    return sorted(f"{readings.in_words(pod)} {pod['status'].get('phase')}" for pod in pods)


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--minutes", type=float, default=30)
    parser.add_argument("--seed", type=int, default=1)
    parser.add_argument("--pace", type=float, default=A_SECOND, help="operations a second")
    asked = parser.parse_args()
    figures = asyncio.run(run(asked.minutes, asked.seed, asked.pace))
    failed = budgets.judged("soak", figures)
    print(budgets.last_line("soak", figures))
    return failed


if __name__ == "__main__":
    sys.exit(main())
