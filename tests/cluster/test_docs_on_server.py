"""What the documentation shows is taken by a real API server: a dry run of every manifest."""

from typing import Any

import pytest
import yaml

from tests.cluster.under_test import Site
from tests.unit.test_docs import ROOT, whole_manifests

pytestmark = pytest.mark.cluster

# Kinds whose definitions come with other people's charts.
FOREIGN = (
    "argoproj.io/",
    "karpenter.sh/",
    "karpenter.k8s.aws/",
    "toolkit.fluxcd.io/",
    "kustomize.config.k8s.io/",
)


def ours(document: dict[str, Any]) -> bool:
    return not any(one in str(document["apiVersion"]) for one in FOREIGN)


def tried(site: Site, documents: list[dict[str, Any]]) -> int:
    """How many lines the server answers to a strict dry run of all of them."""
    text = yaml.safe_dump_all(documents)
    words = ("apply", "--dry-run=server", "--validate=strict", "-f", "-")
    return len(site.kube.kubectl(*words, text=text).stdout.splitlines())


def test_manifests_of_the_pages(site: Site) -> None:
    """Whole ones, and parts put into the kind of their page."""
    spaced = [dict(one) for _, one in whole_manifests() if ours(one)]
    for one in spaced:  # namespaces of an imagined reader are not here
        one["metadata"] = {k: v for k, v in one["metadata"].items() if k != "namespace"}

    assert len(spaced) >= 8
    assert len(spaced) == tried(site, spaced)


def test_examples(site: Site) -> None:
    """Every file of the demo's company."""
    read = [
        {**one, "metadata": {k: v for k, v in one["metadata"].items() if k != "namespace"}}
        for path in sorted((ROOT / "examples" / "data-company").glob("*.yaml"))
        for one in yaml.safe_load_all(path.read_text(encoding="utf-8"))
    ]

    assert len(read) == tried(site, read)
