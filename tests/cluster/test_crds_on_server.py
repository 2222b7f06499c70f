"""What the API server itself says to good and bad resources: schema, CEL, subresources, kubectl.

All by server-side dry run, except where the law is about what was stored.
"""

import copy
import json
from collections.abc import Iterator
from typing import Any
from urllib.parse import quote

import pytest
import yaml

from localcluster.processes import wait_until
from tests.cluster.kube import RefusedError
from tests.cluster.manifests import make_job, make_service
from tests.cluster.under_test import GROUP, ROOT, Site
from tools.demo.site import is_established

pytestmark = pytest.mark.cluster

DEFINITIONS = "/apis/apiextensions.k8s.io/v1/customresourcedefinitions"
STRICT = "dryRun=All&fieldValidation=Strict"
PLURALS = {"BatchJob": "batchjobs", "LongService": "longservices", "Pool": "pools"}
POD = "template.spec"
MAIN = "template.spec.containers.0"


def changed(body: dict[str, Any], path: str, value: object) -> dict[str, Any]:
    """The manifest with one field of its spec set; None removes it."""
    body = copy.deepcopy(body)
    *above, last = path.split(".")
    inner: Any = body["spec"]
    for name in above:
        inner = inner[int(name)] if isinstance(inner, list) else inner.setdefault(name, {})
    if isinstance(inner, list):
        inner[int(last)] = value
    elif value is None:
        inner.pop(last, None)
    else:
        inner[last] = value
    return body


def named(path: str) -> str:
    """The field as the API server names it: `spec.template.spec.containers[0].name`."""
    return "spec" + "".join(f"[{one}]" if one.isdigit() else f".{one}" for one in path.split("."))


def create(site: Site, body: dict[str, Any], query: str = STRICT) -> Any:
    plural = PLURALS[body["kind"]]
    where = "" if body["kind"] == "Pool" else "namespaces/default/"
    return site.kube.create(f"{GROUP}/{where}{plural}?{query}", body)


def refusal(site: Site, body: dict[str, Any]) -> str:
    """The API server's own words."""
    with pytest.raises(RefusedError) as refused:
        create(site, body)
    assert refused.value.status in {400, 422}, refused.value
    message: str = json.loads(str(refused.value).partition(": ")[2])["message"]
    return message


JOB = make_job("good", "default", schedule="0 6 * * *")
SERVICE = make_service(
    "good", "default", service={"ports": [{"name": "http", "port": 80, "targetPort": 8080}]}
)
POOL = {
    "apiVersion": "bayplan.dev/v1alpha1",
    "kind": "Pool",
    "metadata": {"name": "good"},
    "spec": {"nodePoolRef": {"name": "good"}},
}
GOOD = {"BatchJob": JOB, "LongService": SERVICE, "Pool": POOL}
PORT = {"name": "http", "port": 80}
CLAIM = {
    "metadata": {"name": "data"},
    "spec": {
        "accessModes": ["ReadWriteOnce"],
        "resources": {"requests": {"storage": "1Gi"}},
    },
}

REFUSED_JOBS = [
    ("schedule", "", "at least 1 chars"),
    ("schedule", "x" * 257, "may not be more than 256"),
    ("schedule", "* * * *", "must be five cron fields"),
    ("schedule", "* * * * * *", "must be five cron fields"),
    ("schedule", "@every 5m", "must be five cron fields"),
    ("schedule", "TZ=UTC * * * * *", "must be five cron fields"),
    ("schedule", "R/P1D", "write `0 6 * * MON-FRI`, `R//PT15M`"),
    ("schedule", "0 6 * * *\n", "must be five cron fields"),
    *(("schedule", text, "must be five cron fields") for text in (
        "60 * * * *", "* 24 * * *", "* * 0 * *", "* * 32 * *", "* * * 13 *", "* * * * 8",
        "*/0 * * * *", "*/61 * * * *", "* */25 * * *", "1,,2 * * * *", "1- * * * *", "a * * * *",
        "* * * JANUARY *", "* * * * MONDAY", "* * * * FRI-MON", "* * * DEC-JAN *", "? * * * *",
        "* * 15W * *", "* * * * MON#6", "* * * * 9L", "* * L-3 * *", "H(0-60) * * * *",
        "R/2026-13-01/P1D", "R/2026-01-01T25:00/P1D", "R/2026-01-01T6:00/P1D",
        "R/2026-01-01T06:00CET/P1D", "R//P1H", "R//PT1D", "R//P1D1Y", "R//P1.5D",
        "R//-P1D", "R-1//P1D", "R/1969-01-01/P1D", "R/P1D/P1D", "@reboot", "@Daily",
    )),
    ("schedule", "5-1 * * * *", "must have the smaller number first in each range"),
    ("schedule", "0 22-05 * * *", "write `1-5`, or `22-23,0-5` for a night"),
    ("schedule", "0 H(7-3) * * *", "must have the smaller number first in each range"),
    *(("schedule", text, "must name a day that a month has") for text in (
        "0 0 31 2 *", "0 0 30 FEB *", "0 0 30,31 02 *", "0 0 31 4 *", "0 0 31 apr,JUN,9,11 */2",
    )),
    *(("schedule", text, "must have a period of 10 seconds to 100 years") for text in (
        "R//P", "R//PT", "R//P1DT", "R//PT0S", "R//PT9S", "R//P0D", "R//P0DT0H0M09S", "R//P101Y",
        "R/2026-01-01/P1000Y",
    )),
    ("schedule", 5, "must be of type string"),
    ("schedules", ["@hourly"], "write all of them into `schedules`"),
    ("schedules", ["* * *"], "must be five cron fields"),
    ("schedules", ["0 6 * * *", "0 0 31 2 *"], "must name a day that a month has"),
    ("schedules", ["0 6 * * *", "5-1 * * * *"], "must have the smaller number first"),
    ("schedules", ["R//PT1S"], "must have a period of 10 seconds to 100 years"),
    ("schedules", ["@daily", "@daily"], "Duplicate value"),
    ("schedules", [f"{n} * * * *" for n in range(11)], "must have at most 10 items"),
    ("timeZone", "../../etc/passwd", "write `UTC`, `Europe/Berlin`"),
    ("timeZone", "/UTC", "write `UTC`, `Europe/Berlin`"),
    *(("timeZone", name, "write `UTC`, `Europe/Berlin`") for name in (
        "Europe/Berlinn", "Mars/Phobos", "europe/berlin", "CEST", "Local", "GMT+2", "Europe",
    )),
    ("timeZone", "", "at least 1 chars"),
    ("timeZone", "x" * 65, "may not be more than 64"),
    ("suspend", "yes", "must be of type boolean"),
    ("interruptible", "yes", "must be of type boolean"),
    ("concurrencyPolicy", "forbid", 'supported values: "Forbid", "Allow", "Replace"'),
    ("missedRunPolicy", "RunOnce", 'supported values: "RunLatest", "RunAll", "Skip"'),
    ("startingDeadlineSeconds", 9, "greater than or equal to 10"),
    ("retryPolicy", {"limit": -1}, "greater than or equal to 0"),
    ("retryPolicy", {"limit": 101}, "less than or equal to 100"),
    ("retryPolicy", {"limit": "2"}, "must be of type integer"),
    ("retryPolicy", {"limit": 1.5}, "must be of type integer"),
    ("retryPolicy", {"delaySeconds": 7200}, "raise `maxDelaySeconds`"),
    ("retryPolicy", {"limits": 2}, 'unknown field "spec.retryPolicy.limits"'),
    ("unreachable", {"retryAfterSeconds": 604_801}, "less than or equal to 604800"),
    ("startWindowSeconds", 86_401, "less than or equal to 86400"),
    ("successExitCodes", [256], "less than or equal to 255"),
    ("successExitCodes", [0, 0], "Duplicate value"),
    ("noRetryExitCodes", [-1], "greater than or equal to 0"),
    ("onLost", "Ignore", 'supported values: "Retry", "Fail"'),
    ("suspendAfterFailures", 1001, "less than or equal to 1000"),
    ("ttlSecondsAfterFinished", -1, "greater than or equal to 0"),
    ("activeDeadlineSeconds", 0, "greater than or equal to 1"),
    ("history", {"failed": 101}, "less than or equal to 100"),
    ("notifications", [{"when": [], "receiver": "a"}], "should have at least 1 items"),
    ("notifications", [{"when": ["Started"], "receiver": "a"}], '"Failed", "Cancelled", "Missed"'),
    ("notifications", [{"when": ["Late"], "receiver": "http://x"}], "write `team-a`"),
    ("notifications", [{"when": ["Late"], "receiver": "a"}] * 2, "Duplicate value"),
    ("placement", {"isolation": "strict"}, 'supported values: "Shared", "Strict"'),
    ("placement", {"disruption": "Never"}, '"Auto", "Protect", "Allow"'),
    ("placement", {"strategy": "Pack"}, '"BinPack", "Spread", "Exclusive"'),
    ("placement", {"pool": "Batch"}, "write `web-1`"),
    ("placement", {"pool": ""}, "at least 1 chars"),
    ("placement", {"pool": "x" * 64}, "may not be more than 63"),
    ("placement", {"constraints": [{"key": "zone"}]}, "operator: Required value"),
    ("placement", {"constraints": [{"key": "zone", "operator": "UNIQUE"}]}, '"Unique", "MaxPer"'),
    ("placement", {"constraints": [{"key": "a b", "operator": "Unique"}]},
     "write `topology.kubernetes.io/zone`, `zone`"),
    ("placement", {"constraints": [{"key": "zone", "operator": "Unique", "value": "a"}]},
     "remove `value`"),
    ("placement", {"constraints": [{"key": "zone", "operator": "Like"}]}, "regular expression"),
    ("placement", {"constraints": [{"key": "zone", "operator": "MaxPer", "value": "0"}]},
     'write `value: "2"`'),
    ("placement", {"constraints": [{"key": "zone", "operator": "GroupBy", "value": "two"}]},
     'write `value: "3"`'),
    ("placement", {"constraints": [{"key": "zone", "operator": "Is"}]}, "a label value"),
    ("placement", {"constraints": [{"key": "zone", "operator": "Unique"}] * 17},
     "must have at most 16 items"),
    ("parents", [{"name": "a"}], "a job runs by time or on its parents; remove one of them"),
    ("parents", [{"name": ""}], "at least 1 chars"),
    ("parents", [{"name": "a"}, {"name": "a"}], "Duplicate value"),
    ("parents", [{"name": "a", "match": "Any"}], 'supported values: "AnyNewer", "SameSlot"'),
    ("parents", [{"name": f"p{number}"} for number in range(51)], "must have at most 50 items"),
    ("template", None, "spec.template: Required value"),
    (POD, None, "spec.template.spec: Required value"),
    (f"{POD}.containers", None, "containers: Required value"),
    (f"{POD}.containers", [], "should have at least 1 items"),
    (f"{POD}.containers", [{"name": "a"}, {"name": "a"}], "Duplicate value"),
    (f"{MAIN}.name", None, "name: Required value"),
    (f"{MAIN}.name", "Main", "write `web-1`"),
    (f"{MAIN}.image", "x" * 1025, "may not be more than 1024"),
    (f"{MAIN}.resources.requests.cpu", "1mi", "should match"),
    (f"{MAIN}.resources.requests.cpu", "-1", "should match"),
    (f"{MAIN}.resources.requests.cpu", -1, "greater than or equal to 0"),
    (f"{MAIN}.resources.requests.cpu", 0.5, "must be of type integer,string"),
    (f"{MAIN}.resources.limits.memory", "1 Gi", "should match"),
    (f"{MAIN}.ports", [{"containerPort": 0}], "greater than or equal to 1"),
    (f"{MAIN}.ports", [{"containerPort": 1, "protocol": "tcp"}], '"TCP", "UDP", "SCTP"'),
    (f"{POD}.nodeName", "a", "say which nodes will do with `nodeSelector`"),
    (f"{POD}.schedulerName", "default-scheduler", "remove `schedulerName`"),
    (f"{POD}.priority", 7, "name a PriorityClass in `priorityClassName`"),
    (f"{POD}.restartPolicy", "OnFailure", "tried again by `retryPolicy`; remove it"),
    ("gang", True, "set `tasks` to 2 or more"),
    (f"{POD}.restartPolicy", "Sometimes", 'supported values: "Always", "Never", "OnFailure"'),
    (f"{POD}.tolerations", [{"effect": "NoRun"}], '"NoSchedule", "PreferNoSchedule"'),
    (f"{POD}.topologySpreadConstraints", [{"maxSkew": 1}], "topologyKey: Required value"),
    (f"{POD}.affinity", {"nodeAffinty": {}}, "unknown field"),
    (f"{POD}.affinity", {"podAffinity": {"requiredDuringSchedulingIgnoredDuringExecution": [{}]}},
     "topologyKey: Required value"),
]  # fmt: skip

REFUSED_SERVICES = [
    ("replicas", -1, "greater than or equal to 0"),
    ("replicas", 10_001, "less than or equal to 10000"),
    ("replicas", "3", "must be of type integer"),
    ("updateStrategy", {"minimumHealthyPercent": 101}, "less than or equal to 100"),
    ("updateStrategy", {"maximumSurgePercent": "25%"}, "must be of type integer"),
    ("updateStrategy", {"minReadySeconds": -1}, "greater than or equal to 0"),
    ("restartBackoff", {"factorPercent": 99}, "greater than or equal to 100"),
    ("restartBackoff", {"initialSeconds": 600}, "raise `maxSeconds`"),
    ("unreachable", {"replaceAfterSeconds": -1}, "greater than or equal to 0"),
    ("scaleDown", {"order": "Random"}, '"YoungestFirst", "OldestFirst"'),
    ("disruptionBudget", "Always", '"Auto", "Strict", "None"'),
    ("revisionHistoryLimit", 101, "less than or equal to 100"),
    ("service", {"ports": []}, "should have at least 1 items"),
    ("service", {"type": "ExternalName", "ports": [PORT]}, '"ClusterIP", "NodePort"'),
    ("service", {"ports": [{"port": 80}]}, "name: Required value"),
    ("service", {"ports": [{"name": "http", "port": 0}]}, "greater than or equal to 1"),
    ("service", {"ports": [{**PORT, "targetPort": 65_536}]}, "less than or equal to 65535"),
    ("service", {"ports": [{**PORT, "targetPort": 1.5}]}, "must be of type integer,string"),
    ("service", {"ports": [{**PORT, "name": "Http"}]}, "write `web-1`"),
    ("service", {"ports": [PORT, PORT]}, "Duplicate value"),
    ("service", {"ports": [PORT, {**PORT, "name": "b"}]}, "once for each protocol"),
    ("service", {"ports": [{**PORT, "nodePort": 30_080}]}, "set `type` to NodePort"),
    ("service", {"ports": [PORT], "annotations": {"a": 1}}, "must be of type string"),
    ("service", {"ports": [PORT], "loadBalancerClass": "service.k8s.aws/nlb"},
     "set `type` or remove it"),
    ("service", {"ports": [PORT], "drainSeconds": 3601}, "less than or equal to 3600"),
    ("rebalance", {"maxMovesPerHour": 0}, "greater than or equal to 1"),
    ("dependsOn", [{"timeoutSeconds": 5}], "name: Required value"),
    ("dependsOn", [{"name": "db"}, {"name": "db"}], "Duplicate value"),
    ("unhealthy", {"maxConcurrent": 0}, "greater than or equal to 1"),
    ("updateStrategy", {"steps": [{"percent": 0}]}, "greater than or equal to 1"),
    ("updateStrategy", {"steps": [{"percent": 5}]}, "pauseSeconds or `manual: true`; set one"),
    ("updateStrategy", {"steps": [{"percent": 50, "manual": True}, {"percent": 5, "manual": True}]},
     "must rise; sort them"),
    ("updateStrategy", {"minReadySeconds": 900}, "raise `progressDeadlineSeconds`"),
    ("volumeClaimTemplates", [CLAIM, CLAIM], "must differ; rename one of them"),
    ("volumeClaimTemplates", [{**CLAIM, "metadata": {"name": "Data"}}], "write `web-1`"),
    ("placement", {"constraints": [{"key": "zone", "operator": "UNIQUE"}]}, '"Unique", "MaxPer"'),
    ("placement", {"strategy": "Pack"}, '"BinPack", "Spread", "Exclusive"'),
    ("placement", {"pool": "Batch"}, "write `web-1`"),
    ("placement", {"pool": ""}, "at least 1 chars"),
    ("placement", {"pool": "x" * 64}, "may not be more than 63"),
    ("placement", {"isolation": "Hard"}, '"Shared", "Strict"'),
    (f"{POD}.restartPolicy", "Never", "is a BatchJob; remove it"),
    ("service", {"ports": [PORT], "headless": True, "type": "NodePort"}, "or `headless`"),
    (f"{POD}.nodeName", "a", "`nodeSelector`"),
    (f"{POD}.schedulerName", "default-scheduler", "remove `schedulerName`"),
    (f"{POD}.priority", 7, "name a PriorityClass in `priorityClassName`"),
]  # fmt: skip

NIGHT = {"schedule": "0 22 * * *", "durationSeconds": 28_800, "timeZone": "Europe/Berlin"}
REFUSED_POOLS = [
    ("nodePoolRef", {}, "name: Required value"),
    ("nodePoolRef", {"name": ""}, "at least 1 chars"),
    ("nodePoolRef", {"name": "Batch"}, "write `batch` or the like"),
    ("nodePoolRef", {"name": "x" * 64}, "may not be more than 63"),
    ("nodePoolRef", {"name": "a", "kind": "NodePool"}, 'unknown field "spec.nodePoolRef.kind"'),
    ("autoScalingGroups", {"tag": "a"}, "must be absent beside nodePoolRef"),
    ("autoScalingGroups", {"tag": ""}, "at least 1 chars"),
    ("autoScalingGroups", {"tag": "x" * 129}, "may not be more than 128"),
    ("mode", "buy", 'supported values: "Advise", "Buy", "BuyAndConsolidate"'),
    ("mode", "Consolidate", 'supported values: "Advise", "Buy", "BuyAndConsolidate"'),
    ("default", "true", "must be of type boolean"),
    ("weight", 0, "greater than or equal to 1"),
    ("weight", 101, "less than or equal to 100"),
    ("limits", {"nodes": -1}, "greater than or equal to 0"),
    ("limits", {"nodes": 100_001}, "less than or equal to 100000"),
    ("limits", {"nodes": "5"}, "must be of type integer"),
    ("limits", {"cpu": "-1"}, "should match"),
    ("limits", {"cpu": 0.5}, "must be of type integer,string"),
    ("limits", {"memory": "8 Ti"}, "should match"),
    ("limits", {"dollarsPerHour": "$300"}, "should match"),
    ("limits", {"dollarsPerHour": "1e3"}, "should match"),
    ("limits", {"dollarsPerHour": "0.1234567"}, "should match"),
    ("limits", {"dollarsPerHour": 2.5}, "must be of type integer,string"),
    ("limits", {"dollarsPerHour": -1}, "greater than or equal to 0"),
    ("buying", {"alternatives": 0}, "greater than or equal to 1"),
    ("buying", {"alternatives": 21}, "less than or equal to 20"),
    ("buying", {"maximumPremiumPercent": 101}, "less than or equal to 100"),
    ("buying", {"launchSeconds": 9}, "greater than or equal to 10"),
    ("buying", {"launchSeconds": 301}, "less than or equal to 300"),
    ("buying", {"headroom": {"cpu": "-1"}}, "should match"),
    ("buying", {"headroom": {"pods": 3}}, 'unknown field "spec.buying.headroom.pods"'),
    ("buying", {"fallback": {"to": "ClusterAutoscaler"}}, 'supported values: "Karpenter", "None"'),
    ("buying", {"fallback": {"afterSeconds": 9}}, "greater than or equal to 10"),
    ("buying", {"fallback": {"afterSeconds": 3601}}, "less than or equal to 3600"),
    ("retirement", {"emptySeconds": -1}, "greater than or equal to 0"),
    ("retirement", {"emptySeconds": 86_401}, "less than or equal to 86400"),
    ("consolidation", {"after": "5m"}, 'unknown field "spec.consolidation.after"'),
    ("consolidation", {"horizonSeconds": 59}, "greater than or equal to 60"),
    ("consolidation", {"horizonSeconds": 86_401}, "less than or equal to 86400"),
    ("consolidation", {"moveMicrodollars": -1}, "greater than or equal to 0"),
    ("consolidation", {"moveMicrodollars": 1_000_000_001}, "less than or equal to 1000000000"),
    ("consolidation", {"minimumNodeAgeSeconds": -1}, "greater than or equal to 0"),
    ("consolidation", {"minimumNodeAgeSeconds": 86_401}, "less than or equal to 86400"),
    ("consolidation", {"minimumStaySeconds": "30m"}, "must be of type integer"),
    ("consolidation", {"minimumStaySeconds": 86_401}, "less than or equal to 86400"),
    ("consolidation", {"maximumDraining": -1}, "greater than or equal to 0"),
    ("consolidation", {"maximumDraining": 100_001}, "less than or equal to 100000"),
    ("consolidation", {"maximumDraining": "101%"}, "should match"),
    ("consolidation", {"maximumDraining": "10"}, "should match"),
    ("consolidation", {"maximumDraining": "-1%"}, "should match"),
    ("consolidation", {"maximumDraining": 0.1}, "must be of type integer,string"),
    ("consolidation", {"maximumMovesPerHour": -1}, "greater than or equal to 0"),
    ("consolidation", {"maximumMovesPerHour": 100_001}, "less than or equal to 100000"),
    ("consolidation", {"batchWaitSeconds": 86_401}, "less than or equal to 86400"),
    ("consolidation", {"deletionCost": "yes"}, "must be of type boolean"),
    ("consolidation", {"windows": [NIGHT] * 17}, "must have at most 16 items"),
    ("consolidation", {"windows": [{"schedule": "@daily"}]}, "durationSeconds: Required value"),
    ("consolidation", {"windows": [{"durationSeconds": 60}]}, "schedule: Required value"),
    ("consolidation", {"windows": [{**NIGHT, "durationSeconds": 59}]}, "equal to 60"),
    ("consolidation", {"windows": [{**NIGHT, "durationSeconds": 604_801}]}, "equal to 604800"),
    ("consolidation", {"windows": [{**NIGHT, "schedule": "22:00"}]}, "write `0 22 * * MON-FRI`"),
    ("consolidation", {"windows": [{**NIGHT, "schedule": "R//PT1H"}]}, "write `0 22 * * MON-FRI`"),
    ("consolidation", {"windows": [{**NIGHT, "timeZone": "+02:00"}]}, "write `UTC`"),
    ("consolidation", {"windows": [{**NIGHT, "schedule": "0 24 * * *"}]}, "write `0 22 * * MON"),
    ("consolidation", {"windows": [{**NIGHT, "schedule": "0 22-5 * * *"}]}, "smaller number first"),
    ("consolidation", {"windows": [{**NIGHT, "schedule": "0 0 30 2 *"}]}, "a day that a month has"),
    ("consolidation", {"windows": [{**NIGHT, "duration": "8h"}]}, "unknown field"),
]  # fmt: skip


def test_there_are_many_of_each_kind() -> None:
    """Wrong values that a person would write, thirty of each kind at least."""
    assert min(len(REFUSED_JOBS), len(REFUSED_SERVICES), len(REFUSED_POOLS)) >= 30


@pytest.mark.parametrize(("path", "value", "part"), REFUSED_JOBS)
def test_refuses_a_batchjob(site: Site, path: str, value: object, part: str) -> None:
    """One wrong field is refused; the message names the field and says what must be."""
    said = refusal(site, changed(JOB, path, value))

    assert part in said
    assert named(path) in said


@pytest.mark.parametrize(("path", "value", "part"), REFUSED_SERVICES)
def test_refuses_a_longservice(site: Site, path: str, value: object, part: str) -> None:
    """One wrong field is refused; the message names the field and says what must be."""
    said = refusal(site, changed(SERVICE, path, value))

    assert part in said
    assert named(path) in said


@pytest.mark.parametrize(("path", "value", "part"), REFUSED_POOLS)
def test_refuses_a_pool(site: Site, path: str, value: object, part: str) -> None:
    """One wrong field is refused; the message names the field and says what must be."""
    said = refusal(site, changed(POOL, path, value))

    assert part in said
    assert named(path) in said


WITHOUT = changed(JOB, "schedule", None)
SEVERAL = changed(WITHOUT, "schedules", ["@hourly", "@daily"])
AGENT = changed(changed(SERVICE, "replicas", None), "mode", "PerNode")
STATEFUL = changed(SERVICE, "volumeClaimTemplates", [CLAIM])
REFUSED_TOGETHER = [
    (WITHOUT, "startingDeadlineSeconds", 60, "remove it or add `schedule`"),
    (WITHOUT, "startWindowSeconds", 9, "must be 0 or absent without `schedule`; remove it"),
    (SEVERAL, "parents", [{"name": "a"}], "a job runs by time or on its parents"),
    (changed(JOB, "successExitCodes", [0, 3]), "noRetryExitCodes", [3], "from one of them"),
    (changed(JOB, "activeDeadlineSeconds", 60), "expectedDurationSeconds", 61,
     "raise `activeDeadlineSeconds`"),
    (AGENT, "replicas", 3, "must be absent, or 0 to suspend, with mode PerNode"),
    (AGENT, "rebalance", {"maxMovesPerHour": 4}, "rebalance must be absent with mode PerNode"),
    (AGENT, "volumeClaimTemplates", [CLAIM], "must be absent with mode PerNode, since a volume"),
    (AGENT, "placement", {"constraints": [{"key": "zone", "operator": "Unique"}]},
     "they say which nodes; remove the others"),
    (STATEFUL, "rebalance", {"maxMovesPerHour": 1}, "whose instances have no replacement first"),
    (changed(POOL, "mode", "Buy"), "nodePoolRef", None, "one of them or set `mode: Advise`"),
    (changed(POOL, "mode", "BuyAndConsolidate"), "nodePoolRef", None, "set `mode: Advise`"),
    (changed(JOB, "onLost", "Fail"), "interruptible", True, "could not begin again; remove one"),
    (changed(JOB, "placement", {"disruption": "Protect"}), "interruptible", True,
     "nobody may end a run; remove one of them"),
    (STATEFUL, "scaleDown", {"order": "EmptiestFirst"}, "highest ordinals go first; remove it"),
]  # fmt: skip
REFUSED_NAMES = [
    (JOB, "x" * 64, "no longer than 63 characters"),
    (SERVICE, "x" * 64, "no longer than 63 characters"),
    (SERVICE, "1st", "begin with a letter and have no dots"),
    (SERVICE, "a.b", "begin with a letter and have no dots"),
    (POOL, "x" * 64, "at most 63 lower-case letters, digits and dashes"),
    (POOL, "a.b", "at most 63 lower-case letters, digits and dashes"),
    (changed(STATEFUL, "service", None), "a.b", "must have no dots when `spec.volumeClaim"),
]
BALANCED = {"type": "LoadBalancer", "ports": [PORT]}
BY_NLB = {**BALANCED, "loadBalancerClass": "service.k8s.aws/nlb"}
REFUSED_EDITS = [
    (changed(SERVICE, "service", BALANCED), "service", BY_NLB, "another controller would not"),
    (
        changed(SERVICE, "service", BY_NLB),
        "service",
        {"loadBalancerClass": None},
        "another controller would not",
    ),
    (SERVICE, "service", {"ports": [PORT], "headless": True}, "remove `service`, apply, and add"),
    (STATEFUL, "volumeClaimTemplates", [], "must stay as they are"),
    (SERVICE, "volumeClaimTemplates", [CLAIM], "must stay as they are"),
]


@pytest.mark.parametrize(("body", "path", "value", "part"), REFUSED_TOGETHER)
def test_refuses_what_two_fields_say_together(
    site: Site, body: dict[str, Any], path: str, value: object, part: str
) -> None:
    """Each of the two is right by itself; the message is about the one to change."""
    create(site, body)
    said = refusal(site, changed(body, path, value))

    assert part in said
    assert named(path) in said


@pytest.mark.parametrize(("body", "name", "part"), REFUSED_NAMES)
def test_refuses_names(site: Site, body: dict[str, Any], name: str, part: str) -> None:
    """A name becomes a label of pods, the name of a Service, a host name."""
    assert part in refusal(site, {**body, "metadata": {**body["metadata"], "name": name}})


@pytest.mark.parametrize(("body", "path", "value", "part"), REFUSED_EDITS)
def test_refuses_edits(
    site: Site, body: dict[str, Any], path: str, value: object, part: str
) -> None:
    """What could be created so, and cannot become so."""
    namespace = site.namespace()
    stored = f"{GROUP}/namespaces/{namespace}/{PLURALS[body['kind']]}"
    kept = {**body, "metadata": {"name": "kept", "namespace": namespace}}
    site.kube.create(stored, changed(kept, "replicas", 0))
    with pytest.raises(RefusedError, match="Invalid value") as refused:
        site.kube.patch(f"{stored}/kept?dryRun=All", {"spec": {path: value}})
    site.kube.delete(f"{stored}/kept")

    assert part in str(refused.value)
    assert named(path) in str(refused.value)


def rules(schema: Any) -> Iterator[str]:
    """What each rule of a definition says, wherever it stands."""
    if isinstance(schema, dict):
        for one in schema.get("x-kubernetes-validations", ()):
            yield one["message"]
    for inner in schema.values() if isinstance(schema, dict) else schema:
        if isinstance(inner, dict | list):
            yield from rules(inner)


@pytest.mark.parametrize("plural", PLURALS.values())
def test_each_rule_has_been_heard(plural: str) -> None:
    """No rule of the definitions is without a row above that the server refuses by it."""
    definition = yaml.safe_load((ROOT / f"crds/{plural}.bayplan.dev.yaml").read_text())
    tables = (
        REFUSED_JOBS,
        REFUSED_SERVICES,
        REFUSED_POOLS,
        REFUSED_TOGETHER,
        REFUSED_NAMES,
        REFUSED_EDITS,
    )
    rows = {str(row[-1]) for table in tables for row in table} | {"must not go back"}
    said = set(rules(definition))

    assert len(said) > (2 if plural == "pools" else 20)
    assert [] == [one for one in said if not any(part in one for part in rows)]


ACCEPTED = [
    ("BatchJob", "schedule", None),
    *(("BatchJob", "schedule", text) for text in ("@daily", "H H(0-5) * * MON-FRI", "0 0 L * *")),
    *(("BatchJob", "schedule", text) for text in ("  0\t6 * * *", "0,30 */2 1-7/2 JAN,jul MON#2")),
    *(("BatchJob", "schedule", text) for text in ("R//PT15M", "R5/2015-01-01T00:00:00.000Z/P1D")),
    ("BatchJob", "schedule", "R/2026-01-31T06:00+05:30/P1Y2M3W4DT5H6M7S"),
    *(
        ("BatchJob", "schedule", text)
        for text in (
            "H(10-20)/5,59 h 1-31/31 jan-Dec 5L,sun-SAT/7",
            "007 */24 LW,L/2 2,FEB 7",
            "0 0 31 2 MON",
            "0 0 31 2-3 *",
            "0 0 29 2 *",
            "0 0 30 4 *",
            "0 0 30,L 2 *",
            "5/15 * * * *",
            "R0//PT10S",
            "R/2028-02-29T23:59:59,000-0330/P100Y",
            "R1/1971-01-01/P0YT0H10S",
        )
    ),
    *(("BatchJob", "timeZone", name) for name in ("Europe/Berlin", "Etc/GMT+5", "EST5EDT")),
    *(("BatchJob", "timeZone", name) for name in ("Europe/Kyiv", "GB", "Etc/UTC", "UCT")),
    ("BatchJob", "timeZone", "America/Argentina/Buenos_Aires"),
    ("BatchJob", "retryPolicy", {"limit": 0, "delaySeconds": 0, "maxDelaySeconds": 0}),
    ("BatchJob", "history", {"successful": 0, "failed": 0}),
    ("BatchJob", "interruptible", True),
    ("BatchJob", f"{MAIN}.resources", {"requests": {"cpu": 2, "memory": "1e9", "a.b/c": "1"}}),
    ("BatchJob", f"{MAIN}.resources", {"limits": {"cpu": ".5", "memory": "+1.5Gi"}}),
    ("BatchJob", f"{POD}.restartPolicy", "Never"),
    ("BatchJob", f"{POD}.tolerations", [{"operator": "Exists"}]),
    ("BatchJob", f"{POD}.tomorrow", {"field": [1, {"deep": True}]}),
    ("BatchJob", f"{MAIN}.tomorrow", {"field": 1.5}),
    ("LongService", "replicas", 0),
    ("LongService", "replicas", 10_000),
    ("LongService", "service", None),
    ("LongService", "service", {"type": "NodePort", "ports": [{**PORT, "nodePort": 30_080}]}),
    ("LongService", "service", {"ports": [PORT, {"name": "u", "port": 80, "protocol": "UDP"}]}),
    ("LongService", "service", {"ports": [{**PORT, "targetPort": "web"}]}),
    ("LongService", "updateStrategy", {"minimumHealthyPercent": 0, "maximumSurgePercent": 0}),
    ("LongService", f"{POD}.restartPolicy", "Always"),
    ("BatchJob", "placement", {"pool": "x" * 63}),
    ("LongService", "placement", {"pool": "0-a"}),
    ("Pool", "nodePoolRef", None),
    ("Pool", "nodePoolRef", {"name": "team-a.batch"}),
    ("Pool", "mode", "Buy"),
    ("Pool", "mode", "BuyAndConsolidate"),
    ("Pool", "consolidation", {}),
    ("Pool", "consolidation", {"horizonSeconds": 60, "moveMicrodollars": 0}),
    ("Pool", "consolidation", {"minimumNodeAgeSeconds": 0, "minimumStaySeconds": 86_400}),
    ("Pool", "consolidation", {"maximumDraining": 0, "maximumMovesPerHour": 0}),
    ("Pool", "consolidation", {"maximumDraining": "100%", "batchWaitSeconds": 0}),
    ("Pool", "consolidation", {"windows": [], "deletionCost": True}),
    ("Pool", "consolidation", {"windows": [NIGHT, {"schedule": "@daily", "durationSeconds": 60}]}),
    ("Pool", "default", True),
    ("Pool", "weight", 100),
    ("Pool", "limits", {"nodes": 0, "cpu": 0, "memory": "0", "dollarsPerHour": 0}),
    ("Pool", "limits", {"nodes": 100_000, "cpu": ".5", "memory": "8Ti", "dollarsPerHour": "2.50"}),
    ("Pool", "limits", {"cpu": 2000, "dollarsPerHour": "999999999.999999"}),
    ("Pool", "buying", {"alternatives": 20, "maximumPremiumPercent": 0, "launchSeconds": 300}),
    ("Pool", "buying", {"headroom": {"cpu": "2", "memory": 1073741824}}),
    ("Pool", "buying", {"fallback": {"to": "None", "afterSeconds": 3600}}),
    ("Pool", "retirement", {"emptySeconds": 0}),
    ("LongService", f"{POD}.initContainers", [{"name": "proxy", "restartPolicy": "Always"}]),
]


@pytest.mark.parametrize(("kind", "path", "value"), ACCEPTED)
def test_accepts(site: Site, kind: str, path: str, value: object) -> None:
    """Unusual and right: stored as written, unknown fields of pods included."""
    body = changed(GOOD[kind], path, value)
    stored = create(site, body)

    assert contains(stored["spec"], body["spec"])


def contains(whole: Any, part: Any) -> bool:
    """Whether the stored value is the written one, apart from defaults of ours."""
    if isinstance(part, dict):
        return isinstance(whole, dict) and all(
            key in whole and contains(whole[key], value) for key, value in part.items()
        )
    if isinstance(part, list):
        return len(whole) == len(part) and all(map(contains, whole, part))
    return bool(whole == part)


def test_defaults_are_filled_in_but_none_in_the_template(site: Site) -> None:
    """What `kubectl get -o yaml` shows of a short manifest; the template stays as written."""
    body = make_job("short", "default", history={})
    spec = create(site, body)["spec"]

    assert body["spec"]["template"] == spec.pop("template")
    assert {
        "concurrencyPolicy": "Forbid",
        "history": {"failed": 3, "successful": 3},
        "missedRunPolicy": "RunLatest",
        "gang": False,
        "interruptible": False,
        "onLost": "Retry",
        "startTimeoutSeconds": 600,
        "startWindowSeconds": 0,
        "suspend": False,
        "suspendAfterFailures": 0,
        "tasks": 1,
        "treatFailureAsSuccess": False,
        "timeZone": "UTC",
    } == spec


def test_defaults_of_a_pool(site: Site) -> None:
    """What a Pool that says nothing gets: it advises, and nothing else."""
    stored = create(site, {**POOL, "spec": {}})

    assert {"mode": "Advise", "default": False, "weight": 10} == stored["spec"]


def test_what_older_definitions_took_stays_and_can_be_edited(site: Site) -> None:
    """A stored schedule that the rules refuse now: its status, labels and other fields go on."""
    served = yaml.safe_load((ROOT / "crds/batchjobs.bayplan.dev.yaml").read_text())["spec"]
    spec = served["versions"][0]["schema"]["openAPIV3Schema"]["properties"]["spec"]["properties"]
    known = {name: spec[name] for name in ("schedule", "schedules", "timeZone", "suspend")}
    bare = without_rules(known)
    path = "/apis/olds.bayplan.test/v1/namespaces/default/olds"
    old = {"schedule": "61 * * * *", "timeZone": "Mars/Phobos", "schedules": ["5-1 * * * *"]}
    site.kube.apply(_old(bare))
    site.kube.until(DEFINITIONS, lambda found: is_established(found.get("olds.olds.bayplan.test")))
    about = {"apiVersion": "olds.bayplan.test/v1", "kind": "Old", "metadata": {"name": "a"}}
    taken = {**about, "spec": old}
    wait_until(lambda: "" == _said(site, path, taken), "it is served", within_seconds=60)
    site.kube.create(path, taken)
    site.kube.apply(_old(known))
    wait_until(
        lambda: "cron fields" in _said(site, path, taken), "the rules hold", within_seconds=60
    )
    patched = site.kube.patch(f"{path}/a", {"metadata": {"labels": {"a": "b"}}})
    paused = site.kube.patch(f"{path}/a", {"spec": {"suspend": True}})
    told = site.kube.patch(f"{path}/a/status", {"status": {"running": 1}})
    with pytest.raises(RefusedError, match="five cron fields"):
        site.kube.patch(f"{path}/a", {"spec": {"schedule": "62 * * * *"}})
    site.kube.delete(f"{DEFINITIONS}/olds.olds.bayplan.test")

    assert {"a": "b"} == patched["metadata"]["labels"]
    assert {**old, "suspend": True} == {key: paused["spec"][key] for key in (*old, "suspend")}
    assert 1 == told["status"]["running"]


def without_rules(schema: Any) -> Any:
    if isinstance(schema, list):
        return [without_rules(one) for one in schema]
    if not isinstance(schema, dict):
        return schema
    return {
        key: without_rules(one) for key, one in schema.items() if not key.endswith("validations")
    }


def _old(fields: dict[str, Any]) -> dict[str, Any]:
    """A definition with such fields of a spec, and a status."""
    running = {"type": "object", "properties": {"running": {"type": "integer"}}}
    spec = {"type": "object", "properties": fields}
    schema = {"type": "object", "properties": {"spec": spec, "status": running}}
    version = {"name": "v1", "served": True, "storage": True, "subresources": {"status": {}},
               "schema": {"openAPIV3Schema": schema}}  # fmt: skip
    return {
        "apiVersion": "apiextensions.k8s.io/v1",
        "kind": "CustomResourceDefinition",
        "metadata": {"name": "olds.olds.bayplan.test"},
        "spec": {
            "group": "olds.bayplan.test",
            "scope": "Namespaced",
            "names": {"plural": "olds", "singular": "old", "kind": "Old"},
            "versions": [version],
        },
    }


def _said(site: Site, path: str, body: dict[str, Any]) -> str:
    """The refusal of such a new object; empty if there is none."""
    try:
        site.kube.create(f"{path}?dryRun=All", {**body, "metadata": {"generateName": "b-"}})
    except RefusedError as refused:
        return str(refused)
    return ""


@pytest.fixture
def stored(site: Site) -> Iterator[str]:
    """The path of a stored, suspended job that has handled a slot; no operator is needed."""
    namespace = site.namespace()
    jobs = f"{GROUP}/namespaces/{namespace}/batchjobs"
    site.kube.create(jobs, make_job("kept", namespace, schedule="@yearly", suspend=True))
    path = f"{jobs}/kept"
    site.kube.patch(f"{path}/status", {"status": {"lastSlotTime": "2026-06-01T00:00:00Z"}})
    yield path
    site.kube.delete(path)


@pytest.mark.parametrize(
    "patch",
    [
        {"status": {"lastSlotTime": "2026-05-31T23:59:59Z"}},
        {"status": {"lastSlotTime": None}},
        {"status": None},
    ],
)
def test_the_last_slot_never_goes_back(site: Site, stored: str, patch: dict[str, Any]) -> None:
    """A former leader that was paused cannot turn the clock back, nor forget it."""
    with pytest.raises(RefusedError, match="must not go back"):
        site.kube.patch(f"{stored}/status?dryRun=All", patch)


def test_the_last_slot_may_stay_or_go_on(site: Site, stored: str) -> None:
    """The same time and a later one are taken; an edit of the spec does not touch it."""
    for slot in ("2026-06-01T00:00:00Z", "2026-06-01T00:00:01Z"):
        patched = site.kube.patch(f"{stored}/status", {"status": {"lastSlotTime": slot}})

        assert slot == patched["status"]["lastSlotTime"]

    edited = site.kube.patch(stored, {"spec": {"schedule": "@monthly"}, "status": None})

    assert "2026-06-01T00:00:01Z" == edited["status"]["lastSlotTime"]


def test_a_status_is_only_written_through_its_subresource(site: Site) -> None:
    """What a manifest says of its status is not stored."""
    body = {**JOB, "status": {"running": 7}}

    assert "status" not in create(site, body)


def test_scale(site: Site) -> None:
    """`kubectl scale` and autoscalers see wanted and existing instances and their selector."""
    namespace = site.namespace()
    services = f"{GROUP}/namespaces/{namespace}/longservices"
    site.kube.create(services, make_service("web", namespace, replicas=0))
    site.kube.kubectl("scale", "lsvc/web", "-n", namespace, "--replicas=0")
    status = {"replicas": 0, "selector": "bayplan.dev/service=web"}
    site.kube.patch(f"{services}/web/status", {"status": status})
    scale = site.kube.get(f"{services}/web/scale")
    site.kube.delete(f"{services}/web")

    assert 0 == scale["spec"].get("replicas", 0)
    assert "bayplan.dev/service=web" == scale["status"]["selector"]


def test_kubectl_applies_explains_and_lists(site: Site) -> None:
    """Client-side apply twice, explain of a deep field, short names, category and columns."""
    applied = site.kube.kubectl("apply", "-f", str(ROOT / "crds")).stdout
    told = explained(site, "batchjob.spec.retryPolicy.backoffPercent")
    listed = site.kube.kubectl("api-resources", "--categories=bayplan", "-o", "wide").stdout
    table = site.kube.kubectl("get", "bj,lsvc,bpool", "-A").stderr

    assert 3 == applied.count("unchanged")
    assert "100 doubles it" in " ".join(told.split())
    assert {"bj", "lsvc", "bpool"} <= set(listed.split())
    assert "" == table or "No resources found" in table


def explained(site: Site, *words: str) -> str:
    """What `kubectl explain` says; the server publishes schemas a moment after it takes them."""
    said = ""

    def told() -> bool:
        nonlocal said
        done = site.kube.kubectl("explain", *words, check=False)
        said = done.stdout
        return done.returncode == 0

    wait_until(told, f"kubectl explain {' '.join(words)}", within_seconds=60)
    return said


def fields(schema: dict[str, Any], path: str) -> Iterator[tuple[str, dict[str, Any]]]:
    """Every field of a schema by its path as `kubectl explain` takes it, lists entered."""
    schema = schema.get("items", schema)
    inner = schema.get("properties") or {}
    for name, one in inner.items():
        yield f"{path}.{name}", one
        yield from fields(one, f"{path}.{name}")


def outline(told: str) -> set[str]:
    """Paths of the fields that `kubectl explain --recursive` prints, by their indent."""
    found, above = set(), list[tuple[int, str]]()
    for line in told.partition("FIELDS:")[2].splitlines():
        if "\t<" not in line:
            continue  # an enumeration's values, or nothing
        name, indent = line.split("\t")[0].strip(), len(line) - len(line.lstrip())
        above = [one for one in above if one[0] < indent]
        above.append((indent, name))
        found.add(".".join(one for _, one in above))
    return found


@pytest.mark.parametrize("kind", PLURALS)
def test_kubectl_explains_every_field(site: Site, kind: str) -> None:
    """Each field of spec and status is listed by kubectl, and described by what is served."""
    listed = outline(explained(site, kind.lower(), "--recursive"))
    served = site.kube.get("/openapi/v3/apis/bayplan.dev/v1alpha1")["components"]["schemas"]
    [schema] = [one for name, one in served.items() if name.endswith(f".{kind}")]
    known = {
        path.removeprefix("."): one
        for part in ("spec", "status")
        for path, one in (
            (part, schema["properties"][part]),
            *fields(schema["properties"][part], part),
        )
    }

    assert len(known) > (40 if kind == "Pool" else 60)
    assert [] == sorted(known.keys() - listed)
    assert [] == sorted(path for path, one in known.items() if not one.get("description"))
    told_twice = "spec.mode" if kind == "Pool" else "spec.placement.constraints.operator"
    for path in (max(known, key=lambda one: one.count(".")), told_twice):
        words = " ".join(known[path]["description"].split())
        told = explained(site, f"{kind.lower()}.{path}")

        assert words in " ".join(told.split())


def test_definitions_have_no_warnings(site: Site) -> None:
    """Established, and structural in the API server's own judgement."""
    for plural in PLURALS.values():
        path = f"/apis/apiextensions.k8s.io/v1/customresourcedefinitions/{plural}.bayplan.dev"
        found = {
            one["type"]: one["status"] for one in site.kube.get(quote(path))["status"]["conditions"]
        }

        assert "True" == found["Established"]
        assert "NonStructuralSchema" not in found
