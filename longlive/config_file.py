"""Configurations as strict JSON: an unknown key or a value of the wrong kind is an error that names it.

pydantic, which checks them, is imported when one is read: the engine also runs where it is not installed.
"""

from __future__ import annotations

from functools import cache
from pathlib import Path
from typing import TYPE_CHECKING, Any, TypeVar

from longlive.config import ModelConfig
from longlive.errors import CheckpointError

if TYPE_CHECKING:
    from pydantic import TypeAdapter, ValidationError

SHOWN = 4  # faults listed in a message
C = TypeVar("C")


def read_config(path: Path) -> ModelConfig:
    """The configuration of a model folder. Raises CheckpointError."""
    from pydantic import ValidationError

    try:
        return _adapter(ModelConfig).validate_json(path.read_bytes(), strict=True)
    except OSError as error:
        raise CheckpointError(f"{path} cannot be read; a model folder has a config.json") from error
    except ValidationError as error:
        raise CheckpointError(f"{path} is not a model configuration: {faults(error)}") from error


def parse_json(kind: type[C], text: bytes) -> C:
    """A configuration of a kind. Raises pydantic's ValidationError, a ValueError."""
    parsed: C = _adapter(kind).validate_json(text, strict=True)  # type: ignore[arg-type]  # classes can be hashed
    return parsed


def to_json(config: Any, indent: int | None = None) -> str:
    """What `read_config` reads."""
    return _adapter(type(config)).dump_json(config, indent=indent).decode()  # type: ignore[arg-type]


@cache
def _adapter(kind: type) -> TypeAdapter[Any]:
    """Made once for each kind: that takes longer than what it is then used for."""
    from pydantic import TypeAdapter

    return TypeAdapter(kind)


def faults(error: ValidationError) -> str:
    """What is wrong, on one line; the first few faults of a file that is something else altogether."""
    found = [f"{'.'.join(map(str, fault['loc'])) or 'it'}: {fault['msg']}" for fault in error.errors()]
    more = [f"and {len(found) - SHOWN} more"] if len(found) > SHOWN else []
    return "; ".join((*found[:SHOWN], *more))
