"""Real nodes: a kubelet and a containerd each, several on one machine; needs root.

A node is a set of processes in a mount and a process namespace of its own (`unshare`), whose first
process does nothing but wait. Whatever kubelet and containerd mount, start or leave in /run,
/var/log and /var/lib exists in there only, so that the end of that first process is the end of all
of it: the kernel ends every container and drops every mount. What is outside of the namespaces has
names that follow from the cluster's folder and can be found without a record: one bridge a node
(pods' veth devices go with their pods) and one folder in each cgroup hierarchy.

Nodes share the machine's network and have an address each, that of their bridge, which is where
their kubelet listens. Pods of a node reach that address and each other, not other nodes' pods and
not the API server on loopback. The machine's ip_forward is left alone.
"""

import contextlib
import dataclasses
import hashlib
import json
import os
import shlex
import shutil
import subprocess
import time
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from localcluster import ec2, image, processes

PACKAGES = ("containerd", "runc", "containernetworking-plugins", "busybox-static")
_NEEDED = ("containerd", "ctr", "runc", "busybox", "unshare", "nsenter", "ip")
_CNI = Path("/usr/lib/cni")
_HIDDEN = (Path("/run"), Path("/var/log"), Path("/var/lib"))  # from the machine, inside of a node
_CGROUPS = Path("/sys/fs/cgroup")
_SOCKET = "/run/containerd/containerd.sock"
_FIRST_SUBNET_OCTET = 192  # 10.192.0.0/10, a /24 a node
_EVICTION_BYTES = 50 << 20
_MIB = 1 << 20


class NotPossibleError(RuntimeError):
    """Real nodes cannot be had here; the message says what is missing."""


@dataclasses.dataclass(frozen=True, slots=True)
class Node:
    """One real node; `subnet` is a number of its own on this machine."""

    cluster: Path
    number: int
    subnet: int
    shape: ec2.Shape

    @property
    def name(self) -> str:
        return f"kubelet-{self.number}"

    @property
    def folder(self) -> Path:
        return self.cluster / self.name

    @property
    def static_pods(self) -> Path:
        """Manifests here run without the API server's leave, as on any node."""
        return self.folder / "static-pods"

    @property
    def network(self) -> str:
        return f"10.{_FIRST_SUBNET_OCTET + (self.subnet >> 8)}.{self.subnet & 255}"

    @property
    def address(self) -> str:
        return f"{self.network}.1"

    @property
    def bridge(self) -> str:
        return f"{bridge_prefix(self.cluster)}{self.number}"

    def role(self, program: str) -> str:
        return f"{program}-{self.number}"


def missing() -> list[str]:
    """What real nodes need and this machine lacks; empty: they can be had (by root)."""
    path = os.environ.get("PATH", "") + os.pathsep + "/usr/sbin:/sbin"
    lacking = [program for program in _NEEDED if shutil.which(program, path=path) is None]
    if not (_CNI / "bridge").exists():
        lacking.append(str(_CNI / "bridge"))
    return lacking


def check(home: Path) -> None:
    """Raise `NotPossibleError` unless real nodes can be started with their folders below `home`."""
    if os.geteuid() != 0:
        raise NotPossibleError("real kubelets need root")
    lacking = missing()
    if lacking:
        raise NotPossibleError(
            f"real kubelets need {', '.join(lacking)}; on Debian `python -m localcluster build` "
            f"as root installs {' '.join(PACKAGES)}"
        )
    for hidden in _HIDDEN:
        if home.resolve().is_relative_to(hidden):
            raise NotPossibleError(
                f"{home} is below {hidden}, which nodes hide; set BAYPLAN_LOCALCLUSTER_HOME"
            )


def installable() -> bool:
    """Whether something is missing that `install` would bring."""
    return bool(missing()) and os.geteuid() == 0 and shutil.which("apt-get") is not None


def install(packages: Sequence[str] = PACKAGES) -> None:
    """The Debian packages are installed; Debian's own words go to the terminal if it fails."""
    environment = os.environ | {"DEBIAN_FRONTEND": "noninteractive"}
    for words in (["update", "-q"], ["install", "-qy", "--no-install-recommends", *packages]):
        subprocess.run(["apt-get", *words], env=environment, check=True, stdout=subprocess.DEVNULL)


def prepare(
    node: Node, *, kubeconfig: Path, authority: Path, serving: tuple[Path, Path], lease_seconds: int
) -> None:
    """Everything in the node's folder that its programs read."""
    folder = node.folder
    for each in ("cni", "containerd", "kubelet", "pod-logs", "static-pods", "volume-plugins"):
        (folder / each).mkdir(parents=True, exist_ok=True)
    (folder / "containerd.toml").write_text(_containerd(node))
    (folder / "cni" / "10-bridge.conflist").write_text(json.dumps(_network(node)))
    (folder / "resolv.conf").touch()
    configuration = _kubelet(node, authority, serving, lease_seconds)
    (folder / "kubelet.yaml").write_text(json.dumps(configuration))
    shutil.copy(kubeconfig, folder / "kubeconfig")
    busybox = shutil.which("busybox")
    if busybox is None:
        raise NotPossibleError("busybox-static is not installed")
    image.write(folder / "image.tar", Path(busybox))


def start(node: Node, kubelet: Path) -> None:
    """The node's namespaces, containerd with the image, and the kubelet run when this returns."""
    _make_bridge(node)
    boot(node, kubelet)


def boot(node: Node, kubelet: Path) -> None:
    """A node that was lost runs again, as a machine that was switched off and on.

    Its disk is as it was: the kubelet starts the containers of its pods anew.
    """
    _make_cgroups(node)
    tmpfs = "".join(f"mount -t tmpfs -o mode=755 tmpfs {folder} && " for folder in _HIDDEN)
    ready = node.folder / "namespaces"
    ready.unlink(missing_ok=True)
    script = f"{tmpfs}touch {shlex.quote(str(ready))}; while :; do sleep 2147483647 & wait; done"
    namespaces = ["unshare", "--mount", "--pid", "--fork", "--mount-proc", "--kill-child"]
    processes.launch(node.cluster, node.role("node"), [*namespaces, "sh", "-c", script])
    processes.wait_until(ready.exists, f"{node.name}: namespaces", within_seconds=30)
    containerd = ["containerd", "--config", str(node.folder / "containerd.toml")]
    processes.launch(node.cluster, node.role("containerd"), [*_inside(node), *containerd])
    import_image = [*_inside(node), "ctr", "-a", _SOCKET, "-n", "k8s.io", "images", "import"]
    _retry([*import_image, str(node.folder / "image.tar")], f"{node.name}: containerd")
    start_kubelet(node, kubelet)


def start_kubelet(node: Node, kubelet: Path) -> None:
    """The kubelet runs; it finds the containers that went on without it."""
    words = [
        str(kubelet),
        f"--config={node.folder / 'kubelet.yaml'}",
        f"--kubeconfig={node.folder / 'kubeconfig'}",
        f"--root-dir={node.folder / 'kubelet'}",
        f"--cert-dir={node.folder / 'kubelet' / 'pki'}",
        f"--hostname-override={node.name}",
        f"--node-ip={node.address}",
        "--node-labels=" + ",".join(f"{key}={value}" for key, value in labels(node).items()),
    ]
    processes.launch(node.cluster, node.role("kubelet"), [*_inside(node), *words])


def stop_kubelet(node: Node) -> None:
    """The kubelet is gone without a word; its containers go on."""
    processes.end(processes.marked(node.cluster, node.role("kubelet")))


def lose(node: Node) -> None:
    """The node is gone with all its containers, as when its instance lost power."""
    for program in ("kubelet", "containerd", "node"):
        processes.end(processes.marked(node.cluster, node.role(program)))


def clear(cluster: Path) -> None:
    """Bridges and cgroups of a cluster whose processes have ended are gone."""
    links = Path("/sys/class/net")
    for link in sorted(links.glob(f"{bridge_prefix(cluster)}*")) if links.exists() else ():
        subprocess.run(["ip", "link", "delete", link.name], check=False, capture_output=True)
    for top in cgroup_folders(cluster):
        _remove_cgroup(top)


def labels(node: Node) -> dict[str, str]:
    """The node's labels but those that a kubelet sets by itself."""
    own = {"kubernetes.io/hostname", "kubernetes.io/os", "kubernetes.io/arch"}
    return {k: v for k, v in ec2.labels(node.shape, node.name).items() if k not in own}


def _inside(node: Node) -> list[str]:
    """The command that runs another one in the node's namespaces."""
    for pid in processes.marked(node.cluster, node.role("node")):
        with contextlib.suppress(OSError):
            status = Path(f"/proc/{pid}/status").read_text()
            inner = next(line for line in status.splitlines() if line.startswith("NSpid:"))
            if inner.split()[-1] == "1" and len(inner.split()) > len(("NSpid:", "1")):
                return ["nsenter", f"--target={pid}", "--mount", "--pid", "--"]
    raise processes.NotInTimeError(f"{node.name} does not run")


def _retry(command: Sequence[str], what: str) -> None:
    deadline = time.monotonic() + 30
    while True:
        done = subprocess.run(command, capture_output=True, text=True, check=False)
        if done.returncode == 0:
            return
        if time.monotonic() > deadline:
            raise processes.NotInTimeError(f"{what}: {done.stderr.strip()}")
        time.sleep(0.1)


def bridge_prefix(cluster: Path) -> str:
    """At most 10 of the 15 characters that the kernel allows, from the folder's hash."""
    return f"bp{hashlib.sha256(str(cluster).encode()).hexdigest()[:7]}n"


def _make_bridge(node: Node) -> None:
    for words in (
        ["link", "add", node.bridge, "type", "bridge"],
        ["address", "add", f"{node.address}/24", "dev", node.bridge],
        ["link", "set", node.bridge, "up"],
    ):
        subprocess.run(["ip", *words], check=True, capture_output=True)


def _cgroup_name(cluster: Path) -> str:
    return f"bayplan-{bridge_prefix(cluster)}"


def cgroup_folders(cluster: Path) -> list[Path]:
    """The cluster's folder in each hierarchy: one for cgroup v2, one a controller for v1."""
    if (_CGROUPS / "cgroup.controllers").exists():
        tops = [_CGROUPS]
    else:
        tops = [each for each in _CGROUPS.glob("*") if each.is_dir() and not each.is_symlink()]
    return [top / _cgroup_name(cluster) for top in tops]


def _make_cgroups(node: Node) -> None:
    for top in cgroup_folders(node.cluster):
        (top / node.name).mkdir(parents=True, exist_ok=True)
        for name in ("cpuset.cpus", "cpuset.mems"):  # v1: empty in a new folder, then unusable
            if (top.parent / name).exists() and top.parent.name == "cpuset":
                for folder in (top, top / node.name):
                    (folder / name).write_text((top.parent / name).read_text())


def _remove_cgroup(top: Path) -> None:
    """Remove a cgroup folder and all below it; the last processes may take a moment to leave."""
    if not top.exists():
        return
    for folder in sorted((path for path in top.rglob("*") if path.is_dir()), reverse=True):
        _rmdir(folder)
    _rmdir(top)


def _rmdir(folder: Path) -> None:
    def removed() -> bool:
        try:
            folder.rmdir()
        except FileNotFoundError:
            return True
        except OSError:
            return False
        return True

    processes.wait_until(removed, f"{folder} is empty", within_seconds=10)


def _containerd(node: Node) -> str:
    quoted = json.dumps
    return f"""
version = 2
root = {quoted(str(node.folder / "containerd"))}
state = "/run/containerd"
disabled_plugins = [
  "io.containerd.snapshotter.v1.aufs", "io.containerd.snapshotter.v1.btrfs",
  "io.containerd.snapshotter.v1.devmapper", "io.containerd.snapshotter.v1.zfs",
  "io.containerd.internal.v1.opt", "io.containerd.tracing.processor.v1.otlp",
]
[grpc]
  address = "{_SOCKET}"
[plugins."io.containerd.grpc.v1.cri"]
  sandbox_image = "{image.NAME}"
  restrict_oom_score_adj = true
  disable_apparmor = true
  [plugins."io.containerd.grpc.v1.cri".cni]
    bin_dir = "{_CNI}"
    conf_dir = {quoted(str(node.folder / "cni"))}
  [plugins."io.containerd.grpc.v1.cri".containerd]
    snapshotter = "overlayfs"
    default_runtime_name = "runc"
    [plugins."io.containerd.grpc.v1.cri".containerd.runtimes.runc]
      runtime_type = "io.containerd.runc.v2"
"""


def _network(node: Node) -> dict[str, Any]:
    addresses = {
        "type": "host-local",
        "dataDir": str(node.folder / "addresses"),
        "ranges": [[{"subnet": f"{node.network}.0/24", "gateway": node.address}]],
        "routes": [{"dst": "0.0.0.0/0"}],
    }
    # isGateway would switch on the machine's ip_forward; the bridge has its address already.
    bridge = {"type": "bridge", "bridge": node.bridge, "isGateway": False, "ipMasq": False}
    return {
        "cniVersion": "0.4.0",
        "name": node.bridge,
        "plugins": [bridge | {"ipam": addresses}, {"type": "loopback"}],
    }


def _kubelet(
    node: Node, authority: Path, serving: tuple[Path, Path], lease_seconds: int
) -> dict[str, Any]:
    certificate, key = serving
    return {
        "apiVersion": "kubelet.config.k8s.io/v1beta1",
        "kind": "KubeletConfiguration",
        "address": node.address,
        "healthzPort": 0,
        "staticPodPath": str(node.static_pods),
        "readOnlyPort": 0,
        "tlsCertFile": str(certificate),
        "tlsPrivateKeyFile": str(key),
        "authentication": {
            "anonymous": {"enabled": False},
            "webhook": {"enabled": False},
            "x509": {"clientCAFile": str(authority)},
        },
        "authorization": {"mode": "AlwaysAllow"},  # of those with a certificate
        "containerRuntimeEndpoint": f"unix://{_SOCKET}",
        "cgroupDriver": "cgroupfs",
        "cgroupRoot": f"/{_cgroup_name(node.cluster)}/{node.name}",
        "cgroupsPerQOS": True,
        "enforceNodeAllocatable": [],
        "failCgroupV1": False,
        "failSwapOn": False,
        "featureGates": {"KubeletInUserNamespace": True},  # what may not be done only warns
        "localStorageCapacityIsolation": False,
        "makeIPTablesUtilChains": False,
        "resolvConf": str(node.folder / "resolv.conf"),
        "podLogsDir": str(node.folder / "pod-logs"),
        "volumePluginDir": str(node.folder / "volume-plugins"),
        "evictionHard": {
            "memory.available": f"{_EVICTION_BYTES // _MIB}Mi",
            "nodefs.available": "1%",
            "imagefs.available": "1%",
        },
        "imageGCHighThresholdPercent": 100,  # the only image cannot be pulled again
        "nodeLeaseDurationSeconds": lease_seconds,
        "providerID": f"aws:///{node.shape.zone}/{ec2.instance_id(str(node.folder))}",
        **_reserved(node.shape),
    }


def _reserved(shape: ec2.Shape) -> dict[str, Any]:
    """What the kubelet must not offer, so that the rest is an instance of that type on EKS.

    A machine that is smaller than the type offers all it has.
    """
    offered = ec2.allocatable_of(shape.instance_type)
    cpu_milli = (os.cpu_count() or 1) * 1000
    page_bytes, pages = os.sysconf("SC_PAGE_SIZE"), os.sysconf("SC_PHYS_PAGES")
    memory_bytes = page_bytes * pages
    spare_milli = max(0, cpu_milli - offered["cpu"])
    spare_bytes = max(0, memory_bytes - offered["memory"] - _EVICTION_BYTES)
    reserved = {"cpu": f"{spare_milli}m", "memory": str(spare_bytes)}
    return {"maxPods": offered["pods"], "systemReserved": reserved}
