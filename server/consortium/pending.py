"""A change of a consortium waits for its officers' signatures, and becomes the manifest in force once it has enough."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, replace
from pathlib import Path

from fedcredit.errors import ConfigError
from fedcredit.strict import build
from fedcredit.trust.envelope import MAX_FILE_BYTES, SealBroken, add_signature, merge, peek, signers_of
from fedcredit.trust.files import write_whole
from fedcredit.trust.handover import KIND as HANDOVER
from fedcredit.trust.handover import officers_in
from fedcredit.trust.joining import JOIN, Role
from fedcredit.trust.keys import Identity, PublicIdentity
from fedcredit.trust.manifest import Manifest
from fedcredit.trust.membership import KIND as MANIFEST


@dataclass(frozen=True)
class Answer:
    """An answer to one request: whose, and the draft that the officers sign."""

    name: str
    role: Role
    draft: str


@dataclass(frozen=True)
class Pending:
    """What the officers are asked to sign: the next manifest with its answers, or first a handover to new officers.

    Nothing in this file is trusted because it is in this file: each part is verified when it is used.
    """

    change: str
    manifest: str = ""
    answers: tuple[Answer, ...] = ()
    handover: str = ""
    schema: int = 1

    def signed(self, by: Sequence[Identity]) -> Pending:
        """The same with the signatures of these officers on every part."""
        manifest, handover, answers = self.manifest, self.handover, self.answers
        for officer in by:
            manifest = _signed(manifest, kind=MANIFEST, by=officer) if manifest else ""
            handover = _signed(handover, kind=HANDOVER, by=officer) if handover else ""
            answers = tuple(replace(one, draft=_signed(one.draft, kind=JOIN[one.role], by=officer)) for one in answers)
        return replace(self, manifest=manifest, handover=handover, answers=answers)

    def merged(self, other: Pending) -> Pending:
        """The same with the signatures of a copy that went to an officer and came back.

        Raises:
            SealBroken: the copy is of another change, or was changed on its way.
        """
        if [(one.name, one.role) for one in self.answers] != [(one.name, one.role) for one in other.answers] or (
            bool(self.manifest) != bool(other.manifest)
        ):
            raise SealBroken("copy", found=f"{other.change!r}", expected=f"a copy of {self.change!r}, which waits")
        answers = tuple(
            replace(mine, draft=_merged(mine.draft, theirs.draft, kind=JOIN[mine.role]))
            for mine, theirs in zip(self.answers, other.answers, strict=True)
        )
        return replace(
            self,
            manifest=_merged(self.manifest, other.manifest, kind=MANIFEST),
            handover=_merged(self.handover, other.handover, kind=HANDOVER),
            answers=answers,
        )

    def draft(self) -> Manifest:
        """The manifest that is to be signed."""
        return Manifest.from_body(peek(self.manifest.encode(), kind=MANIFEST))

    def missing(self, current: Manifest | None) -> Mapping[str, Missing]:
        """Who has not signed yet and how many of them are needed, by the group that signs; empty where all is there.

        A handover needs the officers in force and the new ones; a manifest those that it names itself.
        """
        groups: dict[str, Missing] = {}
        if self.handover:
            data, new = self.handover.encode(), officers_in(self.handover.encode())
            if current is not None:
                groups["officers"] = _missing(data, HANDOVER, current.officers, threshold=current.threshold)
            groups["new officers"] = _missing(data, HANDOVER, new.identities, threshold=new.threshold)
        else:
            draft = self.draft()
            least = _missing(self.manifest.encode(), MANIFEST, draft.officers, threshold=draft.threshold)
            for one in self.answers:
                other = _missing(one.draft.encode(), JOIN[one.role], draft.officers, threshold=draft.threshold)
                least = max(least, other, key=lambda missing: missing.needed)
            groups["officers"] = least
        return {group: missing for group, missing in groups.items() if missing.needed}


@dataclass(frozen=True)
class Missing:
    """How many more signatures are needed, and who could give them."""

    needed: int
    of: tuple[str, ...]

    def __str__(self) -> str:
        return f"{self.needed} more of {', '.join(self.of)}"


def read_pending(path: Path) -> Pending | None:
    """What waits for signatures, None where nothing does. Raises ConfigError if the file is another one."""
    try:
        with path.open("rb") as file:
            data = file.read(2 * MAX_FILE_BYTES + 1)
        if len(data) > 2 * MAX_FILE_BYTES:
            raise ConfigError(path.name, found="a larger file", expected=f"at most {2 * MAX_FILE_BYTES} bytes")
        pending = build(Pending, json.loads(data), where=path.name, complete=True)
    except FileNotFoundError:
        return None
    except (ValueError, RecursionError):
        raise ConfigError(path.name, found="another format", expected="what waits for signatures") from None
    if bool(pending.manifest) == bool(pending.handover):
        raise ConfigError(path.name, found="two changes or none", expected="a manifest or a handover")
    return pending


def required_pending(path: Path) -> Pending:
    """What waits in this file. Raises ConfigError if there is none."""
    pending = read_pending(path)
    if pending is None:
        raise ConfigError(str(path), found="no file", expected="a copy of the consortium's pending.json")
    return pending


def write_pending(path: Path, pending: Pending) -> None:
    """Keep what waits for signatures, whole or not at all."""
    write_whole(path, json.dumps(asdict(pending), ensure_ascii=False, indent=1).encode())


def _signed(text: str, *, kind: str, by: Identity) -> str:
    return add_signature(text.encode(), kind=kind, by=by).decode()


def _merged(text: str, other: str, *, kind: str) -> str:
    return merge(text.encode(), other.encode(), kind=kind).decode() if text or other else ""


def _missing(data: bytes, kind: str, officers: Mapping[str, PublicIdentity], *, threshold: int) -> Missing:
    held = signers_of(data, kind=kind, signers=officers.values())
    others = tuple(name for name, identity in officers.items() if identity.fingerprint not in held)
    return Missing(max(0, threshold - len(held)), others)
