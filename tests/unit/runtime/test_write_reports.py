"""What became of a write reaches the loop, the receivers of notices and the metrics."""

from dataclasses import dataclass, field
from typing import Any

import pytest

from bayplan.api import names
from bayplan.cluster import errors, refusals
from bayplan.metrics import Metrics
from bayplan.model import intents
from bayplan.runtime.write_reports import WriteReports
from tests.builders import make_pod

WEB = (names.LONGSERVICE, "default", "web")


@dataclass
class Told:
    """Stands for the loop and for the notifier: what each was told, in order."""

    calls: list[tuple[Any, ...]] = field(default_factory=list)

    def created(self, *told: object) -> None:
        self.calls.append(("created", *told))

    def refused(self, *told: object) -> None:
        self.calls.append(("refused", *told))

    def defect(self, *told: object) -> None:
        self.calls.append(("defect", *told))

    def notify(self, *told: object) -> None:
        self.calls.append(("notify", *told))

    def relist(self) -> None:
        self.calls.append(("relist",))


@pytest.fixture
def told() -> Told:
    return Told()


@pytest.fixture
def metrics() -> Metrics:
    return Metrics()


@pytest.fixture
def reports(told: Told, metrics: Metrics) -> WriteReports:
    reports = WriteReports(metrics, told, told.relist)  # type: ignore[arg-type]
    reports.loop = told  # type: ignore[assignment]
    return reports


def test_the_loop_hears_of_answers(reports: WriteReports, told: Told) -> None:
    """A CREATE's answer with its plan, a refusal with its write, a defect with its object."""
    planned, stored = make_pod("planned"), make_pod("stored")
    write, error = refusals.Write(WEB, "create", "Pod", ""), errors.Rejected("no", status=422)
    defect = ZeroDivisionError()

    reports.created(WEB, planned, stored)
    reports.refused(write, error)
    reports.defect("default/web-0", defect)

    assert [
        ("created", WEB, planned, stored),
        ("refused", write, error),
        ("defect", "write", "default/web-0", defect),
    ] == told.calls


def test_a_status_that_met_no_object_leads_to_a_list(reports: WriteReports, told: Told) -> None:
    """Perhaps kopf has missed that it was deleted."""
    reports.missing(WEB)

    assert [("relist",)] == told.calls


def test_notices_go_to_their_receivers(reports: WriteReports, told: Told) -> None:
    """With the resource that they tell of."""
    resource: Any = object()
    notice = intents.Notice("hook", "Failed", {})

    reports.notify(resource, notice)

    assert [("notify", resource, notice)] == told.calls


def test_answers_are_counted(reports: WriteReports, metrics: Metrics) -> None:
    """By verb, kind and code."""
    reports.counted("create", "Pod", "2xx")
    reports.counted("create", "Pod", "2xx")
    reports.counted("delete", "Pod", "404")

    page = metrics.page().decode()
    assert 'bayplan_api_writes_total{code="2xx",kind="Pod",verb="create"} 2.0' in page
    assert 'bayplan_api_writes_total{code="404",kind="Pod",verb="delete"} 1.0' in page
