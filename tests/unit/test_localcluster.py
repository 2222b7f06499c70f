"""The parts of localcluster that start nothing: what is written, chosen and read."""

import io
import json
import os
import shutil
import tarfile
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest
from cryptography import x509
from cryptography.x509.oid import NameOID
from hypothesis import given
from hypothesis import strategies as st

from bayplan.cloud import allocatable, catalogue, prices
from localcluster import (
    control_plane,
    ec2,
    image,
    karpenter,
    kubelets,
    kwok,
    pki,
    processes,
    programs,
    state,
)
from localcluster.cluster import remove

SHAPES = st.builds(
    ec2.Shape,
    instance_type=st.sampled_from(sorted(catalogue.load())),
    zone=st.sampled_from(["us-east-1a", "eu-central-1c", "ap-southeast-2b"]),
    count=st.integers(1, 10_000),
    capacity_type=st.sampled_from(["on-demand", "spot"]),
)


@pytest.fixture
def home(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setenv("XDG_STATE_HOME", str(tmp_path / "state"))
    monkeypatch.setenv("BAYPLAN_LOCALCLUSTER_HOME", str(tmp_path / "home"))
    return tmp_path / "home"


# ── nodes shaped like EC2 ────────────────────────────────────────────────────────────────────────


@given(st.lists(SHAPES, max_size=4))
def test_shapes_written_are_read_back(shapes: list[ec2.Shape]) -> None:
    """INSTANCE-TYPE:ZONE:CAPACITY-TYPE=COUNT, comma-separated, says all of a shape."""
    text = ", ".join(f"{s.instance_type}:{s.zone}:{s.capacity_type}={s.count}" for s in shapes)

    assert shapes == ec2.shapes(text)


def test_a_shape_is_one_on_demand_node_unless_said_otherwise() -> None:
    """Count and capacity type may be left out."""
    assert [ec2.Shape("m5.large", "us-east-1a", 1, "on-demand")] == ec2.shapes(
        "m5.large:us-east-1a"
    )


@pytest.mark.parametrize(
    ("text", "complaint"),
    [
        ("m5.large", "is not INSTANCE-TYPE:ZONE"),
        ("m5.huge:us-east-1a=2", "'m5.huge' is not an EC2 instance type"),
        ("m5.large:us-east-1=2", "'us-east-1' is not an availability zone"),
        ("m5.large:=2", "'' is not an availability zone"),
        ("m5.large:us-east-1a:cheap=2", "capacity type is not on-demand or spot"),
        ("m5.large:us-east-1a=0", "'0' is not a count"),
        ("m5.large:us-east-1a=-1", "'-1' is not a count"),
        ("m5.large:us-east-1a=٣", "'٣' is not a count"),
        ("m5.large:us-east-1a:spot:x=1", "is not INSTANCE-TYPE:ZONE"),
    ],
)
def test_a_slip_in_a_shape_is_named(text: str, complaint: str) -> None:
    """What cannot be read is refused with the part that is wrong."""
    with pytest.raises(ValueError, match="is not") as refused:
        ec2.shapes(f"c5.xlarge:us-east-1b=1,{text}")

    assert complaint in str(refused.value)


def test_a_fake_node_offers_what_eks_would() -> None:
    """Allocatable is the catalogue's, pods included; capacity is the instance's."""
    node = ec2.node(
        ec2.Shape("m5.2xlarge", "us-east-1a", 1), 3, "10.0.0.1", version="v1.34.2", price="0.384000"
    )
    usable = allocatable.eks_allocatable(catalogue.load()["m5.2xlarge"])

    assert {
        "cpu": f"{usable['cpu']}m",
        "memory": f"{usable['memory'] // 1024}Ki",
        "ephemeral-storage": f"{usable['ephemeral-storage'] // 1024}Ki",
        "pods": "58",
    } == node["status"]["allocatable"]
    assert node["status"]["capacity"]["cpu"] == "8000m"
    assert node["status"]["capacity"]["memory"] == f"{32 << 20}Ki"
    assert {
        "kubernetes.io/hostname": "m5-2xlarge-us-east-1a-3",
        "kubernetes.io/os": "linux",
        "kubernetes.io/arch": "amd64",
        "beta.kubernetes.io/os": "linux",
        "beta.kubernetes.io/arch": "amd64",
        "node.kubernetes.io/instance-type": "m5.2xlarge",
        "topology.kubernetes.io/zone": "us-east-1a",
        "topology.kubernetes.io/region": "us-east-1",
        "karpenter.sh/capacity-type": "on-demand",
        "eks-node-viewer/instance-price": "0.384000",
        kwok.LABEL: kwok.PLAYED,
    } == node["metadata"]["labels"]


def test_a_bought_node_offers_the_same() -> None:
    """Less what Karpenter's provider takes off, its nodes have the allocatable of our own ones."""
    [menu] = karpenter.instance_types(["m5.2xlarge"], ["us-east-1a", "us-east-1b"])
    described = catalogue.load()["m5.2xlarge"]
    usable = allocatable.eks_allocatable(described)
    dollars = prices.Book().of(described).microdollars_per_hour / 10**6

    assert {
        "cpu": f"{usable['cpu'] + 100}m",
        "memory": f"{usable['memory'] // 1024 + 10 * 1024}Ki",
        "ephemeral-storage": f"{usable['ephemeral-storage'] // 1024}Ki",
        "pods": "58",
    } == menu["resources"]
    assert {
        (kind, zone): round(dollars * share, 6)
        for kind, share in (("on-demand", 1.0), ("spot", 0.7))
        for zone in ("us-east-1a", "us-east-1b")
    } == {
        tuple(each["values"][0] for each in offering["Requirements"]): offering["Price"]
        for offering in menu["offerings"]
    }


def test_a_menu_is_priced_by_a_prices_file(tmp_path: Path) -> None:
    """The autoscaler sees the prices that the operator reads; spot is a share of them."""
    file = tmp_path / "prices.csv"
    file.write_text("type,dollars\nm5.2xlarge,0.5\n")

    [menu] = karpenter.instance_types(["m5.2xlarge"], ["us-east-1a"], file)

    assert [0.5, 0.35] == [offering["Price"] for offering in menu["offerings"]]


def test_a_gpu_type_offers_its_gpus() -> None:
    """Extended resources are in capacity and allocatable, counted."""
    node = ec2.node(ec2.Shape("p4d.24xlarge", "us-east-1a", 1), 1, "10.0.0.1", version="v1.34.2")

    offered = node["status"]["allocatable"]["nvidia.com/gpu"]
    assert (offered, node["status"]["capacity"]["nvidia.com/gpu"]) == ("8", "8")


def test_prices_come_from_the_operators_prices_file(tmp_path: Path) -> None:
    """Dollars an hour are exact text; a type that is not in the file has no price."""
    (tmp_path / "prices.csv").write_text("instance_type,usd\nm5.large,0.096\nr5.large,0.1265\n")

    assert ec2.dollars(tmp_path / "prices.csv") == {"m5.large": "0.096000", "r5.large": "0.126500"}


# ── programs ─────────────────────────────────────────────────────────────────────────────────────


@pytest.mark.parametrize(
    "program",
    [one for one in programs.PROGRAMS.values() if one.package != "."],
    ids=lambda program: program.name,
)
def test_every_program_is_pinned(program: programs.Program) -> None:
    """A program's go.mod names its package as a tool, beside a go.sum; else `go build` refuses."""
    folder = programs.GO / program.module
    text = (folder / "go.mod").read_text()
    lines = [line.removeprefix("tool ").strip() for line in text.splitlines()]

    assert program.package in lines
    assert (folder / "go.sum").stat().st_size > 0


def test_the_judge_is_made_of_the_scheduler_that_runs_here() -> None:
    """It pins, line for line, what Kubernetes' module pins: one version, compiled once."""
    judge, kubernetes = (
        (programs.GO / module / "go.mod").read_text().partition("require (")[2]
        for module in (programs.PROGRAMS["scheduler-judge"].module, "kubernetes")
    )

    assert judge == kubernetes
    assert (programs.GO / "judge/go.sum").read_text() == (
        programs.GO / "kubernetes/go.sum"
    ).read_text()


@pytest.mark.parametrize("changed", ["main.go", programs.CHANGES])
def test_a_changed_source_is_another_folder(tmp_path: Path, changed: str) -> None:
    """A program is built anew when a source of our own changes, or what we change of others'."""
    for name in ("go.mod", "go.sum", "main.go", programs.CHANGES):
        (tmp_path / name).write_text(name)
    before = programs.digest(tmp_path)
    (tmp_path / changed).write_text("package main\n")

    assert programs.digest(tmp_path) != before


@pytest.mark.skipif(shutil.which("go") is None, reason="needs Go")
def test_a_line_is_built_as_we_change_it(tmp_path: Path) -> None:
    """The published source stays as it is; a line that it does not hold is an error."""
    published, folder, built = (tmp_path / name for name in ("published", "folder", "built"))
    for each in (published, folder, built):
        each.mkdir()
    (published / "go.mod").write_text("module example.org/lib\n")
    (published / "lib.go").write_text("package lib\n\nfunc Name() {}\n")
    pins = "module program\n\nrequire example.org/lib v0.0.0\n"
    (folder / "go.mod").write_text(f"{pins}\nreplace example.org/lib => {published}\n")
    (folder / "go.sum").write_text("")
    change = {"why": "", "file": "lib.go", "old": "func Name() {}", "new": "func Other() {}"}
    environment = os.environ | {"GOFLAGS": "-mod=mod", "GOWORK": "off"}

    def flags(**more: str) -> Sequence[str]:
        (folder / programs.CHANGES).write_text(json.dumps({"example.org/lib": [change | more]}))
        return programs.changed("program", folder, environment, built)

    flag, modfile = flags()
    [copy] = [
        line.split()[-1] for line in Path(modfile).read_text().splitlines() if "changed" in line
    ]

    assert "-modfile" == flag
    assert "package lib\n\nfunc Other() {}\n" == (Path(copy) / "lib.go").read_text()
    assert "package lib\n\nfunc Name() {}\n" == (published / "lib.go").read_text()
    with pytest.raises(programs.BuildError, match=r"lib\.go does not say once: func None"):
        flags(old="func None() {}")


def test_kubernetes_reports_the_version_that_is_pinned() -> None:
    """Without these flags the server calls itself v0.0.0 and Helm's version gate refuses it."""
    flags = programs.ldflags("kubernetes", "require k8s.io/kubernetes v1.34.2\n")

    assert "-X k8s.io/component-base/version.gitVersion=v1.34.2" in flags
    assert "-X k8s.io/client-go/pkg/version.gitMinor=34" in flags
    assert programs.ldflags("etcd", "") == "-s -w"


def test_a_pin_is_not_a_replacement() -> None:
    """Only a requirement counts, in a block or alone; `=>` lines name other versions."""
    pins = (
        "replace example.org/a => example.org/a v9.9.9\nrequire (\n\texample.org/a v1.2.3 // x\n)\n"
    )

    assert programs.pinned(pins, "example.org/a") == "v1.2.3"
    with pytest.raises(KeyError):
        programs.pinned(pins, "example.org/b")


def test_a_changed_pin_is_another_folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Programs of different pins lie side by side, so that an old checkout finds its own."""
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path))
    found = {programs.path(name).parent.name for name in programs.CLUSTER}

    assert {name.rpartition("-")[0] for name in found} == {"etcd", "kubernetes", "kwok"}
    assert all(len(name.rpartition("-")[2]) == 12 for name in found)
    assert list(programs.CLUSTER) == programs.missing()


# ── the record ───────────────────────────────────────────────────────────────────────────────────


def _created(name: str, **fixed: int) -> state.Record:
    return state.create(name, ["etcd", "apiserver"], options={}, fixed=fixed, owner=None)


def test_no_two_clusters_share_a_port(home: Path) -> None:
    """A port belongs to its cluster as long as the cluster has a folder, used or not."""
    records = [_created(f"c{number}") for number in range(5)]
    ports = [port for record in records for port in record.ports.values()]

    assert len(set(ports)) == len(ports) == 10
    assert state.load("c3") == records[3]


def test_no_two_homes_share_a_port(home: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Ports number the networks of real nodes: a second home's node may not answer for the first's.

    A removed cluster's ports are free again.
    """
    here = _created("c")
    folder = here.folder
    monkeypatch.setenv("BAYPLAN_LOCALCLUSTER_HOME", str(home.parent / "other"))
    there = _created("c")

    assert set() == {*here.ports.values()} & {*there.ports.values()}
    shutil.rmtree(folder)
    assert here.ports == _created("again").ports


def test_the_user_may_choose_the_port(home: Path) -> None:
    """A fixed port is taken as it is."""
    assert _created("mine", apiserver=26443).ports["apiserver"] == 26443


def test_a_name_is_taken_once(home: Path) -> None:
    """A second cluster of the name is refused; after the first is forgotten it is free."""
    _created("one")
    with pytest.raises(state.ClusterExistsError):
        _created("one")
    state.forget("one")

    assert _created("one").name == "one"


@pytest.mark.parametrize("name", ["", "-a", "a-", "A", "a_b", "a/b", "..", "é", "a" * 25])
def test_a_name_is_a_label(home: Path, name: str) -> None:
    """It becomes part of paths and must fit a socket's path."""
    with pytest.raises(ValueError, match="at most 24"):
        _created(name)


def test_a_folder_without_a_record_can_be_found_and_forgotten(home: Path) -> None:
    """A removal that was cut short leaves such a folder."""
    (home / "half" / "etcd").mkdir(parents=True)

    assert state.names() == ["half"]
    assert state.all_records() == []
    state.forget("half")
    assert state.names() == []
    with pytest.raises(state.NoSuchClusterError):
        state.load("half")


def test_a_cluster_is_abandoned_when_its_owner_is_gone(home: Path) -> None:
    """An owner is a pid and its start: the same pid, started later, is another process."""
    me = state.Owner.this_process()
    later = state.Owner(me.pid, me.started_ticks + 1)

    owned = state.create("owned", [], options={}, fixed={}, owner=me)
    orphan = state.create("orphan", [], options={}, fixed={}, owner=later)
    assert [False, True, False] == [each.abandoned for each in (owned, orphan, _created("stays"))]
    assert state.load("orphan").abandoned


def test_a_cluster_may_be_removed_by_several_at_once(home: Path) -> None:
    """Each start clears what is abandoned: the second finds it gone."""
    for turn in range(5):
        folder = _created(f"left-{turn}").folder
        for number in range(200):
            file = folder / "etcd" / "wal" / f"{number}.tmp"
            file.parent.mkdir(parents=True, exist_ok=True)
            file.touch()
        with ThreadPoolExecutor(4) as pool:
            list(pool.map(remove, [folder.name] * 4))

        assert not folder.exists()


# ── certificates ─────────────────────────────────────────────────────────────────────────────────


def test_a_client_certificate_says_who_and_in_which_groups(tmp_path: Path) -> None:
    """The API server reads the user from the common name, groups from the organisations."""
    authority = pki.Authority(tmp_path)
    path, key = authority.client("node", "system:node:a", ["system:nodes", "others"])
    certificate = x509.load_pem_x509_certificate(path.read_bytes())
    issuer = x509.load_pem_x509_certificate(authority.certificate_path.read_bytes())
    names = certificate.subject.get_attributes_for_oid

    assert ["system:node:a"] == [each.value for each in names(NameOID.COMMON_NAME)]
    organisations = [each.value for each in names(NameOID.ORGANIZATION_NAME)]
    assert organisations == ["system:nodes", "others"]
    certificate.verify_directly_issued_by(issuer)
    assert key.stat().st_mode & 0o077 == 0


def test_a_kubeconfig_carries_everything(tmp_path: Path) -> None:
    """It may be copied to another place, so it names no files; nobody else may read it."""
    authority = pki.Authority(tmp_path)
    certificate, key = authority.client("admin", "admin")
    path = pki.write_kubeconfig(
        tmp_path / "admin.kubeconfig",
        cluster="c",
        server="https://127.0.0.1:1",
        authority=authority.certificate_path,
        certificate=certificate,
        key=key,
    )
    (user,) = json.loads(path.read_text())["users"]

    assert {"client-certificate-data", "client-key-data"} == user["user"].keys()
    assert str(tmp_path) not in path.read_text()
    assert path.stat().st_mode & 0o077 == 0


# ── command lines ────────────────────────────────────────────────────────────────────────────────


def _apiserver(**changed: bool) -> list[str]:
    options = {"audit": False, "controller_manager": True} | changed
    files = control_plane.Files(Path("/c"))
    words = control_plane.apiserver(
        Path("kube-apiserver"), files, port=1, etcd_port=2, extra=["--v=3"], **options
    )
    return [str(word) for word in words]


def test_the_api_server_authorizes_and_listens_on_loopback_only() -> None:
    """RBAC is on, priority-and-fairness is not turned off, nobody else's machine gets in."""
    words = _apiserver()

    assert {"--authorization-mode=Node,RBAC", "--bind-address=127.0.0.1"} <= set(words)
    assert not any("priority-and-fairness" in word or "inflight" in word for word in words)
    assert words[-1] == "--v=3"


def test_admission_that_needs_a_controller_manager_goes_with_it() -> None:
    """Else no pod could be created and no new node would lose its taint."""
    off = "--disable-admission-plugins=ServiceAccount,TaintNodesByCondition"

    assert off in _apiserver(controller_manager=False)
    assert off not in _apiserver()


def test_an_audit_log_is_kept_when_asked_for() -> None:
    """Each request costs a line, so it is not the default."""
    assert "--audit-log-path=/c/audit.log" in _apiserver(audit=True)
    assert not any("audit" in word for word in _apiserver())


# ── kwok ─────────────────────────────────────────────────────────────────────────────────────────


def test_kwok_plays_labelled_nodes_only() -> None:
    """Beside real kubelets: a node without the label is none of kwok's business."""
    head = json.loads(kwok.configuration(heartbeat_seconds=16).split("\n---\n")[0])

    assert head["options"]["manageNodesWithLabelSelector"] == "sim.bayplan.dev/kubelet=kwok"
    assert "manageAllNodes" not in head["options"]


def test_no_patch_of_a_stale_object() -> None:
    """Every status is written against the version it was made from: an old plan changes nothing."""
    stages = {stage["metadata"]["name"]: stage["spec"] for stage in kwok.stages(16)}
    patches = [
        step["patch"]["template"]
        for name, spec in stages.items()
        for step in spec["steps"]
        if "patch" in step and name != "lease-renewed"  # a renewal may be lost, another follows
    ]

    assert len(patches) == 11
    assert all(".metadata.resourceVersion" in template for template in patches)


# ── real nodes ───────────────────────────────────────────────────────────────────────────────────


def _node(number: int, subnet: int, cluster: str = "/home/u/.local/state/c1") -> kubelets.Node:
    shape = ec2.Shape("t3.medium", "us-east-1a", 1)
    return kubelets.Node(Path(cluster), number, subnet, shape)


@given(st.integers(0, 9_999), st.integers(0, 9_999))
def test_nodes_have_networks_of_their_own(one: int, other: int) -> None:
    """A number of its own is a /24 of its own, none of it in fake pods' or services' range."""
    networks = {_node(1, one).network, _node(1, other).network}

    assert len(networks) == len({one, other})
    assert all(192 <= int(network.split(".")[1]) <= 231 for network in networks)


def test_device_names_fit_the_kernel_and_tell_clusters_apart() -> None:
    """15 characters at most; found again from the folder alone."""
    names = {_node(99, 1, f"/c{number}").bridge for number in range(200)}

    assert len(names) == 200
    assert max(map(len, names)) <= 15


def test_real_nodes_are_refused_where_they_would_hide_their_own_folder() -> None:
    """A node hides /var/lib, so its folder must not be in there."""
    for home in (Path("/var/lib/u"), Path("/run/u")):
        with pytest.raises(kubelets.NotPossibleError):
            kubelets.check(home)


def test_the_image_holds_busybox_and_its_commands(tmp_path: Path) -> None:
    """A docker-archive whose layer has the hash that its configuration states."""
    busybox = tmp_path / "busybox"
    busybox.write_text("#!/bin/sh\nprintf 'sh\\nhttpd\\nbusybox\\n'\n")
    busybox.chmod(0o755)
    image.write(tmp_path / "image.tar", busybox)
    with tarfile.open(tmp_path / "image.tar") as archive:
        parts = {name: archive.extractfile(name) for name in archive.getnames()}
        content = {name: part.read() for name, part in parts.items() if part is not None}
    (manifest,) = json.loads(content["manifest.json"])
    with tarfile.open(fileobj=io.BytesIO(content["layer.tar"])) as layer:
        links = {entry.name: entry.linkname for entry in layer if entry.issym()}
        busybox_mode = layer.getmember("bin/busybox").mode

    assert {image.NAME, image.OF_DOCUMENTATION} == set(manifest["RepoTags"])
    assert {"bin/sh": "busybox", "bin/httpd": "busybox"} == links
    assert busybox_mode == 0o755


# ── processes ────────────────────────────────────────────────────────────────────────────────────


def test_a_process_is_found_by_its_marks_and_ended(tmp_path: Path) -> None:
    """By folder and role; another cluster's processes are not touched."""
    sleep = [shutil.which("sleep") or "sleep", "600"]
    ours, theirs = tmp_path / "ours", tmp_path / "theirs"
    one = processes.launch(ours, "one", sleep)
    two = processes.launch(ours, "two", sleep)
    other = processes.launch(theirs, "one", sleep)
    try:
        processes.wait_until(
            lambda: {one, two} == set(processes.marked(ours)), "marks", within_seconds=10
        )

        assert [one] == processes.marked(ours, "one")
        assert ["one", "two"] == sorted(processes.roles(ours))
        processes.end_marked(ours)
        assert [] == processes.marked(ours)
        assert processes.has_ended(one)
        assert not processes.has_ended(other)
    finally:
        processes.end([other])


def test_a_process_that_does_not_want_to_end_is_ended(tmp_path: Path) -> None:
    """SIGTERM is a request with a grace; SIGKILL follows. A stopped process ends too."""
    deaf = processes.launch(tmp_path, "deaf", ["sh", "-c", "trap '' TERM; echo on; sleep 600"])
    log = tmp_path / "logs" / "deaf.log"
    processes.wait_until(lambda: log.read_text() == "on\n", "trap", within_seconds=10)
    processes.end([deaf], grace_seconds=0.2)

    assert processes.has_ended(deaf)


def test_output_goes_to_a_log_of_the_role(tmp_path: Path) -> None:
    """Both streams, in order, and the process has no terminal to read from."""
    pid = processes.launch(tmp_path, "talker", ["sh", "-c", "echo out; echo err >&2; cat"])
    processes.wait_until(lambda: processes.has_ended(pid), "end", within_seconds=10)
    processes.end([pid])

    assert (tmp_path / "logs" / "talker.log").read_text() == "out\nerr\n"


def test_waiting_names_what_did_not_come() -> None:
    """The message says what was waited for and how long."""
    with pytest.raises(processes.NotInTimeError, match="the sun: not within 0 s"):
        processes.wait_until(lambda: False, "the sun", within_seconds=0)


def test_the_owner_is_this_process() -> None:
    """It lives as long as it can ask."""
    me = state.Owner.this_process()

    assert me.pid == os.getpid()
    assert me.lives()
