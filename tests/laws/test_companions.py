"""Laws of companions: room with the driver or no driver, and no deadlock of drivers, ever.

Applications are tried in virtual time: a driver that has a node asks for its executors, works while
it has one of them, and ends when its work is done. Other pods come and go beside them.
"""

import dataclasses
from collections import Counter
from dataclasses import dataclass, field

from hypothesis import assume, given
from hypothesis import strategies as st

from bayplan.model.companions import Companions
from bayplan.model.pods import Owner, Pod
from bayplan.model.resources import Vector
from bayplan.model.state import State
from bayplan.model.workloads import Plan, TaskKey
from bayplan.placement.solve import Policy, solve
from bayplan.scheduler import classes
from tests.builders import NOON, make_node, make_pod, make_state

CPU = st.sampled_from((250, 500, 1000, 1500, 2000))
MOST_STEPS = 300


@dataclass(frozen=True)
class App:
    """A driver and the executors that it cannot do without; `work` are steps with one of them."""

    name: str
    cpu: int
    executor: int  # milli-CPU
    count: int
    work: int
    starts: int

    def driver(self, *, held: bool) -> Pod:
        request = Vector({"cpu": self.executor, "pods": 1})
        asked = Companions(self.count, request) if held else None
        return make_pod(self.name, cpu=self.cpu, companions=asked, created_at=NOON + self.starts)

    def executors(self) -> list[Pod]:
        owner = Owner("Pod", self.name, f"uid-{self.name}")
        return [
            make_pod(f"{self.name}-exec-{at}", cpu=self.executor, owner=owner)
            for at in range(self.count)
        ]


@st.composite
def apps(draw: st.DrawFn) -> list[App]:
    return [
        App(
            name=f"app-{at}",
            cpu=draw(CPU),
            executor=draw(CPU),
            count=draw(st.integers(1, 3)),
            work=draw(st.integers(1, 4)),
            starts=draw(st.integers(0, 6)),
        )
        for at in range(draw(st.integers(1, 7)))
    ]


NODES = st.lists(st.sampled_from((1000, 2000, 4000)), min_size=1, max_size=4)
# Runs of others: milli-CPU, when it comes, how long it runs.
OTHERS = st.lists(st.tuples(CPU, st.integers(0, 20), st.integers(1, 5)), max_size=8)


@dataclass(eq=False)
class Trial:
    """A cluster in virtual time; `held` says whether drivers are annotated."""

    wanted: list[App]
    sizes: list[int]
    others: list[tuple[int, int, int]] = field(default_factory=list)
    held: bool = True
    book: State = field(init=False)
    plan: Plan = field(default_factory=Plan)
    done: Counter[str] = field(default_factory=Counter)
    ends: dict[TaskKey, int] = field(default_factory=dict)
    ended: set[str] = field(default_factory=set)

    def __post_init__(self) -> None:
        self.book = make_state(*(make_node(f"n{at}", cpu) for at, cpu in enumerate(self.sizes)))

    def run(self) -> set[str]:
        """The applications that have not ended after a long time; laws are checked on the way."""
        names = {app.name for app in self.wanted}
        for step in range(MOST_STEPS):
            self.arrive(step)
            self.place(step)
            if self.held:
                assert [] == self.overfull()
                assert [] == self.without_room()
            self.leave(step)
            for app in self.wanted:
                self.work(app, step)
            if self.ended == names:
                break
        return names - self.ended

    def arrive(self, step: int) -> None:
        for app in self.wanted:
            if app.starts == step:
                self.book.set_pod(app.driver(held=self.held))
        for at, (cpu, comes, _) in enumerate(self.others):
            if comes == step:
                owner = Owner("Job", f"j{at}", f"j{at}")
                pod = make_pod(f"other-{at}", cpu=cpu, owner=owner, created_at=NOON + step)
                self.book.set_pod(pod)

    def place(self, step: int) -> None:
        book = self.book
        waiting = classes.groups((), book.unplaced.values(), lambda _: None, book.aversions)
        self.plan = solve(book.snapshot(), waiting, NOON, Policy(), rooms=self.plan.rooms)
        for key, node in self.plan.placements.items():
            book.set_pod(dataclasses.replace(book.pods[key], node=node))
            if key[1].startswith("other"):
                self.ends[key] = step + self.others[int(key[1].removeprefix("other-"))][2]

    def leave(self, step: int) -> None:
        for key in [key for key, end in self.ends.items() if end <= step]:
            self.book.drop_pod(key)
            del self.ends[key]

    def work(self, app: App, step: int) -> None:
        leader = self.book.pods.get(("default", app.name))
        if leader is None or not leader.node:
            return
        team = dict(self.book.owned(leader.uid))
        for pod in app.executors() if not team else ():
            self.book.set_pod(dataclasses.replace(pod, created_at=NOON + step))
        if team and all(pod.node for pod in team.values()):
            self.done[app.name] += 1
            if self.done[app.name] >= app.work:
                for key in (*team, leader.key):
                    self.book.drop_pod(key)
                self.ended.add(app.name)

    def overfull(self) -> list[str]:
        """Nodes where pods and the room that is held need more than there is."""
        held: Counter[str] = Counter()
        for leader, room in self.plan.rooms.items():
            asked = self.book.pods[leader].companions
            assert asked is not None
            for name, count in room.items():
                held[name] += count * asked.request.amount("cpu")
        frozen = self.book.snapshot()
        rows = enumerate(frozen.nodes)
        return [node.name for row, node in rows if held[node.name] > frozen.free[row, 0]]

    def without_room(self) -> list[str]:
        """Drivers with a node for which less room is held than they have executors to come."""
        return [
            one.leader[1]
            for one in self.book.snapshot().awaited
            if sum(self.plan.rooms.get(one.leader, {}).values()) < one.count
        ]


def fits_alone(app: App, sizes: list[int]) -> bool:
    """Whether the application can run in this cluster when it has it for itself."""
    return not Trial([dataclasses.replace(app, starts=0)], sizes).run()


@given(apps(), NODES, OTHERS)
def test_every_application_ends(
    wanted: list[App], sizes: list[int], others: list[tuple[int, int, int]]
) -> None:
    """However many start at once, if each of them could run alone; others never take the room."""
    assume(all(fits_alone(app, sizes) for app in wanted))

    assert set() == Trial(wanted, sizes, others).run()


def test_without_the_annotation_they_wait_for_each_other_for_ever() -> None:
    """Four applications in a cluster with room for two: the same trial sees the deadlock."""
    four = [App(f"app-{at}", 1000, 1000, 1, work=3, starts=0) for at in range(4)]

    assert {app.name for app in four} == Trial(four, [2000, 2000], held=False).run()
    assert set() == Trial(four, [2000, 2000]).run()
