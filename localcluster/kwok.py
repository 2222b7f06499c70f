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

What is NOT played: admission by the kubelet (OutOfcpu …), probes, images, volumes, logs, exec.
"""

import json
import textwrap
from collections.abc import Mapping
from typing import Any

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
_DELAY = _LIFE + '([next.at - now * 1000, 0] | max | floor | tostring) + "ms"'

_NOW = '{{ $now := Now }}{{ $id := printf "kwok://%d/%s" (now).UnixMilli .metadata.uid }}'
_MICRO_NOW = '(now).UTC.Format "2006-01-02T15:04:05.000000Z07:00"'  # six digits, always
_ROOT = "{{ $root := . }}"
_CODE = (
    "{{ $notes := default dict .metadata.annotations }}"
    '{{ $code := atoi (default "0" (index $notes "sim.bayplan.dev/exit-code")) }}'
    '{{ $reason := "Completed" }}{{ if $code }}{{ $reason = "Error" }}{{ end }}'
)
_READY_AT_ONCE = (
    "{{ $notes := default dict .metadata.annotations }}"
    '{{ $ready := and (not (index $notes "sim.bayplan.dev/ready-delay"))'
    ' (ne (index $notes "sim.bayplan.dev/ready" | toString) "false") }}'
)
_WAS = "{{ $was := index $root.status.containerStatuses $i }}"
_STARTED = '{{ $started := dig "state" "running" "startedAt" $now $was }}'  # a crashed one: now
_RUNNING = "{running: {startedAt: {{ $now | Quote }}}}"
_ENDED = (
    "{terminated: {exitCode: %s, reason: %s, startedAt: {{ $started | Quote }},"
    " finishedAt: {{ $now | Quote }}, containerID: {{ $was.containerID | Quote }}}}"
)
_NETWORK = """
hostIP: {{ NodeIPWith .spec.nodeName | Quote }}
hostIPs: [{ip: {{ NodeIPWith .spec.nodeName | Quote }}}]
{{ if not .status.podIP }}
{{ $m := .metadata }}{{ $host := or .spec.hostNetwork false }}
{{ $ip := PodIPWith .spec.nodeName $host $m.uid $m.name $m.namespace }}
podIP: {{ $ip | Quote }}
podIPs: [{ip: {{ $ip | Quote }}}]
{{ end }}
"""
_INIT = """
{{ if .spec.initContainers }}
initContainerStatuses:
{{ range .spec.initContainers }}
- name: {{ .name | Quote }}
  image: {{ .image | Quote }}
  imageID: ""
  restartCount: 0
  ready: true
  {{ if eq (.restartPolicy | toString) "Always" }}
  started: true
  state: {running: {startedAt: {{ $now | Quote }}}}
  {{ else }}
  started: false
  state:
    terminated:
      exitCode: 0
      reason: Completed
      startedAt: {{ $now | Quote }}
      finishedAt: {{ $now | Quote }}
  {{ end }}
{{ end }}
{{ end }}
"""


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
    pull = _conditions("False", "ContainersNotReady") + _containers(
        "0", "false", "{waiting: {reason: ContainerCreating}}"
    )
    run = (
        _READY_AT_ONCE
        + _conditions('{{ $ready | ternary "True" "False" }}')
        + _containers("0", "{{ $ready }}", _RUNNING)
    )
    restarted = "{{ add (atoi (toString $was.restartCount)) 1 }}"
    restart = (
        _READY_AT_ONCE
        + _conditions('{{ $ready | ternary "True" "False" }}')
        + _containers(restarted, "{{ $ready }}", _RUNNING, "{{ $was.lastState | toRawJson }}")
    )
    ended = _ENDED % ("{{ $code }}", "{{ $reason }}")
    waiting = "{waiting: {reason: CrashLoopBackOff, message: back-off restarting failed container}}"
    crash = _conditions("False", "ContainersNotReady") + _containers(
        "{{ $was.restartCount }}", "false", waiting, ended
    )
    finish = _over(
        "{{ if $code }}Failed{{ else }}Succeeded{{ end }}",
        ended,
        "{{ if $code }}PodFailed{{ else }}PodCompleted{{ end }}",
    )
    deadline = _over("Failed", _ENDED % (137, "Error"), "PodFailed") + (
        "\nreason: DeadlineExceeded"
        "\nmessage: Pod was active on the node longer than the specified deadline"
    )
    stop = (
        "{{ if and .metadata.finalizers"
        ' (ne .status.phase "Succeeded") (ne .status.phase "Failed") }}'
        + _over("Failed", _ENDED % (143, "Error"), "PodFailed")
        + "{{ else }}{}{{ end }}"  # nobody would read it: one write less
    )
    start = "phase: Running\nstartTime: {{ default $now .status.startTime | Quote }}\n"
    return [
        _node_stage(),
        _lease_stage(heartbeat_seconds),
        _pod_stage("pull", pull + "startTime: {{ $now | Quote }}\n" + _NETWORK),
        _pod_stage("run", run + start + _NETWORK + _INIT),
        _pod_stage("ready", _readiness("True")),
        _pod_stage("unready", _readiness("False", "ContainersNotReady")),
        _pod_stage("crash", _CODE + crash),
        _pod_stage("restart", restart),
        _pod_stage("finish", _CODE + finish),
        _pod_stage("deadline", deadline),
        _pod_stage("stop", stop, delete=True),
    ]


def _node_stage() -> dict[str, Any]:
    """A new node, or one that has its heartbeat again, becomes Ready."""
    status = """
{{ $now := Now }}
phase: Running
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
    key = '.status.conditions[] | select(.type == "Ready") | .status'
    match = [{"key": key, "operator": "NotIn", "values": ["True"]}]
    return _stage("node-ready", "Node", match, [_patch(status)], None)


def _lease_stage(heartbeat_seconds: int) -> dict[str, Any]:
    """Each renewal is an update, which brings the next one about."""
    match = [{"key": f'.metadata.labels["{LABEL}"]', "operator": "In", "values": [PLAYED]}]
    renewed = '.spec.renewTime | sub("[.][0-9]+"; "") | fromdateiso8601'
    delay = f'([({renewed}) + {heartbeat_seconds} - now, 0] | max | tostring) + "s"'
    renewal = "{spec: {renewTime: {{ " + _MICRO_NOW + " | Quote }}}}"
    patch = {"type": "merge", "template": renewal}
    return _stage("lease-renewed", "Lease", match, [{"patch": patch}], delay)


def _pod_stage(step: str, status: str, *, delete: bool = False) -> dict[str, Any]:
    """The stage of one step of `_LIFE`; cheap questions first, as each is asked of each update."""
    match: list[dict[str, Any]] = [
        {"key": f'{_LIFE} next.step == "{step}"', "operator": "In", "values": ["true"]}
    ]
    phases = {"pull": "Pending", "run": "Pending"}
    if step != "stop":
        phase = phases.get(step, "Running")
        match.insert(0, {"key": ".status.phase", "operator": "In", "values": [phase]})
    deleting = {"key": ".metadata.deletionTimestamp"}
    match.insert(0, deleting | {"operator": "Exists" if delete else "DoesNotExist"})
    steps: list[dict[str, Any]] = [_patch(_NOW + _ROOT + "\n" + status)]
    if delete:
        steps.append({"delete": True})
    return _stage(f"pod-{step}", "Pod", match, steps, _DELAY)


def _stage(
    name: str,
    kind: str,
    match: list[dict[str, Any]],
    steps: list[dict[str, Any]],
    delay: str | None,
) -> dict[str, Any]:
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


def _over(phase: str, state: str, reason: str) -> str:
    """Every container has ended; what has ended before keeps its end."""
    kept = (
        "{{ if and $was.state (not $was.state.running) }}{{ $was.state | toRawJson }}"
        "{{ else }}" + state + "{{ end }}"
    )
    return (
        _conditions("False", reason)
        + _containers("{{ $was.restartCount }}", "false", kept, only_known=True)
        + f"phase: {phase}\n"
    )


def _readiness(ready: str, reason: str = "") -> str:
    """Only readiness changes; containers go on as they are."""
    kept = "{{ $was.state | toRawJson }}"
    last = "{{ default dict $was.lastState | toRawJson }}"
    container = _containers("{{ $was.restartCount }}", ready.lower(), kept, last, same_id=True)
    return _conditions(ready, reason) + container


def _conditions(ready: str, reason: str = "") -> str:
    """The kubelet's four conditions, and the scheduler's for pods that were born placed."""
    rows = [("PodScheduled", "True", ""), ("PodReadyToStartContainers", "True", "")]
    rows += [("Initialized", "True", "")]
    rows += [("ContainersReady", ready, reason), ("Ready", ready, reason)]
    lines = ["conditions:"]
    for kind, status, why in rows:
        # a condition that stays keeps its transition time
        lines.append(
            f"{{{{ $at := $now }}}}{{{{ range $root.status.conditions }}}}"
            f'{{{{ if and (eq .type "{kind}") (eq .status "{status}") }}}}'
            f"{{{{ $at = default $now .lastTransitionTime }}}}{{{{ end }}}}{{{{ end }}}}"
            if "{{" not in status
            else "{{ $at := $now }}"
        )
        why_text = f', reason: "{why}"' if why else ""
        lines.append(
            f'- {{type: {kind}, status: "{status}"{why_text},'
            " lastTransitionTime: {{ $at | Quote }}}"
        )
    return "\n".join(lines) + "\n"


def _containers(
    restarts: str,
    ready: str,
    state: str,
    last: str = "{}",
    *,
    same_id: bool = False,
    only_known: bool = False,
) -> str:
    """One status a container; `$was` is its status until now, empty before the first one.

    `only_known` leaves out containers that never had a status: a pod deleted before it started.
    """
    new_id = '{{ printf "%s/%s" $id $c.name | Quote }}'
    old_id = "{{ $was.containerID | Quote }}"
    condition = "{{ if .status.containerStatuses }}" if only_known else ""
    return f"""
{condition}
containerStatuses:
{{{{ range $i, $c := .spec.containers }}}}
{{{{ $was := dict "restartCount" 0 }}}}
{{{{ if $root.status.containerStatuses }}}}{_WAS.replace(":=", "=")}{{{{ end }}}}
{_STARTED}
- name: {{{{ $c.name | Quote }}}}
  image: {{{{ $c.image | Quote }}}}
  imageID: ""
  containerID: {old_id if same_id or only_known else new_id}
  restartCount: {restarts}
  ready: {ready}
  started: {"false" if only_known else "true"}
  state: {state}
  lastState: {last}
{{{{ end }}}}
{"{{ end }}" if only_known else ""}
"""
