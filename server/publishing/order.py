"""A promoted bundle becomes an order to send it to every node, and again an order, checked field by field."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Mapping
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from fedcredit.errors import ConfigError
from fedcredit.federation.champion import MAX_CHAMPION_BYTES, PROMOTION, Sent
from fedcredit.strict import build
from fedcredit.trust.promotion import peek_promotion
from fedcredit.trust.words import checked_digest
from server.orders import MAX_ORDER_BYTES, checked_word

CHAMPION_TEXT = "champion"  # the setting of the Flower run that has the files; empty in an order to train
LONGEST_SECONDS = 3600.0


@dataclass(frozen=True)
class PublishOrder:
    """Send these files to all nodes, and wait so long for their word. `study` is one that the manifest allows.

    What is signed is the order without the files; their digest is in it.
    """

    study: str
    run: str
    model: str
    bundle_sha256: str
    files_sha256: str
    deadline_seconds: float
    sent: Sent

    def __post_init__(self) -> None:
        for name in ("study", "run"):
            checked_word(getattr(self, name), where=f"order.{name}")
        checked_digest(self.bundle_sha256, where="order.bundle_sha256")
        if hashlib.sha256(self.sent.to_text().encode()).hexdigest() != self.files_sha256:
            raise ConfigError("order.champion", found="other files", expected="those that the operator signed")
        if self.sent.bundle_sha256 != self.bundle_sha256:
            raise ConfigError("order.champion", found="another bundle", expected=self.bundle_sha256[:12])
        if not 0 < self.deadline_seconds <= LONGEST_SECONDS:
            found, most = f"{self.deadline_seconds:g}", f"at most {LONGEST_SECONDS:g} seconds"
            raise ConfigError("order.deadline_seconds", found=found, expected=most)

    @property
    def unit(self) -> str:
        """The one unit of such a run."""
        return "champion"

    @property
    def folder(self) -> str:
        """Where its acknowledgements are, under the platform's studies."""
        return f"{self.study}/{self.run}/{self.unit}"

    def as_config(self) -> dict[str, str]:
        """The settings of its Flower run."""
        said = {name: value for name, value in vars(self).items() if name != "sent"}
        text = json.dumps({"publish": said}, sort_keys=True, ensure_ascii=False)
        digest = hashlib.sha256(text.encode()).hexdigest()
        return {"order": text, "order-sha256": digest, CHAMPION_TEXT: self.sent.to_text()}

    @staticmethod
    def of_folder(folder: Path, *, study: str, run: str, deadline_seconds: float = 300.0) -> PublishOrder:
        """The order to send a promoted bundle's folder. Raises ConfigError: it is not whole, or was not promoted."""
        sent = Sent.from_folder(folder)
        promotion = peek_promotion(sent.files[PROMOTION])
        digest = hashlib.sha256(sent.to_text().encode()).hexdigest()
        return PublishOrder(study, run, promotion.model, promotion.bundle_sha256, digest, deadline_seconds, sent)

    @staticmethod
    def from_config(config: Mapping[str, Any]) -> PublishOrder:
        """The order in a Flower run's settings.

        Raises:
            ConfigError: it is too long, was changed on its way, or has a field that it should not have.
        """
        text, digest, files = (config.get(name) for name in ("order", "order-sha256", CHAMPION_TEXT))
        if not isinstance(text, str) or len(text) > MAX_ORDER_BYTES or not isinstance(files, str):
            raise ConfigError("order", found="none, or too long", expected=f"at most {MAX_ORDER_BYTES} bytes of JSON")
        if hashlib.sha256(text.encode()).hexdigest() != digest:
            raise ConfigError("order", found="a digest that does not fit", expected="sha256 of the order")
        if len(files) > 2 * MAX_CHAMPION_BYTES:
            raise ConfigError("order.champion", found="more bytes", expected=f"at most {MAX_CHAMPION_BYTES:,}")
        try:
            raw = json.loads(text)["publish"]
        except (ValueError, KeyError, TypeError, RecursionError):
            raise ConfigError("order", found="no order to publish", expected="one JSON object") from None
        said = build(_Said, raw, where="order.publish", complete=True)
        return PublishOrder(**asdict(said), sent=Sent.from_text(files))


@dataclass(frozen=True)
class _Said:
    study: str
    run: str
    model: str
    bundle_sha256: str
    files_sha256: str
    deadline_seconds: float
