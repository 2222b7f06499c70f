"""Spark on real kubelets: SparkPi, a shuffle, more applications than there is room for, a drain."""

import re
from pathlib import Path
from typing import Any

import pytest

from tests.applications.machine import marks
from tests.applications.spark import EXAMPLE, Spark, counted, expected, home
from tests.cluster import read
from tests.cluster.kube import Objects
from tests.cluster.under_test import Site
from tests.kubelet.test_operator import finished

pytestmark = marks("spark")

COUNT = f"local://{EXAMPLE / 'jobs' / 'wordcount.py'}"
WORDS = ("extract", "load", "index", "report", "learn", "mine", "crawl")
SLOT = "900m"  # two pods of this size fill a node


@pytest.fixture
def spark(site: Site, namespace: str, tmp_path: Path) -> Spark:
    return Spark(site, namespace, tmp_path)


PI = f"local://{home() / 'examples' / 'src' / 'main' / 'python' / 'pi.py'}"  # PyPI has no other


def test_spark_pi(spark: Spark) -> None:
    """A driver and its executor get nodes from Bayplan, and π is about right."""
    spark.submit("pi", PI, "8")
    seen: dict[str, str] = {}

    def over(found: Objects) -> Any:
        seen.update({name: one["spec"].get("schedulerName", "") for name, one in found.items()})
        return found.get("pi", {}).get("status", {}).get("phase") in {"Succeeded", "Failed"}

    spark.site.kube.until(read.pods(spark.namespace), over, within=240)
    log = spark.ended("pi")
    [told] = re.findall(r"Pi is roughly (\d+\.\d+)", log)

    assert abs(float(told) - 3.14159) < 0.1
    assert any(name.startswith("pi-exec-") for name in seen)
    assert {"bayplan"} == set(seen.values())


def test_a_shuffle_counts_right(spark: Spark) -> None:
    """Words counted over executors that dynamic allocation asks for."""
    spark.submit("words", COUNT, "20000", "8", "1")

    assert expected(20_000, WORDS) == counted(spark.ended("words"))


@pytest.mark.weekly
def test_more_applications_than_there_is_room_for_all_end(spark: Spark) -> None:
    """Four drivers would fill two nodes, and wait for each other; each starts with its executor."""
    place = {"metadata": {"labels": {"spark": "here"}}}
    for node in ("kubelet-1", "kubelet-2"):
        spark.site.kube.patch(f"/api/v1/nodes/{node}", place)
    names = [f"app-{at}" for at in range(4)]
    asked = f'{{"cpu":"{SLOT}","memory":"896Mi","count":1}}'
    for name in names:
        spark.submit(
            name,
            COUNT,
            *("5000", "4", "1"),
            **{
                "spark.kubernetes.node.selector.spark": "here",
                "spark.kubernetes.driver.request.cores": SLOT,
                "spark.kubernetes.executor.request.cores": SLOT,
                "spark.kubernetes.driver.annotation.bayplan.dev/companions": asked,
                "spark.dynamicAllocation.maxExecutors": "2",
            },
        )
    right = expected(5_000, WORDS)

    assert [right] * 4 == [counted(spark.ended(name, within=400)) for name in names]


@pytest.mark.weekly
def test_an_executors_node_is_drained(spark: Spark) -> None:
    """The executor goes, its tasks are done again elsewhere, and the result is right."""
    spark.submit(
        "drained",
        COUNT,
        *("20000", "24", "2"),
        **{"spark.dynamicAllocation.initialExecutors": "2"},
    )
    pods = spark.site.kube.until(
        read.pods(spark.namespace),
        lambda found: len(spark.executors(read_running(found), "drained")) >= 2 and found,
        within=120,
    )
    home_of_driver = pods["drained"]["spec"]["nodeName"]
    nodes = set(spark.executors(pods, "drained").values())
    victim = min(nodes - {home_of_driver} or nodes)
    try:
        spark.site.kube.kubectl(
            "drain", victim, "--force", "--ignore-daemonsets", "--delete-emptydir-data",
            "--pod-selector=spark-role=executor", "--timeout=90s",
        )  # fmt: skip
        log = spark.ended("drained", within=300)
    finally:
        spark.site.kube.kubectl("uncordon", victim)

    assert expected(20_000, WORDS) == counted(log)


@pytest.mark.weekly
def test_an_application_is_a_batch_job(spark: Spark) -> None:
    """The run is the driver: its executors belong to it, and its outcome is the application's."""
    spark.site.kube.apply(spark.job("nightly", "10000"))
    run = spark.site.kube.until(read.jobs(spark.namespace), finished("nightly"), within=240)
    pods = spark.site.kube.listed(read.pods(spark.namespace))
    [driver] = [name for name in pods if "-exec-" not in name]
    log = spark.log(driver)

    assert "Succeeded" == run["outcome"], log[-6000:]
    assert expected(10_000, WORDS) == counted(log)


def read_running(found: Objects) -> Objects:
    return {name: one for name, one in found.items() if one["status"].get("phase") == "Running"}
