"""A policy counts as its officer signed it, and as it stands at this moment; anything else refuses everything."""

from __future__ import annotations

import hashlib
from pathlib import Path

import pytest

from clients.policy import AskRefused, Policy
from clients.policy_file import (
    Pinned,
    parse_policy,
    read_officer,
    set_stopped,
    sign_policy,
    signature_path,
    verified_policy,
)
from clients.policy_number import Highest
from fedcredit.errors import ConfigError
from fedcredit.trust.envelope import seal
from fedcredit.trust.keys import Identity
from tests.conftest import later

OFFICER = Identity.generate()
TEXT = """\
# Signed by the data protection officer.
institution: bank-a
purposes: [credit]
studies: ["*"]
columns: {allow: ["*"], deny: [phone]}
highest_level: 4
epsilon: {run: 4, lifetime: 8.0}
hours: {days: [mon, tue], from: "20:00", to: "06:00", zone: Asia/Shanghai}
expires: 2099-12-31
stopped: false
"""


@pytest.fixture
def path(tmp_path: Path) -> Path:
    path = tmp_path / "policy.yaml"
    path.write_text(TEXT)
    sign_policy(path, officer=OFFICER)
    (tmp_path / "officer.pub").write_text(OFFICER.public.to_bytes().hex() + "\n")
    return path


@pytest.fixture
def pinned(path: Path) -> Pinned:
    return Pinned(str(path), str(path.with_name("officer.pub")))


def of(pinned: Pinned) -> Path:
    return Path(pinned.path)


def read(pinned: Pinned) -> Policy:
    return pinned.read(institution="bank-a")


def test_a_signed_policy_is_read_field_by_field(pinned: Pinned) -> None:
    policy = read(pinned)
    assert (policy.epsilon.run, policy.epsilon.lifetime) == (4.0, 8.0)
    assert str(policy.hours) == "mon, tue from 20:00 to 06:00 (Asia/Shanghai)"
    assert policy.columns.deny == ("phone",)
    assert policy.require_masks
    assert read(pinned) is policy, "read once while nothing changes"


def test_an_unsigned_policy_is_none(pinned: Pinned) -> None:
    read(pinned)
    signature_path(of(pinned)).unlink()
    with pytest.raises(AskRefused, match="file missing"):
        read(pinned)


@pytest.mark.parametrize("old", ["lifetime: 8.0", "# Signed"])
def test_an_edited_policy_is_none_even_in_a_comment(pinned: Pinned, old: str) -> None:
    read(pinned)
    of(pinned).write_text(TEXT.replace(old, old.swapcase() if "#" in old else "lifetime: 9.0"))
    later(of(pinned))
    with pytest.raises(AskRefused, match="another file than was signed"):
        read(pinned)


def test_a_policy_signed_by_another_is_none(pinned: Pinned) -> None:
    sign_policy(of(pinned), officer=Identity.generate())
    with pytest.raises(AskRefused, match="policy sign, by the officer"):
        read(pinned)


@pytest.mark.parametrize("junk", [b"", b"{}", b"[" * 60_000, b"\xff", b'{"schema": 1}', b"0" * 70_000])
def test_a_signature_that_is_none_is_refused(pinned: Pinned, junk: bytes) -> None:
    signature_path(of(pinned)).write_bytes(junk)
    with pytest.raises(AskRefused):
        read(pinned)


def test_a_policy_of_another_institution_is_none_here(pinned: Pinned) -> None:
    with pytest.raises(AskRefused, match="another institution"):
        pinned.read(institution="bank-b")


def test_an_officers_file_that_is_none_refuses_everything(pinned: Pinned) -> None:
    Path(pinned.officer).write_text("00")
    with pytest.raises(AskRefused):
        read(pinned)
    with pytest.raises(ConfigError):
        read_officer(Path(pinned.officer))


def test_a_policy_is_seen_as_soon_as_it_changes(pinned: Pinned) -> None:
    for is_stopped in (True, False, True, False):
        assert set_stopped(of(pinned), is_stopped=is_stopped, officer=OFFICER)
        assert read(pinned).stopped is is_stopped
    assert "# Signed by the data protection officer." in of(pinned).read_text()


def test_a_node_can_be_stopped_without_the_officers_key_and_not_started_again(pinned: Pinned) -> None:
    assert not set_stopped(of(pinned), is_stopped=True, officer=None)
    with pytest.raises(AskRefused):
        read(pinned)
    sign_policy(of(pinned), officer=OFFICER)
    assert read(pinned).stopped
    set_stopped(of(pinned), is_stopped=False, officer=None)
    with pytest.raises(AskRefused):
        read(pinned)


def test_a_policy_that_was_withdrawn_does_not_come_back_with_its_older_signature(pinned: Pinned) -> None:
    files = [of(pinned), signature_path(of(pinned))]
    older = [path.read_bytes() for path in files]
    of(pinned).write_text(TEXT.replace("lifetime: 8.0", "lifetime: 2.0"))
    sign_policy(of(pinned), officer=OFFICER)
    newer = [path.read_bytes() for path in files]
    for path, data in zip(files, older, strict=True):
        path.write_bytes(data)
    with pytest.raises(AskRefused, match="number 1, an older one, expected number 2"):
        read(pinned)
    with pytest.raises(AskRefused, match="an older one"):
        verified_policy(of(pinned), officer=OFFICER.public)
    for path, data in zip(files, newer, strict=True):
        path.write_bytes(data)
    assert read(pinned).epsilon.lifetime == 2.0


def test_a_policy_that_was_withdrawn_before_the_node_read_the_next_does_not_come_back_either(pinned: Pinned) -> None:
    files = [of(pinned), signature_path(of(pinned))]
    older = [path.read_bytes() for path in files]
    read(pinned)
    set_stopped(of(pinned), is_stopped=True, officer=OFFICER)
    for path, data in zip(files, older, strict=True):
        path.write_bytes(data)
    with pytest.raises(AskRefused, match="an older one"):
        read(pinned)
    set_stopped(of(pinned), is_stopped=False, officer=OFFICER)
    assert not read(pinned).stopped


def test_a_signing_counts_on_from_the_signature_where_the_highest_number_is_lost(pinned: Pinned) -> None:
    for _ in range(3):
        sign_policy(of(pinned), officer=OFFICER)
    highest = Highest(of(pinned))
    highest.path.unlink()
    sign_policy(of(pinned), officer=OFFICER)
    assert highest.known().number == 5


def test_two_policies_of_one_number_are_not_both_taken(pinned: Pinned, tmp_path: Path) -> None:
    """Signed with the same key on another machine, which has not seen what was signed here."""
    other = tmp_path / "elsewhere" / "policy.yaml"
    other.parent.mkdir()
    other.write_text(TEXT + "# another\n")
    sign_policy(other, officer=OFFICER)
    for mine, theirs in ((of(pinned), other), (signature_path(of(pinned)), signature_path(other))):
        mine.write_bytes(theirs.read_bytes())
    with pytest.raises(AskRefused, match="another one under number 1"):
        read(pinned)
    sign_policy(other, officer=OFFICER)
    signature_path(of(pinned)).write_bytes(signature_path(other).read_bytes())
    read(pinned)
    assert Highest(of(pinned)).known().number == 2, "a newer one that was signed elsewhere is taken"


@pytest.mark.parametrize("junk", [b"", b"[" * 3000, b"{}", b'{"number": "1", "sha256": "", "schema": 1}'])
def test_a_file_of_the_highest_number_that_is_none_refuses_everything(pinned: Pinned, junk: bytes) -> None:
    read(pinned)
    Highest(of(pinned)).path.write_bytes(junk)
    with pytest.raises(AskRefused, match="highest"):
        read(pinned)


@pytest.mark.parametrize("number", [None, 0, -1, True, "2", 2**60])
def test_a_signature_without_a_number_is_none(pinned: Pinned, number: object) -> None:
    body = {"institution": "bank-a", "sha256": hashlib.sha256(of(pinned).read_bytes()).hexdigest()}
    said = body if number is None else {**body, "number": number}
    signature_path(of(pinned)).write_bytes(seal(said, kind="policy", by=[OFFICER]))
    with pytest.raises(AskRefused, match="without a number"):
        read(pinned)


def test_a_policy_without_the_line_gets_it(pinned: Pinned) -> None:
    of(pinned).write_text(TEXT.replace("stopped: false\n", ""))
    set_stopped(of(pinned), is_stopped=True, officer=OFFICER)
    assert read(pinned).stopped


WRONG = {
    "an unknown key": TEXT + "epsilom: 3\n",
    "a key twice": TEXT + "stopped: true\n",
    "a key twice inside": TEXT.replace("run: 4,", "run: 4, run: 9,"),
    "no expiry": TEXT.replace("expires: 2099-12-31\n", ""),
    "an expiry that is text": TEXT.replace("2099-12-31", '"2099-12-31"'),
    "a time without quotes": TEXT.replace('"20:00"', "20:00"),
    "a name for a list": TEXT.replace("[credit]", "credit"),
    "a word for a switch": TEXT.replace("stopped: false", "stopped: maybe"),
    "no mapping": "[1]",
    "no YAML": "[",
    "an object": "!!python/object/apply:os.system [id]",
    "nothing": "",
    "a key that is a list": "? [a]\n: 1\n",
}


@pytest.mark.parametrize("text", WRONG.values(), ids=WRONG)
def test_a_policy_with_a_slip_is_none(text: str, path: Path) -> None:
    with pytest.raises(ConfigError):
        parse_policy(text)
    path.write_text(text)
    with pytest.raises(ConfigError):
        sign_policy(path, officer=OFFICER)
    with pytest.raises(AskRefused):
        verified_policy(path, officer=OFFICER.public)


def test_policy_in_which_something_refers_to_something_else_is_refused() -> None:
    with pytest.raises(ConfigError, match="YAMLError"):
        parse_policy("institution: &name a\npurposes: [*name]\nstudies: []\nexpires: 2027-12-31\n")
