"""Which image the trial job of `bayplan selftest` runs."""

import pytest

from bayplan import __version__
from tests.recorded import Recorded, run

_RELEASED = "registry.example.com/team/bayplan@sha256:1234"
_DEPLOYMENT = {
    "kind": "Deployment",
    "metadata": {"name": "bayplan", "namespace": "bayplan-system"},
    "spec": {"template": {"spec": {"containers": [{"name": "bayplan", "image": _RELEASED}]}}},
}


def image_of(cluster: Recorded, *more: str) -> str:
    run(cluster, "selftest", "--seconds", "1", *more, code=1)
    made = next(body for method, _, body in cluster.written if method == "POST")
    return str(made["spec"]["template"]["spec"]["containers"][0]["image"])


@pytest.mark.parametrize(
    ("cluster", "more", "image"),
    [
        (Recorded(_DEPLOYMENT), (), _RELEASED),
        (Recorded(_DEPLOYMENT), ("--image", "mine:1"), "mine:1"),
        (Recorded(_DEPLOYMENT), ("--operator", "x/y"), f"bayplan/bayplan:{__version__}"),
        (Recorded(), (), f"bayplan/bayplan:{__version__}"),
        (Recorded(refuse={"/apis/apps": 403}), (), f"bayplan/bayplan:{__version__}"),
    ],
)
def test_the_image_is_that_of_the_operator(
    cluster: Recorded, more: tuple[str, ...], image: str
) -> None:
    """Whatever name its release gave it; without an operator or the right to see it, our own."""
    assert image == image_of(cluster, *more)
