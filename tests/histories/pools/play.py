"""One pool history from its seed: workloads that come, grow, shrink; and what goes wrong.

After some minutes all is healed and demand stands still: everything gets its node, nodes that are
empty go back, and then nothing is written any more.
"""

import asyncio
import hashlib
import random
from collections.abc import Callable, Mapping
from typing import Any

from bayplan.api import names
from tests.double import loop as virtual
from tests.histories.faults import Faults
from tests.histories.play import Verdict
from tests.histories.pools.controllers import is_ready, owner
from tests.histories.pools.karpenter import OFFERED, PRICES
from tests.histories.pools.moves import FORBIDDING, MovesAuditor
from tests.histories.pools.replica import errors_counted
from tests.histories.pools.world import BROKEN, PoolWorld
from tests.histories.replica import Replica
from tests.histories.store import Body
from tests.histories.world import SPACE

BUSY_SECONDS = 180
_HEALING_SECONDS = 30
_QUIET_SECONDS = 20  # without a write
_STEADY_SECONDS = 60
_RESTS = 5  # quiet stretches: what could not be done waits before it is tried again
_LONGEST_SECONDS = 1200

# What may go wrong; each history has some of them.
FAMILIES = ("processes", "requests", "news", "clouds", "nodes", "leaders", "people", "clocks")


def play(seed: int, bend: Callable[[Replica], None] = lambda _: None) -> Verdict:
    """Live through the pool history of this seed, on a loop of its own."""
    random.seed(seed)
    return virtual.run(_History(seed, bend).run())


class _History(Faults[PoolWorld]):
    def __init__(self, seed: int, bend: Callable[[Replica], None]) -> None:
        self._dice = random.Random(f"pool plan {seed}")  # noqa: S311  a history, not a secret
        self._world = PoolWorld(seed, bend)
        count = self._dice.choice([0, 1, 1, 2, 2, 3])
        self._families = tuple(sorted(self._dice.sample(FAMILIES, count)))
        self._mode = "BuyAndConsolidate" if self._dice.random() < 0.85 else "Buy"
        self._services: dict[str, int] = {}  # name -> replicas
        self._sets: dict[str, int] = {}
        self._jobs: list[str] = []

    async def run(self) -> Verdict:
        world, dice, running = self._world, self._dice, asyncio.get_running_loop()
        auditor, families = world.auditor, {*self._families}
        auditor.split = "leaders" in families
        auditor.stepped = "clocks" in families
        auditor.delta = 60.0 if {"news", "requests", "leaders"} & families else 4.0
        running.set_exception_handler(lambda _, what: _heard(auditor, what))
        defects = errors_counted()
        world.begin(self._pool())
        if dice.random() < 0.15:
            self._advise_for(dice.choice([30, 60]))
        if dice.random() < 0.2:
            self._sell_out()
        if dice.random() < 0.5:
            world.controllers.add_daemons(dice.choice([50, 100, 200]))
        self._plan_workloads()
        for _ in range(dice.randint(3, 8)):
            running.call_later(25 + dice.random() * (BUSY_SECONDS - 30), self._changes)
        for family in self._families:
            for _ in range(dice.randint(2, 4)):
                at = 5 + dice.random() * (BUSY_SECONDS - 5)
                running.call_later(at, getattr(self, f"_{family}"))
        await asyncio.sleep(BUSY_SECONDS)
        await self._heal()
        if errors_counted() > defects:
            auditor.broken("defect", "something was set aside; the log has the traceback")
        told = tuple(world.told)
        return Verdict(
            seed=world.seed,
            families=self._families,
            violations=tuple(auditor.violations),
            told=told,
            runs=auditor.moved,
            writes=auditor.writes,
            digest=hashlib.sha256("\n".join(told).encode()).hexdigest()[:16],
        )

    def _plan_workloads(self) -> None:
        world, dice, running = self._world, self._dice, asyncio.get_running_loop()
        for number in range(2 if "leaders" in self._families or dice.random() < 0.2 else 1):
            world.start(f"operator-{number}")
        for number in range(dice.choice([1, 1, 2, 3])):
            running.call_later(dice.random() * 20, self._add_service, f"web-{number}")
        for number in range(dice.choice([0, 1, 1, 2])):
            running.call_later(dice.random() * 20, self._add_set, f"api-{number}")
        for number in range(dice.choice([0, 1, 1])):
            running.call_later(dice.random() * 20, self._add_job, f"job-{number}")

    async def _heal(self) -> None:
        """All faults end and demand stands still: the Pool comes to rest."""
        world, auditor = self._world, self._world.auditor
        world.calm = auditor.calm = True
        world.edit_pool(limits={}, mode=self._mode)
        world.solver_lost = world.karpenter.hangs_until = 0.0
        world.karpenter.out.clear()
        for line in world.lines:
            line.heal()
            line.slow = 0.02
            line.skew = 0.0
        for name in sorted(world.silent):
            world.hear(name)
        for name in sorted(key[1] for key in world.store.of("Node")):
            world.cordon(name, on=False)
        for name in self._services:
            world.edit(name, names.LONGSERVICE, template=self._mended(name))
        await asyncio.sleep(_HEALING_SECONDS)
        for name in self._jobs:  # not before: a run that is queued would wait for ever
            world.edit(name, suspend=True)
        for left in reversed(range(_RESTS)):
            settled = await self._until_settled(clock=auditor.latest)
            before = auditor.writes
            await asyncio.sleep(_STEADY_SECONDS)
            if auditor.writes == before:
                break
            if not (settled and left):
                auditor.broken("I8", f"{auditor.writes - before} writes in a steady cluster")
                break
        auditor.judge(suspended_at=0)  # which slots are owed is asked of other histories
        auditor.judge_pool()
        auditor.judge_moves()

    async def _until_settled(self, clock: float) -> bool:
        """Until nobody has written and nothing was sold out for a while, with clocks as before."""
        auditor, quiet, writes = self._world.auditor, 0, 0
        for _ in range(_LONGEST_SECONDS):
            if auditor.cost_before is None and not auditor.awaited():
                auditor.cost_before = auditor.cost()
            still = auditor.writes == writes and not self._world.refusals()
            quiet = quiet + 1 if still else 0
            writes = auditor.writes
            if quiet > _QUIET_SECONDS and auditor.settled() and self._world.now() >= clock:
                return True
            await asyncio.sleep(1)
        auditor.broken("C5", "the Pool does not come to rest")
        return False

    # ---- what there is ----------------------------------------------------------------------

    def _pool(self) -> Body:
        dice = self._dice
        pool: dict[str, Any] = {
            "mode": self._mode,
            "retirement": {"emptySeconds": dice.choice([0, 10, 30])},
            "buying": {
                "alternatives": dice.choice([1, 3, 5]),
                "launchSeconds": dice.choice([10, 20, 30]),
                "fallback": dice.choice(
                    [{"to": "None"}, {"afterSeconds": 60}, {"afterSeconds": 120}]
                ),
            },
        }
        if dice.random() < 0.4:
            pool["limits"] = dice.choice(
                [
                    {"nodes": 2},
                    {"nodes": 3},
                    {"nodes": 5},
                    {"cpu": "12"},
                    {"dollarsPerHour": "0.60"},
                ]
            )
        if dice.random() < 0.15:
            pool["buying"]["headroom"] = {"cpu": "1"}
        pool["consolidation"] = {
            "moveMicrodollars": dice.choice([0, 500, 2000]),
            "minimumNodeAgeSeconds": dice.choice([0, 30]),
            "minimumStaySeconds": dice.choice([20, 40]),
            "maximumDraining": dice.choice(["30%", "100%", 1]),
            "batchWaitSeconds": dice.choice([30, 1800]),
            "deletionCost": dice.random() < 0.5,
        }
        return pool

    def _add_service(self, name: str) -> None:
        dice = self._dice
        replicas = dice.choice([1, 2, 3, 4, 6])
        spec: Body = {
            "replicas": replicas,
            "placement": {"pool": "batch"},
            "updateStrategy": {
                "minimumHealthyPercent": dice.choice([50, 75, 100]),
                "maximumSurgePercent": dice.choice([25, 100]),
            },
            "scaleDown": {"order": dice.choice(["YoungestFirst", "EmptiestFirst"])},
        }
        if dice.random() < 0.2:
            spec["placement"]["constraints"] = [
                {"key": "hostname", "operator": "MaxPer", "value": "2"}
            ]
        self._services[name] = replicas
        notes = self._notes()
        self._world.add_service(name, spec, dice.choice([200, 500, 900, 1500]), notes)

    def _add_set(self, name: str) -> None:
        dice = self._dice
        replicas = dice.choice([1, 2, 3, 5])
        self._sets[name] = replicas
        notes = self._notes()
        self._world.controllers.add_set(name, replicas, dice.choice([200, 500, 900, 1500]), notes)
        if dice.random() < 0.5:
            self._world.controllers.add_budget(name, dice.choice([1, max(replicas - 1, 1)]))

    def _notes(self) -> dict[str, str]:
        """Sometimes an annotation that forbids moves."""
        dice = self._dice
        return dict([dice.choice(sorted(FORBIDDING.items()))]) if dice.random() < 0.15 else {}

    def _add_job(self, name: str) -> None:
        dice = self._dice
        spec: Body = {
            "schedule": f"R//PT{dice.choice([20, 30, 45])}S",
            "placement": {"pool": "batch"},
            "retryPolicy": {"limit": 1, "delaySeconds": 5, "backoffPercent": 100},
            "unreachable": {"retryAfterSeconds": 10},
            "interruptible": dice.random() < 0.2,
        }
        self._jobs.append(name)
        seconds = dice.choice([5.0, 20.0, 60.0])
        self._world.add_job(name, spec, cpu=dice.choice([300, 900]), seconds=seconds, failing=0.1)

    # ---- what people and autoscalers do -------------------------------------------------------

    def _changes(self) -> None:
        dice = self._dice
        what = dice.choice(
            ["scale", "scale", "step", "step", "foreign", "foreign", "rollout", "sick"]
        )
        if what == "foreign" and self._sets:
            name = dice.choice(sorted(self._sets))
            most = dice.choice([0, 1, 2, 4, 6])
            self._sets[name] = most
            self._world.controllers.scale(name, most)
        elif what == "sick":
            ready = sorted(
                pod["metadata"]["name"]
                for pod in self._world.store.of("Pod").values()
                if owner(pod)["kind"] != names.BATCHJOB and is_ready(pod)
            )
            if ready:
                self._world.sicken(dice.choice(ready))
        elif self._services:
            name = dice.choice(sorted(self._services))
            if what == "rollout":
                self._rollout(name)
                return
            by = dice.choice([-1, -1, 1]) if what == "step" else dice.choice([-4, -2, 3])
            self._services[name] = min(max(self._services[name] + by, 0), 8)
            self._world.edit(name, names.LONGSERVICE, replicas=self._services[name])

    def _rollout(self, name: str) -> None:
        """Another image; sometimes its pods never become ready, until it is mended."""
        template = self._template(name)
        if template is not None:
            broken = self._dice.random() < 0.15
            image = BROKEN if broken else f"app:{self._dice.randint(0, 3)}"
            template["spec"]["containers"][0]["image"] = image
            self._world.edit(name, names.LONGSERVICE, template=template)

    def _template(self, name: str) -> Body | None:
        if (SPACE, name) not in self._world.store.of(names.LONGSERVICE):
            return None
        template: Body = self._world.store.copy(names.LONGSERVICE, (SPACE, name))["spec"][
            "template"
        ]
        return template

    def _mended(self, name: str) -> Body | None:
        template = self._template(name)
        if template is not None and template["spec"]["containers"][0]["image"] == BROKEN:
            template["spec"]["containers"][0]["image"] = "app:9"
        return template

    # ---- what goes wrong --------------------------------------------------------------------

    def _clouds(self) -> None:
        """Some offerings are sold out; launches hang; the solver gives no answer."""
        world, dice = self._world, self._dice
        match dice.choice(["out", "out", "hangs", "solver"]):
            case "out":
                self._sell_out()
            case "hangs":
                world.karpenter.hangs_until = world.time() + dice.choice([15, 60])
                world.say("launches hang")
            case _:
                world.solver_lost = 0.5
                world.say("the solver fails")
                world.later(40, self._solver_works)

    def _sell_out(self) -> None:
        """Types cannot be had for a while, in all zones or in some."""
        world, dice = self._world, self._dice
        kinds = dice.sample(sorted(PRICES), dice.choice([1, 1, 2, 3]))
        gone = [one for one in sorted(OFFERED) if one[0] in kinds]
        gone = dice.sample(gone, dice.choice([2, len(gone)]))
        until = world.time() + dice.choice([40, 120])
        world.karpenter.out |= dict.fromkeys(gone, until)
        world.say(f"sold out: {gone}")

    def _solver_works(self) -> None:
        self._world.solver_lost = 0.0

    def _nodes(self) -> None:
        """Karpenter gives one up; its instance is lost; its kubelet is silent; it is cordoned."""
        world, dice = self._world, self._dice
        there = sorted(key[1] for key in world.store.of("Node"))
        if not there:
            return
        name = dice.choice(there)
        match dice.choice(["up", "lost", "silent", "cordon", "keep"]):
            case "up":
                world.karpenter.give_up(name, dice.choice(["interruption", "expiry", "repair"]))
            case "lost":
                world.lose(name)
            case "silent":
                world.silence(name)
                world.later(dice.choice([3, 12, 40]), lambda: world.hear(name))
            case "keep":
                world.annotate_node(name, "bayplan.dev/keep", "true")
            case _:
                world.cordon(name, on=True)
                world.later(dice.choice([10, 60]), lambda: world.cordon(name, on=False))

    def _people(self) -> None:
        """They delete pods and workloads, and turn the Pool to Advise for a while."""
        world, dice = self._world, self._dice
        match dice.choice(["kill", "kill", "advise", "advise", "delete", "again"]):
            case "kill":
                pods = sorted(
                    key[1] for key, pod in world.store.of("Pod").items()
                    if owner(pod)["kind"] != "DaemonSet"
                )  # fmt: skip
                if pods:
                    world.remove("Pod", dice.choice(pods))
            case "advise":
                self._advise_for(dice.choice([10, 40]))
            case _ if self._services:
                name = dice.choice(sorted(self._services))
                world.remove(names.LONGSERVICE, name)
                world.later(dice.choice([0.1, 3.0, 20.0]), lambda: self._again(name))

    def _advise_for(self, seconds: float) -> None:
        world = self._world
        world.later(4, lambda: world.edit_pool(mode="Advise"))
        world.later(4 + seconds, lambda: world.edit_pool(mode=self._mode))

    def _again(self, name: str) -> None:
        if (SPACE, name) not in self._world.store.of(names.LONGSERVICE):
            self._add_service(name)


def _heard(auditor: MovesAuditor, what: Mapping[str, Any]) -> None:
    """The loop tells of an error that nobody has caught."""
    if what.get("exception") is not None:
        auditor.defect(what["exception"])
