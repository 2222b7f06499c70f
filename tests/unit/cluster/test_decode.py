"""What the API server says of pods, nodes and the rest, as the scheduler is to understand it."""

import datetime as dt
import json
from typing import Any

import msgspec
import pytest

from bayplan.cluster import decode, pods, wire
from bayplan.cluster.decode import KINDS, pod_from_dict
from bayplan.model import daemonsets, requirements, resources
from bayplan.model.nodes import Node, Taint
from bayplan.model.pods import FRESH, Constraints, Ending, HostPort, Owner, Phase, Pod, Toleration

GI = 1 << 30


def container(name: str = "main", always: bool = False, **requests: Any) -> dict[str, Any]:
    return {
        "name": name,
        "resources": {"requests": requests},
        **({"restartPolicy": "Always"} if always else {}),
    }


def pod(
    spec: dict[str, Any] | None = None, status: dict[str, Any] | None = None, **metadata: Any
) -> Pod:
    return pod_from_dict(
        {
            "metadata": {"name": "p", "namespace": "ns", **metadata},
            "spec": {"containers": [], **(spec or {})},
            "status": status or {},
        }
    )


def seen(kind: str, body: dict[str, Any]) -> Any:
    return KINDS[kind].decode(msgspec.Raw(json.dumps(body).encode())).value


def vector(**amounts: int) -> resources.Vector:
    return resources.Vector({**amounts, resources.PODS: 1})


class TestRequest:
    """The sum that kube-scheduler and the kubelet make (component-helpers, PodRequests)."""

    def test_containers_add_up(self) -> None:
        """Containers run together; every resource is in its own unit."""
        spec = {
            "containers": [
                container(cpu="250m", memory="1Gi"),
                container(cpu="1", memory="512Mi", **{"nvidia.com/gpu": "2"}),
            ]
        }

        assert vector(cpu=1250, memory=GI * 3 // 2, **{"nvidia.com/gpu": 2}) == pod(spec).request

    def test_init_containers_are_a_maximum(self) -> None:
        """Init containers run one after the other: each resource's largest counts, if larger."""
        spec = {
            "containers": [container(cpu="100m", memory="2Gi")],
            "initContainers": [container(cpu="2", memory="1Gi"), container(cpu="1")],
        }

        assert vector(cpu=2000, memory=2 * GI) == pod(spec).request

    def test_sidecars(self) -> None:
        """Sidecars count beside the containers, and beside the init containers after them."""
        spec = {
            "containers": [container(cpu="100m")],
            "initContainers": [
                container("first", cpu="1"),
                container("side", always=True, cpu="500m"),
                container("second", cpu="1"),
                container("side2", always=True, cpu="100m"),
            ],
        }

        assert vector(cpu=1500) == pod(spec).request

    def test_sidecars_beside_the_containers(self) -> None:
        """Where containers are larger than any init step, they and the sidecars make the sum."""
        spec = {
            "containers": [container(cpu="2")],
            "initContainers": [container(always=True, cpu="500m"), container(cpu="1")],
        }

        assert vector(cpu=2500) == pod(spec).request

    def test_overhead(self) -> None:
        """A runtime class' overhead comes on top."""
        spec = {"containers": [container(cpu="1")], "overhead": {"cpu": "250m", "memory": "1Gi"}}

        assert vector(cpu=1250, memory=GI) == pod(spec).request

    def test_pod_level(self) -> None:
        """Pod-level resources stand instead of the sum, where they are stated."""
        spec = {
            "containers": [container(cpu="1", memory="1Gi", **{"nvidia.com/gpu": "1"})],
            "resources": {"requests": {"cpu": "3"}},
            "overhead": {"cpu": "1"},
        }

        assert vector(cpu=4000, memory=GI, **{"nvidia.com/gpu": 1}) == pod(spec).request

    @pytest.mark.parametrize(
        ("whole", "containers", "cpu", "memory"),
        [
            # Of the limit alone the request is what the containers ask for, if any does.
            ({"limits": {"cpu": "2", "memory": "2Gi"}}, [container()], 2000, 2 * GI),
            ({"limits": {"cpu": "2", "memory": "2Gi"}}, [container(cpu="1")], 1000, 2 * GI),
            ({"limits": {"cpu": "2"}}, [container(cpu="0")], 0, 0),
            ({"limits": {"cpu": "2"}, "requests": {"cpu": "1"}}, [container()], 1000, 0),
            ({"requests": {"memory": "1Gi"}}, [container(cpu="1"), container()], 1000, GI),
            # Only CPU, memory and huge pages have a pod-level request.
            ({"requests": {"nvidia.com/gpu": "2"}}, [container(cpu="1")], 1000, 0),
        ],
    )
    def test_pod_level_defaults(
        self, whole: dict[str, Any], containers: list[Any], cpu: int, memory: int
    ) -> None:
        """As the API server sets them (pkg/apis/core/v1/defaults.go, defaultPodRequests)."""
        found = pod({"containers": containers, "resources": whole}).request

        assert vector(cpu=cpu, memory=memory) == found

    def test_pod_level_huge_pages(self) -> None:
        """The limit of the pod as a whole is its request."""
        spec = {
            "containers": [container(**{"hugepages-2Mi": "4Mi"})],
            "resources": {"limits": {"hugepages-2Mi": "8Mi"}},
        }

        assert 8 * 2**20 == pod(spec).request.amount("hugepages-2Mi")

    @pytest.mark.parametrize(
        ("wanted", "given", "infeasible", "cpu"),
        [("2", "1", False, 2000), ("1", "2", False, 2000), ("4", "1", True, 1000)],
    )
    def test_resize(self, wanted: str, given: str, infeasible: bool, cpu: int) -> None:
        """While a resize is under way the larger counts; one that cannot be counts as given."""
        conditions = [{"type": "PodResizePending", "status": "True", "reason": "Infeasible"}]
        given_ = {"allocatedResources": {"cpu": given}, "resources": {}}
        status = {
            "containerStatuses": [{"name": "main", **given_}],
            "conditions": conditions if infeasible else [],
        }

        assert vector(cpu=cpu) == pod({"containers": [container(cpu=wanted)]}, status).request

    def test_resize_before_the_kubelet_tells(self) -> None:
        """`allocatedResources` alone says nothing: only a status that tells its resources does."""
        told = {"name": "main", "allocatedResources": {"cpu": "2"}}
        spec = {"containers": [container(cpu="1")]}

        assert vector(cpu=1000) == pod(spec, {"containerStatuses": [told]}).request
        null = {"containerStatuses": [{**told, "resources": None}]}
        assert vector(cpu=1000) == pod(spec, null).request

    def test_resize_that_can_never_be(self) -> None:
        """Nothing given counts as nothing then, whatever the spec wants."""
        spec = {"containers": [container(cpu="2")]}
        for truth in ("True", "False"):
            status = {
                "containerStatuses": [{"name": "main", "resources": {}}],
                "conditions": [
                    {"type": "PodResizePending", "status": truth, "reason": "Infeasible"}
                ],
            }

            assert vector() == pod(spec, status).request

    def test_resize_that_has_to_wait(self) -> None:
        """A deferred one counts as it is wanted: it will be done when there is room."""
        status = {
            "containerStatuses": [{"name": "main", "resources": {"requests": {"cpu": "1"}}}],
            "conditions": [{"type": "PodResizePending", "status": "True", "reason": "Deferred"}],
        }

        assert vector(cpu=2000) == pod({"containers": [container(cpu="2")]}, status).request

    @pytest.mark.parametrize(("sidecar", "cpu"), [(False, 1000), (True, 3000)])
    def test_resize_of_init_containers(self, sidecar: bool, cpu: int) -> None:
        """Sidecars are resized as containers are; what runs once counts as it is written."""
        spec = {
            "containers": [container("main", cpu="1")],
            "initContainers": [container("init", always=sidecar, cpu="500m")],
        }
        running = {"name": "init", "resources": {"requests": {"cpu": "2"}}}

        assert vector(cpu=cpu) == pod(spec, {"initContainerStatuses": [running]}).request

    def test_fractions_of_a_milli_cpu(self) -> None:
        """Each container's is rounded up, as the API server does before it stores a pod."""
        spec = {"containers": [container("a", cpu="500u"), container("b", cpu="500u")]}

        assert vector(cpu=2) == pod(spec).request

    @pytest.mark.parametrize("amounts", [("10E",), ("8E", "8E"), ("9223372036854775807", "1")])
    def test_more_than_an_int64_holds(self, amounts: tuple[str, ...]) -> None:
        """It is more than any node has: never left out, never an error in a sum."""
        containers = [container(str(at), memory=one) for at, one in enumerate(amounts)]

        assert resources.MOST == pod({"containers": containers}).request["memory"]
        assert resources.MOST == pod({"containers": [container(cpu="100P")]}).request["cpu"]

    def test_running_limits_do_not_pack(self) -> None:
        """A container status also tells limits, which ask for nothing."""
        running = {"requests": {"cpu": "100m"}, "limits": {"cpu": "4", "memory": "1Gi"}}
        status = {"containerStatuses": [{"name": "main", "resources": running}]}

        assert vector(cpu=100) == pod({"containers": [container(cpu="100m")]}, status).request

    def test_limit_stands_in(self) -> None:
        """Of a built pod a limit without a request is the request, as the API server sets it."""
        limited = {
            "name": "c",
            "resources": {"limits": {"cpu": "2"}, "requests": {"memory": "1Gi"}},
        }

        assert vector(cpu=2000, memory=GI) == pod({"containers": [limited]}).request

    def test_numbers_of_people(self) -> None:
        """Numbers where text should be are read as their decimal text."""
        spec = {"containers": [container(cpu=0.5, memory=1073741824), container(cpu=2)]}

        assert vector(cpu=2500, memory=GI) == pod(spec).request

    @pytest.mark.parametrize(
        "odd", ["", "nonsense", None, [], {}, True, "1e999", "٣", float("inf")]
    )
    def test_unreadable_quantity(self, odd: Any) -> None:
        """A quantity that cannot be read is left out; the rest of the pod counts."""
        body = {"containers": [container(cpu=odd, memory="1Gi")]}

        assert GI == pod(body).request.amount("memory")

    def test_shared(self) -> None:
        """Pods of one template hold the same objects, whatever they are called."""
        spec = {
            "containers": [container(cpu="1")],
            "nodeSelector": {"disk": "ssd"},
            "tolerations": [{"key": "a", "operator": "Exists"}],
            "volumes": [{"name": "kube-api-access-x7z", "projected": {}}],
        }
        other = {**spec, "volumes": [{"name": "kube-api-access-b2c", "projected": {}}]}
        one = pod(spec, name="a", labels={"app": "x"})
        two = pod(other, name="b", labels={"app": "x"})

        assert one.request is two.request
        assert one.constraints is two.constraints
        assert one.labels is two.labels


class TestConstraints:
    def test_node_affinity(self) -> None:
        """Terms are alternatives, expressions in one are not; fields know the name alone."""
        expressions = [
            {"key": "zone", "operator": "In", "values": ["a", "b"]},
            {"key": "gpu", "operator": "DoesNotExist"},
        ]
        fields = [{"key": "metadata.name", "operator": "In", "values": ["n7"]}]
        terms = [{"matchExpressions": expressions}, {"matchFields": fields}, {}]
        affinity = {
            "nodeAffinity": {
                "requiredDuringSchedulingIgnoredDuringExecution": {"nodeSelectorTerms": terms},
                "preferredDuringSchedulingIgnoredDuringExecution": [
                    {"weight": 7, "preference": {"matchExpressions": expressions[:1]}}
                ],
            }
        }
        found = pod({"affinity": affinity}).constraints
        first, second, empty = found.affinity or ()

        assert first.matches({"zone": "a"})
        assert not first.matches({"zone": "a", "gpu": "1"})
        assert second.matches({}, "n7")
        assert not second.matches({}, "n8")
        assert not empty.matches({}, "n7")
        assert [7] == [weight for weight, _ in found.preferred]

    def test_no_affinity_and_none_that_matches(self) -> None:
        """No affinity accepts every node; a required one without terms accepts none."""
        none = {"nodeAffinity": {"requiredDuringSchedulingIgnoredDuringExecution": {}}}

        assert pod({}).constraints.affinity is None
        assert () == pod({"affinity": none}).constraints.affinity

    def test_pinned_daemon(self) -> None:
        """A placed DaemonSet pod's affinity, which names its node, is not kept."""
        fields = [{"key": "metadata.name", "operator": "In", "values": ["n1"]}]
        required = {"nodeSelectorTerms": [{"matchFields": fields}]}
        affinity = {"nodeAffinity": {"requiredDuringSchedulingIgnoredDuringExecution": required}}
        owner = {"kind": "DaemonSet", "name": "d", "uid": "u", "controller": True}
        placed = pod({"affinity": affinity, "nodeName": "n1"}, ownerReferences=[owner])
        waiting = pod({"affinity": affinity}, ownerReferences=[owner])

        assert placed.constraints.affinity is None
        assert waiting.constraints.affinity is not None

    def test_selector_and_tolerations(self) -> None:
        """What is left out has Kubernetes' default."""
        found = pod(
            {
                "nodeSelector": {"b": "2", "a": "1"},
                "tolerations": [{"key": "k", "value": "v"}, {"operator": "Exists"}],
            }
        ).constraints

        assert (("a", "1"), ("b", "2")) == found.selector
        assert (
            Toleration("k", "Equal", "v"),
            Toleration("", "Exists"),
        ) == found.tolerations

    def test_host_ports(self) -> None:
        """Host ports of containers and sidecars; a container port alone takes nothing."""
        ports = [{"hostPort": 80}, {"containerPort": 81}, {"hostPort": 82, "protocol": "UDP"}]
        spec = {
            "containers": [{"name": "a", "ports": ports}],
            "initContainers": [
                {
                    "name": "s",
                    "restartPolicy": "Always",
                    "ports": [{"hostPort": 9, "hostIP": "::1"}],
                },
                {"name": "i", "ports": [{"hostPort": 10}]},
            ],
        }

        assert (
            HostPort(80),
            HostPort(82, "UDP"),
            HostPort(9, "TCP", "::1"),
        ) == pod(spec).constraints.host_ports

    def test_pod_affinity(self) -> None:
        """Selectors by labels and expressions; no selector matches nothing, an empty one all."""
        terms = [
            {"topologyKey": "zone", "labelSelector": {"matchLabels": {"app": "x"}}},
            {"topologyKey": "zone", "labelSelector": {}},
            {"topologyKey": "zone"},
        ]
        required = "requiredDuringSchedulingIgnoredDuringExecution"
        found = pod({"affinity": {"podAntiAffinity": {required: terms}}}).constraints
        by_label, everything, nothing = (term.selector for term in found.pod_anti_affinity)

        assert by_label.matches({"app": "x"})
        assert not by_label.matches({"app": "y"})
        assert everything.matches({})
        assert not nothing.matches({"app": "x"})

    def test_namespaces_of_terms(self) -> None:
        """An empty namespace selector is every namespace; another is a question to their labels."""
        some = {"matchLabels": {"team": "a"}}
        terms = [
            {"topologyKey": "z", "labelSelector": {}, "namespaces": ["b"]},
            {"topologyKey": "z", "labelSelector": {}, "namespaceSelector": {}},
            {"topologyKey": "z", "labelSelector": {}, "namespaceSelector": some},
        ]
        preferred = "preferredDuringSchedulingIgnoredDuringExecution"
        weighted = [{"weight": 3, "podAffinityTerm": term} for term in terms]
        found = pod(
            {
                "affinity": {
                    "podAffinity": {preferred: weighted},
                    "podAntiAffinity": {preferred: weighted},
                }
            }
        ).constraints

        for terms in (found.pod_affinity, found.pod_anti_affinity):
            assert [False, True, False] == [term.all_namespaces for term in terms]
            selectors = [term.namespace_selector for term in terms]
            assert [None, None, wire.selector_term(wire.LabelSelector({"team": "a"}))] == selectors
        assert [frozenset({"b"}), frozenset(), frozenset()] == [
            term.namespaces for term in found.pod_affinity
        ]
        assert {3} == {term.weight for term in found.pod_affinity}

    def test_spread(self) -> None:
        """MatchLabelKeys add the pod's own labels; what is left out has Kubernetes' default."""
        spread = [
            {
                "topologyKey": "zone",
                "maxSkew": 2,
                "whenUnsatisfiable": "ScheduleAnyway",
                "labelSelector": {"matchLabels": {"app": "x"}},
                "matchLabelKeys": ["rev", "absent"],
                "nodeTaintsPolicy": "Honor",
            },
            {"topologyKey": "host", "whenUnsatisfiable": "DoNotSchedule", "minDomains": 3},
        ]
        spec = {"topologySpreadConstraints": spread}
        soft, hard = pod(spec, labels={"app": "x", "rev": "7"}).constraints.spread
        other, _ = pod(spec, labels={"app": "x", "rev": "8"}).constraints.spread

        assert (2, 1, False, True, True) == (
            soft.max_skew,
            soft.min_domains,
            soft.hard,
            soft.honour_affinity,
            soft.honour_taints,
        )
        assert soft.selector.matches({"app": "x", "rev": "7"})
        assert not other.selector.matches({"app": "x", "rev": "7"})
        assert (3, True, False) == (hard.min_domains, hard.hard, hard.honour_taints)

    def test_own_labels_in_pod_terms(self) -> None:
        """MatchLabelKeys and mismatchLabelKeys: a pod that is built reads as the stored one."""
        selector = {"matchLabels": {"app": "x"}}
        keys = {"matchLabelKeys": ["rev"], "mismatchLabelKeys": ["tenant", "absent"]}
        merged = [
            {"key": "rev", "operator": "In", "values": ["7"]},
            {"key": "tenant", "operator": "NotIn", "values": ["a"]},
        ]

        def found(selector: dict[str, Any], rev: str) -> Constraints:
            term = {"labelSelector": selector, "topologyKey": "zone", **keys}
            terms = {"requiredDuringSchedulingIgnoredDuringExecution": [term]}
            spec = {"affinity": {"podAntiAffinity": terms}}
            return pod(spec, labels={"app": "x", "rev": rev, "tenant": "a"}).constraints

        built, stored = found(selector, "7"), found({**selector, "matchExpressions": merged}, "7")
        (term,) = built.pod_anti_affinity

        assert built == stored
        assert term.selector.matches({"app": "x", "rev": "7", "tenant": "b"})
        assert not term.selector.matches({"app": "x", "rev": "8", "tenant": "b"})
        assert not term.selector.matches({"app": "x", "rev": "7", "tenant": "a"})
        assert built != found(selector, "8")

    def test_host_network(self) -> None:
        """On the node's own network every port is a port of the node; of sidecars too."""
        ports = [{"containerPort": 80}, {"containerPort": 81, "hostPort": 81, "protocol": "UDP"}]
        side = {"name": "s", "restartPolicy": "Always", "ports": [{"containerPort": 90}]}
        first = {"name": "i", "ports": [{"containerPort": 70}]}
        spec = {
            "containers": [{"name": "c", "ports": ports}],
            "initContainers": [side, first],
        }

        def taken(spec: dict[str, Any]) -> list[tuple[int, str]]:
            return [(one.port, one.protocol) for one in pod(spec).constraints.host_ports]

        assert [(81, "UDP")] == taken(spec)
        assert [(80, "TCP"), (81, "UDP"), (90, "TCP")] == taken({**spec, "hostNetwork": True})

    def test_claims(self) -> None:
        """Claims by name; a claim that only a stored pod has keeps it from being born placed."""
        volumes = [
            {"name": "a", "persistentVolumeClaim": {"claimName": "data"}},
            {"name": "b", "ephemeral": {"volumeClaimTemplate": {}}},
            {"name": "c", "emptyDir": {}},
        ]
        planned = pod({"volumes": volumes}).constraints
        stored = pod({"volumes": volumes}, resourceVersion="5").constraints

        assert (("data",), (), True) == (planned.claims, planned.own, planned.late)
        assert (("data", "p-b"), ("p-b",), True) == (stored.claims, stored.own, stored.late)
        assert pod({"resourceClaims": [{"name": "gpu"}]}).constraints.devices


class TestFate:
    """How a pod fares and how it ended."""

    def ending(self, *statuses: dict[str, Any], **spec: Any) -> Ending:
        return pod(spec, {"containerStatuses": list(statuses)}).ending

    def test_failed_tells(self) -> None:
        """The container that failed tells, the times span all."""
        ended = self.ending(
            {"name": "a", "state": {"terminated": {
                "exitCode": 0, "reason": "Completed",
                "startedAt": "2026-11-23T06:00:00Z", "finishedAt": "2026-11-23T06:00:30Z"}}},
            {"name": "b", "restartCount": 2, "state": {"terminated": {
                "exitCode": 137, "reason": "OOMKilled", "message": "boom",
                "startedAt": "2026-11-23T06:00:05Z", "finishedAt": "2026-11-23T06:00:20Z"}}},
        )  # fmt: skip
        start = wire.epoch("2026-11-23T06:00:00Z") or 0

        assert Ending(137, "OOMKilled", "boom", start, start + 30, 2) == ended

    def test_crash_loop(self) -> None:
        """A container that waits to be started again tells how it ended before."""
        ended = self.ending(
            {
                "name": "a",
                "restartCount": 5,
                "state": {"waiting": {"reason": "CrashLoopBackOff"}},
                "lastState": {"terminated": {"exitCode": 3, "reason": "Error"}},
            }
        )

        assert (3, "Error", "CrashLoopBackOff", 5) == (
            ended.exit_code,
            ended.reason,
            ended.waiting,
            ended.restarts,
        )

    def test_starting_is_not_waiting(self) -> None:
        """The ordinary course of starting is no news; a failed pull is."""
        starting = self.ending({"name": "a", "state": {"waiting": {"reason": "ContainerCreating"}}})
        pulling = self.ending({"name": "a", "state": {"waiting": {"reason": "ImagePullBackOff"}}})

        assert FRESH is starting
        assert "ImagePullBackOff" == pulling.waiting

    def test_init_failure_tells_and_sidecars_do_not(self) -> None:
        """A failed init container tells; a sidecar is stopped with a code that tells nothing."""
        ended = {"name": "main", "state": {"terminated": {"exitCode": 0}}}
        stopped = {"name": "x", "state": {"terminated": {"exitCode": 143}}}
        codes = [
            pod(
                {"initContainers": [container("x", always=sidecar)]},
                {"containerStatuses": [ended], "initContainerStatuses": [stopped]},
            ).ending.exit_code
            for sidecar in (False, True)
        ]

        assert [143, 0] == codes

    def test_what_keeps_containers_from_starting(self) -> None:
        """The kubelet's word and sentence, of any container; ordinary starting is none."""

        def waits(name: str, reason: str, message: str = "") -> dict[str, Any]:
            return {"name": name, "state": {"waiting": {"reason": reason, "message": message}}}

        def found(inits: list[dict[str, Any]], *main: dict[str, Any]) -> tuple[str, str]:
            status = {"initContainerStatuses": inits, "containerStatuses": [*main]}
            ending = pod(SIDECAR, {"phase": "Pending", **status}).ending
            return ending.waiting, ending.said

        idle = waits("main", "PodInitializing")
        missing = waits("main", "CreateContainerConfigError", 'secret "x" not found')
        crashed = {"exitCode": 3, "reason": "Error", "message": "no port"}
        looping = {**waits("side", "CrashLoopBackOff", "back-off 40s"), "restartCount": 4}
        looping["lastState"] = {"terminated": crashed}
        between = {"name": "side", "state": {"terminated": crashed}, "restartCount": 4}
        again = {"name": "side", "state": {"running": {}}, "restartCount": 4}
        running = {"name": "main", "state": {"running": {"startedAt": "2026-11-23T06:00:00Z"}}}
        loop = ("CrashLoopBackOff", "container side: exit code 3: no port")

        assert ("", "") == found([], waits("main", "ContainerCreating"))
        assert ("CreateContainerConfigError", 'container main: secret "x" not found') == found(
            [], missing
        )
        assert ("ErrImagePull", "container init: no such image") == found(
            [waits("init", "ErrImagePull", "no such image")], idle
        )
        assert loop == found([looping], idle) == found([between], idle)
        assert loop[0] == found([again], idle)[0]
        assert ("", "") == found([again], running)

    def test_what_has_started(self) -> None:
        """All main containers, some of them, or at least one that prepares."""
        at = "2026-11-23T06:00:00Z"
        done = {"name": "init", "state": {"terminated": {"startedAt": at, "finishedAt": at}}}
        idle = {"name": "b", "state": {"waiting": {"reason": "ContainerCreating"}}}
        running = {"name": "a", "state": {"running": {"startedAt": at}}}
        again = {**idle, "restartCount": 1, "lastState": done["state"]}

        def ending(*main: dict[str, Any], inits: Any = ()) -> tuple[bool, bool]:
            status = {"initContainerStatuses": [*inits], "containerStatuses": [*main]}
            found = pod(SIDECAR, status).ending
            return found.began, found.complete

        assert (False, False) == ending(idle)
        assert (True, False) == ending(idle, inits=[done])
        assert (True, False) == ending(running, idle)
        assert (True, True) == ending(running)
        assert (True, True) == ending(running, again)

    def test_init_containers_at_work(self) -> None:
        """One that runs is told from those that have ended well, and when the last of them did."""
        at, later = "2026-11-23T06:00:00Z", "2026-11-23T06:20:00Z"

        def one(name: str, **state: Any) -> dict[str, Any]:
            return {"name": name, "state": state}

        def ending(*inits: dict[str, Any]) -> tuple[bool, int | None]:
            found = pod(SIDECAR, {"initContainerStatuses": [*inits]}).ending
            return found.preparing, found.prepared_at

        done = one("init", terminated={"exitCode": 0, "startedAt": at, "finishedAt": later})
        failed = one("init", terminated={"exitCode": 1, "startedAt": at, "finishedAt": later})
        moment = int(dt.datetime(2026, 11, 23, 6, 20, tzinfo=dt.UTC).timestamp())

        assert (True, None) == ending(one("init", running={"startedAt": at}))
        assert (False, moment) == ending(done)
        assert (False, None) == ending(failed)
        assert (False, None) == ending(one("side", running={"startedAt": at}))

    def test_a_container_that_never_started(self) -> None:
        """A kubelet writes the epoch as its start: it has none, and no end but a real one."""
        never, at = "1970-01-01T00:00:00Z", "2026-11-23T06:00:00Z"
        dead = {"exitCode": 128, "reason": "StartError", "startedAt": never}
        status = {"name": "a", "state": {"terminated": {**dead, "finishedAt": at}}}
        other = {"name": "b", "state": {"terminated": {**dead, "finishedAt": never}}}
        running = {"name": "b", "state": {"running": {"startedAt": at}}}

        def ending(*each: dict[str, Any]) -> Ending:
            return pod({}, {"phase": "Failed", "containerStatuses": [*each]}).ending

        assert (128, "StartError") == (ending(status).exit_code, ending(status).reason)
        assert (None, wire.epoch(at)) == (ending(status).started_at, ending(status).finished_at)
        assert (None, None) == (ending(other).started_at, ending(other).finished_at)
        assert wire.epoch(at) == ending(status, running).started_at

    def test_conditions(self) -> None:
        """Ready since when, why not scheduled, what disrupts it."""
        since = "2026-11-23T06:00:00Z"
        found = pod(
            {"schedulingGates": [{"name": "g"}]},
            {
                "phase": "Running",
                "nominatedNodeName": "n9",
                "conditions": [
                    {"type": "Ready", "status": "True", "lastTransitionTime": since},
                    {"type": "PodScheduled", "status": "False", "reason": "Unschedulable"},
                    {
                        "type": "DisruptionTarget",
                        "status": "True",
                        "reason": "PreemptionByScheduler",
                    },
                ],
            },
        )

        assert (True, wire.epoch(since)) == (found.ready, found.ready_since)
        assert "Unschedulable" == found.scheduled_reason
        assert "PreemptionByScheduler" == found.disrupted
        assert "n9" == found.nominated
        assert found.gated

    def test_metadata(self) -> None:
        """Owner is the controller; annotations are ours alone; deletion is when its grace ends."""
        found = pod(
            {"schedulerName": "bayplan", "priority": 5, "nodeName": "n1"},
            {"phase": "Failed", "reason": "OutOfcpu", "message": "no"},
            uid="u",
            resourceVersion="77",
            creationTimestamp="1970-01-01T00:01:00Z",
            deletionTimestamp="1970-01-01T00:02:00Z",
            deletionGracePeriodSeconds=30,
            annotations={"bayplan.dev/trigger": "s5", "other/one": "x"},
            finalizers=["bayplan.dev/run-tracking"],
            ownerReferences=[
                {"kind": "Node", "name": "n", "uid": "1"},
                {"kind": "BatchJob", "name": "report", "uid": "2", "controller": True},
            ],
        )

        assert Owner("BatchJob", "report", "2") == found.owner
        assert {"bayplan.dev/trigger": "s5"} == found.annotations
        assert (60, 120, 90) == (found.created_at, found.deleted_at, found.asked_at)
        assert (5, "n1", "bayplan", "77") == (
            found.priority,
            found.node,
            found.scheduler,
            found.resource_version,
        )
        assert (Phase.FAILED, "OutOfcpu") == (found.phase, found.reason)
        assert found.terminal


class TestOdd:
    """The API server serves valid objects; people's files and other servers do not."""

    @pytest.mark.parametrize(
        "body",
        [
            {"metadata": {"name": "p", "labels": None, "annotations": None, "finalizers": None}},
            {"metadata": {"name": "p", "ownerReferences": [{"apiVersion": None, "kind": None}]}},
            {"metadata": {"name": "p"}, "spec": None, "status": None},
            {"metadata": {"name": "p"}, "spec": {"containers": None, "affinity": None}},
            {"metadata": {"name": "p"}, "spec": {"affinity": 5, "tolerations": "x"}},
            {"metadata": {"name": "p"}, "status": {"phase": "Dancing", "conditions": None}},
            {"metadata": {"name": "p", "creationTimestamp": "yesterday", "unknown": {"a": [1]}}},
            {"metadata": {"name": "p"}, "spec": {"priority": "7", "nodeName": None}},
            {"metadata": {"name": "p", "labels": {"a": 1, "b": "x"}}},
        ],
    )
    def test_read_as_far_as_it_goes(self, body: dict[str, Any]) -> None:
        """Nulls, unknown fields and wrong types in parts leave a pod that is counted."""
        found = pod_from_dict(body)

        assert ("default", "p") == found.key
        assert 1 == found.request.amount("pods")

    @pytest.mark.parametrize(
        "raw", [b"", b"7", b"[]", b"{}", b'{"metadata":7}', b"\xff", b"{" * 9000]
    )
    def test_unreadable(self, raw: bytes) -> None:
        """What is no pod is said to be none."""
        with pytest.raises(wire.DecodeError):
            pods.pod(raw)

    @pytest.mark.parametrize(
        ("text", "moment"),
        [
            ("1970-01-01T00:00:01Z", 1),
            ("1970-01-01T00:00:01.999999Z", 1),
            ("1970-01-01T01:00:01+01:00", 1),
            ("2106-02-07T06:28:16Z", 2**32),
            ("1970-01-01T00:00:00Z", None),  # a container that never started
            ("1970-01-01T01:00:00+01:00", None),
            ("0001-01-01T00:00:00Z", None),  # the zero of Go
            ("", None),
            (None, None),
            ("soon", None),
        ],
    )
    def test_epoch(self, text: str | None, moment: int | None) -> None:
        """RFC 3339 to whole epoch seconds."""
        assert moment == wire.epoch(text)


AT = "1970-01-01T00:01:00Z"
SIDECAR = {"initContainers": [{"name": "init"}, container("side", always=True)]}
CORDON = {"key": "node.kubernetes.io/unschedulable", "effect": "NoSchedule"}


class TestNode:
    def node(self, **more: Any) -> Node:
        body = {
            "metadata": {"name": "n1", "uid": "u", **more.pop("metadata", {})},
            "spec": more.pop("spec", {}),
            "status": more,
        }
        return decode.node(json.dumps(body).encode())

    @pytest.mark.parametrize(
        ("spec", "deleted", "since"),
        [
            ({"unschedulable": True}, None, 0),
            ({"unschedulable": True, "taints": [{**CORDON, "timeAdded": AT}]}, None, 60),
            ({"taints": [{"key": "karpenter.sh/disrupted", "effect": "NoSchedule"}]}, None, 0),
            ({"taints": [{"key": "karpenter.sh/disrupted", "timeAdded": AT}]}, None, 60),
            ({"taints": [{"key": "ToBeDeletedByClusterAutoscaler", "value": "60"}]}, None, 60),
            ({"taints": [{"key": "ToBeDeletedByClusterAutoscaler", "value": "x"}]}, None, 0),
            ({}, AT, 60),
        ],
    )
    def test_since_when_it_is_emptied(
        self, spec: dict[str, Any], deleted: str | None, since: int
    ) -> None:
        """As far as cordon, taint or deletion tell."""
        ready = [{"type": "Ready", "status": "True", "lastTransitionTime": AT}]
        metadata = {"deletionTimestamp": deleted} if deleted else {}
        found = self.node(spec=spec, metadata=metadata, conditions=ready)

        assert (True, since) == (found.emptying, found.emptying_since)

    def test_when_it_was_cordoned_as_the_server_noted(self) -> None:
        """Neither a cordon nor every taint carries its moment; their writers' entries do."""
        ready = [{"type": "Ready", "status": "True", "lastTransitionTime": AT}]
        karpenter = {"key": "karpenter.sh/disrupted", "effect": "NoSchedule"}

        def since(spec: dict[str, Any], *noted: str) -> int:
            entry = {"time": AT, "fieldsV1": {"f:spec": {f"f:{name}": {} for name in noted}}}
            metadata = {"managedFields": [entry, {"time": "soon"}, 7]}
            return self.node(spec=spec, metadata=metadata, conditions=ready).emptying_since

        assert 60 == since({"unschedulable": True}, "unschedulable")
        assert 60 == since({"taints": [karpenter]}, "taints")
        assert 0 == since({"unschedulable": True}, "taints")
        assert 0 == since({"unschedulable": True, "taints": [karpenter]}, "taints")

    def test_a_node_that_is_not_emptied(self) -> None:
        """Ready, with a taint that means something else; a silent one has been so since then."""
        ready = {"type": "Ready", "status": "True", "lastTransitionTime": AT}
        candidate = {"taints": [{"key": "DeletionCandidateOfClusterAutoscaler", "value": "1"}]}
        silent = self.node(conditions=[{**ready, "status": "Unknown"}])

        assert not self.node(conditions=[ready], spec=candidate).emptying
        assert (True, 60) == (silent.emptying, silent.emptying_since)

    def test_allocatable(self) -> None:
        """Amounts in the package's units."""
        found = self.node(
            allocatable={
                "cpu": "7910m",
                "memory": "30021720Ki",
                "pods": "58",
                "nvidia.com/gpu": "1",
            }
        )

        assert {
            "cpu": 7910,
            "memory": 30021720 * 1024,
            "pods": 58,
            "nvidia.com/gpu": 1,
        } == dict(found.allocatable)

    def test_readiness(self) -> None:
        """Ready is True alone; a kubelet that has not spoken or fell silent is not ready."""
        states = [
            self.node(conditions=[{"type": "Ready", "status": word}]).ready
            for word in ("True", "False", "Unknown")
        ]

        assert [True, False, False] == states
        assert not self.node().ready

    def test_leaving(self) -> None:
        """Cordon, taints and deletion are seen."""
        found = self.node(
            spec={"unschedulable": True, "taints": [{"key": "karpenter.sh/disrupted"}]},
            metadata={"deletionTimestamp": "2026-11-23T06:00:00Z"},
        )

        assert found.unschedulable
        assert found.deleting
        assert (Taint("karpenter.sh/disrupted", "", ""),) == found.taints

    @pytest.mark.parametrize(
        ("text", "price"),
        [
            ("0.096", 96_000),
            ("1e-2", 10_000),
            ("free", None),
            ("NaN", None),
            ("-1", None),
            ("1e99", None),
        ],
    )
    def test_price(self, text: str, price: int | None) -> None:
        """An hour's price from a label or an annotation; what is none is none."""
        key = "eks-node-viewer/instance-price"

        assert price == self.node(metadata={"labels": {key: text}}).price_microdollars
        assert price == self.node(metadata={"annotations": {key: text}}).price_microdollars


@pytest.mark.parametrize("host_network", [None, False, True])
def test_daemonset(host_network: bool | None) -> None:
    """Its pods' request, and the tolerations that its controller will add."""
    template = {
        "spec": {
            "containers": [container(cpu="100m")],
            "nodeSelector": {"os": "linux"},
            "hostNetwork": host_network,
        },
    }
    found = seen(
        "DaemonSet",
        {
            "metadata": {"name": "d", "namespace": "kube-system", "uid": "u"},
            "spec": {"template": template},
        },
    )

    assert vector(cpu=100) == found.request
    assert (("os", "linux"),) == found.constraints.selector
    expected = daemonsets.tolerations((), host_network=host_network is True)
    assert expected == found.constraints.tolerations


def test_volumes() -> None:
    """A volume's node affinity, driver, handle; an old EBS volume counts under its CSI driver."""
    terms = [{"matchExpressions": [{"key": "zone", "operator": "In", "values": ["a"]}]}]
    csi = seen(
        "PersistentVolume",
        {
            "metadata": {"name": "v"},
            "spec": {
                "csi": {"driver": "ebs.csi.aws.com", "volumeHandle": "vol-1"},
                "nodeAffinity": {"required": {"nodeSelectorTerms": terms}},
            },
        },
    )
    old = seen(
        "PersistentVolume",
        {"metadata": {"name": "w"}, "spec": {"awsElasticBlockStore": {"volumeID": "vol-2"}}},
    )
    zone_a = requirements.Term((("zone", requirements.requirement("In", ["a"])),))

    assert decode.Volume((zone_a,), "ebs.csi.aws.com", "vol-1") == csi
    plugin = "kubernetes.io/aws-ebs"
    assert decode.Volume((), "ebs.csi.aws.com", "vol-2", csi=False, plugin=plugin) == old


def test_limits_of_attachment() -> None:
    """Only drivers that state a limit have one."""
    drivers = [
        {"name": "a", "allocatable": {"count": 25}},
        {"name": "b"},
        {"name": "c", "allocatable": {}},
    ]

    moved = {"storage.alpha.kubernetes.io/migrated-plugins": "kubernetes.io/aws-ebs"}
    metadata = {"name": "n", "annotations": moved}
    told = decode.CsiNode({"a": 25}, frozenset({"kubernetes.io/aws-ebs"}))

    assert told == seen("CSINode", {"metadata": metadata, "spec": {"drivers": drivers}})


def test_children() -> None:
    """What our resources own is a child; everybody else's is only known to exist."""
    owner = {"kind": "LongService", "name": "web", "uid": "1", "controller": True}
    body = {
        "metadata": {
            "name": "web-5", "namespace": "ns", "uid": "2", "ownerReferences": [owner],
            "annotations": {"bayplan.dev/digest": "abc"},
        },
        "revision": 4,
        "data": {"template": {"x": 1}},
    }  # fmt: skip
    owned = seen("ControllerRevision", body)
    foreign = seen("ControllerRevision", {"metadata": {"name": "x"}, "data": {"big": "y"}})

    assert ("1", 4, {"template": {"x": 1}}, "abc") == (
        owned.owner.uid,
        owned.child.revision,
        owned.child.body,
        owned.child.digest,
    )
    assert foreign is None


def test_list_of_odd_items() -> None:
    """One object that cannot be read never fails a list; its name is kept where it has one."""
    items = [{"metadata": {"name": "a"}}, {"metadata": {"name": "b"}, "spec": 7}, 7]
    body = {"metadata": {"resourceVersion": "5", "continue": "next"}, "items": items}
    found = decode.chunk(KINDS["Node"], json.dumps(body).encode())

    assert ["a"] == [one.name for one in found.seen]
    assert (("", "b"),) == tuple(found.unreadable)
    assert not found.whole
    assert ("5", "next") == (found.version, found.token)


@pytest.mark.parametrize("body", [{}, {"items": None}, {"metadata": {}, "items": []}])
def test_empty_list(body: dict[str, Any]) -> None:
    """An empty list comes in several spellings."""
    assert () == decode.chunk(KINDS["Pod"], json.dumps(body).encode()).seen
