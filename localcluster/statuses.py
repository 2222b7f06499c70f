"""The pod statuses that kwok writes, as Go templates; which one when is `kwok`'s part.

A template is rendered on the pod and merged into its status: conditions by their type, lists of
containers as a whole. What a template says must be what a kubelet would say, the four Ready-like
conditions included, as the operator decides by them.
"""

PULLING = "pulling"  # names of the statuses
RUNNING = "running"
READY = "ready"
UNREADY = "unready"
CRASHED = "crashed"
RESTARTED = "restarted"
ENDED = "ended"
OVERDUE = "overdue"
STOPPED = "stopped"

# What the other pieces count on. A container ID carries the moment; see `kwok`.
_HEAD = """\
{{ $now := Now }}{{ $root := . }}{{ $notes := default dict .metadata.annotations }}\
{{ $id := printf "kwok://%d/%s" (now).UnixMilli .metadata.uid }}"""
_CODE = """\
{{ $code := atoi (default "0" (index $notes "sim.bayplan.dev/exit-code")) }}\
{{ $reason := "Completed" }}{{ if $code }}{{ $reason = "Error" }}{{ end }}"""
_READY_AT_ONCE = """\
{{ $ready := and (not (index $notes "sim.bayplan.dev/ready-delay"))\
 (ne (index $notes "sim.bayplan.dev/ready" | toString) "false") }}"""

_RUNNING_STATE = "{running: {startedAt: {{ $now | Quote }}}}"
_ENDED_STATE = """\
{terminated: {exitCode: %s, reason: %s, finishedAt: {{ $now | Quote }},\
 startedAt: {{ dig "state" "running" "startedAt" $now $was | Quote }},\
 containerID: {{ $was.containerID | Quote }}}}"""
_ON_THE_NODE = """
startTime: {{ default $now .status.startTime | Quote }}
hostIP: {{ NodeIPWith .spec.nodeName | Quote }}
hostIPs: [{ip: {{ NodeIPWith .spec.nodeName | Quote }}}]
{{ if not .status.podIP }}
{{ $m := .metadata }}{{ $host := or .spec.hostNetwork false }}
{{ $ip := PodIPWith .spec.nodeName $host $m.uid $m.name $m.namespace }}
podIP: {{ $ip | Quote }}
podIPs: [{ip: {{ $ip | Quote }}}]
{{ end }}
"""
_INIT_CONTAINERS = """
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
# A pod that was born placed has no PodScheduled, one that was bound has it from the server.
_ACCEPTED = """
{{ if not .status.startTime }}
{{ $bound := false }}
{{ range .status.conditions }}{{ if eq .type "PodScheduled" }}{{ $bound = true }}{{ end }}{{ end }}
{{ range list "PodReadyToStartContainers" "Initialized" (ternary "" "PodScheduled" $bound) }}
{{ if . }}- {type: {{ . }}, status: "True", lastTransitionTime: {{ $now | Quote }}}{{ end }}
{{ end }}
{{ end }}
"""


def templates() -> dict[str, str]:
    """The name of a status -> its template."""
    not_ready = _readiness('"False"', "ContainersNotReady")
    at_once = _readiness('{{ $ready | ternary "True" "False" | Quote }}')
    ended = _ENDED_STATE % ("{{ $code }}", "{{ $reason }}")
    pulling = "{waiting: {reason: ContainerCreating}}"
    waiting = "{waiting: {reason: CrashLoopBackOff, message: back-off restarting failed container}}"
    again = "{{ add (atoi (toString $was.restartCount)) 1 }}"
    last = "{{ default dict $was.lastState | toRawJson }}"
    same = "{{ $was.state | toRawJson }}"
    written = {
        PULLING: not_ready + _ACCEPTED + _containers(pulling, ready="false") + _ON_THE_NODE,
        RUNNING: (
            _READY_AT_ONCE
            + (at_once + _ACCEPTED + _containers(_RUNNING_STATE, ready="{{ $ready }}"))
            + ("\nphase: Running" + _ON_THE_NODE + _INIT_CONTAINERS)
        ),
        READY: _readiness('"True"') + _containers(same, ready="true", last=last, new=False),
        UNREADY: not_ready + _containers(same, ready="false", last=last, new=False),
        CRASHED: _CODE + not_ready + _containers(waiting, ready="false", last=ended),
        RESTARTED: (
            _READY_AT_ONCE
            + at_once
            + _containers(_RUNNING_STATE, ready="{{ $ready }}", last=last, restarts=again)
        ),
        ENDED: _CODE + _over(ended, "{{ if $code }}Failed{{ else }}Succeeded{{ end }}"),
        OVERDUE: (
            _over(_ENDED_STATE % (137, "Error"), "Failed")
            + "\nreason: DeadlineExceeded"
            + "\nmessage: Pod was active on the node longer than the specified deadline"
        ),
        STOPPED: (
            '{{ if and (ne .status.phase "Succeeded") (ne .status.phase "Failed") }}\n'
            + _over(_ENDED_STATE % (143, "Error"), "Failed")
            + "\n{{ else }}{}{{ end }}"
        ),
    }
    return {name: _HEAD + status for name, status in written.items()}


def _readiness(ready: str, reason: str = "") -> str:
    why = f"reason: {reason}, " if reason else ""
    rest = f"status: {ready}, {why}lastTransitionTime: {{{{ $now | Quote }}}}}}"
    return f"\nconditions:\n- {{type: ContainersReady, {rest}\n- {{type: Ready, {rest}\n"


def _over(state: str, phase: str) -> str:
    """No container runs any more; one that ended before keeps its end."""
    kept = "{{ if and $was.state (not $was.state.running) }}{{ $was.state | toRawJson }}{{ else }}"
    ends = _containers(f"{kept}{state}{{{{ end }}}}", ready="false", new=False)
    return (
        _readiness('"False"', "PodFailed" if phase == "Failed" else "PodCompleted")
        + f"\n{{{{ if .status.containerStatuses }}}}{ends}{{{{ end }}}}\nphase: {phase}"
    )


def _containers(
    state: str,
    *,
    ready: str,
    last: str = "{}",
    restarts: str = "{{ $was.restartCount }}",
    new: bool = True,
) -> str:
    """One status a container; `$was` is its status until now. `new`: a new moment is in its ID."""
    own = '{{ printf "%s/%s" $id $c.name | Quote }}' if new else "{{ $was.containerID | Quote }}"
    return f"""
containerStatuses:
{{{{ range $i, $c := .spec.containers }}}}
{{{{ $was := dict "restartCount" 0 }}}}
{{{{ with $root.status.containerStatuses }}}}{{{{ $was = index . $i }}}}{{{{ end }}}}
- name: {{{{ $c.name | Quote }}}}
  image: {{{{ $c.image | Quote }}}}
  imageID: ""
  containerID: {own}
  restartCount: {restarts}
  ready: {ready}
  started: {ready}
  state: {state}
  lastState: {last}
{{{{ end }}}}
"""
