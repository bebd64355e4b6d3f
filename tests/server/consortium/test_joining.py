"""Founding a consortium and letting institutions in: one command, or one of each officer; impostors named."""

from __future__ import annotations

import json
from collections.abc import Callable
from datetime import UTC, date, datetime, timedelta
from pathlib import Path

import pytest

from clients.policy_file import parse_policy
from fedcredit.errors import ConfigError
from fedcredit.trust.envelope import SealBroken
from fedcredit.trust.fingerprint import FingerprintRefused
from fedcredit.trust.joining import Join, RequestRefused, read_join
from fedcredit.trust.keys import Identity, KeyFileRefused
from server.consortium.answers import policy_draft
from server.consortium.clash import Clash
from server.consortium.home import ChangeWaits, Consortium
from tests.server.consortium.conftest import Applicant, run

Applicants = Callable[[str], Applicant]
Sticks = Callable[[str], Path]


def answer(path: Path, consortium: Consortium) -> Join:
    return read_join(path.read_bytes(), fingerprint=consortium.current().root_fingerprint[:16], now=datetime.now(UTC))


def test_new_consortium_has_a_signed_manifest_private_keys_and_its_fingerprint(kept: Consortium) -> None:
    manifest = kept.current()
    assert (manifest.version, manifest.threshold, list(manifest.officers)) == (1, 2, ["ann", "bob", "eve"])
    assert {"fedcredit", "flwr", "torch", "cryptography", "opacus"} == {one.name for one in manifest.packages}
    assert all(path.stat().st_mode & 0o077 == 0 for path in kept.places.folder.rglob("*.key"))
    assert run("members", "--json").facts["fingerprint"] == manifest.root_fingerprint
    assert manifest.root_fingerprint[:4] in run("members").out
    with pytest.raises(ConfigError, match="a consortium in"):
        run("init", "pearl", "--gateway", "gateway.example:443", "--officers", "ann", "--threshold", "1")


@pytest.mark.parametrize(
    ("officers", "threshold", "gateway"),
    [
        ("ann,bob", "3", "g.example:443"),
        ("ann,ann", "1", "g.example:443"),
        ("ann", "0", "g.example:443"),
        ("ann", "1", "g.example"),
        ("../ann", "1", "g.example:443"),
    ],
)
def test_impossible_consortium_is_refused_and_nothing_is_kept(
    own_home: Path, officers: str, threshold: str, gateway: str
) -> None:
    with pytest.raises(ConfigError):
        run("init", "pearl", "--gateway", gateway, "--officers", officers, "--threshold", threshold)
    assert not (own_home / "consortium" / "consortium.yaml").exists()


def test_one_command_lets_an_institution_in(kept: Consortium, applicant: Applicants) -> None:
    harbour = applicant("harbour")
    request = harbour.request()
    said = run("approve", request)
    assert said.out.strip() == str(request.with_suffix(".fcjoin"))
    fingerprint = harbour.identity.public.fingerprint
    assert f"{fingerprint[:4]} {fingerprint[4:8]}" in said.err  # to be compared on the telephone
    joined = answer(request.with_suffix(".fcjoin"), kept)
    member = joined.members().member("harbour")
    assert member is not None
    assert member.identity == harbour.identity.public
    assert (joined.gateway, joined.server_name) == ("gateway.example:443", "gateway.example")
    assert kept.current().version == joined.members().version == 2
    assert joined.software == kept.current().packages
    assert not kept.places.pending.exists()


def test_policy_draft_names_the_institution_and_ends_in_a_year(kept: Consortium, applicant: Applicants) -> None:
    import yaml

    request = applicant("某银行, a").request()
    run("approve", request)
    policy = yaml.safe_load(answer(request.with_suffix(".fcjoin"), kept).policy)
    assert policy["institution"] == "某银行, a"
    year = timedelta(days=365)
    assert abs(policy["expires"] - (datetime.now(UTC) + year).date()) <= timedelta(days=1)
    assert (policy["purposes"], policy["metrics"], policy["smallest_cohort"]) == (["credit-risk"], "none", 4)


def test_policy_draft_is_a_policy_that_a_node_takes() -> None:
    policy = parse_policy(policy_draft('a "bank": no # 1', until=date(2027, 12, 31)))
    assert (policy.institution, policy.expires, policy.stopped) == ('a "bank": no # 1', date(2027, 12, 31), False)
    assert (policy.require_masks, policy.least_sum, policy.is_private_only) == (True, 4, True)


def test_several_requests_make_one_version(kept: Consortium, applicant: Applicants, tmp_path: Path) -> None:
    requests = [applicant(name).request() for name in ("harbour", "lake", "hill")]
    said = run("approve", *requests, "--out", tmp_path / "answers", "--json").facts
    assert said["version"] == 2
    assert [Path(file).name for file in said["files"]] == ["harbour.fcjoin", "lake.fcjoin", "hill.fcjoin"]
    assert [answer(Path(file), kept).institution for file in said["files"]] == ["harbour", "lake", "hill"]


def test_officers_sign_one_after_the_other_with_keys_that_are_elsewhere(
    kept: Consortium, scattered: Sticks, applicant: Applicants
) -> None:
    request = applicant("harbour").request()
    first = run("approve", request, "--officer", scattered("bob"), "--json").facts
    assert first["in_force"] is False
    assert first["missing"] == {"officers": {"needed": 1, "of": ["ann", "eve"]}}
    assert not request.with_suffix(".fcjoin").exists()
    assert kept.current().version == 1
    again = run("approve", request, "--officer", scattered("bob"))  # the same officer counts once
    assert "1 more of ann, eve" in again.err
    second = run("approve", request, "--officer", scattered("eve"), "--json").facts
    assert second["in_force"] is True
    assert answer(request.with_suffix(".fcjoin"), kept).members().member("harbour") is not None
    assert not kept.places.pending.exists()


def test_without_any_key_the_change_waits_for_all_who_have_to_sign(
    kept: Consortium, scattered: Sticks, applicant: Applicants
) -> None:
    request = applicant("harbour").request()
    assert run("approve", request, "--json").facts["missing"] == {
        "officers": {"needed": 2, "of": ["ann", "bob", "eve"]}
    }
    run("sign", "--officer", scattered("ann"))
    said = run("sign", "--officer", scattered("bob"), "--json").facts
    assert said["in_force"] is True
    assert said["files"] == [str(kept.places.answers / "harbour.fcjoin")]
    assert answer(kept.places.answers / "harbour.fcjoin", kept).institution == "harbour"
    with pytest.raises(ConfigError, match="nothing that waits"):
        run("sign")


def test_officers_sign_copies_at_home_and_their_keys_never_come_to_the_platform(
    kept: Consortium, scattered: Sticks, applicant: Applicants, tmp_path: Path
) -> None:
    request = applicant("harbour").request()
    run("approve", request)
    copies = []
    for name in ("ann", "bob"):
        copy, manifest = tmp_path / f"{name}.json", tmp_path / "manifest.json"
        copy.write_bytes(kept.places.pending.read_bytes())
        manifest.write_bytes(kept.file.data())
        words = ("countersign", copy, "--manifest", manifest, "--officer", scattered(name))
        before = copy.read_bytes()
        said = run(*words, "--dry-run").err
        assert "+ member harbour" in said
        assert "answer to harbour: gateway.example:443 as gateway.example, the usual draft of a policy" in said
        assert copy.read_bytes() == before
        run(*words)
        copies.append(copy)
    assert run("sign", "--from", copies[0], "--json").facts["missing"]["officers"]["needed"] == 1
    assert run("sign", "--from", copies[1], "--json").facts["in_force"] is True
    assert answer(kept.places.answers / "harbour.fcjoin", kept).institution == "harbour"
    with pytest.raises(ConfigError, match="nothing that waits"):
        run("sign", "--from", copies[0])


def test_copy_of_another_change_or_one_that_was_changed_is_refused(
    kept: Consortium, scattered: Sticks, applicant: Applicants, tmp_path: Path
) -> None:
    run("approve", applicant("lake").request(), "--officer", scattered("ann"))
    other = tmp_path / "other.json"
    other.write_bytes(kept.places.pending.read_bytes())
    run("sign", "--drop")
    run("approve", applicant("harbour").request(), "--officer", scattered("ann"))
    with pytest.raises(SealBroken, match="a copy of 'approve harbour'"):
        run("sign", "--from", other)
    other.write_text(kept.places.pending.read_text().replace("gateway.example:443", "gateway.example:444"))
    with pytest.raises(SealBroken, match="another body"):
        run("sign", "--from", other)
    with pytest.raises(ConfigError, match="no file"):
        run("sign", "--from", tmp_path / "nothing.json")


def test_officer_is_warned_of_an_answer_with_another_policy(
    kept: Consortium, scattered: Sticks, applicant: Applicants
) -> None:
    request = applicant("harbour").request()
    run("approve", request, "--officer", scattered("ann"))
    text = kept.places.pending.read_text()
    kept.places.pending.write_text(text.replace("require_masks: true", "require_masks: false"))
    assert kept.places.pending.read_text() != text
    assert "NOT THE USUAL" in run("sign", "--dry-run").err
    with pytest.raises(ChangeWaits, match="more or other"):
        run("approve", request, "--officer", scattered("bob"))


def test_officer_at_home_is_shown_the_difference_to_the_right_version(
    kept: Consortium, scattered: Sticks, applicant: Applicants, tmp_path: Path
) -> None:
    first = tmp_path / "first.json"
    first.write_bytes(kept.file.data())
    for name in ("ann", "bob"):
        run("renew", "--officer", scattered(name))
    run("approve", applicant("harbour").request(), "--officer", scattered("ann"))
    copy = tmp_path / "copy.json"
    copy.write_bytes(kept.places.pending.read_bytes())
    words = ("countersign", copy, "--officer", scattered("bob"), "--manifest")
    with pytest.raises(ConfigError, match="version 1 of pearl"):
        run(*words, first)
    with pytest.raises(ConfigError, match="no file"):
        run(*words, tmp_path / "nothing.json")
    Identity.generate().save(tmp_path / "stranger.key")
    with pytest.raises(ConfigError, match="of nobody who may sign"):
        run("countersign", copy, "--officer", tmp_path / "stranger.key", "--manifest", kept.places.manifest)


def test_another_change_waits_until_the_first_is_signed_or_dropped(
    kept: Consortium, scattered: Sticks, applicant: Applicants
) -> None:
    harbour, lake = applicant("harbour").request(), applicant("lake").request()
    run("approve", harbour, "--officer", scattered("ann"))
    with pytest.raises(ChangeWaits, match="approve harbour"):
        run("approve", lake, "--officer", scattered("ann"))
    run("sign", "--drop")
    run("approve", lake, "--officer", scattered("ann"))
    run("approve", lake, "--officer", scattered("bob"))
    assert [one.name for one in kept.current().members] == ["lake"]


def test_second_officer_does_not_sign_what_was_slipped_into_the_pending_file(
    kept: Consortium, scattered: Sticks, applicant: Applicants
) -> None:
    harbour, mallory = applicant("harbour"), applicant("mallory")
    run("approve", harbour.request(), "--officer", scattered("ann"))
    honest = kept.places.pending.read_text()
    run("sign", "--drop")
    run("approve", harbour.request(), mallory.request(), "--officer", scattered("ann"))
    both = json.loads(kept.places.pending.read_text())
    kept.places.pending.write_text(json.dumps(both | {"change": "approve harbour"}))
    with pytest.raises(ChangeWaits, match="more or other"):
        run("approve", harbour.folder / "harbour.fcreq", "--officer", scattered("bob"))
    # What was approved first was for another TLS key: the institution has made a new request since.
    kept.places.pending.write_text(honest)
    with pytest.raises(ChangeWaits, match="another key"):
        run("approve", harbour.folder / "harbour.fcreq", "--officer", scattered("bob"))
    assert kept.current().members == ()


def test_pending_file_without_its_answers_is_not_signed_on(
    kept: Consortium, scattered: Sticks, applicant: Applicants
) -> None:
    request = applicant("harbour").request()
    run("approve", request, "--officer", scattered("ann"))
    document = json.loads(kept.places.pending.read_text())
    kept.places.pending.write_text(json.dumps(document | {"answers": []}))
    with pytest.raises(ConfigError, match=r"pending\.json"):
        run("approve", request, "--officer", scattered("bob"))
    assert kept.current().version == 1


@pytest.mark.parametrize("text", ["", "{}", "[]", '{"change": "approve harbour", "manifest": "x"}'])
def test_pending_file_of_other_content_is_refused(kept: Consortium, applicant: Applicants, text: str) -> None:
    kept.places.pending.write_text(text)
    with pytest.raises((ConfigError, SealBroken)):
        run("approve", applicant("harbour").request())


def test_name_that_is_taken_is_named_as_a_clash(kept: Consortium, applicant: Applicants) -> None:
    run("approve", applicant("harbour").request())
    for name in ("harbour", "Harbour", "ｈarbour"):
        with pytest.raises(Clash, match="as harbour is called already"):
            run("approve", applicant(name).request())


def test_identity_or_flower_key_of_another_member_is_named_as_a_clash(kept: Consortium, applicant: Applicants) -> None:
    harbour, lake = applicant("harbour"), applicant("lake")
    run("approve", harbour.request())
    with pytest.raises(Clash, match="Flower key of harbour"):
        run("approve", lake.request(flower_key=harbour.flower))
    lake.identity = harbour.identity
    with pytest.raises(Clash, match="identity of harbour"):
        run("approve", lake.request())
    assert kept.current().version == 2


def test_two_requests_with_one_key_are_refused_together(kept: Consortium, applicant: Applicants) -> None:
    harbour, lake = applicant("harbour"), applicant("lake")
    lake.flower = harbour.flower
    with pytest.raises(Clash, match="same Flower keys"):
        run("approve", harbour.request(), lake.request())


def test_stolen_identity_and_damaged_request_are_refused(kept: Consortium, applicant: Applicants) -> None:
    harbour, mallory = applicant("harbour"), applicant("mallory")
    with pytest.raises(SealBroken):
        run("approve", mallory.request(identity=harbour.identity.public))
    request = harbour.request()
    request.write_bytes(request.read_bytes().replace(b"Linux", b"Minix"))
    with pytest.raises(SealBroken):
        run("approve", request)
    request.write_bytes(b"x" * 300_000)
    with pytest.raises(RequestRefused, match="at most"):
        run("approve", request)
    with pytest.raises(ConfigError, match="no file"):
        run("approve", request.with_name("nothing.fcreq"))


def test_request_that_was_exchanged_on_its_way_is_found_by_the_fingerprint(
    kept: Consortium, applicant: Applicants
) -> None:
    honest, mallory = applicant("harbour"), applicant("harbour")
    request = mallory.request()
    with pytest.raises(FingerprintRefused):
        run("approve", request, "--fingerprint", honest.identity.public.fingerprint)
    assert kept.current().members == ()
    run("approve", request, "--fingerprint", mallory.identity.public.fingerprint[:20])


def test_key_of_a_stranger_and_one_that_is_open_to_others_sign_nothing(
    kept: Consortium, applicant: Applicants, tmp_path: Path
) -> None:
    Identity.generate().save(tmp_path / "stranger.key")
    with pytest.raises(ConfigError, match="of nobody who may sign"):
        run("approve", applicant("harbour").request(), "--officer", tmp_path / "stranger.key")
    (kept.places.officers / "ann.key").chmod(0o644)
    with pytest.raises(KeyFileRefused, match="0644"):
        run("approve", applicant("lake").request())
    assert kept.current().version == 1


def test_dry_run_shows_the_change_and_writes_nothing(kept: Consortium, applicant: Applicants) -> None:
    request = applicant("harbour").request()
    before = sorted(kept.places.folder.rglob("*"))
    said = run("approve", request, "--dry-run", "--json").facts
    assert said["dry_run"] is True
    assert any(line.startswith("+ member harbour") for line in said["changes"])
    assert sorted(kept.places.folder.rglob("*")) == before
    assert not request.with_suffix(".fcjoin").exists()


def test_officers_key_made_elsewhere_founds_and_signs(own_home: Path, tmp_path: Path) -> None:
    run("officer", "ann", "--folder", tmp_path / "stick")
    public = tmp_path / "stick" / "ann.pub"
    words = ("init", "pearl", "--gateway", "gateway.example:443", "--officers", f"ann={public},bob", "--threshold", "2")
    said = run(*words, "--json").facts
    assert said["missing"] == {"officers": {"needed": 1, "of": ["ann"]}}
    done = run("sign", "--officer", tmp_path / "stick" / "ann.key", "--json").facts
    assert (done["in_force"], done["version"]) == (True, 1)
    assert not (own_home / "consortium" / "officers" / "ann.key").exists()
