"""Names of officers become identities, their key files signatures."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path

from fedcredit.errors import ConfigError
from fedcredit.trust.entries import identity_of
from fedcredit.trust.files import write_whole
from fedcredit.trust.keys import PUBLIC_BYTES, Identity, PublicIdentity
from fedcredit.trust.words import checked_name


def named(said: Sequence[str], *, folder: Path) -> dict[str, PublicIdentity]:
    """Officers from what a person typed: `ann` makes a key in the folder, `ann=ann.pub` takes the one of that file.

    Raises:
        ConfigError: a name is none, is there twice, or the file holds no public identity.
    """
    split = [(checked_name(name.strip(), where="officer"), file) for name, _, file in (w.partition("=") for w in said)]
    names = [name for name, _ in split]
    if len(set(names)) < len(names):
        raise ConfigError("officer", found=", ".join(names), expected="each once")
    given = {name: read_public(Path(file)) for name, file in split if file}
    return {name: given.get(name) or new_key(name, folder=folder) for name in names}


def new_key(name: str, *, folder: Path) -> PublicIdentity:
    """Make an officer's key in the folder: NAME.key, or NAME-<fingerprint>.key beside an older one."""
    folder.mkdir(parents=True, exist_ok=True, mode=0o700)
    officer = Identity.generate()
    path = folder / f"{name}.key"
    if path.exists():
        path = folder / f"{name}-{officer.public.fingerprint[:8]}.key"
    officer.save(path)
    return officer.public


def keys(folder: Path, *, said: Sequence[str], may_sign: Iterable[PublicIdentity]) -> list[Identity]:
    """The keys to sign with: those that were named by file or by name, or all in the folder, of those who may sign.

    Raises:
        ConfigError: a named key is of nobody who may sign.
        KeyFileRefused: a key file is missing or open to others.
    """
    allowed = {identity.fingerprint for identity in may_sign}
    if not said:
        here = [Identity.load(path) for path in sorted(folder.glob("*.key"))]
        return [officer for officer in here if officer.public.fingerprint in allowed]
    loaded = []
    for word in said:
        path = Path(word) if Path(word).suffix == ".key" or "/" in word else folder / f"{word}.key"
        officer = Identity.load(path)
        if officer.public.fingerprint not in allowed:
            raise ConfigError("--officer", found=f"{path.name}, of nobody who may sign", expected="an officer's key")
        loaded.append(officer)
    return loaded


def write_public(path: Path, identity: PublicIdentity) -> None:
    """Write an identity's public half as hexadecimal digits."""
    write_whole(path, identity.to_bytes().hex().encode() + b"\n", mode=0o644)


def read_public(path: Path) -> PublicIdentity:
    """The public identity in a file. Raises ConfigError if there is none."""
    try:
        with path.open("rb") as file:
            text = file.read(2 * PUBLIC_BYTES + 64).decode("ascii").strip()
    except (OSError, ValueError):
        raise ConfigError(path.name, found="no readable file", expected="a public identity in hex") from None
    return identity_of(text, where=path.name)


def changed(
    officers: Mapping[str, PublicIdentity], *, add: Sequence[str], remove: Sequence[str], folder: Path
) -> dict[str, PublicIdentity]:
    """The officers with some taken out and some put in; one that is added under a name that is there is renewed."""
    unknown = [name for name in remove if name not in officers]
    if unknown:
        raise ConfigError("--remove", found=", ".join(unknown), expected=f"some of {', '.join(officers)}")
    kept = {name: identity for name, identity in officers.items() if name not in remove}
    return kept | named(add, folder=folder)
