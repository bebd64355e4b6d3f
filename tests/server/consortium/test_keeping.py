"""Keeping a consortium: who leaves is out, keys change hands by signatures, and the whole history can be checked."""

from __future__ import annotations

from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest

from fedcredit.errors import ConfigError
from fedcredit.link.authority import Authority
from fedcredit.trust.certificates import certificates_in, is_issued_by
from fedcredit.trust.keys import Identity
from fedcredit.trust.manifest import ManifestFile, ManifestRefused
from server.consortium.approve import approval
from server.consortium.authorities import serving
from server.consortium.certificates import issued
from server.consortium.clash import Clash, read_requests
from server.consortium.home import ChangeWaits, Consortium
from server.consortium.pending import write_pending
from server.consortium.rotate import NotYet
from server.consortium.verify import verify
from tests.server.consortium.conftest import Applicant, run

Applicants = Callable[[str], Applicant]
Sticks = Callable[[str], Path]


def member_file(kept: Consortium, folder: Path) -> ManifestFile:
    """What a member keeps who joined now."""
    file, now = ManifestFile(folder / "manifest.json"), datetime.now(UTC)
    file.pin(kept.file.data(), fingerprint=kept.current().root_fingerprint, now=now)
    return file


def faults(kept: Consortium, *, warnings: bool = False) -> list[str]:
    checks = verify(kept, now=datetime.now(UTC))
    return [one.name for one in checks if not one.is_fine and one.is_warning == warnings]


def test_revoked_member_is_out_and_its_keys_stay_out(kept: Consortium, applicant: Applicants, tmp_path: Path) -> None:
    harbour = applicant("harbour")
    run("approve", harbour.request())
    file = member_file(kept, tmp_path)
    assert "- member" not in run("revoke", "harbour", "--dry-run").err
    assert kept.current().member("harbour") is not None
    run("revoke", "harbour")
    assert file.accept(kept.file.data(), now=datetime.now(UTC)).member("harbour") is None
    with pytest.raises(Clash, match=r"harbour \(revoked\)"):
        run("approve", harbour.request())
    fresh = applicant("harbour")
    run("approve", fresh.request())
    assert [one.status for one in kept.current().members] == ["revoked", "active"]
    with pytest.raises(ConfigError, match="no active lake"):
        run("revoke", "lake")


def test_two_officers_revoke_with_the_same_command(kept: Consortium, applicant: Applicants, scattered: Sticks) -> None:
    request = applicant("harbour").request()
    for name in ("ann", "bob"):
        run("approve", request, "--officer", scattered(name))
    run("revoke", "harbour", "--officer", scattered("ann"))
    assert kept.current().member("harbour") is not None
    run("revoke", "harbour", "--officer", scattered("eve"))
    assert kept.current().member("harbour") is None


def test_member_renews_its_certificate_under_its_identity(kept: Consortium, applicant: Applicants) -> None:
    harbour = applicant("harbour")
    run("approve", harbour.request())
    (before,) = kept.current().members
    run("rotate", "member", harbour.request())
    (after,) = kept.current().members
    assert after.certificate != before.certificate
    assert (after.identity, after.flower_key, after.status) == (before.identity, before.flower_key, "active")
    with pytest.raises(Clash, match="no active lake"):
        run("rotate", "member", applicant("lake").request())


def test_old_copy_of_a_request_does_not_bring_back_a_replaced_key(kept: Consortium, applicant: Applicants) -> None:
    harbour = applicant("harbour")
    old = harbour.request().read_bytes()
    request = harbour.folder / "harbour.fcreq"
    run("approve", request)
    run("rotate", "member", request)  # the same key: only its certificate is renewed, as often as need be
    run("rotate", "member", request)
    run("rotate", "member", harbour.request())
    request.write_bytes(old)
    with pytest.raises(Clash, match="replaced or revoked"):
        run("rotate", "member", request)
    run("revoke", "harbour")
    harbour.identity, harbour.flower = applicant("other").identity, applicant("other").flower
    fresh = harbour.request(csr=harbour.csr)
    with pytest.raises(Clash, match="replaced or revoked"):
        run("approve", fresh)


def test_of_two_changes_made_at_once_the_second_is_refused_and_the_history_stays(
    kept: Consortium, applicant: Applicants
) -> None:
    now = datetime.now(UTC)
    asked = [
        read_requests([applicant(name).request().read_bytes()], role="institution") for name in ("harbour", "lake")
    ]
    first, second = (approval(kept, one, now=now).change for one in asked)
    kept.propose(first, by=kept.keys((), first), now=now)
    with pytest.raises(ChangeWaits, match="faster"):
        kept.propose(second, by=kept.keys((), second), now=now)
    assert [one.name for one in kept.current().members] == ["harbour"]
    assert faults(kept) == []


def test_new_identity_needs_the_old_ones_signature_or_an_officers_word(kept: Consortium, applicant: Applicants) -> None:
    harbour = applicant("harbour")
    run("approve", harbour.request())
    fresh = applicant("harbour")
    with pytest.raises(Clash, match="old one has not signed"):
        run("rotate", "member", fresh.request())
    run("rotate", "member", fresh.request(also=[harbour.identity]))
    assert [(one.status, one.identity) for one in kept.current().members] == [
        ("revoked", harbour.identity.public),
        ("active", fresh.identity.public),
    ]
    lost = applicant("harbour")
    request = lost.request()
    with pytest.raises(ConfigError, match="--fingerprint"):
        run("rotate", "member", request, "--lost-key")
    run("rotate", "member", request, "--lost-key", "--fingerprint", lost.identity.public.fingerprint)
    member = kept.current().member("harbour")
    assert member is not None
    assert member.identity == lost.identity.public


def test_new_officers_are_signed_in_by_the_old_and_members_follow(
    kept: Consortium, tmp_path: Path, scattered: Sticks
) -> None:
    file, before = member_file(kept, tmp_path / "member"), kept.current()
    run("officer", "dan", "--folder", tmp_path / "stick-of-dan")
    words = ("rotate", "officers", "--add", f"dan={tmp_path / 'stick-of-dan' / 'dan.pub'}", "--remove", "ann")
    first = run(*words, "--officer", scattered("ann"), "--json").facts
    assert first["missing"] == {
        "officers": {"needed": 1, "of": ["bob", "eve"]},
        "new officers": {"needed": 2, "of": ["bob", "dan", "eve"]},
    }
    with pytest.raises(ChangeWaits, match="of bob, dan, eve"):
        run("rotate", "officers", "--remove", "ann", "--officer", scattered("bob"))
    run(*words, "--officer", scattered("bob"))
    assert kept.current() == before
    # Now the record has all it needs, and the manifest in which they have taken over wants the new ones.
    run("sign", "--officer", tmp_path / "stick-of-dan" / "dan.key")
    assert run("sign", "--officer", scattered("bob"), "--json").facts["in_force"] is True
    assert set(kept.current().officers) == {"bob", "eve", "dan"}
    assert kept.current().root_fingerprint != before.root_fingerprint
    for name in ("bob", "eve"):
        run("renew", "--officer", scattered(name))
    assert file.accept(kept.file.data(), now=datetime.now(UTC)).version == 3
    with pytest.raises(ConfigError, match="nobody who may sign"):
        run("renew", "--officer", scattered("ann"))


def test_officer_is_renewed_under_the_same_name(kept: Consortium) -> None:
    old = kept.current().officers["ann"]
    run("rotate", "officers", "--add", "ann", "--threshold", "3")
    now = kept.current()
    assert now.officers["ann"] != old
    assert (now.threshold, list(now.officers)) == (3, ["ann", "bob", "eve"])
    run("renew")
    with pytest.raises(ConfigError, match="--threshold"):
        run("rotate", "officers", "--remove", "ann")
    with pytest.raises(ConfigError, match="same officers"):
        run("rotate", "officers")
    assert faults(kept) == []


def test_new_authority_stands_beside_the_old_until_all_have_moved(kept: Consortium, applicant: Applicants) -> None:
    harbour = applicant("harbour")
    run("approve", harbour.request())
    old = kept.authority().pem
    run("rotate", "authority")
    assert len(certificates_in(kept.current().authority, where="authority", most=2)) == 2
    assert kept.authority().pem != old == serving(kept.places).pem
    assert faults(kept) == []
    assert "authority" in faults(kept, warnings=True)
    with pytest.raises(ConfigError, match="not finished"):
        run("rotate", "authority")
    with pytest.raises(NotYet, match="harbour"):
        run("rotate", "authority", "--finish")
    run("rotate", "member", harbour.request())
    run("rotate", "authority", "--finish")
    assert kept.current().authority == kept.authority().pem == serving(kept.places).pem != old
    assert not kept.places.old_authority.exists()
    (member,) = kept.current().members
    leaf = issued(kept.places, member.certificate)
    assert leaf is not None
    assert is_issued_by(leaf, kept.authority().certificate)
    assert faults(kept) == []


def test_dry_runs_of_rotations_make_no_key(kept: Consortium) -> None:
    before = sorted(kept.places.folder.rglob("*"))
    run("rotate", "officers", "--add", "dan", "--dry-run")
    run("rotate", "authority", "--dry-run")
    run("renew", "--dry-run")
    assert sorted(kept.places.folder.rglob("*")) == before


def test_renewed_manifest_holds_for_another_span(kept: Consortium) -> None:
    first = kept.current()
    run("renew")
    assert kept.current().version == 2
    assert kept.current().expires >= first.expires


def test_every_version_is_kept_and_the_chain_is_checked(kept: Consortium, applicant: Applicants) -> None:
    run("approve", applicant("harbour").request())
    run("rotate", "officers", "--add", "dan", "--remove", "eve")
    run("renew")
    assert [path.name for path in sorted(kept.places.history.iterdir())] == [f"{n:06d}.json" for n in (1, 2, 3, 4)]
    said = run("verify", "--json")
    assert (said.code, said.facts["ok"]) == (0, True)
    kept.places.version(2).write_bytes(kept.places.version(1).read_bytes())
    said = run("verify", "--json")
    assert (said.code, said.facts["ok"]) == (1, False)
    assert [row["check"] for row in said.facts["checks"] if row["state"] == "fault"] == ["history"]
    kept.places.version(2).unlink()
    assert faults(kept) == ["history"]


def test_older_manifest_in_the_place_of_the_newest_is_found(kept: Consortium) -> None:
    run("renew")
    kept.places.manifest.write_bytes(kept.places.version(1).read_bytes())
    assert faults(kept) == ["manifest"]
    with pytest.raises(ManifestRefused, match="2 or newer"):
        run("renew")


def test_verify_names_open_keys_another_authority_and_keys_that_lie_together(kept: Consortium) -> None:
    assert faults(kept, warnings=True) == ["officers"]
    (kept.places.officers / "ann.key").chmod(0o640)
    assert faults(kept) == ["officers", "key files"]
    (kept.places.officers / "ann.key").chmod(0o600)
    Authority.create(kept.places.folder / "stranger", name="pearl")
    kept.places.authority.rename(kept.places.folder / "aside")
    (kept.places.folder / "stranger").rename(kept.places.authority)
    assert faults(kept) == ["authority"]


def test_verify_warns_of_an_end_that_is_near(kept: Consortium, applicant: Applicants) -> None:
    run("approve", applicant("harbour").request())
    late = datetime.now(UTC) + timedelta(days=80)
    warned = {one.name: one.remedy for one in verify(kept, now=late) if one.is_warning}
    assert warned["manifest"] == "fedcredit consortium renew"
    assert "certificate of harbour" not in warned
    warned = {one.name: one.remedy for one in verify(kept, now=late + timedelta(days=275)) if one.is_warning}
    assert "rotate member" in warned["certificate of harbour"]


def test_expired_manifest_can_be_renewed(kept: Consortium) -> None:
    first = kept.current()
    later = first.expires + timedelta(days=1)
    with pytest.raises(ManifestRefused):
        kept.file.read(now=later)
    change = kept.prepared("renew", lambda at: kept.next_version(now=at), now=later)
    kept.propose(change, by=kept.keys((), change), now=later)
    assert kept.file.read(now=later).version == 2


def test_crash_before_the_answers_were_written_is_made_good(kept: Consortium, applicant: Applicants) -> None:
    """The manifest is in force, the change still waits: signing again writes the answers."""
    request = applicant("harbour").request()
    change = approval(kept, read_requests([request.read_bytes()], role="institution"), now=datetime.now(UTC)).change
    signed = change.signed(kept.keys((), change))
    kept.propose(signed, by=[], now=datetime.now(UTC))
    (kept.places.answers / "harbour.fcjoin").unlink()
    write_pending(kept.places.pending, signed)
    assert run("sign", "--json").facts["version"] == kept.current().version == 2
    assert (kept.places.answers / "harbour.fcjoin").exists()
    assert not kept.places.pending.exists()


def test_key_of_a_stranger_in_the_folder_is_left_out(kept: Consortium) -> None:
    Identity.generate().save(kept.places.officers / "zoe.key")
    run("renew")
    assert kept.current().version == 2
