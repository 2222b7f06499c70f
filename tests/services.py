"""A small world for LongService: an API server, kubelets and an operator that sees them late.

The server's objects are the truth; the operator sees a prefix of their changes, with what it
asked for itself counted in (assumed creates, deletes and status). Nothing runs by itself: a test
lets kubelets work, time pass and news arrive.
"""

from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, field, replace
from typing import Any

from bayplan.api import names
from bayplan.api.longservice import LongServiceSpec
from bayplan.api.resource import Resource, parse_resource
from bayplan.model import intents
from bayplan.model.admission import Admission
from bayplan.model.children import Child
from bayplan.model.departures import ANY_DEPARTURE, Departures
from bayplan.model.nodes import Node
from bayplan.model.pods import Claim, Owner, Phase, Pod
from bayplan.model.snapshot import PodKey
from bayplan.reconcile.longservice import reconcile
from bayplan.reconcile.view import FREE, Dependencies, NoRoom, View
from tests.builders import NOON, make_node, make_vector

GRACE = 30

Check = Callable[[intents.Outcome], None]
Takes = Callable[[Node, Pod], bool]  # whether a pod may be placed on a node


def make_body(name: str = "web", **spec: Any) -> dict[str, Any]:
    """A stored LongService; `image`, `generation`, `annotations`, `status` beside spec fields."""
    template = spec.pop("template", None) or {
        "spec": {"containers": [{"name": "web", "image": spec.pop("image", "web:1")}]}
    }
    spec.pop("image", None)
    return {
        "apiVersion": names.API_VERSION,
        "kind": names.LONGSERVICE,
        "metadata": {
            "namespace": "default",
            "name": name,
            "uid": f"uid-{name}",
            "generation": spec.pop("generation", 1),
            "annotations": spec.pop("annotations", {}),
            "creationTimestamp": "2026-01-01T00:00:00Z",
        },
        "status": spec.pop("status", {}),
        "spec": {"replicas": 3, **spec, "template": template},
    }


def make_service(name: str = "web", **spec: Any) -> Resource:
    return parse_resource(make_body(name, **spec))


def accepted(service: Resource) -> Admission:
    """The API server would take a pod of this template."""
    return Admission(service.template_hash, request=make_vector(cpu=100), checked_at=NOON)


def refused(service: Resource, word: str = "TemplateRefused", **more: Any) -> Admission:
    return Admission(service.template_hash, refusal=word, message="no", **more)


@dataclass
class World:
    """One service in a cluster. `pods` is the API server's truth, `seen` what the operator saw."""

    service: Resource
    nodes: dict[str, Node] = field(default_factory=dict)
    pods: dict[PodKey, Pod] = field(default_factory=dict)
    children: dict[tuple[str, str], Child] = field(default_factory=dict)
    now: int = NOON
    room: int = 1_000_000  # how many more pods the nodes have room for
    admission: Admission | None = None
    placement: NoRoom | None = None
    foreign: frozenset[tuple[str, str]] = frozenset()
    refusals: tuple[intents.RefusedWrite, ...] = ()
    dependencies: Dependencies = FREE
    fullness: Callable[[str], int] = lambda _: 0
    departures: Departures = ANY_DEPARTURE
    takes: Takes = lambda _node, _pod: True
    claims: dict[str, Claim] = field(default_factory=dict)
    news: list[tuple[PodKey, Pod | None]] = field(default_factory=list)
    seen: dict[PodKey, Pod] = field(default_factory=dict)
    creating: dict[PodKey, Pod] = field(default_factory=dict)
    deleting: dict[str, int] = field(default_factory=dict)  # uid -> when the grace ends
    last: intents.Outcome = field(default_factory=intents.Outcome)
    status_lost: bool = False  # whether status writes fail
    writes: int = 0
    born: int = 0

    @property
    def spec(self) -> LongServiceSpec:
        assert isinstance(self.service.spec, LongServiceSpec)
        return self.service.spec

    # What the operator sees.

    def view(self) -> View:
        return View(
            nodes=self.nodes,
            admission=self.admission,
            placement=self.placement,
            children=self.children,
            foreign=self.foreign,
            dependencies=self.dependencies,
            fullness=self.fullness,
            claims=self.claims,
            claim_of=self.claims.get,
            refusals=self.refusals,
            departures=self.departures,
        )

    def visible(self) -> dict[PodKey, Pod]:
        """What was seen, with the operator's own acts counted in."""
        shown = {**self.creating, **self.seen}
        for key, pod in shown.items():
            if pod.uid in self.deleting and not pod.terminating:
                shown[key] = replace(pod, deleted_at=self.deleting[pod.uid])
        return shown

    def hear(self, count: int | None = None) -> None:
        """Let news of pods arrive, in order; all of it by default."""
        arrived = self.news[:count]
        del self.news[: len(arrived)]
        for key, pod in arrived:
            self.creating.pop(key, None)
            if pod is None:
                old = self.seen.pop(key, None)
                if old is not None:
                    self.deleting.pop(old.uid, None)
            else:
                self.seen[key] = pod

    def restart(self) -> None:
        """A new operator: nothing assumed, a fresh list."""
        self.news.clear()
        self.creating.clear()
        self.deleting.clear()
        self.seen = dict(self.pods)

    # What the operator does.

    def look(self) -> intents.Outcome:
        return reconcile.reconcile(self.service, self.visible(), self.view(), self.now)

    def act(self, check: Check | None = None) -> intents.Outcome:
        """One cycle: look, and carry out."""
        self.last = self.look()
        if check is not None:
            check(self.last)
        self.carry_out(self.last)
        return self.last

    def carry_out(self, outcome: intents.Outcome) -> None:
        for applied in outcome.objects:
            self._apply(applied.body)
        for adoption in outcome.adoptions:
            pod = self.pods[adoption.namespace, adoption.name]
            owner = Owner(*(adoption.owner[word] for word in ("kind", "name", "uid")))
            self.put(replace(pod, owner=owner))
        for dropped in outcome.drops:
            del self.children[dropped.kind, dropped.name]
        for claim in outcome.claims:
            self._claim(claim)
        for delete in outcome.deletes:
            self._delete(delete)
        for task in outcome.tasks:
            self._create(task)
        if outcome.status is not None and not self.status_lost:
            self.service = replace(self.service, status=outcome.status)
        changes = (
            outcome.tasks,
            outcome.deletes,
            outcome.adoptions,
            outcome.objects,
            outcome.drops,
            outcome.claims,
        )
        self.writes += sum(len(kind) for kind in changes) + (outcome.status is not None)

    def _apply(self, body: Mapping[str, Any]) -> None:
        metadata = body["metadata"]
        before = self.children.get((body["kind"], metadata["name"]))
        self.children[body["kind"], metadata["name"]] = Child(
            kind=body["kind"],
            name=metadata["name"],
            uid=before.uid if before is not None else f"uid-{body['kind']}-{metadata['name']}",
            digest=metadata["annotations"][names.DIGEST],
            revision=body.get("revision", 0),
            body=body.get("data", {}),
        )

    def _claim(self, act: intents.ClaimAct) -> None:
        match act:
            case intents.CreateClaim(body):
                about = body["metadata"]
                owners = frozenset(one["uid"] for one in about.get("ownerReferences", ()))
                name = about["name"]
                self.born += 1
                self.claims.setdefault(
                    name,
                    Claim(
                        name,
                        f"uid-{name}-{self.born}",
                        service=about["labels"][names.SERVICE],
                        owners=owners,
                    ),
                )
            case intents.OwnClaim():
                claim = self.claims[act.name]
                left = claim.owners - {act.owner["uid"]}
                owners = left if "$patch" in act.owner else left | {act.owner["uid"]}
                self.claims[act.name] = replace(claim, owners=owners)
            case intents.DropClaim():
                if self.claims[act.name].uid == act.uid:
                    del self.claims[act.name]

    def _create(self, task: intents.Task) -> None:
        key = (self.service.namespace, task.name)
        if key in self.pods:
            return  # AlreadyExists
        self.born += 1
        pod = Pod(
            namespace=key[0],
            name=task.name,
            uid=f"uid-{self.born}",
            scheduler="bayplan",
            labels=task.labels,
            owner=Owner(names.LONGSERVICE, self.service.name, self.service.uid),
            created_at=self.now,
        )
        open_nodes = [name for name in self._open_to(pod) if name not in task.avoid]
        if open_nodes and self.room > 0:
            self.room -= 1
            pod = replace(pod, node=open_nodes[self.born % len(open_nodes)])
        self.creating[key] = replace(pod, uid="")
        self.put(pod)

    def _delete(self, delete: intents.DeletePod) -> None:
        pod = self.pods.get((delete.namespace, delete.name))
        self.deleting[delete.uid] = self.now + GRACE
        if pod is not None and pod.uid == delete.uid:
            self.end(pod)

    # What happens in the cluster.

    def put(self, pod: Pod) -> None:
        self.pods[pod.key] = pod
        self.news.append((pod.key, pod))

    def drop(self, pod: Pod) -> None:
        self.room += bool(pod.node)
        del self.pods[pod.key]
        self.news.append((pod.key, None))

    def end(self, pod: Pod, disrupted: str = "") -> None:
        """Somebody deletes a pod: its kubelet has to let go of it, if there is one."""
        if not pod.node or pod.node not in self.nodes or pod.terminal:
            self.drop(pod)
        elif not pod.terminating:
            self.put(replace(pod, deleted_at=self.now + GRACE, disrupted=disrupted))

    def work(self, pods: Iterable[Pod] | None = None, *, ready: bool = True) -> None:
        """Kubelets that answer do their work on these pods (all): start, or let go."""
        for pod in list(self.pods.values() if pods is None else pods):
            node = self.nodes.get(pod.node)
            if node is None or not node.ready or pod.terminal:
                continue
            if pod.terminating:
                self.drop(pod)
            elif ready and not pod.ready:
                running = Phase.RUNNING
                self.put(replace(pod, phase=running, ready=True, ready_since=self.now))

    def bind(self) -> None:
        """Unplaced pods get a node, if there is one."""
        for pod in list(self.pods.values()):
            open_nodes = self._open_to(pod) if not pod.node and self.room > 0 else []
            if open_nodes:
                self.room -= 1
                self.put(replace(pod, node=open_nodes[0]))

    def _open_to(self, pod: Pod) -> list[str]:
        return [
            node.name
            for node in self.nodes.values()
            if node.ready and not node.leaving and self.takes(node, pod)
        ]

    def cordon(self, name: str, *, unschedulable: bool = True) -> None:
        self.nodes[name] = replace(self.nodes[name], unschedulable=unschedulable)

    def silence(self, name: str) -> None:
        """A node stops answering; the node controller says its pods are not ready."""
        self.nodes[name] = replace(self.nodes[name], ready=False, ready_changed_at=self.now)
        for pod in list(self.pods.values()):
            if pod.node == name and pod.ready:
                self.put(replace(pod, ready=False, ready_since=None))

    def revive(self, name: str) -> None:
        self.nodes[name] = replace(self.nodes[name], ready=True, ready_changed_at=self.now)

    def remove(self, name: str) -> None:
        """A node goes; pod garbage collection is not that fast."""
        del self.nodes[name]

    def collect(self) -> None:
        """Pod garbage collection."""
        for pod in list(self.pods.values()):
            if pod.node and pod.node not in self.nodes:
                self.drop(pod)

    def edit(self, **spec: Any) -> None:
        """A person applies another spec; a changed image is a new template."""
        raw = {**make_body()["spec"], **self._raw(), **spec}
        image = raw.pop("image", None)
        if image is not None:
            raw["template"] = {"spec": {"containers": [{"name": "web", "image": image}]}}
        body = make_body(self.service.name, generation=self.service.generation + 1, **raw)
        edited = parse_resource({**body, "status": dict(self.service.status)})
        accepts = self.admission is not None and not self.admission.refusal
        self.service = replace(edited, annotations=self.service.annotations)
        if accepts:
            self.admission = accepted(self.service)

    def annotate(self, **annotations: str) -> None:
        self.service = replace(self.service, annotations=annotations)

    def _raw(self) -> dict[str, Any]:
        return self.spec.model_dump(by_alias=True, mode="json", exclude_none=True)

    # Questions.

    def standing(self) -> list[Pod]:
        """Pods that neither ended nor terminate, by name."""
        return [
            pod for _, pod in sorted(self.pods.items()) if not pod.terminal and not pod.terminating
        ]

    def images(self) -> dict[str, int]:
        """How many of those there are, by template hash."""
        counts: dict[str, int] = {}
        for pod in self.standing():
            hash_ = pod.labels[names.TEMPLATE_HASH]
            counts[hash_] = counts.get(hash_, 0) + 1
        return counts

    def condition(self, type_: str) -> str:
        """`True:Ready`; empty when it is absent."""
        for one in self.service.status["conditions"]:
            if one["type"] == type_:
                return f"{one['status']}:{one['reason']}"
        return ""

    def message(self, type_: str) -> str:
        found = [
            one["message"] for one in self.service.status["conditions"] if one["type"] == type_
        ]
        return str(found[0])

    def settle(self, rounds: int = 200, check: Check | None = None) -> None:
        """Kubelets work and news arrives until the operator has nothing to do any more."""
        for _ in range(rounds):
            self.work()
            self.bind()
            heard = bool(self.news)
            self.hear()
            before = self.writes
            self.act(check)
            if before == self.writes and not heard and not self.news:
                if self.last.wake_at is None:
                    return
                self.now = max(self.now, self.last.wake_at)
        raise AssertionError(f"still busy after {rounds} rounds: {self.last}")


def make_world(replicas: int = 3, nodes: int = 3, **spec: Any) -> World:
    """A service, newly applied and accepted, on `nodes` empty nodes."""
    service = make_service(replicas=replicas, **spec)
    fleet = {f"n{index}": make_node(f"n{index}") for index in range(nodes)}
    return World(service=service, nodes=fleet, admission=accepted(service))


def running(replicas: int = 3, nodes: int = 3, **spec: Any) -> World:
    """A service whose instances all run and are healthy."""
    world = make_world(replicas, nodes, **spec)
    world.settle()
    world.now += 1000
    world.act()
    world.writes = 0
    return world
