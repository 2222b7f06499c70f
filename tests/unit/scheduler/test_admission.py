"""What the dry run of a template teaches: strict first, then what would be stored anyway."""

import asyncio
from collections.abc import Mapping
from dataclasses import replace
from typing import Any

import pytest

from bayplan.api.resource import Key, Resource
from bayplan.cluster import errors, pods
from bayplan.model import intents
from bayplan.model.admission import Admission
from bayplan.model.pods import Pod
from bayplan.scheduler import admission
from tests.builders import NOON
from tests.double import loop as loops
from tests.double.unasked import make_admissions
from tests.jobs import World as Jobs
from tests.jobs import make_job
from tests.services import running

_LEADING = 'Pod in version "v1" cannot be handled as a Pod: '
_UNKNOWN = (
    f'{_LEADING}strict decoding error: unknown field "spec.hostNetwrk", '
    'unknown field "spec.containers[0].imagePulPolicy"'
)
_FIELDS = ("spec.template.spec.containers[0].imagePulPolicy", "spec.template.spec.hostNetwrk")


def asked(*answers: errors.ClusterError | None) -> tuple[Admission | None, list[bool]]:
    """What is known of a job after these answers (None: accepted), and which were strict."""
    coming, strictly = iter(answers), []

    async def dry_run(body: Mapping[str, Any], *, strict: bool) -> Pod:
        strictly.append(strict)
        refusal = next(coming)
        if refusal is not None:
            raise refusal
        return replace(pods.pod_from_dict(body), uid="dry-run")

    async def ask(job: Resource) -> Admission | None:
        answered = asyncio.Event()
        known = admission.Admissions(
            dry_run=dry_run,
            read=pods.pod_from_dict,
            now=lambda: NOON,
            answered=lambda _: answered.set(),
        )
        known.ask(job)
        await answered.wait()
        return known.of(job)

    return asyncio.run(ask(make_job())), strictly


def rejected(message: str, status: int = 400) -> errors.Rejected:
    return errors.Rejected(message, status=status, reason="BadRequest")


def test_a_template_without_faults_is_asked_once() -> None:
    known, strictly = asked(None)

    assert known is not None
    assert (("", ()), [True]) == ((known.refusal, known.unknown_fields), strictly)


def test_unknown_fields_are_named_and_do_no_harm() -> None:
    """Paths are those of the resource, sorted; the pod is what would be stored without them."""
    known, strictly = asked(rejected(_UNKNOWN), None)

    assert known is not None
    assert (("", _FIELDS), [True, False]) == ((known.refusal, known.unknown_fields), strictly)


def test_names_of_any_length_are_cut() -> None:
    """To what the schema of the status allows; else nothing of the status could be written."""
    fields = ", ".join(f'unknown field "spec.{n}{"x" * 1200}"' for n in range(20))
    many = ", ".join(f'unknown field "spec.f{n}"' for n in range(20))
    long, _ = asked(rejected(f"{_LEADING}strict decoding error: {fields}"), None)
    several, _ = asked(rejected(f"{_LEADING}strict decoding error: {many}"), None)

    assert long is not None
    assert several is not None
    assert (1024, 16) == (max(map(len, long.unknown_fields)), len(several.unknown_fields))


@pytest.mark.parametrize(
    "answers",
    [
        (rejected(f"{_LEADING}json: cannot unmarshal string"),),
        (rejected(_UNKNOWN), rejected("spec.hostNetwork: Invalid value", 422)),
    ],
)
def test_a_refusal_for_another_reason_stays_one(answers: tuple[errors.ClusterError, ...]) -> None:
    known, _ = asked(*answers)

    assert known is not None
    assert ("InvalidTemplate", str(answers[-1])) == (known.refusal, known.message)


def test_a_service_tells_once_of_a_template() -> None:
    """With the status that says so; the requests may change later, a restart forgets nothing."""
    world = running(1)
    assert world.admission is not None
    world.admission = replace(world.admission, unknown_fields=_FIELDS)
    first, again = world.act(), world.act()
    more = world.admission.request + world.admission.request
    world.admission = replace(world.admission, request=more)
    changed = world.act()
    told = world.service.status["effectiveRequests"]["unknownFields"]
    restarted = make_admissions().of(world.service)

    assert [("UnknownField", True)] == [(one.reason, one.warning) for one in _events(first)]
    assert all(field in _events(first)[0].message for field in _FIELDS)
    assert (intents.Outcome(), [], list(_FIELDS)) == (again, _events(changed), told)
    assert restarted is not None
    assert _FIELDS == restarted.unknown_fields


def test_a_job_tells_once_of_a_template() -> None:
    world = Jobs({"schedule": "0 * * * *"})
    world.refusal = Admission(world.job.template_hash, unknown_fields=_FIELDS[:1])
    world.settle()
    world.settle()

    assert ["UnknownField"] == [one.reason for one in world.events]
    assert f"{_FIELDS[0]} is no field of a pod" in world.events[0].message
    assert [_FIELDS[0]] == world.status["effectiveRequests"]["unknownFields"]


def _events(outcome: intents.Outcome) -> list[intents.EmitEvent]:
    return [one for one in outcome.events if isinstance(one, intents.EmitEvent)]


class Refusing:
    """A server that refuses every pod, in virtual time; whoever is refused is asked about again.

    `accepts` dry runs: then only real CREATEs are refused.
    """

    def __init__(self, *, accepts: bool = False) -> None:
        self.accepts = accepts
        self.asked: list[float] = []
        self.job = make_job()
        self.known = admission.Admissions(
            dry_run=self._dry_run,
            read=pods.pod_from_dict,
            now=lambda: NOON + int(asyncio.get_running_loop().time()),
            answered=lambda _: None,
        )

    async def _dry_run(self, body: Mapping[str, Any], *, strict: bool) -> Pod:  # noqa: ARG002
        self.asked.append(asyncio.get_running_loop().time())
        if not self.accepts:
            raise rejected("exceeded quota: few", 403)
        return replace(pods.pod_from_dict(body), uid="dry-run")

    def waits(self) -> int:
        """Seconds until the template is asked about again."""
        known = self.known.of(self.job)
        assert known is not None
        return known.retry_at - known.checked_at

    async def ask(self) -> None:
        self.known.ask(self.job)
        await asyncio.sleep(1)

    def refuse_others(self, count: int) -> None:
        """A dry run of so many other templates is refused too."""
        self.others = [replace(self.job, uid=f"other-{number}") for number in range(count)]
        for other in self.others:
            self.known.refuse(other, rejected("denied", 403), asked=True)

    def forget_others(self) -> None:
        for other in self.others:
            self.known.forget(other.uid)


def test_a_template_that_only_an_edit_can_mend_holds_up_no_others() -> None:
    """It is not asked about again, so it is not counted with those that are."""
    server = Refusing()

    async def act() -> int:
        server.refuse_others(100)
        for other in server.others:
            server.known.refuse(other, rejected("spec: Invalid value", 422), asked=True)
        for _ in range(8):
            await server.ask()
        return server.waits()

    assert 10 == loops.run(act())


def test_a_refusal_is_logged_once(caplog: pytest.LogCaptureFixture) -> None:
    """Though it is asked about every ten seconds."""
    server = Refusing()

    async def act() -> None:
        for _ in range(8):
            await server.ask()
        server.known.refuse(server.job, rejected("denied", 403))

    with caplog.at_level("WARNING"):
        loops.run(act())

    assert 2 == len(caplog.records)


def test_a_dry_run_ends_no_row_of_refusals() -> None:
    """What a CREATE alone meets is waited for ever longer; a pod that is made ends it."""
    server = Refusing(accepts=True)

    async def act() -> list[int]:
        waits = []
        for turn in range(4):
            await server.ask()
            if turn == 3:
                server.known.succeed(server.job)
            server.known.refuse(server.job, rejected("denied", 403))
            waits.append(server.waits())
        return waits

    assert [5, 10, 20, 5] == loops.run(act())


def test_the_end_of_what_a_dry_run_meets_is_noticed() -> None:
    """Nothing tells that a ServiceAccount has come: the template is asked about every 10 s."""
    server = Refusing()

    async def act() -> list[int]:
        waits = []
        for _ in range(5):
            await server.ask()
            waits.append(server.waits())
        return waits

    assert [5, 10, 10, 10, 10] == loops.run(act())


def test_many_refused_templates_are_asked_about_less_often() -> None:
    """Fifteen questions a second in all, as long as that is at least one in five minutes."""
    server = Refusing()

    async def act() -> list[int]:
        waits = []
        for others in (100, 200, 3_000, 6_000):
            server.refuse_others(others)
            for _ in range(8):
                await server.ask()
            waits.append(server.waits())
            server.forget_others()
        await server.ask()
        return [*waits, server.waits()]

    assert [10, 13, 200, 300, 10] == loops.run(act())


@pytest.mark.parametrize(("refusals", "others", "gap"), [(1, 0, 5), (3, 0, 5), (7, 4_500, 38)])
def test_a_quota_that_changes_all_the_time_is_no_storm(
    refusals: int, others: int, gap: int
) -> None:
    """Asked again 5 s after the last answer, or 37.5 s while many templates are refused.

    A quota changes with every write.
    """
    server = Refusing()

    async def act() -> None:
        server.refuse_others(others)
        for _ in range(refusals):
            await server.ask()
        began = len(server.asked)
        for _ in range(80):
            server.known.retry_namespace("default", {server.job.uid: server.job})
            await asyncio.sleep(1)
        later = server.asked[began:]
        assert gap - 2 <= later[0] - server.asked[began - 1] <= gap
        assert len(later) <= 80 / gap + 1

    loops.run(act())


def test_a_quota_that_is_raised_is_asked_about_at_once() -> None:
    """In the middle of a long wait, and only where it was raised."""
    server = Refusing()

    async def act() -> None:
        for _ in range(7):
            await server.ask()
        await asyncio.sleep(100)
        server.known.retry_namespace("elsewhere", {server.job.uid: server.job})
        await asyncio.sleep(1)
        before = len(server.asked)
        server.known.retry_namespace("default", {server.job.uid: server.job})
        await asyncio.sleep(0.1)
        assert (7, 8) == (before, len(server.asked))

    loops.run(act())


@pytest.mark.parametrize("refusal", [None, rejected("no", 422)])
def test_of_a_resource_that_goes_while_it_is_asked_about_nothing_is_kept(
    refusal: errors.ClusterError | None,
) -> None:
    """The answer comes when nobody is left who would forget it."""

    async def ask() -> tuple[int, int]:
        goes, answers = asyncio.Event(), asyncio.Event()
        rung: list[Key] = []

        async def dry_run(body: Mapping[str, Any], *, strict: bool) -> Pod:
            goes.set()
            await answers.wait()
            if refusal is not None:
                raise refusal
            return pods.pod_from_dict(body)

        known = admission.Admissions(dry_run, pods.pod_from_dict, lambda: NOON, rung.append)
        known.ask(job := make_job())
        await goes.wait()
        known.forget(job.uid)
        answers.set()
        await asyncio.sleep(0.01)
        return known.size + known.asking, len(rung)

    assert (0, 0) == loops.run(ask())


def test_two_hundred_refused_templates_are_freed_soon() -> None:
    """Within 15 s of the end of the cause all were asked again."""
    accepted: dict[str, float] = {}
    ended = False

    async def dry_run(body: Mapping[str, Any], *, strict: bool) -> Pod:
        await asyncio.sleep(0.05)
        if not ended:
            raise rejected("denied", 403)
        return replace(pods.pod_from_dict(body), uid="dry-run")

    async def act() -> float:
        nonlocal ended
        loop = asyncio.get_running_loop()
        known = admission.Admissions(
            dry_run=dry_run,
            read=pods.pod_from_dict,
            now=lambda: NOON + int(loop.time()),
            answered=lambda _: None,
        )
        jobs = [replace(make_job(), uid=f"job-{number}") for number in range(200)]
        for second in range(120):
            if second == 90:
                ended, began = True, loop.time()
            for job in jobs:
                told = known.of(job)
                if told is None or (told.refusal and told.retry_at <= NOON + int(loop.time())):
                    known.ask(job)
                elif not told.refusal:
                    accepted.setdefault(job.uid, loop.time())
            await asyncio.sleep(1)
        return max(accepted.values()) - began

    assert loops.run(act()) <= 15
    assert 200 == len(accepted)


def test_questions_that_hang_are_bounded() -> None:
    """A webhook may need ten seconds to fail: only so many questions wait at the API server."""
    under_way: set[str] = set()
    most: list[int] = []

    async def dry_run(body: Mapping[str, Any], *, strict: bool) -> Pod:
        name = str(body["metadata"]["name"])
        under_way.add(name)
        most.append(len(under_way))
        await asyncio.sleep(10)
        under_way.discard(name)
        raise rejected("denied", 403)

    async def act() -> None:
        known = admission.Admissions(
            dry_run=dry_run,
            read=pods.pod_from_dict,
            now=lambda: NOON,
            answered=lambda _: None,
        )
        for number in range(200):
            known.ask(replace(make_job(), uid=f"job-{number}", name=f"job-{number}"))
        await asyncio.sleep(60)
        await known.close()

    loops.run(act())
    assert 20 == max(most)


@pytest.mark.parametrize(
    ("error", "word"),
    [
        (
            errors.of(500, b'{"code":500,"message":"failed calling webhook \\"v\\": refused"}'),
            "WebhookUnavailable",
        ),
        (
            errors.Rejected('admission webhook "v" denied the request', status=403),
            "TemplateRefused",
        ),
        (errors.Unavailable("no answer"), "ApiServerUnavailable"),
        (errors.of(503, b"<html>"), "ApiServerUnavailable"),
    ],
)
def test_a_refusal_is_told_as_what_it_is(error: errors.ClusterError, word: str) -> None:
    """A webhook that is down, or a server that is down, is no fault of the template."""
    known, _ = asked(error)

    assert known is not None
    assert (word, False) == (known.refusal, known.final)
