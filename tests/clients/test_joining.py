"""Request, answer, join: keys stay at home, and an answer that is wrong in any way writes nothing."""

from __future__ import annotations

import base64
import json
import os
import signal
import stat
import subprocess
import sys
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from datetime import timedelta
from pathlib import Path
from typing import Any

import pytest
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.hazmat.primitives.serialization import load_ssh_private_key
from typer.testing import CliRunner, Result

from clients.facts import read_facts
from clients.home import NodeHome
from clients.node_cli import node
from clients.policy_file import read_officer, verified_policy
from fedcredit.errors import ConfigError, FedCreditError, PolicyRefused
from fedcredit.trust.joining import read_join, read_request, signed_also_by
from fedcredit.trust.keys import Identity, KeyFileRefused
from fedcredit.trust.manifest import ManifestFile, ManifestRefused, Package
from fedcredit.trust.roster import read_roster
from tests.clients.platform import NOW, Consortium

NAME = "bank-a"
WRITTEN = {"tls.crt", "ca.crt", "manifest.json", "roster.json", "node.yaml", "policy.yaml", "policy.yaml.sig"}


@dataclass
class Bank:
    """One institution: its folder, and the folder that it works in."""

    home: NodeHome
    here: Path
    name: str = NAME

    def run(self, *words: object, answer: str | None = None) -> Result:
        before = Path.cwd()
        os.chdir(self.here)
        try:
            done = CliRunner().invoke(node, [str(word) for word in words], input=answer)
        finally:
            os.chdir(before)
        if done.exception and not isinstance(done.exception, SystemExit):
            raise done.exception
        return done

    def request(self) -> bytes:
        done = self.run("request", self.name, "--home", self.home.folder)
        return (self.here / done.stdout.strip().splitlines()[-1]).read_bytes()

    def join(self, data: bytes, fingerprint: str, *more: object, answer: str | None = None) -> Result:
        (self.here / "answer.fcjoin").write_bytes(data)
        words = ("join", "answer.fcjoin", "--home", self.home.folder, "--fingerprint", fingerprint)
        return self.run(*words, *(more or ("--yes",)), answer=answer)

    @property
    def files(self) -> dict[str, bytes]:
        return {path.name: path.read_bytes() for path in self.home.folder.iterdir() if path.is_file()}


@pytest.fixture
def bank(tmp_path: Path) -> Bank:
    (tmp_path / "desk").mkdir()
    return Bank(NodeHome(tmp_path / "bank-a"), tmp_path / "desk")


@pytest.fixture
def consortium(tmp_path: Path) -> Consortium:
    return Consortium(tmp_path)


def secrets_of(home: NodeHome) -> Iterator[bytes]:
    """Every private key of the folder, as it is written there and as the numbers that it is made of."""
    for path in home.keys:
        data = path.read_bytes()
        yield from (line for line in data.splitlines() if len(line) > 40 and b"-----" not in line)
    for path in (home.identity, home.officer):
        identity = Identity.load(path)
        yield from (identity.ed25519_seed, identity.mldsa65_seed)
    flower = load_ssh_private_key(home.flower.read_bytes(), None)
    assert isinstance(flower, ec.EllipticCurvePrivateKey)
    yield flower.private_numbers().private_value.to_bytes(48, "big")


def test_a_request_makes_four_keys_that_only_their_owner_reads(bank: Bank) -> None:
    bank.request()
    assert [stat.S_IMODE(path.stat().st_mode) for path in bank.home.keys] == [0o600] * 4
    assert stat.S_IMODE(bank.home.folder.stat().st_mode) == 0o700


def test_no_private_key_is_in_what_leaves(bank: Bank, consortium: Consortium) -> None:
    request = bank.request()
    answer = consortium.answer(request)
    found = list(secrets_of(bank.home))
    assert len(found) >= 9
    for secret in found:
        for said in (secret, secret.hex().encode(), base64.b64encode(secret)):
            assert said not in request
            assert said not in answer


def test_a_second_request_has_the_same_keys_and_a_new_report(bank: Bank) -> None:
    first = read_request(bank.request())
    keys = [path.read_bytes() for path in bank.home.keys]
    second = read_request(bank.request())
    assert [path.read_bytes() for path in bank.home.keys] == keys
    assert (first.identity, first.flower_key) == (second.identity, second.flower_key)


def test_the_flower_key_is_one_that_the_stock_supernode_takes(bank: Bank) -> None:
    bank.request()
    key = load_ssh_private_key(bank.home.flower.read_bytes(), None)
    assert isinstance(key, ec.EllipticCurvePrivateKey)
    assert isinstance(key.curve, ec.SECP384R1)


def test_the_report_names_neither_machine_nor_user(bank: Bank) -> None:
    import getpass
    import platform

    said = bank.run("request", NAME, "--home", bank.home.folder, "--json").stdout
    report = json.dumps(json.loads(said)["environment"])
    assert platform.node() not in report
    assert getpass.getuser() not in report or getpass.getuser() in "Linux x86_64"


def test_a_folder_is_one_institution(bank: Bank) -> None:
    bank.request()
    with pytest.raises(PolicyRefused, match="the node of bank-a"):
        bank.run("request", "bank-b", "--home", bank.home.folder)


@pytest.mark.parametrize("name", ["", "../x", ".ssh", "a/b", "a\nb", "x" * 65])
def test_a_name_that_is_none_makes_no_key(name: str, bank: Bank) -> None:
    with pytest.raises(ConfigError):
        bank.run("request", name, "--home", bank.home.folder)
    assert not bank.home.folder.exists()


def test_a_key_that_others_may_read_is_refused(bank: Bank) -> None:
    bank.request()
    bank.home.flower.chmod(0o644)
    with pytest.raises(KeyFileRefused):
        bank.request()


def test_an_officers_key_that_is_kept_elsewhere_is_not_made_anew(bank: Bank) -> None:
    bank.request()
    public = bank.home.officer_public.read_bytes()
    bank.home.officer.rename(bank.here / "officer.key")
    bank.request()
    assert not bank.home.officer.exists()
    assert bank.home.officer_public.read_bytes() == public


def test_new_keys_are_vouched_for_by_the_old_identity_and_the_old_ones_are_kept(bank: Bank) -> None:
    first = read_request(bank.request())
    officer = bank.home.officer.read_bytes()
    bank.home.audit_log.write_text("lines that the old identity signed\n")
    bank.run("request", NAME, "--home", bank.home.folder, "--new-keys")
    data = bank.home.request.read_bytes()
    second = read_request(data)
    assert signed_also_by(data, [first.identity]) == {first.identity.fingerprint}
    assert first.identity != second.identity
    assert first.flower_key != second.flower_key
    assert bank.home.officer.read_bytes() == officer
    (old,) = (bank.home.folder / "old").iterdir()
    assert {path.name for path in old.iterdir()} == {"identity.key", "flower.key", "tls.key", "audit.jsonl"}
    assert not bank.home.audit_log.exists(), "the new identity begins a log of its own"
    assert stat.S_IMODE(old.stat().st_mode) == 0o700


def test_a_lost_identity_begins_a_new_audit_log(bank: Bank) -> None:
    bank.request()
    bank.home.identity.unlink()
    bank.home.audit_log.write_text("lines that the lost identity signed\n")
    bank.request()
    assert not bank.home.audit_log.exists()
    assert [path.name for path in (bank.home.folder / "old").rglob("*.jsonl")] == ["audit.jsonl"]


def test_a_join_writes_everything_that_the_node_needs(bank: Bank, consortium: Consortium) -> None:
    done = bank.join(consortium.answer(bank.request()), consortium.fingerprint[:20])
    assert set(bank.files) >= WRITTEN
    manifest = ManifestFile(bank.home.manifest).read(now=NOW)
    assert read_roster(bank.home.roster) == {one.name: one.identity for one in manifest.active_members}
    policy = verified_policy(bank.home.policy, officer=read_officer(bank.home.officer_public))
    assert policy.institution == NAME
    assert read_facts(bank.home).institution == NAME
    assert f"--home {bank.home.folder}" in bank.home.unit.read_text()
    assert all(stat.S_IMODE((bank.home.folder / name).stat().st_mode) & 0o022 == 0 for name in WRITTEN)
    assert "An update leaves only in a masked sum of 4 institutions or more." in done.stderr


def test_nothing_is_written_until_somebody_says_yes(bank: Bank, consortium: Consortium) -> None:
    answer, before = consortium.answer(bank.request()), bank.files
    done = bank.join(answer, consortium.fingerprint, "--json", "--yes")
    assert json.loads(done.stdout)["version"] == 1
    for path in bank.home.folder.iterdir():
        if path.name not in before:
            path.unlink()
    done = bank.join(answer, consortium.fingerprint, "--home", bank.home.folder, answer="n\n")
    assert done.exit_code == 1
    assert bank.files == before
    assert bank.join(answer, consortium.fingerprint, "--home", bank.home.folder, answer="y\n").exit_code == 0
    assert set(bank.files) >= WRITTEN


def test_without_a_fingerprint_it_says_how_to_get_one(bank: Bank, consortium: Consortium) -> None:
    (bank.here / "a.fcjoin").write_bytes(consortium.answer(bank.request()))
    with pytest.raises(ConfigError) as refused:
        bank.run("join", "a.fcjoin", "--home", bank.home.folder, "--yes")
    assert "telephone" in refused.value.hint


def flip(data: bytes, *, at: float) -> bytes:
    """The file with one letter of it changed to another one that JSON takes as well."""
    place = int(len(data) * at)
    while not chr(data[place]).isalnum():
        place += 1
    letter = b"b" if data[place : place + 1] != b"b" else b"c"
    return data[:place] + letter + data[place + 1 :]


def other_key(consortium: Consortium, request: bytes) -> bytes:
    """An answer that enrols another identity under the institution's name."""
    answer = consortium.answer(request)
    member = consortium.members[-1]
    consortium.members[-1] = type(member)(
        member.name, Identity.generate().public, member.flower_key, member.certificate, "active", NOW
    )
    consortium.version += 1
    from dataclasses import replace

    from fedcredit.trust.envelope import peek
    from fedcredit.trust.joining import join_of, write_join
    from fedcredit.trust.manifest import seal_manifest

    join, _ = join_of(peek(answer, kind="join"))
    sealed = seal_manifest(consortium.manifest(), by=consortium.signers)
    return write_join(replace(join, manifest=sealed), by=consortium.signers)


ANSWERS: dict[str, Callable[[Consortium, bytes], bytes]] = {
    "one officer of two": lambda c, r: c.answer(r, by=[c.officers["li"]]),
    "one officer twice": lambda c, r: c.answer(r, by=[c.officers["li"], c.officers["li"]]),
    "nobody": lambda c, r: c.answer(r, by=[]),
    "strangers": lambda c, r: c.answer(r, by=[Identity.generate(), Identity.generate()]),
    "expired": lambda c, r: c.answer(r, issued=NOW - timedelta(days=3), expires=NOW - timedelta(days=1)),
    "an expired manifest": lambda c, r: c.answer(r, manifest={"expires": NOW - timedelta(minutes=1)}),
    "another gateway than the manifest's": lambda c, r: c.answer(r, gateway="evil.example:443"),
    "not a member": lambda c, r: c.answer(r, manifest={"members": ()}),
    "another identity under our name": other_key,
    "another institution's policy": lambda c, r: c.answer(r, policy=POLICY_OF_B),
    "a policy that is none": lambda c, r: c.answer(r, policy="stopped: maybe"),
    "a policy with a Python object": lambda c, r: c.answer(r, policy="!!python/object/apply:os.system ['true']"),
    "changed at the start": lambda c, r: flip(c.answer(r), at=0.02),
    "changed in the middle": lambda c, r: flip(c.answer(r), at=0.5),
    "changed at the end": lambda c, r: flip(c.answer(r), at=0.98),
    "cut short": lambda c, r: c.answer(r)[:-100],
    "nothing": lambda c, r: b"",
    "a request": lambda c, r: r,
    "a certificate of another authority": lambda c, r: c.answer(r, certificate=stranger(c, r)),
}
POLICY_OF_B = "{institution: bank-b, purposes: [x], studies: ['*'], expires: 2030-01-01}"


def stranger(consortium: Consortium, request: bytes) -> str:
    from fedcredit.link.authority import Authority

    other = Authority.create(consortium.folder / "other", name=consortium.name)
    return other.issue(read_request(request).csr, role="institution", name=NAME, days=30)


@pytest.mark.parametrize("made", list(ANSWERS.values()), ids=list(ANSWERS))
def test_an_answer_that_is_wrong_writes_nothing(
    made: Callable[[Consortium, bytes], bytes], bank: Bank, consortium: Consortium
) -> None:
    request = bank.request()
    answer, before = made(consortium, request), bank.files
    with pytest.raises(FedCreditError):
        bank.join(answer, consortium.fingerprint)
    assert bank.files == before


@pytest.mark.parametrize("said", ["", "0123456789abcdef", "short"], ids=["empty", "another", "no digits"])
def test_a_wrong_fingerprint_is_refused(said: str, bank: Bank, consortium: Consortium) -> None:
    answer, before = consortium.answer(bank.request()), bank.files
    with pytest.raises(PolicyRefused, match="fingerprint"):
        bank.join(answer, said)
    with pytest.raises(PolicyRefused, match="fingerprint"):
        bank.join(answer, consortium.fingerprint[:15])
    assert bank.files == before


def test_a_consortium_that_is_made_up_is_refused_by_its_fingerprint(bank: Bank, tmp_path: Path) -> None:
    (tmp_path / "evil").mkdir()
    right, evil = Consortium(tmp_path), Consortium(tmp_path / "evil")
    with pytest.raises(PolicyRefused):
        bank.join(evil.answer(bank.request()), right.fingerprint)


def test_an_answer_for_another_institution_is_refused(bank: Bank, consortium: Consortium, tmp_path: Path) -> None:
    other = Bank(NodeHome(tmp_path / "bank-b"), bank.here, name="bank-b")
    bank.request()
    answer, before = consortium.answer(other.request()), bank.files
    with pytest.raises(PolicyRefused, match="one for bank-b"):
        bank.join(answer, consortium.fingerprint)
    assert bank.files == before


@pytest.mark.parametrize("name", ["flower.key", "identity.key", "tls.key"])
def test_an_answer_to_a_key_that_was_replaced_is_refused(name: str, bank: Bank, consortium: Consortium) -> None:
    answer = consortium.answer(bank.request())
    (bank.home.folder / name).unlink()
    bank.request()
    before = bank.files
    with pytest.raises(PolicyRefused) as refused:
        bank.join(answer, consortium.fingerprint)
    assert refused.value.where == name
    assert bank.files == before


def test_a_second_join_with_an_older_manifest_is_refused(bank: Bank, consortium: Consortium) -> None:
    request = bank.request()
    older, newer = consortium.answer(request), consortium.answer(request)
    bank.join(newer, consortium.fingerprint)
    before = bank.files
    with pytest.raises(ManifestRefused, match="version 1"):
        bank.join(older, consortium.fingerprint)
    bank.home.manifest.unlink()
    with pytest.raises(ManifestRefused, match="version 1"):
        bank.join(older, consortium.fingerprint)
    del before["manifest.json"]
    assert bank.files == before


def test_a_second_join_keeps_the_policy_and_the_facts_of_the_institution(bank: Bank, consortium: Consortium) -> None:
    request = bank.request()
    bank.join(consortium.answer(request), consortium.fingerprint)
    bank.run("data", "--synthetic", 1, "--home", bank.home.folder)
    kept = {name: bank.files[name] for name in ("policy.yaml", "policy.yaml.sig", "node.yaml", "windows.npz")}
    bank.home.officer.unlink()  # in its safe: nothing has to be signed
    done = bank.join(consortium.answer(request), consortium.fingerprint)
    assert {name: bank.files[name] for name in kept} == kept
    assert "stays as your officer signed it" in done.stderr


def test_the_software_to_install_is_said_with_its_digest(bank: Bank, consortium: Consortium) -> None:
    consortium.packages = (Package("fedcredit", "0.1.0", "a" * 64),)
    done = bank.join(consortium.answer(bank.request()), consortium.fingerprint)
    assert f"software fedcredit 0.1.0 sha256 {'a' * 64}" in done.stderr


def test_who_leaves_answers_nothing_and_keeps_ledger_and_keys(bank: Bank, consortium: Consortium) -> None:
    bank.join(consortium.answer(bank.request()), consortium.fingerprint)
    bank.home.ledger.write_bytes(b"spent")
    done = bank.run("leave", "--home", bank.home.folder, "--yes")
    assert "fedcredit consortium revoke bank-a" in done.stdout
    assert consortium.members[0].certificate in done.stdout
    policy = verified_policy(bank.home.policy, officer=read_officer(bank.home.officer_public))
    assert policy.stopped
    assert bank.home.ledger.read_bytes() == b"spent"
    assert all(path.exists() for path in bank.home.keys)


HOLDS_THE_LOCK = """
import fcntl, json, os, pathlib, signal, sys
run = pathlib.Path(sys.argv[1])
run.mkdir()
lock = (run / "lock").open("w")
fcntl.flock(lock, fcntl.LOCK_EX)
(run / "status.json").write_text(json.dumps({"pid": os.getpid()}))
print("here", flush=True)
signal.pause()
"""


def test_who_leaves_ends_the_node_that_runs(bank: Bank, consortium: Consortium) -> None:
    bank.join(consortium.answer(bank.request()), consortium.fingerprint)
    words = [sys.executable, "-c", HOLDS_THE_LOCK, str(bank.home.run)]
    with subprocess.Popen(words, stdout=subprocess.PIPE) as running:
        assert running.stdout is not None
        assert running.stdout.readline() == b"here\n"
        done = bank.run("leave", "--home", bank.home.folder, "--yes", "--json")
        assert running.wait(10) == -signal.SIGTERM
    assert json.loads(done.stdout)["is_signed"]


def test_the_commands_are_there_without_torch_or_flwr() -> None:
    code = "import sys, clients.node_cli; print({'torch', 'flwr', 'yaml', 'numpy'} & set(sys.modules))"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "set()"


def test_what_joined_reads_back_as_what_was_answered(bank: Bank, consortium: Consortium) -> None:
    answer = consortium.answer(bank.request())
    join: Any = read_join(answer, fingerprint=consortium.fingerprint, now=NOW)
    bank.join(answer, consortium.fingerprint)
    assert bank.home.tls_certificate.read_text() == join.certificate
    assert bank.home.authority.read_text() == join.authority
