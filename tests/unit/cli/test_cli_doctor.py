"""`doctor` on recorded clusters: a sound one, and one fault at a time."""

import copy
import datetime as dt
from collections.abc import Callable
from typing import Any

import pytest
import yaml

import bayplan
from bayplan.api import crds, kinds
from bayplan.cli.ops import rights
from bayplan.cloud import karpenter
from tests.helm import CHART
from tests.recorded import Body, Recorded, run, told

REVIEWS = "POST /apis/authorization.k8s.io/v1/subjectaccessreviews"
POOLS = "GET /apis/karpenter.sh/v1/nodepools"
CHECK = "do-not-disrupt"
WHERE = {"name": "bayplan", "namespace": "bayplan-system"}
MAY: Body = {"status": {"allowed": True}}
YOUNG = {"major": "1", "minor": "34+", "gitVersion": "v1.34.2-eks-1"}


def make_lease(age_seconds: int = 1, holder: str = "bayplan-0") -> Body:
    renewed = dt.datetime.now(dt.UTC) - dt.timedelta(seconds=age_seconds)
    spec = {"holderIdentity": holder, "leaseDurationSeconds": 15, "renewTime": renewed.isoformat()}
    return {"kind": "Lease", "metadata": dict(WHERE), "spec": spec}


def make_deployment(
    name: str = "bayplan", image: str = f"bayplan/bayplan:{bayplan.__version__}", ready: int = 2,
    args: tuple[str, ...] = (),
) -> Body:  # fmt: skip
    container = {"name": "main", "image": image, "args": list(args)}
    pod = {"serviceAccountName": "bayplan", "containers": [container]}
    spec = {"replicas": 2, "template": {"spec": pod}}
    about = {"name": name, "namespace": "bayplan-system"}
    return {
        "kind": "Deployment", "metadata": about, "spec": spec, "status": {"readyReplicas": ready}
    }  # fmt: skip


DEFINED = [crds.definition(kind) for kind in kinds.DEFINED]


def definitions() -> list[Body]:
    established = {"conditions": [{"type": "Established", "status": "True"}]}
    return [{**copy.deepcopy(one), "status": established} for one in DEFINED]


def sound(*more: Body, without: str = "", version: Body = YOUNG, **answers: Any) -> Recorded:
    """A cluster where all is well, but for objects of the kinds `without`."""
    bodies = [make_lease(), make_deployment(), *definitions()]
    kept = [one for one in bodies if one["kind"] not in without.split()]
    said = {"GET /version": version, REVIEWS: MAY, **answers}
    return Recorded(*kept, *more, answers=said)


def test_all_is_well() -> None:
    """Exit code 0, nothing but good findings, nothing written."""
    cluster = sound()
    found = told(cluster, "doctor")["findings"]

    assert {"Good"} == {one["verdict"] for one in found}
    assert {"kubernetes", "operator", "leader", "rights"} < {one["check"] for one in found}
    assert not cluster.written
    assert "bayplan-0 leads" in run(cluster, "doctor").output


def stale() -> list[Body]:
    first, *others = definitions()
    first["spec"]["versions"][0]["schema"]["openAPIV3Schema"]["properties"].pop("spec")
    return [first, *others]


@pytest.mark.parametrize(
    ("cluster", "check", "part"),
    [
        (lambda: sound(version={**YOUNG, "minor": "29"}), "kubernetes", "older than 1.30"),
        (
            lambda: sound(without="CustomResourceDefinition"),
            "definition batchjobs.bayplan.dev",
            "not exi",
        ),
        (
            lambda: sound(make_lease(3_600), without="Deployment Lease"),
            "operator",
            "no Deployment bayplan-system/bayplan",
        ),
        (lambda: sound(make_deployment(ready=0), without="Deployment"), "operator", "0 of 2 pods"),
        (lambda: sound(without="Lease"), "leader", "nobody holds the lease"),
        (lambda: sound(make_lease(3_600), without="Lease"), "leader", "silent for 60m"),
        (
            lambda: sound(**{REVIEWS: {"status": {"allowed": False}}}),
            "rights",
            "create pods/binding",
        ),
    ],
    ids=["old", "no-crds", "no-operator", "none-ready", "no-lease", "silent", "no-rights"],
)
def test_what_fails(cluster: Callable[[], Recorded], check: str, part: str) -> None:
    """Exit code 1, said with a remedy."""
    failing = [
        one
        for one in told(cluster(), "doctor", code=1)["findings"]
        if one["verdict"] == "Fails" and one["check"] == check
    ]

    assert part in failing[0]["said"]
    assert failing[0]["remedy"]


def pool(**disruption: str) -> Body:
    body = {"metadata": {"name": "general"}, "spec": {"disruption": disruption}}
    return {"metadata": {}, "items": [body]}


@pytest.mark.parametrize(
    ("cluster", "check", "part"),
    [
        (lambda: sound(make_deployment(ready=1), without="Deployment"), "operator", "1 of 2 pods"),
        (lambda: sound(make_deployment(image="r/bayplan:9.9"), without="Deployment"),
         "version", "9.9"),
        (lambda: sound(*stale(), without="CustomResourceDefinition"),
         "definition batchjobs.bayplan.dev", "differs from the definition of version"),
        (lambda: sound(**{POOLS: pool()}), "nodepool general", "WhenEmptyOrUnderutilized"),
        (lambda: sound(**{POOLS: pool(consolidationPolicy="WhenEmpty", consolidateAfter="Never")}),
         "nodepool general", "paid for ever"),
        (lambda: sound(make_deployment("ca", "registry.k8s.io/autoscaling/cluster-autoscaler:v1")),
         "autoscaler bayplan-system/ca", "safe-to-evict"),
        (lambda: sound(make_deployment("d", "registry.k8s.io/descheduler/descheduler:v0.36")),
         "descheduler bayplan-system/d", "against the packing"),
    ],
    ids=["one-away", "version", "stale-crd", "karpenter", "never", "autoscaler", "descheduler"],
)  # fmt: skip
def test_what_is_doubtful(cluster: Callable[[], Recorded], check: str, part: str) -> None:
    """It is told with a remedy, and the exit code stays 0."""
    [doubt] = [one for one in told(cluster(), "doctor")["findings"] if one["verdict"] != "Good"]

    assert (check, "Doubtful") == (doubt["check"], doubt["verdict"])
    assert part in doubt["said"]
    assert doubt["remedy"]


def test_an_operator_outside_the_cluster() -> None:
    """Without a Deployment somebody may lead all the same, as in the demo: all is well."""
    found = {one["check"]: one for one in told(sound(without="Deployment"), "doctor")["findings"]}

    assert {"Good"} == {one["verdict"] for one in found.values()}
    assert "bayplan-0 runs outside the cluster" in found["operator"]["said"]
    assert "rights" not in found


def test_a_deployment_of_another_name() -> None:
    """Where a pod leads, its Deployment is asked for."""
    pod = {"kind": "Pod", "metadata": {"name": "bayplan-0", "namespace": "bayplan-system"}}
    cluster = sound(pod, without="Deployment")
    [doubt] = [one for one in told(cluster, "doctor")["findings"] if one["verdict"] != "Good"]

    assert ("operator", "Doubtful") == (doubt["check"], doubt["verdict"])
    assert "--operator" in doubt["remedy"]


def test_what_autoscalers_may_be_set_to() -> None:
    """Settings that suit are good findings."""
    allows = ("--skip-nodes-with-custom-controller-pods=false",)
    cluster = sound(
        make_deployment("ca", "x/cluster-autoscaler@sha256:0", args=allows),
        **{POOLS: pool(consolidationPolicy="WhenEmpty", consolidateAfter="30s")},
    )

    assert {"Good"} == {one["verdict"] for one in told(cluster, "doctor")["findings"]}


def definition(generator: str | None, *served: str) -> Body:
    """NodePools as Karpenter's own charts define them."""
    notes = {} if generator is None else {"controller-gen.kubebuilder.io/version": generator}
    versions = [{"name": name, "served": True} for name in served]
    about = {"name": "nodepools.karpenter.sh", "annotations": notes}
    return {"metadata": about, "spec": {"versions": versions}}


KARPENTERS = [  # from the repository of Karpenter: its versions 1.12 and 1.14, 1.11, 1.0, 0.37
    (definition("v0.20.1", "v1"), True),
    (definition("v0.21.0", "v1"), True),
    (definition("v1.0.0", "v1"), True),
    (definition("v0.19.0", "v1"), False),
    (definition("v0.15.0", "v1", "v1beta1"), False),
    (definition("v0.20.1", "v1", "v1beta1"), False),
    (definition("v0.14.0", "v1beta1"), False),
    (definition(None, "v1"), False),
    (definition("unknown", "v1"), False),
]


@pytest.mark.parametrize(("found", "timed"), KARPENTERS)
def test_which_karpenter_is_there(found: Body, *, timed: bool) -> None:
    """Older ones, and those of which nothing is known, are told with what is done about it."""
    cluster = sound(**{f"GET {karpenter.DEFINITION}": found})
    [told_] = [one for one in told(cluster, "doctor")["findings"] if one["check"] == CHECK]

    assert ("Good" if timed else "Doubtful") == told_["verdict"]
    assert "1.12" in told_["said"]


def test_without_karpenter_nothing_is_said_of_it() -> None:
    assert CHECK not in [one["check"] for one in told(sound(), "doctor")["findings"]]


def test_what_may_not_be_looked_at_stops_nothing() -> None:
    """A person without the rights to see definitions still hears of the leader."""
    cluster = sound()
    cluster.refuse = {"/apis/apiextensions.k8s.io": 403}
    found = {one["check"]: one for one in told(cluster, "doctor")["findings"]}

    assert "could not be checked" in found["definitions"]["said"]
    assert "Good" == found["leader"]["verdict"]


def test_wrong_use_and_no_answer() -> None:
    """Exit codes 2 and 3."""
    run(sound(), "doctor", "--operator", "bayplan", code=2)
    silent = sound()
    silent.refuse = {"/": 503}
    run(silent, "doctor", code=3)


@pytest.mark.parametrize(("args", "more"), [((), 0), (("--pools=true",), len(rights.POOLS))])
def test_rights_for_pools_are_asked_of_who_serves_them(args: tuple[str, ...], more: int) -> None:
    """An operator that is not told to serve Pools needs no right for them."""
    cluster = sound(make_deployment(args=args), without="Deployment")
    [found] = [one for one in told(cluster, "doctor")["findings"] if one["check"] == "rights"]
    usual = len(rights.CLUSTER) + len(rights.SERVED) + len(rights.OWN)

    assert found["said"].startswith(f"{usual + more} rights of ")


def test_rights_are_those_of_the_chart() -> None:
    """What is asked about is what the chart grants, part by part."""
    parts = yaml.safe_load((CHART / "files" / "rules.yaml").read_text())
    granted = {
        part: {
            (group, resource, verb)
            for rule in rules
            for group in rule["apiGroups"]
            for resource in rule["resources"]
            for verb in rule["verbs"]
        }
        for part, rules in parts.items()
    }

    assert {
        "cluster": set(rights.CLUSTER), "namespace": set(rights.SERVED), "lease": set(rights.OWN),
        "pools": set(rights.POOLS),
    } == granted  # fmt: skip
