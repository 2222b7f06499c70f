"""`bayplan lint`: says of a manifest what an API server and the operator would, with its line."""

import json
from pathlib import Path
from typing import Any

import pytest
import yaml

from bayplan.cli.lint import cel_rules, structural
from tests.cluster.test_crds_on_server import (
    ACCEPTED,
    GOOD,
    JOB,
    POOL,
    REFUSED_JOBS,
    REFUSED_POOLS,
    REFUSED_SERVICES,
    SERVICE,
    changed,
)
from tests.recorded import run, told

ROOT = Path(__file__).parents[3]


def said(body: dict[str, Any]) -> str:
    found = structural.faults(body["kind"], body)
    return "; ".join(f"{structural.dotted(one.path)}: {one.message}" for one in found)


@pytest.mark.parametrize(
    ("body", "path", "value", "part"),
    [
        *((JOB, *row) for row in REFUSED_JOBS),
        *((SERVICE, *row) for row in REFUSED_SERVICES),
        *((POOL, *row) for row in REFUSED_POOLS),
        (changed(POOL, "mode", "Buy"), "nodePoolRef", None, "one of them or set `mode: Advise`"),
        (changed(POOL, "mode", "BuyAndConsolidate"), "nodePoolRef", None, "set `mode: Advise`"),
        (changed(JOB, "onLost", "Fail"), "interruptible", True, "remove one of them"),
        (
            changed(JOB, "placement", {"disruption": "Protect"}),
            "interruptible",
            True,
            "nobody may end a run",
        ),
    ],
)
def test_refuses_what_the_api_server_refuses(
    body: dict[str, Any], path: str, value: object, part: str
) -> None:
    """In the server's own words: the table is the one that is tried on a real server."""
    assert part in said(changed(body, path, value))


@pytest.mark.parametrize(("kind", "path", "value"), ACCEPTED)
def test_accepts_what_the_api_server_accepts(kind: str, path: str, value: object) -> None:
    """Unusual and right, by the same table."""
    assert "" == said(changed(GOOD[kind], path, value))


def test_every_rule_of_the_definitions_is_tried() -> None:
    """Each CEL rule that asks about one object can be read and answered offline."""
    rules: list[str] = []

    def walk(schema: Any) -> None:
        rules.extend(one["rule"] for one in schema.get("x-kubernetes-validations", ()))
        for inner in schema.get("properties", {}).values():
            walk(inner)
        for key in ("items", "additionalProperties"):
            if isinstance(schema.get(key), dict):
                walk(schema[key])

    for kind in GOOD:
        walk(structural.schema_of(kind))
    for rule in rules:
        cel_rules.compiled(rule)

    assert 30 < len(rules)


MANIFEST = """\
apiVersion: bayplan.dev/v1alpha1
kind: BatchJob
metadata:
  name: report
spec:
  schedule: "61 * * * *"
  template:
    spec:
      containers:
        - name: main
          image: x
"""


def test_the_line_is_that_of_the_field(tmp_path: Path) -> None:
    """As compilers say it; the operator's own problems too; exit code 1."""
    file = tmp_path / "a.yaml"
    file.write_text(f"---\n# first\n---\n{MANIFEST}")
    result = run(None, "lint", str(file), code=1)

    assert result.stdout.startswith(
        f"{file}:9: error: BatchJob report: spec.schedule: the minute field '61' must hold"
    )


@pytest.mark.parametrize(
    ("field", "words"),
    [
        ('schedule: "0 22-5 * * *"', "the hour field '22-5' must hold"),
        ("schedule: 0 0 31 2 *", "is never due"),
        ("schedule: R//PT9S", "the period 'PT9S' must last 10 seconds"),
        ("schedules: [0 6 * * *, 0 99 * * *]", "the hour field '99' must hold"),
        ("timeZone: Europe/Berlinn", "did you mean Europe/Berlin?"),
    ],
)
def test_what_is_wrong_with_a_time_is_said_in_the_parser_s_words(field: str, words: str) -> None:
    """The API server's rule names only the field; the parser names the part of it."""
    text = MANIFEST.replace('schedule: "61 * * * *"', field)
    [one] = told(None, "lint", "-", text=text, code=1)["findings"]

    assert words in one["message"]
    assert one["field"].startswith(f"spec.{field.partition(':')[0]}")


@pytest.mark.parametrize(
    ("before", "after", "line", "words"),
    [
        ("  schedule:", "  scedule:", 6, "is 'schedule' meant?"),
        ("name: report", "name: Report", 4, "lower-case"),
        ("v1alpha1", "v1", 1, "write bayplan.dev/v1alpha1"),
        ("BatchJob", "Batchjob", 2, "is not one of BatchJob, LongService, Pool"),
        ("image: x", "image: x\n          resources: {requests: {cpu: 1.5}}", 12, "integer,string"),
        ("image: x", "image: x\n          name: b", 12, "is there twice"),
        ("image: x", "image: [x", 12, "expected ',' or ']'"),
        ("image: x", "image: !!python/object:os.system x", 11, "constructor for the tag"),
        ("61 * *", "0 6 *", 0, ""),
    ],
)
def test_what_can_be_wrong_with_one(before: str, after: str, line: int, words: str) -> None:
    """Each mistake once, at its line; a good one says nothing."""
    text = MANIFEST.replace("61 * *", "0 6 *" if before != "61 * *" else before)
    body = told(None, "lint", "-", text=text.replace(before, after), code=1 if words else 0)

    assert [line] * bool(words) == [one["line"] for one in body["findings"]]
    assert all(words in one["message"] for one in body["findings"])


def job(name: str, *parents: str, **about: str) -> dict[str, Any]:
    spec: dict[str, Any] = {"template": JOB["spec"]["template"]}
    if parents:
        spec["parents"] = [{"name": one} for one in parents]
    return {
        "apiVersion": "bayplan.dev/v1alpha1",
        "kind": "BatchJob",
        "metadata": {"name": name, **about},
        "spec": spec,
    }


def service(name: str, **spec: Any) -> dict[str, Any]:
    return {
        "apiVersion": "bayplan.dev/v1alpha1",
        "kind": "LongService",
        "metadata": {"name": name},
        "spec": {"template": JOB["spec"]["template"], **spec},
    }


SCALER = {
    "apiVersion": "autoscaling/v2",
    "kind": "HorizontalPodAutoscaler",
    "metadata": {"name": "h"},
    "spec": {
        "scaleTargetRef": {
            "apiVersion": "bayplan.dev/v1alpha1",
            "kind": "LongService",
            "name": "web",
        }
    },
}
PORTS = {"ports": [{"name": "http", "port": 80}]}


def pool(name: str, node_pool: str = "np", **spec: Any) -> dict[str, Any]:
    return {
        "apiVersion": "bayplan.dev/v1alpha1",
        "kind": "Pool",
        "metadata": {"name": name},
        "spec": {"nodePoolRef": {"name": node_pool}, **spec},
    }


def node_pool(name: str = "np", of: str = "a", **disruption: Any) -> dict[str, Any]:
    """A NodePool that leaves its nodes to the Pool `of`, changed as said."""
    quiet = {"consolidateAfter": "Never", "budgets": [{"nodes": "0"}], **disruption}
    taint = {"key": "bayplan.dev/pool", "value": of, "effect": "NoSchedule"}
    template = {"metadata": {"labels": {"bayplan.dev/pool": of}}, "spec": {"taints": [taint]}}
    return {
        "apiVersion": "karpenter.sh/v1",
        "kind": "NodePool",
        "metadata": {"name": name},
        "spec": {"disruption": quiet, "template": template},
    }


def moving(**consolidation: Any) -> dict[str, Any]:
    return pool("a", mode="BuyAndConsolidate", consolidation=consolidation)


def window(schedule: str, seconds: int, time_zone: str = "UTC") -> dict[str, Any]:
    return {"schedule": schedule, "durationSeconds": seconds, "timeZone": time_zone}


@pytest.mark.parametrize(
    "bodies",
    [
        [pool("a", mode="Buy"), node_pool()],
        [pool("a", mode="Buy", limits={"nodes": 1, "cpu": "1m", "dollarsPerHour": "0.01"})],
        [pool("a", default=True), pool("b", "nq"), node_pool(), node_pool("nq", "b")],
        [pool("a"), job("j"), service("s", placement={"pool": "a"})],
        [moving(), node_pool()],
        [moving(horizonSeconds=7200, minimumStaySeconds=7200, maximumDraining="1%")],
        [moving(windows=[window("0 22 * * MON-FRI", 8 * 3600), window("@daily", 86_399)])],
        [service("s", placement={"pool": "a"})],
        [node_pool(consolidateAfter="0s")],
    ],
)
def test_pools_that_are_good(bodies: list[dict[str, Any]]) -> None:
    """A NodePool that is quiet, and names that may be elsewhere."""
    assert [] == told(None, "lint", "-", text=yaml.safe_dump_all(bodies))["findings"]


@pytest.mark.parametrize(
    ("bodies", "severity", "field", "words"),
    [
        ([pool("a", default=True), pool("b", default=True)], "error", "spec.default",
         "Pool a is the default already; remove one of the two"),
        *(
            ([pool("a", limits={limit: none})], "warning", f"spec.limits.{limit}",
             "is 0, so that no node is ever bought; raise it, remove it or use mode Advise")
            for limit, none in (
                ("nodes", 0), ("cpu", "0"), ("memory", "0Gi"), ("dollarsPerHour", "0.00")
            )
        ),
        ([pool("a", limits={"memory": "1500m"})], "error", "spec.limits.memory", "part of a byte"),
        ([pool("a", mode="Buy"), node_pool(consolidateAfter="1m")], "error",
         "spec.nodePoolRef.name", "Set it to Never"),
        ([pool("a"), node_pool(consolidateAfter="1m")], "warning", "spec.nodePoolRef.name",
         "Set it to Never"),
        ([pool("a", mode="Buy"), node_pool(budgets=[{"nodes": "10%"}])], "error",
         "spec.nodePoolRef.name", "spec.disruption.budgets"),
        ([pool("a", mode="Buy"), node_pool(of="b")], "error", "spec.nodePoolRef.name",
         "names the Pool b in the label"),
        ([pool("a", "other"), node_pool()], "warning", "spec.nodePoolRef.name",
         "no NodePool 'other' among these manifests"),
        ([pool("a"), service("s", placement={"pool": "b"})],
         "warning", "spec.placement.pool", "no Pool 'b' among these manifests"),
        *(
            ([moving(**stated)], "warning", f"spec.consolidation.{path}", words)
            for stated, path, words in (
                ({"maximumDraining": 0}, "maximumDraining", "no pod is moved; raise it"),
                ({"maximumDraining": "0%"}, "maximumDraining", "no pod is moved; raise it"),
                ({"maximumMovesPerHour": 0}, "maximumMovesPerHour", "no pod is moved; raise it"),
                ({"moveMicrodollars": 0}, "moveMicrodollars", "for the least saving"),
                ({"minimumStaySeconds": 3601}, "minimumStaySeconds", "exceeds horizonSeconds"),
                ({"windows": [window("@hourly", 3600)]}, "windows[0].durationSeconds",
                 "the window is always open"),
                ({"windows": [window("0 0,12 * * *", 50_000)]}, "windows[0].durationSeconds",
                 "the window is always open"),
            )
        ),
        *(
            ([moving(windows=[window("@daily", 60), wrong])], "error",
             f"spec.consolidation.windows[1].{path}", words)
            for wrong, path, words in (
                (window("0 0 31 2 *", 60), "schedule", "never due"),
                (window("0 0 * * *", 60, "Europe/Berln"), "timeZone", "Europe/Berlin"),
            )
        ),
        *(
            ([pool("a", mode=mode, consolidation={"horizonSeconds": 600})], "warning",
             "spec.consolidation", f"is not used with mode {mode}; set `mode: BuyAndConsolidate`")
            for mode in ("Advise", "Buy")
        ),
        ([pool("a", mode="BuyAndConsolidate"), node_pool(consolidateAfter="1m")], "error",
         "spec.nodePoolRef.name", "Set it to Never"),
        ([service("s", placement={"pool": "a"}, template={"spec": {
            **JOB["spec"]["template"]["spec"], "nodeSelector": {"bayplan.dev/pool": "b"}}})],
         "error", "spec.placement.pool", "no node is in two Pools; remove one of them"),
    ],
)  # fmt: skip
def test_what_can_be_wrong_with_pools(
    bodies: list[dict[str, Any]], severity: str, field: str, words: str
) -> None:
    """One finding at its field, with the remedy."""
    text = yaml.safe_dump_all(bodies)
    [one] = told(None, "lint", "-", text=text, code=int(severity == "error"))["findings"]

    assert (severity, field) == (one["severity"], one["field"])
    assert words in one["message"]


NLB = "service.beta.kubernetes.io/aws-load-balancer-"


def balanced(
    attributes: str = "", pod: dict[str, Any] | None = None, **more: Any
) -> dict[str, Any]:
    """A service whose instances are AWS targets by their addresses."""
    annotations = {f"{NLB}nlb-target-type": "ip"}
    if attributes:
        annotations[f"{NLB}target-group-attributes"] = attributes
    template = {"spec": {"containers": [{"name": "main", "image": "x"}], **(pod or {})}}
    spec = {"type": "LoadBalancer", **PORTS, "annotations": annotations, **more}
    return service("web", service=spec, template=template)


SHORT = "deregistration_delay.timeout_seconds=30"
HOOKED = {"name": "main", "image": "x", "lifecycle": {"preStop": {"sleep": {"seconds": 10}}}}


@pytest.mark.parametrize(
    ("body", "field", "words"),
    [
        (balanced(drainSeconds=20), "spec.service.drainSeconds", "write at least 315"),
        (balanced(SHORT, drainSeconds=29), "spec.service.drainSeconds", "write at least 45"),
        (
            balanced(SHORT, {"terminationGracePeriodSeconds": 45}),
            "spec.template.spec.terminationGracePeriodSeconds",
            "serves on for 45 s while its target is deregistered; remove it, write at least 75",
        ),
        (
            balanced(SHORT, {"containers": [HOOKED]}),
            "spec.template.spec.containers[0].lifecycle.preStop.sleep.seconds",
            "remove the hook or write at least 45",
        ),
        (
            balanced("deregistration_delay.timeout_seconds=5m"),
            f"spec.service.annotations.{NLB}target-group-attributes",
            "'5m'; write whole seconds from 0 to 3600",
        ),
    ],
)
def test_instances_that_stop_before_they_are_deregistered(
    body: dict[str, Any], field: str, words: str
) -> None:
    """One warning at the field that is too short, with the number that is enough."""
    [one] = told(None, "lint", "-", text=yaml.safe_dump(body))["findings"]

    assert ("warning", field) == (one["severity"], one["field"])
    assert words in one["message"]


@pytest.mark.parametrize(
    "body",
    [
        balanced(),
        balanced(SHORT, {"terminationGracePeriodSeconds": 46}),
        balanced(SHORT, drainSeconds=30),
        balanced("", {"terminationGracePeriodSeconds": 20}, annotations={}),
    ],
)
def test_instances_that_serve_long_enough(body: dict[str, Any]) -> None:
    """Also where no target is deregistered, since nodes are the targets."""
    assert [] == told(None, "lint", "-", text=yaml.safe_dump(body))["findings"]


@pytest.mark.parametrize(
    ("bodies", "severity", "words"),
    [
        ([job("a", "b")], "warning", "no BatchJob 'b' among these manifests"),
        ([job("a", "b"), job("b", namespace="x")], "warning", "no BatchJob 'b'"),
        ([job("a"), job("a")], "error", "already"),
        ([service("w", dependsOn=[{"name": "d"}])], "warning", "no LongService 'd'"),
        ([SCALER], "warning", "no LongService 'web'"),
        ([SCALER, service("web", replicas=2)], "warning", "remove it"),
        ([SCALER, service("web", mode="PerNode")], "warning", "nothing to scale"),
        (
            [service("web", service=PORTS), {"kind": "Service", "metadata": {"name": "web"}}],
            "error",
            "rename one",
        ),
    ],
)
def test_what_manifests_say_of_one_another(
    bodies: list[dict[str, Any]], severity: str, words: str
) -> None:
    """What may be elsewhere is a warning, which ends with 0 unless --strict."""
    text = yaml.safe_dump_all(bodies)
    [one] = told(None, "lint", "-", text=text, code=int(severity == "error"))["findings"]

    assert severity == one["severity"]
    assert words in one["message"]
    run(None, "lint", "--strict", "-", text=text, code=1)


def test_circles_are_found_at_each_that_is_in_one() -> None:
    """The way round is told; who only waits for the circle is not in it."""
    bodies = [job("a", "b"), job("b", "c"), job("c", "a"), job("d", "a")]
    body = told(None, "lint", "-", text=yaml.safe_dump_all(bodies), code=1)

    assert [
        ("BatchJob a", "a → b → c → a"),
        ("BatchJob b", "b → c → a → b"),
        ("BatchJob c", "c → a → b → c"),
    ] == [(one["resource"], one["message"].partition(" is")[0]) for one in body["findings"]]


def test_a_list_as_kubectl_prints_it() -> None:
    """Items are looked at one by one, JSON too, with their lines."""
    listed = {"apiVersion": "v1", "kind": "List", "items": [job("a"), job("B")]}
    body = told(None, "lint", "-", text=json.dumps(listed, indent=1), code=1)

    assert [("BatchJob B", "metadata.name")] == [
        (one["resource"], one["field"]) for one in body["findings"]
    ]
    assert 20 < body["findings"][0]["line"]


def test_other_files_are_not_read(tmp_path: Path) -> None:
    """A template of a chart is no YAML, and none of our business while it does not name us."""
    (tmp_path / "deployment.yaml").write_text("a: {{ .Values.x }}\n")
    (tmp_path / "notes.txt").write_text("bayplan.dev: [")
    (tmp_path / "job.yaml").write_text(yaml.safe_dump(job("a")))
    body = told(None, "lint", str(tmp_path))

    assert (1, 1, []) == (body["resources"], body["files"], body["findings"])


@pytest.mark.parametrize(
    "text",
    [
        "bayplan.dev: &a [1]\nb: " + "[" * 200,
        "a: &a [x, x, x, x, x, x, x, x, x, x]\n" + "".join(
            f"{name}: &{name} [{', '.join(['*' + before] * 10)}]\n"
            for before, name in zip("abcdefgh", "bcdefghi", strict=True)
        ) + "# bayplan.dev",
        "bayplan.dev: \x00",
        "? [a]\n: bayplan.dev",
        "bayplan.dev: !!binary x\n",
    ],
)  # fmt: skip
def test_hostile_files(text: str) -> None:
    """One finding, no traceback, and it ends."""
    assert 1 == len(told(None, "lint", "-", text=text, code=1)["findings"])


def test_a_path_that_is_not_there() -> None:
    """A wrong call, not a finding: exit code 2."""
    run(None, "lint", "/nowhere/at/all.yaml", code=2)
    run(None, "lint", code=2)


def test_the_examples_are_good() -> None:
    """Not even a warning on any manifest of the repository."""
    body = told(None, "lint", "--strict", str(ROOT / "examples"))

    assert 40 < body["resources"]


def test_the_hook_of_pre_commit_is_a_command() -> None:
    """What pre-commit would start is there, and is silent on good files."""
    [hook] = yaml.safe_load((ROOT / ".pre-commit-hooks.yaml").read_text())
    program, *words = hook["entry"].split()
    result = run(None, *words, str(ROOT / "examples"))

    assert "bayplan" == program
    assert "" == result.output


@pytest.mark.parametrize(
    "spec",
    [{"limits": {"cpu": []}}, {"limits": []}, {"nodePoolRef": "np"}, {"nodePoolRef": {"name": 1}}],
)
def test_pools_of_any_shape(spec: dict[str, Any]) -> None:
    """The schema says what is wrong; nothing falls over it."""
    body = pool("a") | {"spec": spec}
    found = told(None, "lint", "-", text=yaml.safe_dump_all([body, node_pool()]), code=1)

    assert all("must be of type" in one["message"] for one in found["findings"])
