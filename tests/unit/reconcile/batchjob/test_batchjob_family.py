"""A parent and its child, both whole: what becomes of the child when the parent fares so."""

from typing import Any

from bayplan.api import names
from bayplan.api.resource import Resource
from bayplan.api.run_names import slot_run
from bayplan.reconcile.batchjob import parent_summaries
from tests.jobs import START, World, make_job

HOUR = 3600
NO_RETRY = {"limit": 0}


class Family:
    """An hourly parent `a` and a child; each sees what the other's stored status tells."""

    def __init__(self, **parent: Any) -> None:
        self.parent = World({"schedule": "0 * * * *", "retryPolicy": NO_RETRY, **parent})
        self.child = World({"parents": [{"name": "a"}]})
        self.there = True
        self.settle()

    def settle(self) -> None:
        self.parent.settle()
        self.child.now = self.parent.now
        self.child.parents = parent_summaries.parents_of(self.child.job, self._find)
        self.child.settle()

    def _find(self, name: str) -> Resource | None:
        if name != "a" or not self.there:
            return None
        one = self.parent
        return make_job(name="a", status=one.status, generation=one.generation, **one.spec)

    def hour(self, exit_code: int = 0) -> int:
        """The parent's run of this hour ends so; how many runs of the child that led to."""
        before = len(self.child.created)
        self.settle()
        self.parent.finish(exit_code)
        self.settle()
        for pod in list(self.child.pods.values()):
            if not pod.terminal:
                self.child.finish(name=pod.name)
        self.settle()
        self.parent.now += HOUR - self.parent.now % HOUR
        return len(self.child.created) - before

    def edit(self, **fields: Any) -> None:
        self.parent.spec = {**self.parent.spec, **fields}
        self.parent.generation += 1
        self.settle()

    def ready(self) -> tuple[str, str, str]:
        """The child's condition Ready: status, reason, message."""
        [one] = [one for one in self.child.status["conditions"] if one["type"] == "Ready"]
        return one["status"], one["reason"], one["message"]


def test_a_parent_is_deleted_and_made_anew() -> None:
    """The child says so and waits; what it ran on stays used; the new parent's success counts."""
    family = Family()
    assert 1 == family.hour()
    family.there = False
    family.settle()
    missing = family.ready()
    family.child.wait(3 * HOUR)
    assert 1 == len(family.child.created)

    now = family.parent.now = family.child.now
    family.parent = World({"schedule": "0 * * * *"}, now=now, created_at=now)
    family.there = True
    family.settle()
    assert 1 == len(family.child.created)
    assert 1 == family.hour()
    assert ("False", "ParentMissing") == missing[:2]
    assert ("True", "OnParents") == family.ready()[:2]


def test_a_parent_is_suspended() -> None:
    """The child waits, its condition names the parent; when that runs again, so does the child."""
    family = Family()
    assert 1 == family.hour()
    family.edit(suspend=True)
    family.parent.now += 5 * HOUR
    family.settle()
    assert 1 == len(family.child.created)
    assert "a suspended" in family.ready()[2]

    family.edit(suspend=False)
    family.parent.now += HOUR
    assert 1 == family.hour()
    assert "suspended" not in family.ready()[2]


def test_a_parent_is_edited() -> None:
    """Another schedule and template: no success is used twice, the next one counts once."""
    family = Family()
    assert 1 == family.hour()
    template = {"spec": {"containers": [{"name": "main", "image": "other"}]}}
    family.edit(schedule="30 */2 * * *", template=template)
    family.settle()
    assert 1 == len(family.child.created)

    family.parent.now = START + 2 * HOUR + HOUR // 2
    assert 1 == family.hour()
    assert [{"name": "a", "run": slot_run(START + 2 * HOUR + HOUR // 2)}] == (
        family.child.status["consumed"]
    )


def test_a_parent_fails_for_good() -> None:
    """The child does not run and says why; it does when a person has the run repeated."""
    family = Family()
    assert [0, 0] == [family.hour(1), family.hour(2)]
    assert "a failed last" in family.ready()[2]

    failed = family.parent.status["history"][0]["run"]
    family.parent.annotations[names.RETRY] = failed
    family.parent.now -= HOUR // 2
    assert 1 == family.hour()
    assert "failed" not in family.ready()[2]


def test_a_failure_is_treated_as_success() -> None:
    """Each failed run leads to one of the child; the parent's own status tells the failure."""
    family = Family(treatFailureAsSuccess=True)

    assert [1, 1] == [family.hour(1), family.hour(1)]
    assert ("False", "Failed") == family.parent.condition("LastRunSucceeded")
    assert "failed" not in family.ready()[2]


def test_a_failure_is_treated_as_success_from_now_on() -> None:
    """What failed before the edit stays a failure for the child."""
    family = Family()
    assert 0 == family.hour(1)
    family.edit(treatFailureAsSuccess=True)
    family.settle()
    assert 0 == len(family.child.created)

    assert 1 == family.hour(1)


def test_a_failure_called_a_success_by_a_person() -> None:
    """`mark-success` on the parent lets the child run, once."""
    family = Family()
    assert 0 == family.hour(1)
    family.parent.annotations[names.MARK_SUCCESS] = slot_run(START)
    family.settle()
    family.settle()

    assert 1 == len(family.child.created)
