"""What tests hold in hand: a site (a cluster prepared for Bayplan) and operator processes on it."""

import contextlib
import itertools
import os
import secrets
import signal
import subprocess
import sys
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Self

import yaml

from localcluster import Cluster
from localcluster.guest import FakeNodes
from localcluster.processes import wait_until
from tests.cluster.kube import Kube, Objects
from tools.demo.site import is_established

ROOT = Path(__file__).parents[2]
NAMESPACE = "bayplan-system"
ACCOUNT = "bayplan"
GROUP = "/apis/bayplan.dev/v1alpha1"
# Lease times for tests: a killed operator's successor of another name waits this long.
REAL_LEASE = (
    *("--lease-duration-seconds", "15", "--lease-renew-deadline-seconds", "10"),
    *("--lease-retry-seconds", "2"),
)
_LEASE = {"DURATION": "8", "RENEW_DEADLINE": "6", "RETRY": "0.5"}


@dataclass
class Site:
    """A cluster with the CRDs and the operator's rights. `local` is None on somebody's cluster."""

    kube: Kube
    local: Cluster | None
    folder: Path
    _namespaces: list[str] = field(default_factory=list)
    _fake: FakeNodes | None = None

    def prepare(self) -> Self:
        """Install what `helm install` would: CRDs, the namespace, the account and its rights."""
        self.kube.kubectl("apply", "-f", str(ROOT / "crds"))
        self.kube.until("/apis/apiextensions.k8s.io/v1/customresourcedefinitions", _established)
        for plural in ("batchjobs", "longservices", "pools"):
            self.kube.until_served(f"{GROUP}/{plural}")
        self.kube.apply(*rights())
        self.until_allowed(verb="list", resource="pods")
        about = {"group": "coordination.k8s.io", "namespace": NAMESPACE, "name": "bayplan"}
        self.until_allowed(verb="get", resource="leases", **about)
        return self

    def until_allowed(self, **asked: str) -> None:
        """Wait until the server knows of a right of the operator's that was just given to it."""
        user = f"system:serviceaccount:{NAMESPACE}:{ACCOUNT}"
        review = {
            "apiVersion": "authorization.k8s.io/v1",
            "kind": "SubjectAccessReview",
            "spec": {"user": user, "resourceAttributes": asked},
        }
        path = "/apis/authorization.k8s.io/v1/subjectaccessreviews"

        def allowed() -> bool:
            return bool(self.kube.create(path, review)["status"]["allowed"])

        wait_until(allowed, f"the operator may {asked}", within_seconds=60)

    def namespace(self) -> str:
        """A fresh namespace; it goes with the site."""
        name = f"t-{secrets.token_hex(4)}"
        self.kube.create("/api/v1/namespaces", {"metadata": {"name": name}})
        # Pods need the account that the controller manager makes a moment later.
        self.kube.until(
            f"/api/v1/namespaces/{name}/serviceaccounts", lambda found: "default" in found
        )
        self._namespaces.append(name)
        return name

    def nodes(self, text: str, **labels: str) -> list[str]:
        """Fake nodes such as `m5.2xlarge:us-east-1a=3`, with these labels beside their own."""
        names = self.local.add_kwok_nodes(text) if self.local else self._guests().add(text)
        for name in names if labels else ():
            self.kube.patch(f"/api/v1/nodes/{name}", {"metadata": {"labels": labels}})
        return names

    def until_node_has(self, node: str, pod: str, within: float = 60) -> None:
        """Wait until a real node's kubelet knows a pod, whether the API server does or not."""
        path = f"/api/v1/nodes/{node}/proxy/pods"

        def known() -> bool:
            pods = self.kube.get(path)["items"] or ()  # null as long as it has none
            return any(one["metadata"]["name"] == pod for one in pods)

        wait_until(known, f"{node} knows {pod}", within_seconds=within)

    def operator(self, *options: str, identity: str = "operator-0") -> "OperatorProcess":
        """An operator on this site, not started yet."""
        return OperatorProcess(self, options, identity)

    def account_kubeconfig(self) -> Path:
        """The operator's own account, by a token as a pod would have: its rights and no more."""
        path = self.folder / "operator.kubeconfig"
        if path.exists():
            return path
        answer = self.kube.create(
            f"/api/v1/namespaces/{NAMESPACE}/serviceaccounts/{ACCOUNT}/token",
            {"spec": {"expirationSeconds": 7200}},
        )
        config = yaml.safe_load(self.kube.kubeconfig.read_text())
        named = {"name": ACCOUNT, "user": {"token": answer["status"]["token"]}}
        config["users"] = [named]
        for context in config["contexts"]:
            context["context"]["user"] = ACCOUNT
        path.write_text(yaml.safe_dump(config))
        return path

    def close(self) -> None:
        """Take away what is ours from somebody's cluster."""
        for name in self._namespaces:
            self.kube.kubectl("delete", "namespace", name, "--wait=false", check=False)
        if self._fake is not None:
            self._fake.close()

    def _guests(self) -> FakeNodes:
        if self._fake is None:
            self._fake = FakeNodes(self.kube.kubeconfig, self.folder, self.kube.request)
        return self._fake


def _established(definitions: Objects) -> bool:
    """Whether ours are all served. `kubectl wait` errs on one that has no conditions yet."""
    ours = [one for name, one in definitions.items() if name.endswith(".bayplan.dev")]
    return len(ours) == len(list((ROOT / "crds").glob("*.yaml"))) and all(map(is_established, ours))


class OperatorProcess:
    """The operator as its own process; killed at the end of the block if it still runs.

    `program` is what python runs: our own starter, or kopf's.
    """

    def __init__(
        self,
        site: Site,
        options: Sequence[str],
        identity: str,
        program: Sequence[str] = ("-m", "bayplan"),
    ) -> None:
        self._site = site
        self._command = [sys.executable, *program, *options]
        self._identity = identity
        self._log = site.folder / f"{identity}.log"
        self._process: subprocess.Popen[bytes] | None = None

    def start(self) -> Self:
        kubeconfig = str(self._site.account_kubeconfig())
        settings = {
            "KUBECONFIG": kubeconfig,
            "IDENTITY": self._identity,
            "LEASE_NAMESPACE": NAMESPACE,
            "LISTEN_ADDRESS": "127.0.0.1",
            "METRICS_PORT": "0",
            "LIVENESS_PORT": "0",
            **{f"LEASE_{name}_SECONDS": value for name, value in _LEASE.items()},
        }
        with self._log.open("ab") as log:
            self._process = subprocess.Popen(
                self._command,
                stdout=log,
                stderr=log,
                cwd=self._site.folder,
                env={
                    **os.environ,
                    **{f"BAYPLAN_{name}": value for name, value in settings.items()},
                    "KUBECONFIG": kubeconfig,
                    "PYTHONPATH": str(ROOT / "operator"),
                    "PYTHONUNBUFFERED": "1",
                },
            )
        return self

    def __enter__(self) -> Self:
        return self.start()

    def __exit__(self, *_: object) -> None:
        self.kill()

    @property
    def running(self) -> bool:
        return self._process is not None and self._process.poll() is None

    @property
    def pid(self) -> int:
        assert self._process is not None
        return self._process.pid

    def log(self) -> str:
        return self._log.read_text(errors="replace")

    def until_logged(self, text: str, within: float = 30, *, times: int = 1) -> None:
        """Wait until so many lines hold this text, reading the log as it grows."""
        follow = ["timeout", str(within), "tail", "-n", "+1", "-F", str(self._log)]
        with subprocess.Popen(follow, stdout=subprocess.PIPE, text=True) as lines:
            assert lines.stdout is not None
            holding = (line for line in lines.stdout if text in line)
            found = len(list(itertools.islice(holding, times))) == times
            lines.kill()
        assert found, f"not logged within {within} s: {text!r}\n{self.log()[-2000:]}"

    def kill(self) -> None:
        """SIGKILL: as a crash, nothing is cleaned up."""
        if self._process is not None:
            self._process.kill()
            self._process.wait(10)

    def terminate(self, within: float = 10) -> int:
        """SIGTERM, and the exit code."""
        assert self._process is not None
        self._process.send_signal(signal.SIGTERM)
        return self._process.wait(within)


def definitions() -> list[dict[str, Any]]:
    """Of our kinds, for a cluster that has them from its start."""
    paths = sorted((ROOT / "crds").glob("*.yaml"))
    return [yaml.safe_load(path.read_text(encoding="utf-8")) for path in paths]


def rights() -> Iterator[Mapping[str, Any]]:
    """The objects of the chart that matter to an operator outside the cluster."""
    rules = _rules()
    yield {"apiVersion": "v1", "kind": "Namespace", "metadata": {"name": NAMESPACE}}
    yield {
        "apiVersion": "v1",
        "kind": "ServiceAccount",
        "metadata": {"name": ACCOUNT, "namespace": NAMESPACE},
    }
    yield from _granted("ClusterRole", "bayplan", [*rules["cluster"], *rules["namespace"]])
    yield from _granted("Role", "bayplan", rules["lease"])


def pool_rights() -> Iterator[Mapping[str, Any]]:
    """What an operator may do beyond that if the chart's `pool.enabled` is set."""
    yield from _granted("ClusterRole", "bayplan-pools", _rules()["pools"])


def _rules() -> Mapping[str, Any]:
    rules: Mapping[str, Any] = yaml.safe_load(
        (ROOT / "charts/bayplan/files/rules.yaml").read_text()
    )
    return rules


def _granted(kind: str, name: str, rules: Sequence[Any]) -> Iterator[Mapping[str, Any]]:
    """A role, and its binding to the operator's account."""
    where = {"namespace": NAMESPACE} if kind == "Role" else {}
    rbac = "rbac.authorization.k8s.io"
    about = {"apiVersion": f"{rbac}/v1", "metadata": {"name": name, **where}}
    yield {**about, "kind": kind, "rules": rules}
    yield {
        **about,
        "kind": f"{kind}Binding",
        "roleRef": {"apiGroup": rbac, "kind": kind, "name": name},
        "subjects": [{"kind": "ServiceAccount", "name": ACCOUNT, "namespace": NAMESPACE}],
    }


def lease_rights(namespace: str) -> Iterator[Mapping[str, Any]]:
    """The operator's right to its lease, in another namespace than its own."""
    for one in rights():
        if one["kind"] in {"Role", "RoleBinding"}:
            yield {**one, "metadata": {**one["metadata"], "namespace": namespace}}


@contextlib.contextmanager
def kind_cluster(folder: Path) -> Iterator[Path]:
    """A kind cluster from kind-config.yaml; needs Docker."""
    name = f"bayplan-{secrets.token_hex(3)}"
    kubeconfig = folder / "kubeconfig"
    subprocess.run(
        [
            *("kind", "create", "cluster", "--name", name, "--wait", "120s"),
            *("--config", str(ROOT / "kind-config.yaml"), "--kubeconfig", str(kubeconfig)),
        ],
        check=True,
    )
    try:
        yield kubeconfig
    finally:
        subprocess.run(["kind", "delete", "cluster", "--name", name], check=True)
