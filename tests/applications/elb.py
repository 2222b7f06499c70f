"""A played AWS load balancer: a target group, the controller that fills it, a proxy in front of it.

Names, states and messages are those of the AWS Load Balancer Controller (pkg/inject/pod_readiness,
pkg/targetgroupbinding) and of Elastic Load Balancing. In one way it is stricter than AWS: a target
that is deregistered is sent new requests, too, until its deregistration delay is over, as if every
client had a connection to it.
"""

import asyncio
import base64
import contextlib
import hashlib
import http.server
import json
import ssl
import threading
import time
from collections import Counter
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Literal

from tests.certificates import authority
from tests.cluster import read
from tests.cluster.kube import Kube, RefusedError

INJECT = "elbv2.k8s.aws/pod-readiness-gate-inject"
PREFIX = "target-health.elbv2.k8s.aws"
WEBHOOK = "aws-load-balancer-webhook"
_SERVICE = "bayplan.dev/service"
_TARGET_TYPE = "service.beta.kubernetes.io/aws-load-balancer-nlb-target-type"
_CHECKS_FAIL_AFTER = 2
_LOOK_SECONDS = 0.3
_STRATEGIC = "application/strategic-merge-patch+json"

State = Literal["initial", "healthy", "unhealthy", "draining"]
_TOLD: Mapping[str, tuple[str, str, str]] = {  # status, reason, message of the pod's condition
    "": ("False", "Elb.RegistrationInProgress", "Target registration is in progress"),
    "initial": ("False", "Elb.InitialHealthChecking", "Initial health checks in progress"),
    "unhealthy": ("False", "Target.FailedHealthChecks", "Health checks failed"),
    "draining": ("False", "Target.DeregistrationInProgress", "Target deregistration in progress"),
    "healthy": ("True", "", ""),
}


@dataclass(frozen=True, slots=True)
class Delays:
    """Seconds: until the controller acts, between health checks, until a target is forgotten."""

    register: float
    deregister: float
    check: float
    delay: float
    checks: int = 3  # good ones in a row until a target is healthy


@dataclass(slots=True)
class Target:
    state: State = "initial"
    good: int = 0
    bad: int = 0
    until: float = 0.0  # when a draining target is forgotten
    served: bool = False  # whether clients have connections to it: it was healthy


@dataclass(eq=False)
class TargetGroup:
    """What AWS knows. It outlives its controller. While `sick`, no new target becomes healthy."""

    port: int
    delays: Delays
    sick: bool = False
    targets: dict[str, Target] = field(default_factory=dict)
    fewest: int | None = None  # healthy targets at any moment since `watch`
    _turn: int = 0
    _lock: threading.Lock = field(default_factory=threading.Lock)

    def register(self, address: str) -> None:
        with self._lock:
            self.targets[address] = Target()

    def deregister(self, address: str) -> None:
        with self._lock:
            known = self.targets[address]
            known.state, known.until = "draining", time.monotonic() + self.delays.delay
            self._count()

    def state(self, address: str) -> str:
        with self._lock:
            known = self.targets.get(address)
            return "" if known is None else known.state

    def healthy(self) -> set[str]:
        with self._lock:
            return {address for address, one in self.targets.items() if one.state == "healthy"}

    def watch(self) -> None:
        """Note from now on how few targets are healthy at any moment."""
        with self._lock:
            self.fewest = None
            self._count()

    def choose(self) -> str | None:
        """The target of the next request, in turn; None without any that gets requests."""
        with self._lock:
            now = time.monotonic()
            for address, one in [*self.targets.items()]:
                if one.state == "draining" and one.until <= now:
                    del self.targets[address]
            open_ = [
                address
                for address, one in self.targets.items()
                if one.state == "healthy" or (one.state == "draining" and one.served)
            ]
            self._turn += 1
            return open_[self._turn % len(open_)] if open_ else None

    def checked(self, address: str, *, good: bool) -> None:
        """Take note of a health check's answer."""
        with self._lock:
            one = self.targets.get(address)
            if one is None or one.state == "draining":
                return
            one.good, one.bad = (one.good + 1, 0) if good else (0, one.bad + 1)
            if one.good >= self.delays.checks and (one.state == "healthy" or not self.sick):
                one.state, one.served = "healthy", True
            elif one.bad >= _CHECKS_FAIL_AFTER or (one.good >= self.delays.checks and self.sick):
                one.state = "unhealthy"
            self._count()

    def _count(self) -> None:
        now = sum(one.state == "healthy" for one in self.targets.values())
        self.fewest = now if self.fewest is None else min(self.fewest, now)


async def _answer(address: str, port: int, request: bytes, within: float = 5) -> bytes:
    """The whole answer of a server that closes the connection after it; empty if it gives none."""
    async with asyncio.timeout(within):
        reader, writer = await asyncio.open_connection(address, port)
        try:
            writer.write(request)
            return await reader.read()
        finally:
            writer.close()


_GET = b"GET /index.html HTTP/1.0\r\n\r\n"


@dataclass(eq=False)
class Balancer:
    """The proxy, its health checks, and clients that ask all the time while `load` lasts."""

    group: TargetGroup
    answers: Counter[str] = field(default_factory=Counter)
    lost: list[str] = field(default_factory=list)
    _port: int = 0
    _loaded: bool = False

    @contextlib.contextmanager
    def running(self) -> Iterator["Balancer"]:
        up = threading.Event()
        ends: list[Callable[[], object]] = []

        async def main() -> None:
            loop, end = asyncio.get_running_loop(), asyncio.Event()
            ends.append(lambda: loop.call_soon_threadsafe(end.set))
            server = await asyncio.start_server(self._serve, "127.0.0.1", 0)
            self._port = server.sockets[0].getsockname()[1]
            tasks = [asyncio.create_task(self._check()), *self._clients(4)]
            up.set()
            await end.wait()
            server.close()
            for one in tasks:
                one.cancel()
            await asyncio.gather(*tasks, return_exceptions=True)

        thread = threading.Thread(target=lambda: asyncio.run(main()))
        thread.start()
        try:
            assert up.wait(10)
            yield self
        finally:
            for end in ends:
                end()
            thread.join()

    @contextlib.contextmanager
    def load(self) -> Iterator[None]:
        """Constant requests during the block."""
        self.group.watch()
        self._loaded = True
        try:
            yield
        finally:
            self._loaded = False

    def _clients(self, count: int) -> list[asyncio.Task[None]]:
        return [asyncio.create_task(self._ask()) for _ in range(count)]

    async def _ask(self) -> None:
        while True:
            await asyncio.sleep(0.05)
            if not self._loaded:
                continue
            try:
                answer = await _answer("127.0.0.1", self._port, _GET, within=30)
            except OSError as error:
                self.lost.append(f"{time.strftime('%X')} {error!r}")
                continue
            head, _, text = answer.partition(b"\r\n\r\n")
            if b" 200 " in head.partition(b"\r\n")[0]:
                self.answers[text.decode().strip()] += 1
            else:
                self.lost.append(f"{time.strftime('%X')} {head.decode()}")

    async def _serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        try:
            writer.write(await self._passed_on(await reader.readuntil(b"\r\n\r\n")))
        except asyncio.IncompleteReadError:
            pass  # the client went away before it asked
        finally:
            writer.close()

    async def _passed_on(self, request: bytes) -> bytes:
        """The answer of a target; of the balancer itself if there is none."""
        address = self.group.choose()
        if address is None:
            return b"HTTP/1.0 503 no target\r\n\r\n"
        try:
            answer = await _answer(address, self.group.port, request)
            why = "ended"
        except OSError as error:
            answer, why = b"", repr(error)
        state = self.group.state(address)
        return answer or f"HTTP/1.0 502 {address} ({state}): {why}\r\n\r\n".encode()

    async def _check(self) -> None:
        """Ask every target for its health."""

        async def one(address: str) -> None:
            try:
                answer = await _answer(address, self.group.port, _GET)
            except OSError:
                answer = b""
            self.group.checked(address, good=b" 200 " in answer.partition(b"\r\n")[0])

        while True:
            await asyncio.sleep(self.group.delays.check)
            await asyncio.gather(*map(one, [*self.group.targets]))


@dataclass(eq=False)
class Controller:
    """The controller of one Service's target group: it may be stopped and started again.

    It learns of pods by lists and has no memory beside them. `knows` says whether the binding of
    Service and target group exists: only later pods get the gate.
    """

    kube: Kube
    namespace: str
    name: str
    group: TargetGroup
    knows: threading.Event = field(default_factory=threading.Event)

    @property
    def gate(self) -> str:
        text = f"{self.namespace}/{self.name}".encode()
        return f"{PREFIX}/k8s-{self.name[:8]}-{hashlib.sha256(text).hexdigest()[:10]}"

    @contextlib.contextmanager
    def running(self) -> Iterator[None]:
        ends = threading.Event()
        failed: list[BaseException] = []

        def work() -> None:
            since: dict[tuple[str, bool], float] = {}
            try:
                while not ends.wait(_LOOK_SECONDS):
                    self._reconcile(since)
            except BaseException as error:  # noqa: BLE001  raised again by the test
                failed.append(error)

        thread = threading.Thread(target=work)
        thread.start()
        try:
            yield
        finally:
            ends.set()
            thread.join()
        if failed:
            raise failed[0]

    def injected(self, pod: Mapping[str, Any]) -> bool:
        """Whether a new pod gets the gate: the binding exists, and its Service selects the pod."""
        labels = pod["metadata"].get("labels") or {}
        return self.knows.is_set() and labels.get(_SERVICE) == self.name

    def _reconcile(self, since: dict[tuple[str, bool], float]) -> None:
        if not self.knows.is_set():
            services = self.kube.listed(f"/api/v1/namespaces/{self.namespace}/services")
            service = services.get(self.name, {})
            annotations = service.get("metadata", {}).get("annotations", {})
            if annotations.get(_TARGET_TYPE) != "ip" or service["spec"]["type"] != "LoadBalancer":
                return
            self.knows.set()
        pods = {
            pod["status"]["podIP"]: pod
            for pod in self.kube.listed(read.pods(self.namespace)).values()
            if pod["metadata"].get("labels", {}).get(_SERVICE) == self.name
            and "deletionTimestamp" not in pod["metadata"]
            and read.condition(pod, "ContainersReady").get("status") == "True"
        }
        there = {
            address for address in [*self.group.targets]
            if self.group.state(address) not in {"", "draining"}
        }  # fmt: skip
        now = time.monotonic()
        changes = {(address, True) for address in pods.keys() - there}
        changes |= {(address, False) for address in there - pods.keys()}
        for gone in since.keys() - changes:
            del since[gone]
        for address, comes in sorted(changes):
            lag = self.group.delays.register if comes else self.group.delays.deregister
            if since.setdefault((address, comes), now) + lag <= now:
                (self.group.register if comes else self.group.deregister)(address)
        for address, pod in pods.items():
            self._tell(pod, self.group.state(address))

    def _tell(self, pod: Mapping[str, Any], state: str) -> None:
        """Write the gate's condition if it is another than the stored one."""
        gates = pod["spec"].get("readinessGates") or ()
        if self.gate not in {one["conditionType"] for one in gates}:
            return
        status, reason, message = _TOLD[state]
        stored = read.condition(pod, self.gate)
        if (stored.get("status"), stored.get("reason", "")) == (status, reason):
            return
        told = {"type": self.gate, "status": status, "reason": reason, "message": message}
        patch = {"metadata": {"uid": pod["metadata"]["uid"]}, "status": {"conditions": [told]}}
        path = f"{read.pods(self.namespace)}/{pod['metadata']['name']}/status"
        with contextlib.suppress(RefusedError):  # it has gone, or another of its name has come
            self.kube.request("PATCH", path, patch, kind=_STRATEGIC)


@contextlib.contextmanager
def injecting(kube: Kube, folder: Path, controller: Controller) -> Iterator[None]:
    """The controller's webhook: it adds the gate to pods of namespaces that have the label."""
    certificate, key = authority("webhook")
    files = folder / "webhook.crt", folder / "webhook.key"
    for path, text in zip(files, (certificate, key), strict=True):
        path.write_text(text)

    class Handler(http.server.BaseHTTPRequestHandler):
        def do_POST(self) -> None:
            review = json.loads(self.rfile.read(int(self.headers["Content-Length"])))
            asked = review["request"]
            answer = {"uid": asked["uid"], "allowed": True}
            if controller.injected(asked["object"]):
                gates = asked["object"]["spec"].get("readinessGates") or []
                gates = [*gates, {"conditionType": controller.gate}]
                patch = [{"op": "add", "path": "/spec/readinessGates", "value": gates}]
                encoded = base64.b64encode(json.dumps(patch).encode()).decode()
                answer |= {"patchType": "JSONPatch", "patch": encoded}
            body = json.dumps({**review, "response": answer}).encode()
            self.send_response(200)
            self.send_header("Content-Type", "application/json")
            self.send_header("Content-Length", str(len(body)))
            self.end_headers()
            self.wfile.write(body)

        def log_message(self, *_: object) -> None:
            """Say nothing."""

    server = http.server.ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(*files)
    server.socket = context.wrap_socket(server.socket, server_side=True)
    thread = threading.Thread(target=server.serve_forever)
    thread.start()
    kube.apply(_webhook(server.server_port, certificate))
    try:
        yield
    finally:
        kube.kubectl("delete", "mutatingwebhookconfiguration", WEBHOOK)
        server.shutdown()
        thread.join()
        server.server_close()


def _webhook(port: int, certificate: str) -> dict[str, Any]:
    """As the controller's chart installs it, but by an address outside of the cluster."""
    return {
        "apiVersion": "admissionregistration.k8s.io/v1",
        "kind": "MutatingWebhookConfiguration",
        "metadata": {"name": WEBHOOK},
        "webhooks": [
            {
                "name": "mpod.elbv2.k8s.aws",
                "admissionReviewVersions": ["v1"],
                "sideEffects": "None",
                "failurePolicy": "Fail",
                "timeoutSeconds": 10,
                "clientConfig": {
                    "url": f"https://127.0.0.1:{port}/mutate-v1-pod",
                    "caBundle": base64.b64encode(certificate.encode()).decode(),
                },
                "namespaceSelector": {"matchLabels": {INJECT: "enabled"}},
                "rules": [
                    {
                        "apiGroups": [""],
                        "apiVersions": ["v1"],
                        "operations": ["CREATE"],
                        "resources": ["pods"],
                    }
                ],
            }
        ],
    }
