"""Errors of input that cannot be used: of a file, an object or an option."""

from dataclasses import dataclass


class InputError(Exception):
    """The user's input cannot be used; `where` names the file, line, object or option."""

    def __init__(self, where: str, message: str) -> None:
        super().__init__(f"{where}: {message}")

    @property
    def message(self) -> str:
        return str(self)


def no_yaml(error: Exception) -> str:
    """That a file is no YAML and from which line on, without the error's own text.

    That quotes the file, and what it quotes may be secret.
    """
    mark = getattr(error, "problem_mark", None) or getattr(error, "context_mark", None)
    return "is no YAML" if mark is None else f"is no YAML, line {mark.line + 1}"


@dataclass(frozen=True, slots=True)
class Skipped:
    """A part of the input that was left out, and why."""

    where: str
    why: str
