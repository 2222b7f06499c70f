"""Checks an installation by requests to the API server, one check after the other.

Each check is a function that yields findings. A check without the right to look says so and does
not stop the other checks. Nothing is written: the POST of a review of rights only asks.
"""

import dataclasses
from collections.abc import Callable, Iterator, Mapping, Sequence
from typing import Any

from bayplan import __version__
from bayplan.api import crds, kinds, names
from bayplan.cli import printing
from bayplan.cli.client import ApiClient
from bayplan.cli.errors import NotThere, Refused
from bayplan.cli.ops import pool_checks, rights
from bayplan.cli.ops.finding import Finding, Installation, Verdict
from bayplan.cloud.karpenter import DEFINITION, FIRST_TIMED, is_timed

_OLDEST = (1, 30)
_DEFINITIONS = "/apis/apiextensions.k8s.io/v1/customresourcedefinitions"
_REVIEWS = "/apis/authorization.k8s.io/v1/subjectaccessreviews"
_NODE_POOLS = "/apis/karpenter.sh/v1/nodepools"
_DEPLOYMENTS = "/apis/apps/v1/deployments"
_NAMED = {"customresourcedefinitions": "nodepools.karpenter.sh"}  # granted only for this object

Check = Callable[[ApiClient, Installation], Iterator[Finding]]


@dataclasses.dataclass(frozen=True, slots=True)
class _Lease:
    """Who holds it, or nobody; how long the holder has been silent, and may be, in seconds."""

    holder: str = ""
    silent: int = 0
    most: int = 0

    @property
    def is_held(self) -> bool:
        return bool(self.holder) and self.silent <= self.most


def versions(server: ApiClient, where: Installation) -> Iterator[Finding]:
    """The API server has a supported version."""
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
    """All kinds are served, with the schemas of this command line's version."""
    del where
    for kind in kinds.DEFINED:
        name = f"{kind.plural}.{names.GROUP}"
        check, remedy = f"definition {name}", "kubectl apply -f crds/, or install bayplan-crds"
        try:
            found = server.ask("GET", f"{_DEFINITIONS}/{name}")
        except NotThere:
            yield Finding(check, Verdict.FAILS, "does not exist", remedy)
            continue
        if "Established" not in _true(found):
            yield Finding(
                check, Verdict.FAILS, "is not established", f"kubectl describe crd {name}"
            )
        elif _schemas(found) != _schemas(crds.definition(kind)):
            said = f"differs from the definition of version {__version__}"
            yield Finding(check, Verdict.DOUBTFUL, said, remedy)
        else:
            yield Finding(check, Verdict.GOOD, "served")


def deployment(server: ApiClient, where: Installation) -> Iterator[Finding]:
    """The operator's pods are ready and have this version; or it leads from outside the cluster."""
    found = _found(server, where)
    if found is None:
        yield _without_deployment(server, where)
        return
    wanted = found["spec"].get("replicas", 1)
    ready = (found.get("status") or {}).get("readyReplicas") or 0
    image = found["spec"]["template"]["spec"]["containers"][0]["image"]
    if ready == 0:
        remedy = f"kubectl -n {where.namespace} describe pods; kubectl logs deployment/{where.name}"
        yield Finding("operator", Verdict.FAILS, f"0 of {wanted} pods are ready", remedy)
    elif ready < wanted:
        said = f"{ready} of {wanted} pods are ready"
        yield Finding("operator", Verdict.DOUBTFUL, said, "kubectl describe the other pods")
    else:
        yield Finding("operator", Verdict.GOOD, f"{ready} of {wanted} pods are ready")
    tag = image.partition("@")[0].rpartition(":")[2]
    if "@" not in image and tag != __version__:
        said = f"runs {image}, this command line is {__version__}"
        yield Finding("version", Verdict.DOUBTFUL, said, "use the command line of that version")


def leader(server: ApiClient, where: Installation) -> Iterator[Finding]:
    """A replica holds the lease and has renewed it recently."""
    lease = _lease(server, where)
    if not lease.holder:
        said = f"nobody holds the lease {where.namespace}/{where.name}"
        yield Finding(
            "leader", Verdict.FAILS, said, "check that an operator runs, and read its log"
        )
        return
    if not lease.is_held:
        said = f"{lease.holder} has been silent for {printing.age(lease.silent)}"
        yield Finding(
            "leader", Verdict.FAILS, said, "read its log; check the clock of this machine"
        )
    else:
        yield Finding("leader", Verdict.GOOD, f"{lease.holder} leads")


def account_rights(server: ApiClient, where: Installation) -> Iterator[Finding]:
    """The operator's account may do all that the operator does."""
    found = _found(server, where)
    if found is None:
        return  # nobody knows as whom it acts
    pod = found["spec"]["template"]["spec"]
    account = pod.get("serviceAccountName", "default")
    served = _served(pod)
    asked = [
        *(("", right) for right in rights.CLUSTER),
        *((served, right) for right in rights.SERVED),
        *((where.namespace, right) for right in rights.OWN),
        *(("", right) for right in rights.POOLS if _serves_pools(pod)),
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
    """NodePools remove empty nodes, and do not repack what Bayplan has packed.

    Those through which Bayplan itself buys are to do neither; `pools` looks at them.
    """
    del where
    try:
        pools = server.collection(_NODE_POOLS)
    except NotThere:
        return
    ours = pool_checks.bought_through(server)
    for pool in pools:
        if pool["metadata"]["name"] in ours:
            continue
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
            yield Finding(name, Verdict.GOOD, "empty nodes are removed, other nodes stay")


def pools(server: ApiClient, where: Installation) -> Iterator[Finding]:
    """Each Pool can do what its mode says, and the operator serves Pools if there are any."""
    found = _found(server, where)
    if found is None:  # nobody can see the arguments of an operator outside the cluster
        serves = _lease(server, where).is_held
    else:
        serves = _serves_pools(found["spec"]["template"]["spec"])
    yield from pool_checks.pools(server, serves=serves)


def protection(server: ApiClient, where: Installation) -> Iterator[Finding]:
    """Karpenter understands a duration in `do-not-disrupt`."""
    del where
    try:
        timed = is_timed(server.ask("GET", DEFINITION))
    except NotThere:
        return
    check, first = "do-not-disrupt", FIRST_TIMED
    if timed:
        yield Finding(
            check, Verdict.GOOD, f"Karpenter {first} or newer: runs are protected for a duration"
        )
    else:
        yield Finding(
            check,
            Verdict.DOUBTFUL,
            f"Karpenter seems older than {first} and knows no durations in this annotation: "
            "runs are protected with `true` until their pod ends",
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
    """By default it keeps nodes that have pods of owners that it does not know."""
    check = f"autoscaler {place}"
    if "--skip-nodes-with-custom-controller-pods=false" in words:
        return Finding(check, Verdict.GOOD, "scales nodes with our pods down")
    said = "keeps each node with a pod of a custom kind that has no annotation safe-to-evict"
    remedy = "add --skip-nodes-with-custom-controller-pods=false to its arguments"
    return Finding(check, Verdict.DOUBTFUL, said, remedy)


CHECKS: Mapping[str, Check] = {
    "kubernetes": versions,
    "definitions": definitions,
    "operator": deployment,
    "leader": leader,
    "rights": account_rights,
    "karpenter": karpenter,
    "pools": pools,
    "do-not-disrupt": protection,
    "others": other_controllers,
}


def examined(server: ApiClient, where: Installation) -> Iterator[Finding]:
    """All findings. A check without rights is doubtful; if the server is silent, `NoAnswer`."""
    for name, check in CHECKS.items():
        try:
            yield from check(server, where)
        except Refused as refusal:
            remedy = "run it with the rights of a cluster administrator"
            yield Finding(name, Verdict.DOUBTFUL, f"could not be checked: {refusal}", remedy)


def _without_deployment(server: ApiClient, where: Installation) -> Finding:
    """Sound if someone leads who is no pod: `python -m bayplan` on some machine, as in the demo."""
    said = f"no Deployment {where.namespace}/{where.name}"
    lease = _lease(server, where)
    if not lease.is_held:
        return Finding("operator", Verdict.FAILS, said, "helm install, or say where: --operator")
    if server.find("Pod", lease.holder, where.namespace) is None:
        said = f"{lease.holder} runs outside the cluster; its version and its rights cannot be seen"
        return Finding("operator", Verdict.GOOD, said)
    said = f"{said}, but the pod {lease.holder} leads"
    return Finding("operator", Verdict.DOUBTFUL, said, "say which Deployment it is of: --operator")


def _lease(server: ApiClient, where: Installation) -> _Lease:
    spec = (server.find("Lease", where.name, where.namespace) or {}).get("spec") or {}
    holder, renewed = spec.get("holderIdentity"), printing.epoch(spec.get("renewTime"))
    if not holder or renewed is None:
        return _Lease()
    most = 2 * int(spec.get("leaseDurationSeconds") or 15)
    return _Lease(str(holder), where.now - renewed, most)


def _found(server: ApiClient, where: Installation) -> Any:
    path = f"/apis/apps/v1/namespaces/{where.namespace}/deployments/{where.name}"
    try:
        return server.ask("GET", path)
    except NotThere:
        return None


def _served(pod: Mapping[str, Any]) -> str:
    """The namespace that the operator serves, by its arguments; empty for all."""
    words = [*(pod["containers"][0].get("args") or ())]
    return next((word.partition("=")[2] for word in words if word.startswith("--namespace=")), "")


def _serves_pools(pod: Mapping[str, Any]) -> bool:
    """Whether the operator serves Pools, by its arguments."""
    return "--pools=true" in (pod["containers"][0].get("args") or ())


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
