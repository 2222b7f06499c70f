"""Whatever the stream does, the cache ends equal to what the server stores."""

import asyncio
import contextlib
import json

import pytest

from bayplan.cluster import cache, decode, informer, pods, wire
from bayplan.model import state
from tests.builders import make_node
from tests.double import bodies
from tests.double.bell import Bell
from tests.double.bodies import bookmark, line, listed, pod
from tests.double.loop import run
from tests.double.transport import Answer, Break, Double, NoAnswer, Part, Pause, Reply

ONE = listed(pod("a", 10), version=100)


class Followed:
    """One pod informer run against a script for `seconds` of virtual time."""

    def __init__(
        self,
        lists: list[Reply],
        *streams: tuple[Part, ...],
        seconds: float = 3600,
        kind: type[cache.Cache] = cache.Cache,
    ) -> None:
        self.double = Double()
        self.double.reply("list", "Pod", *lists)
        self.double.streams(*streams)
        self.cache = kind(state.State(), Bell())
        self.restarts: list[str] = []
        self.unreadable = 0
        run(self._follow(seconds))

    async def _follow(self, seconds: float) -> None:
        follower = informer.Informer(
            decode.KINDS["Pod"],
            self.double,
            self.cache,
            jitter=lambda: 1.0,
            restarted=lambda _, cause: self.restarts.append(cause),
            unreadable=self._count,
        )
        with contextlib.suppress(TimeoutError):
            async with asyncio.timeout(seconds):
                await follower.run()

    def _count(self, _: str, count: int) -> None:
        self.unreadable += count

    @property
    def names(self) -> set[str]:
        return {name for _, name in self.cache.state.pods}

    @property
    def watched_from(self) -> list[str]:
        return [dict(request.query)["resourceVersion"] for request in self.double.asked("watch")]


def test_follows() -> None:
    """What is added, changed and deleted after the list is in the cache."""
    followed = Followed(
        [Answer(ONE)],
        (
            line("ADDED", pod("b", 101)),
            line("MODIFIED", pod("b", 102, node="n1")),
            line("DELETED", pod("a", 103)),
        ),
        seconds=1,
    )

    assert {"b"} == followed.names
    assert "n1" == followed.cache.state.pods["default", "b"].node
    assert "Pod" in followed.cache.synced_kinds


def test_cut_anywhere() -> None:
    """Chunks of a stream are cut anywhere: in a line, in a character, behind many lines."""
    big = pod("big", 104, spec={"nodeSelector": {"note": "ü" * 300_000}})
    whole = line("ADDED", pod("b", 101)) + line("ADDED", pod("c", 102)) + line("ADDED", big)
    whole = json.dumps(json.loads(whole.splitlines()[0])).encode() + b"\n" + whole
    for size in (997, 65536, len(whole)):
        parts = tuple(whole[at : at + size] for at in range(0, len(whole), size))

        assert {"a", "b", "c", "big"} == Followed([Answer(ONE)], parts, seconds=1).names


@pytest.mark.parametrize(
    ("fault", "cause", "seconds"),
    [
        ((Answer(bodies.encoded(bodies.status(410)), 410),), "gone", 20),
        ((line("ERROR", bodies.status(410, "Expired")),), "gone", 20),
        ((line("ERROR", bodies.status(500, "InternalError")),), "error", 20),
        ((line("ERROR", {}),), "error", 20),
        ((line("ADDED", pod("x", 101))[:-20],), "truncated", 20),
        ((b"{nonsense\n",), "unreadable", 20),
        ((bookmark(101), Pause()), "silence", 130),
    ],
)
def test_odd_streams_lead_to_a_list(fault: tuple[Part, ...], cause: str, seconds: float) -> None:
    """A stream that is refused, errs, breaks in a line or falls silent is followed by a new list.

    What was deleted in the meantime is gone then, without its DELETED ever being seen.
    """
    followed = Followed(
        [Answer(ONE), Answer(listed(pod("c", 205), version=210))], fault, seconds=seconds
    )

    assert {"c"} == followed.names
    assert [cause] == followed.restarts
    assert "210" == followed.watched_from[-1]


def test_plain_end_is_resumed() -> None:
    """A stream that ends, or breaks between lines, goes on where it stopped: no new list."""
    followed = Followed(
        [Answer(ONE)],
        (line("ADDED", pod("b", 101)), Pause(5)),
        (bookmark(150), Break()),
        (line("ADDED", pod("c", 151)),),
        seconds=60,
    )

    assert {"a", "b", "c"} == followed.names
    assert ["100", "101", "150", "151"] == followed.watched_from[:4]
    assert 1 == len(followed.double.asked("list"))


def test_what_is_known_is_not_read_again() -> None:
    """The echo of a write whose answer is in already costs a look at its version, no more."""
    echo = {**pod("a", 105), "spec": "unreadable"}
    followed = Followed(
        [Answer(ONE)],
        (line("MODIFIED", pod("a", 105, node="n1")), line("MODIFIED", echo)),
        seconds=1,
    )

    assert 0 == followed.unreadable
    assert "n1" == followed.cache.state.pods["default", "a"].node


def test_a_deletion_at_the_known_version_counts() -> None:
    """The version of a DELETED may be that of the last state before it."""
    assert set() == Followed([Answer(ONE)], (line("DELETED", pod("a", 10)),), seconds=1).names


def test_late_news_is_harmless() -> None:
    """Doubled and reordered events leave the newest state, and nothing comes back from the dead."""
    followed = Followed(
        [Answer(ONE)],
        (
            line("MODIFIED", pod("a", 105, node="n1")),
            line("MODIFIED", pod("a", 104)),
            line("MODIFIED", pod("a", 105, node="n1")),
            line("DELETED", pod("b", 110)),
            line("ADDED", pod("b", 107)),
            line("MODIFIED", pod("b", 109)),
        ),
        seconds=1,
    )

    assert {"a"} == followed.names
    assert "110" == followed.watched_from[-1]
    assert "n1" == followed.cache.state.pods["default", "a"].node


def test_reborn_name() -> None:
    """A new pod of a deleted pod's name is another pod: its events count, the old one's do not."""
    followed = Followed(
        [Answer(ONE)],
        (
            line("DELETED", pod("a", 110)),
            line("ADDED", pod("a", 111, uid="second")),
            line("DELETED", pod("a", 110)),
        ),
        seconds=1,
    )

    assert "second" == followed.cache.state.pods["default", "a"].uid


def test_chunks() -> None:
    """A list comes in chunks; all of them are one list."""
    followed = Followed(
        [
            Answer(listed(pod("a", 10), token="next")),  # noqa: S106
            Answer(listed(pod("b", 11))),
        ],
        seconds=1,
    )

    assert {"a", "b"} == followed.names
    assert [None, "next"] == [
        dict(request.query).get("continue") for request in followed.double.asked("list")
    ]


def test_expired_token() -> None:
    """A continue token that has expired begins the list again; nothing is taken as gone before."""
    gone = Answer(bodies.encoded(bodies.status(410, "Expired")), 410)
    followed = Followed(
        [
            Answer(listed(pod("a", 10), token="next")),  # noqa: S106
            gone,
            Answer(listed(pod("a", 10), token="again", version=120)),  # noqa: S106
            Answer(listed(pod("b", 11), version=120)),
        ],
        seconds=30,
    )

    assert {"a", "b"} == followed.names
    assert "120" == followed.watched_from[0]


def test_newer_than_the_list() -> None:
    """What is newer than the list, as the answer to our own CREATE, is not taken as gone."""
    double = Double()
    double.reply("list", "Pod", Answer(ONE))
    known = cache.Cache(state.State(), Bell())
    kind = decode.KINDS["Pod"]
    known.upsert("Pod", wire.Seen("default", "new", "u", 101, pods.pod_from_dict(pod("new"))))
    known.upsert("Pod", wire.Seen("default", "old", "u", 99, pods.pod_from_dict(pod("old"))))
    run(informer.relist(kind, double, known))

    assert {"new", "a"} == {name for _, name in known.state.pods}


def test_one_odd_object() -> None:
    """An object that cannot be read is left out and counted; it is not taken as gone either."""
    odd = pod("odd", 12)
    odd["spec"]["containers"] = 7
    followed = Followed(
        [
            Answer(listed(pod("a", 10), pod("odd", 11))),
            Answer(listed(pod("a", 10), odd, version=200)),
        ],
        (line("MODIFIED", odd), line("ERROR", bodies.status(500))),
        seconds=30,
    )

    assert {"a", "odd"} == followed.names
    assert 2 == followed.unreadable


def test_one_object_that_cannot_be_taken_in() -> None:
    """Whatever taking in one object raises, list and watch go on behind it."""

    class Tripping(cache.Cache):
        """Trips over what is called `odd`."""

        def upsert(self, kind: str, seen: wire.Seen) -> bool:
            if seen.name.startswith("odd"):
                raise ZeroDivisionError
            return super().upsert(kind, seen)

    followed = Followed(
        [Answer(listed(pod("odd-1", 10), pod("a", 11), version=100))],
        (line("ADDED", pod("odd-2", 101)), line("ADDED", pod("b", 102))),
        seconds=1,
        kind=Tripping,
    )

    assert {"a", "b"} == followed.names
    assert 2 == followed.unreadable
    assert 1 == len(followed.double.asked("list"))


def test_amounts_that_no_machine_has() -> None:
    """Requests of 2^63 bytes, twice in one pod and on one node: the sums stay what they mean."""
    huge = {"requests": {"memory": "9223372036854775807", "cpu": "9e15"}}
    spec = {"containers": [{"name": "a", "resources": huge}, {"name": "b", "resources": huge}]}
    followed = Followed(
        [
            Answer(
                listed(*(pod(f"p{n}", 10 + n, node="n1", spec=spec) for n in range(9)), version=99)
            )
        ],
        seconds=1,
    )
    followed.cache.state.set_node(make_node())
    free = followed.cache.snapshot().free[0]

    assert 9 == len(followed.names)
    assert (free < -(1 << 52)).tolist() == [True, True, False, False]


def test_older_list() -> None:
    """A list older than what was seen takes nothing away, and is asked for again."""
    followed = Followed(
        [Answer(ONE), Answer(listed(pod("b", 50), version=90)), Answer(ONE)],
        (bookmark(95), line("ERROR", bodies.status(500))),
        seconds=30,
    )

    assert ["error", "older"] == followed.restarts
    assert "a" in followed.names


def test_store_has_gone_back() -> None:
    """Lists that stay older mean a restored store: the informer ends, and with it the process."""
    with pytest.raises(informer.OlderError):
        Followed(
            [Answer(ONE), Answer(listed(version=90))],
            (line("ERROR", bodies.status(500)),),
        )


def test_one_nameless_object() -> None:
    """What has not even a name may be anything that is known: then nothing is taken as gone."""
    followed = Followed(
        [Answer(listed(pod("a", 10), pod("b", 11))), Answer(listed(pod("a", 10), {}, version=200))],
        (line("ERROR", bodies.status(500)),),
        seconds=30,
    )

    assert {"a", "b"} == followed.names
    assert 1 == followed.unreadable


def test_backs_off() -> None:
    """While the server is away it is asked less and less often, at most twice a minute."""
    followed = Followed([NoAnswer()], seconds=600)
    gaps = [
        after - before
        for before, after in zip(followed.double.times, followed.double.times[1:], strict=False)
    ]

    assert sorted(gaps) == gaps
    assert 30 == gaps[-1]
    assert len(gaps) < 30


def test_failing_watch_backs_off() -> None:
    """A list that works does not hide a watch that never does."""
    followed = Followed([Answer(ONE)], *[(line("ERROR", bodies.status(500)),)] * 1000, seconds=600)

    assert len(followed.double.asked("list")) < 30


@pytest.mark.parametrize(
    ("kind", "expected"),
    [
        ("Pod", "/api/v1/pods"),
        ("DaemonSet", "/apis/apps/v1/daemonsets"),
        ("PersistentVolumeClaim", "/api/v1/persistentvolumeclaims"),
        ("Node", "/api/v1/nodes"),
        ("Service", "/api/v1/namespaces/mine/services"),
        ("ResourceQuota", "/api/v1/namespaces/mine/resourcequotas"),
        ("BatchJob", "/apis/bayplan.dev/v1alpha1/namespaces/mine/batchjobs"),
    ],
)
def test_one_namespace_is_looked_at_but_load_everywhere(kind: str, expected: str) -> None:
    """Serving one namespace: what takes room on nodes is listed and watched everywhere."""
    known = decode.KINDS[kind]
    double = Double()
    double.reply("list", kind, Answer(listed(version=100)))
    double.streams((Pause(10),))
    follower = informer.Informer(
        known,
        double,
        cache.Cache(state.State(), Bell()),
        jitter=lambda: 1.0,
        restarted=lambda *_: None,
        namespace=informer.scope(known, "mine"),
    )

    async def follow() -> None:
        with contextlib.suppress(TimeoutError):
            async with asyncio.timeout(5):
                await follower.run()

    run(follow())

    assert [expected, expected] == [
        request.path for verb in ("list", "watch") for request in double.asked(verb)
    ]
