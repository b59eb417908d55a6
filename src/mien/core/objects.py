"""JSON and YAML of strangers: small, of bounded depth, and one sentence where they are not."""

from __future__ import annotations

import json
import re
from collections.abc import Mapping
from pathlib import Path
from typing import Any, TypeVar

from pydantic import BaseModel, ValidationError

from mien.core.errors import MissingWeights

__all__ = ["check_object", "json_lines", "read_json", "read_object", "read_yaml"]

_MOST = 16_000_000
_MOST_YAML, _MOST_ALIASES = 2_000_000, 16
_AGAIN = "Train, import or export the model again, or copy its whole folder again"
Kind = TypeVar("Kind", bound=BaseModel)


def read_json(text: str | bytes) -> Any:
    """What a JSON text of strangers says.

    Raises:
        ValueError: it is none, or nested so deep that no reader follows.
    """
    try:
        return json.loads(text)
    except RecursionError as error:
        raise ValueError("JSON nested too deep") from error


def json_lines(text: str) -> list[str]:
    """The lines of a text of JSON lines that hold something; separators of Unicode belong to the texts in them."""
    return [line for line in text.split("\n") if line.strip()]


def read_object(path: Path, expected: str, most: int = _MOST) -> dict[str, Any]:
    """The JSON object in a file of at most ``most`` bytes.

    Raises:
        MissingWeights: no such file, too large, too deep, no JSON, or another value.
    """
    if not path.is_file():
        raise MissingWeights(got=f"{path}, which is not there", expected=expected, fix=_AGAIN)
    try:
        if path.stat().st_size > most:
            raise ValueError(f"{path.stat().st_size:,} bytes, at most {most:,}")
        found = read_json(path.read_text(encoding="utf-8"))
    except (OSError, ValueError) as error:
        raise MissingWeights(
            got=f"{path}, which is no JSON ({error})", expected=expected, fix=_AGAIN
        ) from error
    if not isinstance(found, dict):
        raise MissingWeights(
            got=f"{path} with a {type(found).__name__}", expected=f"{expected}: an object", fix=_AGAIN
        )
    return found


def read_yaml(text: str) -> Any:
    """What a YAML text says; ``1e-3`` is a number, as in YAML 1.2 and as everyone writes it.

    Raises:
        ValueError: it is none, too long, too deep, or multiplies itself by aliases; in one line.
    """
    import yaml

    class Loader(yaml.SafeLoader):
        aliases = 0

        def compose_node(self, parent: Any, place: Any) -> Any:
            if self.check_event(yaml.AliasEvent):
                self.aliases += 1
                if self.aliases > _MOST_ALIASES:
                    raise ValueError(f"more than {_MOST_ALIASES} aliases")
            return super().compose_node(parent, place)

    number = re.compile(r"[-+]?(\d+(\.\d*)?|\.\d+)[eE][-+]?\d+$")
    Loader.add_implicit_resolver("tag:yaml.org,2002:float", number, list("-+.0123456789"))
    if len(text) > _MOST_YAML:
        raise ValueError(f"{len(text):,} characters, at most {_MOST_YAML:,}")
    try:
        return yaml.load(text, Loader)
    except RecursionError as error:
        raise ValueError("nested too deep") from error
    except (yaml.YAMLError, ValueError, TypeError, LookupError, AttributeError, OverflowError) as error:
        raise ValueError(" ".join(str(error).split())) from error


def check_object(kind: type[Kind], fields: Mapping[str, Any], path: Path) -> Kind:
    """What the object in ``path`` says, as ``kind``.

    Raises:
        MissingWeights: an entry is absent, of another type, or out of its range; names the first.
    """
    try:
        return kind.model_validate(dict(fields))
    except ValidationError as error:
        first = error.errors(include_url=False, include_context=False)[0]
        place = ".".join(map(str, first["loc"]))
        raise MissingWeights(
            got=f"{path}, whose {place[:80]} cannot be ({first['msg'][:200]})",
            expected="what this version of mien writes",
            fix=_AGAIN,
        ) from error
