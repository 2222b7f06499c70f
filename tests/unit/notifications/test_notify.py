"""Notices reach real HTTP servers, signed, whatever those do; nothing ever waits for them."""

import asyncio
import hashlib
import hmac
from collections import Counter
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path

import pytest

from bayplan.api.resource import Resource
from bayplan.model.intents import Notice
from bayplan.notifications import notifier, receivers
from tests.receivers import KEY, configured, serving

JOB = Resource("BatchJob", "default", "report", "uid-report")
NOW = 1_789_999_200


@dataclass
class Office:
    """A notifier on these receivers; pauses are noted and take no time."""

    known: dict[str, receivers.Receiver]
    answer_seconds: float = 10.0
    outcomes: Counter[tuple[str, str]] = field(default_factory=Counter)
    pauses: list[float] = field(default_factory=list)

    def run(self, act: Callable[["Office"], None], until: int) -> None:
        """Notify, until so many notices have ended one way or another."""
        asyncio.run(self._run(act, until))

    async def _run(self, act: Callable[["Office"], None], until: int) -> None:
        enough = asyncio.Event()

        def counted(receiver: str, outcome: str) -> None:
            self.outcomes[receiver, outcome] += 1
            if self.outcomes.total() >= until:
                enough.set()

        async def pause(seconds: float) -> None:
            self.pauses.append(seconds)

        self.notifier = notifier.Notifier(
            self.known, counted, lambda: NOW, pause, self.answer_seconds
        )
        work = asyncio.ensure_future(self.notifier.run())
        act(self)
        async with asyncio.timeout(60):
            await asyncio.wait({work, wait := asyncio.ensure_future(enough.wait())},
                               return_when=asyncio.FIRST_COMPLETED)  # fmt: skip
        assert wait.done(), work
        work.cancel()
        await asyncio.gather(work, return_exceptions=True)

    def tell(self, receiver: str = "team", run: str = "s1") -> None:
        self.notifier.notify(JOB, Notice(receiver, "Failed", {"run": run, "message": "über"}))


def test_a_notice_is_json_with_a_signature(tmp_path: Path) -> None:
    """The signature is over time and body, by the key of the file without its last line end."""
    with serving() as server:
        office = Office(receivers.read(configured(tmp_path, team=server.url)))
        office.run(Office.tell, until=1)
        [post] = server.posts
    signed = f"{NOW}.".encode() + post.body

    assert (
        f"v1={hmac.new(KEY, signed, hashlib.sha256).hexdigest()}"
        == post.headers["Bayplan-Signature"]
    )
    assert str(NOW) == post.headers["Bayplan-Timestamp"]
    assert ("Failed", "default", "report", "s1", "über") == tuple(
        post.told[name] for name in ("on", "namespace", "name", "run", "message")
    )
    assert {("team", "delivered"): 1} == office.outcomes


@pytest.mark.parametrize("fault", [500, 503, 429, 408, "reset"])
def test_what_may_pass_is_tried_again(tmp_path: Path, fault: int | str) -> None:
    """After 1 s, 2 s …; each time with the same id, so that a receiver may know it."""
    with serving(fault, fault) as server:
        office = Office(receivers.read(configured(tmp_path, team=server.url)))
        office.run(Office.tell, until=1)

    assert {("team", "delivered"): 1} == office.outcomes
    assert [1.0, 2.0] == office.pauses
    assert 1 == len({post.told["id"] for post in server.posts})


@pytest.mark.parametrize("answer", [301, 307, 400, 401, 404, 410])
def test_a_refusal_is_final(tmp_path: Path, answer: int) -> None:
    """A redirection too: nothing goes where no administrator sent it."""
    with serving(answer) as server:
        office = Office(receivers.read(configured(tmp_path, team=server.url)))
        office.run(Office.tell, until=1)

    assert {("team", "refused"): 1} == office.outcomes
    assert ["/hook"] == [post.path for post in server.posts]


def test_it_is_given_up(tmp_path: Path) -> None:
    """After eight attempts; the next notice has its own."""

    def twice(office: Office) -> None:
        office.tell()
        office.tell(run="s2")

    with serving(*[500] * notifier.MOST_ATTEMPTS) as server:
        office = Office(receivers.read(configured(tmp_path, team=server.url)))
        office.run(twice, until=2)

    assert {("team", "failed"): 1, ("team", "delivered"): 1} == office.outcomes
    assert [float(1 << n) for n in range(notifier.MOST_ATTEMPTS - 1)] == office.pauses


def test_nobody_listens(tmp_path: Path) -> None:
    """A closed port is tried again too."""
    with serving() as server:
        gone = server.url
    office = Office(receivers.read(configured(tmp_path, team=gone)))
    office.run(Office.tell, until=1)

    assert {("team", "failed"): 1} == office.outcomes


def test_a_slow_receiver_delays_nobody_else(tmp_path: Path) -> None:
    """It never answers; its queue fills and the rest is dropped; the other gets all at once."""
    extra = 7
    with serving("silent") as slow, serving() as quick:
        office = Office(receivers.read(configured(tmp_path, slow=slow.url, quick=quick.url)))

        def act(one: Office) -> None:
            for number in range(notifier.MOST_WAITING + extra):
                one.tell("slow", f"s{number}")
            for number in range(notifier.MOST_WAITING):
                one.tell("quick", f"s{number}")

        office.run(act, until=extra + notifier.MOST_WAITING)

    assert {("slow", "dropped"): extra, ("quick", "delivered"): notifier.MOST_WAITING} == (
        office.outcomes
    )
    assert [f"s{n}" for n in range(notifier.MOST_WAITING)] == [
        post.told["run"] for post in quick.posts
    ]


def test_an_answer_that_does_not_come_is_a_fault(tmp_path: Path) -> None:
    """After the time for answers it is tried again."""
    with serving("silent") as server:
        known = receivers.read(configured(tmp_path, team=server.url))
        office = Office(known, answer_seconds=1.0)
        office.run(Office.tell, until=1)

    assert {("team", "delivered"): 1} == office.outcomes
    assert 1.0 == office.pauses[0]


def test_a_key_may_be_turned_over(tmp_path: Path) -> None:
    """It is read for each notice; one that is not there for a moment is a fault that passes."""
    with serving() as server:
        known = receivers.read(configured(tmp_path, team=server.url))
        (tmp_path / "some.key").unlink()
        office = Office(known)
        office.run(Office.tell, until=1)
        (tmp_path / "some.key").write_bytes(b"another key of the same length..")
        office.run(Office.tell, until=2)
    [post] = server.posts
    signature = notifier.signature(b"another key of the same length..", NOW, post.body)

    assert {("team", "failed"): 1, ("team", "delivered"): 1} == office.outcomes
    assert signature == post.headers["Bayplan-Signature"]


GOOD = "{name: a, url: 'https://x/y', keyFile: k}"


@pytest.mark.parametrize(
    ("text", "part"),
    [
        ("", "the file"),
        ("receivers: [", "is no YAML, line 1"),
        ("receivers: 3", "receivers: Input should be a valid tuple"),
        ("receivers: [{name: a, url: 'https://x/y'}]", "receivers.0.keyFile: Field required"),
        ("receivers: [{name: A, url: 'https://x/y', keyFile: k}]", "receivers.0.name"),
        ("receivers: [{name: a, url: 'file:///etc/passwd', keyFile: k}]", "must be a URL such as"),
        ("receivers: [{name: a, url: x, keyFile: k}]", "must be a URL such as"),
        ("receivers: [{name: a, url: 'https://x/y', keyFile: none}]", "No such file"),
        ("receivers: [{name: a, url: 'https://x/y', keyFile: short}]", "the key has 3 bytes"),
        (f"receivers: [{GOOD}, {GOOD}]", "two receivers have the same name"),
        (f"receivers: [{GOOD}]\nmore: 1", "more: Extra inputs"),
        ("#" * 300_000, "larger than"),
    ],
)
def test_a_file_that_cannot_be_used(tmp_path: Path, text: str, part: str) -> None:
    """One sentence that names the file, the field, and what is wrong with it."""
    (tmp_path / "k").write_bytes(KEY)
    (tmp_path / "short").write_bytes(b"abc\n")
    path = tmp_path / "receivers.yaml"
    path.write_text(text)

    with pytest.raises(receivers.ReceiversError) as caught:
        receivers.read(path)

    assert str(caught.value).startswith(str(path)) or str(caught.value).startswith(str(tmp_path))
    assert part in str(caught.value)
