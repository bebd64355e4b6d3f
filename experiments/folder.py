"""A run's folder: what it was asked, how far it is, what came out; nothing in it is ever half-written."""

from __future__ import annotations

import json
import os
import time
from dataclasses import asdict, dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import yaml

from fedcredit.errors import RunError
from fedcredit.settings import StudySettings, config_sha256
from fedcredit.strict import build

__all__ = ["RunFolder", "config_sha256", "read_settings"]


@dataclass(frozen=True)
class RunFolder:
    """runs/<study>/<UTC time>/ with settings, status, log, report, predictions and model."""

    path: Path

    @staticmethod
    def open(settings: StudySettings) -> RunFolder:
        """A new folder, or with `resume` the one to go on in (a path, a time, or "latest" for the newest).

        Raises:
            RunError: there is no such run, or it was started with other settings.
        """
        home = Path(settings.runs) / settings.study
        if settings.resume is None:
            folder = RunFolder(_new(home))
            plain = json.loads(json.dumps(asdict(settings)))
            folder.write_text("config.yaml", yaml.safe_dump(plain, sort_keys=False, allow_unicode=True))
            return folder
        return _resumed(home, settings)

    def write_text(self, name: str, text: str) -> Path:
        """Write a file whole: it is either the old one or the new one."""
        target = self.path / name
        target.parent.mkdir(parents=True, exist_ok=True)
        draft = target.with_name(f".{target.name}.{os.getpid()}")
        try:
            draft.write_text(text, encoding="utf-8")
            draft.replace(target)
        except OSError as fault:
            draft.unlink(missing_ok=True)
            reason = os.strerror(fault.errno) if fault.errno else type(fault).__name__
            hint = "free some space and run again with resume=latest"
            raise RunError(str(target), found=reason, expected="a folder with room to write", hint=hint) from fault
        return target

    def write_status(self, state: str, **facts: Any) -> None:
        """The file that `study status` reads."""
        now = datetime.now(UTC).isoformat(timespec="seconds")
        self.write_text("status.json", json.dumps({"state": state, "updated": now, "pid": os.getpid(), **facts}))

    def point_latest(self) -> None:
        """Make runs/<study>/latest this run."""
        link = self.path.parent / "latest"
        draft = link.with_name(f".latest.{os.getpid()}")
        draft.unlink(missing_ok=True)
        draft.symlink_to(self.path.name)
        draft.replace(link)


def _new(home: Path) -> Path:
    while True:
        path = home / datetime.now(UTC).strftime("%Y%m%dT%H%M%SZ")
        try:
            path.parent.mkdir(parents=True, exist_ok=True)
            path.mkdir(mode=0o700)  # scores and labels by company: for whoever ran it
        except FileExistsError:
            time.sleep(0.2)  # another run began in this second
        except OSError as fault:
            reason = os.strerror(fault.errno) if fault.errno else type(fault).__name__
            raise RunError(str(path), found=reason, expected="a folder that can be written") from fault
        else:
            return path


def read_settings(folder: Path) -> StudySettings:
    """The settings that a run was started with.

    Raises:
        RunError: the folder is not a run.
    """
    path = folder / "config.yaml"
    try:
        raw = yaml.safe_load(path.read_text(encoding="utf-8"))
    except (OSError, yaml.YAMLError):
        raise RunError(
            str(folder), found="no run", expected="a folder with config.yaml", hint="fedcredit study list"
        ) from None
    return build(StudySettings, raw, where=str(path))


def _resumed(home: Path, settings: StudySettings) -> RunFolder:
    asked = str(settings.resume)
    runs = sorted(p for p in home.glob("*Z") if (p / "config.yaml").exists())
    path = runs[-1] if asked == "latest" and runs else Path(asked) if "/" in asked else home / asked
    if config_sha256(read_settings(path)) != config_sha256(settings):
        hint = "start a new run, or repeat the overrides it was started with"
        raise RunError(str(path), found="a run of other settings", expected="the same settings", hint=hint)
    return RunFolder(path)
