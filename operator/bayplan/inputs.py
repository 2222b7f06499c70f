"""Errors of input that cannot be used: of a file, an object or an option."""

from dataclasses import dataclass


class InputError(Exception):
    """The user's input cannot be used; `where` names the file, line, object or option."""

    def __init__(self, where: str, message: str) -> None:
        super().__init__(f"{where}: {message}")

    @property
    def message(self) -> str:
        return str(self)


@dataclass(frozen=True, slots=True)
class Skipped:
    """A part of the input that was left out, and why."""

    where: str
    why: str
