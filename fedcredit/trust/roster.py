"""The institutions that a node knows become a file: each name with the identity that was pinned for it."""

from __future__ import annotations

import json
from collections.abc import Mapping
from pathlib import Path

from fedcredit.errors import ConfigError
from fedcredit.trust.keys import PublicIdentity

MAX_ROSTER_BYTES = 16 * 1024 * 1024  # a thousand identities are 4 MB


def write_roster(path: Path, members: Mapping[str, PublicIdentity]) -> None:
    """Write names and public identities, whole or not at all."""
    said = {name: identity.to_bytes().hex() for name, identity in sorted(members.items())}
    draft = path.with_suffix(".draft")
    draft.write_text(json.dumps({"schema": 1, "members": said}, ensure_ascii=False), encoding="utf-8")
    draft.replace(path)


def read_roster(path: Path) -> dict[str, PublicIdentity]:
    """The pinned identities by name.

    Raises:
        ConfigError: there is no such file, or it is none of ours.
    """
    try:
        if path.stat().st_size > MAX_ROSTER_BYTES:
            raise ConfigError(str(path), found="a larger file", expected=f"at most {MAX_ROSTER_BYTES} bytes")
        members = json.loads(path.read_text(encoding="utf-8"))["members"]
        return {str(name): PublicIdentity.from_bytes(bytes.fromhex(key)) for name, key in members.items()}
    except (OSError, ValueError, KeyError, TypeError, AttributeError) as fault:
        raise ConfigError(
            str(path), found=f"no roster ({type(fault).__name__})", expected="names with public identities"
        ) from None
