"""Identities: both signatures or none, over this message under this label; the file is its owner's."""

from __future__ import annotations

from pathlib import Path

import pytest

from fedcredit.trust.keys import (
    ED25519_SIGNATURE,
    IDENTITY_SUITE,
    PUBLIC_BYTES,
    Identity,
    KeyFileRefused,
    PublicIdentity,
    SignatureInvalid,
    transcript,
)

MESSAGE, LABEL = b"a statement", b"fedcredit/v1/test"


@pytest.fixture(scope="module")
def identity() -> Identity:
    """One identity for all tests."""
    return Identity.generate()


def test_signature_verifies(identity: Identity) -> None:
    identity.public.verify(identity.sign(MESSAGE, context=LABEL), MESSAGE, context=LABEL)


@pytest.mark.parametrize("half", ["classical", "post-quantum"])
def test_classical_only_and_pq_only_signatures_are_refused(identity: Identity, half: str) -> None:
    good, other = identity.sign(MESSAGE, context=LABEL), Identity.generate().sign(MESSAGE, context=LABEL)
    cut = ED25519_SIGNATURE
    mixed = good[:cut] + other[cut:] if half == "classical" else other[:cut] + good[cut:]
    for signature in (mixed, good[:cut], good[cut:], good[:cut] + bytes(len(good) - cut), bytes(cut) + good[cut:]):
        with pytest.raises(SignatureInvalid):
            identity.public.verify(signature, MESSAGE, context=LABEL)


def test_signature_over_another_message_or_label_is_refused(identity: Identity) -> None:
    signature = identity.sign(MESSAGE, context=LABEL)
    for message, label in ((b"another", LABEL), (MESSAGE, b"fedcredit/v1/other"), (LABEL, MESSAGE)):
        with pytest.raises(SignatureInvalid):
            identity.public.verify(signature, message, context=label)


def test_halves_of_two_identities_do_not_make_a_third(identity: Identity) -> None:
    """Both public keys are in what each half signs, so a half says whose other half it belongs to."""
    other = Identity.generate()
    chimera = PublicIdentity(identity.public.ed25519, other.public.mldsa65)
    halves = (
        identity.sign(MESSAGE, context=LABEL)[:ED25519_SIGNATURE]
        + other.sign(MESSAGE, context=LABEL)[ED25519_SIGNATURE:]
    )
    with pytest.raises(SignatureInvalid):
        chimera.verify(halves, MESSAGE, context=LABEL)


def test_any_flipped_bit_is_refused(identity: Identity) -> None:
    signature = bytearray(identity.sign(MESSAGE, context=LABEL))
    for at in (0, 40, 64, 1000, len(signature) - 1):
        signature[at] ^= 1
        with pytest.raises(SignatureInvalid):
            identity.public.verify(bytes(signature), MESSAGE, context=LABEL)
        signature[at] ^= 1


@pytest.mark.parametrize("label", [b"", b"x" * 256])
def test_statement_without_a_label_is_not_signed(identity: Identity, label: bytes) -> None:
    with pytest.raises(ValueError, match="label"):
        identity.sign(MESSAGE, context=label)


def test_public_identity_has_one_size_only(identity: Identity) -> None:
    data = identity.public.to_bytes()
    assert len(data) == PUBLIC_BYTES == 1984
    assert PublicIdentity.from_bytes(data) == identity.public
    for wrong in (data[:-1], data + b"\0", data[:32], b""):
        with pytest.raises(SignatureInvalid):
            PublicIdentity.from_bytes(wrong)


def test_suite_is_bound_into_every_signature(identity: Identity, monkeypatch: pytest.MonkeyPatch) -> None:
    signature = identity.sign(MESSAGE, context=LABEL)
    monkeypatch.setattr("fedcredit.trust.keys.IDENTITY_SUITE", IDENTITY_SUITE.replace(b"v1", b"v2"))
    with pytest.raises(SignatureInvalid):
        identity.public.verify(signature, MESSAGE, context=LABEL)


def test_identity_is_never_printed(identity: Identity) -> None:
    for text in (repr(identity), str(identity)):
        assert identity.ed25519_seed.hex() not in text
        assert repr(identity.ed25519_seed) not in text


def test_key_file_comes_back_and_is_its_owners_alone(identity: Identity, tmp_path: Path) -> None:
    path = tmp_path / "ada.key"
    identity.save(path)
    assert path.stat().st_mode & 0o777 == 0o600
    assert Identity.load(path) == identity
    assert [file.name for file in tmp_path.iterdir()] == ["ada.key"]


@pytest.mark.parametrize("mode", [0o640, 0o604, 0o660, 0o666])
def test_key_file_that_others_may_read_or_write_is_refused(identity: Identity, tmp_path: Path, mode: int) -> None:
    path = tmp_path / "ada.key"
    identity.save(path)
    path.chmod(mode)
    with pytest.raises(KeyFileRefused, match="chmod 600"):
        Identity.load(path)


def test_existing_key_file_is_never_overwritten(identity: Identity, tmp_path: Path) -> None:
    path = tmp_path / "ada.key"
    identity.save(path)
    with pytest.raises(KeyFileRefused, match="by hand"):
        Identity.generate().save(path)
    assert Identity.load(path) == identity
    assert [file.name for file in tmp_path.iterdir()] == ["ada.key"]


@pytest.mark.parametrize("content", [b"", b"not a key", IDENTITY_SUITE + b"\n" + b"z" * 128 + b"\n"])
def test_file_of_another_format_is_refused(tmp_path: Path, content: bytes) -> None:
    path = tmp_path / "ada.key"
    path.write_bytes(content)
    path.chmod(0o600)
    with pytest.raises(KeyFileRefused):
        Identity.load(path)


def test_missing_file_is_refused(tmp_path: Path) -> None:
    with pytest.raises(KeyFileRefused, match="no file"):
        Identity.load(tmp_path / "none.key")


def test_transcripts_of_different_parts_differ() -> None:
    assert transcript(b"a", b"") != transcript(b"", b"a") != transcript(b"a")
