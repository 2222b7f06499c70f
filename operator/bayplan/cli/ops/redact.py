"""Removes what may be secret from objects for a support bundle; shapes and numbers stay.

Texts that people write into a container (values of variables, commands, arguments, headers) are
left out, because any of them may contain a secret; so are annotations of other tools. Names stay:
without them nobody could distinguish the objects.
"""

from typing import Any

LEFT_OUT = "left out"
# Annotations that Bayplan and autoscalers act upon.
_KEPT = ("bayplan.dev/", "karpenter.sh/", "cluster-autoscaler.kubernetes.io/")
_NEVER = {"bayplan.dev/run-now-args"}
_DROPPED = {"managedFields", "data", "stringData", "binaryData", "images"}
_WORDS = {"command", "args"}
_VALUED = {"env", "httpHeaders"}  # lists of a name and a value
# Of volumes: the kinds whose fields are names of objects or sizes.
_VOLUMES = {"name", "persistentVolumeClaim", "emptyDir", "ephemeral"}


def redacted(value: Any, key: str = "") -> Any:
    """A copy of `value` without what may be secret; `key` is the name of its field."""
    if key in _WORDS and value:
        return [LEFT_OUT]
    if key == "annotations" and isinstance(value, dict):
        return {name: text for name, text in value.items() if _is_kept(name)}
    if isinstance(value, dict):
        return {name: redacted(one, name) for name, one in value.items() if name not in _DROPPED}
    if isinstance(value, list):
        return [_of_a_list(one, key) for one in value]
    return value


def _of_a_list(value: Any, key: str) -> Any:
    if isinstance(value, dict) and key in _VALUED and "value" in value:
        return {"name": value.get("name"), "value": LEFT_OUT}
    if isinstance(value, dict) and key == "volumes":
        return {
            name: redacted(one, name) if name in _VOLUMES else LEFT_OUT
            for name, one in value.items()
        }
    return redacted(value)


def _is_kept(name: str) -> bool:
    return name.startswith(_KEPT) and name not in _NEVER
