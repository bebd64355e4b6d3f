"""A promoted bundle's files become one message to every institution, and the message files again, within limits."""

from __future__ import annotations

import base64
import binascii
import hashlib
import json
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

from flwr.app import ConfigRecord, RecordDict

from fedcredit.errors import ConfigError
from fedcredit.federation.messages import CONFIG, Task
from fedcredit.models.bundle import Bundle
from fedcredit.models.files import CARD, MANIFEST, WEIGHTS

CHAMPION = "query.champion"
FILES = "files"  # the record of the bundle's files, by name
PROMOTION = "PROMOTION.json"
NAMES = (CARD, MANIFEST, WEIGHTS, PROMOTION)
# The largest LSTM of the studies weighs under 1 MB; in an order's text this is 8 MiB, and a gateway passes 16.
MAX_CHAMPION_BYTES = 6 * 1024 * 1024


@dataclass(frozen=True)
class Sent:
    """A bundle's files with its promotion, as they travel: nothing is verified but their names and sizes."""

    files: Mapping[str, bytes]

    def __post_init__(self) -> None:
        if set(self.files) != set(NAMES) or not all(isinstance(content, bytes) for content in self.files.values()):
            raise ConfigError("champion", found="other files", expected=", ".join(sorted(NAMES)))
        size = sum(map(len, self.files.values()))
        if size > MAX_CHAMPION_BYTES:
            raise ConfigError("champion", found=f"{size:,} bytes", expected=f"at most {MAX_CHAMPION_BYTES:,}")

    @property
    def bundle_sha256(self) -> str:
        """The digest of the manifest that came, which is that of the bundle if it verifies."""
        return hashlib.sha256(self.files[MANIFEST]).hexdigest()

    @staticmethod
    def from_folder(folder: Path) -> Sent:
        """The files of a promoted bundle's folder. Raises ConfigError: one is missing or too large."""
        files = {}
        for name in NAMES:
            try:
                with (folder / name).open("rb") as file:
                    files[name] = file.read(MAX_CHAMPION_BYTES + 1)
            except OSError:
                hint = "promote it first: fedcredit model promote" if name == PROMOTION else ""
                raise ConfigError(
                    str(folder / name), found="no such file", expected="a promoted bundle", hint=hint
                ) from None
        return Sent(files)

    def to_text(self) -> str:
        """One line, for an order."""
        said = {name: base64.b64encode(content).decode("ascii") for name, content in sorted(self.files.items())}
        return json.dumps(said, separators=(",", ":"))

    @staticmethod
    def from_text(text: str) -> Sent:
        """What `to_text` wrote. Raises ConfigError: another form, or too long."""
        if len(text) > 2 * MAX_CHAMPION_BYTES:
            raise ConfigError(
                "champion", found=f"{len(text):,} letters", expected=f"at most {2 * MAX_CHAMPION_BYTES:,}"
            )
        try:
            said = json.loads(text)
            files = {str(name): base64.b64decode(content, validate=True) for name, content in said.items()}
        except (ValueError, TypeError, AttributeError, RecursionError, binascii.Error):
            raise ConfigError("champion", found="another form", expected="the files of a bundle") from None
        return Sent(files)

    def content(self, task: Task) -> RecordDict:
        """The message's content."""
        return RecordDict({CONFIG: task.as_config(), FILES: ConfigRecord(dict(self.files))})

    @staticmethod
    def from_content(content: RecordDict) -> Sent:
        """The files in a message. Raises ConfigError: there are none, others, or too many bytes."""
        record = content.get(FILES)
        if not isinstance(record, ConfigRecord):
            raise ConfigError("champion", found="no files", expected=", ".join(sorted(NAMES)))
        return Sent({str(name): value for name, value in record.items() if isinstance(value, bytes)})


def task_of(bundle: Bundle, *, study: str) -> Task:
    """The task under which a bundle is sent: it names the study, and asks nothing of any row."""
    return Task(
        run=f"champion-{bundle.sha256[:12]}",
        model=bundle.settings,
        features=bundle.inputs,
        time=bundle.time,
        seed=0,
        metrics="none",
        study=study,
    )
