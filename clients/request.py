"""An institution's name becomes four keys that never leave, and a signed request to join that holds their public halves."""

from __future__ import annotations

from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.hazmat.primitives.serialization import (
    Encoding,
    NoEncryption,
    PrivateFormat,
    PublicFormat,
    load_ssh_private_key,
)

from clients.home import NodeHome
from fedcredit.errors import PolicyRefused
from fedcredit.trust.keys import Identity, KeyFileRefused, require_private


def make_keys(home: NodeHome) -> None:
    """Make each key that is not there yet, mode 0600; one that is there is kept, so a second request is the same node.

    Raises:
        KeyFileRefused: a key that is there may be read by others, or is none.
    """
    for path in (home.identity, home.officer):
        if not path.exists():
            Identity.generate().save(path)
    home.officer_public.write_text(Identity.load(home.officer).public.to_bytes().hex() + "\n")
    if not home.flower.exists():
        key = ec.generate_private_key(ec.SECP384R1())  # the only kind that Flower's node authentication takes
        write_private(home.flower, key.private_bytes(Encoding.PEM, PrivateFormat.OpenSSH, NoEncryption()))


def flower_public(home: NodeHome) -> str:
    """The public half of the node's Flower key, as the one line of OpenSSH that a SuperLink registers.

    Raises:
        KeyFileRefused: the file is missing, open to others, or no ECDSA key on P-384.
    """
    require_private(home.flower)
    try:
        key = load_ssh_private_key(home.flower.read_bytes(), None)
    except ValueError:
        key = None
    if not isinstance(key, ec.EllipticCurvePrivateKey) or not isinstance(key.curve, ec.SECP384R1):
        raise KeyFileRefused(home.flower.name, found="another key", expected="an ECDSA key on P-384, in OpenSSH format")
    return key.public_key().public_bytes(Encoding.OpenSSH, PublicFormat.OpenSSH).decode()
