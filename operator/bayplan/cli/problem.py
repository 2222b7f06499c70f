"""Bad input, told in one line: where it is and what is wrong. Exit code 2, never a traceback."""

import click


class BadInput(click.ClickException):
    """What the user gave cannot be read; the message names file, line or object."""

    exit_code = 2

    def __init__(self, where: str, message: str) -> None:
        text = " ".join(f"{where}: {message}".split())
        super().__init__(text if len(text) <= _LONGEST else f"{text[: _LONGEST - 1]}…")


_LONGEST = 400  # characters of one line
