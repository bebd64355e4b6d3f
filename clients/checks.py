"""Every check of a node, in the order in which they are mended."""

from __future__ import annotations

from clients.check_link import check_gateway, check_link
from clients.checks_here import check_audit, check_disk, check_keys, check_ledger, check_levels, check_rows, check_trial
from clients.checks_signed import check_certificate, check_manifest, check_policy, check_versions
from clients.checks_studies import check_studies
from clients.checkup import Check


def every_check(*, is_online: bool) -> list[tuple[str, Check]]:
    """The checks by name; without `is_online` those that ask the gateway are left out."""
    here: list[tuple[str, Check]] = [
        ("keys", check_keys),
        ("manifest", check_manifest),
        ("certificate", check_certificate),
        ("versions", check_versions),
        ("policy", check_policy),
        ("rows", check_rows),
        ("level", check_levels),
        ("studies", check_studies),
        ("ledger", check_ledger),
        ("audit log", check_audit),
        ("disk", check_disk),
    ]
    link: list[tuple[str, Check]] = [("link", check_link), ("gateway", check_gateway)]
    return [*here, *(link if is_online else []), ("dry run", check_trial)]
