"""What the pages say is tried: commands exist, settings compose, quick blocks run, links lead somewhere."""

from __future__ import annotations

import ast
import json
import os
import random
import re
import runpy
import shlex
from dataclasses import dataclass
from importlib.metadata import entry_points
from importlib.util import find_spec
from pathlib import Path

import click
import pytest
import typer.main
from hydra import compose, initialize_config_dir

from fedcredit.__main__ import main
from fedcredit.config import CONFIGS, load, register, typed

ROOT = Path(__file__).resolve().parent.parent
README = ROOT / "README.md"
OWN_TABLE = ROOT / "docs" / "your-own-table.md"
ENGINES = sorted(path.stem for path in (CONFIGS / "engine").glob("*.yaml"))
STUDIES = sorted(path.stem for path in (CONFIGS / "experiment").glob("*.yaml"))
OPERATORS = [ROOT / "clients" / "README.md", ROOT / "server" / "README.md", ROOT / "server" / "deploy" / "README.md"]
PAGES = [README, ROOT / "CONTRIBUTING.md", *OPERATORS, *sorted((ROOT / "docs").rglob("*.md"))]
BLOCK = re.compile(r"(<!-- long -->\n)?```(console|python)\n(.*?)```", re.DOTALL)
# What keeps a study of a page short when it is only tried; the page's own settings stay in force beside it.
SHORT = ["recipe.rounds=2", "evaluation.draws=20", "workers=1", "arms=[local,federated]"]


@dataclass(frozen=True)
class Block:
    """A fenced block of a page; `is_long` ones are checked but not run."""

    is_long: bool
    language: str
    text: str

    @property
    def commands(self) -> list[tuple[list[str], list[str]]]:
        """Each `$ ` line as words, with the output lines that follow it."""
        found: list[tuple[list[str], list[str]]] = []
        for line in self.text.splitlines():
            if line.startswith("$ "):
                found.append((shlex.split(line[2:], comments=True), []))
            elif line.strip() not in ("", "..."):
                found[-1][1].append(line)
        return found


def blocks(page: Path, language: str) -> list[Block]:
    found = [Block(bool(long), kind, text) for long, kind, text in BLOCK.findall(page.read_text())]
    return [block for block in found if block.language == language]


def groups() -> dict[str, click.Group]:
    found = {point.name: typer.main.get_command(point.load()) for point in entry_points(group="fedcredit.commands")}
    return {name: group for name, group in found.items() if isinstance(group, click.Group)}


def named_commands() -> list[tuple[str, list[str]]]:
    consoles = [(page.name, block) for page in PAGES for block in blocks(page, "console")]
    return [(page, words) for page, block in consoles for words, _ in block.commands]


def try_commands(block: Block, capsys: pytest.CaptureFixture[str], *, more: list[str]) -> None:
    """Run each command in this process; every output line that the page shows must be in what it prints."""
    for words, expected in block.commands:
        is_run = words[1:3] == ["study", "run"] and "--dry-run" not in words
        main(words[1:] + (more if is_run else []))
        said = capsys.readouterr()
        printed = " ".join((said.out + said.err).split())
        for line in expected:
            for piece in line.split("..."):
                assert " ".join(piece.split()) in printed, f"{shlex.join(words)} did not print {line!r}"


@pytest.mark.parametrize(("page", "words"), named_commands(), ids=lambda value: str(value)[:60])
def test_a_command_that_a_page_names_exists_with_its_options_and_settings(page: str, words: list[str]) -> None:
    if words[0] == "make":
        assert f"\n{words[1]}:" in (ROOT / "Makefile").read_text()
        settings = {f"NAME={name}" for name in STUDIES} | {f"ENGINE={name}" for name in ENGINES}
        assert set(words[2:]) <= settings
        return
    if words[0] == "export":
        assert re.fullmatch(r"FEDCREDIT_HOME=\$PWD/[a-z-]+", words[1])
        return
    if words[0] == "python":
        assert find_spec(words[2]) is not None if words[1] == "-m" else (ROOT / words[1]).exists()
        return
    assert words[0] == "fedcredit"
    verb, more = groups()[words[1]].commands[words[2]], words[3:]
    while isinstance(verb, click.Group) and more and more[0] in verb.commands:  # consortium study allow
        verb, more = verb.commands[more[0]], more[1:]
    context = verb.make_context(verb.name, list(more))
    if verb.name == "run":
        load(context.params["name"], context.params["overrides"] or [])


@pytest.mark.parametrize("block", [b for b in blocks(README, "console") if not b.is_long and "make" not in b.text])
def test_a_quick_block_of_the_readme_runs_and_prints_what_it_shows(
    block: Block, capsys: pytest.CaptureFixture[str], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    try_commands(block, capsys, more=[])


@pytest.mark.parametrize("block", blocks(README, "python"))
def test_the_python_of_the_readme_names_what_exists(block: Block) -> None:
    tree = ast.parse(block.text)
    for node in ast.walk(tree):
        if isinstance(node, ast.ImportFrom):
            exec(compile(ast.Module([node], []), "README.md", "exec"), {})  # noqa: S102 - our own page
        if isinstance(node, ast.Call) and isinstance(node.func, ast.Name) and node.func.id == "load":
            load(*(ast.literal_eval(argument) for argument in node.args))


@pytest.mark.slow
@pytest.mark.timeout(900)
def test_every_command_of_your_own_table_runs(
    capsys: pytest.CaptureFixture[str], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    write_tables(tmp_path)
    for block in blocks(OWN_TABLE, "console"):
        try_commands(block, capsys, more=SHORT)
    assert (tmp_path / "scores.csv").read_text().startswith("company,period,pd,grade,model_version,coverage\n")


def test_the_study_file_of_your_own_table_composes(tmp_path: Path) -> None:
    (text,) = re.findall(r"```yaml\n(.*?)```", OWN_TABLE.read_text(), re.DOTALL)
    (tmp_path / "experiment").mkdir()
    (tmp_path / "experiment" / "ours.yaml").write_text(text)
    register()
    with initialize_config_dir(str(CONFIGS), version_base="1.3"):
        settings = typed(compose("study", overrides=[f"hydra.searchpath=[file://{tmp_path}]", "experiment=ours"]))
    assert settings.data.table.kinds["industry"]["levels"] == ["food", "metal", "retail"]
    assert settings.privacy.epsilons == (None, 3.0)


@pytest.mark.parametrize("page", PAGES, ids=lambda page: page.name)
def test_every_link_leads_somewhere(page: Path) -> None:
    for target in re.findall(r"\]\(([^)#]+)", page.read_text()):
        if not target.startswith("https://"):
            assert (page.parent / target).exists(), f"{page.name} links to {target}"


def test_every_group_and_verb_stands_on_a_page() -> None:
    said = "".join(page.read_text() for page in [README, *OPERATORS, ROOT / "docs" / "commands.md"])
    missing = [f"{g} {v}" for g, group in groups().items() for v in group.commands if f"fedcredit {g} {v}" not in said]
    assert not missing


def test_the_page_of_commands_is_what_the_program_says_of_itself() -> None:
    made = runpy.run_path(str(ROOT / "docs" / "commands.py"))
    assert (ROOT / "docs" / "commands.md").read_text() == made["render"](), "python docs/commands.py"


def test_the_page_of_the_dictionary_is_what_the_dictionary_says() -> None:
    made = runpy.run_path(str(ROOT / "docs" / "dictionary.py"))
    assert (ROOT / "docs" / "dictionary.md").read_text() == made["render"](), "python docs/dictionary.py"


@pytest.mark.parametrize("name", STUDIES)
def test_every_study_has_a_page_with_its_command(name: str) -> None:
    command = re.compile(rf"(fedcredit study run |make study NAME=){name}\b")
    pages = [page for page in (ROOT / "experiments").glob("*/README.md") if command.search(page.read_text())]
    assert pages, f"no experiments/*/README.md says: fedcredit study run {name}"
    assert any(str(page.relative_to(ROOT)) in README.read_text() for page in pages)
    assert f"# fedcredit study run {name}\n" in (CONFIGS / "experiment" / f"{name}.yaml").read_text()


def test_the_changelog_has_a_place_for_what_is_not_released() -> None:
    assert re.search(r"^## \[?Unreleased\]?$", (ROOT / "CHANGELOG.md").read_text(), re.MULTILINE)


def test_ci_checks_then_tests_everything() -> None:
    script = ROOT / ".ci" / "run"
    assert os.access(script, os.X_OK)
    assert script.read_text().endswith("\nmake check\nmake -k test-all\n")


@pytest.mark.parametrize("path", sorted((ROOT / "notebooks").glob("*.ipynb")), ids=lambda path: path.name)
def test_a_notebook_is_kept_without_outputs(path: Path) -> None:
    code = [cell for cell in json.loads(path.read_text())["cells"] if cell["cell_type"] == "code"]
    assert code
    assert all(cell["outputs"] == [] and cell["execution_count"] is None for cell in code)


def write_tables(folder: Path) -> None:
    """loans.csv and panel.csv of docs/your-own-table.md: 400 made-up companies at three banks."""
    rng = random.Random(7)
    loans = ["company,bank,revenue,debt_ratio,staff,industry,old_pd,defaulted"]
    panel = ["company,year,bank,revenue,debt_ratio,defaulted"]
    for number in range(400):
        risk = rng.gauss(0, 1)
        company, bank = f"C{number:04d}", f"bank-{'ABC'[number % 3]}"
        bad = int(risk + rng.gauss(0, 0.8) > 0.8)
        revenue, debt = 1e6 * 2.7 ** rng.gauss(0, 1), min(1.5, max(0.0, 0.5 + 0.2 * risk))
        staff = str(rng.randint(1, 200)) if rng.random() > 0.05 else ""
        old = 1 / (1 + 2.7 ** (2.5 - 0.6 * risk))
        industry = rng.choice(["food", "metal", "retail"])
        loans.append(f"{company},{bank},{revenue:.2f},{debt:.3f},{staff},{industry},{old:.4f},{bad}")
        years = range(2021 if number % 5 else 2023, 2025)
        panel += [f"{company},{year},{bank},{revenue * 1.02 ** (year - 2021):.2f},{debt:.3f},{bad}" for year in years]
    (folder / "loans.csv").write_text("\n".join(loans) + "\n")
    (folder / "panel.csv").write_text("\n".join(panel) + "\n")
