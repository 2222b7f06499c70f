"""What was given and cannot be used: by a file, an object or an option."""

from dataclasses import dataclass


class InputError(Exception):
    """What the user gave cannot be read; `where` names file, line, object or option."""

    def __init__(self, where: str, message: str) -> None:
        super().__init__(f"{where}: {message}")

    @property
    def message(self) -> str:
        return str(self)


@dataclass(frozen=True, slots=True)
class Skipped:
    """Something that was read and left out, and why."""

    where: str
    why: str
