"""Servers' certificates follow the authority: renewed in time, renewed after a change, never lost half-way."""

from __future__ import annotations

import os
import ssl
from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest

from fedcredit.errors import FedCreditError
from fedcredit.link.authority import KEY_FILE, Authority, new_key_and_csr, read_certificate, read_key
from fedcredit.trust.certificates import is_issued_by
from server.certified import Certified, gateway_certified, superlink_certified
from server.consortium.authorities import serving
from server.consortium.home import Consortium
from server.running import prepare_servers
from server.superlink_files import SECRET_BYTES, SuperLinkFiles
from tests.server.consortium.conftest import Applicant, applicant, kept, run

__all__ = ["applicant", "kept"]  # fixtures


def both(kept: Consortium) -> list[Certified]:
    return [gateway_certified(kept.places, kept.settings), superlink_certified(kept.places.folder)]


def is_of(one: Certified, authority: Authority) -> bool:
    return is_issued_by(read_certificate(one.certificate.read_text()), authority.certificate)


def fits(one: Certified) -> bool:
    """Whether a TLS server could start with the pair."""
    ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER).load_cert_chain(one.certificate, one.key)
    return read_certificate(one.certificate.read_text()).public_key() == read_key(one.key).public_key()


def soon_over(one: Certified, kept: Consortium) -> None:
    """Replace the certificate by one that was made 100 days ago for 110."""
    made = datetime.now(UTC) - timedelta(days=100)
    old = Certified(one.folder.with_name("aside"), one.name, one.hosts, 110)
    old.keep(kept.places)
    csr = new_key_and_csr(old.folder / "x.key", name=one.name)
    pem = serving(kept.places).issue(csr, role="server", name=one.name, days=110, hosts=one.hosts, now=made)
    one.certificate.write_text(pem)
    (old.folder / "x.key").replace(one.key)


def test_servers_are_of_the_new_authority_as_soon_as_the_change_is_finished(
    kept: Consortium, applicant: Callable[[str], Applicant]
) -> None:
    harbour, files = applicant("harbour"), SuperLinkFiles(kept.places.folder)
    run("approve", harbour.request())
    old = kept.authority()
    assert all(is_of(one, old) for one in both(kept))
    run("rotate", "authority")
    prepare_servers(kept)
    assert all(is_of(one, old) for one in both(kept))  # members may not know the new one yet
    assert files.root.read_text() == kept.current().authority
    assert files.root.read_text().count("BEGIN") == 2
    run("rotate", "member", harbour.request())
    run("rotate", "authority", "--finish")
    new = kept.authority()
    assert new.pem != old.pem
    assert all(is_of(one, new) and not is_of(one, old) and fits(one) for one in both(kept))
    prepare_servers(kept)
    assert files.root.read_text() == new.pem
    assert str(files.root) in files.superexec()


def test_a_certificate_of_another_authority_is_made_anew_at_the_start(kept: Consortium, tmp_path: Path) -> None:
    other = Authority.create(tmp_path / "other", name="other")
    for one in both(kept):
        one.key.unlink()
        csr = new_key_and_csr(one.key, name=one.name)
        one.certificate.write_text(other.issue(csr, role="server", name=one.name, days=365, hosts=one.hosts))
    prepare_servers(kept)
    assert all(is_of(one, kept.authority()) and fits(one) for one in both(kept))


def test_a_certificate_that_holds_stays_and_one_that_ends_soon_is_made_anew(kept: Consortium) -> None:
    for one in both(kept):
        before = one.certificate.read_bytes()
        one.keep(kept.places)
        assert one.certificate.read_bytes() == before
        soon_over(one, kept)
        ends_soon = one.certificate.read_bytes()
        one.keep(kept.places)
        assert one.certificate.read_bytes() != ends_soon
        assert fits(one)


def test_a_short_certificate_is_not_made_anew_at_every_look(kept: Consortium, tmp_path: Path) -> None:
    one = Certified(tmp_path / "short", "gateway", ("localhost",), days=7)
    one.keep(kept.places)
    before = one.certificate.read_bytes()
    one.keep(kept.places)
    assert one.certificate.read_bytes() == before


def test_without_the_authoritys_key_what_is_there_goes_on(
    kept: Consortium, caplog: pytest.LogCaptureFixture, tmp_path: Path
) -> None:
    (one, _) = both(kept)
    soon_over(one, kept)
    (kept.places.authority / KEY_FILE).rename(tmp_path / "away")
    before = one.certificate.read_bytes(), one.key.read_bytes()
    one.keep(kept.places)
    assert (one.certificate.read_bytes(), one.key.read_bytes()) == before
    assert "authority's key is away" in caplog.text
    one.certificate.unlink()
    with pytest.raises(FedCreditError, match=r"ca\.key"):
        one.keep(kept.places)


@pytest.mark.parametrize("steps", range(5))
def test_a_crash_at_any_step_leaves_a_pair_that_fits(
    kept: Consortium, steps: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Power goes before the n-th file takes its place: new key, new certificate, key moved, certificate moved."""
    (one, _) = both(kept)
    soon_over(one, kept)
    done: list[Path] = []

    class PowerCut(BaseException):
        pass

    real_replace, real_link = Path.replace, os.link

    def replace(path: Path, target: Path) -> Path:
        done.append(path)
        if len(done) > steps:
            raise PowerCut
        return real_replace(path, target)

    def link(source: Path, target: Path) -> None:
        done.append(source)
        if len(done) > steps:
            raise PowerCut
        real_link(source, target)

    before = one.certificate.read_bytes()
    with monkeypatch.context() as patched:
        patched.setattr(Path, "replace", replace)
        patched.setattr("os.link", link)
        try:
            one.keep(kept.places)
        except PowerCut:
            assert one.certificate.exists()
            assert one.key.exists()
        else:
            assert steps == 4
    one.keep(kept.places)
    assert fits(one)
    assert one.certificate.read_bytes() != before
    assert not list(one.folder.glob("new.*"))


@pytest.mark.parametrize("missing", ["server.crt", "server.key", "secret", "port", "root.crt"])
def test_each_missing_file_of_the_superlink_is_made_again(kept: Consortium, missing: str) -> None:
    files = SuperLinkFiles(kept.places.folder)
    prepare_servers(kept)
    others = {path: path.read_bytes() for path in files.folder.glob("[a-z]*") if path.name != missing}
    (files.folder / missing).unlink()
    prepare_servers(kept)
    assert (files.folder / missing).stat().st_size > 0
    assert (files.folder / missing).stat().st_mode & 0o077 == 0
    assert fits(files.certified)
    kept_too = {path: data for path, data in others.items() if not path.name.startswith("server.")}
    assert {path: path.read_bytes() for path in kept_too} == kept_too


def test_a_secret_that_was_half_written_is_made_again(kept: Consortium) -> None:
    files = SuperLinkFiles(kept.places.folder)
    files.secret.write_bytes(b"")
    files.prepare()
    assert len(files.secret.read_bytes()) == SECRET_BYTES
    assert files.secret.stat().st_mode & 0o777 == 0o600
