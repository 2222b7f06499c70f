"""What may be wrong with an installation, asked of the API server one thing after the other.

Each check is a function of a `Server` that yields findings; one that may not look says so and
never stops the others. Nothing is written; a review of rights is a question, though it is a POST.
"""

import dataclasses
import enum
from collections.abc import Callable, Iterator, Mapping, Sequence
from typing import Any

from bayplan import __version__
from bayplan.api import crds, kinds, names
from bayplan.cli import printing
from bayplan.cli.client import ApiClient
from bayplan.cli.errors import NotThere, Refused
from bayplan.cli.ops import rights
from bayplan.cloud.karpenter import DEFINITION, FIRST_TIMED, is_timed

_OLDEST = (1, 30)
_DEFINITIONS = "/apis/apiextensions.k8s.io/v1/customresourcedefinitions"
_REVIEWS = "/apis/authorization.k8s.io/v1/subjectaccessreviews"
_NODE_POOLS = "/apis/karpenter.sh/v1/nodepools"
_DEPLOYMENTS = "/apis/apps/v1/deployments"
_NAMED = {"customresourcedefinitions": "nodepools.karpenter.sh"}  # granted for this one alone


class Verdict(enum.StrEnum):
    """`Fails`: Bayplan does not work; `Doubtful`: it works less well than it could."""

    GOOD = "Good"
    DOUBTFUL = "Doubtful"
    FAILS = "Fails"


@dataclasses.dataclass(frozen=True, slots=True)
class Finding:
    check: str
    verdict: Verdict
    said: str
    remedy: str = ""

    def told(self) -> dict[str, str]:
        return {key: str(value) for key, value in dataclasses.asdict(self).items()}


@dataclasses.dataclass(frozen=True, slots=True)
class Installation:
    """Where the operator is: the namespace and name of its Deployment, which its lease shares."""

    namespace: str
    name: str
    now: int


Check = Callable[[ApiClient, Installation], Iterator[Finding]]


def versions(server: ApiClient, where: Installation) -> Iterator[Finding]:
    """The API server is young enough."""
    del where
    told = server.ask("GET", "/version")
    major, minor = (
        int("".join(filter(str.isdigit, told.get(part, ""))) or 0) for part in ("major", "minor")
    )
    if (major, minor) >= _OLDEST:
        yield Finding("kubernetes", Verdict.GOOD, str(told["gitVersion"]))
    else:
        oldest = ".".join(map(str, _OLDEST))
        yield Finding(
            "kubernetes",
            Verdict.FAILS,
            f"{told.get('gitVersion')} is older than {oldest}",
            f"upgrade the control plane to {oldest} or newer",
        )


def definitions(server: ApiClient, where: Installation) -> Iterator[Finding]:
    """All kinds are served, and their schemas are those of this command line's version."""
    del where
    for kind in kinds.KINDS:
        name = f"{kind.plural}.{names.GROUP}"
        check, remedy = f"definition {name}", "kubectl apply -f crds/, or install bayplan-crds"
        try:
            found = server.ask("GET", f"{_DEFINITIONS}/{name}")
        except NotThere:
            yield Finding(check, Verdict.FAILS, "is not there", remedy)
            continue
        if "Established" not in _true(found):
            yield Finding(
                check, Verdict.FAILS, "is not established", f"kubectl describe crd {name}"
            )
        elif _schemas(found) != _schemas(crds.definition(kind)):
            said = f"is not that of version {__version__}"
            yield Finding(check, Verdict.DOUBTFUL, said, remedy)
        else:
            yield Finding(check, Verdict.GOOD, "served")


def deployment(server: ApiClient, where: Installation) -> Iterator[Finding]:
    """The operator's pods are ready, and of this version."""
    place = f"{where.namespace}/{where.name}"
    found = _found(server, where)
    if found is None:
        said = f"no Deployment {place}"
        yield Finding("operator", Verdict.FAILS, said, "helm install, or say where: --operator")
        return
    wanted = found["spec"].get("replicas", 1)
    ready = (found.get("status") or {}).get("readyReplicas") or 0
    image = found["spec"]["template"]["spec"]["containers"][0]["image"]
    if ready == 0:
        remedy = f"kubectl -n {where.namespace} describe pods; kubectl logs deployment/{where.name}"
        yield Finding("operator", Verdict.FAILS, f"0 of {wanted} pods are ready", remedy)
    elif ready < wanted:
        said = f"{ready} of {wanted} pods are ready"
        yield Finding("operator", Verdict.DOUBTFUL, said, "kubectl describe those that are not")
    else:
        yield Finding("operator", Verdict.GOOD, f"{ready} of {wanted} pods are ready")
    tag = image.partition("@")[0].rpartition(":")[2]
    if "@" not in image and tag != __version__:
        said = f"runs {image}, this command line is {__version__}"
        yield Finding("version", Verdict.DOUBTFUL, said, "use the command line of that version")


def leader(server: ApiClient, where: Installation) -> Iterator[Finding]:
    """Somebody holds the lease and has renewed it lately."""
    lease = server.find("Lease", where.name, where.namespace)
    spec = (lease or {}).get("spec") or {}
    holder, renewed = spec.get("holderIdentity"), printing.epoch(spec.get("renewTime"))
    if not holder or renewed is None:
        said = f"nobody holds the lease {where.namespace}/{where.name}"
        yield Finding("leader", Verdict.FAILS, said, "see whether an operator runs, and its log")
        return
    silent = where.now - renewed
    if silent > 2 * int(spec.get("leaseDurationSeconds") or 15):
        said = f"{holder} has been silent for {printing.age(silent)}"
        yield Finding("leader", Verdict.FAILS, said, "see its log; is this machine's clock right?")
    else:
        yield Finding("leader", Verdict.GOOD, f"{holder} leads")


def account_rights(server: ApiClient, where: Installation) -> Iterator[Finding]:
    """The operator's account may do all that the operator does."""
    found = _found(server, where)
    if found is None:
        return
    pod = found["spec"]["template"]["spec"]
    account = pod.get("serviceAccountName", "default")
    served = _served(pod)
    asked = [
        *(("", right) for right in rights.CLUSTER),
        *((served, right) for right in rights.SERVED),
        *((where.namespace, right) for right in rights.OWN),
    ]
    user = f"system:serviceaccount:{where.namespace}:{account}"
    lacking = [
        f"{verb} {resource}{f'.{group}' if group else ''}"
        for namespace, (group, resource, verb) in asked
        if not _may(server, user, namespace, (group, resource, verb), where.name)
    ]
    if lacking:
        said = f"{user} may not {', '.join(lacking)}"
        yield Finding("rights", Verdict.FAILS, said, "helm upgrade with rbac.create=true")
    else:
        yield Finding("rights", Verdict.GOOD, f"{len(asked)} rights of {user}")


def karpenter(server: ApiClient, where: Installation) -> Iterator[Finding]:
    """NodePools let go of empty nodes, and do not repack what Bayplan has packed."""
    del where
    try:
        pools = server.collection(_NODE_POOLS)
    except NotThere:
        return
    for pool in pools:
        name = f"nodepool {pool['metadata']['name']}"
        disruption = pool["spec"].get("disruption") or {}
        policy = disruption.get("consolidationPolicy", "WhenEmptyOrUnderutilized")
        if policy != "WhenEmpty":
            yield Finding(
                name,
                Verdict.DOUBTFUL,
                f"consolidationPolicy {policy}: Karpenter evicts what Bayplan has packed",
                "set spec.disruption.consolidationPolicy: WhenEmpty and consolidateAfter: 30s",
            )
        elif disruption.get("consolidateAfter") == "Never":
            said = "consolidateAfter Never: empty nodes are paid for ever"
            yield Finding(name, Verdict.DOUBTFUL, said, "set spec.disruption.consolidateAfter: 30s")
        else:
            yield Finding(name, Verdict.GOOD, "empty nodes go, others stay")


def protection(server: ApiClient, where: Installation) -> Iterator[Finding]:
    """Karpenter understands for how long a run is to be left alone."""
    del where
    try:
        timed = is_timed(server.ask("GET", DEFINITION))
    except NotThere:
        return
    check, first = "do-not-disrupt", FIRST_TIMED
    if timed:
        yield Finding(check, Verdict.GOOD, f"Karpenter {first} or newer: runs are protected timed")
    else:
        yield Finding(
            check,
            Verdict.DOUBTFUL,
            f"Karpenter seems older than {first}, which knows no durations in this annotation: "
            "runs are protected with `true`, as long as their pod is there",
            f"upgrade Karpenter and its definitions to {first}; set activeDeadlineSeconds",
        )


def other_controllers(server: ApiClient, where: Installation) -> Iterator[Finding]:
    """Cluster Autoscaler and the descheduler, by the images of Deployments."""
    del where
    for one in server.collection(_DEPLOYMENTS):
        place = f"{one['metadata']['namespace']}/{one['metadata']['name']}"
        for container in one["spec"]["template"]["spec"]["containers"]:
            words = [*(container.get("command") or ()), *(container.get("args") or ())]
            last = container["image"].partition("@")[0].rpartition("/")[2].partition(":")[0]
            if last == "cluster-autoscaler":
                yield _autoscaler(place, words)
            elif last == "descheduler":
                said = "evicts pods to spread them, against the packing"
                remedy = "keep it off namespaces that Bayplan serves, or off its nodes"
                yield Finding(f"descheduler {place}", Verdict.DOUBTFUL, said, remedy)


def _autoscaler(place: str, words: Sequence[str]) -> Finding:
    """It leaves nodes with pods of owners that it does not know, unless it is told otherwise."""
    check = f"autoscaler {place}"
    if "--skip-nodes-with-custom-controller-pods=false" in words:
        return Finding(check, Verdict.GOOD, "scales nodes with our pods down")
    said = "keeps each node with a pod that has no annotation safe-to-evict: pods of others' kinds"
    remedy = "add --skip-nodes-with-custom-controller-pods=false to its arguments"
    return Finding(check, Verdict.DOUBTFUL, said, remedy)


CHECKS: Mapping[str, Check] = {
    "kubernetes": versions,
    "definitions": definitions,
    "operator": deployment,
    "leader": leader,
    "rights": account_rights,
    "karpenter": karpenter,
    "do-not-disrupt": protection,
    "others": other_controllers,
}


def examined(server: ApiClient, where: Installation) -> Iterator[Finding]:
    """All findings. What may not be looked at is doubtful; no answer at all ends the whole."""
    for name, check in CHECKS.items():
        try:
            yield from check(server, where)
        except Refused as refusal:
            remedy = "look with the rights of a cluster administrator"
            yield Finding(name, Verdict.DOUBTFUL, f"could not be looked at: {refusal}", remedy)


def _found(server: ApiClient, where: Installation) -> Any:
    path = f"/apis/apps/v1/namespaces/{where.namespace}/deployments/{where.name}"
    try:
        return server.ask("GET", path)
    except NotThere:
        return None


def _served(pod: Mapping[str, Any]) -> str:
    """The one namespace that the operator is told to serve; empty: all."""
    told = [*(pod["containers"][0].get("args") or ())]
    return next((word.partition("=")[2] for word in told if word.startswith("--namespace=")), "")


def _may(server: ApiClient, user: str, namespace: str, right: rights.Right, lease: str) -> bool:
    group, whole, verb = right
    resource, _, part = whole.partition("/")
    asked = {
        "group": group,
        "resource": resource,
        "subresource": part,
        "verb": verb,
        "namespace": namespace,
        "name": _NAMED.get(resource, lease if resource == "leases" and verb != "create" else ""),
    }
    body = {
        "apiVersion": "authorization.k8s.io/v1",
        "kind": "SubjectAccessReview",
        "spec": {"user": user, "resourceAttributes": asked},
    }
    return bool(server.ask("POST", _REVIEWS, (), body)["status"].get("allowed"))


def _true(found: Mapping[str, Any]) -> set[str]:
    conditions = (found.get("status") or {}).get("conditions") or ()
    return {one["type"] for one in conditions if one["status"] == "True"}


def _schemas(definition: Mapping[str, Any]) -> list[Any]:
    return [one["schema"] for one in definition["spec"]["versions"]]
