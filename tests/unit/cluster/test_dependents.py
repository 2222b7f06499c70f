"""Who has to look at a change: the owner, the service that lost it, the jobs that wait."""

from typing import Any

import pytest

from bayplan.api import names
from bayplan.api.resource import Key, Resource, parse_resource
from bayplan.cluster.dependents import Dependents
from bayplan.cluster.owned import Owned
from bayplan.model.children import Child
from bayplan.model.pods import Owner
from tests.builders import make_pod
from tests.double.bell import Bell

TEMPLATE = {"spec": {"containers": [{"name": "main", "image": "x"}]}}
CLAIMS = [
    {
        "metadata": {"name": "data"},
        "spec": {
            "accessModes": ["ReadWriteOnce"],
            "resources": {"requests": {"storage": "1Gi"}},
        },
    }
]


def resource(kind: str, name: str, namespace: str = "default", **spec: Any) -> Resource:
    metadata = {"name": name, "namespace": namespace, "uid": f"uid-{name}", "generation": 1}
    return parse_resource(
        {"kind": kind, "metadata": metadata, "spec": {"template": TEMPLATE, **spec}}, None
    )


def service(name: str, namespace: str = "default", **spec: Any) -> Resource:
    return resource(names.LONGSERVICE, name, namespace, **spec)


def job(name: str, *parents: str) -> Resource:
    return resource(names.BATCHJOB, name, parents=[{"name": parent} for parent in parents])


class Known:
    """Resources that are known, and who has been rung."""

    def __init__(self, *resources: Resource) -> None:
        self.bell = Bell()
        self.resources = {one.key: one for one in resources}
        self.dependents = Dependents(self.resources, self.bell)
        for one in resources:
            self.dependents.know(one)

    def rung(self) -> set[Key]:
        return set(self.bell.keys)


WEB, OTHER, ELSEWHERE = service("web"), service("other"), service("web", "elsewhere")
LEFT = {names.SERVICE: "web", names.REVISION: "1", names.TEMPLATE_HASH: "abc"}


@pytest.mark.parametrize(
    ("owner", "labels", "rung"),
    [
        (Owner(names.LONGSERVICE, "web", "uid-web"), {}, {WEB.key}),
        (Owner("ReplicaSet", "web", "uid-rs"), LEFT, set()),
        (None, {}, set()),
        (None, LEFT, {WEB.key}),
    ],
)
def test_a_pod_concerns_its_owner(owner: Owner | None, labels: Any, rung: set[Key]) -> None:
    """Or the service of its namespace that it was left behind by; others' pods concern nobody."""
    known = Known(WEB, OTHER, ELSEWHERE)
    known.dependents.ring_owner(make_pod("p", owner=owner, labels=labels))

    assert rung == known.rung()


@pytest.mark.parametrize(
    ("owner", "left_by"), [(Owner(names.LONGSERVICE, "web", "uid-web"), ""), (None, "web")]
)
def test_an_object_concerns_its_owner(owner: Owner | None, left_by: str) -> None:
    """Or the service that left it behind."""
    known = Known(WEB, OTHER, ELSEWHERE)
    child = Child(kind="Service", name="web", uid="u", digest="")
    known.dependents.ring_parent(Owned(owner, child, left_by=left_by), "default")

    assert {WEB.key} == known.rung()


def test_an_object_of_somebody_else_may_have_stood_in_the_way() -> None:
    """The service of its name looks, if there is one."""
    known = Known(WEB, OTHER, job("nightly"))
    known.dependents.ring_namesake(("default", "web"))
    known.dependents.ring_namesake(("default", "nightly"))
    known.dependents.ring_namesake(("elsewhere", "web"))

    assert {WEB.key} == known.rung()


def test_a_claim_concerns_services_that_make_claims() -> None:
    """Those of its namespace, as long as they say so."""
    kept = service("kept", volumeClaimTemplates=CLAIMS)
    changed = service("changed", volumeClaimTemplates=CLAIMS)
    deleted = service("deleted", volumeClaimTemplates=CLAIMS)
    abroad = service("kept", "elsewhere", volumeClaimTemplates=CLAIMS)
    known = Known(WEB, kept, changed, deleted, abroad)
    known.dependents.know(service("changed"))
    known.dependents.forget(deleted)
    known.dependents.ring_claimants(("default", "data-kept-0"))

    assert {kept.key} == known.rung()


@pytest.mark.parametrize(("near", "rung"), [(True, {"b"}), (False, {"b", "c"})])
def test_a_job_concerns_those_that_wait_for_it(near: bool, rung: set[str]) -> None:
    """Its children; after an edit also their children, which may be in a circle by now."""
    known = Known(job("a"), job("b", "a"), job("c", "b"), job("d"))
    known.dependents.ring_descendants(job("a").key, near=near)

    assert {job(name).key for name in rung} == known.rung()


def test_a_job_that_has_gone_waits_for_nobody() -> None:
    """Nor does one that names its parent no longer."""
    known = Known(job("a"), job("b", "a"), job("c", "a"), job("d", "a"))
    known.dependents.forget(job("b", "a"))
    known.dependents.know(job("c"))
    known.dependents.ring_descendants(job("a").key)

    assert {job("d").key} == known.rung()


def test_a_namespace_concerns_all_in_it() -> None:
    """Of both kinds."""
    known = Known(WEB, job("nightly"), ELSEWHERE)
    known.dependents.ring_namespace("default")

    assert {WEB.key, job("nightly").key} == known.rung()
