"""Configurations of the settings that a folder of goldens records, by the types of their fields.

With the standard library alone: the goldens are also compared on machines that have torch and safetensors only.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import MISSING, fields
from types import UnionType
from typing import TYPE_CHECKING, Any, TypeVar, get_args, get_origin, get_type_hints

if TYPE_CHECKING:
    from _typeshed import DataclassInstance

C = TypeVar("C", bound="DataclassInstance")


def configure(kind: type[C], settings: Mapping[str, object]) -> C:
    """A configuration of that kind from values of JSON; lists become tuples, whole numbers what the field wants.

    ValueError names every setting that is missing, unknown or of another kind.
    """
    hints, known = get_type_hints(kind), {field.name: field for field in fields(kind)}
    faults = [f"{name} is unknown" for name in settings if name not in known]
    values: dict[str, Any] = {}
    for name, field in known.items():
        if name in settings:
            try:
                values[name] = _converted(settings[name], hints[name])
            except TypeError:
                faults.append(f"{name} must be {field.type}, not {json.dumps(settings[name])}")
        elif field.default is MISSING:
            faults.append(f"{name} is missing")
    if faults:
        raise ValueError("; ".join(faults))
    return kind(**values)


def _converted(value: object, hint: Any) -> object:
    """The value as a type of int, float, bool, `tuple[X, ...]` or `X | None`. TypeError if it is none of it."""
    if isinstance(hint, UnionType):
        return None if value is None else _converted(value, get_args(hint)[0])
    if get_origin(hint) is tuple and isinstance(value, list):
        return tuple(_converted(part, get_args(hint)[0]) for part in value)
    if hint is float and type(value) is int:
        return float(value)
    if hint is int and isinstance(value, float) and value.is_integer():
        return int(value)
    if type(value) is not hint:
        raise TypeError
    return value
