"""How GitOps tools read our objects: Argo CD by Lua, Flux and Helm by kstatus.

Argo CD embeds Lua 5.1 and calls a script with the object as `obj`; kstatus' rules for custom
resources are those of its documentation, written anew.
"""

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import lupa.lua51

ROOT = Path(__file__).resolve().parent.parent
CUSTOMIZATIONS = ROOT / "docs/gitops/argocd/resource_customizations/bayplan.dev"
KINDS = ("BatchJob", "LongService")
VERBS = {f"bayplan.dev/{verb}" for verb in ("run-now", "paused-until", "restarted-at", "promote")}

Object = Mapping[str, Any]


def health(one: Object) -> tuple[str, str]:
    """(health, message) as Argo CD shows it."""
    answer = run(CUSTOMIZATIONS / one["kind"] / "health.lua", one)
    return answer["status"], answer["message"]


def actions(one: Object) -> dict[str, bool]:
    """The actions that Argo CD offers -> whether each may be clicked now."""
    found = run(CUSTOMIZATIONS / one["kind"] / "actions/discovery.lua", one)
    return {name: not told.get("disabled", False) for name, told in found.items()}


def acted(one: Object, action: str) -> dict[str, Any]:
    """The object after somebody clicked."""
    return run(CUSTOMIZATIONS / one["kind"] / "actions" / action / "action.lua", one)


def run(script: Path, one: Object) -> dict[str, Any]:
    """A script's answer, of an object."""
    lua = lupa.lua51.LuaRuntime(unpack_returned_tuples=True)
    lua.globals().obj = lua.table_from(one, recursive=True)
    answer: dict[str, Any] = _plain(lua.execute(script.read_text()))
    return answer


def _plain(value: Any) -> Any:
    if lupa.lua51.lua_type(value) != "table":
        return value
    keys = list(value)
    if keys and keys == list(range(1, len(keys) + 1)):
        return [_plain(value[key]) for key in keys]
    return {key: _plain(value[key]) for key in keys}


def kstatus(one: Object) -> str:
    """What `flux`, `helm --wait` and kustomize-controller take an object for."""
    status = one.get("status", {})
    conditions = {each["type"]: each["status"] for each in status.get("conditions", ())}
    if "deletionTimestamp" in one["metadata"]:
        return "Terminating"
    if (
        status.get("observedGeneration", one["metadata"]["generation"])
        != (one["metadata"]["generation"])
    ):
        return "InProgress"
    if conditions.get("Reconciling") == "True":
        return "InProgress"
    if conditions.get("Stalled") == "True":
        return "Failed"
    ready = conditions.get("Ready")
    return "Current" if ready in {None, "True"} else "InProgress"
