"""Pods and other objects as people and the API server write them, and as they are decoded."""

import json
from typing import Any

import msgspec

from bayplan.cluster.decode import KINDS
from bayplan.cluster.pods import pod_from_dict
from bayplan.model import resources
from bayplan.model.pods import Pod


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
