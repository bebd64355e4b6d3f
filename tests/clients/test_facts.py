"""node.yaml is the operator's: read strictly, written once, and changed a line at a time."""

from __future__ import annotations

from pathlib import Path

import pytest

from clients.facts import NodeFacts, read_facts, set_facts, write_facts
from clients.home import NodeHome, find_home, home_of
from fedcredit.errors import ConfigError


@pytest.fixture
def home(tmp_path: Path) -> NodeHome:
    made = NodeHome(tmp_path / "bank-a").make()
    write_facts(made, institution="bank-a", server_name="gateway.example")
    return made


def test_the_template_reads_as_the_defaults(home: NodeHome) -> None:
    assert read_facts(home) == NodeFacts("bank-a", server_name="gateway.example")


@pytest.mark.parametrize("name", ["某银行", 'a "bank"', "yes", "1e3", "a: b # c", "bank\u2028b"])
def test_any_name_is_read_back_as_it_was(name: str, tmp_path: Path) -> None:
    made = NodeHome(tmp_path / "node").make()
    write_facts(made, institution=name, server_name="g")
    assert read_facts(made).institution == name


def test_the_template_is_not_written_over_what_the_operator_set(home: NodeHome) -> None:
    home.facts.write_text("institution: bank-a\nlevel: 4\n")
    write_facts(home, institution="bank-b", server_name="other")
    assert read_facts(home) == NodeFacts("bank-a", level=4)


def test_a_value_is_set_in_its_line_and_the_comments_stay(home: NodeHome) -> None:
    before = home.facts.read_text().splitlines()
    set_facts(home, label_definition="90 days past due: 12 months", open_rows=True)
    after = home.facts.read_text().splitlines()
    assert [line for line in before if line.startswith("#")] == [line for line in after if line.startswith("#")]
    facts = read_facts(home)
    assert (facts.label_definition, facts.open_rows) == ("90 days past due: 12 months", True)


def test_a_value_that_the_file_lacks_is_added(home: NodeHome) -> None:
    set_facts(home, level=5)
    assert read_facts(home).level == 5


@pytest.mark.parametrize(
    "text",
    ["windwos: a.npz\n", "institution: [a]\n", "- a\n", "institution: bank-a\ntunnel-port: 70000\n", "{", "\0", ""],
    ids=["misspelt", "a list", "no group", "no port", "no yaml", "a zero byte", "empty"],
)
def test_a_wrong_file_of_facts_is_refused(text: str, home: NodeHome) -> None:
    home.facts.write_text(text)
    with pytest.raises(ConfigError):
        read_facts(home)


@pytest.mark.parametrize("key", ["one-machine", "overspending", "ledger", "state", "identity"])
def test_what_would_undo_the_ledger_or_the_gate_cannot_be_set(key: str, home: NodeHome) -> None:
    home.facts.write_text(f"institution: bank-a\n{key}: run\n")
    with pytest.raises(ConfigError):
        read_facts(home)


def test_a_huge_file_of_facts_is_refused_unread(home: NodeHome) -> None:
    home.facts.write_text("#" * 100_000)
    with pytest.raises(ConfigError, match="larger"):
        read_facts(home)


def test_every_path_of_the_node_config_is_in_the_nodes_folder(home: NodeHome) -> None:
    config = NodeFacts("bank-a", known_to="known-to.json").node_config(home)
    for key in ("windows", "state", "ledger", "identity", "roster", "known-to"):
        assert Path(str(config[key])).parent == home.folder


def test_the_home_of_an_institution_is_where_its_ledger_has_always_been(own_home: Path) -> None:
    assert home_of("某 银行").folder == own_home / "某_银行"


def test_the_only_node_of_a_machine_is_found_without_its_name(own_home: Path) -> None:
    with pytest.raises(ConfigError, match="none under"):
        find_home(None)
    for name in ("bank-a", "bank-b"):
        home_of(name).make().flower.touch()
        if name == "bank-a":
            assert find_home(None).folder == (own_home / "bank-a").resolve()
    with pytest.raises(ConfigError, match="bank-a, bank-b"):
        find_home(None)
    assert find_home(own_home / "bank-b").folder.name == "bank-b"


def test_a_folder_that_was_open_is_closed(tmp_path: Path) -> None:
    (tmp_path / "node").mkdir(mode=0o755)
    NodeHome(tmp_path / "node").make()
    assert (tmp_path / "node").stat().st_mode & 0o777 == 0o700
