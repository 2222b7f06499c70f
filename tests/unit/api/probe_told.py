"""What a product that knows the kind Probe says of it, as JSON: a program of `test_kinds`."""

import asyncio
import json
import sys
from typing import Any

import kopf

from bayplan.api import pod_builder
from bayplan.api.resource import parse_resource
from bayplan.cli.client import ApiClient
from bayplan.cli.lint import structural
from bayplan.cli.ops import rights
from bayplan.cli.target import Target
from bayplan.cluster import informer
from bayplan.cluster.cache import Cache
from bayplan.handlers import delivery
from bayplan.manifests import kinds
from bayplan.manifests.documents import Document
from bayplan.model import state
from bayplan.scheduler import dry_run
from tests.builders import NOON
from tests.double.bell import Bell
from tests.double.transport import Answer, Double
from tests.recorded import Recorded, make_node, run
from tests.recorded import told as said

PATH = "/apis/bayplan.dev/v1alpha1"
TEMPLATE = {"spec": {"containers": [{"name": "main", "image": "x"}]}}
PROBE: dict[str, Any] = {
    "apiVersion": "bayplan.dev/v1alpha1",
    "kind": "Probe",
    "metadata": {
        "name": "x",
        "namespace": "default",
        "uid": "uid-x",
        "generation": 1,
        "resourceVersion": "7",
        "creationTimestamp": "2026-01-01T00:00:00Z",
    },
    "spec": {"target": "here", "template": TEMPLATE},
}
EMPTY = json.dumps({"metadata": {"resourceVersion": "9"}, "items": []}).encode()


def recorded() -> Recorded:
    """A cluster with a node and a probe."""
    listed = {"metadata": {"resourceVersion": "99"}, "items": [PROBE]}
    cluster = Recorded(make_node("a"), answers={f"GET {PATH}/probes": listed})
    cluster.objects[f"{PATH}/namespaces/default/probes/x"] = PROBE
    return cluster


def explained(named: str) -> list[str]:
    found = said(recorded(), "explain", named, "-n", "default")
    return [found["kind"], found["name"]]


def delivered() -> list[str]:
    registry = kopf.OperatorRegistry()
    delivery.register(registry, _Sink())
    return [one.selector.any_name for one in registry._watching.get_all_handlers()]  # noqa: SLF001  kopf shows it to nobody else


class _Sink:
    def put(self, body: Any) -> None: ...
    def drop(self, key: Any, uid: str) -> None: ...
    def relisted(self) -> None: ...


def listed() -> Double:
    double = Double()
    for kind in ("Pod", "BatchJob", "LongService", "Probe"):
        double.reply("list", kind, Answer(EMPTY))
    asyncio.run(informer.look_anew(double, Cache(state.State(), Bell())))
    return double


def main() -> None:
    read = parse_resource(PROBE)
    wrong = parse_resource({**PROBE, "spec": {"template": TEMPLATE}})
    pod = pod_builder.blueprint(read).pod("x-1", labels={}, annotations={}, environment={})
    asks = listed().seen
    session = dry_run.session(ApiClient(recorded(), Target()), NOON, "")
    wakes = session.notes.outcomes["Probe", "default", "x"].wake_at
    linted = structural.faults("Probe", {key: PROBE[key] for key in ("apiVersion", "kind")})
    found = {
        "listed": [one.path for one in asks],
        "selectors": [text for one in asks for key, text in one.query if key == "labelSelector"],
        "delivered": delivered(),
        "informed": [one.name for one in informer.KINDS],
        "spec": [type(read.spec).__name__, getattr(read.spec, "target", "")],
        "problems": [one.field for one in wrong.problems],
        "labels": dict(pod_builder.placement_rules.peer_labels(read, read.template_hash)),
        "pod": [pod["spec"]["restartPolicy"], pod["metadata"].get("finalizers") or []],
        "wakes in": (wakes or 0) - NOON,
        "explained": {
            word: explained(word) for word in ("Probe/x", "probes/x", "prb/x", "look/x", "x")
        },
        "unknown": run(recorded(), "explain", "nothing/x", "-n", "default", code=1).output,
        "rights": rights.SERVED,
        "linted": [str(one.path[0]) if one.path else one.message for one in linted],
        "sort": kinds.sort(Document("x.yaml", PROBE)),
    }
    sys.stdout.write(json.dumps(found))


if __name__ == "__main__":
    main()
