"""The small API server of `store`, with what Pools need: claims, nodes, budgets, evictions.

Its answers are those of a real one where the operator relies on them: finalizers hold what is
being deleted, an eviction asks the disruption budgets, a node's list of taints is written against
its version.
"""

from collections.abc import Callable, Iterator, Mapping
from typing import Any

from bayplan.api.times import rfc3339
from bayplan.cluster import requests
from bayplan.cluster.transport import Request
from tests.histories.store import (
    Body,
    Key,
    Refused,
    Store,
    decode,
    encode,
    is_terminal,
    merged,
    named,
)

NODE_CLAIM, BUDGET = "NodeClaim", "PodDisruptionBudget"
KARPENTER = "/apis/karpenter.sh/v1"
_SERVED = encode({"resources": [{"name": "nodepools"}, {"name": "nodeclaims"}]})


class Spent(Refused):
    """An eviction that a budget does not allow now."""

    def __init__(self) -> None:
        super().__init__(429, "TooManyRequests", "Cannot evict pod: the budget is spent")
        body = decode(self.body)
        body["details"] = {"causes": [{"reason": "DisruptionBudget", "message": "spent"}]}
        self.body = encode(body)


class PoolStore(Store):
    """All requests of an operator that serves Pools.

    `spent` hears of each eviction of the operator that a budget refuses: the uid of the pod.
    """

    spent: Callable[[str], None]

    def _answer(self, request: Request) -> bytes:
        kind = request.kind
        if kind == "Karpenter":
            if request.path == KARPENTER:
                return _SERVED
            raise Refused(404, "NotFound")
        if kind not in requests.PATHS or kind == "Event":
            return super()._answer(request)
        key, part = named(request)
        body = decode(request.body) if request.body else {}
        match request.method, part:
            case "GET", _ if request.verb == "list" and kind == "Pod":
                return self._list_pods(dict(request.query).get("fieldSelector", ""))
            case "POST", "eviction":
                return self.evict(key, body["deleteOptions"]["preconditions"]["uid"], "evict")
            case "POST", "" if kind != "Pod":
                return self.create(kind, body)
            case "PATCH", "" if request.verb == "apply":
                return self._apply(kind, key, body)
            case "PATCH", "" if kind == "Node":
                return self._patch_node(key, body, request.verb)
            case "PATCH", "" if "annotations" in body.get("metadata", {}):
                return self._annotate(kind, key, body, request.verb)
        return super()._answer(request)

    def _list_pods(self, fields: str) -> bytes:
        if not fields:
            return self._list("Pod")
        node = fields.removeprefix("spec.nodeName=")
        there = (key for key, pod in self.of("Pod").items() if pod["spec"].get("nodeName") == node)
        head = b'{"metadata":{"resourceVersion":"%d"},"items":[' % self.version
        return head + b",".join(self._raw["Pod", key] for key in there) + b"]}"

    def placed(self, pod: Body) -> None:
        others = [
            one for one in pod["status"].get("conditions", ()) if one["type"] != "PodScheduled"
        ]
        at = rfc3339(self.now())
        mine = {"type": "PodScheduled", "status": "True", "lastTransitionTime": at}
        pod["status"]["conditions"] = [*others, mine]

    def evict(self, key: Key, uid: str, verb: str) -> bytes:
        """As the Eviction API does: every budget of the pod must allow it; 429 else."""
        pod = self.copy("Pod", key)
        if pod["metadata"]["uid"] != uid:
            raise Refused(409, "Conflict")
        if not is_terminal(pod) and pod["spec"].get("nodeName"):
            if pod["metadata"].get("deletionTimestamp"):
                return b"{}"
            found = list(self.budgets_of(pod))
            if len(found) > 1:
                raise Refused(500, "InternalError", "more than one PodDisruptionBudget")
            for budget in found:
                stored = self.copy(BUDGET, budget)
                if stored.get("status", {}).get("disruptionsAllowed", 0) < 1:
                    if verb == "evict":
                        self.spent(uid)
                    raise Spent
                stored["status"]["disruptionsAllowed"] -= 1
                self.replace(BUDGET, budget, stored, "status")
        self.delete("Pod", key, {"preconditions": {"uid": uid}}, verb)
        return b"{}"

    def budgets_of(self, pod: Mapping[str, Any]) -> Iterator[Key]:
        labels = pod["metadata"].get("labels", {})
        for key, budget in self.of(BUDGET).items():
            wanted = budget["spec"]["selector"]["matchLabels"]
            if all(labels.get(name) == value for name, value in wanted.items()):
                yield key

    def _apply(self, kind: str, key: Key, body: Body) -> bytes:
        """Server-side apply by one manager that has all fields: the object becomes as stated."""
        uid = body["metadata"].pop("uid", "")
        if key not in self.of(kind):
            if uid:
                raise Refused(409, "Conflict")
            return self.create(kind, body, "apply")
        stored = self.copy(kind, key)
        if uid and uid != stored["metadata"]["uid"]:
            raise Refused(409, "Conflict")
        metadata = stored["metadata"] | body["metadata"]
        kept = {name: stored[name] for name in ("status",) if name in stored}
        return self.replace(kind, key, {**body, **kept, "metadata": metadata}, "apply")

    def _patch_node(self, key: Key, patch: Body, verb: str) -> bytes:
        """Taints and annotations, each by a merge patch."""
        node = self.copy("Node", key)
        metadata, wanted = node["metadata"], patch["metadata"]
        if wanted.get("uid", metadata["uid"]) != metadata["uid"]:
            raise Refused(422, "Invalid", field="metadata.uid")
        version = metadata["resourceVersion"]
        if wanted.get("resourceVersion", version) != version:
            raise Refused(409, "Conflict")
        metadata["annotations"] = merged(
            metadata.get("annotations", {}), wanted.get("annotations", {})
        )
        if "taints" in patch.get("spec", {}):
            node["spec"]["taints"] = patch["spec"]["taints"]
        return self.replace("Node", key, node, verb)

    def _annotate(self, kind: str, key: Key, patch: Body, verb: str) -> bytes:
        body = self.copy(kind, key)
        metadata, wanted = body["metadata"], patch["metadata"]
        if wanted.get("uid", metadata["uid"]) != metadata["uid"]:
            raise Refused(422, "Invalid", field="metadata.uid")
        metadata["annotations"] = merged(metadata.get("annotations", {}), wanted["annotations"])
        return self.replace(kind, key, body, verb)
