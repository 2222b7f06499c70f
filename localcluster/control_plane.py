"""The command lines of the control plane: data in, words out; nothing is started here."""

import dataclasses
from collections.abc import Sequence
from pathlib import Path

SERVICE_NETWORK = "10.96.0.0/16"
SERVER_NAMES = (
    "127.0.0.1",
    "localhost",
    "kubernetes",
    "kubernetes.default",
    "kubernetes.default.svc",
    "10.96.0.1",
)
AUDIT_POLICY = """\
apiVersion: audit.k8s.io/v1
kind: Policy
omitStages: [RequestReceived]
rules: [{level: Metadata}]
"""
KUBERNETES_GRACE_SECONDS = 40  # the controller manager's default: a node is silent for so long
_QPS = 1000  # clients' own throttles are lifted: the machine is the limit


@dataclasses.dataclass(frozen=True, slots=True)
class Files:
    """Where a cluster keeps its certificates and logs."""

    folder: Path

    @property
    def pki(self) -> Path:
        return self.folder / "pki"

    @property
    def audit_log(self) -> Path:
        return self.folder / "audit.log"

    @property
    def audit_policy(self) -> Path:
        return self.folder / "audit-policy.yaml"

    def kubeconfig(self, who: str) -> Path:
        return self.folder / f"{who}.kubeconfig"


def etcd(program: Path, files: Files, *, port: int, peer_port: int) -> list[str | Path]:
    """Etcd that never waits for a disk: its data does not outlive the cluster."""
    client, peer = f"http://127.0.0.1:{port}", f"http://127.0.0.1:{peer_port}"
    return [
        program,
        f"--data-dir={files.folder / 'etcd'}",
        f"--listen-client-urls={client}",
        f"--advertise-client-urls={client}",
        f"--listen-peer-urls={peer}",
        f"--initial-advertise-peer-urls={peer}",
        f"--initial-cluster=default={peer}",
        "--unsafe-no-fsync",
        "--quota-backend-bytes=8589934592",
        "--log-level=warn",
    ]


def apiserver(
    program: Path,
    files: Files,
    *,
    port: int,
    etcd_port: int,
    audit: bool,
    controller_manager: bool,
    extra: Sequence[str],
) -> list[str | Path]:
    """An API server with RBAC, the node authorizer and priority-and-fairness, on loopback only.

    Without a controller manager nothing would make a namespace's `default` service account or take
    the not-ready taint off a new node, so the two admission plugins that count on it are off.
    """
    pki = files.pki
    words: list[str | Path] = [
        program,
        f"--etcd-servers=http://127.0.0.1:{etcd_port}",
        f"--secure-port={port}",
        "--bind-address=127.0.0.1",
        "--advertise-address=127.0.0.1",
        "--endpoint-reconciler-type=none",  # there is no way from a pod to a loopback address
        f"--tls-cert-file={pki / 'apiserver.crt'}",
        f"--tls-private-key-file={pki / 'apiserver.key'}",
        f"--client-ca-file={pki / 'ca.crt'}",
        f"--kubelet-client-certificate={pki / 'admin.crt'}",
        f"--kubelet-client-key={pki / 'admin.key'}",
        f"--kubelet-certificate-authority={pki / 'ca.crt'}",
        "--kubelet-preferred-address-types=InternalIP",
        f"--service-account-key-file={pki / 'service-account.pub'}",
        f"--service-account-signing-key-file={pki / 'service-account.key'}",
        "--service-account-issuer=https://kubernetes.default.svc.cluster.local",
        f"--service-cluster-ip-range={SERVICE_NETWORK}",
        "--authorization-mode=Node,RBAC",
        "--enable-admission-plugins=NodeRestriction",
        "--allow-privileged=true",
        "--profiling=false",
    ]
    if audit:
        words += [
            f"--audit-policy-file={files.audit_policy}",
            f"--audit-log-path={files.audit_log}",
        ]
    if not controller_manager:
        words.append("--disable-admission-plugins=ServiceAccount,TaintNodesByCondition")
    return [*words, *extra]


def controller_manager(
    program: Path, files: Files, *, grace_seconds: int, extra: Sequence[str]
) -> list[str | Path]:
    """Garbage collection, taints of silent nodes, pod GC, budgets, namespaces, accounts.

    A node is looked at eight times within its grace, as with Kubernetes' own 5 s and 40 s.
    """
    return [
        program,
        f"--kubeconfig={files.kubeconfig('controller-manager')}",
        f"--service-account-private-key-file={files.pki / 'service-account.key'}",
        f"--root-ca-file={files.pki / 'ca.crt'}",
        "--leader-elect=false",
        "--use-service-account-credentials=true",
        "--secure-port=0",
        "--controllers=*,-ttl-controller",  # it writes every node, for kubelets' caches
        f"--node-monitor-grace-period={grace_seconds}s",
        f"--node-monitor-period={grace_seconds * 1000 // 8}ms",
        f"--kube-api-qps={_QPS}",
        f"--kube-api-burst={2 * _QPS}",
        *extra,
    ]


def scheduler(program: Path, files: Files) -> list[str | Path]:
    """kube-scheduler, for pods that do not name another one."""
    return [
        program,
        f"--kubeconfig={files.kubeconfig('scheduler')}",
        "--leader-elect=false",
        "--secure-port=0",
        f"--kube-api-qps={_QPS}",
        f"--kube-api-burst={2 * _QPS}",
    ]


def kwok(program: Path, files: Files) -> list[str | Path]:
    """Kwok with our stages."""
    return [
        program,
        f"--kubeconfig={files.kubeconfig('kwok')}",
        f"--config={files.folder / 'kwok.yaml'}",
        "--node-lease-duration-seconds=0",
        "--v=WARN",
    ]


def kwok_identity() -> str:
    """As whom kwok acts; also how its own writes are told apart in an audit log."""
    return "kwok"
