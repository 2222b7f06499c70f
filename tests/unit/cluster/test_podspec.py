"""What a pod asks for: its request as the scheduler sums it up, and where it may run."""

from typing import Any

import pytest

from bayplan.cluster import wire
from bayplan.model import resources
from bayplan.model.pods import Constraints, HostPort, Toleration
from tests.unit.cluster.written import container, pod, vector

GI = 1 << 30


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
