"""The logging style: what happened in a few words, then fields; as text or as JSON lines."""

import json
import logging
import sys
from collections.abc import Mapping

# If a resource gets more pods than this in a cycle, one line reports all of them.
_LINES_EACH = 20
_Key = tuple[str, str, str]  # kind, namespace, name


def logger() -> logging.Logger:
    return logging.getLogger("bayplan")


def say(level: int, what: str, /, **fields: object) -> None:
    """Log a decision as a line: words, then `key=value`."""
    log = logger()
    if log.isEnabledFor(level):
        log.log(level, what, extra={"fields": fields})


def say_placed(cycle: int, resources: Mapping[_Key, Mapping[tuple[str, str], str]]) -> None:
    """Log a line for each new pod (key -> node, empty: no room), or one line for many pods."""
    for resource, nodes in resources.items():
        if len(nodes) > _LINES_EACH:
            placed = [node for node in nodes.values() if node]
            say(
                logging.INFO,
                "place many",
                cycle=cycle,
                resource="/".join(resource),
                pods=len(placed),
                nodes=len(set(placed)),
                no_room=len(nodes) - len(placed),
            )
            continue
        for key, node in nodes.items():
            words = "place" if node else "no room"
            say(logging.INFO, words, cycle=cycle, pod="/".join(key), node=node or "-")


class _Text(logging.Formatter):
    def format(self, record: logging.LogRecord) -> str:
        fields: Mapping[str, object] = getattr(record, "fields", {})
        pairs = "".join(f" {key}={_quoted(value)}" for key, value in fields.items())
        moment = self.formatTime(record, "%Y-%m-%dT%H:%M:%S")
        line = f"{moment} {record.levelname:<7} {record.getMessage()}{pairs}"
        return f"{line}\n{self.formatException(record.exc_info)}" if record.exc_info else line


class _Json(logging.Formatter):
    def format(self, record: logging.LogRecord) -> str:
        fields: Mapping[str, object] = getattr(record, "fields", {})
        line = {
            "time": self.formatTime(record, "%Y-%m-%dT%H:%M:%S%z"),
            "level": record.levelname.lower(),
            "logger": record.name,
            "message": record.getMessage(),
            **{
                key: value if isinstance(value, int | float) else str(value)
                for key, value in fields.items()
            },
        }
        if record.exc_info:
            line["exception"] = self.formatException(record.exc_info)
        return json.dumps(line, ensure_ascii=False)


def set_up_logging(form: str, level: str) -> None:
    """Send everything to standard error in one form; libraries only from warnings on."""
    handler = logging.StreamHandler(sys.stderr)
    handler.setFormatter(_Json() if form == "json" else _Text())
    root = logging.getLogger()
    root.handlers[:] = [handler]
    root.setLevel(logging.WARNING)
    logger().setLevel(level.upper())


def to_terminal() -> None:
    """Show our warnings on standard error, unless the caller's logging shows them already."""
    if not logger().hasHandlers():
        handler = logging.StreamHandler(sys.stderr)
        handler.setFormatter(_Text())
        logger().addHandler(handler)


def _quoted(value: object) -> str:
    text = str(value)
    if text and text.isprintable() and not any(sign in text for sign in ' ="'):
        return text
    return json.dumps(text, ensure_ascii=False)
