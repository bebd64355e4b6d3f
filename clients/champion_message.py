"""A message with a promoted bundle becomes the champion of the node that its operator has set up for it."""

from __future__ import annotations

from datetime import UTC, datetime
from pathlib import Path

from flwr.app import Context, Message

from clients.champion import take
from clients.institution import Institution, facts_of
from fedcredit.errors import ConfigError
from fedcredit.federation.champion import Sent
from fedcredit.trust.manifest import ManifestFile


def keep_champion(message: Message, context: Context, here: Institution) -> bool:
    """Whether the bundle was not in force before.

    Raises:
        ConfigError: the node has no manifest or no folder for it, or the message has other files.
        ChampionRefused, PromotionRefused, SealBroken, ManifestRefused: it is not what two officers promoted.
    """
    folder = facts_of(context).get("champion")
    if here.manifest is None or folder is None:
        hint = "fedcredit node join sets both"
        raise ConfigError("node_config", found="no manifest or champion", expected="both, for a model", hint=hint)
    now = datetime.now(UTC)
    officers = ManifestFile(here.manifest).read(now=now).officers
    return take(Path(str(folder)), Sent.from_content(message.content).files, officers=officers, now=now).is_new
