"""What the cache rings reaches the inbox of the loop, and who retries admission."""

from bayplan.api import names
from bayplan.runtime.doorbell import InboxDoorbell
from bayplan.scheduler.inbox import Batch, Inbox
from tests.double.loop import run

WEB = (names.LONGSERVICE, "default", "web")


def rung(*, placement: bool, times: int = 1) -> tuple[Batch, list[str]]:
    """What the loop finds in its inbox, and the namespaces that are retried."""
    inbox, retried = Inbox(clock=lambda: 0.0), list[str]()
    doorbell = InboxDoorbell(inbox, retried.append)
    for _ in range(times):
        doorbell.mark(WEB)
        doorbell.mark_namespace("default")
    if placement:
        doorbell.mark_placement()
    return run(inbox.window(None)), retried


def test_a_key_that_rang_twice_is_looked_at_once() -> None:
    """Rings are level, not edge; that room has changed is another matter."""
    assert Batch(frozenset({WEB}), placement=False) == rung(placement=False, times=2)[0]
    assert Batch(frozenset({WEB}), placement=True) == rung(placement=True)[0]


def test_a_namespace_is_retried_at_once() -> None:
    """Admission keeps its own pace."""
    assert ["default", "default"] == rung(placement=False, times=2)[1]
