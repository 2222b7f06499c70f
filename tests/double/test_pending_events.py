"""`kubectl describe pod` says why a pod waits: an Event within seconds, and never a storm."""

import asyncio
import dataclasses
import json
from collections.abc import Callable

from bayplan.cluster.events import of_pod
from bayplan.cluster.pending_events import (
    CHANGE_SECONDS,
    FEW,
    LOOK_SECONDS,
    MOST_AT_ONCE,
    MOST_SEEN,
    REPEAT_SECONDS,
    PendingEvents,
)
from bayplan.model.intents import EmitEvent
from bayplan.model.pods import Pod
from tests.double import bodies
from tests.double.loop import run
from tests.double.test_writer import Desk
from tests.double.transport import Answer

WORDS = "0 of 3 nodes: 3 TooSmall cpu"


class Waiting(Desk):
    """Pods that are marked, and an hour or more of looking at them."""

    def __init__(
        self, pods: int, act: Callable[["Waiting"], None] = lambda _: None, seconds: float = 60
    ) -> None:
        self.names = [f"p{number}" for number in range(pods)]
        super().__init__(*(bodies.pod(name) for name in self.names))
        self.double.reply("create", "Event", Answer(b"{}"))
        self.double.reply("patch", "Event", Answer(b"{}"))
        self.say(WORDS)

        def begin() -> None:
            self.told = PendingEvents(self.cache, self.writer.events)
            self.looks = asyncio.ensure_future(self.told.run())
            act(self)
            asyncio.get_running_loop().call_later(seconds - 1, self.looks.cancel)

        self.work(begin, seconds)

    def say(self, words: str, **more: object) -> None:
        """The mark on all pods, as it was stored."""
        for name in self.names:
            pod = self.pod(name)
            assert pod is not None
            fields = {"scheduled_reason": "Unschedulable", "scheduled_message": words, **more}
            self.cache.state.set_pod(replaced(pod, **fields))

    @property
    def notes(self) -> list[str]:
        return [json.loads(one.body or b"")["note"] for one in self.double.asked("create")]


def replaced(pod: Pod, **more: object) -> Pod:
    return dataclasses.replace(pod, **more)  # type: ignore[arg-type]


def later(seconds: float, what: Callable[[Waiting], None]) -> Callable[[Waiting], None]:
    def act(waiting: Waiting) -> None:
        asyncio.get_running_loop().call_later(seconds, what, waiting)

    return act


def test_a_waiting_pod_is_told_why() -> None:
    """Once, as kube-scheduler does, in the words of its mark."""
    told = Waiting(1)
    [body] = [json.loads(one.body or b"") for one in told.double.asked("create")]

    assert ("FailedScheduling", WORDS, "Warning") == (body["reason"], body["note"], body["type"])
    assert ("v1", "Pod", "p0", "uid-p0") == tuple(
        body["regarding"][word] for word in ("apiVersion", "kind", "name", "uid")
    )
    assert LOOK_SECONDS == told.double.times[0]


def test_a_change_is_told_once_a_minute() -> None:
    """Other numbers are no change."""
    same = Waiting(1, later(5, lambda one: one.say("0 of 4 nodes: 4 TooSmall cpu")))
    other = Waiting(1, later(5, lambda one: one.say("0 of 3 nodes: 3 Taint")), 2 * CHANGE_SECONDS)

    assert [WORDS] == same.notes
    assert [WORDS, "0 of 3 nodes: 3 Taint"] == other.notes
    assert CHANGE_SECONDS <= other.double.times[1] - other.double.times[0]


def test_the_api_server_forgets_an_event_after_an_hour() -> None:
    """So it is told again before that."""
    assert 2 == len(Waiting(1, seconds=REPEAT_SECONDS + 60).notes)


def test_a_pod_that_has_found_a_node_is_not_told() -> None:
    """Nor a pod that nobody has marked."""
    placed = Waiting(1, lambda one: one.say(WORDS, node="n1"))
    fresh = Waiting(1, lambda one: one.say("", scheduled_reason=""))

    assert ([], []) == (placed.notes, fresh.notes)


def test_thousands_are_told_at_a_bounded_pace() -> None:
    """None is forgotten: those that still wait come later."""
    told = Waiting(1000, seconds=1000 / MOST_AT_ONCE * LOOK_SECONDS + 10)

    assert 1000 == len(told.notes)
    assert MOST_AT_ONCE / LOOK_SECONDS * 60 >= len([at for at in told.double.times if at < 60])


def test_words_that_change_all_the_time_keep_nobody_from_being_told() -> None:
    """More pods than can be told in a minute, each with other words in each minute."""
    pods = int(3 * CHANGE_SECONDS / LOOK_SECONDS * MOST_AT_ONCE)

    def change(waiting: Waiting) -> None:
        for minute in range(1, 4):
            words = f"0 of 3 nodes: 3 Taint {'x' * minute}"
            asyncio.get_running_loop().call_later(minute * CHANGE_SECONDS, waiting.say, words)

    told = Waiting(pods, change, seconds=4 * CHANGE_SECONDS)
    names = {
        json.loads(one.body or b"")["regarding"]["name"] for one in told.double.asked("create")
    }

    assert pods == len(names)


def test_a_look_is_bounded() -> None:
    """Of many pods that were told, each look sees some, and goes on where it stopped."""
    told = Waiting(1, seconds=2 * LOOK_SECONDS)
    seen: list[str] = []

    class Waits(dict[tuple[str, str], Pod]):
        def get(self, key: tuple[str, str], _: object = None) -> Pod | None:  # type: ignore[override]
            seen.append(key[1])
            return None

    pods = 2 * MOST_SEEN + 1
    told.cache.state.unplaced = Waits(
        {("default", f"p{n}"): Pod("default", "p") for n in range(pods)}
    )

    async def look() -> None:
        told.told.look()

    for _ in range(3):
        run(look())

    assert [*(f"p{number}" for number in range(pods)), *seen[pods:]] == seen
    assert 3 * MOST_SEEN == len(seen)


def test_other_events_go_first() -> None:
    """As long as many of them wait."""

    def flood(waiting: Waiting) -> None:
        for number in range(FEW + 50):
            event = EmitEvent("RunFailed", f"{'x' * number}", warning=True)
            waiting.writer.events.emit(of_pod(replaced(Pod("default", "other"), uid="u")), event)

    told = Waiting(1, flood)

    assert WORDS in told.notes[50:]


def test_nothing_is_remembered_of_pods_that_have_gone() -> None:
    told = Waiting(50, later(30, lambda one: one.say(WORDS, node="n1")))

    assert 0 == told.told.remembered
