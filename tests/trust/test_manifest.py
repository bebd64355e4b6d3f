"""Manifests: a newer one of the officers that are known, or of their heirs; never an older or an expired one."""

from __future__ import annotations

import json
import subprocess
import sys
import time
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from datetime import timedelta
from pathlib import Path
from typing import Any

import pytest

from fedcredit.errors import ConfigError
from fedcredit.trust.envelope import SealBroken, seal
from fedcredit.trust.fingerprint import FingerprintRefused, spaced
from fedcredit.trust.handover import Officers, seal_handover
from fedcredit.trust.manifest import Manifest, ManifestFile, ManifestRefused, StudyRule, open_manifest
from tests.trust.consortium import NOW, Issuer, flower_key, identities, manifest, officer_keys, sealed


@pytest.fixture
def kept(tmp_path: Path) -> ManifestFile:
    """A folder that goes by version 5."""
    file = ManifestFile(tmp_path / "manifest.json")
    file.pin(sealed(5), fingerprint=manifest().root_fingerprint, now=NOW)
    return file


def test_manifest_says_the_same_after_it_was_written_and_read() -> None:
    said = manifest()
    assert Manifest.from_body(json.loads(json.dumps(said.body()))) == said
    assert open_manifest(sealed(), now=NOW) == said
    assert said.member("harbour") == said.active_members[0]
    assert said.operator("desk") == said.operators[0]
    assert said.member("nobody") is said.rule_for("nothing") is None


def test_newer_version_of_the_same_officers_is_taken_and_read_again(kept: ManifestFile) -> None:
    assert kept.accept(sealed(9, by=("bob", "eve")), now=NOW).version == 9
    assert kept.read(now=NOW).version == kept.highest_version() == 9
    assert ManifestFile(kept.path).read(now=NOW).version == 9


def test_same_version_with_one_more_signature_is_the_same_manifest(kept: ManifestFile) -> None:
    kept.accept(sealed(5, by=("ann", "bob", "eve")), now=NOW)
    assert len(json.loads(kept.data())["signatures"]) == 3


def test_rolled_back_manifest_is_refused(kept: ManifestFile) -> None:
    before = kept.data()
    with pytest.raises(ManifestRefused, match="5 or newer"):
        kept.accept(sealed(4), now=NOW)
    assert kept.data() == before


def test_rolled_back_manifest_is_refused_also_after_the_file_was_deleted(kept: ManifestFile) -> None:
    kept.path.unlink()
    with pytest.raises(ManifestRefused, match="no file"):
        kept.read(now=NOW)
    with pytest.raises(ManifestRefused, match="5 or newer"):
        kept.accept(sealed(4), now=NOW)
    with pytest.raises(ManifestRefused, match="5 or newer"):
        kept.pin(sealed(4), fingerprint=manifest().root_fingerprint, now=NOW)
    assert kept.accept(sealed(5), now=NOW).version == 5


def test_older_manifest_put_in_the_place_of_the_newer_one_is_refused(kept: ManifestFile) -> None:
    kept.path.write_bytes(sealed(4))
    with pytest.raises(ManifestRefused, match="5 or newer"):
        kept.read(now=NOW)


def test_same_version_with_other_content_is_refused(kept: ManifestFile) -> None:
    with pytest.raises(ManifestRefused, match="other content under version 5"):
        kept.accept(sealed(5, gateway="gateway.example:8443"), now=NOW)
    kept.path.write_bytes(sealed(5, gateway="gateway.example:8443"))
    with pytest.raises(ManifestRefused, match="other content under version 5"):
        kept.read(now=NOW)


def test_expired_manifest_is_refused_but_leads_on_to_a_newer_one(kept: ManifestFile) -> None:
    late = NOW + timedelta(days=90)
    with pytest.raises(ManifestRefused, match="expired on"):
        kept.read(now=late)
    with pytest.raises(ManifestRefused, match="expired on"):
        kept.accept(sealed(6), now=late)
    assert kept.highest_version() == 5
    assert kept.accept(sealed(7, expires=late + timedelta(days=1)), now=late).version == 7


def test_unsigned_manifest_and_one_with_too_few_signatures_are_refused(kept: ManifestFile) -> None:
    for by in ((), ("ann",), ("ann", "other")):
        data = sealed(6, by=by) if by else seal(manifest(6).body(), kind="manifest", by=[])
        with pytest.raises(SealBroken, match="2 of different people"):
            kept.accept(data, now=NOW)
    assert kept.highest_version() == 5


def test_newer_manifest_signed_only_by_new_officers_is_refused(kept: ManifestFile) -> None:
    new: dict[str, Any] = {"officers": {name: identities()[name].public for name in ("new-ann", "new-bob")}}
    with pytest.raises(SealBroken, match="0 signatures"):
        kept.accept(sealed(6, by=("new-ann", "new-bob"), **new), now=NOW)
    with pytest.raises(SealBroken, match="1 signatures"):
        kept.accept(sealed(6, by=("new-ann", "new-bob", "ann"), **new), now=NOW)
    # The old officers alone cannot put names in without their hand either.
    with pytest.raises(SealBroken, match="0 signatures"):
        kept.accept(sealed(6, by=("ann", "bob"), **new), now=NOW)
    assert kept.accept(sealed(6, by=("new-ann", "new-bob", "ann", "bob"), **new), now=NOW).version == 6
    with pytest.raises(SealBroken, match="0 signatures"):
        kept.accept(sealed(7), now=NOW)  # and the old ones have no say any more


def handed_over(version: int, names: tuple[str, ...], by: tuple[str, ...], *, consortium: str = "pearl") -> str:
    officers = Officers(consortium, version, 2, {name: identities()[name].public for name in names})
    return seal_handover(officers, by=officer_keys(*by))


def test_node_that_slept_through_two_changes_of_officers_follows_them(kept: ManifestFile) -> None:
    second, third = ("eve", "new-ann", "new-bob"), ("new-bob", "other", "harbour")
    records = (
        handed_over(6, second, ("ann", "bob", "new-ann", "new-bob")),
        handed_over(8, third, ("new-ann", "new-bob", "other", "harbour")),
    )
    new: dict[str, Any] = {"officers": {name: identities()[name].public for name in third}}
    by = ("other", "harbour")
    for few in ((), records[1:], records[:1]):
        with pytest.raises(SealBroken):
            kept.accept(sealed(12, by=by, handovers=few, **new), now=NOW)
    assert kept.accept(sealed(12, by=by, handovers=records, **new), now=NOW).version == 12
    assert kept.read(now=NOW).version == 12


@pytest.mark.parametrize("by", [("ann", "new-ann", "new-bob"), ("ann", "bob", "new-ann"), ("other", "new-ann")])
def test_handover_without_enough_old_and_enough_new_officers_is_refused(
    kept: ManifestFile, by: tuple[str, ...]
) -> None:
    new: dict[str, Any] = {"officers": {name: identities()[name].public for name in ("new-ann", "new-bob")}}
    record = handed_over(6, ("new-ann", "new-bob"), by)
    with pytest.raises(SealBroken):
        kept.accept(sealed(6, by=("new-ann", "new-bob"), handovers=(record,), **new), now=NOW)


def test_handover_of_another_consortium_or_of_a_later_version_is_refused(kept: ManifestFile) -> None:
    everybody = ("ann", "bob", "new-ann", "new-bob")
    new: dict[str, Any] = {"officers": {name: identities()[name].public for name in ("new-ann", "new-bob")}}
    for record in (
        handed_over(6, ("new-ann", "new-bob"), everybody, consortium="delta"),
        handed_over(7, ("new-ann", "new-bob"), everybody),
    ):
        with pytest.raises(SealBroken, match="another manifest"):
            kept.accept(sealed(6, by=("new-ann", "new-bob"), handovers=(record,), **new), now=NOW)


def test_manifest_is_not_accepted_before_its_fingerprint_was_compared(tmp_path: Path) -> None:
    file = ManifestFile(tmp_path / "manifest.json")
    with pytest.raises(ManifestRefused, match="pinned"):
        file.accept(sealed(), now=NOW)
    file.path.write_bytes(sealed())
    with pytest.raises(ManifestRefused, match="pinned"):
        file.read(now=NOW)


def test_wrong_and_short_fingerprints_are_refused(tmp_path: Path) -> None:
    file, right = ManifestFile(tmp_path / "manifest.json"), manifest().root_fingerprint
    wrong = ("0" if right[0] != "0" else "1") + right[1:]
    for said in ("", right[:15], wrong, wrong[:16], right + "0"):
        with pytest.raises(FingerprintRefused):
            file.pin(sealed(), fingerprint=said, now=NOW)
    assert not file.path.exists()
    assert file.pin(sealed(), fingerprint=spaced(right).upper(), now=NOW).version == 1


def test_fingerprint_changes_with_officers_threshold_authority_and_name() -> None:
    fewer = {name: identities()[name].public for name in ("ann", "bob")}
    others = [
        manifest(officers=fewer),
        manifest(threshold=1),
        manifest(authority=Issuer.new().pem),
        manifest(consortium="delta"),
    ]
    assert len({one.root_fingerprint for one in [manifest(), *others]}) == 5
    assert manifest(7).root_fingerprint == manifest().root_fingerprint


def test_manifest_of_another_consortium_is_refused(kept: ManifestFile) -> None:
    with pytest.raises(ManifestRefused, match="that of pearl"):
        kept.accept(sealed(6, consortium="delta"), now=NOW)


def test_crash_between_the_two_files_leaves_the_newer_manifest_in_force(kept: ManifestFile) -> None:
    kept.path.write_bytes(sealed(6))  # written; the side file still says 5
    assert kept.read(now=NOW).version == kept.highest_version() == 6


def test_side_file_of_other_content_is_refused(kept: ManifestFile) -> None:
    for text in ("", "{}", "[1]", '{"schema":1}'):
        kept.highest.write_text(text)
        with pytest.raises(ManifestRefused, match="restore"):
            kept.read(now=NOW)


def test_unknown_missing_and_mistyped_fields_are_refused() -> None:
    for change in (
        {"note": ""},
        {"version": "1"},
        {"version": 0},
        {"version": True},
        {"threshold": 0},
        {"threshold": 4},
        {"issued": "2027-01-15"},
        {"issued": "2027-01-15T08:30:00+00:00"},
        {"expires": "2027-01-15T08:30:00Z"},
        {"gateway": "gateway.example"},
        {"gateway": "https://gateway.example:443"},
        {"gateway": "gateway.example:0"},
        {"authority": "no PEM"},
        {"consortium": "../pearl"},
        {"officers": {"ann": "00"}},
        {"members": [{"name": "harbour"}]},
    ):
        with pytest.raises(ManifestRefused):
            Manifest.from_body(manifest().body() | change)
    for name in manifest().body():
        with pytest.raises(ManifestRefused):
            Manifest.from_body({key: item for key, item in manifest().body().items() if key != name})


def test_one_key_under_two_names_is_refused() -> None:
    (harbour,) = manifest().members
    other = replace(harbour, name="lake", identity=identities()["other"].public, flower_key=flower_key())
    other = replace(other, certificate="c" * 64)
    assert len(manifest(members=(harbour, other)).members) == 2
    for clash in (
        {"name": "harbour"},
        {"name": "HARBOUR"},
        {"name": "ｈarbour"},
        {"identity": harbour.identity},
        {"flower_key": harbour.flower_key},
        {"certificate": harbour.certificate},
        {"certificate": "d" * 64},  # the operator's
    ):
        with pytest.raises(ConfigError, match="twice"):
            manifest(members=(harbour, replace(other, **clash)))  # type: ignore[arg-type]


def test_revoked_member_is_out_but_its_keys_never_come_back() -> None:
    (harbour,) = manifest().members
    gone = replace(harbour, status="revoked")
    assert manifest(members=(gone,)).member("harbour") is None
    fresh = replace(harbour, identity=identities()["other"].public, flower_key=flower_key(), certificate="c" * 64)
    assert manifest(members=(gone, fresh)).member("harbour") == fresh
    with pytest.raises(ConfigError, match="twice"):
        manifest(members=(gone, replace(fresh, flower_key=harbour.flower_key)))


def test_one_officer_under_two_names_is_refused() -> None:
    ann = identities()["ann"].public
    with pytest.raises(ConfigError, match="twice"):
        manifest(officers={"ann": ann, "anna": ann})


@pytest.mark.parametrize(
    "schema",
    [
        {},
        {"$ref": "https://example.org/schema.json"},
        {"properties": {"epsilon": {"anyOf": [{"$ref": "file:///etc/passwd"}]}}},
        {"$id": "https://example.org/"},
        {"description": "x" * 70_000},
    ],
)
def test_study_schema_that_is_empty_too_large_or_leads_elsewhere_is_refused(schema: dict[str, Any]) -> None:
    with pytest.raises(ConfigError, match="schema"):
        StudyRule("s", "credit-risk", ("b" * 64,), schema, NOW)


def test_manifest_that_is_published_while_another_process_reads_is_what_that_process_reads(
    kept: ManifestFile, tmp_path: Path
) -> None:
    """Else a reader that began before would take the newer one for a rollback, or write the older one over it."""
    newer = ManifestFile(tmp_path / "elsewhere" / "manifest.json")
    newer.pin(kept.data(), fingerprint=manifest().root_fingerprint, now=NOW)
    newer.accept(sealed(6), now=NOW)
    with ThreadPoolExecutor(1) as other:
        with kept._locked():  # as who publishes holds it
            reading = other.submit(kept.read, now=NOW)
            time.sleep(0.3)
            kept.path.write_bytes(newer.path.read_bytes())
            kept.highest.write_bytes(newer.highest.read_bytes())
        assert reading.result(timeout=30).version == 6
    assert kept.data() == newer.data()


READ_ONLY = """\
import subprocess, sys
from pathlib import Path
from fedcredit.trust.manifest import ManifestFile
from tests.trust.consortium import NOW
folder = Path(sys.argv[1])
subprocess.run(["mount", "--bind", folder, folder], check=True)
subprocess.run(["mount", "-o", "remount,ro,bind", folder], check=True)
print(ManifestFile(folder / "manifest.json").read(now=NOW).version)
"""


def test_manifest_is_read_where_the_disk_is_read_only(kept: ManifestFile) -> None:
    """As the platform's containers have it."""
    own_mounts = ["unshare", "--user", "--map-root-user", "--mount"]
    if subprocess.run([*own_mounts, "true"], capture_output=True, check=False).returncode:
        pytest.skip("no mount namespaces here")
    command = [*own_mounts, sys.executable, "-c", READ_ONLY, str(kept.path.parent)]
    assert subprocess.run(command, capture_output=True, text=True, check=True).stdout == "5\n"
