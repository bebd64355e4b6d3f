"""Revocations and renewals count whatever else lies in the folder of keys; a leaked key can be dropped at once."""

from __future__ import annotations

import logging
import os
import threading
from datetime import UTC, datetime, timedelta
from pathlib import Path

import jwt
import pytest
from cryptography.hazmat.primitives.serialization import load_pem_private_key

from fedcredit.errors import ConfigError
from server.scoring.refusal import ScoringRefused
from server.scoring.tokens import (
    ALGORITHM,
    KEY_FILE,
    OLD_PUBLIC_FILE,
    PUBLIC_FILE,
    REVOKED_FILE,
    drop_old,
    issue,
    new_key,
    revoke,
)
from server.scoring.verifier import Verifier

MALFORMED = {
    "no key": b"-----BEGIN PUBLIC KEY-----\nAAAA\n-----END PUBLIC KEY-----\n",
    # A SubjectPublicKeyInfo of an algorithm that nobody knows: UnsupportedAlgorithm, which is no ValueError.
    "unknown algorithm": b"-----BEGIN PUBLIC KEY-----\nMAwwBwYDKgMEBQADAQA=\n-----END PUBLIC KEY-----\n",
    "no text": b"\xff\x00",
    "empty": b"",
}


def token(folder: Path, **more: object) -> tuple[str, str]:
    """An Authorization header, and the token's number."""
    made, caller = issue(folder, name="li", role="ops", days=1, **more)  # type: ignore[arg-type]
    return f"Bearer {made}", caller.jti


def refused(verifier: Verifier, header: str, certificate: str | None = None) -> str:
    """What was found wrong with it."""
    with pytest.raises(ScoringRefused) as fault:
        verifier.caller(header, certificate=certificate)
    assert fault.value.code == "token"
    return fault.value.found


@pytest.mark.parametrize("content", MALFORMED.values(), ids=MALFORMED)
@pytest.mark.parametrize("name", [OLD_PUBLIC_FILE, PUBLIC_FILE])
def test_a_revocation_counts_beside_a_key_file_that_is_none(tmp_path: Path, name: str, content: bytes) -> None:
    new_key(tmp_path)
    leaving, number = token(tmp_path)
    verifier = Verifier(tmp_path)
    (tmp_path / name).write_bytes(content)
    verifier.follow()
    revoke(tmp_path, number)
    verifier.follow()
    assert "revoked" in refused(verifier, leaving) or name == PUBLIC_FILE
    staying, _ = token(tmp_path)
    if name == OLD_PUBLIC_FILE:
        assert verifier.caller(staying).name == "li"


def test_a_list_with_a_line_that_is_no_number_still_revokes(tmp_path: Path) -> None:
    new_key(tmp_path)
    leaving, number = token(tmp_path)
    (tmp_path / REVOKED_FILE).write_bytes(b"\xe4\xb8\xad\n0123")  # and a last line that was cut short
    verifier = Verifier(tmp_path)
    revoke(tmp_path, number)
    verifier.follow()
    assert refused(verifier, leaving) == "a token that was revoked"


def test_a_list_that_is_gone_still_revokes_and_one_that_cannot_be_read_stops_the_start(tmp_path: Path) -> None:
    new_key(tmp_path)
    leaving, number = token(tmp_path)
    revoke(tmp_path, number)
    verifier = Verifier(tmp_path)
    (tmp_path / REVOKED_FILE).unlink()
    verifier.follow()
    assert refused(verifier, leaving) == "a token that was revoked"
    (tmp_path / REVOKED_FILE).mkdir()
    assert not verifier.follow()
    assert refused(verifier, leaving) == "a token that was revoked"
    with pytest.raises(ConfigError, match="revoked that cannot be read"):
        Verifier(tmp_path)


def test_of_many_who_revoke_at_once_none_undoes_another(tmp_path: Path) -> None:
    numbers = [f"{number:024x}" for number in range(64)]
    together = threading.Barrier(8)

    def run(part: list[str]) -> None:
        together.wait()
        for number in part:
            revoke(tmp_path, number)

    threads = [threading.Thread(target=run, args=(numbers[k::8],)) for k in range(8)]
    for one in threads:
        one.start()
    for one in threads:
        one.join()
    assert sorted((tmp_path / REVOKED_FILE).read_text().split()) == numbers


def test_a_renewed_key_s_tokens_count_if_they_were_signed_before(tmp_path: Path) -> None:
    new_key(tmp_path)
    then = datetime.now(UTC) - timedelta(hours=2)
    before, _ = token(tmp_path, now=then)
    after, _ = token(tmp_path, now=then + timedelta(hours=1, seconds=1))  # what a thief signs with the old key
    verifier = Verifier(tmp_path)
    assert verifier.caller(after).name == "li"
    new_key(tmp_path, now=then + timedelta(hours=1))
    verifier.follow()
    assert verifier.caller(before).name == "li"
    assert refused(verifier, after) == "a token that an older key signed after its renewal"
    assert verifier.caller(token(tmp_path)[0]).name == "li"


def test_an_old_key_that_does_not_say_when_was_renewed_when_it_was_written(tmp_path: Path) -> None:
    public = new_key(tmp_path)
    before, _ = token(tmp_path, now=datetime.now(UTC) - timedelta(seconds=30))
    after, _ = token(tmp_path)
    content = public.read_bytes()
    new_key(tmp_path)
    (tmp_path / OLD_PUBLIC_FILE).write_bytes(content)
    verifier = Verifier(tmp_path)
    assert verifier.caller(before).name == "li"
    at = (datetime.now(UTC) - timedelta(seconds=10)).timestamp()
    os.utime(tmp_path / OLD_PUBLIC_FILE, (at, at))
    verifier.follow()
    assert verifier.caller(before).name == "li"
    assert refused(verifier, after) == "a token that an older key signed after its renewal"


@pytest.mark.parametrize("is_at_renewal", [True, False])
def test_a_dropped_key_s_tokens_count_no_more(tmp_path: Path, is_at_renewal: bool) -> None:
    new_key(tmp_path)
    leaked, _ = token(tmp_path)
    verifier = Verifier(tmp_path)
    assert verifier.caller(leaked).name == "li"
    new_key(tmp_path, is_old_dropped=is_at_renewal)
    if not is_at_renewal:
        drop_old(tmp_path)
    verifier.follow()
    assert refused(verifier, leaked) == "a token that is not ours"
    assert verifier.caller(token(tmp_path)[0]).name == "li"


def test_without_a_key_on_the_disk_none_is_left_in_memory(tmp_path: Path) -> None:
    new_key(tmp_path)
    good, _ = token(tmp_path)
    verifier = Verifier(tmp_path)
    assert verifier.caller(good).name == "li"
    (tmp_path / PUBLIC_FILE).unlink()
    verifier.follow()
    assert refused(verifier, good) == "a token that is not ours"


def test_a_token_that_lives_longer_than_any_is_issued_is_refused(tmp_path: Path) -> None:
    new_key(tmp_path)
    good = issue(tmp_path, name="li", role="ops", days=366)[0]
    verifier = Verifier(tmp_path)
    assert verifier.caller(f"Bearer {good}").name == "li"
    claims = jwt.decode(good, options={"verify_signature": False})
    key = load_pem_private_key((tmp_path / KEY_FILE).read_bytes(), password=None)
    for change in ({"exp": claims["exp"] + 1}, {"iat": str(claims["iat"])}, {"iat": 0}):
        longer = jwt.encode(claims | change, key, algorithm=ALGORITHM)  # type: ignore[arg-type]
        assert refused(verifier, f"Bearer {longer}") == "a token of another form"


def test_through_the_gateway_an_unbound_token_counts_for_nobody(tmp_path: Path) -> None:
    new_key(tmp_path)
    anybody_s, _ = token(tmp_path)
    bound, _ = token(tmp_path, certificate="a" * 64)
    verifier = Verifier(tmp_path)
    assert verifier.caller(anybody_s).name == "li"
    assert refused(verifier, anybody_s, "a" * 64) == "a token that is bound to no certificate"
    assert refused(verifier, anybody_s, "") == "a token that is bound to no certificate"
    assert verifier.caller(bound, certificate="a" * 64).name == "li"


def test_what_is_logged_of_a_key_file_is_the_kind_of_fault(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    new_key(tmp_path)
    verifier = Verifier(tmp_path)
    (tmp_path / OLD_PUBLIC_FILE).write_bytes(MALFORMED["unknown algorithm"])
    with caplog.at_level(logging.ERROR):
        verifier.follow()
        verifier.follow()
    assert [one.getMessage() for one in caplog.records] == ["token.old.pub is no key: UnsupportedAlgorithm"]
