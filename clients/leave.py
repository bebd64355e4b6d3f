"""A node's folder becomes a stopped one, and the words that ask the platform to revoke it."""

from __future__ import annotations

from dataclasses import dataclass

from clients.audit_log import AuditLog
from clients.facts import read_facts
from clients.home import NodeHome
from clients.policy_file import set_stopped
from fedcredit.link.authority import certificate_sha256
from fedcredit.trust.keys import Identity


@dataclass(frozen=True)
class Left:
    """What to send, and what became of the folder."""

    message: str
    story: str
    is_signed: bool


def leave(home: NodeHome) -> Left:
    """Turn the kill switch, so that nothing is answered from now on; keys, ledger, log and rows stay where they are.

    Raises:
        ConfigError: there is no node here that has joined.
    """
    name = read_facts(home).institution
    officer = Identity.load(home.officer) if home.officer.exists() else None
    log = AuditLog(home.audit_log, Identity.load(home.identity))
    is_signed = set_stopped(home.policy, is_stopped=True, officer=officer, log=log)
    lines = [
        "Send this to the platform, and telephone them:",
        "",
        f"  {name} leaves the consortium. Please revoke it: fedcredit consortium revoke {name}",
        f"  identity    {Identity.load(home.identity).public.fingerprint}",
        f"  certificate {certificate_sha256(home.tls_certificate.read_text(encoding='ascii'))}",
    ]
    story = (
        f"stopped: the node answers nothing from now on. Under systemd: systemctl disable --now {home.unit.name}. "
        f"Keep {home.ledger.name} and {home.audit_log.name}: what was spent stays spent."
    )
    return Left("\n".join(lines), story, is_signed)
