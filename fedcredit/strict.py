"""Parsed JSON or YAML becomes a dataclass, field by field, or is refused with the place, the fault and the remedy."""

from __future__ import annotations

import dataclasses
import difflib
from collections.abc import Mapping
from types import UnionType
from typing import Any, Literal, TypeVar, Union, get_args, get_origin, get_type_hints

from fedcredit.errors import ConfigError

T = TypeVar("T")


def build(kind: type[T], raw: Any, *, where: str, complete: bool = False) -> T:
    """An instance of the dataclass `kind` from plain mappings, lists and scalars.

    A field may be a scalar, a Literal, `X | None`, a tuple, a mapping of str, or another dataclass. An int is taken
    for a float, nothing else is converted. `complete` refuses missing fields that have a default.

    Raises:
        ConfigError: an unknown or missing key, or a value of the wrong type.

    >>> @dataclasses.dataclass
    ... class Rate:
    ...     epsilon: float
    >>> build(Rate, {"epsilon": 3}, where="privacy")
    Rate(epsilon=3.0)
    >>> build(Rate, {"epsilom": 3}, where="privacy")
    Traceback (most recent call last):
    fedcredit.errors.ConfigError: privacy: found unknown key 'epsilom', expected epsilon
    hint: did you mean 'epsilon'?
    """
    built: T = _dataclass(kind, raw, where=where, complete=complete)
    return built


def _dataclass(kind: Any, raw: Any, *, where: str, complete: bool) -> Any:
    if not isinstance(raw, Mapping):
        raise ConfigError(where, found=_name(raw), expected="a group of settings")
    fields = {field.name: field for field in dataclasses.fields(kind)}
    for key in raw:
        if key not in fields:
            near = difflib.get_close_matches(str(key), fields, n=1)
            hint = f"did you mean {near[0]!r}?" if near else ""
            raise ConfigError(where, found=f"unknown key {str(key)[:80]!r}", expected=", ".join(fields), hint=hint)
    needed = [n for n, f in fields.items() if complete or not _has_default(f)]
    missing = [name for name in needed if name not in raw]
    if missing:
        raise ConfigError(where, found=f"no {', '.join(missing)}", expected="a value for each")
    hints = get_type_hints(kind)
    values = {name: _value(hints[name], item, where=f"{where}.{name}", complete=complete) for name, item in raw.items()}
    try:
        return kind(**values)
    except ConfigError as fault:
        # A dataclass that checks itself knows its own field names, not where it stands.
        own = fault.where.split(".")[-1]
        raise ConfigError(f"{where}.{own}", found=fault.found, expected=fault.expected, hint=fault.hint) from None


def _value(kind: Any, raw: Any, *, where: str, complete: bool) -> Any:
    origin, inner = get_origin(kind), get_args(kind)
    if kind is Any:
        return raw
    if dataclasses.is_dataclass(kind):
        return _dataclass(kind, raw, where=where, complete=complete)
    if origin in (Union, UnionType):
        if raw is None and type(None) in inner:
            return None
        (only,) = [k for k in inner if k is not type(None)]
        return _value(only, raw, where=where, complete=complete)
    if origin is tuple and isinstance(raw, list | tuple):
        return tuple(_value(inner[0], item, where=f"{where}[{i}]", complete=complete) for i, item in enumerate(raw))
    if origin in (dict, Mapping) or (isinstance(origin, type) and issubclass(origin, Mapping)):
        if not isinstance(raw, Mapping):
            raise ConfigError(where, found=_name(raw), expected="a group of settings")
        return {str(k): _value(inner[1], v, where=f"{where}.{k}", complete=complete) for k, v in raw.items()}
    if origin is Literal:
        if raw in inner and type(raw) in {type(choice) for choice in inner}:
            return raw
        raise ConfigError(where, found=repr(raw)[:80], expected="one of " + ", ".join(map(str, inner)))
    if kind is float and type(raw) is int:
        try:
            return float(raw)
        except OverflowError:
            raise ConfigError(where, found="a number of too many digits", expected="a number") from None
    if type(raw) is not kind or raw != raw:
        raise ConfigError(where, found=_name(raw), expected=_expected(kind))
    return raw


def _has_default(field: dataclasses.Field[Any]) -> bool:
    return field.default is not dataclasses.MISSING or field.default_factory is not dataclasses.MISSING


def _name(raw: Any) -> str:
    return "null" if raw is None else f"{type(raw).__name__} {str(raw)[:80]!r}"


def _expected(kind: Any) -> str:
    if get_origin(kind) is tuple:
        return "a list"
    words = {int: "a whole number", float: "a number", str: "text", bool: "true or false"}
    return words.get(kind, getattr(kind, "__name__", str(kind)))
