"""What a consortium's officers list - members, operators, studies, packages - becomes checked values, and back."""

from __future__ import annotations

import json
import re
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any, Literal

from fedcredit.errors import ConfigError
from fedcredit.trust.certificates import flower_line
from fedcredit.trust.keys import PublicIdentity, SignatureInvalid
from fedcredit.trust.words import checked_digest, checked_name, moment_of, moment_text, same_name, whole_second

Status = Literal["active", "revoked"]
MAX_SCHEMA_BYTES = 64 * 1024
MAX_BUNDLES = 100
PACKAGE = re.compile(r"[A-Za-z0-9][A-Za-z0-9._-]{0,63}")
VERSION = re.compile(r"[0-9][0-9A-Za-z.+!_-]{0,63}")
WHEEL = re.compile(r"[A-Za-z0-9_.+!-]{5,200}[.]whl")


@dataclass(frozen=True)
class Member:
    """An institution: its identity, its node's Flower key (OpenSSH) and its TLS certificate's SHA-256."""

    name: str
    identity: PublicIdentity
    flower_key: str
    certificate: str
    status: Status
    since: datetime

    def __post_init__(self) -> None:
        checked_name(self.name, where="member")
        checked_digest(self.certificate, where="member.certificate")
        if flower_line(self.flower_key, where="member.flower_key") != self.flower_key:
            raise ConfigError("member.flower_key", found="a comment", expected="the key alone")
        object.__setattr__(self, "since", whole_second(self.since))


@dataclass(frozen=True)
class Operator:
    """Somebody who may start studies: a name and the SHA-256 of the TLS certificate."""

    name: str
    certificate: str
    status: Status
    since: datetime

    def __post_init__(self) -> None:
        checked_name(self.name, where="operator")
        checked_digest(self.certificate, where="operator.certificate")
        object.__setattr__(self, "since", whole_second(self.since))


@dataclass(frozen=True)
class StudyRule:
    """What the members have agreed to run: purpose, Flower bundles by SHA-256, a JSON-schema of the task, an end."""

    study: str
    purpose: str
    bundles: tuple[str, ...]
    schema: Mapping[str, Any]
    until: datetime

    def __post_init__(self) -> None:
        checked_name(self.study, where="study")
        checked_name(self.purpose, where="study.purpose")
        object.__setattr__(self, "until", whole_second(self.until))
        if not 0 < len(self.bundles) <= MAX_BUNDLES:
            raise ConfigError("study.bundles", found=str(len(self.bundles)), expected=f"1 to {MAX_BUNDLES}")
        for digest in self.bundles:
            checked_digest(digest, where="study.bundles")
        if not self.schema or len(json.dumps(self.schema)) > MAX_SCHEMA_BYTES:
            raise ConfigError("study.schema", found="none, or a larger one", expected=f"1 to {MAX_SCHEMA_BYTES} bytes")
        # A validator would fetch a reference to elsewhere over the network.
        if any(not reference.startswith("#") for reference in _references(self.schema)):
            raise ConfigError("study.schema", found="a reference to elsewhere", expected="references that start with #")


@dataclass(frozen=True)
class Package:
    """Software that members install: name, version, and the SHA-256 that names this very build.

    wheel, wheel_sha256: the file to install it from, and its hash, where the platform hands out wheels.

    >>> Package("flwr", "1.41.0", "0" * 64).requirement
    'flwr==1.41.0'
    """

    name: str
    version: str
    sha256: str
    wheel: str = ""
    wheel_sha256: str = ""

    def __post_init__(self) -> None:
        if not PACKAGE.fullmatch(self.name) or not VERSION.fullmatch(self.version):
            raise ConfigError("package", found=f"{self.name[:80]!r} {self.version[:80]!r}", expected="name and version")
        checked_digest(self.sha256, where="package.sha256")
        if bool(self.wheel) != bool(self.wheel_sha256) or (self.wheel and not WHEEL.fullmatch(self.wheel)):
            raise ConfigError("package.wheel", found=self.wheel[:80] or "none", expected="a wheel's name and its hash")
        if self.wheel:
            checked_digest(self.wheel_sha256, where="package.wheel_sha256")

    @property
    def requirement(self) -> str:
        """A line of a requirements file: pip installs this version, and of a named wheel this very file."""
        pinned = f" --hash=sha256:{self.wheel_sha256}" if self.wheel else ""
        return f"{self.name}=={self.version}{pinned}"


@dataclass(frozen=True)
class MemberBody:
    """A member as JSON has it."""

    name: str
    identity: str
    flower_key: str
    certificate: str
    status: Status
    since: str

    def value(self) -> Member:
        """The member. Raises ConfigError."""
        identity = identity_of(self.identity, where=f"member {self.name[:80]}")
        since = moment_of(self.since, where="member.since")
        return Member(self.name, identity, self.flower_key, self.certificate, self.status, since)

    @classmethod
    def of(cls, one: Member) -> MemberBody:
        """The member as JSON has it."""
        identity = one.identity.to_bytes().hex()
        return cls(one.name, identity, one.flower_key, one.certificate, one.status, moment_text(one.since))


@dataclass(frozen=True)
class OperatorBody:
    """An operator as JSON has it."""

    name: str
    certificate: str
    status: Status
    since: str

    def value(self) -> Operator:
        """The operator. Raises ConfigError."""
        return Operator(self.name, self.certificate, self.status, moment_of(self.since, where="operator.since"))

    @classmethod
    def of(cls, one: Operator) -> OperatorBody:
        """The operator as JSON has it."""
        return cls(one.name, one.certificate, one.status, moment_text(one.since))


@dataclass(frozen=True)
class StudyBody:
    """A study's rule as JSON has it."""

    study: str
    purpose: str
    bundles: tuple[str, ...]
    schema: Mapping[str, Any]
    until: str

    def value(self) -> StudyRule:
        """The rule. Raises ConfigError."""
        return StudyRule(
            self.study, self.purpose, self.bundles, self.schema, moment_of(self.until, where="study.until")
        )

    @classmethod
    def of(cls, one: StudyRule) -> StudyBody:
        """The rule as JSON has it."""
        return cls(one.study, one.purpose, one.bundles, one.schema, moment_text(one.until))


def identity_of(said: str, *, where: str) -> PublicIdentity:
    """The public identity in hex digits. Raises ConfigError if it is none."""
    try:
        identity = PublicIdentity.from_bytes(bytes.fromhex(said))
    except (ValueError, SignatureInvalid):
        raise ConfigError(where, found="no public identity", expected="3968 hexadecimal digits") from None
    if identity.to_bytes().hex() != said:
        raise ConfigError(where, found="another spelling", expected="3968 digits of 0-9 and a-f")
    return identity


def check_apart(what: str, named: Iterable[tuple[str, str]]) -> None:
    """Return if no two active ones have a name that people would take for the same. Raises ConfigError."""
    check_once(what, [same_name(name) for name, status in named if status == "active"])


def check_once(what: str, values: Sequence[str]) -> None:
    """Return if each value is there once. Raises ConfigError."""
    if len(set(values)) < len(values):
        twice = next(value for value in values if values.count(value) > 1)
        raise ConfigError(what, found=f"{twice[:64]!r} twice", expected="each once")


def _references(schema: Any) -> Iterator[str]:
    if isinstance(schema, Mapping):
        for key, item in schema.items():
            if key in ("$ref", "$dynamicRef", "$id", "$recursiveRef"):
                yield item if isinstance(item, str) else ""
            else:
                yield from _references(item)
    elif isinstance(schema, list | tuple):
        for item in schema:
            yield from _references(item)
