"""A receiver of notices as administrators run them, on loopback: real HTTP, scripted answers."""

import http.server
import json
import socket
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

KEY = b"0123456789abcdef0123456789abcdef"


@dataclass
class Post:
    path: str
    headers: dict[str, str]
    body: bytes

    @property
    def told(self) -> Any:
        return json.loads(self.body)


@dataclass
class Receiver:
    """`answers` are used up in order, then 204: a status, `reset`, or `silent` until `close`."""

    answers: list[int | str] = field(default_factory=list)
    posts: list[Post] = field(default_factory=list)
    came: threading.Event = field(default_factory=threading.Event)
    ends: threading.Event = field(default_factory=threading.Event)
    port: int = 0

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self.port}/hook"


@contextmanager
def serving(*answers: int | str) -> Iterator[Receiver]:
    """One receiver for the length of the block."""
    receiver = Receiver(list(answers))

    class Handler(http.server.BaseHTTPRequestHandler):
        def do_POST(self) -> None:
            length = int(self.headers["Content-Length"])
            body = self.rfile.read(length)
            receiver.posts.append(Post(self.path, dict(self.headers), body))
            receiver.came.set()
            answer = receiver.answers.pop(0) if receiver.answers else 204
            if answer == "silent":
                receiver.ends.wait()
                return
            if answer == "reset":
                linger = (1).to_bytes(4, "little") + (0).to_bytes(4, "little")
                self.connection.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, linger)
                self.connection.close()
                return
            self.send_response(int(answer))
            self.send_header("Location", "/elsewhere")
            self.send_header("Content-Length", "0")
            self.end_headers()

        def log_message(self, *_: object) -> None:
            """Tests say what failed."""

    server = http.server.ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    server.daemon_threads = True
    receiver.port = server.server_address[1]
    thread = threading.Thread(target=server.serve_forever, args=(0.05,), daemon=True)
    thread.start()
    try:
        yield receiver
    finally:
        receiver.ends.set()
        server.shutdown()
        server.server_close()
        thread.join()


def configured(folder: Path, **urls: str) -> Path:
    """The file of these receivers by name, each with the same key."""
    (folder / "some.key").write_bytes(KEY + b"\n")
    listed = [
        {"name": name.replace("_", "-"), "url": url, "keyFile": "some.key"}
        for name, url in urls.items()
    ]
    path = folder / "receivers.yaml"
    path.write_text(json.dumps({"receivers": listed}))
    return path
