"""The example as the demo applies it: the same manifests, told where and how they can run here.

Fake nodes end a run when an annotation says so (after four fifths of what is expected of it). Where
there are real nodes, a few workloads go to them, so that containers, probes and exit codes are
real. Fake nodes then have a taint, which the example tolerates: what a visitor applies runs on the
real nodes. Everything else of the manifests stays as it is.
"""

import copy
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

import yaml

from localcluster.kwok import LABEL, PLAYED

ROOT = Path(__file__).parents[2]
FOLDER = ROOT / "examples" / "data-company"
NAMESPACE = "data-company"

# Two of each type in each zone; an 8-CPU run needs a node of 16, as an 8-CPU node keeps some back.
ZONES = ("us-east-1a", "us-east-1b", "us-east-1c")
TYPES = ("m5.4xlarge", "m5.2xlarge", "c5.xlarge", "r5.xlarge")
FAKE_NODES = ",".join(f"{kind}:{zone}=2" for kind in TYPES for zone in ZONES)
REAL_TYPE = "t3.medium"
REAL_NODES = ",".join(f"{REAL_TYPE}:{zone}" for zone in ZONES)

CHAIN = ("nightly-extract", "nightly-clean", "nightly-join", "nightly-publish")
ASKED_AT_ONCE = ("report", CHAIN[0])
CRAWLERS = {"app.kubernetes.io/part-of": "crawlers"}
_ON_REAL_NODES = frozenset({"front", "report", "nightly-extract", "nightly-publish"})

_FAKE_NODE = {LABEL: PLAYED}
FAKE_TAINT = {"key": LABEL, "value": PLAYED, "effect": "NoSchedule"}
_TOLERATED = {"key": LABEL, "operator": "Exists"}
_REAL_NODE = {"node.kubernetes.io/instance-type": REAL_TYPE}
_DURATION = "sim.bayplan.dev/duration"


def manifests() -> Iterator[dict[str, Any]]:
    """Every object of the example as its author wrote it, the namespace first."""
    files = sorted(FOLDER.glob("*.yaml"), key=lambda file: (file.stem != "namespace", file.stem))
    for file in files:
        yield from filter(None, yaml.safe_load_all(file.read_text(encoding="utf-8")))


def adapted(manifest: Mapping[str, Any], *, real_nodes: bool) -> dict[str, Any]:
    """The manifest for this cluster: a real node, or a fake one and the duration that it plays."""
    body = copy.deepcopy(dict(manifest))
    spec = body.get("spec", {})
    if "template" not in spec:
        return body
    pod = spec["template"]["spec"]
    if real_nodes and body["metadata"]["name"] in _ON_REAL_NODES:
        pod["nodeSelector"] = _REAL_NODE
        return body
    pod["nodeSelector"], pod["tolerations"] = _FAKE_NODE, [_TOLERATED]
    if "expectedDurationSeconds" in spec:
        notes = spec["template"].setdefault("metadata", {}).setdefault("annotations", {})
        notes[_DURATION] = f"{spec['expectedDurationSeconds'] * 800}ms"
    return body


def is_crawler(stored: Mapping[str, Any]) -> bool:
    labels = stored["metadata"].get("labels", {})
    return all(labels.get(key) == value for key, value in CRAWLERS.items())
