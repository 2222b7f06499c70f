"""What the chart renders, by real Helm 3 and 4: valid, restricted, in the operator's own words."""

import ast
import json
import re
import shutil
import subprocess
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

import kubernetes_validate
import pytest
import yaml
from prometheus_client.parser import text_string_to_metric_families

import bayplan
from bayplan import __main__
from bayplan.api import crds, kinds
from bayplan.metrics import Metrics
from bayplan.settings import Settings
from tests import helm
from tests.helm import CHART, MONITORING, ROOT, VERSIONS, Document, Helm, one, render
from tools import chart as source

RULES = yaml.safe_load((CHART / "files" / "rules.yaml").read_text())
ALERTS = yaml.safe_load((CHART / "files" / "alerts.yaml").read_text())
KUBE_STATE = yaml.safe_load((CHART / "files" / "kube-state-metrics.yaml").read_text())
SCHEMAS = {
    body["spec"]["names"]["kind"]: body["spec"]["versions"][0]["schema"]["openAPIV3Schema"]
    for body in map(yaml.safe_load, crds.build().values())
}
DASHBOARD = json.loads((CHART / "files" / "dashboard.json").read_text())
ABOUT = yaml.safe_load((CHART / "Chart.yaml").read_text())
ALL: dict[str, Any] = {
    "settings": {"namespace": "team", "nodeSelector": "bayplan.dev/pool=default"},
    "serviceAccount": {"annotations": {"eks.amazonaws.com/role-arn": "arn:aws:iam::1:role/x"}},
    "image": {"digest": f"sha256:{'0' * 64}", "pullSecrets": ["registry"]},
    "admissionPolicy": {"create": True, "level": "Restricted"},
    "networkPolicy": {"create": True, "metricsFrom": [{"namespaceSelector": {}}]},
    "notifications": {"secretName": "receivers"},
    "monitoring": {
        "serviceMonitor": {"create": True},
        "prometheusRule": {"create": True},
        "dashboard": {"create": True},
        "kubeStateMetrics": {"create": True},
    },
    "podLabels": {"team": "platform"},
    "podAnnotations": {"note": "x"},
}
POOLS = {
    "pool": {
        "enabled": True,
        "karpenterMetrics": "http://karpenter.kube-system.svc:8000/metrics",
        "pricesConfigMap": "prices",
    },
    "networkPolicy": {"create": True},
}
GROUPS = {
    **POOLS,
    "pool": {"enabled": True, "autoScalingGroups": {"enabled": True, "region": "eu-west-1"}},
    "serviceAccount": {"annotations": {"eks.amazonaws.com/role-arn": "arn:aws:iam::1:role/x"}},
}
AROUND: dict[str, Any] = {  # what a platform team adds to every chart
    "settings": {"nodeSelector": "pool=batch"},
    "affinity": {
        "nodeAffinity": {
            "requiredDuringSchedulingIgnoredDuringExecution": {
                "nodeSelectorTerms": [
                    {"matchExpressions": [{"key": "arch", "operator": "In", "values": ["arm64"]}]},
                    {"matchFields": [
                        {"key": "metadata.name", "operator": "In", "values": ["n"]}
                    ]},
                ]
            },
            "preferredDuringSchedulingIgnoredDuringExecution": [
                {"weight": 1, "preference": {"matchExpressions": [
                    {"key": "disk", "operator": "Exists"}]}}
            ],
        },
        "podAntiAffinity": {
            "requiredDuringSchedulingIgnoredDuringExecution": [{"topologyKey": "rack"}]
        },
    },
    "topologySpreadConstraints": [
        {"topologyKey": "rack", "maxSkew": 2, "whenUnsatisfiable": "ScheduleAnyway"},
        {"topologyKey": "zone", "maxSkew": 1, "whenUnsatisfiable": "DoNotSchedule",
         "labelSelector": {"matchLabels": {"a": "b"}}},
    ],
    "extraEnv": [
        {"name": "HTTPS_PROXY", "value": "http://proxy:3128"},
        {"name": "SSL_CERT_FILE", "value": "/certs/ca.pem"},
    ],
    "extraEnvFrom": [{"configMapRef": {"name": "proxy"}}],
    "extraVolumes": [{"name": "certs", "configMap": {"name": "ca"}}],
    "extraVolumeMounts": [{"name": "certs", "mountPath": "/certs", "readOnly": True}],
    "commonLabels": {"team": "platform", "cost": "7", "app.kubernetes.io/name": "x"},
    "commonAnnotations": {"owner": "ops@example.com", "helm.sh/hook-weight": "9"},
    "podLabels": {"team": "batch"},
    "podAnnotations": {"owner": "batch@example.com"},
    "serviceAccount": {"annotations": {"eks.amazonaws.com/role-arn": "arn:aws:iam::1:role/x"}},
    "admissionPolicy": {"create": True},
    "networkPolicy": {"create": True},
    "pool": {"enabled": True},
    "monitoring": {"prometheusRule": {"create": True}, "dashboard": {"create": True}},
}  # fmt: skip
POD_MONITOR = {"monitoring": {"podMonitor": {"create": True}}}


@pytest.mark.parametrize("name", VERSIONS)
def test_lint(name: str) -> None:
    """`helm lint --strict` finds nothing to say about either chart."""
    done = Helm(name).run(
        "lint", "--strict", "--kube-version", helm.KUBERNETES, CHART, ROOT / "charts/bayplan-crds"
    )

    assert (0, "2 chart(s) linted, 0 chart(s) failed") == (
        done.returncode,
        done.stdout.strip().splitlines()[-1],
    )


@pytest.mark.parametrize("kubernetes", ["1.30", "1.33", "1.35", "1.37"])
@pytest.mark.parametrize(
    "values",
    [{}, ALL, POD_MONITOR, POOLS, GROUPS, AROUND],
    ids=["least", "all", "pod-monitor", "pools", "groups", "around"],
)
def test_valid_for_each_kubernetes(kubernetes: str, values: dict[str, Any]) -> None:
    """Every object satisfies Kubernetes' own schema of that version, strictly."""
    found = render(values, kubernetes=f"{kubernetes}.0")
    known = [body for body in found if not body["apiVersion"].startswith("monitoring.coreos.com")]

    assert len(known) > 15
    for body in known:
        kubernetes_validate.validate(body, kubernetes, strict=True)


def test_kubernetes_validate_sees_mistakes() -> None:
    """The judge of the test above does judge."""
    body = {**one(render(), "Deployment"), "speck": {}}
    with pytest.raises(kubernetes_validate.ValidationError):
        kubernetes_validate.validate(body, "1.35", strict=True)


@pytest.mark.parametrize(
    "values", [{}, ALL, POOLS, AROUND], ids=["least", "all", "pools", "around"]
)
def test_both_helms_say_the_same(values: dict[str, Any]) -> None:
    """Helm 3 and Helm 4 render the same objects."""
    three, four = (
        sorted(render(values, helm=Helm(name)), key=lambda one: json.dumps(one, sort_keys=True))
        for name in VERSIONS
    )

    assert three == four


@pytest.mark.parametrize(
    ("kubernetes", "code"), [("1.29.9", 1), ("1.30.0", 0), ("v1.34.2-eks-1a2b3c4", 0)]
)
def test_which_clusters_will_do(kubernetes: str, code: int) -> None:
    """Older than 1.30 is refused; EKS' own version numbers are understood."""
    assert code == Helm("helm3").template(kubernetes=kubernetes).returncode


# ── the pods ─────────────────────────────────────────────────────────────────────────────────────


def pods(found: list[Document]) -> Iterator[tuple[str, dict[str, Any]]]:
    for body in found:
        if body["kind"] in {"Deployment", "Job"}:
            yield body["metadata"]["name"], body["spec"]["template"]["spec"]


def test_pods_are_restricted() -> None:
    """The level `restricted`, a read-only root, and the token only where it is used."""
    found = dict(pods(render(ALL)))

    assert {"bayplan", "bayplan-uninstall", "bayplan-selftest"} == found.keys()
    for spec in found.values():
        [container] = spec["containers"]

        assert {"runAsNonRoot": True, "seccompProfile": {"type": "RuntimeDefault"}}.items() <= (
            spec["securityContext"].items()
        )
        assert 65532 == spec["securityContext"]["runAsUser"]
        assert {
            "allowPrivilegeEscalation": False,
            "readOnlyRootFilesystem": True,
            "capabilities": {"drop": ["ALL"]},
        } == container["securityContext"]
        kinds = {key for one in spec["volumes"] for key in one if key != "name"}
        assert {"emptyDir"} == kinds - {"secret"}  # of notices, where they are wanted
        assert {"cpu", "memory"} == container["resources"]["requests"].keys()
    for account in (body for body in render(ALL) if body["kind"] == "ServiceAccount"):
        assert account["automountServiceAccountToken"] is False


def test_nobody_waits_for_ourselves() -> None:
    """The operator's pods are placed by the default scheduler, and spread."""
    for _, spec in pods(render(ALL)):
        assert "schedulerName" not in spec
    deployment = one(render(), "Deployment")
    spread = deployment["spec"]["template"]["spec"]["topologySpreadConstraints"]
    budget = one(render(), "PodDisruptionBudget")

    assert 2 == deployment["spec"]["replicas"]
    assert ["topology.kubernetes.io/zone", "kubernetes.io/hostname"] == [
        each["topologyKey"] for each in spread
    ]
    assert deployment["spec"]["selector"] == budget["spec"]["selector"]
    assert deployment["spec"]["selector"]["matchLabels"].items() <= (
        deployment["spec"]["template"]["metadata"]["labels"].items()
    )
    assert "PodDisruptionBudget" not in {each["kind"] for each in render({"replicas": 1})}


@pytest.mark.parametrize(
    ("selector", "expected"),
    [
        ("pool=batch", [{"key": "pool", "operator": "NotIn", "values": ["batch"]}]),
        ("pool==batch", [{"key": "pool", "operator": "NotIn", "values": ["batch"]}]),
        ("pool!=web", [{"key": "pool", "operator": "In", "values": ["web"]}]),
        ("bayplan.dev/pool", [{"key": "bayplan.dev/pool", "operator": "DoesNotExist"}]),
        ("!web", [{"key": "web", "operator": "Exists"}]),
        ("a=b, !c", [{"key": "a", "operator": "NotIn", "values": ["b"]},
                     {"key": "c", "operator": "Exists"}]),
    ],
)  # fmt: skip
def test_own_nodes_are_avoided(selector: str, expected: list[Any]) -> None:
    """The selector of the nodes that Bayplan fills, turned round: any part may fail to hold."""
    spec = dict(pods(render({"settings": {"nodeSelector": selector}})))["bayplan"]
    required = spec["affinity"]["nodeAffinity"]["requiredDuringSchedulingIgnoredDuringExecution"]

    assert [[each] for each in expected] == [
        term["matchExpressions"] for term in required["nodeSelectorTerms"]
    ]


def test_affinity_holds_besides() -> None:
    """Each of the user's terms with each of ours; what else was written stays as it is."""
    affinity = dict(pods(render(AROUND)))["bayplan"]["affinity"]
    given = AROUND["affinity"]
    required = affinity["nodeAffinity"]["requiredDuringSchedulingIgnoredDuringExecution"]
    free = render({**AROUND, "avoidOwnNodes": False})
    ours = {"key": "pool", "operator": "NotIn", "values": ["batch"]}
    arch = {"key": "arch", "operator": "In", "values": ["arm64"]}
    field = {"key": "metadata.name", "operator": "In", "values": ["n"]}

    assert [
        {"matchExpressions": [arch, ours]},
        {"matchExpressions": [ours], "matchFields": [field]},
    ] == required["nodeSelectorTerms"]
    assert given["podAntiAffinity"] == affinity["podAntiAffinity"]
    for key in ("preferredDuringSchedulingIgnoredDuringExecution",):
        assert given["nodeAffinity"][key] == affinity["nodeAffinity"][key]
    assert given == dict(pods(free))["bayplan"]["affinity"]
    assert "affinity" not in dict(pods(render()))["bayplan"]


def test_spread_is_as_written() -> None:
    """Instead of ours; what names no pods counts the operator's."""
    found = render(AROUND)
    rack, zone = dict(pods(found))["bayplan"]["topologySpreadConstraints"]
    given = AROUND["topologySpreadConstraints"]
    own = one(found, "Deployment")["spec"]["selector"]

    assert {**given[0], "labelSelector": own} == rack
    assert given[1] == zone


def test_environment_and_volumes_are_added() -> None:
    """Beside ours, in the operator and in the pods of the hooks, which ask the same API server."""
    found = dict(pods(render(AROUND)))

    assert {"bayplan", "bayplan-uninstall", "bayplan-selftest"} == found.keys()
    for name, spec in found.items():
        [container] = spec["containers"]
        names = {each["name"] for each in container["env"]}
        assert AROUND["extraEnv"] == container["env"][-2:]
        assert ("BAYPLAN_IDENTITY" in names) == (name == "bayplan")
        assert AROUND["extraEnvFrom"] == container["envFrom"]
        assert AROUND["extraVolumes"][0] in spec["volumes"]
        assert AROUND["extraVolumeMounts"][0] in container["volumeMounts"]
        assert "tmp" in {each["name"] for each in container["volumeMounts"]}


def test_common_labels_and_annotations() -> None:
    """On every object and pod; what we set ourselves stays, and what is closer wins."""
    found = render(AROUND)
    bare = {(each["kind"], each["metadata"]["name"]): each for each in render(
        {key: value for key, value in AROUND.items() if not key.startswith("common")})}  # fmt: skip

    assert len(found) > 25
    for body in found:
        about, before = body["metadata"], bare[body["kind"], body["metadata"]["name"]]["metadata"]
        assert {"team": "platform", "cost": "7"}.items() <= about["labels"].items()
        assert "ops@example.com" == about["annotations"]["owner"]
        assert before.get("labels", {}).items() <= about["labels"].items()
        assert before.get("annotations", {}).items() <= about["annotations"].items()
        if body["kind"] in {"Deployment", "Job"}:
            inner = body["spec"]["template"]["metadata"]
            near = body["kind"] == "Deployment"
            assert ("batch" if near else "platform") == inner["labels"]["team"]
            assert f"{'batch' if near else 'ops'}@example.com" == inner["annotations"]["owner"]
            assert "7" == inner["labels"]["cost"]
        if body["kind"] == "Deployment":
            assert body["spec"]["selector"] == bare["Deployment", "bayplan"]["spec"]["selector"]


def test_notes_say_what_comes_next() -> None:
    """The command line and what kubectl can wait for, with names that exist."""
    text = (CHART / "templates" / "NOTES.txt").read_text()

    for words in ("pip install", "bayplan doctor", "bayplan top", "kubectl wait", "rollout status"):
        assert words in text


def test_every_setting_reaches_the_operator() -> None:
    """The operator's own command line takes what is rendered and understands each value."""
    given = {
        source.camel(name): {
            "mode": "Observe", "node_selector": "a=b,!c", "namespace": "team",
            "log_format": "text", "log_level": "debug",
        }.get(name, 7 + index)
        for index, name in enumerate(
            name for name in Settings.model_fields if name not in source.OF_THE_POD
        )
    }  # fmt: skip
    given |= {"leaseRetrySeconds": 1, "leaseRenewDeadlineSeconds": 4.5, "leaseDurationSeconds": 8}
    [container] = dict(pods(render({"settings": given})))["bayplan"]["containers"]
    context = __main__.main.make_context("bayplan", list(container["args"]))
    read = Settings(**{key: value for key, value in context.params.items() if value is not None})
    told = json.loads(read.model_dump_json())

    assert given == {key: value for key, value in _camel(told).items() if key in given}
    assert ("bayplan", 9090, 8080) == (read.lease_name, read.metrics_port, read.liveness_port)
    assert {"BAYPLAN_IDENTITY", "BAYPLAN_LEASE_NAMESPACE"} == {
        each["name"] for each in container["env"]
    }


def test_receivers_of_notices_come_from_a_secret() -> None:
    """The kubelet mounts it; the operator is told the file, and may go out where it was said."""
    off, on = ({"networkPolicy": {"create": True}, "notifications": {"secretName": name}}
               for name in ("", "receivers"))  # fmt: skip
    pod = dict(pods(render(on)))["bayplan"]
    [container] = pod["containers"]
    [mount] = [one for one in container["volumeMounts"] if one["name"] == "notifications"]
    [volume] = [one for one in pod["volumes"] if one["name"] == "notifications"]
    elsewhere = {"ipBlock": {"cidr": "10.0.0.0/8"}}
    told = {**on, "networkPolicy": {"create": True, "receivers": [elsewhere]}}

    assert {"secretName": "receivers"} == volume["secret"]
    assert f"--notifications-file={mount['mountPath']}/receivers.yaml" in container["args"]
    assert "notifications" not in json.dumps(dict(pods(render(off)))["bayplan"])
    assert [2, 3, 3] == [
        len(one(render(values), "NetworkPolicy")["spec"]["egress"]) for values in (off, on, told)
    ]
    assert [elsewhere] == one(render(told), "NetworkPolicy")["spec"]["egress"][-1]["to"]


def _camel(told: dict[str, Any]) -> dict[str, Any]:
    return {source.camel(name): value for name, value in told.items()}


def test_the_values_are_those_of_the_operator() -> None:
    """What holds when nothing is set is what the operator itself takes, but for the log's form."""
    told = _camel(json.loads(Settings().model_dump_json()))
    offered = source.defaults()["settings"]

    assert {**offered, "logFormat": "text"} == {key: told[key] for key in offered}


# ── rights ───────────────────────────────────────────────────────────────────────────────────────


def test_rights_are_those_of_the_rules() -> None:
    """The account has what the audited list says, and not a verb more."""
    found = render()

    assert [*RULES["cluster"], *RULES["namespace"]] == one(found, "ClusterRole")["rules"]
    assert RULES["lease"] == one(found, "Role", "bayplan-lease")["rules"]
    assert {"bayplan", "bayplan-lease"} == _bound(found, "bayplan")


def test_pools_bring_their_rights_and_their_limits() -> None:
    """With pool.enabled alone: a role of its own, and a policy that confines this very account."""
    off, on = render(), render({"pool": {"enabled": True}, "fullnameOverride": "packer"})
    role, binding = (
        one(on, kind, "packer-pools") for kind in ("ClusterRole", "ClusterRoleBinding")
    )
    policy = one(on, "ValidatingAdmissionPolicy", "packer-pools")
    [condition] = policy["spec"]["matchConditions"]
    bound = one(on, "ValidatingAdmissionPolicyBinding", "packer-pools")["spec"]

    assert RULES["pools"] == role["rules"]
    assert ("packer-pools", "packer") == (
        binding["roleRef"]["name"], binding["subjects"][0]["name"]
    )  # fmt: skip
    assert "'system:serviceaccount:bayplan-system:packer'" in condition["expression"]
    assert ("packer-pools", ["Deny"]) == (bound["policyName"], bound["validationActions"])
    assert "Fail" == policy["spec"]["failurePolicy"]
    assert [] == [
        (body["kind"], body["metadata"]["name"])
        for body in off
        if body["kind"].startswith("Validating") or body["metadata"]["name"].endswith("-pools")
    ]
    assert {"pools.bayplan.dev"} == {
        body["metadata"]["name"] for body in off if body["metadata"]["name"].startswith("pools")
    }


def test_what_the_policy_guards_is_what_the_role_allows() -> None:
    """Each write of the role but that of our own status is among the policy's rules."""
    made = render({"pool": {"enabled": True}})
    policy = one(made, "ValidatingAdmissionPolicy", "bayplan-pools")
    guarded = {
        (group, resource)
        for rule in policy["spec"]["matchConstraints"]["resourceRules"]
        for group in rule["apiGroups"]
        for resource in rule["resources"]
    }
    written = {
        (group, resource)
        for rule in RULES["pools"]
        for group in rule["apiGroups"]
        for resource in rule["resources"]
        if set(rule["verbs"]) - {"get", "list", "watch"}
    }

    assert written - guarded == {
        ("bayplan.dev", "pools/status"), ("karpenter.sh", "nodepools/finalizers")
    }  # fmt: skip
    assert guarded <= written


def test_the_operator_is_told_of_pools() -> None:
    """Where Karpenter's metrics are, and the prices file; it may go out to that port alone."""
    off, on = render({"networkPolicy": {"create": True}}), render(POOLS)
    pod = dict(pods(on))["bayplan"]
    [container] = pod["containers"]
    [mount] = [one for one in container["volumeMounts"] if one["name"] == "prices"]
    [volume] = [one for one in pod["volumes"] if one["name"] == "prices"]

    assert "prices" == volume["configMap"]["name"]
    assert {
        "--pools=true",
        "--karpenter-metrics=http://karpenter.kube-system.svc:8000/metrics",
        f"--prices-file={mount['mountPath']}/prices",
    } <= set(container["args"])
    assert [] == [word for word in dict(pods(off))["bayplan"]["containers"][0]["args"]
                  if "pool" in word or "price" in word or "karpenter" in word]  # fmt: skip
    assert len(one(off, "NetworkPolicy")["spec"]["egress"]) == 2


@pytest.mark.parametrize(
    ("url", "port"),
    [
        ("", 8080),
        ("http://karpenter:9000/metrics", 9000),
        ("http://karpenter/metrics", 80),
        ("https://karpenter.example/metrics", 443),
    ],
)
def test_the_way_to_the_metrics_is_open(url: str, port: int) -> None:
    """The port of the URL, or the usual port of Karpenter's Service."""
    made = render(
        {"pool": {"enabled": True, "karpenterMetrics": url}, "networkPolicy": {"create": True}}
    )

    assert [{"port": port, "protocol": "TCP"}] == (
        one(made, "NetworkPolicy")["spec"]["egress"][-1]["ports"]
    )


def test_rights_in_one_namespace() -> None:
    """What is not a look at the whole cluster is a Role in the namespace that is served."""
    found = render({"settings": {"namespace": "team"}})
    role = one(found, "Role")

    assert RULES["cluster"] == one(found, "ClusterRole")["rules"]
    assert ("team", RULES["namespace"]) == (role["metadata"]["namespace"], role["rules"])
    assert "team" == one(found, "RoleBinding")["metadata"]["namespace"]
    assert "bayplan-system" == one(found, "Role", "bayplan-lease")["metadata"]["namespace"]
    assert {"bayplan", "bayplan-lease"} == _bound(found, "bayplan")


def test_the_lease_is_this_release_s() -> None:
    """Another name of the release is another lease, and the right to that one alone."""
    found = render({"fullnameOverride": "packer"})
    rule = one(found, "Role", "packer-lease")["rules"][1]
    [container] = dict(pods(found))["packer"]["containers"]

    assert ["packer"] == rule["resourceNames"]
    assert "--lease-name=packer" in container["args"]


def _bound(found: list[Document], account: str) -> set[str]:
    return {
        body["roleRef"]["name"]
        for body in found
        if body["kind"].endswith("Binding")
        for subject in body.get("subjects", ())
        if subject["name"] == account
    }


def test_hooks_may_do_little() -> None:
    """The hook stops this operator and touches finalizers of pods; the test makes BatchJobs."""
    found = render()
    rules = {
        body["metadata"]["name"]: body["rules"]
        for body in found
        if body["kind"] in {"Role", "ClusterRole"} and "annotations" in body["metadata"]
    }
    flat = {
        name: {
            (resource, verb, *rule.get("resourceNames", ()))
            for rule in some
            for resource in rule["resources"]
            for verb in rule["verbs"]
        }
        for name, some in rules.items()
    }

    assert {
        "bayplan-uninstall": {
            ("deployments/scale", "patch", "bayplan"), ("leases", "get", "bayplan"),
        },
        "bayplan-uninstall-pods": {("pods", "list"), ("pods", "patch")},
        "bayplan-selftest": {("batchjobs", verb) for verb in ("create", "get", "delete")},
    } == flat  # fmt: skip


def test_hooks_do_what_they_are_for() -> None:
    """Before uninstall run pods are let go, and nothing else; the test runs a BatchJob."""
    found = render()
    [uninstall, selftest] = (
        one(found, "Job", f"bayplan-{name}")["spec"]["template"]["spec"]["containers"][0]
        for name in ("uninstall", "selftest")
    )

    assert ["bayplan", "uninstall", "--finalizers-only", "--yes"] == uninstall["command"]
    assert ["--operator=bayplan-system/bayplan"] == uninstall["args"]
    assert ["bayplan", "selftest"] == selftest["command"]


def test_what_users_may_do() -> None:
    """View, edit and admin get ours along with pods; nobody gets to write a status."""
    found = render()
    view, edit = (one(found, "ClusterRole", f"bayplan-{name}") for name in ("view", "edit"))

    assert {"get", "list", "watch"} == {verb for rule in view["rules"] for verb in rule["verbs"]}
    assert not [name for rule in edit["rules"] for name in rule["resources"] if "status" in name]
    for role, names in ((view, {"view", "edit", "admin"}), (edit, {"edit", "admin"})):
        assert names == {
            label.rpartition("-")[2]
            for label in role["metadata"]["labels"]
            if label.startswith("rbac.authorization.k8s.io/aggregate-to-")
        }


def test_flow_schemas_speak_of_this_account() -> None:
    """The lease goes first; both name the release's account and levels that every server has."""
    found = [
        body for body in render({"fullnameOverride": "packer"}) if body["kind"] == "FlowSchema"
    ]
    subjects = [
        subject["serviceAccount"]
        for body in found
        for rule in body["spec"]["rules"]
        for subject in rule["subjects"]
    ]
    levels = {
        body["metadata"]["name"]: body["spec"]["priorityLevelConfiguration"]["name"]
        for body in found
    }

    assert [{"namespace": "bayplan-system", "name": "packer"}] * 2 == subjects
    assert {"packer-leases": "leader-election", "packer": "workload-high"} == levels
    assert found[0]["spec"]["matchingPrecedence"] < found[1]["spec"]["matchingPrecedence"]


# ── definitions, pictures, alerts ────────────────────────────────────────────────────────────────


def test_definitions_outlive_the_release() -> None:
    """The chart's definitions are the generated ones, kept unless told otherwise."""
    found = [body for body in render() if body["kind"] == "CustomResourceDefinition"]
    loose = [
        body
        for body in render({"crds": {"keep": False}})
        if body["kind"] == "CustomResourceDefinition"
    ]
    made = {text: yaml.safe_load(text) for text in crds.build().values()}

    assert [body["spec"] for body in made.values()] == [body["spec"] for body in found]
    assert ["keep"] * 3 == [
        body["metadata"]["annotations"]["helm.sh/resource-policy"] for body in found
    ]
    assert [False] * 3 == ["annotations" in body["metadata"] for body in loose]
    assert "CustomResourceDefinition" not in {
        body["kind"] for body in render({"crds": {"install": False}})
    }


def metrics() -> set[str]:
    """Every name that a scrape can bring."""
    page = Metrics().page().decode()
    names = set()
    for family in text_string_to_metric_families(page):
        suffixes = {"counter": ("_total",), "histogram": ("_bucket", "_sum", "_count")}
        names |= {family.name + suffix for suffix in suffixes.get(family.type, ("",))}
    return names


def kube_state_metrics() -> set[str]:
    """Every name that kube-state-metrics tells with the chart's configuration."""
    return {
        f"{told['metricNamePrefix']}_{metric['name']}"
        for told in KUBE_STATE["spec"]["resources"]
        for metric in told["metrics"]
    }


def _words() -> Iterator[tuple[str, str]]:
    for panel in DASHBOARD["panels"]:
        for target in panel["targets"]:
            yield panel["title"], target["expr"]
    for group in ALERTS["groups"]:
        for rule in group["rules"]:
            yield rule["alert"], rule["expr"]


@pytest.mark.parametrize(("title", "query"), list(_words()))
def test_metrics_exist(title: str, query: str) -> None:
    """What a picture or an alert asks for is what the operator tells."""
    asked = set(re.findall(r"\bbayplan_\w+", query))

    assert asked, title
    assert set() == asked - metrics() - kube_state_metrics()


def test_every_metric_is_shown() -> None:
    """The dashboard leaves no figure of the operator out."""
    shown = {
        re.sub("_(bucket|total)$", "", name)
        for _, query in _words()
        for name in re.findall(r"\bbayplan_\w+", query)
    }
    told = {re.sub("_(bucket|sum|count|total|created)$", "", name) for name in metrics()}

    assert set() == told - shown
    assert metrics().isdisjoint(kube_state_metrics())


def test_alerts(tmp_path: Path) -> None:
    """Prometheus' own checker takes the rendered rules, and each alert fires when it should."""
    rules = one(render(ALL), "PrometheusRule")["spec"]
    (tmp_path / "rules.yaml").write_text(yaml.safe_dump(rules))
    shutil.copy(ROOT / "tests" / "alerts.yaml", tmp_path)
    tool = helm.promtool()
    for words in (("check", "rules", "rules.yaml"), ("test", "rules", "alerts.yaml")):
        done = subprocess.run(
            [tool, *words], cwd=tmp_path, capture_output=True, text=True, check=False, timeout=60
        )

        assert 0 == done.returncode, done.stdout + done.stderr


def test_every_alert_is_tested() -> None:
    """None is taken on trust."""
    text = (ROOT / "tests" / "alerts.yaml").read_text()

    assert [] == [
        rule["alert"]
        for group in ALERTS["groups"]
        for rule in group["rules"]
        if rule["alert"] not in text
    ]


def test_every_alert_has_a_runbook() -> None:
    """A heading of the page, by default and with a page of one's own."""
    page = (ROOT / "docs" / "operate" / "alerts.md").read_text()
    headings = {line.removeprefix("## ").lower() for line in page.splitlines() if "## " in line}
    own = {"monitoring": {"prometheusRule": {"create": True, "runbookUrl": "https://wiki/bayplan"}}}
    for values, base in ((ALL, source.RUNBOOK), ({**ALL, **own}, "https://wiki/bayplan")):
        for rule in one(render(values), "PrometheusRule")["spec"]["groups"][0]["rules"]:
            start, _, anchor = rule["annotations"]["runbook_url"].partition("#")

            assert (base, rule["alert"].lower()) == (start, anchor)
            assert anchor in headings


def _found(schema: Mapping[str, Any], path: list[str]) -> Mapping[str, Any]:
    for name in path:
        schema = schema["properties"][name]
    return schema


def test_kube_state_metrics_reads_what_statuses_have() -> None:
    """Each path is a field of the definition, of a type that it can show."""
    values = {"monitoring": {"kubeStateMetrics": {"create": True, "namespace": "monitoring"}}}
    body = one(render(values), "ConfigMap", "bayplan-kube-state-metrics")
    read = yaml.safe_load(body["data"]["config.yaml"])

    assert "monitoring" == body["metadata"]["namespace"]
    assert read == KUBE_STATE
    for told in read["spec"]["resources"]:
        kind = told["groupVersionKind"]["kind"]
        schema = SCHEMAS[kind]
        for metric in told["metrics"]:
            gauge = metric["each"]["gauge"]
            field = _found(schema, gauge["path"])
            if "valueFrom" in gauge:
                each = field["items"]
                field = _found(each, gauge["valueFrom"])
                for path in gauge["labelsFromPath"].values():
                    assert "string" == _found(each, path)["type"]

            assert (
                field["type"] == "integer"
                or field.get("format") == "date-time"
                or field.get("enum") == ["True", "False", "Unknown"]
            )


def test_the_page_lists_what_kube_state_metrics_tells() -> None:
    """Every metric, and what alerts ask for is among them."""
    page = (ROOT / "docs" / "operate" / "alerts.md").read_text()

    assert set() == {name for name in kube_state_metrics() if f"| `{name}` |" not in page}


def test_the_dashboard_is_one_grafana_takes_in() -> None:
    """Each panel has its own number and place; the ConfigMap has the sidecar's label."""
    board = one(render(ALL), "ConfigMap", "bayplan-dashboard")
    panels = DASHBOARD["panels"]
    taken = [
        (x, y)
        for each in panels
        for x in range(each["gridPos"]["x"], each["gridPos"]["x"] + each["gridPos"]["w"])
        for y in range(each["gridPos"]["y"], each["gridPos"]["y"] + each["gridPos"]["h"])
    ]

    assert DASHBOARD == json.loads(board["data"]["bayplan.json"])
    assert "1" == board["metadata"]["labels"]["grafana_dashboard"]
    assert len(panels) == len({each["id"] for each in panels})
    assert len(taken) == len(set(taken))
    assert max(x for x, _ in taken) < 24


def test_what_artifact_hub_is_told() -> None:
    """Kinds, image, version and examples are those of this version."""
    notes = ABOUT["annotations"]
    told = {each["name"] for each in yaml.safe_load(notes["artifacthub.io/crds"])}
    [image] = yaml.safe_load(notes["artifacthub.io/images"])
    [container] = dict(pods(render()))["bayplan"]["containers"]
    examples = yaml.safe_load(notes["artifacthub.io/crdsExamples"])

    assert [bayplan.__version__] * 2 == [ABOUT["version"], ABOUT["appVersion"]]
    assert {f"{kind.plural}.bayplan.dev" for kind in kinds.DEFINED} == told
    assert container["image"] == image["image"]
    assert {kind.name for kind in kinds.DEFINED} == {each["kind"] for each in examples}


def test_the_iam_policy_is_what_is_called() -> None:
    """Each call of AWS in the code, and no other, is in the policy."""
    tree = ast.parse((ROOT / "operator/bayplan/cloud/prices.py").read_text())
    called = {
        node.args[0].value
        for node in ast.walk(tree)
        if isinstance(node, ast.Call)
        and isinstance(node.func, ast.Attribute)
        and node.func.attr == "get_paginator"
        and isinstance(node.args[0], ast.Constant)
    }
    policy = json.loads((CHART / "files" / "iam-policy.json").read_text())
    allowed = {action.partition(":")[2] for one in policy["Statement"] for action in one["Action"]}

    assert {"".join(word.title() for word in str(name).split("_")) for name in called} == allowed


def test_the_iam_policy_of_groups_is_what_is_called() -> None:
    """What the operator calls, and what a launch needs; only tagged groups are changed."""
    tree = ast.parse((ROOT / "operator/bayplan/cloud/auto_scaling.py").read_text())
    called = {"create_fleet", "get_products"}
    for node in ast.walk(tree):
        if isinstance(node, ast.Call) and isinstance(node.func, ast.Attribute):
            first = node.args[0] if node.args else None
            if node.func.attr in {"get_paginator", "_written"} and isinstance(first, ast.Constant):
                called.add(str(first.value))
            elif node.func.attr.startswith("describe_"):
                called.add(node.func.attr)
    policy = json.loads((CHART / "files" / "iam-policy-groups.json").read_text())
    allowed = {action.partition(":")[2] for one in policy["Statement"] for action in one["Action"]}
    changes = {
        action
        for one in policy["Statement"]
        for action in one["Action"]
        if "Condition" in one and "bayplan.dev/pool" in json.dumps(one["Condition"])
    }

    assert {"".join(word.title() for word in name.split("_")) for name in called} == allowed
    assert {
        f"autoscaling:{name}"
        for name in (
            "LaunchInstances",
            "SetDesiredCapacity",
            "TerminateInstanceInAutoScalingGroup",
        )
    } == changes


def test_groups_get_a_region_and_a_way_to_aws() -> None:
    """IRSA by the annotation, Pod Identity by its agent's address."""
    found = render(GROUPS)
    environment = dict(pods(found))["bayplan"]["containers"][0]["env"]
    egress = one(found, "NetworkPolicy")["spec"]["egress"]
    annotations = one(found, "ServiceAccount", "bayplan")["metadata"]["annotations"]

    assert {"name": "AWS_REGION", "value": "eu-west-1"} in environment
    assert [{"port": 443, "protocol": "TCP"}] in [one_["ports"] for one_ in egress]
    assert "169.254.170.23/32" in json.dumps(egress)
    assert "eks.amazonaws.com/role-arn" in annotations
    assert "AWS_REGION" not in json.dumps(dict(pods(render(POOLS)))["bayplan"])


# ── wrong values ─────────────────────────────────────────────────────────────────────────────────

REFUSED = [
    ("replica", 2, "additional properties 'replica' not allowed"),
    ("replicas", "2", "at '/replicas': got string, want integer"),
    ("replicas", 10, "at '/replicas': maximum: got 10, want 9"),
    ("replicas", -1, "at '/replicas': minimum: got -1, want 0"),
    ("nameOverride", "Bay Plan", "at '/nameOverride': 'Bay Plan' does not match pattern"),
    ("fullnameOverride", "x" * 41, "at '/fullnameOverride': maxLength: got 41, want 40"),
    ("image.tagg", "1", "at '/image': additional properties 'tagg' not allowed"),
    ("image.tag", 1.2, "at '/image/tag': got number, want string"),
    ("image.repository", "", "at '/image/repository': minLength: got 0, want 1"),
    ("image.digest", "sha1:0", "does not match pattern '^(|sha256:[0-9a-f]{64})$'"),
    ("image.pullPolicy", "always", "must be one of 'IfNotPresent', 'Always', 'Never'"),
    ("image.pullSecrets", [{"name": "x"}], "at '/image/pullSecrets/0': got object, want string"),
    ("crds.enabled", True, "at '/crds': additional properties 'enabled' not allowed"),
    ("crds.keep", "yes", "at '/crds/keep': got string, want boolean"),
    ("settings.mode", "observe", "at '/settings/mode': value must be one of 'Act', 'Observe'"),
    ("settings.leaseName", "x", "additional properties 'leaseName' not allowed"),
    ("settings.node-selector", "a=b", "additional properties 'node-selector' not allowed"),
    ("settings.nodeSelector", "a in (b)", "at '/settings/nodeSelector': 'a in (b)' does not"),
    ("settings.namespace", "a,b", "at '/settings/namespace': 'a,b' does not match pattern"),
    ("settings.writesInFlight", 0, "at '/settings/writesInFlight': minimum: got 0, want 1"),
    ("settings.writesInFlight", 1.5, "at '/settings/writesInFlight': got number, want integer"),
    ("settings.relistSeconds", 0, "at '/settings/relistSeconds': exclusiveMinimum: got 0, want 0"),
    ("settings.mostSkewSeconds", "5s", "at '/settings/mostSkewSeconds': got string, want number"),
    ("settings.logLevel", "trace", "must be one of 'debug', 'info', 'warning', 'error'"),
    ("settings.leaseDurationSeconds", 5, "make leaseRetrySeconds < leaseRenewDeadlineSeconds"),
    ("pool.enable", True, "at '/pool': additional properties 'enable' not allowed"),
    ("pool.enabled", "true", "at '/pool/enabled': got string, want boolean"),
    ("pool.karpenterMetrics", "karpenter:8080", "'karpenter:8080' does not match pattern"),
    ("pool.pricesConfigMap", {"name": "x"}, "at '/pool/pricesConfigMap': got object, want string"),
    ("settings.pools", True, "additional properties 'pools' not allowed"),
    ("serviceAccount.create", False, "serviceAccount.name must be set when"),
    ("serviceAccount.annotations.a", 1, "at '/serviceAccount/annotations/a': got number"),
    ("serviceAccount.name", "a_b", "at '/serviceAccount/name': 'a_b' does not match pattern"),
    ("rbac.scope", "cluster", "at '/rbac': additional properties 'scope' not allowed"),
    ("rbac.create", 1, "at '/rbac/create': got number, want boolean"),
    ("resources.request", {}, "at '/resources': additional properties 'request' not allowed"),
    ("resources.requests.cpu", "1mi", "at '/resources/requests/cpu': '1mi' does not match"),
    ("resources.requests.memory", "1 Gi", "at '/resources/requests/memory': '1 Gi' does not"),
    ("resources.limits.gpu", "1", "at '/resources/limits': additional properties 'gpu'"),
    ("avoidOwnNodes", "true", "at '/avoidOwnNodes': got string, want boolean"),
    ("tolerations", {"key": "a"}, "at '/tolerations': got object, want array"),
    ("nodeSelector.a", True, "at '/nodeSelector/a': got boolean, want string"),
    ("zoneSpread", "Always", "must be one of 'ScheduleAnyway', 'DoNotSchedule'"),
    ("podDisruptionBudget.minAvailable", 1, "additional properties 'minAvailable' not allowed"),
    ("podDisruptionBudget.maxUnavailable", 2, "lower it or raise replicas"),
    ("podDisruptionBudget.maxUnavailable", "50%", "maxUnavailable': got string, want integer"),
    ("flowSchemas.enabled", False, "at '/flowSchemas': additional properties 'enabled'"),
    ("admissionPolicy.action", "Refuse", "must be one of 'Deny', 'Warn', 'Audit'"),
    ("admissionPolicy.level", "restricted", "'Baseline', 'Restricted', 'Privileged'"),
    ("admissionPolicy", {"create": True, "level": "Privileged", "requirePodRights": False,
                         "knownFields": False},
     "choose a level or leave it off"),
    ("affinity", [], "at '/affinity': got array, want object"),
    ("affinity.nodeAfinity", {}, "at '/affinity': additional properties 'nodeAfinity' not allowed"),
    ("affinity.nodeAffinity", "zone", "at '/affinity/nodeAffinity': got string, want object"),
    ("topologySpreadConstraints", [{"maxSkew": 1, "whenUnsatisfiable": "DoNotSchedule"}],
     "missing property 'topologyKey'"),
    ("extraEnv", {"A": "b"}, "at '/extraEnv': got object, want array"),
    ("extraEnv", [{"value": "b"}], "at '/extraEnv/0': missing property 'name'"),
    ("extraEnv", [{"name": "BAYPLAN_IDENTITY", "value": "x"}],
     "extraEnv[0] must not be BAYPLAN_IDENTITY, which the chart sets from the pod: remove it"),
    ("extraEnvFrom", ["proxy"], "at '/extraEnvFrom/0': got string, want object"),
    ("extraVolumes", [{"name": "tmp", "emptyDir": {}}], "extraVolumes[0].name must not be tmp"),
    ("extraVolumes", [{"name": "a", "emptyDir": {}}] * 2, "extraVolumes[1].name must not be a"),
    ("extraVolumeMounts", [{"name": "certs", "mountPath": "/certs"}],
     "extraVolumeMounts[0].name is certs, and there is no such volume: add it to extraVolumes"),
    ("extraVolumeMounts", [{"name": "tmp"}], "at '/extraVolumeMounts/0': missing property"),
    ("commonLabels.x", 1, "at '/commonLabels/x': got number, want string"),
    ("commonAnnotations.x", True, "at '/commonAnnotations/x': got boolean, want string"),
    ("hooks.postDelete", True, "at '/hooks': additional properties 'postDelete' not allowed"),
    ("networkPolicy.apiServer.ports", [70_000], "ports/0': maximum: got 70,000, want 65,535"),
    ("networkPolicy.apiServer.cidrs", ["kube"], "cidrs/0': 'kube' does not match pattern"),
    ("networkPolicy.apiServer.port", 443, "additional properties 'port' not allowed"),
    ("monitoring.enabled", True, "at '/monitoring': additional properties 'enabled'"),
    ("monitoring.serviceMonitor.interval", "30", "interval': '30' does not match pattern"),
    ("monitoring.serviceMonitor.enabled", True, "additional properties 'enabled' not allowed"),
    ("monitoring", {"serviceMonitor": {"create": True}, "podMonitor": {"create": True}},
     "turn one of them off"),
    ("monitoring.dashboard.labels.x", 1, "at '/monitoring/dashboard/labels/x': got number"),
]  # fmt: skip


@pytest.mark.parametrize("name", VERSIONS)
@pytest.mark.parametrize(("path", "value", "told"), REFUSED)
def test_wrong_values_are_refused(name: str, path: str, value: object, told: str) -> None:
    """One wrong value: nothing is rendered; the message names the field and what will do."""
    done = Helm(name).template({path: value}, "--api-versions", MONITORING)

    assert 1 == done.returncode, done.stdout[:200]
    assert told in done.stderr


@pytest.mark.parametrize("name", VERSIONS)
def test_pools_are_of_the_whole_cluster(name: str) -> None:
    """An operator of one namespace cannot serve them; the message says what to change."""
    done = Helm(name).template({"pool.enabled": True, "settings.namespace": "team"})

    assert 1 == done.returncode
    assert "pool.enabled must be false with settings.namespace" in done.stderr
    assert "remove one of the two" in done.stderr


@pytest.mark.parametrize("name", ["serviceMonitor", "podMonitor", "prometheusRule"])
def test_monitors_need_their_api(name: str) -> None:
    """Without the Prometheus operator's API they are refused, unless it is said to come."""
    wanted = {f"monitoring.{name}.create": True}
    refused = Helm("helm3").template(wanted)
    forced = Helm("helm3").template({**wanted, "monitoring.force": True})

    assert (1, 0) == (refused.returncode, forced.returncode)
    assert "install the Prometheus operator first" in refused.stderr
