"""Receivers of notices: the administrator names them in a file; users cannot name them in a spec.

Each receiver has a URL and a file with the key that signs its notices. The file of receivers is
read once, at the start; keys are read for each notice, so that a mounted Secret can change them.
"""

import urllib.parse
from pathlib import Path
from typing import Annotated, Any

import pydantic
import yaml

from bayplan.api.batchjob import RECEIVER_PATTERN
from bayplan.inputs import no_yaml

MOST_RECEIVERS = 100
FEWEST_KEY_BYTES = 16

_LARGEST_FILE = 256 * 1024
_Name = Annotated[str, pydantic.Field(pattern=RECEIVER_PATTERN, max_length=63)]


class ReceiversError(ValueError):
    """The file cannot be used; the message says where and what to do."""


class Receiver(pydantic.BaseModel):
    """A receiver of notices; a relative `keyFile` is in the folder of the receivers' file."""

    model_config = pydantic.ConfigDict(
        frozen=True, extra="forbid", alias_generator=pydantic.alias_generators.to_camel
    )

    name: _Name
    url: str = pydantic.Field(max_length=2048)
    key_file: Path

    @pydantic.field_validator("url")
    @classmethod
    def _url_is_one(cls, url: str) -> str:
        parts = urllib.parse.urlsplit(url)
        if parts.scheme not in {"http", "https"} or not parts.hostname:
            raise ValueError("must be a URL such as https://alerts.example.com/bayplan")
        return url

    def key(self) -> bytes:
        """The present key, without white space around it. Raises OSError, ValueError."""
        key = self.key_file.read_bytes().strip()
        if len(key) < FEWEST_KEY_BYTES:
            raise ReceiversError(
                f"{self.key_file}: the key has {len(key)} bytes; write {FEWEST_KEY_BYTES} or more"
            )
        return key


class _File(pydantic.BaseModel):
    model_config = pydantic.ConfigDict(frozen=True, extra="forbid")

    receivers: tuple[Receiver, ...] = pydantic.Field(max_length=MOST_RECEIVERS)


def read(path: Path) -> dict[str, Receiver]:
    """The receivers of a file by name; raises ReceiversError if anything is wrong with it."""
    try:
        if path.stat().st_size > _LARGEST_FILE:
            raise ReceiversError(f"{path}: larger than {_LARGEST_FILE} bytes")
        told: Any = yaml.safe_load(path.read_text(encoding="utf-8"))
        listed = _File.model_validate(told)
        found = {
            one.name: one.model_copy(update={"key_file": path.parent / one.key_file})
            for one in listed.receivers
        }
        for one in found.values():
            one.key()
    except pydantic.ValidationError as error:
        first = error.errors(include_url=False)[0]
        where = ".".join(str(part) for part in first["loc"]) or "the file"
        raise ReceiversError(f"{path}: {where}: {first['msg']}") from error
    except yaml.YAMLError as error:
        raise ReceiversError(f"{path} {no_yaml(error)}") from None
    except (OSError, UnicodeError) as error:
        raise ReceiversError(f"{path}: {error}") from error
    if len(found) < len(listed.receivers):
        raise ReceiversError(f"{path}: two receivers have the same name")
    return found
