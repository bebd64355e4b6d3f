"""`fedcredit node check`: each line is ok, or says what mends it; one that breaks hides no other."""

from __future__ import annotations

import json
import sqlite3
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import replace
from datetime import timedelta
from pathlib import Path

import numpy as np
import pytest

from clients import check_link, checks, checks_here
from clients.check_link import Answer, check_gateway
from clients.check_link import check_link as check_exchange
from clients.checks import every_check
from clients.checkup import Line, Subject, checkup
from clients.facts import read_facts, set_facts
from clients.home import NodeHome
from clients.trial import dry_run, made_up
from clients.upkeep_cli import check_node
from fedcredit.__main__ import main
from fedcredit.data.windows import save
from fedcredit.errors import FederationError
from fedcredit.link import caddy
from fedcredit.link.authority import new_key_and_csr
from fedcredit.privacy.ledger import Account, Ledger
from fedcredit.privacy.mechanism import Mechanism
from fedcredit.trust.keys import Identity
from fedcredit.trust.manifest import ManifestFile, Package, StudyRule, seal_manifest
from fedcredit.trust.software import installed
from server.gateway import Passes, Place, gateway_config
from tests.clients.platform import NOW, Consortium
from tests.clients.test_joining import NAME, Bank
from tests.ports import free_port

LOCAL = [(name, check) for name, check in every_check(is_online=False) if name != "dry run"]


@pytest.fixture
def consortium(tmp_path: Path) -> Consortium:
    made = Consortium(tmp_path, gateway=f"127.0.0.1:{free_port()}")
    made.packages = installed(["fedcredit", "flwr"])
    return made


@pytest.fixture
def home(tmp_path: Path, consortium: Consortium) -> NodeHome:
    """The folder of a node that has joined, with made-up rows."""
    (tmp_path / "desk").mkdir()
    bank = Bank(NodeHome(tmp_path / NAME), tmp_path / "desk")
    bank.join(consortium.answer(bank.request()), consortium.fingerprint)
    windows = made_up()
    save(replace(windows, institution=np.full(len(windows), NAME)), bank.home.windows)
    set_facts(bank.home, label_definition="90 days past due")
    return bank.home


def lines(home: NodeHome, *, after: timedelta = timedelta()) -> dict[str, Line]:
    """The lines by name; of several with one name a failed one."""
    found: dict[str, Line] = {}
    for line in checkup(home, LOCAL, now=NOW + after):
        if line.name not in found or not line.is_ok:
            found[line.name] = line
    return found


def failed(home: NodeHome, *, after: timedelta = timedelta()) -> set[str]:
    return {name for name, line in lines(home, after=after).items() if not line.is_ok}


def test_everything_is_well_with_a_node_that_has_joined(home: NodeHome) -> None:
    found = lines(home)
    assert {name: line.found for name, line in found.items() if not line.is_ok} == {}
    assert set(found) >= {
        "node.yaml", "keys", "manifest", "certificate", "versions", "policy", "rows", "label", "level", "ledger",
        "audit log", "disk",
    }  # fmt: skip


def spoil_ledger(home: NodeHome) -> None:
    account = Account("r", "s", "d", (NAME,), 1e-5)
    Ledger(home.ledger).charge(account, Mechanism("training", 8.0), number=1)
    with sqlite3.connect(home.ledger) as db:
        db.execute("DROP TRIGGER no_update")
        db.execute("UPDATE entries SET epsilon_after = 0.001")
    db.close()


def spoil_rows(**change: object) -> Callable[[NodeHome], None]:
    def spoil(home: NodeHome) -> None:
        windows = replace(made_up(), institution=np.full(len(made_up()), NAME))
        save(replace(windows, **change), home.windows)  # type: ignore[arg-type]

    return spoil


def append(name: str, text: str) -> Callable[[NodeHome], None]:
    def spoil(home: NodeHome) -> None:
        with (home.folder / name).open("a") as file:
            file.write(text)

    return spoil


def other_roster(home: NodeHome) -> None:
    from fedcredit.trust.roster import write_roster

    write_roster(home.roster, {NAME: Identity.generate().public})


FAULTS: dict[str, tuple[str, Callable[[NodeHome], object]]] = {
    "a key that others may read": ("keys", lambda home: home.flower.chmod(0o640)),
    "a folder that others may read": ("keys", lambda home: home.folder.chmod(0o755)),
    "a lost key": ("keys", lambda home: home.identity.unlink()),
    "a key of another kind": ("keys", lambda home: home.flower.write_bytes(home.tls_key.read_bytes())),
    "a certificate that is none": ("certificate", lambda home: home.tls_certificate.write_text("hello")),
    "no certificate": ("certificate", lambda home: home.tls_certificate.unlink()),
    "an edited policy": ("policy", append("policy.yaml", "# more\n")),
    "a policy without signature": ("policy", lambda home: (home.folder / "policy.yaml.sig").unlink()),
    "another roster": ("roster", other_roster),
    "rows that are none": ("rows", lambda home: home.windows.write_bytes(b"PK")),
    "no rows": ("rows", lambda home: home.windows.unlink()),
    "rows of another institution": ("rows", spoil_rows(institution=np.full(120, "bank-b"))),
    "a number that is none": ("rows", spoil_rows(x=np.full((120, 3, 3), np.nan, dtype=np.float32))),
    "one outcome": ("rows", spoil_rows(y=np.zeros(120, dtype=np.float32))),
    "an outcome of two": ("rows", spoil_rows(y=np.full(120, 2, dtype=np.float32))),
    "a level that was lowered": ("level", append("node.yaml", "level: 1\n")),
    "an edited ledger": ("ledger", spoil_ledger),
    "an edited audit log": ("audit log", append("audit.jsonl", "{}\n")),
    "a misspelt fact": ("node.yaml", append("node.yaml", "windwos: x\n")),
}


@pytest.mark.parametrize(("line", "spoil"), list(FAULTS.values()), ids=list(FAULTS))
def test_a_fault_shows_in_its_own_line_with_a_remedy(
    line: str, spoil: Callable[[NodeHome], object], home: NodeHome
) -> None:
    spoil(home)
    found = lines(home)
    assert not found[line].is_ok
    assert found[line].remedy
    assert found["disk"].is_ok, "the others are still made"


def test_a_definition_that_nobody_stated_is_asked_for(home: NodeHome) -> None:
    set_facts(home, label_definition="unstated")
    assert failed(home) == {"label"}


@pytest.mark.parametrize(
    ("days", "expected"),
    [(80, set()), (89.5, {"manifest"}), (340, {"certificate", "manifest", "versions", "policy", "studies"})],
)
def test_what_ends_is_said_before_it_ends(days: float, expected: set[str], home: NodeHome) -> None:
    assert failed(home, after=timedelta(days=days)) == expected


def test_a_certificate_is_asked_for_anew_a_month_before_its_end(tmp_path: Path, consortium: Consortium) -> None:
    (tmp_path / "desk").mkdir()
    bank = Bank(NodeHome(tmp_path / NAME), tmp_path / "desk")
    bank.join(consortium.answer(bank.request(), days=20), consortium.fingerprint)
    line = lines(bank.home)["certificate"]
    assert not line.is_ok
    assert "node request" in line.remedy


def test_a_node_that_stopped_itself_is_told_so(home: NodeHome) -> None:
    from clients.leave import leave

    leave(home)
    assert failed(home) == {"policy"}
    assert "kill switch" in lines(home)["policy"].found


@pytest.mark.parametrize(
    ("other", "found"),
    [
        (Package("flwr", "9.9", "a" * 64), "the consortium runs 9.9"),
        (Package("no-such-thing", "1.0", "a" * 64), "not installed"),
        (replace(installed(["flwr"])[0], sha256="a" * 64), "of another build"),
    ],
    ids=["another version", "absent", "another build"],
)
def test_other_software_than_the_consortiums_is_named(
    other: Package, found: str, tmp_path: Path, consortium: Consortium
) -> None:
    (tmp_path / "desk").mkdir()
    consortium.packages = [other]
    bank = Bank(NodeHome(tmp_path / NAME), tmp_path / "desk")
    bank.join(consortium.answer(bank.request()), consortium.fingerprint)
    line = lines(bank.home)["versions"]
    assert (line.is_ok, found in line.found) == (False, True)


def test_of_two_versions_that_are_named_either_will_do(tmp_path: Path, consortium: Consortium) -> None:
    (tmp_path / "desk").mkdir()
    consortium.packages = [*installed(["flwr"]), Package("flwr", "9.9", "a" * 64)]
    bank = Bank(NodeHome(tmp_path / NAME), tmp_path / "desk")
    bank.join(consortium.answer(bank.request()), consortium.fingerprint)
    assert lines(bank.home)["versions"].is_ok


def test_a_ledger_that_was_left_elsewhere_is_asked_for(home: NodeHome, own_home: Path) -> None:
    (own_home / NAME).mkdir()
    (own_home / NAME / "ledger.sqlite").touch()
    assert failed(home) == {"ledger"}


def test_a_full_disk_is_a_failed_line(home: NodeHome, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(checks_here, "free_bytes", lambda folder: 100)
    assert failed(home) == {"disk"}


def test_a_check_that_breaks_is_a_failed_line_with_its_class_and_no_text(home: NodeHome) -> None:
    def broken(subject: Subject) -> Iterator[Line]:
        yield Line("first", True, "done")
        raise RuntimeError("C0000123 owes 12")

    found = list(checkup(home, [("broken", broken), ("disk", checks_here.check_disk)], now=NOW))
    assert [(line.name, line.is_ok) for line in found] == [("node.yaml", True), ("broken", False), ("disk", True)]
    assert "RuntimeError" in found[1].found
    assert "C0000123" not in str(found)


def test_a_line_is_there_before_the_next_check_is_made(
    home: NodeHome, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    printed = []

    def second(subject: Subject) -> Iterator[Line]:
        printed.append(capsys.readouterr().out)
        yield Line("second", True, "done")

    def first(subject: Subject) -> Iterator[Line]:
        yield Line("first", True, "done")

    monkeypatch.setattr(checks, "every_check", lambda is_online: [("first", first), ("second", second)])
    check_node(home.folder)
    assert printed == [f"ok   node.yaml: node of {NAME}\nok   first: done\n"]
    assert capsys.readouterr().out == "ok   second: done\n"


@pytest.mark.slow
def test_a_round_on_made_up_rows_is_charged_to_no_ledger_of_ours(home: NodeHome) -> None:
    found = checkup(home, [("dry run", checks_here.check_trial)], now=NOW)
    assert [line.is_ok for line in found] == [True, True]
    assert not home.ledger.exists()
    assert not home.state.exists()


def test_a_dry_run_that_breaks_says_its_code() -> None:
    windows = made_up()
    with pytest.raises(FederationError, match="'internal'"):
        dry_run(replace(windows, x=windows.x[:, :, :2]))


def test_the_command_ends_with_one_where_a_line_failed(home: NodeHome, tmp_path: Path) -> None:
    bank = Bank(home, tmp_path / "desk")
    done = bank.run("check", "--offline", "--home", home.folder)
    assert (done.exit_code, "FAIL" in done.stdout) == (0, False)
    home.flower.chmod(0o644)
    done = bank.run("check", "--offline", "--home", home.folder, "--json")
    said = json.loads(done.stdout)
    assert (done.exit_code, said["ok"]) == (1, False)
    (line,) = [one for one in said["checks"] if not one["is_ok"]]
    assert (line["name"], line["remedy"]) == ("keys", f"chmod 600 {home.flower}")


def test_the_program_itself_leaves_with_one_where_a_line_failed(home: NodeHome) -> None:
    home.policy.unlink()
    with pytest.raises(SystemExit) as left:
        main(["node", "check", "--offline", "--home", str(home.folder)])
    assert left.value.code == 1


@contextmanager
def gateway(consortium: Consortium, folder: Path, *, curves: Sequence[str] = ("x25519mlkem768",)) -> Iterator[None]:
    """The real gateway of the consortium, without a SuperLink behind it."""
    folder.mkdir(exist_ok=True)
    key, manifest = folder / "server.key", folder / "manifest.json"
    if not key.exists():
        csr = new_key_and_csr(key, name="gateway")
        leaf = consortium.authority.issue(csr, role="server", name="gateway", days=30, hosts=["127.0.0.1", "localhost"])
        (folder / "server.crt").write_text(leaf)
    current = consortium.manifest()
    manifest.write_bytes(seal_manifest(current, by=consortium.signers))
    place = Place(
        listen=consortium.gateway,
        server_name="localhost",
        certificate=folder / "server.crt",
        key=key,
        superlink="127.0.0.1:1",
        manifest=manifest,
        studies=folder,
        metrics_port=free_port(),
    )
    config = gateway_config(Passes.of(current), place)
    config["apps"]["http"]["servers"]["gateway"]["tls_connection_policies"][0]["curves"] = list(curves)
    running = caddy.start(config, folder=folder / "caddy")
    try:
        yield
    finally:
        running.stop(wait=2.0)


def online(home: NodeHome) -> dict[str, Line]:
    found = checkup(home, [("link", check_exchange), ("gateway", check_gateway)], now=NOW)
    return {line.name: line for line in found}


def test_the_link_is_post_quantum_the_gateway_lets_us_in_and_the_clocks_agree(
    home: NodeHome, consortium: Consortium, tmp_path: Path
) -> None:
    with gateway(consortium, tmp_path / "gateway"):
        found = online(home)
    assert {name: line.found for name, line in found.items() if not line.is_ok} == {}
    assert found["link"].found.endswith("X25519MLKEM768")
    assert "manifest version 1" in found["gateway"].found


def test_a_revoked_certificate_is_told_apart_from_a_dead_gateway(
    home: NodeHome, consortium: Consortium, tmp_path: Path
) -> None:
    consortium.members[0] = replace(consortium.members[0], status="revoked")
    consortium.version += 1
    with gateway(consortium, tmp_path / "gateway"):
        found = online(home)
    assert found["link"].is_ok
    assert not found["gateway"].is_ok
    assert "does not let this certificate in" in found["gateway"].found
    found = online(home)
    assert not found["link"].is_ok
    assert not found["clock"].is_ok
    assert "no answer" in found["gateway"].found


def test_a_link_without_the_post_quantum_group_is_refused_unless_the_operator_allows_it(
    home: NodeHome, consortium: Consortium, tmp_path: Path
) -> None:
    with gateway(consortium, tmp_path / "gateway", curves=["x25519"]):
        found = online(home)
        assert not found["link"].is_ok
        assert not found["gateway"].is_ok, "the tunnel offers nothing else"
        set_facts(home, require_pq=False)
        found = online(home)
    assert found["link"].is_ok
    assert found["link"].found.endswith("X25519")
    assert found["gateway"].is_ok


def test_a_certificate_that_a_newer_manifest_does_not_list_is_told_without_the_gateway(
    home: NodeHome, consortium: Consortium
) -> None:
    consortium.members[0] = replace(consortium.members[0], status="revoked")
    consortium.version += 1
    ManifestFile(home.manifest).accept(seal_manifest(consortium.manifest(), by=consortium.signers), now=NOW)
    line = lines(home)["certificate"]
    assert not line.is_ok
    assert "not in the manifest" in line.found


def test_a_newer_manifest_at_the_gateway_is_said(home: NodeHome, consortium: Consortium, tmp_path: Path) -> None:
    consortium.version = 5
    with gateway(consortium, tmp_path / "gateway"):
        assert "version 5 is taken" in online(home)["gateway"].found


def test_a_gateway_of_another_authority_is_not_answered(home: NodeHome, consortium: Consortium, tmp_path: Path) -> None:
    (tmp_path / "evil").mkdir()
    evil = Consortium(tmp_path / "evil", gateway=consortium.gateway, members=consortium.members, version=1)
    with gateway(evil, tmp_path / "gateway"):
        found = online(home)
    assert found["link"].is_ok, "the key exchange alone says nothing about who it is"
    assert not found["gateway"].is_ok


@pytest.mark.parametrize(("seconds", "is_ok"), [(0, True), (-55, True), (70, False), (-600, False)])
def test_a_clock_that_is_off_is_told(
    seconds: int, is_ok: bool, home: NodeHome, consortium: Consortium, monkeypatch: pytest.MonkeyPatch
) -> None:
    sealed = seal_manifest(consortium.manifest(), by=consortium.signers)
    monkeypatch.setattr(check_link, "ask_manifest", lambda subject: Answer(200, sealed, timedelta(seconds=seconds)))
    line = next(line for line in check_gateway(Subject(home, read_facts(home), NOW)) if line.name == "clock")
    assert line.is_ok == is_ok
    assert f"{seconds:+d} s" in line.found


def test_a_manifest_that_was_put_in_the_gateways_answer_by_another_is_a_failed_line(
    home: NodeHome, consortium: Consortium, monkeypatch: pytest.MonkeyPatch
) -> None:
    unsigned = seal_manifest(consortium.manifest(), by=[consortium.officers["li"]])
    monkeypatch.setattr(check_link, "ask_manifest", lambda subject: Answer(200, unsigned, timedelta()))
    found = {line.name: line for line in checkup(home, [("gateway", check_gateway)], now=NOW)}
    assert not found["gateway"].is_ok


SCHEMA = {"type": "object", "additionalProperties": False, "properties": {"features": {"items": {"enum": ["debt"]}}}}


def rule(study: str, **other: object) -> StudyRule:
    said = {"purpose": "credit-risk", "bundles": ("a" * 64,), "schema": {"type": "object"}, "until": NOW + timedelta(9)}
    return StudyRule(study, **{**said, **other})  # type: ignore[arg-type]


def test_each_study_of_the_manifest_is_told_whether_it_is_answered_here(home: NodeHome, consortium: Consortium) -> None:
    studies = (
        rule("quickstart"),
        rule("marketing", purpose="marketing"),
        rule("narrow", schema=SCHEMA),
        rule("old", until=NOW - timedelta(1)),
    )
    consortium.version += 1
    sealed = seal_manifest(consortium.manifest(studies=studies), by=consortium.signers)
    ManifestFile(home.manifest).accept(sealed, now=NOW)
    found = {name: line.found.partition(":")[0] for name, line in lines(home).items() if name.startswith("study ")}
    assert {name.removeprefix("study "): said[:8] for name, said in found.items()} == {
        "quickstart": "answered",
        "marketing": "refused ",
        "narrow": "refused ",
        "old": "refused ",
    }


def test_rows_of_a_level_that_the_policy_does_not_take_are_told_before_any_study(home: NodeHome) -> None:
    set_facts(home, level=5)
    line = lines(home)["studies"]
    assert not line.is_ok
    assert "highest_level: 5" in line.remedy
