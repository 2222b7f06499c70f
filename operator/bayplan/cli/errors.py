"""Errors of commands: each prints one line, never a traceback.

Exit codes of all commands: 0 yes or done, 1 the answer is no, 2 the input is wrong, 3 the cluster
did not answer or refused.
"""

import click


class WrongInput(click.ClickException):
    """The user's input cannot be read; the message names the file, line, object or option."""

    exit_code = 2

    def __init__(self, message: str) -> None:
        super().__init__(_line(message))


class Negative(click.ClickException):
    """The answer is no: the thing asked for does not exist, or has failed."""

    exit_code = 1

    def __init__(self, message: str) -> None:
        super().__init__(_line(message))


class NoCluster(click.ClickException):
    """The cluster did not answer, or refused; the message is the cluster's own."""

    exit_code = 3

    def __init__(self, message: str) -> None:
        super().__init__(_line(message))


class NotThere(NoCluster):
    """The cluster has no such object."""


class Changed(NoCluster):
    """The object was replaced by another of the same name, or a disruption budget is used up."""


class Refused(NoCluster):
    """The cluster understood the request and refuses it."""


class NoAnswer(NoCluster):
    """The cluster does not answer, or cannot answer now."""


def _line(text: str) -> str:
    text = " ".join(text.split())
    return text if len(text) <= _LONGEST else f"{text[: _LONGEST - 1]}…"


_LONGEST = 400  # characters of one line
