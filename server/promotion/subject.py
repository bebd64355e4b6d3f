"""What a person types for a model - a version, an alias, a stamp, a digest, a folder - becomes a bundle on its desk."""

from __future__ import annotations

import re
from dataclasses import dataclass
from pathlib import Path

from fedcredit.errors import ConfigError, ModelError
from fedcredit.models.files import CARD, read_files
from server.promotion.desk import Desk
from server.promotion.kept import called, keep, study_of

# models:/NAME/3, NAME/3, models:/NAME@champion
NAMED = re.compile(r"(?:models:/)?(?P<name>fedcredit-[\w.-]+)(?:/(?P<version>\w+)|@(?P<alias>\w+))")
STAMP = re.compile(r"(?P<study>[\w.-]+)-(?P<start>[0-9a-f]{12})")
MODEL = re.compile(r"[\w.-]+")


@dataclass(frozen=True)
class Subject:
    """A bundle on the desk of its model."""

    desk: Desk
    sha256: str


def desk_of(name: str, *, runs: Path) -> Desk:
    """The desk of a registered model, or of a study by its name.

    >>> desk_of("quickstart", runs=Path("runs")).name
    'fedcredit-quickstart'

    Raises:
        ConfigError: it is no name of a model.
    """
    word = name.removeprefix("models:/")
    if not MODEL.fullmatch(word) or word.startswith("."):
        raise ConfigError("NAME", found=repr(name[:80]), expected="a registered model, such as fedcredit-quickstart")
    return Desk(runs / "models" / (word if word.startswith("fedcredit-") else f"fedcredit-{word}"))


def subject(word: str, *, runs: Path, model: str | None = None) -> Subject:
    """The bundle that this means: looked for on the desks first, in the registry only if it is on none.

    A bundle that is found elsewhere is copied to its desk, so that it is there when the registry is not.

    Raises:
        ModelError: nothing of that name.
        ConfigError: a bare number, and there are several models.
    """
    if Path(word).is_dir() and (Path(word) / CARD).exists():
        study = study_of(read_files(Path(word))[CARD], where=word)
        desk = desk_of(f"fedcredit-{study}", runs=runs)
        return Subject(desk, keep(desk.folder, Path(word)))
    if named := NAMED.fullmatch(word):
        desk = desk_of(named["name"], runs=runs)
        found = _placed(desk, named["alias"]) if named["alias"] else called(desk.folder, named["version"])
        return Subject(desk, found) if found else _registered(word, desk, runs=runs)
    if model is None and (stamp := STAMP.fullmatch(word)):
        model = stamp["study"]
    desk = desk_of(model, runs=runs) if model else only_desk(runs, word)
    found = _placed(desk, word) or called(desk.folder, word)
    return Subject(desk, found) if found else _registered(f"models:/{desk.name}/{word}", desk, runs=runs)


def _registered(uri: str, desk: Desk, *, runs: Path) -> Subject:
    from fedcredit.registry import Registry, has_registry

    if not has_registry(runs):
        hint = "run a study first, or name its folder with --runs"
        raise ModelError(uri, found=f"neither on the desk nor in a registry in {runs}", expected="a version", hint=hint)
    registry = Registry(runs)
    version = registry.find(uri)
    return Subject(desk, keep(desk.folder, registry.fetch(version), version=str(version.version)))


def _placed(desk: Desk, place: str) -> str | None:
    state = desk.state()
    named = {
        "champion": state.champion,
        "challenger": state.challenger,
        "shadow": state.shadow,
        "previous": state.previous,
    }
    one = named.get(place)
    return one.bundle_sha256 if one else None


def only_desk(runs: Path, word: str = "NAME") -> Desk:
    """The desk of the only model there is. Raises ConfigError: there are several, or none."""
    there = sorted(path.name for path in (runs / "models").glob("fedcredit-*") if path.is_dir())
    if len(there) != 1:
        found = f"{len(there)} models ({', '.join(there[:5])})" if there else f"no models in {runs}"
        raise ConfigError(word, found=found, expected="its model named: NAME, models:/NAME/VERSION or --model NAME")
    return Desk(runs / "models" / there[0])
