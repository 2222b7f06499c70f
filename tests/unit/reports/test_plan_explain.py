"""What the operator would do, and why something waits, as data: no terminal is needed."""

from bayplan.cli.client import ApiClient
from bayplan.cli.target import Target
from bayplan.reports.explain import account
from bayplan.reports.plan import changes
from bayplan.scheduler import dry_run
from tests.recorded import Recorded, make_node, make_pod, make_service

NOW = 1_770_000_000


def session(cluster: Recorded) -> dry_run.Session:
    return dry_run.session(ApiClient(cluster, Target()), NOW, "")


def test_changes_of_all_and_of_one_namespace() -> None:
    """What has a place is created or bound, what has none waits with its reason."""
    bodies = (make_node("a"), make_service("web", replicas=1), make_pod("big", cpu="9"))
    found = session(Recorded(*bodies))

    assert [("Create", "a")] == [
        (one["action"], one["node"]) for one in changes(found, "")["changes"]
    ]
    assert ["Pod default/big"] == [one["of"] for one in changes(found, "")["waiting"]]
    assert {"changes": [], "waiting": [], "unreadable": []} == changes(found, "other")


def test_an_account_has_the_funnel_and_the_newest_events() -> None:
    """Events are handed over; the last eight are told, the oldest of them first."""
    pod = make_pod("big", cpu="9")
    cluster = Recorded(make_node("a"), pod)
    events = [{"eventTime": f"2026-01-01T00:00:0{n}Z", "note": str(n)} for n in range(9)]
    told = account(session(cluster), "Pod", pod, reversed(events))

    assert 1 == told["waiting"][0]["pendingTasks"]
    assert list("12345678") == [one["message"] for one in told["events"]]
