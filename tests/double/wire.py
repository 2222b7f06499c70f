"""The client of the command line on the double: each request is answered in virtual time."""

from collections.abc import Callable, Iterator

from bayplan.cli.client import ApiClient, Wire
from bayplan.cli.target import Target
from bayplan.cluster.transport import Request
from tests.double.loop import run
from tests.double.transport import Double


class Played(Wire):
    """`passed` is the time that pauses took; `on_pause` is told of each."""

    def __init__(self, double: Double, on_pause: Callable[[float], None] = lambda _: None) -> None:
        self.double, self.on_pause = double, on_pause
        self.passed = 0.0

    def send(self, request: Request) -> bytes:
        return run(self.double.send(request))

    def stream(self, request: Request) -> Iterator[bytes]:
        raise AssertionError(f"unexpected stream of {request.path}")

    def pause(self, seconds: float) -> None:
        self.passed += seconds
        self.on_pause(seconds)

    def monotonic(self) -> float:
        return self.passed


def client(wire: Wire, target: Target = Target(), patience: float = 10) -> ApiClient:  # noqa: B008
    """What a command asks."""
    return ApiClient(wire, target, patience)
