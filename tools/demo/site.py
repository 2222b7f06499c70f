"""The demo's cluster and the operator on it: what `helm install` and `kubectl apply` would do.

The operator runs detached, as a program of the cluster under its own account: it has the rights of
the chart and no more, it outlives the demo, and it ends when the cluster is stopped.
"""

import contextlib
import os
import socket
import sys
import time
from collections.abc import Iterable, Iterator, Mapping
from typing import Any

import yaml

from localcluster import Cluster, kubelets, processes, state
from localcluster.cluster import remove
from localcluster.kwok import LABEL
from tools.demo import company

NAME = "demo"
_ROLE = "bayplan"
_SYSTEM = "bayplan-system"
_ACCOUNT = "bayplan"
_LEASE = f"/apis/coordination.k8s.io/v1/namespaces/{_SYSTEM}/leases/bayplan"
_NODES = "/api/v1/nodes"
_FAKE_NODES = f"{_NODES}?labelSelector={LABEL}"
_LEADS_SECONDS = 60
_REAL_NODES = 2


class OperatorEndedError(RuntimeError):
    """The operator ended by itself; the message holds its last words."""


def is_up() -> bool:
    return NAME in state.names()


def stop() -> None:
    """Nothing of the demo is left: cluster, operator, files."""
    remove(NAME)


def why_no_real_nodes() -> str:
    """What keeps this machine from real kubelets; empty when nothing does."""
    try:
        kubelets.check(state.home())
    except kubelets.NotPossibleError as error:
        return str(error)
    return ""


def start(*, real_nodes: bool) -> Cluster:
    """The cluster, which stays up when this process ends."""
    cluster = Cluster.start(
        NAME,
        kwok=company.FAKE_NODES,
        kubelets=_REAL_NODES if real_nodes else 0,
        kubelet_shapes=company.REAL_NODES,
        stays=True,
    )
    if real_nodes:
        taint = {"spec": {"taints": [company.FAKE_TAINT]}}
        for node in cluster.request("GET", _FAKE_NODES)["items"]:
            cluster.request("PATCH", f"{_NODES}/{node['metadata']['name']}", taint)
    return cluster


def install(cluster: Cluster) -> None:
    """CRDs, the operator's namespace, account and rights, and the example's namespace."""
    crds = str(company.ROOT / "crds")
    cluster.kubectl("apply", "-f", crds)
    _until_served(cluster, 50)
    apply(cluster, _rights())
    apply(cluster, (one for one in company.manifests() if one["kind"] == "Namespace"))


def _until_served(cluster: Cluster, seconds: float) -> None:
    """As `kubectl wait` would, which errs on a definition so new that it has no conditions."""
    path = "/apis/apiextensions.k8s.io/v1/customresourcedefinitions"
    ends = time.monotonic() + seconds
    while not all(is_established(one) for one in cluster.request("GET", path)["items"]):
        if time.monotonic() > ends:
            raise TimeoutError(f"the definitions are not served after {seconds:.0f} s")
        time.sleep(0.2)


def is_established(definition: Mapping[str, Any]) -> bool:
    """Whether the API server serves a CustomResourceDefinition."""
    return any(
        one["type"] == "Established" and one["status"] == "True"
        for one in definition.get("status", {}).get("conditions") or ()
    )


def apply(cluster: Cluster, bodies: Iterable[Mapping[str, Any]]) -> None:
    cluster.kubectl("apply", "-f", "-", input=yaml.safe_dump_all(bodies))


class Operator:
    """`python -m bayplan` on a cluster, from its start on."""

    def __init__(self, cluster: Cluster) -> None:
        self._log = cluster.directory / "logs" / f"{_ROLE}.log"
        self.metrics_port = _free_port()
        account = f"system:serviceaccount:{_SYSTEM}:{_ACCOUNT}"
        path = os.pathsep.join([str(company.ROOT / "operator"), os.environ.get("PYTHONPATH", "")])
        words = [
            *("env", f"PYTHONPATH={path.rstrip(os.pathsep)}", "PYTHONUNBUFFERED=1"),
            *(sys.executable, "-m", "bayplan", "--identity", "bayplan-0"),
            *("--kubeconfig", str(cluster.client_kubeconfig(account))),
            *("--lease-namespace", _SYSTEM, "--listen-address", "127.0.0.1"),
            *("--metrics-port", str(self.metrics_port), "--liveness-port", "0"),
        ]
        self._pid = processes.launch(cluster.directory, _ROLE, words)

    def await_leading(self, cluster: Cluster) -> None:
        """Until it holds the lease, which it takes once it has seen everything."""

        def leads() -> bool:
            self.check()
            with contextlib.suppress(RuntimeError):  # no lease yet
                return bool(cluster.request("GET", _LEASE)["spec"].get("holderIdentity"))
            return False

        what = f"the operator leads (see {self._log})"
        processes.wait_until(leads, what, within_seconds=_LEADS_SECONDS)

    def check(self) -> None:
        """Raise OperatorEndedError unless it runs."""
        if processes.has_ended(self._pid):
            last = self._log.read_text(errors="replace").splitlines()[-3:]
            raise OperatorEndedError("the operator ended: " + " | ".join(last))


def _rights() -> Iterator[Mapping[str, Any]]:
    """The chart's objects that matter to an operator outside the cluster."""
    file = company.ROOT / "charts" / "bayplan" / "files" / "rules.yaml"
    group = "rbac.authorization.k8s.io"
    subject = {"kind": "ServiceAccount", "name": _ACCOUNT, "namespace": _SYSTEM}
    rules = yaml.safe_load(file.read_text(encoding="utf-8"))
    yield {"apiVersion": "v1", "kind": "Namespace", "metadata": {"name": _SYSTEM}}
    yield {
        "apiVersion": "v1",
        "kind": "ServiceAccount",
        "metadata": {"name": _ACCOUNT, "namespace": _SYSTEM},
    }
    for kind, granted in (
        ("ClusterRole", [*rules["cluster"], *rules["namespace"]]),
        ("Role", rules["lease"]),
    ):
        where = {"namespace": _SYSTEM} if kind == "Role" else {}
        role = {"apiVersion": f"{group}/v1", "metadata": {"name": "bayplan", **where}}
        yield role | {"kind": kind, "rules": granted}
        yield role | {
            "kind": f"{kind}Binding",
            "roleRef": {"apiGroup": group, "kind": kind, "name": "bayplan"},
            "subjects": [subject],
        }


def _free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port: int = probe.getsockname()[1]
        return port
