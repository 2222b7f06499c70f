"""How kwok plays a kubelet: what follows what in the life of a fake node and of its pods.

Annotations of a pod say how its containers behave; durations are written as `7s`, `1h30m`, `250ms`:

    sim.bayplan.dev/start-latency   from seen on the node to running (image pull); else at once
    sim.bayplan.dev/ready-delay     from running to ready; else at once
    sim.bayplan.dev/ready           "false": the pod is not ready while the annotation says so
    sim.bayplan.dev/duration        from running to the containers' end; else until deleted
    sim.bayplan.dev/exit-code       of every container at that end; else 0
    sim.bayplan.dev/restart-delay   between an end and the restart in place; else 1s
    sim.bayplan.dev/termination     from the deletion to the end, at most the grace; else at once

A pod that must not restart ends Succeeded or Failed. One that may (Always, or OnFailure after a
failure) waits in CrashLoopBackOff and starts again. `activeDeadlineSeconds` is kept. A deleted pod
ends with exit code 143 and goes; one with finalizers gets that end written and stays until others
take the finalizers away.

Every time counts from a moment written in the pod, never from when kwok looked, so that an update
of the pod or a new kwok process in between changes nothing. Status has whole seconds only, hence
that moment is the container ID: `kwok://MILLISECONDS SINCE 1970/POD UID/CONTAINER`.

What is NOT played: admission by the kubelet (OutOfcpu …), probes, images, volumes, logs, exec; and
the second DELETE by which a kubelet ends a deletion that the server left half done, as it does when
the client of a DELETE is gone between the server's two writes: kwok's would name no uid.
"""

import json
import textwrap
from collections.abc import Mapping
from typing import Any

from localcluster import statuses

LABEL = "sim.bayplan.dev/kubelet"  # of a node; kwok plays those that say PLAYED
PLAYED, SILENT = "kwok", "silent"
_GROUPS = {"Lease": "coordination.k8s.io/v1"}
POD_NETWORK = "10.128.0.1/10"

# The life of a pod in jq: `next` is the step that comes next and when, in ms since 1970.
_LIFE = r"""
def note($key): (.metadata.annotations // {})["sim.bayplan.dev/" + $key];
def span($text): [$text | scan("([0-9]+(?:\\.[0-9]+)?)(ms|h|m|s)")
  | (.[0] | tonumber) * {h: 3600000, m: 60000, s: 1000, ms: 1}[.[1]]] | add // 0;
def lasts($key): span(note($key) // "");
def main: (.status.containerStatuses // [])[0] // {};
def since: main.containerID // "kwok://0" | ltrimstr("kwok://") | split("/")[0] | tonumber;
def is_ready: any(.status.conditions[]?; .type == "Ready" and .status == "True");
def is_over: .status.phase == "Succeeded" or .status.phase == "Failed";
def grace: (.metadata.deletionGracePeriodSeconds // 0) * 1000;
def may_restart: .spec.restartPolicy == "Always"
  or (.spec.restartPolicy == "OnFailure" and (note("exit-code") // "0") != "0");
def clock: fromdateiso8601 * 1000;
def next:
  if .metadata.deletionTimestamp then
    if grace == 0 and (is_over or .metadata.finalizers == null) then {step: "rest"}
    else {step: "stop",
      at: ((.metadata.deletionTimestamp | clock) - grace + ([lasts("termination"), grace] | min))}
    end
  elif is_over then {step: "rest"}
  elif .status.phase != "Running" then
    if note("start-latency") and main == {} then {step: "pull", at: 0}
    else {step: "run", at: (since + lasts("start-latency"))} end
  else [
    (if .spec.activeDeadlineSeconds then
      {step: "deadline",
        at: ((.status.startTime | clock) + (.spec.activeDeadlineSeconds + 1) * 1000)}
    else empty end),
    (if main.state.waiting then
      {step: "restart", at: (since + span(note("restart-delay") // "1s"))}
    else empty end),
    (if main.state.running and is_ready and note("ready") == "false" then
      {step: "unready", at: 0}
    else empty end),
    (if main.state.running and (is_ready | not) and note("ready") != "false" then
      {step: "ready", at: (since + lasts("ready-delay"))}
    else empty end),
    (if main.state.running and note("duration") then
      {step: (if may_restart then "crash" else "finish" end), at: (since + lasts("duration"))}
    else empty end)
  ] | min_by(.at) // {step: "rest"} end;
"""
_Question = tuple[str, str, list[str]]  # a jq expression, an operator, values
_DELETED = ".metadata.deletionTimestamp"
_READY = '.status.conditions[] | select(.type == "Ready") | .status'
_WAITING = ".status.containerStatuses[0].state.waiting"
_NOTES = '.metadata.annotations["sim.bayplan.dev/" + '
_DELAY = _LIFE + '([next.at - now * 1000, 0] | max | floor | tostring) + "ms"'

_MICRO_NOW = '(now).UTC.Format "2006-01-02T15:04:05.000000Z07:00"'  # six digits, always

_LATENCY = _NOTES + '"start-latency"]'

# step of `_LIFE` -> the status it brings and a cheap question that most pods answer with no: every
# stage is asked at every update of every pod, and `_LIFE` costs kwok a tenth of a millisecond
_STEPS: dict[str, tuple[str, _Question]] = {
    "pull": (statuses.PULLING, (_LATENCY, "Exists", [])),
    "run": (statuses.RUNNING, (_LATENCY, "Exists", [])),
    "ready": (statuses.READY, (_READY, "NotIn", ["True"])),
    "unready": (statuses.UNREADY, (_NOTES + '"ready"]', "In", ["false"])),
    "crash": (statuses.CRASHED, (_NOTES + '"duration"]', "Exists", [])),
    "restart": (statuses.RESTARTED, (_WAITING, "Exists", [])),
    "finish": (statuses.ENDED, (_NOTES + '"duration"]', "Exists", [])),
    "deadline": (statuses.OVERDUE, (".spec.activeDeadlineSeconds", "Exists", [])),
}


def configuration(*, heartbeat_seconds: int) -> str:
    """The text of kwok's configuration file: options and stages, one JSON document each.

    kwok's own lease keeper is off (`--node-lease-duration-seconds=0`): while its cache of leases
    is young it takes its nodes for another's and leaves pods unplayed for good. A stage renews the
    leases instead, which are made together with the nodes.
    """
    options = {
        "manageNodesWithLabelSelector": f"{LABEL}={PLAYED}",
        "podPlayStageParallelism": 16,
        "nodePlayStageParallelism": 8,
        "podsOnNodeSyncParallelism": 4,
        "enablePodsOnNodeSyncListPager": False,
        "enablePodsOnNodeSyncStreamWatch": False,
        "cidr": POD_NETWORK,
    }
    head = {
        "apiVersion": "config.kwok.x-k8s.io/v1alpha1",
        "kind": "KwokConfiguration",
        "options": options,
    }
    return "\n---\n".join(json.dumps(each, indent=1) for each in [head, *stages(heartbeat_seconds)])


def lease(node: Mapping[str, Any], at: str) -> dict[str, Any]:
    """The lease by which a fake node shows that it lives; it goes when the node goes.

    `node` is the Node's metadata, `at` now in RFC 3339 with microseconds.
    """
    name = node["name"]
    owner = {"apiVersion": "v1", "kind": "Node", "name": name, "uid": node["uid"]}
    return {
        "apiVersion": "coordination.k8s.io/v1",
        "kind": "Lease",
        "metadata": {"name": name, "labels": {LABEL: PLAYED}, "ownerReferences": [owner]},
        "spec": {"holderIdentity": name, "leaseDurationSeconds": 40, "renewTime": at},
    }


def stages(heartbeat_seconds: int) -> list[dict[str, Any]]:
    """Every stage; at most one matches an object at any time."""
    templates = statuses.templates()
    pods = []
    for step, (status, question) in _STEPS.items():
        phase = "Pending" if step in ("pull", "run") else "Running"
        questions = [question, (".status.phase", "In", [phase]), (_DELETED, "DoesNotExist", [])]
        pods.append(_pod_stage(step, questions, [_patch(templates[status])]))
    # What `_LIFE` says of a new pod without a latency, at a third of the cost.
    at_once: list[_Question] = [
        (".status.phase", "In", ["Pending"]),
        (_LATENCY, "DoesNotExist", []),
        (_DELETED, "DoesNotExist", []),
    ]
    running = [_patch(templates[statuses.RUNNING])]
    pods.append(_stage("pod-run-at-once", "Pod", at_once, running, None))
    finalizers = ".metadata.finalizers"
    stop: list[_Question] = [(_DELETED, "Exists", []), (finalizers, "Exists", [])]
    leave: list[_Question] = [(_DELETED, "Exists", []), (finalizers, "DoesNotExist", [])]
    delete = {"delete": True}
    pods += [
        _pod_stage("stop", stop, [_patch(templates[statuses.STOPPED]), delete]),
        _pod_stage("stop", leave, [delete], name="leave"),  # nobody would read its end
    ]
    return [_node_stage(), _lease_stage(heartbeat_seconds), *pods]


def _node_stage() -> dict[str, Any]:
    """A new node, or one that has its heartbeat again, becomes Ready.

    One that another program made may lack an address, without which no pod can report: it gets one
    of 10.64.0.0/10 by its uid.
    """
    status = """
{{ $now := Now }}
phase: Running
{{ if not .status.addresses }}
{{ $sum := adler32sum .metadata.uid | int64 }}
addresses:
- type: InternalIP
  address: 10.{{ add 64 (mod $sum 64) }}.{{ mod (div $sum 64) 256 }}.{{ mod (div $sum 16384) 256 }}
{{ end }}
conditions:
{{ range NodeConditions }}
- type: {{ .type | Quote }}
  status: {{ .status | Quote }}
  reason: {{ .reason | Quote }}
  message: {{ .message | Quote }}
  lastHeartbeatTime: {{ $now | Quote }}
  lastTransitionTime: {{ $now | Quote }}
{{ end }}
"""
    return _stage("node-ready", "Node", [(_READY, "NotIn", ["True"])], [_patch(status)], None)


def _lease_stage(heartbeat_seconds: int) -> dict[str, Any]:
    """Each renewal is an update, which brings the next one about."""
    questions = [(f'.metadata.labels["{LABEL}"]', "In", [PLAYED])]
    renewed = '.spec.renewTime | sub("[.][0-9]+"; "") | fromdateiso8601'
    delay = f'([({renewed}) + {heartbeat_seconds} - now, 0] | max | tostring) + "s"'
    renewal = "{spec: {renewTime: {{ " + _MICRO_NOW + " | Quote }}}}"
    patch = {"type": "merge", "template": renewal}
    return _stage("lease-renewed", "Lease", questions, [{"patch": patch}], delay)


def _pod_stage(
    step: str, questions: list[_Question], steps: list[dict[str, Any]], *, name: str | None = None
) -> dict[str, Any]:
    asked = [*questions, (f'{_LIFE} next.step == "{step}"', "In", ["true"])]
    return _stage(f"pod-{name or step}", "Pod", asked, steps, _DELAY)


def _stage(
    name: str,
    kind: str,
    questions: list[_Question],
    steps: list[dict[str, Any]],
    delay: str | None,
) -> dict[str, Any]:
    """`delay` is a jq expression; a stage without one comes at once."""
    match = [
        {"key": key, "operator": operator, "values": values} for key, operator, values in questions
    ]
    spec: dict[str, Any] = {
        "resourceRef": {"apiGroup": _GROUPS.get(kind, "v1"), "kind": kind},
        "selector": {"matchExpressions": match},
        "steps": steps,
    }
    if delay:
        spec["delay"] = {"durationMilliseconds": 0, "durationFrom": {"expressionFrom": delay}}
    return {
        "apiVersion": "kwok.x-k8s.io/v1alpha1",
        "kind": "Stage",
        "metadata": {"name": name},
        "spec": spec,
    }


def _patch(status: str) -> dict[str, Any]:
    """A patch of the status, refused if the object has changed meanwhile.

    The change is news, upon which kwok looks again; kwok may also play an old plan a second time.
    """
    same = "metadata: {resourceVersion: {{ .metadata.resourceVersion | Quote }}}"
    template = f"{same}\nstatus:\n{textwrap.indent(status, '  ')}"
    return {"patch": {"subresource": "status", "template": template}}
