"""A node's folder becomes what its commands ask of it: keys, whether its policy holds, a study's rule, its columns."""

from __future__ import annotations

from datetime import UTC, datetime
from pathlib import Path

from clients.audit_log import AuditLog
from clients.facts import read_facts
from clients.home import NodeHome
from clients.policy import Policy
from clients.policy_file import read_officer, verified_policy
from fedcredit.data.governance.levels import UNKNOWN
from fedcredit.errors import ConfigError, FedCreditError
from fedcredit.trust.keys import Identity
from fedcredit.trust.manifest import ManifestFile, StudyRule


def officer_of(node: NodeHome, key: Path | None) -> Identity:
    """The officer's key, if it is the officer that this node follows. Raises KeyFileRefused, ConfigError."""
    officer = Identity.load(key or node.officer)
    if officer.public != read_officer(node.officer_public):
        hint = f"{node.officer_public.name} has the officer that this node follows"
        raise ConfigError("--key", found="another officer's key", expected="this institution's", hint=hint)
    return officer


def identity_of(node: NodeHome) -> Identity:
    """The key that signs the audit log. Raises KeyFileRefused."""
    return Identity.load(node.identity)


def log_of(node: NodeHome) -> AuditLog:
    """The audit log, to write to. Raises KeyFileRefused."""
    return AuditLog(node.audit_log, identity_of(node))


def institution_name(node: NodeHome) -> str:
    """The institution's name, as the operator set it."""
    return read_facts(node).institution


def require_own(node: NodeHome, said: Policy) -> None:
    """Return if the policy is this institution's. Raises ConfigError."""
    if said.institution != (mine := institution_name(node)):
        raise ConfigError("policy.institution", found=said.institution[:80], expected=mine)


def policy_fault(node: NodeHome) -> str | None:
    """Why the policy is not in force, None if it is."""
    try:
        require_own(node, verified_policy(node.policy, officer=read_officer(node.officer_public)))
    except FedCreditError as fault:
        return fault.found
    return None


def rule_of(node: NodeHome, study: str) -> StudyRule:
    """The study's rule in the verified manifest. Raises ConfigError: it has none; ManifestRefused."""
    manifest = ManifestFile(node.manifest).read(now=datetime.now(UTC))
    rule = manifest.rule_for(study)
    if rule is None:
        known = ", ".join(one.study for one in manifest.studies) or "none"
        raise ConfigError("study", found=f"{study[:80]!r}, not in the manifest", expected=known)
    return rule


def columns_of(node: NodeHome) -> tuple[dict[str, int], int]:
    """The table's columns at the level of its rows, and that level; without rows none, and that of an unknown table."""
    from fedcredit.data.windows import load

    facts = read_facts(node)
    path = node.folder / facts.windows
    if not path.exists():
        return {}, facts.level or UNKNOWN
    windows = load(path)
    level = max(windows.level, facts.level or 0)
    return dict.fromkeys(windows.features, level), level
