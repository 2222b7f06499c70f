"""`support-bundle`: what helps is in it, and nothing that somebody keeps secret."""

import json
import tarfile
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from bayplan.cli.ops.redact import redacted
from tests.recorded import Recorded, make_job, make_node, make_pod, make_service, run, told

SECRET = "hunter2"  # noqa: S105  the point of it
LOGS = "/api/v1/namespaces/bayplan-system/pods/bayplan-0/log"


def full_of_secrets(body: dict[str, Any]) -> dict[str, Any]:
    """The same, with a secret wherever a person may have put one."""
    body["metadata"]["annotations"] = {
        "kubectl.kubernetes.io/last-applied-configuration": SECRET,
        "bayplan.dev/run-now-args": SECRET,
        "bayplan.dev/restarted-at": "yesterday",
        "example.com/token": SECRET,
    }
    body["metadata"]["managedFields"] = [{"manager": SECRET}]
    spec = body["spec"].get("template", body)["spec"]
    spec["volumes"] = [
        {"name": "v", "csi": {"volumeAttributes": {"password": SECRET}}},
        {"name": "w", "persistentVolumeClaim": {"claimName": "kept-claim"}},
    ]
    spec["containers"][0] |= {
        "env": [
            {"name": "PASSWORD", "value": SECRET},
            {"name": "OTHER", "valueFrom": {"secretKeyRef": {"name": "s", "key": "k"}}},
        ],
        "command": ["sh", "-c", SECRET],
        "args": [SECRET],
        "livenessProbe": {
            "httpGet": {"path": "/", "httpHeaders": [{"name": "Auth", "value": SECRET}]},
            "exec": {"command": [SECRET]},
        },
    }
    return body


def cluster() -> Recorded:
    operator = make_pod("bayplan-0", node="a", namespace="bayplan-system")
    operator["metadata"]["labels"] = {"app.kubernetes.io/component": "operator"}
    about = {"name": "e", "namespace": "default"}
    event = {"kind": "Event", "metadata": about, "reportingController": "bayplan.dev"}
    other = {"kind": "Event", "metadata": {**about, "name": "f"}, "note": SECRET}
    return Recorded(
        make_node("a"),
        full_of_secrets(make_job("report")),
        full_of_secrets(make_service("web")),
        full_of_secrets(make_pod("guest", node="a")),
        operator,
        event,
        other,
        texts={LOGS: "level=info leading\n"},
        answers={"GET /version": {"major": "1", "minor": "34", "gitVersion": "v1.34.2"}},
    )


def bundled(path: Path) -> dict[str, str]:
    """Name within the archive's folder -> text."""
    with tarfile.open(path) as archive:
        return {
            one.name.partition("/")[2]: archive.extractfile(one).read().decode()  # type: ignore[union-attr]
            for one in archive
        }


def test_nothing_secret_leaves(tmp_path: Path) -> None:
    """Names and shapes are there; no value of a variable, argument, header or annotation is."""
    path = tmp_path / "x.tar.gz"
    cluster_ = cluster()
    run(cluster_, "support-bundle", "-A", "--file", str(path))
    parts = bundled(path)
    whole = "".join(parts.values())

    assert [] == [name for name, text in parts.items() if SECRET in text]
    for kept in ("PASSWORD", "kept-claim", "yesterday", "secretKeyRef", "report", "guest"):
        assert kept in whole
    assert not cluster_.written
    assert 0o600 == path.stat().st_mode & 0o777


def test_what_helps_is_in_it(tmp_path: Path) -> None:
    """Doctor's findings, all kinds, our Events only, and the operator's log."""
    path = tmp_path / "x.tar.gz"
    counts = told(cluster(), "support-bundle", "-A", "--file", str(path))["parts"]
    parts = bundled(path)

    assert counts.keys() == parts.keys()
    assert "level=info leading\n" == parts["operator/bayplan-0.log"]
    assert ["e"] == [one["metadata"]["name"] for one in json.loads(parts["events.json"])]
    assert json.loads(parts["doctor.json"])
    assert (1, 1, 1, 2) == tuple(
        counts[f"{kind}s.json"] for kind in ("batchjob", "longservice", "node", "pod")
    )


def test_what_is_refused_is_told_and_stops_nothing(tmp_path: Path) -> None:
    """A person who may not list nodes still gets the rest."""
    path = tmp_path / "x.tar.gz"
    shy = cluster()
    shy.refuse = {"/api/v1/nodes": 403}
    run(shy, "support-bundle", "-A", "--file", str(path))
    parts = bundled(path)

    assert "nodes.json" not in parts
    assert ["Node"] == [one.partition(":")[0] for one in json.loads(parts["about.json"])["refused"]]


def test_pools_and_their_claims_are_in_it(tmp_path: Path) -> None:
    """Of the whole cluster, whichever namespace is asked for; without Karpenter none are missed."""
    bodies = [
        {"kind": kind, "metadata": {"name": "x"}, "spec": {}} for kind in ("Pool", "NodePool")
    ]
    whole, bare = Recorded(*bodies, answers=cluster().answers), cluster()
    bare.refuse = {"/apis/karpenter.sh": 404}
    counts = []
    for number, one in enumerate((whole, bare)):
        path = tmp_path / f"{number}.tar.gz"
        counts.append(told(one, "support-bundle", "-n", "x", "--file", str(path))["parts"])

        assert [] == json.loads(bundled(path)["about.json"])["refused"]

    assert (1, 1, 0) == tuple(
        counts[0][f"{one}s.json"] for one in ("pool", "nodepool", "nodeclaim")
    )
    assert {"nodepools.json", "nodeclaims.json"}.isdisjoint(counts[1])


def test_a_file_is_never_overwritten(tmp_path: Path) -> None:
    """Exit code 2; nor is half an archive left when there is no answer."""
    path = tmp_path / "x.tar.gz"
    path.write_text("mine")

    assert "give another --file" in run(
        cluster(), "support-bundle", "--file", str(path), code=2
    ).output  # fmt: skip
    assert "mine" == path.read_text()
    nowhere = tmp_path / "no" / "x.tar.gz"
    run(cluster(), "support-bundle", "-A", "--file", str(nowhere), code=2)
    silent = cluster()
    silent.refuse = {"/": 503}
    run(silent, "support-bundle", "-A", "--file", str(tmp_path / "y.tar.gz"), code=3)

    assert [path] == list(tmp_path.iterdir())


JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.text(),
    lambda inner: st.lists(inner) | st.dictionaries(st.text(), inner),
)


@given(JSON)
def test_redacting_twice_is_redacting_once(value: Any) -> None:
    """And what holds no field of a name that is left out stays as it is."""
    once = redacted(value)

    assert once == redacted(once)


@pytest.mark.parametrize("key", ["data", "stringData", "binaryData", "managedFields", "images"])
def test_fields_that_are_left_out_whole(key: str) -> None:
    """Wherever they stand."""
    assert {"a": [{"b": 1}]} == redacted({"a": [{"b": 1, key: {"x": SECRET}}]})
