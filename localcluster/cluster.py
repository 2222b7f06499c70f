"""One running cluster: started, used, disturbed on purpose, stopped without a trace."""

import contextlib
import datetime as dt
import functools
import hashlib
import itertools
import json
import os
import secrets
import signal
import socket
import subprocess
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any, Self

from localcluster import control_plane, ec2, karpenter, kwok, pki, processes, programs, state
from localcluster import kubelets as real
from localcluster.api import Api

_MASTERS = "system:masters"
_STARTED_SECONDS = 90  # of one program; a busy machine takes ten times its usual 4 s
_LEASES = "/apis/coordination.k8s.io/v1/namespaces/kube-node-lease/leases"
_DEFINITIONS = "/apis/apiextensions.k8s.io/v1/customresourcedefinitions"
_PORTS = ("etcd", "etcd-peer", "apiserver", "karpenter")
KUBELET_SHAPES = "t3.medium:us-east-1a,t3.medium:us-east-1b,t3.medium:us-east-1c"


class Cluster:
    """A handle on a cluster that runs; `start` makes one, `open` finds one by name."""

    def __init__(self, record: state.Record, *, stops: bool = False) -> None:
        self._record = record
        self._stops = stops
        self._files = control_plane.Files(record.folder)
        admin = self._files.pki / "admin.crt", self._files.pki / "admin.key"
        self._authority = pki.Authority(self._files.pki)
        if not admin[0].exists():
            admin = self._authority.client("admin", "kubernetes-admin", [_MASTERS])
        self._api = Api(record.ports["apiserver"], self.ca, *admin)

    @classmethod
    def start(
        cls,
        name: str | None = None,
        *,
        kwok: str = "",
        kubelets: int = 0,
        kubelet_shapes: str = KUBELET_SHAPES,
        scheduler: bool = False,
        controller_manager: bool = True,
        audit: bool = False,
        port: int | None = None,
        apiserver_flags: Sequence[str] = (),
        controller_manager_flags: Sequence[str] = (),
        node_monitor_grace_seconds: int = control_plane.KUBERNETES_GRACE_SECONDS,
        prices: Path | None = None,
        definitions: Sequence[dict[str, Any]] = (),
        stays: bool = False,
    ) -> Self:
        """A cluster that answers, its nodes Ready. Programs that are not built yet are built.

        Kubernetes' garbage collector looks for new kinds every 30 s only. Those of `definitions`
        are served before it starts, so that it knows them at once.

        As a context manager it is stopped at the end of the block. One whose owner died without
        stopping it is cleared away by the next start, unless it `stays` (the command line's do).
        """
        _ = ec2.shapes(kwok), ec2.shapes(kubelet_shapes)  # a slip in the text costs nothing yet
        if kubelets:
            real.check(state.home())
        for record in state.all_records():
            if record.abandoned:
                remove(record.name)
        options = {
            "scheduler": scheduler,
            "controller_manager": controller_manager,
            "audit": audit,
            "apiserver_flags": list(apiserver_flags),
            "controller_manager_flags": list(controller_manager_flags),
            "node_monitor_grace_seconds": node_monitor_grace_seconds,
            "kubelets": kubelets,
            "kubelet_shapes": kubelet_shapes,
            "prices": ec2.dollars(prices) if prices else {},
        }
        programs.build()
        record = state.create(
            name or f"c{os.getpid()}-{secrets.token_hex(3)}",
            [*_PORTS, *(f"kubelet-{number}" for number in range(1, kubelets + 1))],
            options=options,
            fixed={"apiserver": port} if port else {},
            owner=None if stays else state.Owner.this_process(),
        )
        cluster = cls(record, stops=True)
        try:
            cluster._start_plane(definitions)
            cluster._start_kubelets()
            if kwok:
                cluster.add_kwok_nodes(kwok)
        except BaseException:
            cluster.stop()
            raise
        return cluster

    @classmethod
    def open(cls, name: str) -> Self:
        """A cluster that another process started. Raises `state.NoSuchClusterError`.

        As a context manager it is let go at the end of the block, not stopped.
        """
        return cls(state.load(name))

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        """Stop what `start` has started; what `open` has found goes on."""
        self._api.close()
        if self._stops:
            remove(self.name)

    # ── where it is ──────────────────────────────────────────────────────────────────────────

    @property
    def name(self) -> str:
        return self._record.name

    @property
    def directory(self) -> Path:
        """Certificates, logs (`logs/`), the data of etcd; gone after `stop`."""
        return self._record.folder

    @property
    def server(self) -> str:
        return f"https://127.0.0.1:{self._record.ports['apiserver']}"

    @property
    def ca(self) -> Path:
        return self._authority.certificate_path

    @property
    def kubeconfig(self) -> Path:
        """The administrator's."""
        return self._files.kubeconfig("admin")

    @property
    def audit_log(self) -> Path:
        """One JSON event a line, if the cluster was started with `audit`."""
        return self._files.audit_log

    def client_kubeconfig(self, user: str, groups: Sequence[str] = ()) -> Path:
        """A kubeconfig as which the server sees `user` in `groups`: what RBAC grants and no more.

        A service account's name (`system:serviceaccount:NAMESPACE:NAME`) brings its groups along.
        """
        account = user.split(":")
        if account[:2] == ["system", "serviceaccount"]:
            of_namespace = f"system:serviceaccounts:{account[2]}"
            groups = ["system:serviceaccounts", of_namespace, *groups]
        which = hashlib.sha256(repr((user, tuple(groups))).encode()).hexdigest()[:12]
        return self._write_kubeconfig(f"user-{which}", user, groups)

    # ── using it ─────────────────────────────────────────────────────────────────────────────

    def kubectl(
        self,
        *words: str,
        input: str | None = None,  # noqa: A002 - as subprocess.run has it
        check: bool = True,
    ) -> subprocess.CompletedProcess[str]:
        """Run the kubectl that was built, as administrator; text in, text out, 60 s at most."""
        program = programs.path("kubectl")
        command = [str(program), f"--kubeconfig={self.kubeconfig}", *words]
        done = subprocess.run(
            command, input=input, capture_output=True, text=True, timeout=60, check=False
        )
        if check and done.returncode:
            raise subprocess.SubprocessError(f"kubectl {' '.join(words)}: {done.stderr.strip()}")
        return done

    def request(self, method: str, path: str, body: object = None) -> Any:
        """One request as administrator; the decoded answer. PATCH is a merge patch."""
        return self._api.request(method, path, body)

    def audit_events(self) -> Iterator[dict[str, Any]]:
        """The requests that the server has answered so far, oldest first."""
        with self.audit_log.open() as lines:
            yield from (json.loads(line) for line in lines if line.endswith("\n"))  # else half one

    # ── nodes ────────────────────────────────────────────────────────────────────────────────

    def add_kwok_nodes(self, text: str) -> list[str]:
        """More fake nodes, Ready and played by kwok when this returns; their names."""
        known = self._nodes()
        taken = {node["metadata"]["name"] for node in known}
        used = {each["address"] for node in known for each in node["status"]["addresses"]}
        addresses = (text for text in map(kwok_address, itertools.count(1)) if text not in used)
        dollars, version = self._record.options["prices"], programs.kubernetes_version()
        bodies = []
        for shape in ec2.shapes(text):
            free = (n for n in itertools.count(1) if f"{shape.stem}-{n}" not in taken)
            price = dollars.get(shape.instance_type)
            made = [
                ec2.node(shape, number, next(addresses), version=version, price=price)
                for number in itertools.islice(free, shape.count)
            ]
            taken |= {node["metadata"]["name"] for node in made}
            bodies += made
        nodes = self._api.each(("POST", "/api/v1/nodes", body) for body in bodies)
        at = dt.datetime.now(dt.UTC).isoformat(timespec="microseconds").replace("+00:00", "Z")
        leases = [kwok.lease(node["metadata"], at) for node in nodes]
        self._api.each(("POST", _LEASES, lease) for lease in leases)
        names = [node["metadata"]["name"] for node in nodes]
        self._await_nodes(set(names))
        return names

    def delete_node(self, node: str) -> None:
        """The Node object goes, as when its instance was terminated."""
        self.request("DELETE", f"/api/v1/nodes/{node}")

    def stop_heartbeat(self, node: str) -> None:
        """A fake node falls silent: no lease, no status, its pods as they were.

        The controller manager finds it out after `node_monitor_grace_seconds`. kwok is started
        anew, as it would still write what it had planned for that node's pods.
        """
        processes.end(self._pids("kwok"))
        self._set_kubelet(node, kwok.SILENT)
        self._launch("kwok", control_plane.kwok(programs.path("kwok"), self._files))

    def resume_heartbeat(self, node: str) -> None:
        """A silent fake node speaks again; what its pods did meanwhile is reported now."""
        self._set_kubelet(node, kwok.PLAYED)

    def stop_kubelet(self, node: str) -> None:
        """A real node falls silent; its containers go on, as when it is cut off."""
        real.stop_kubelet(self._real_node(node))

    def start_kubelet(self, node: str) -> None:
        """The kubelet of a real node is back and finds its containers again."""
        found = self._real_node(node)
        real.start_kubelet(found, programs.path("kubelet"))

    def static_pod(self, node: str, manifest: dict[str, Any]) -> Path:
        """A pod that a real node runs from a file; it ends when the file is removed.

        In a namespace that does not exist the API server never hears of it.
        """
        path = self._real_node(node).static_pods / f"{manifest['metadata']['name']}.json"
        path.write_text(json.dumps({"apiVersion": "v1", "kind": "Pod", **manifest}))
        return path

    def lose_node(self, node: str) -> None:
        """A real node is gone with all that ran on it, as when its instance lost power."""
        real.lose(self._real_node(node))

    def boot_node(self, node: str) -> None:
        """A lost real node is switched on again; its pods start anew, on the same disk."""
        found = self._real_node(node)
        real.boot(found, programs.path("kubelet"))

    def start_karpenter(
        self, types: Sequence[str], zones: Sequence[str], prices: Path | None = None
    ) -> None:
        """A real autoscaler buys nodes of these types in these zones, once there is a NodePool.

        `prices` is a prices file of the operator; else its model prices the types. See `karpenter`
        for what a NodePool must say. Built on the first call (2 minutes).
        """
        program = programs.build(["karpenter"])["karpenter"]
        menu = self.directory / "instance-types.json"
        menu.write_text(json.dumps(karpenter.instance_types(types, zones, prices), indent=1))
        self._define(karpenter.definitions())
        kubeconfig = self._write_kubeconfig("karpenter", "karpenter", [_MASTERS])
        port = self._record.ports["karpenter"]
        pid = self._launch("karpenter", karpenter.command(program, kubeconfig, menu, port=port))
        self._await("karpenter", pid, lambda: _accepts(port))

    # ── disturbing the control plane ─────────────────────────────────────────────────────────

    def pause_apiserver(self) -> None:
        """The API server stands still: connections stay open and nothing is answered."""
        processes.send(self._pids("kube-apiserver"), signal.SIGSTOP)

    def resume_apiserver(self) -> None:
        processes.send(self._pids("kube-apiserver"), signal.SIGCONT)

    def stop_apiserver(self) -> None:
        """The API server is gone; connections are refused. Its data stays in etcd."""
        processes.end(self._pids("kube-apiserver"))

    def restart_apiserver(self) -> None:
        """A new API server on the same port and data; returns when it answers."""
        self.stop_apiserver()
        self._start_apiserver()

    # ── its end ──────────────────────────────────────────────────────────────────────────────

    def stop(self) -> None:
        """Nothing of it is left: processes, mounts, devices, cgroups, files."""
        self._api.close()
        remove(self.name)

    # ── inside ───────────────────────────────────────────────────────────────────────────────

    def _start_plane(self, definitions: Sequence[dict[str, Any]]) -> None:
        files, ports, options = self._files, self._record.ports, self._record.options
        self._authority.server("apiserver", control_plane.SERVER_NAMES)
        pki.service_account_keys(files.pki)
        files.audit_policy.write_text(control_plane.AUDIT_POLICY)
        self._write_kubeconfig("admin", "kubernetes-admin", [_MASTERS])
        self._write_kubeconfig("controller-manager", "system:kube-controller-manager")
        self._write_kubeconfig("scheduler", "system:kube-scheduler")
        self._write_kubeconfig("kwok", "kwok", [_MASTERS])
        etcd = control_plane.etcd(
            programs.path("etcd"), files, port=ports["etcd"], peer_port=ports["etcd-peer"]
        )
        self._await("etcd", self._launch("etcd", etcd), lambda: _accepts(ports["etcd"]))
        self._start_apiserver()
        self._define(definitions)
        grace = options["node_monitor_grace_seconds"]
        if options["controller_manager"]:
            manager = control_plane.controller_manager(
                programs.path("kube-controller-manager"),
                files,
                grace_seconds=grace,
                extra=options["controller_manager_flags"],
            )
            manager_pid = self._launch("kube-controller-manager", manager)
        if options["scheduler"]:
            scheduler = control_plane.scheduler(programs.path("kube-scheduler"), files)
            self._launch("kube-scheduler", scheduler)
        configuration = kwok.configuration(heartbeat_seconds=max(1, grace * 2 // 5))
        (files.folder / "kwok.yaml").write_text(configuration)
        self._launch("kwok", control_plane.kwok(programs.path("kwok"), files))
        if options["controller_manager"]:
            account = "/api/v1/namespaces/default/serviceaccounts/default"
            self._await("kube-controller-manager", manager_pid, lambda: self._api.answers(account))

    def _define(self, definitions: Sequence[dict[str, Any]]) -> None:
        """Custom resources of these definitions are served when this returns."""
        self._api.each(("POST", _DEFINITIONS, each) for each in definitions)
        for each in definitions:
            spec = each["spec"]
            path = f"/apis/{spec['group']}/{spec['versions'][0]['name']}/{spec['names']['plural']}"
            what = f"{each['metadata']['name']} is served"
            serves = functools.partial(self._api.answers, path)
            processes.wait_until(serves, what, within_seconds=_STARTED_SECONDS)

    def _start_kubelets(self) -> None:
        grace = self._record.options["node_monitor_grace_seconds"]
        for node in self._real_nodes():
            user = f"system:node:{node.name}"
            real.prepare(
                node,
                kubeconfig=self._write_kubeconfig(node.name, user, ["system:nodes"]),
                authority=self.ca,
                serving=self._authority.server(f"{node.name}-serving", [node.name, node.address]),
                lease_seconds=min(grace, control_plane.KUBERNETES_GRACE_SECONDS),
            )
        with ThreadPoolExecutor(4) as pool:
            list(pool.map(lambda n: real.start(n, programs.path("kubelet")), self._real_nodes()))
        self._await_nodes({node.name for node in self._real_nodes()})

    def _real_nodes(self) -> list[real.Node]:
        shapes = ec2.shapes(self._record.options["kubelet_shapes"])
        return [
            real.Node(
                cluster=self.directory,
                number=number,
                subnet=self._record.ports[f"kubelet-{number}"] - state.FIRST_PORT,
                shape=shapes[(number - 1) % len(shapes)],
            )
            for number in range(1, self._record.options["kubelets"] + 1)
        ]

    def _real_node(self, name: str) -> real.Node:
        found = {node.name: node for node in self._real_nodes()}
        if name not in found:
            raise KeyError(f"{name!r} is not a real node of this cluster: {sorted(found)}")
        return found[name]

    def _start_apiserver(self) -> None:
        ports, options = self._record.ports, self._record.options
        words = control_plane.apiserver(
            programs.path("kube-apiserver"),
            self._files,
            port=ports["apiserver"],
            etcd_port=ports["etcd"],
            audit=options["audit"],
            controller_manager=options["controller_manager"],
            extra=options["apiserver_flags"],
        )
        pid = self._launch("kube-apiserver", words)
        self._await("kube-apiserver", pid, lambda: self._api.answers("/readyz"))

    def _launch(self, role: str, command: Sequence[str | Path]) -> int:
        return processes.launch(self.directory, role, command)

    def _await(self, role: str, pid: int, met: Callable[[], bool]) -> None:
        """Wait for a program to be of use; if it ended instead, say its last words."""

        def met_or_over() -> bool:
            return met() or processes.has_ended(pid)

        processes.wait_until(met_or_over, role, within_seconds=_STARTED_SECONDS)
        if processes.has_ended(pid):
            log = self.directory / "logs" / f"{role}.log"
            last = log.read_text(errors="replace").splitlines()[-5:]
            raise processes.NotInTimeError(f"{role} ended: " + "\n".join(last))

    def _pids(self, role: str) -> list[int]:
        return processes.marked(self.directory, role)

    def _write_kubeconfig(self, file: str, user: str, groups: Sequence[str] = ()) -> Path:
        certificate, key = self._authority.client(file, user, groups)
        return pki.write_kubeconfig(
            self._files.kubeconfig(file),
            cluster=self.name,
            server=self.server,
            authority=self.ca,
            certificate=certificate,
            key=key,
        )

    def _nodes(self) -> list[dict[str, Any]]:
        listed: list[dict[str, Any]] = self.request("GET", "/api/v1/nodes")["items"]
        return listed

    def _await_nodes(self, names: set[str]) -> None:
        """Until kwok has them, which is when they are Ready, and no taint of a new node is on."""

        def settled() -> bool:
            return names <= {node["metadata"]["name"] for node in self._nodes() if _is_ready(node)}

        what = f"{len(names)} nodes Ready (see {self.directory}/logs)"
        seconds = _STARTED_SECONDS + len(names) // 20
        pause = 0.2 + len(names) / 1000  # thousands of nodes are megabytes to ask for
        processes.wait_until(settled, what, within_seconds=seconds, every_seconds=pause)

    def _set_kubelet(self, node: str, how: str) -> None:
        labels = {"metadata": {"labels": {kwok.LABEL: how}}}
        self.request("PATCH", f"/api/v1/nodes/{node}", labels)
        self.request("PATCH", f"{_LEASES}/{node}", labels)


def remove(name: str) -> None:
    """Nothing of the cluster is left, whatever state it was in; no error if there was none."""
    folder = state.home() / name
    with state.removing():
        processes.end_marked(folder)
        real.clear(folder)
        state.forget(name)


def kwok_address(number: int) -> str:
    """A node address of its own for each number, in 10.0.0.0/10."""
    return f"10.{number >> 16 & 63}.{number >> 8 & 255}.{number & 255}"


def _is_ready(node: dict[str, Any]) -> bool:
    conditions = node["status"].get("conditions", ())
    said = {condition["type"]: condition["status"] for condition in conditions}
    taints = {taint["key"] for taint in node["spec"].get("taints", ())}
    return said.get("Ready") == "True" and "node.kubernetes.io/not-ready" not in taints


def _accepts(port: int) -> bool:
    with contextlib.suppress(OSError), socket.create_connection(("127.0.0.1", port), 1):
        return True
    return False
