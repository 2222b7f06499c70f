"""The one client of the command line: pages, what is asked again, and errors as they are told."""

from typing import Any

import pytest

from bayplan.cli.errors import Changed, NoAnswer, NoCluster, NotThere, Refused
from tests.double.bodies import encoded, status
from tests.double.transport import Answer, Double, Reply
from tests.double.transport import NoAnswer as Silence
from tests.double.wire import Played, client

POD = {"metadata": {"name": "a", "namespace": "team"}}
GONE = Answer(encoded(status(410, "Expired", "too old")), status=410)
BUSY = Answer(encoded(status(429, "TooManyRequests", "later")), status=429)
DOWN = Answer(encoded(status(503, "ServiceUnavailable", "starting")), status=503)
BROKEN = Answer(encoded(status(500, "InternalError", "broken")), status=500)


def page(*names: str, after: str = "") -> Answer:
    items = [{"metadata": {"name": name}} for name in names]
    return Answer(encoded({"metadata": {"continue": after}, "items": items}))


class Asked:
    """A client on a script for one verb of pods."""

    def __init__(self, verb: str, *replies: Reply, patience: float = 10) -> None:
        self.double = Double()
        self.double.reply(verb, "Pod", *replies)
        self.wire = Played(self.double)
        self.client = client(self.wire, patience=patience)

    def names(self) -> list[str]:
        return [one["metadata"]["name"] for one in self.client.listed("Pod", "team")]

    @property
    def tokens(self) -> list[str]:
        return [dict(request.query).get("continue", "") for request in self.double.seen]


def test_a_list_is_read_page_by_page() -> None:
    """Each page is asked for by the token of the one before; the size is bounded."""
    asked = Asked("list", page("a", "b", after="1"), page("c", after="2"), page("d"))

    assert ["a", "b", "c", "d"] == asked.names()
    assert ["", "1", "2"] == asked.tokens
    assert {"500"} == {dict(one.query)["limit"] for one in asked.double.seen}


def test_a_list_that_expired_starts_anew() -> None:
    """What was read of the forgotten moment is not told twice."""
    asked = Asked("list", page("a", after="1"), GONE, page("a", "b", after="2"), page("c"))

    assert ["a", "b", "c"] == asked.names()
    assert ["", "1", "", "2"] == asked.tokens


def test_a_list_that_expires_for_ever_is_given_up() -> None:
    """A list too long for what the server remembers ends in one error."""

    def forgetful(request: Any) -> Answer:
        return GONE if dict(request.query).get("continue") else page("a", after="1")

    asked = Asked("list", forgetful)
    with pytest.raises(NoAnswer, match="too old"):
        asked.names()

    assert 12 == len(asked.double.seen)  # the first time, and five times anew


@pytest.mark.parametrize("reply", [BUSY, DOWN, BROKEN])
def test_a_question_is_asked_again(reply: Answer) -> None:
    """Whatever the server could not answer now is asked once a second, a page of a list too."""
    asked = Asked("list", page("a", after="1"), reply, reply, page("b"))

    assert ["a", "b"] == asked.names()
    assert 2.0 == asked.wire.passed


def test_the_server_says_when() -> None:
    """Retry-After is heeded, unless it is longer than anybody waits."""
    late = Answer(DOWN.body, status=503, retry_after=4)
    asked = Asked("list", late, page("a"))
    too_late = Asked("list", Answer(DOWN.body, status=503, retry_after=60), page("a"))

    assert ["a"] == asked.names()
    assert 4.0 == asked.wire.passed
    with pytest.raises(NoAnswer, match="starting"):
        too_late.names()
    assert 0.0 == too_late.wire.passed


def test_patience_ends() -> None:
    """A server that never comes back is told in its own words, after a bounded time."""
    asked = Asked("list", DOWN, patience=10)
    with pytest.raises(NoAnswer, match="starting"):
        asked.names()

    assert 10.0 == asked.wire.passed
    assert 11 == len(asked.double.seen)


def test_who_never_answered_is_not_waited_for() -> None:
    """A wrong address is told at once; a server that goes silent later is waited for."""
    wrong = Asked("list", Silence())
    with pytest.raises(NoAnswer):
        wrong.names()
    restarted = Asked("list", page("a", after="1"), Silence(), page("b"))

    assert 1 == len(wrong.double.seen)
    assert ["a", "b"] == restarted.names()


@pytest.mark.parametrize(
    ("reply", "times"),
    [
        (BUSY, 2),
        (Answer(DOWN.body, status=503, retry_after=1), 2),
        (DOWN, 1),
        (BROKEN, 1),
        (Silence(), 1),
    ],
)
def test_a_write_is_repeated_only_where_it_was_not_carried_out(reply: Reply, times: int) -> None:
    """429, and 503 with Retry-After, say so; after anything else nobody knows."""
    asked = Asked("create", reply, Answer())
    if times == 1:
        with pytest.raises(NoAnswer):
            asked.client.create("Pod", POD)
    else:
        asked.client.create("Pod", POD)

    assert times == len(asked.double.seen)


def test_of_many_writes_only_the_throttled_are_repeated() -> None:
    """Each has an answer of its own: gone, a spent budget, done."""
    spent = encoded(
        status(429, "TooManyRequests", "spent", causes=[{"reason": "DisruptionBudget"}])
    )
    asked = Asked("evict", BUSY, Answer(status=404), Answer(spent, status=429), Answer())
    pods = [("team", name, f"uid-{name}") for name in ("a", "b", "c")]

    throttled, gone, budget = asked.client.evict(pods)

    assert throttled is None
    assert isinstance(gone, NotThere)
    assert isinstance(budget, Changed)
    assert ["a", "b", "c", "a"] == [one.path.split("/")[-2] for one in asked.double.seen]


@pytest.mark.parametrize(
    ("code", "kind"),
    [(403, Refused), (404, NotThere), (409, Changed), (422, Refused), (500, NoAnswer)],
)
def test_errors_are_one_line_and_exit_code_3(code: int, kind: type[NoCluster]) -> None:
    """The server's own sentence, whatever line breaks it has; every kind ends a command alike."""
    body = encoded(status(code, "Reason", "not\n  so"))
    asked = Asked("create", Answer(body, status=code))
    with pytest.raises(kind) as raised:
        asked.client.create("Pod", POD)

    assert "not so" == raised.value.message
    assert 3 == raised.value.exit_code
