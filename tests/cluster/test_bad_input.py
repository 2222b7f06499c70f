"""Bad input gets one clear error that names the field, and disturbs nobody else."""

from typing import Any

import pytest

from tests.cluster import read
from tests.cluster.kube import Objects
from tests.cluster.manifests import make_job, make_service
from tests.cluster.under_test import Site

pytestmark = pytest.mark.cluster


@pytest.fixture(scope="module", autouse=True)
def nodes(site: Site) -> list[str]:
    return site.nodes("m5.large:us-east-1a=1", pool="bad-input")


POD = {"nodeSelector": {"pool": "bad-input"}}


@pytest.mark.parametrize(
    ("spec", "reason", "field"),
    [
        ({"schedule": "0 0 31 4-4 *"}, "InvalidSchedule", "spec.schedule"),
        ({"schedule": "* * * JUN-1 *"}, "InvalidSchedule", "spec.schedule"),
        ({"schedule": "R/2026-02-30T00:00:00Z/P1D"}, "InvalidSchedule", "spec.schedule"),
        ({"schedule": "R//P1300M"}, "InvalidSchedule", "spec.schedule"),
        (
            {"pod": {"volumes": [{"name": "v", "hostPath": {"path": ""}}]}},
            "InvalidTemplate",
            "hostPath",
        ),
        (
            {"container": {"volumeMounts": [{"name": "v", "mountPath": "/v"}]}},
            "InvalidTemplate",
            "v",
        ),
        ({"container": {"args": [5]}}, "InvalidTemplate", "args"),
        ({"container": {"command": "sleep 5"}}, "InvalidTemplate", "command"),
        ({"container": {"env": [{"name": "A", "value": 5}]}}, "InvalidTemplate", "env.value"),
        ({"container": {"env": {"A": "b"}}}, "InvalidTemplate", "env"),
    ],
)
def test_an_impossible_spec_is_stalled_with_the_field(
    site: Site, namespace: str, spec: dict[str, Any], reason: str, field: str
) -> None:
    """What the schema lets through and cannot work is `Stalled` with a reason and the field."""

    def stalled(found: Objects) -> Any:
        condition = read.condition(found.get("bad"), "Stalled")
        return condition if condition.get("status") == "True" else None

    site.kube.apply(make_job("bad", namespace, **spec))
    condition = site.kube.until(read.jobs(namespace), stalled)

    assert reason == condition["reason"]
    assert field in condition["message"]
    assert not site.kube.listed(read.pods(namespace))


def test_a_mended_spec_goes_on(site: Site, namespace: str) -> None:
    """After the field is corrected nothing reminds of the error."""
    site.kube.apply(make_job("mended", namespace, schedule="* * * JUN-1 *", pod=POD))
    site.kube.until(read.jobs(namespace), lambda found: read.holds(found, "mended", "Stalled"))
    site.kube.apply(make_job("mended", namespace, schedule="0 * * * *", pod=POD))
    mended = site.kube.until(
        read.jobs(namespace), lambda found: read.holds(found, "mended", "Ready") and found["mended"]
    )

    assert {} == read.condition(mended, "Stalled")


def test_bad_neighbours_disturb_nobody(site: Site, namespace: str) -> None:
    """Beside a heap of bad resources a good one runs as if alone."""
    mounts = {"volumeMounts": [{"name": "absent", "mountPath": "/v"}]}
    site.kube.apply(
        *(make_job(f"bad-{index}", namespace, schedule="* * * JUN-1 *") for index in range(20)),
        *(
            make_service(f"worse-{index}", namespace, replicas=9, container=mounts)
            for index in range(20)
        ),
        make_job("good", namespace, seconds=1, pod=POD),
    )
    done = site.kube.until(
        read.jobs(namespace), lambda found: read.holds(found, "good", "Complete")
    )

    assert done


@pytest.mark.parametrize(
    "text", ["\u202egnp.exe", "${jndi:ldap://x}", "a" * 2000, "'; DROP TABLE pods; --", "<b>&amp;"]
)
def test_hostile_text_is_only_text(site: Site, namespace: str, text: str) -> None:
    """Text in annotations, commands and environment is passed on and never interpreted."""
    container = {"command": ["echo", text], "env": [{"name": "TEXT", "value": text}]}
    notes = {"bayplan.dev/run-now": text[:200]}
    site.kube.apply(
        make_job("odd", namespace, seconds=1, container=container, annotations=notes, pod=POD)
    )
    pods = site.kube.until(read.pods(namespace), lambda found: list(found.values()))

    assert ["echo", text] == pods[0]["spec"]["containers"][0]["command"]
