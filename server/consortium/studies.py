"""What officers allow of a study - purpose, code, parameters, last day - becomes a rule in the manifest."""

from __future__ import annotations

import copy
import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, date, datetime, time, timedelta
from importlib.resources import files
from pathlib import Path
from typing import Any

from fedcredit.errors import ConfigError
from fedcredit.trust.entries import MAX_SCHEMA_BYTES
from fedcredit.trust.manifest import Manifest, StudyRule
from server.consortium.home import Consortium

DRAFT = "https://json-schema.org/draft/2020-12/schema"


@dataclass(frozen=True)
class Limits:
    """What a study may ask for at most; None leaves the default schema's own maximum.

    epsilon, rounds: a limit on either means that the study is private. kinds: of model. masked: updates leave in
    masked sums only. features: the input columns that it may name.
    """

    epsilon: float | None = None
    rounds: int | None = None
    kinds: tuple[str, ...] = ()
    features: tuple[str, ...] = ()
    masked: bool = False
    exact_metrics: bool = True


def task_schema() -> dict[str, Any]:
    """The widest task that is ever allowed, as JSON-schema (draft 2020-12)."""
    raw: dict[str, Any] = json.loads((files("server") / "deploy" / "task.schema.json").read_text(encoding="utf-8"))
    return raw


def narrowed(schema: Mapping[str, Any], *, study: str, limits: Limits) -> dict[str, Any]:
    """The schema for one study: its name is fixed, and nothing is over the limits.

    >>> schema = narrowed(task_schema(), study="quickstart", limits=Limits(epsilon=3.0))
    >>> schema["properties"]["study"], schema["properties"]["privacy"]["properties"]["epsilon"]["maximum"]
    ({'const': 'quickstart'}, 3.0)
    """
    made = copy.deepcopy(dict(schema))
    properties = made["properties"]
    properties["study"] = {"const": study}
    if limits.kinds:
        properties["model"]["properties"]["kind"] = {"enum": list(limits.kinds)}
    if limits.features:
        properties["features"]["items"] = {"enum": list(limits.features)}
    if limits.masked:
        properties["masking"] = {"$ref": "#/$defs/masking"}
    if not limits.exact_metrics:
        properties["metrics"] = {"const": "none"}
    if limits.epsilon is not None or limits.rounds is not None:
        privacy = copy.deepcopy(made["$defs"]["privacy"])
        if limits.epsilon is not None:
            privacy["properties"]["epsilon"]["maximum"] = limits.epsilon
        if limits.rounds is not None:
            privacy["properties"]["rounds"]["maximum"] = limits.rounds
        properties["privacy"] = privacy
    return made


def read_schema(path: Path) -> dict[str, Any]:
    """A study's own schema. Raises ConfigError if it is no JSON-schema of draft 2020-12 of one object."""
    try:
        with path.open("rb") as file:
            data = file.read(MAX_SCHEMA_BYTES + 1)
        raw = json.loads(data.decode())
    except FileNotFoundError:
        raise ConfigError("--schema", found=f"no file {path.name}", expected="a JSON-schema") from None
    except (ValueError, RecursionError):
        raise ConfigError(path.name, found="other text", expected=f"JSON of at most {MAX_SCHEMA_BYTES} bytes") from None
    if not isinstance(raw, dict):
        raise ConfigError(path.name, found="a list or a word", expected="a JSON-schema")
    check_schema(raw, where=path.name)
    return raw


def check_schema(schema: Mapping[str, Any], *, where: str) -> None:
    """Return if nodes can apply the schema and it is closed: a key that it does not know is refused.

    Raises:
        ConfigError: it is not of draft 2020-12, or takes what it does not name.
    """
    from jsonschema import Draft202012Validator, SchemaError

    if schema.get("$schema", DRAFT) != DRAFT:
        raise ConfigError(where, found="another draft of JSON-schema", expected=DRAFT)
    try:
        Draft202012Validator.check_schema(dict(schema))
    except SchemaError as fault:
        place = ".".join(str(part) for part in fault.absolute_path)
        raise ConfigError(where, found=f"no JSON-schema at {place or 'the top'}", expected="draft 2020-12") from None
    if schema.get("type") != "object" or schema.get("additionalProperties") is not False:
        expected = 'one with "type": "object" and "additionalProperties": false'
        raise ConfigError(where, found="a schema that takes what it does not name", expected=expected)


def last_moment(day: str) -> datetime:
    """The end of the last day, in UTC. Raises ConfigError if it is no day."""
    try:
        return datetime.combine(date.fromisoformat(day), time(23, 59, 59), UTC)
    except ValueError:
        raise ConfigError("--until", found=repr(day[:40]), expected="a day such as 2027-12-31") from None


def a_year_from(moment: datetime) -> datetime:
    """The end of the day 365 days later, in UTC."""
    return last_moment((moment.astimezone(UTC) + timedelta(days=365)).date().isoformat())


def allowed(consortium: Consortium, rule: StudyRule, *, now: datetime) -> Manifest:
    """The next manifest with the rule, in the place of an older one for the study. Raises ConfigError."""
    if rule.until <= now:
        raise ConfigError("--until", found=f"{rule.until:%Y-%m-%d}, which is over", expected="a day to come")
    check_schema(rule.schema, where="schema")
    others = [one for one in consortium.current().studies if one.study != rule.study]
    return consortium.next_version(now=now, studies=(*others, rule))


def forbidden(consortium: Consortium, study: str, *, now: datetime) -> Manifest:
    """The next manifest without the study. Raises ConfigError if it has none."""
    current = consortium.current()
    others: Sequence[StudyRule] = [one for one in current.studies if one.study != study]
    if len(others) == len(current.studies):
        known = ", ".join(one.study for one in current.studies) or "none yet"
        raise ConfigError("NAME", found=f"no study {study}", expected=f"one of {known}")
    return consortium.next_version(now=now, studies=tuple(others))
