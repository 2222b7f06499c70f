"""One history from its seed: which jobs, which nodes, what goes wrong, and then what must be true.

Two minutes and a half of faults, then all is healed; half a minute later every slot must run in
time; then everything is suspended, ends, and nobody writes any more.
"""

import asyncio
import copy
import hashlib
import random
from collections.abc import Callable
from dataclasses import dataclass, replace
from typing import Any

from bayplan.api import names
from bayplan.api.times import rfc3339
from tests.double import loop as virtual
from tests.histories.faults import Faults
from tests.histories.replica import Replica
from tests.histories.world import SPACE, START, World

FAULTY_SECONDS = 150
_HEALING_SECONDS = 40
_CALM_SECONDS = 60
_STEADY_SECONDS = 45
_LONGEST_SECONDS = 1_500

# What may go wrong in a history; each has some of them.
FAMILIES = ("processes", "requests", "news", "nodes", "clocks", "people", "leaders")

_ANNOTATED = {  # what people ask for by an annotation
    "pause": names.PAUSED_UNTIL,
    "run-now": names.RUN_NOW,
    "cancel": names.CANCEL_RUN,
    "mark": names.MARK_SUCCESS,
    "retry": names.RETRY,
    "backfill": names.BACKFILL,
}


@dataclass(frozen=True, slots=True)
class Verdict:
    """What a history was, and what was found; `digest` names all that happened in it."""

    seed: int
    families: tuple[str, ...]
    violations: tuple[str, ...]
    told: tuple[str, ...]
    runs: int
    writes: int
    digest: str

    def brief(self) -> "Verdict":
        """Without what was told."""
        return replace(self, told=())

    def __str__(self) -> str:
        found = "\n  ".join(self.violations) or "no violation"
        return f"history {self.seed} ({', '.join(self.families)}):\n  {found}"


def play(seed: int, bend: Callable[[Replica], None] = lambda _: None) -> Verdict:
    """Live through the history of this seed, on a loop of its own."""
    # The product's jitter asks the module: it shall say the same again.
    random.seed(seed)
    return virtual.run(_History(seed, bend).run())


class _History(Faults[World]):
    def __init__(self, seed: int, bend: Callable[[Replica], None]) -> None:
        self._dice = random.Random(f"plan {seed}")  # noqa: S311  a history, not a secret
        self._world = World(seed, bend)
        self._jobs: list[str] = []
        count = self._dice.choice([1, 1, 2, 2, 3])
        self._families = tuple(sorted(self._dice.sample(FAMILIES, count)))

    async def run(self) -> Verdict:
        world, running = self._world, asyncio.get_running_loop()
        auditor = world.auditor
        auditor.split = "leaders" in self._families
        auditor.stepped = "clocks" in self._families
        auditor.delta = 80.0 if {"news", "requests", "leaders"} & {*self._families} else 4.0
        for number in range(self._dice.choice([1, 2, 2, 3])):
            world.add_node(f"n{number}", (self._dice.choice([600, 1000, 2000]), 10))
        for number in range(
            2 if {"leaders"} & {*self._families} or self._dice.random() < 0.2 else 1
        ):
            world.start(f"operator-{number}")
        for number in range(self._dice.choice([1, 1, 2, 2, 3])):
            running.call_later(self._dice.random() * 20, self._add_job, f"job-{number}")
        for family in self._families:
            for _ in range(self._dice.randint(2, 5)):
                at = 5 + self._dice.random() * (FAULTY_SECONDS - 5)
                running.call_later(at, getattr(self, f"_{family}"))
        await asyncio.sleep(FAULTY_SECONDS)
        await self._heal()
        suspended_at = world.now()
        for name in sorted({book.name for book in auditor.alive()}):
            world.edit(name, suspend=True)
        await self._until_settled()
        await asyncio.sleep(5)
        before = auditor.writes
        await asyncio.sleep(_STEADY_SECONDS)
        if auditor.writes != before:
            auditor.broken("I8", f"{auditor.writes - before} writes in a steady cluster")
        auditor.judge(suspended_at)
        told = tuple(world.told)
        return Verdict(
            seed=world.seed,
            families=self._families,
            violations=tuple(auditor.violations),
            told=told,
            runs=sum(len(book.seen) for book in auditor.books.values()),
            writes=auditor.writes,
            digest=hashlib.sha256("\n".join(told).encode()).hexdigest()[:16],
        )

    async def _heal(self) -> None:
        """All faults end, there is room for everything; then every slot runs in time."""
        world = self._world
        world.calm = world.auditor.calm = True
        for line in world.lines:
            line.heal()
            line.skew = 0.0
        for name in sorted(world.silent):
            world.hear(name)
        world.add_node("big", (32_000, 100))
        await asyncio.sleep(_HEALING_SECONDS)
        await self._until_settled(clock=world.auditor.latest)
        began = world.now()
        await asyncio.sleep(_CALM_SECONDS)
        world.auditor.judge_calm(began + 1, world.now())

    async def _until_settled(self, clock: float = 0.0) -> None:
        """Until nothing is owed, and the clock has come to where it was before it was set back."""
        for _ in range(_LONGEST_SECONDS):
            if self._world.auditor.settled() and self._world.now() >= clock:
                return
            await asyncio.sleep(1)

    # ---- what there is ----------------------------------------------------------------------

    def _add_job(self, name: str) -> None:
        dice = self._dice
        period = dice.choice([10, 15, 20, 30, 45])
        spec: dict[str, Any] = {
            "concurrencyPolicy": dice.choice(["Forbid", "Forbid", "Allow", "Replace"]),
            "missedRunPolicy": dice.choice(["RunLatest", "RunAll", "Skip"]),
            "retryPolicy": dice.choice(
                [{"limit": 0}, {"limit": 2, "delaySeconds": 5, "backoffPercent": 100}]
            ),
            "history": dice.choice(
                [{"successful": 0, "failed": 0}, {"successful": 1, "failed": 1}, {}]
            ),
            "unreachable": {"retryAfterSeconds": 10},
        }
        perhaps: tuple[tuple[str, Any, float], ...] = (
            ("startingDeadlineSeconds", dice.choice([10, 60]), 0.3),
            ("startWindowSeconds", dice.choice([3, 8]), 0.2),
            ("ttlSecondsAfterFinished", 0, 0.1),
            ("onLost", "Fail", 0.1),
            ("noRetryExitCodes", [7], 0.2),
            ("startTimeoutSeconds", dice.choice([5, 15]), 0.3),
        )
        spec |= {field: value for field, value, chance in perhaps if dice.random() < chance}
        kind = dice.random()
        parents = [one for one in self._jobs if one == "job-0"]
        if parents and kind < 0.3:
            spec["parents"] = [{"name": "job-0", "match": dice.choice(["AnyNewer", "SameSlot"])}]
            spec.pop("startingDeadlineSeconds", None)
            spec.pop("startWindowSeconds", None)
        elif kind < 0.4:
            spec.pop("startingDeadlineSeconds", None)
            spec.pop("startWindowSeconds", None)  # once
        elif kind < 0.5:
            spec["schedule"] = "*/1 * * * *"
        else:
            count = dice.choice(["", "", "4", "12"])
            start = dice.choice(["", rfc3339(START + dice.randint(0, 40))])
            spec["schedule"] = f"R{count}/{start}/PT{period}S"
        self._jobs.append(name)
        self._world.add_job(
            name,
            spec,
            cpu=dice.choice([100, 300, 500]),
            seconds=dice.choice([1.0, 4.0, period / 2, period * 1.5]),
            failing=dice.choice([0.0, 0.2, 0.5]),
            stuck=0.4 if "startTimeoutSeconds" in spec else 0.0,
        )

    # ---- what goes wrong --------------------------------------------------------------------

    def _nodes(self) -> None:
        world, name = self._world, self._dice.choice(sorted(self._world.capacity))
        if name in world.silent:
            world.hear(name)
        elif ("", name) not in world.store.of("Node"):
            world.add_node(name, (self._dice.choice([600, 1000, 2000]), 10))
        elif self._dice.random() < 0.5:
            world.silence(name)
            world.later(self._dice.choice([3, 12, 40]), lambda: world.hear(name))
        else:
            world.lose(name)

    def _people(self) -> None:
        world, dice = self._world, self._dice
        if not self._jobs:
            return
        name = dice.choice(self._jobs)
        books = [book for book in world.auditor.alive() if book.name == name]
        if not books:
            return
        book = books[-1]
        book.touched = True
        run = dice.choice(sorted(book.seen)) if book.seen else "s0"
        period, token = dice.choice([10, 17, 30]), dice.randint(0, 2)
        until, seconds = rfc3339(world.now() + dice.choice([0, 20])), dice.choice([5, 30])
        verb = dice.choice(["suspend", "kill", "delete", "again", "edit", "mend", *_ANNOTATED])
        if verb in _ANNOTATED:
            past = rfc3339(world.now() - seconds * 4)
            notes = {"pause": until, "run-now": f"token-{token}", "backfill": f"{past}/{until}"}
            note = notes.get(verb, run)
            world.edit(name, annotations={_ANNOTATED[verb]: note})
        elif verb == "edit" and book.spec.get("schedule"):
            world.edit(name, schedule=f"R//PT{period}S")
        elif verb == "mend":
            template = copy.deepcopy(book.spec["template"])
            template["spec"]["containers"][0]["image"] = f"busybox:{token}"
            world.edit(name, template=template)
        elif verb == "suspend":
            world.edit(name, suspend=True)
            world.later(seconds, lambda: world.edit(name, suspend=False))
        elif verb == "kill":
            self._kill()
        elif verb in {"delete", "again"}:
            world.remove(names.BATCHJOB, name)
            if verb == "again":
                world.later(dice.choice([0.1, 3.0]), lambda: self._again(name))

    def _kill(self) -> None:
        pods = sorted(pod for _, pod in self._world.store.of("Pod"))
        if pods:
            self._world.remove("Pod", self._dice.choice(pods))

    def _again(self, name: str) -> None:
        if (SPACE, name) not in self._world.store.of(names.BATCHJOB):
            self._add_job(name)
