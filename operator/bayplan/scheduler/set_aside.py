"""What is set aside after a defect of Bayplan, so that one faulty object stops no other object.

The object is a class of pods at which placing raises, a pod whose write raises, or a resource whose
reconcile raises. Each is counted, logged with its traceback, shown on its resource or pod, and left
alone for a minute; a class also until its resource's spec changes. Any user who may create a pod or
a resource may hit a defect, and must not be able to stop everybody's work with it.
"""

from collections.abc import Callable, Collection, Iterable
from dataclasses import dataclass, field, replace

from bayplan import logs
from bayplan.api.resource import Key
from bayplan.cluster.cache import Cache
from bayplan.metrics import Metrics
from bayplan.model import intents, reasons
from bayplan.model.workloads import Fault, Plan, PodClass, Refused, TaskKey, Waiting

# What was set aside is tried again after this time.
DEFECT_SECONDS = 60

_MOST_TOLD = 1024  # defects that are remembered as logged already

Parted = Callable[
    [Plan, Collection[Waiting], Collection[TaskKey]],
    tuple[Plan, list[intents.SelectNode]],
]

_At = tuple[PodClass, int]  # a class, of one generation of its resource


@dataclass(slots=True, eq=False)
class SetAside:
    """Which classes rest, and which defects were logged lately."""

    cache: Cache
    metrics: Metrics
    _until: dict[_At, int] = field(default_factory=dict)  # epoch seconds
    _told: dict[tuple[str, str], int] = field(default_factory=dict)  # stage, what -> until

    def tell(self, stage: str, what: str, error: Exception, now: int) -> None:
        """Count a defect and log it with its traceback; the same defect is logged once a minute."""
        if self._told.get((stage, what), now) > now:
            return
        if len(self._told) >= _MOST_TOLD:
            self._told = {key: until for key, until in self._told.items() if until > now}
        if len(self._told) < _MOST_TOLD:
            self._told[stage, what] = now + DEFECT_SECONDS
        self.metrics.reconcile_errors.inc()
        logs.logger().error(
            "set aside after a defect",
            exc_info=error,
            extra={"fields": {"stage": stage, "what": what, "seconds": DEFECT_SECONDS}},
        )

    def put(self, faults: Iterable[Fault], now: int) -> None:
        """Log all of these faults, and leave their classes alone for a while."""
        for fault in faults:
            self.tell(fault.stage, fault.what, fault.error, now)
            if fault.waiting is not None:
                self._until[self._at(fault.waiting)] = now + DEFECT_SECONDS

    def parted(self, waiting: Collection[Waiting], now: int) -> tuple[list[Waiting], list[Waiting]]:
        """The groups to place now, and the groups that rest."""
        if self._until:
            self._until = {at: until for at, until in self._until.items() if until > now}
        now_placed: list[Waiting] = []
        resting: list[Waiting] = []
        for one in waiting:
            rests = self._until and self._at(one) in self._until
            (resting if rests else now_placed).append(one)
        self.metrics.set_aside.set(len(resting))
        return now_placed, resting

    def refused(self, resting: Iterable[Waiting]) -> tuple[Refused, ...]:
        """Why resting groups have no node: the words that their resources and pods show."""
        state = self.cache.state
        funnel = reasons.set_aside(sum(map(state.eligible, state.nodes.values())))
        return tuple(Refused(one, one.keys, funnel) for one in resting)

    def volumes(
        self,
        plan: Plan,
        waiting: Collection[Waiting],
        new: Collection[TaskKey],
        parted: Parted,
    ) -> tuple[Plan, list[intents.SelectNode]]:
        """The plan without what waits for volumes, class by class: see `VolumeBinding.parted`."""
        choices: list[intents.SelectNode] = []
        faulty = [fault.waiting for fault in plan.faults]
        for group in waiting:
            if any(group is one for one in faulty):
                continue
            try:
                plan, more = parted(plan, (group,), new)
            except Exception as error:  # noqa: BLE001  one class must not stop all the others
                fault = Fault("volumes", "/".join(group.keys[0]), error, group)
                kept = {key: at for key, at in plan.placements.items() if key not in group.keys}
                refused = (*plan.refused, *self.refused((group,)))
                faults = (*plan.faults, fault)
                plan = replace(plan, placements=kept, refused=refused, faults=faults)
            else:
                choices += more
        return plan, choices

    def next_at(self) -> int | None:
        """When the first resting class is tried again (epoch seconds)."""
        return min(self._until.values(), default=None)

    def guard(self, stage: str, now: int) -> "Guard":
        return Guard(self, stage, now)

    def _at(self, waiting: Waiting) -> _At:
        kind, _, rest = waiting.kind.workload.partition("/")
        namespace, _, name = rest.partition("/")
        key: Key = kind, namespace, name
        resource = self.cache.resources.get(key)
        return waiting.kind, resource.generation if resource is not None else 0


class Guard:
    """Wraps one stage's work for one task at a time: a defect there ends only that task.

    `with guard(key): …` swallows the error, logs it and keeps the key in `lost`.
    """

    __slots__ = ("_key", "_now", "_set_aside", "_stage", "lost")

    def __init__(self, set_aside: SetAside, stage: str, now: int) -> None:
        self._set_aside, self._stage, self._now = set_aside, stage, now
        self._key: TaskKey = ("", "")
        self.lost: list[TaskKey] = []

    def __call__(self, key: TaskKey) -> "Guard":
        self._key = key
        return self

    def __enter__(self) -> None:
        return

    def __exit__(self, _kind: object, error: BaseException | None, _trace: object) -> bool:
        if not isinstance(error, Exception):
            return False
        self.lost.append(self._key)
        self._set_aside.tell(self._stage, "/".join(self._key), error, self._now)
        return True
