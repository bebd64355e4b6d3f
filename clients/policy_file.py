"""A YAML file with its officer's signature beside it becomes a policy; unsigned, edited or misspelt it is none.

The signature, `policy.yaml.sig`, is over the digest of the file's bytes, so that a comment is signed too, and over a
number that counts up, so that a policy which was replaced never comes back.
"""

from __future__ import annotations

import hashlib
import os
import re
from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path
from typing import Any

import yaml

from clients.audit_log import AuditLog, opened_log
from clients.policy import AskRefused, Policy
from clients.policy_number import LARGEST_NUMBER, Highest, Seen
from fedcredit.errors import ConfigError, FedCreditError
from fedcredit.strict import build
from fedcredit.trust.envelope import SealBroken, open_sealed, seal
from fedcredit.trust.files import write_whole
from fedcredit.trust.keys import Identity, PublicIdentity

KIND = "policy"
SIGNATURE = ".sig"
MAX_POLICY_BYTES = 64 * 1024
MAX_SIGNATURE_BYTES = 64 * 1024  # a few officers of 7 kB each
UNSIGNED = "fedcredit node policy sign, by the officer"
_STOPPED = re.compile(r"^stopped:[^\n]*$", re.MULTILINE)
Looks = tuple[tuple[int, int, int, int], ...]


class _Loader(yaml.SafeLoader):
    """YAML in which no key is said twice, of which the second would win unseen, and nothing refers to another line."""

    def compose_node(self, parent: yaml.Node | None, index: int) -> yaml.Node | None:
        if self.check_event(yaml.AliasEvent):  # a few lines of them unfold to gigabytes
            raise yaml.YAMLError("an alias")
        return super().compose_node(parent, index)

    def construct_mapping(self, node: yaml.MappingNode, deep: bool = False) -> dict[Any, Any]:
        keys = [key.value for key, _ in node.value if isinstance(key, yaml.ScalarNode)]
        if len(set(keys)) < len(node.value):
            raise yaml.YAMLError("a key twice, or one that is no word")
        return super().construct_mapping(node, deep=deep)


def parse_policy(text: str, *, where: str = "policy") -> Policy:
    """The policy in a YAML text.

    Raises:
        ConfigError: it is no YAML, or has an unknown, missing or wrong entry.

    >>> text = "{institution: a, purposes: [credit], studies: ['*'], expires: 2027-12-31}"
    >>> parse_policy(text).expires.isoformat()
    '2027-12-31'
    """
    try:
        raw = yaml.load(text, Loader=_Loader)  # noqa: S506 - a SafeLoader
    except (ValueError, RecursionError, yaml.YAMLError) as fault:
        raise ConfigError(where, found=type(fault).__name__, expected="a YAML file of a policy") from None
    if isinstance(raw, dict) and isinstance(raw.get("hours"), dict):
        # `from` is the reader's word, but no name in Python; an unquoted 20:00 is the number 1200 in YAML.
        names = {"from": "start", "to": "end"}
        raw = {**raw, "hours": {names.get(str(key), key): value for key, value in raw["hours"].items()}}
    return build(Policy, raw, where=where)


def signature_path(path: Path) -> Path:
    """Where the signature of a policy is."""
    return path.with_name(f"{path.name}{SIGNATURE}")


def sign_policy(path: Path, *, officer: Identity, log: AuditLog | None = None) -> Policy:
    """Sign the policy as it stands, once it is seen to be one, under the next number, which the log then has.

    Raises:
        ConfigError: it is no policy.
        AskRefused: the file with the highest number is none, or cannot be written.
        AuditBroken: the log takes no entry; the policy is signed all the same.
    """
    data = _bytes(path, most=MAX_POLICY_BYTES)
    policy, highest = parse_policy(_text(data, path), where=path.name), Highest(path)
    number = 1 + max(highest.known().number, _number_of(path, officer=officer.public))
    seen = Seen(number, hashlib.sha256(data).hexdigest())
    write_whole(signature_path(path), seal(_body(policy.institution, seen), kind=KIND, by=[officer]))
    highest.take(seen, note=lambda new: _note(log, new, policy))
    return policy


@dataclass(frozen=True)
class Signed:
    """A policy that the officer has signed, and which signing it was."""

    policy: Policy
    seen: Seen


def verified_policy(path: Path, *, officer: PublicIdentity) -> Policy:
    """The policy, if its bytes are those that the officer signed last. Raises AskRefused: see `verified`."""
    return verified(path, officer=officer).policy


def verified(path: Path, *, officer: PublicIdentity) -> Signed:
    """The policy and its number, if its bytes are those that the officer signed last.

    Raises:
        AskRefused: it is unsigned, edited, signed by another, misspelt, missing, or older than one that was seen; then
            nothing is answered.
    """
    try:
        data = _bytes(path, most=MAX_POLICY_BYTES)
        signed = _opened(path, officer=officer)
        policy = parse_policy(_text(data, path), where=path.name)
    except (ConfigError, SealBroken) as fault:
        raise AskRefused(
            "policy", found=f"{fault.where}: {fault.found}", expected=fault.expected, hint=UNSIGNED
        ) from None
    seen = Seen(_number_in(signed), hashlib.sha256(data).hexdigest())
    if not seen.number:
        raise AskRefused("policy", found="a signature without a number", expected="one with it", hint=UNSIGNED)
    if signed != _body(policy.institution, seen):
        raise AskRefused("policy", found="another file than was signed", expected="the signed one", hint=UNSIGNED)
    Highest(path).is_new(seen)
    return Signed(policy, seen)


@dataclass(frozen=True)
class Pinned:
    """A policy file and the officer whose signature it needs, read again when a file looks other than before.

    A signing that is new here is first put into the audit log, if there is one.
    """

    path: str
    officer: str
    audit: str = ""
    identity: str = ""

    def read(self, *, institution: str) -> Policy:
        """The policy as it stands now. Raises AskRefused: see `verified_policy`."""
        files = (self.path, f"{self.path}{SIGNATURE}", self.officer)
        try:
            looks = tuple(map(_looks, files))
        except OSError:
            expected = "the policy, its signature and the officer's public identity"
            raise AskRefused("policy", found="a file missing", expected=expected, hint=UNSIGNED) from None
        signed, is_new = _as_it_looks(self, (*looks, _looks_or_none(str(Highest(Path(self.path)).path))))
        policy = signed.policy
        if policy.institution != institution:
            raise AskRefused("policy", found="one of another institution", expected="this one's", hint=UNSIGNED)
        if is_new:
            log = opened_log(self.audit, self.identity) if self.audit and self.identity else None
            Highest(Path(self.path)).take(signed.seen, note=lambda new: _note(log, new, policy))
        return policy


def read_officer(path: Path) -> PublicIdentity:
    """The officer's public identity, in hex. Raises ConfigError: there is none in the file."""
    try:
        return PublicIdentity.from_bytes(bytes.fromhex(_bytes(path, most=MAX_POLICY_BYTES).decode("ascii").strip()))
    except (ValueError, FedCreditError):
        raise ConfigError(path.name, found="no public identity", expected="its 3968 digits in hex") from None


def read_text(path: Path) -> str:
    """The text of a policy. Raises ConfigError: no file, a larger one, or one that is not UTF-8."""
    return _text(_bytes(path, most=MAX_POLICY_BYTES), path)


def set_stopped(path: Path, *, is_stopped: bool, officer: Identity | None, log: AuditLog | None = None) -> bool:
    """Turn the kill switch and sign; whether it could be signed. All else in the file stays as it is.

    Without the officer's key the file no longer fits its signature, which stops everything as well. So a node can be
    stopped by whoever may write the file, and started again by the officer only.
    """
    text = read_text(path)
    line = f"stopped: {'true' if is_stopped else 'false'}"
    changed = _STOPPED.sub(line, text) if _STOPPED.search(text) else f"{text.rstrip()}\n{line}\n"
    if parse_policy(changed, where=path.name).stopped is not is_stopped:
        raise ConfigError(path.name, found="a `stopped` in another form", expected=f"a line `{line}`")
    write_whole(path, changed.encode())
    if officer is not None:
        sign_policy(path, officer=officer, log=log)
    return officer is not None


@lru_cache(maxsize=64)
def _as_it_looks(pinned: Pinned, looks: Looks) -> tuple[Signed, bool]:
    try:
        officer = read_officer(Path(pinned.officer))
    except ConfigError as fault:
        raise AskRefused("policy", found=fault.found, expected="the officer's public identity") from None
    signed = verified(Path(pinned.path), officer=officer)
    return signed, Highest(Path(pinned.path)).is_new(signed.seen)


def _looks(path: str) -> tuple[int, int, int, int]:
    found = os.stat(path)  # noqa: PTH116 - three a message, and a Path costs as much as the call
    return found.st_mtime_ns, found.st_ctime_ns, found.st_size, found.st_ino


def _looks_or_none(path: str) -> tuple[int, int, int, int]:
    try:
        return _looks(path)
    except OSError:
        return 0, 0, 0, 0


def _body(institution: str, seen: Seen) -> dict[str, str | int]:
    return {"institution": institution, "sha256": seen.sha256, "number": seen.number}


def _opened(path: Path, *, officer: PublicIdentity) -> dict[str, Any]:
    sealed = _bytes(signature_path(path), most=MAX_SIGNATURE_BYTES)
    return open_sealed(sealed, kind=KIND, signers=[officer], threshold=1)


def _number_in(signed: dict[str, Any]) -> int:
    """The number of a signing, 0 where it has none."""
    number = signed.get("number")
    return number if type(number) is int and 0 < number <= LARGEST_NUMBER else 0


def _number_of(path: Path, *, officer: PublicIdentity) -> int:
    """The number of the signature that is there, 0 where there is none of this officer."""
    try:
        return _number_in(_opened(path, officer=officer))
    except (ConfigError, SealBroken):
        return 0


def _note(log: AuditLog | None, seen: Seen, policy: Policy) -> None:
    if log is not None:
        facts = {"number": seen.number, "sha256": seen.sha256, "stopped": policy.stopped}
        log.append("policy", {**facts, "expires": policy.expires.isoformat()})


def _bytes(path: Path, *, most: int) -> bytes:
    try:
        with path.open("rb") as file:
            data = file.read(most + 1)
    except OSError as fault:
        raise ConfigError(path.name, found=os.strerror(fault.errno or 0).lower(), expected="a file") from None
    if len(data) > most:
        raise ConfigError(path.name, found="a larger file", expected=f"at most {most} bytes")
    return data


def _text(data: bytes, path: Path) -> str:
    try:
        return data.decode("utf-8")
    except ValueError:
        raise ConfigError(path.name, found="other bytes", expected="UTF-8") from None
