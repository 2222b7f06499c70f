"""What waiting pods say: at once that they wait, rarely in other words, never before a binding."""

import asyncio
import itertools
import json
from collections import Counter
from collections.abc import Callable, Mapping
from typing import Any

import pytest

from bayplan.cluster import marks, pods, wire
from bayplan.cluster.transport import Request
from bayplan.model import intents
from bayplan.model.pods import Pod
from tests.double import bodies
from tests.double.bodies import encoded
from tests.double.test_writer import CONFLICT, GONE, Desk
from tests.double.transport import Answer, NoAnswer

FORBIDDEN = Answer(encoded(bodies.status(403, "Forbidden", "pods/status: no")), 403)


class Cluster(Desk):
    """A desk at a server that stores what marks say and answers with the pod as it then is."""

    def __init__(
        self, waiting: int = 1, *, after: float = 0.0, in_flight: int = 48, known: bool = True
    ) -> None:
        self.names = [f"p{number}" for number in range(waiting)]
        self.bodies = {name: bodies.pod(name) for name in self.names}
        super().__init__(*(self.bodies.values() if known else ()), in_flight=in_flight)
        self.after = after
        self.double.reply("mark", "Pod", self.stored)
        self.double.reply("bind", "Pod", Answer(after=after))

    def stored(self, request: Request) -> Answer:
        """A strategic merge patch of a status, of one condition."""
        body = self.bodies[request.path.split("/")[-2]]
        patch = json.loads(request.body or b"")
        if patch["metadata"]["resourceVersion"] != body["metadata"]["resourceVersion"]:
            return CONFLICT
        [condition] = patch["status"]["conditions"]
        [before] = body["status"].get("conditions", [{}])
        body["status"]["conditions"] = [{**before, **condition}]
        body["status"]["nominatedNodeName"] = patch["status"]["nominatedNodeName"]
        self.touch(body)
        return Answer(encoded(body), after=self.after)

    @staticmethod
    def touch(body: dict[str, Any]) -> None:
        version = int(body["metadata"]["resourceVersion"]) + 1
        body["metadata"]["resourceVersion"] = str(version)

    def say(self, words: str, *names: str, held: str = "") -> None:
        """What the loop does at the end of a cycle, for these pods or all."""
        for name in names or self.names:
            self.writer.mark(intents.MarkUnschedulable("default", name, f"uid-{name}", words, held))

    def bind(self, name: str, node: str = "n1") -> None:
        seen = self.pod(name)
        assert seen is not None
        self.cache.assumptions.assume(
            Pod("default", name, uid=seen.uid, node=node, scheduler="bayplan")
        )
        self.writer.bind(intents.Bind("default", name, seen.uid, node))

    def see(self, name: str) -> None:
        """Its present state comes by the watch."""
        read = pods.pod_from_dict(self.bodies[name])
        version = int(read.resource_version)
        self.cache.upsert("Pod", wire.Seen(read.namespace, read.name, read.uid, version, read))

    def undo(self, name: str) -> None:
        """Somebody else takes the condition away."""
        body = self.bodies[name]
        body["status"]["conditions"] = [{"type": "PodScheduled", "status": "False", "reason": "X"}]
        self.touch(body)
        self.see(name)

    def change(self, name: str) -> None:
        """Somebody else changes the pod, and nobody here has heard of it yet."""
        self.touch(self.bodies[name])

    def asked(self, verb: str = "mark") -> list[tuple[float, str]]:
        """When each write of this kind was sent, and of which pod."""
        return [
            (at, request.path.split("/")[-2])
            for at, request in zip(self.double.times, self.double.seen, strict=True)
            if request.verb == verb
        ]

    def words(self, name: str = "p0") -> str:
        [condition] = self.bodies[name]["status"]["conditions"]
        return str(condition["message"])


def later(*acts: tuple[float, Callable[[], None]]) -> Callable[[], None]:
    """Do each at its second."""

    def act() -> None:
        for at, what in acts:
            asyncio.get_running_loop().call_later(at, what)

    return act


def patched(request: Request) -> Mapping[str, Any]:
    [condition] = json.loads(request.body or b"")["status"]["conditions"]
    found: Mapping[str, Any] = condition
    return found


def test_mark() -> None:
    """An unplaced pod says Unschedulable in PodScheduled: what autoscalers read."""
    desk = Cluster()
    desk.work(lambda: desk.say("0/3 nodes: 3 insufficient cpu"))
    condition = patched(desk.double.seen[0])

    assert ("PodScheduled", "False", "Unschedulable") == (
        condition["type"],
        condition["status"],
        condition["reason"],
    )
    assert "2027-01-15T08:00:00Z" == condition["lastTransitionTime"]


def test_a_thousand_fresh_pods_are_told_within_seconds() -> None:
    """First marks know no pace: of each pod one, whatever its words become meanwhile."""
    desk = Cluster(1000, after=0.1)
    acts = [(0.1 * turn, lambda turn=turn: desk.say(f"0/{turn} nodes")) for turn in range(50)]
    desk.work(later(*acts), seconds=10)
    asked = desk.asked()

    assert {1} == set(Counter(name for _, name in asked).values())
    assert 1000 == len(asked)
    assert asked[-1][0] < 6


def test_words_that_changed_while_it_waited_to_be_sent() -> None:
    """The newest is sent, not the one that was wanted first."""
    desk = Cluster(100, after=1, in_flight=4)
    desk.work(later((0, lambda: desk.say("old")), (0.5, lambda: desk.say("new"))), seconds=58)

    assert Counter({"new": 97, "old": 3}) == Counter(
        patched(request)["message"] for request in desk.double.seen
    )


def test_a_sentence_changes_once_a_minute_and_is_true_in_the_end() -> None:
    """Of one pod; what it says last is the newest, though nothing rings any more."""
    desk = Cluster()
    acts = [(20.0 * turn, lambda turn=turn: desk.say(f"0/{turn} nodes")) for turn in range(10)]
    desk.work(later(*acts), seconds=400)
    at = [at for at, _ in desk.asked()]

    assert all(after - before >= marks.WORDS_SECONDS for before, after in itertools.pairwise(at))
    assert "0/9 nodes" == desk.words()
    assert at[-1] < 180 + marks.WORDS_SECONDS + marks.STILL_SECONDS + 1


def test_a_sentence_that_never_stands_still_costs_a_write_in_five_minutes() -> None:
    """While nodes come every few seconds its words are old before they are read."""
    desk = Cluster()
    acts = [(3.0 * turn, lambda turn=turn: desk.say(f"0/{turn} nodes")) for turn in range(300)]
    desk.work(later(*acts), seconds=890)

    assert 3 == len(desk.asked())


def test_sentences_are_paced_in_the_whole_cluster() -> None:
    """A thousand pods whose words change at once: twenty a second, each once, and all of them."""
    desk = Cluster(1000)
    desk.work(later((0, lambda: desk.say("old")), (100, lambda: desk.say("new"))), seconds=300)
    changed = [at for at, _ in desk.asked() if at > 1]
    seconds = Counter(int(at) for at in changed)

    assert 1000 == len(changed)
    assert max(seconds.values()) <= marks.PER_SECOND
    assert {"new"} == {desk.words(name) for name in desk.names}


def test_words_that_are_what_the_pod_says_again_are_not_written() -> None:
    """They changed and changed back: there is nothing to write."""
    desk = Cluster()
    acts = ((0, "a"), (5, "b"), (10, "a"))
    desk.work(later(*((at, lambda words=words: desk.say(words)) for at, words in acts)))

    assert 1 == len(desk.asked())


def test_a_held_node_is_told_at_once() -> None:
    """A restart reads holds back from the pod, so that they do not wait for their minute."""
    desk = Cluster()
    acts = (
        (0, lambda: desk.say("no room")),
        (5, lambda: desk.say("still none", held="n1")),
        (6, lambda: desk.say("still none")),
    )
    desk.work(later(*acts))

    assert [0, 5, 6] == [at for at, _ in desk.asked()]


def test_since_when_a_pod_waits_stays() -> None:
    """Other words are no transition: who measures how long a pod waits goes by the first."""
    desk = Cluster()
    desk.work(later((0, lambda: desk.say("old")), (5, lambda: desk.say("new"))))

    assert ["lastTransitionTime" in patched(request) for request in desk.double.seen] == [
        True,
        False,
    ]


def test_bindings_go_before_marks() -> None:
    """Of a thousand marks that wait no binding waits for more than those under way."""
    desk = Cluster(1000, after=1, in_flight=8)
    acts = (
        (0, lambda: desk.say("no room")),
        (10.5, lambda: [desk.bind(name) for name in desk.names[900:]] and None),
    )
    desk.work(later(*acts), seconds=60)
    bound = [at for at, _ in desk.asked("bind")]
    marked = [at for at, _ in desk.asked() if 11 <= at < max(bound)]

    assert [10.5] * 2 == bound[:2]
    assert 100 == len(bound)
    assert max(bound) < 10.5 + 100 / 7 + 2
    assert 0 < len(marked) <= max(bound) - 10


def test_a_pod_that_gets_a_place_is_not_marked() -> None:
    """Its mark waits behind others: by its turn there is nothing to say."""
    desk = Cluster(100, after=1, in_flight=4)

    def place() -> None:
        for name in desk.names[50:]:
            desk.bind(name)

    desk.work(later((0, lambda: desk.say("no room")), (0.5, place)))

    assert set(desk.names[:50]) == {name for _, name in desk.asked()}


def test_a_binding_does_not_wait_for_the_mark_of_its_pod() -> None:
    """Not for one under way that gets no answer, and not for its repetitions."""
    desk = Cluster()
    desk.double.reply("mark", "Pod", NoAnswer(None))
    desk.work(later((0, lambda: desk.say("no room")), (1, lambda: desk.bind("p0"))), seconds=100)

    assert [(1, "p0")] == desk.asked("bind")
    assert [(0, "p0")] == desk.asked()


def test_a_mark_does_not_overtake_what_it_does_not_know() -> None:
    """It names the version it was made for; when the pod has changed it looks again."""
    desk = Cluster()
    acts = (
        (0, lambda: desk.change("p0")),
        (0, lambda: desk.say("no room")),
        (0.5, lambda: desk.see("p0")),
    )
    desk.work(later(*acts), seconds=30)

    assert 2 == len(desk.asked())
    assert "no room" == desk.words()


@pytest.mark.parametrize("answer", [FORBIDDEN, CONFLICT], ids=["403", "409"])
def test_a_refused_mark_backs_off(answer: Answer) -> None:
    """However often it is asked for; and in the whole cluster no faster than changed words."""
    desk = Cluster(500)
    desk.double.reply("mark", "Pod", answer)
    acts = [(0.5 * turn, lambda turn=turn: desk.say(f"0/{turn}")) for turn in range(600)]
    desk.work(later(*acts), seconds=300)
    tries = Counter(name for _, name in desk.asked())
    seconds = Counter(int(at) for at, _ in desk.asked() if at >= 1)

    assert max(tries.values()) <= 9
    assert max(seconds.values()) <= marks.PER_SECOND


def test_a_pod_that_has_gone() -> None:
    """A 404 is its end: nothing is tried again."""
    desk = Cluster()
    desk.double.reply("mark", "Pod", GONE)
    desk.work(lambda: desk.say("no room"))

    assert 1 == len(desk.asked())
    assert desk.pod("p0") is None


def test_somebody_who_undoes_it_again_and_again() -> None:
    """It is said again, at the pace of changed words: two who disagree make no storm."""
    desk = Cluster()
    acts = [(5.0 * turn, lambda: desk.undo("p0")) for turn in range(1, 60)]
    says = [(5.0 * turn + 0.1, lambda: desk.say("no room")) for turn in range(60)]
    desk.work(later(*acts, *says), seconds=299)

    assert 3 <= len(desk.asked()) <= 6


def test_pods_that_went_are_forgotten() -> None:
    """Thousands that wait, are told and get a place leave next to nothing."""
    desk = Cluster(2000, known=False)
    kept: list[int] = []

    def one(name: str) -> None:
        kept.append(desk.writer.marks.kept)
        desk.see(name)
        desk.say("no room", name)
        asyncio.get_running_loop().call_later(1, desk.bind, name)

    acts = [(0.2 * number, lambda name=name: one(name)) for number, name in enumerate(desk.names)]
    desk.work(later(*acts), seconds=500)

    assert 2000 == len(desk.asked("bind"))
    assert max(kept) < 200


def test_the_backlog_is_told_by_kind() -> None:
    """Each kind of write that waits or is under way, for the metric."""
    desk = Cluster(10, after=1, in_flight=4)
    told: list[Mapping[str, int]] = []
    acts = (
        (0, lambda: desk.say("no room")),
        (0.5, lambda: desk.bind("p9")),
        (0.6, lambda: told.append(desk.writer.backlog)),
        (30, lambda: told.append(desk.writer.backlog)),
    )
    desk.work(later(*acts), seconds=40)

    assert [{"mark": 10, "bind": 1, "event": 0}, {"mark": 0, "bind": 0, "event": 0}] == told
