"""A BatchJob through histories of faults: nothing twice, nothing lost, all counted once.

A history is a list of acts: time passes or jumps, pods end, nodes fall silent or vanish, people
delete, edit, suspend and ask for runs, the operator reconciles and dies between two writes. What
is checked is read from the server's side: pods created and the stored status.
"""

from collections import Counter
from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from typing import Any, get_args

from hypothesis import HealthCheck, example, given, settings
from hypothesis import strategies as st

from bayplan.api import names, run_names, validation
from bayplan.api.times import epoch_of, rfc3339
from bayplan.model.pods import FRESH, Ending, Phase, Pod
from bayplan.reconcile.batchjob.conditions import Reason
from bayplan.reconcile.view import Parents, ParentSummary, Success
from bayplan.schedules.parse import parse
from tests.builders import make_node
from tests.jobs import PREFIX, START, Crash, World, ended

SCHEDULE = "*/5 * * * *"
PATIENCE = 120
CLOSED = {str(one) for one in Reason} | set(get_args(validation.Reason))

Act = tuple[str, int]

ACTS = st.one_of(
    st.tuples(st.just("pass"), st.sampled_from([1, 2, 9, 10, 30, 60, 61, 299, 300, 900, 7200])),
    st.tuples(st.just("reconcile"), st.just(0)),
    st.tuples(st.just("crash"), st.integers(0, 4)),  # before so many writes have been made
    st.tuples(st.just("blind"), st.just(0)),  # with a status that it saw before
    st.tuples(st.just("unheard"), st.just(0)),  # status writes do not arrive
    st.tuples(st.just("slowly"), st.just(0)),  # CREATEs are on their way …
    st.tuples(st.sampled_from(["arrive", "forget"]), st.just(0)),  # … and are committed or not
    st.tuples(st.just("succeed"), st.integers(0, 3)),  # which pod
    st.tuples(st.just("fail"), st.integers(0, 3)),
    st.tuples(st.just("refuse"), st.integers(0, 3)),
    st.tuples(st.just("evict"), st.integers(0, 3)),
    st.tuples(st.just("bind"), st.just(0)),
    st.tuples(st.just("stop"), st.just(0)),  # kubelets end terminating pods
)
NODE_ACTS = st.one_of(
    st.tuples(st.sampled_from(["silence", "return", "vanish", "collect"]), st.integers(1, 2)),
    st.tuples(st.just("kill"), st.integers(0, 3)),  # a person deletes a pod
)
START_ACTS = st.one_of(
    st.tuples(st.sampled_from(["jam", "flow"]), st.just(0)),  # new pods do not start; do again
    st.tuples(st.just("begin"), st.integers(0, 3)),  # which waiting pod starts after all
    st.tuples(st.just("half"), st.integers(0, 3)),  # one of its containers does
    st.tuples(st.just("mend"), st.integers(0, 2)),  # another template
)
TIME_ACTS = st.tuples(st.just("pass"), st.sampled_from([-1, -300, -7200, 86_400]))
PEOPLE_ACTS = st.one_of(
    st.tuples(st.just("ask"), st.integers(0, 3)),  # run-now
    st.tuples(st.sampled_from(["suspend", "resume", "strip"]), st.just(0)),
    st.tuples(st.just("edit"), st.integers(0, 2)),
    st.tuples(st.sampled_from(["cancel", "mark"]), st.integers(0, 5)),  # which known run
    st.tuples(st.just("pause"), st.sampled_from([-10, 0, 1, 300, 7200])),
)
REPEAT_ACTS = st.one_of(
    st.tuples(st.just("backfill"), st.sampled_from([300, 1500, 3600, 7200])),  # so far back
    st.tuples(st.just("again"), st.integers(0, 5)),  # which known run
)
PARENT_ACTS = st.tuples(st.just("inherit"), st.integers(0, 1))  # that parent has succeeded
EDITS = [SCHEDULE, "*/7 * * * *", "0 * * * *"]

SPECS: st.SearchStrategy[dict[str, Any]] = st.fixed_dictionaries(
    {
        "concurrencyPolicy": st.sampled_from(["Forbid", "Allow", "Replace"]),
        "missedRunPolicy": st.sampled_from(["RunLatest", "RunAll", "Skip"]),
        "retryPolicy": st.sampled_from([{"limit": 0}, {"limit": 2, "delaySeconds": 20}]),
        "history": st.sampled_from([{"successful": 0, "failed": 0}, {"successful": 1}]),
        "unreachable": st.just({"retryAfterSeconds": PATIENCE}),
    },
    optional={
        "startingDeadlineSeconds": st.sampled_from([10, 200, 1000]),
        "startWindowSeconds": st.sampled_from([30, 200, 600]),
        "ttlSecondsAfterFinished": st.sampled_from([0, 60]),
        "onLost": st.just("Fail"),
        "noRetryExitCodes": st.just([1]),
    },
)
HELD_SPECS = st.builds(
    lambda spec, limit: {**spec, "suspendAfterFailures": limit}, SPECS, st.integers(0, 2)
)


CHILD_SPECS = st.builds(
    lambda spec, same: {
        **{name: value for name, value in spec.items() if name != "startingDeadlineSeconds"},
        "parents": [{"name": "a", **same}, {"name": "b", **same}],
    },
    SPECS,
    st.sampled_from([{}, {"match": "SameSlot"}]),
)


@dataclass
class History:
    """A world, what happened in it, and the auditor that watches it."""

    spec: dict[str, Any]
    world: World = field(init=False)
    troubled: set[str] = field(default_factory=set)  # nodes that ever fell silent or vanished
    seen: set[str] = field(default_factory=set)  # every run that a pod or a status told of
    succeeded: set[tuple[str, int]] = field(default_factory=set)
    used: dict[str, set[str]] = field(default_factory=dict)  # pod -> the parents' successes
    latest: int = START  # the latest that the clock ever showed

    def __post_init__(self) -> None:
        self.world = World(dict(self.spec))
        self.world.nodes["n2"] = make_node("n2")
        self.world.audit = self.audit
        self.world.parents = Parents({name: ParentSummary() for name in "ab"})

    def act(self, act: Act) -> None:
        """One act, then the laws that hold at every moment."""
        kind, number = act
        before = dict(self.world.status)
        getattr(self, f"_{kind}")(number)
        self._watch(before)

    def heal(self) -> None:
        """All faults end; every pod succeeds; time passes until nothing is owed any more."""
        world = self.world
        world.forget()
        self._flow(0)
        self._resume(0)
        if self.spec.get("suspendAfterFailures"):
            self._edited()  # a person has mended what failed
        for number in (1, 2):
            self._return(number)
        for _ in range(400):
            before = dict(world.status)
            world.settle()
            self._watch(before)
            live = [pod for pod in world.pods.values() if not pod.terminal]
            if not live and not world.status.get("active"):
                break
            if not live:
                world.now = world.outcome.wake_at or world.now + 1
            self._bind(0)
            world.stop()
            for pod in world.pods.copy().values():
                if not pod.terminal:
                    self._end(pod, 0)
        assert not world.status.get("active"), "a run never ended"

    # --- Acts ---------------------------------------------------------------------------------

    def _pass(self, seconds: int) -> None:
        if seconds < 0:
            self.world.look()  # no clock steps back within the milliseconds of a write
        self.world.now += seconds
        self.latest = max(self.latest, self.world.now)
        self.world.stop(overdue=True)

    def _reconcile(self, _: int) -> None:
        self.world.step()

    def _blind(self, _: int) -> None:
        self.world.step(look=False)

    def _unheard(self, _: int) -> None:
        self.world.lost_status = True
        self.world.step()
        self.world.lost_status = False

    def _slowly(self, _: int) -> None:
        self.world.slow_creates = True
        self.world.step()
        self.world.slow_creates = False

    def _arrive(self, _: int) -> None:
        self.world.arrive()

    def _forget(self, _: int) -> None:
        self.world.forget()

    def _crash(self, number: int) -> None:
        left = [number]

        def die(_: str) -> None:
            left[0] -= 1
            if left[0] < 0:
                raise Crash

        self.world.before_write = die
        try:
            self.world.step()
        except Crash:
            pass
        finally:
            self.world.before_write = lambda _: None
            self.world.forget()

    def _succeed(self, number: int) -> None:
        self._end(self._running(number), 0)

    def _fail(self, number: int) -> None:
        self._end(self._running(number), 1)

    def _refuse(self, number: int) -> None:
        self._end(self._running(number), 1, reason="OutOfcpu", ending=FRESH)

    def _evict(self, number: int) -> None:
        self._end(self._running(number), 143, disrupted="EvictionByEvictionAPI")

    def _kill(self, number: int) -> None:
        pod = self._running(number)
        if pod is not None and not pod.terminating:
            self.world.delete_by_person(pod.name)

    def _bind(self, _: int) -> None:
        room = sorted(name for name, node in self.world.nodes.items() if node.ready)
        for pod in list(self.world.pods.values()):
            if room and not pod.node and not pod.terminal and not pod.assumed:
                ending = Ending(started_at=self.world.now)
                self.world.pods[pod.key] = replace(
                    pod, node=room[0], phase=Phase.RUNNING, ending=ending
                )

    def _jam(self, _: int) -> None:
        self.world.hindered = Ending(waiting="ErrImagePull", said="no such image")

    def _flow(self, _: int) -> None:
        self.world.hindered = None

    def _begin(self, number: int) -> None:
        pod = self._waiting(number)
        if pod is not None:
            self._start(pod, Ending(started_at=self.world.now))

    def _half(self, number: int) -> None:
        pod = self._waiting(number)
        if pod is not None:
            self._start(pod, Ending(started_at=self.world.now, lacking=True))

    def _start(self, pod: Pod, ending: Ending) -> None:
        self.world.pods[pod.key] = replace(pod, ending=ending, phase=Phase.RUNNING)

    def _waiting(self, number: int) -> Pod | None:
        """A pod that a kubelet may start: also one whose delete is decided but not there yet."""
        here = [
            pod
            for pod in self.world.pods.values()
            if pod.node in self.world.nodes
            and not (pod.terminal or pod.assumed)
            and (pod.deleted_at or self.world.now) >= self.world.now
            and not pod.ending.began
        ]
        return here[number % len(here)] if here else None

    def _mend(self, number: int) -> None:
        image = f"busybox:{number}"
        self._edited(template={"spec": {"containers": [{"name": "main", "image": image}]}})

    def _stop(self, _: int) -> None:
        self.world.stop()

    def _silence(self, number: int) -> None:
        node = self.world.nodes.get(f"n{number}")
        if node is not None and node.ready:
            self.troubled.add(node.name)
            self.world.nodes[node.name] = replace(
                node, ready=False, ready_changed_at=self.world.now
            )

    def _return(self, number: int) -> None:
        self.world.nodes[f"n{number}"] = make_node(f"n{number}", ready_changed_at=self.world.now)

    def _vanish(self, number: int) -> None:
        self.troubled.add(f"n{number}")
        self.world.nodes.pop(f"n{number}", None)

    def _collect(self, _: int) -> None:
        """Pod garbage collection: pods of vanished nodes are marked, failed and deleted."""
        for pod in list(self.world.pods.values()):
            if pod.node and pod.node not in self.world.nodes:
                if not pod.terminal:
                    gone = ended(pod, self.world.now, 137, disrupted="DeletionByPodGC")
                    self.world.pods[pod.key] = gone
                self.world.pods[pod.key] = replace(
                    self.world.pods[pod.key], deleted_at=pod.deleted_at or self.world.now
                )
                if not pod.finalizers:
                    del self.world.pods[pod.key]

    def _ask(self, number: int) -> None:
        self.world.annotations[names.RUN_NOW] = f"token-{number}"

    def _strip(self, _: int) -> None:
        self.world.annotations.clear()

    def _suspend(self, _: int) -> None:
        self._edited(suspend=True)

    def _resume(self, _: int) -> None:
        if self.world.spec.get("suspend"):
            self._edited(suspend=False)

    def _edit(self, number: int) -> None:
        if self.world.spec.get("schedule"):
            self._edited(schedule=EDITS[number])

    def _cancel(self, number: int) -> None:
        self._say(names.CANCEL_RUN, number)

    def _mark(self, number: int) -> None:
        self._say(names.MARK_SUCCESS, number)

    def _say(self, verb: str, number: int) -> None:
        known = sorted(self.seen)
        if known:
            self.world.annotations[verb] = known[number % len(known)]

    def _backfill(self, seconds: int) -> None:
        now = self.world.now
        span = f"{rfc3339(max(now - seconds, 0))}/{rfc3339(max(now, 0))}"
        self.world.annotations[names.BACKFILL] = span

    def _again(self, number: int) -> None:
        self._say(names.RETRY, number)

    def _pause(self, seconds: int) -> None:
        self.world.annotations[names.PAUSED_UNTIL] = rfc3339(max(self.world.now + seconds, 0))

    def _inherit(self, number: int) -> None:
        name = "ab"[number]
        known = self.world.parents.known[name].successes
        slot = START - 600_000 + len(known) * 60  # a parent's n-th success, whenever it comes
        summary = ParentSummary((Success(run_names.slot_run(slot), self.world.now), *known))
        self.world.parents = Parents({**self.world.parents.known, name: summary})

    def _edited(self, **fields: Any) -> None:
        self.world.spec = {**self.world.spec, **fields}
        self.world.generation += 1

    def _running(self, number: int) -> Pod | None:
        live = [
            pod
            for pod in self.world.pods.values()
            if pod.node in self.world.nodes and not pod.terminal and not pod.assumed
        ]
        return live[number % len(live)] if live else None

    def _end(self, pod: Pod | None, exit_code: int, **more: Any) -> None:
        if pod is not None:
            if pod.ending.started_at is None and "ending" not in more:
                pod = replace(pod, ending=Ending(started_at=self.world.now))
            self.world.pods[pod.key] = ended(pod, self.world.now, exit_code, **more)
            if exit_code == 0:
                run, _, index = _run_of(pod)
                self.succeeded.add((run, index))
            self.world._collect(pod.key)  # noqa: SLF001 -- what the API server does next

    # --- Laws ---------------------------------------------------------------------------------

    def audit(self, what: str, pod: Pod) -> None:
        run, attempt, index = _run_of(pod)
        if what == "release":
            known = _accounts_for(self.world.status, run, attempt, index)
            assert known, "released too early"
            return
        self._uses(pod)
        slot = run_names.slot_of(run)
        assert slot is None or slot <= max(self.latest, self.world.now), "started early"
        made_up_for = run_names.backfilled(run)
        if made_up_for is not None:
            ran = run_names.slot_run(made_up_for) in {
                _run_of_name(n) for _, n in self.world.created
            }
            assert not ran, "a slot that ran was made up for"
        again = (run, index) in self.succeeded and not pod_is_of_a_gang(pod)
        assert not again or self.troubled, "an attempt after a success"
        assert slot is None or attempt or not self._held(), "a run began while the job was held"
        live = [
            other
            for other in self.world.pods.values()
            if not other.terminal
            and other.node not in self.troubled
            and not (other.terminating and not other.node)  # nothing will ever run it
        ]
        mine = [_run_of(other) for other in live if _run_of(other)[0] == run]
        twins = [one for one in mine if one[2] == index]
        assert [] == twins, "two attempts of a task are alive"
        if pod_is_of_a_gang(pod):
            assert {attempt} >= {one[1] for one in mine}, "two attempts of a gang are alive"
        if self.spec["concurrencyPolicy"] != "Allow":
            assert len(mine) == len(live), "two runs of a job are alive"

    def _uses(self, pod: Pod) -> None:
        """A success is used by one run: of pods whose CREATE was committed, that is."""
        told = pod.annotations.get(names.PARENTS, "")
        self.used[pod.name] = set(told.split(",")) - {""}
        for _, other in self.world.created:
            if _run_of_name(other) != _run_of(pod)[0]:
                assert not self.used[other] & self.used[pod.name], "a success was used twice"

    def _held(self) -> bool:
        world = self.world
        paused = world.annotations.get(names.PAUSED_UNTIL) or world.seen[1].get("pausedUntil")
        return bool(world.spec.get("suspend")) or _epoch(paused) > world.now

    def _watch(self, before: Mapping[str, Any]) -> None:
        after = self.world.status
        created = Counter(name for _, name in self.world.created)
        assert 1 >= max(created.values(), default=0), "a pod was made twice"
        told = {one["reason"] for one in after.get("conditions", [])}
        assert told <= CLOSED, "a reason that is not documented"
        old, new = before.get("statistics", {}), after.get("statistics", {})
        for name in old.keys() - {"consecutiveFailures"}:
            assert "Seconds" in name or old[name] <= new[name], "a counter fell"
        assert new.get("runs", 0) == sum(
            new.get(name, 0) for name in ("successes", "failures", "cancelled")
        )
        self.seen |= {run_names.attempt_of(PREFIX, name)[0] for name in created}  # type: ignore[index]
        self.seen |= {one["run"] for one in after.get("active", [])}
        self.seen |= {one["run"] for one in after.get("history", []) if one["outcome"] != "Missed"}

    def settled(self, *, plain: bool) -> None:
        """The laws at the end; `plain` histories had no edits and no suspension."""
        world = self.world
        counters = world.status.get("statistics", {})
        assert len(self.seen) == counters.get("runs", 0), "runs are not counted once each"
        assert not any(pod.finalizers for pod in world.pods.values()), "a pod is held for ever"
        slots = {run for run in self.seen if run_names.slot_of(run) is not None}
        texts = world.spec.get("schedules") or [world.spec.get("schedule")]
        if world.spec.get("parents"):
            self._inherited()
        elif texts == [None]:
            assert {run_names.slot_run(START)} == slots
        elif plain:
            schedule = parse(texts[0], "UTC", key="default/report", anchor=START)
            last = _epoch(world.status.get("lastSlotTime"))
            due = schedule.count_between(START - 1, last)
            assert due == len(slots) + counters.get("missed", 0), "a slot was lost"
            window = world.spec.get("startWindowSeconds", 0)  # what is in it may wait
            newest = schedule.latest_at(world.now - window) or 0
            assert newest <= max(last, START - 1), "a slot is still owed"
        if plain and not self.troubled and self.spec["concurrencyPolicy"] != "Replace":
            tasks = self.spec.get("tasks", 1)
            assert len(self.succeeded) >= counters.get("successes", 0) * tasks

    def _inherited(self) -> None:
        """No set of new successes is left over."""
        parents = self.world.parents.known
        used = {one["name"]: one["run"] for one in self.world.status.get("consumed", [])}
        news = [
            bool(parent.successes) and parent.successes[0].run != used.get(name)
            for name, parent in parents.items()
        ]
        assert not all(news), "a set of successes led to no run"


def _run_of_name(name: str) -> str:
    found = run_names.attempt_of(PREFIX, name)
    assert found is not None
    return found[0]


def _run_of(pod: Pod) -> tuple[str, int, int]:
    found = run_names.attempt_of(PREFIX, pod.name)
    assert found is not None
    return found


def pod_is_of_a_gang(pod: Pod) -> bool:
    return names.GANG in pod.annotations


def _accounts_for(status: Mapping[str, Any], run: str, attempt: int, index: int) -> bool:
    """Whether this status tells how the attempt ended, read without the product's own reader."""
    for entry in status.get("active", []):
        if entry["run"] == run:
            tasks = entry.get("tasks", {"gang": True})
            if tasks.get("gang"):
                return bool(attempt < entry["attempt"])
            ended = ",".join(tasks.get(name, "") for name in ("succeeded", "failed", "cancelled"))
            stands = [
                one["attempt"]
                for one in tasks.get("retries", ())
                if index in _listed(one["indexes"])
            ]
            return index in _listed(ended) or attempt < max(stands, default=0)
    slot = run_names.slot_of(run)
    if run.startswith("b"):
        when, gaps = int(run[1:], 36), status.get("gaps", [])
        left = [one for one in gaps if _epoch(one["fromTime"]) <= when <= _epoch(one["toTime"])]
        return "gaps" in status and not left
    if slot is None:
        return run in status.get("handledTokens", [])
    return slot <= _epoch(status.get("lastSlotTime"))


def _listed(text: str) -> set[int]:
    pairs = [part.partition("-") for part in text.split(",") if part]
    return {n for low, _, high in pairs for n in range(int(low), int(high or low) + 1)}


def _epoch(text: str | None) -> int:
    return -1 if text is None else epoch_of(text)


def live_through(spec: dict[str, Any], acts: list[Act], *, plain: bool) -> History:
    history = History(spec)
    for act in acts:
        history.act(act)
    history.heal()
    history.settled(plain=plain)
    return history


QUICK = settings(
    max_examples=600,
    deadline=None,
    suppress_health_check=[HealthCheck.too_slow, HealthCheck.data_too_large],
)


@QUICK
@given(SPECS, st.lists(ACTS, min_size=6, max_size=60))
@example(
    {
        "concurrencyPolicy": "Forbid",
        "missedRunPolicy": "RunLatest",
        "retryPolicy": {"limit": 0},
        "history": {"successful": 0, "failed": 0},
        "unreachable": {"retryAfterSeconds": PATIENCE},
    },
    [("reconcile", 0), ("succeed", 0), ("crash", 1), ("crash", 1), ("crash", 1)],
)
def test_nothing_twice_nothing_lost(spec: dict[str, Any], acts: list[Act]) -> None:
    """Crashes after any write, late and lost status: each slot runs once or is counted missed."""
    live_through({**spec, "schedule": SCHEDULE}, acts, plain=True)


@QUICK
@given(SPECS, st.booleans(), st.lists(st.one_of(ACTS, NODE_ACTS), min_size=6, max_size=40))
def test_several_tasks(spec: dict[str, Any], gang: bool, acts: list[Act]) -> None:
    """Arrays and gangs: no task twice, none lost, each run counted once, through all faults."""
    spec = {**spec, "schedule": SCHEDULE, "tasks": 3, "gang": gang}
    live_through(spec, acts, plain=True)


@QUICK
@given(SPECS, st.lists(ACTS, min_size=6, max_size=40))
def test_several_schedules(spec: dict[str, Any], acts: list[Act]) -> None:
    """The same with schedules that share times: each time once."""
    live_through({**spec, "schedules": [SCHEDULE, "*/10 * * * *"]}, acts, plain=True)


@QUICK
@given(
    SPECS,
    st.sampled_from([{}, {"tasks": 3}, {"tasks": 2, "gang": True}]),
    st.sampled_from([0, 45, 600]),
    st.lists(
        st.one_of(
            START_ACTS,
            st.tuples(st.just("pass"), st.sampled_from([1, 30, 60, 300, 600])),
            st.sampled_from([("reconcile", 0), ("stop", 0)]),
            ACTS,
            NODE_ACTS,
        ),
        min_size=6,
        max_size=60,
    ),
)
def test_pods_that_do_not_start(
    spec: dict[str, Any], tasks: dict[str, Any], seconds: int, acts: list[Act]
) -> None:
    """Hindered pods, templates that are mended, containers that start while they are replaced."""
    spec = {**spec, **tasks, "schedule": SCHEDULE, "startTimeoutSeconds": seconds}
    live_through(spec, [("jam", 0), ("reconcile", 0), *acts], plain=True)


@QUICK
@given(SPECS, st.lists(st.one_of(ACTS, NODE_ACTS, TIME_ACTS), min_size=6, max_size=60))
def test_lost_nodes_and_jumping_clocks(spec: dict[str, Any], acts: list[Act]) -> None:
    """The same while nodes fall silent, vanish and return, people delete pods, clocks step."""
    live_through({**spec, "schedule": SCHEDULE}, acts, plain=True)


@QUICK
@given(HELD_SPECS, st.lists(st.one_of(ACTS, NODE_ACTS, PEOPLE_ACTS), min_size=6, max_size=60))
@example(  # a slot was settled as skipped, in a status that the next look has not seen
    {
        "concurrencyPolicy": "Forbid",
        "missedRunPolicy": "Skip",
        "retryPolicy": {"limit": 0},
        "history": {"successful": 0, "failed": 0},
        "unreachable": {"retryAfterSeconds": PATIENCE},
        "startWindowSeconds": 30,
        "suspendAfterFailures": 0,
    },
    [("pass", 300), ("ask", 0), ("reconcile", 0), ("succeed", 0), ("blind", 0)],
)
def test_edits_suspension_and_run_now(spec: dict[str, Any], acts: list[Act]) -> None:
    """No run twice and each counted once while people edit, suspend and ask for runs."""
    live_through({**spec, "schedule": SCHEDULE}, acts, plain=False)


@QUICK
@given(
    HELD_SPECS,
    st.lists(st.one_of(ACTS, NODE_ACTS, PEOPLE_ACTS, REPEAT_ACTS), min_size=6, max_size=60),
)
def test_backfills_and_retries(spec: dict[str, Any], acts: list[Act]) -> None:
    """Nothing that ran is made up for, and nothing twice, whatever is asked in whatever order."""
    live_through({**spec, "schedule": SCHEDULE}, acts, plain=False)


@QUICK
@given(CHILD_SPECS, st.lists(st.one_of(ACTS, PARENT_ACTS, PARENT_ACTS, NODE_ACTS), min_size=6))
def test_a_child_runs_once_for_each_set(spec: dict[str, Any], acts: list[Act]) -> None:
    """No success of a parent is used twice, and none is left when all have a new one."""
    live_through(spec, acts, plain=True)


@QUICK
@given(SPECS, st.lists(st.one_of(ACTS, NODE_ACTS, TIME_ACTS), max_size=40))
def test_a_one_shot_runs_once_ever(spec: dict[str, Any], acts: list[Act]) -> None:
    """Whatever happens, one run, and its outcome is told."""
    history = live_through(spec, acts, plain=True)
    told = [history.world.condition(type_)[0] for type_ in ("Complete", "Failed")]

    assert ["True"] == [status for status in told if status]
