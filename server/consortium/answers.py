"""A member's entry becomes the answer that it is sent, with a draft of its policy; and what officers see of that."""

from __future__ import annotations

import json
from datetime import date, timedelta
from importlib.resources import files
from string import Template

from fedcredit.trust.envelope import peek
from fedcredit.trust.joining import JOIN, Join, Request
from fedcredit.trust.manifest import Manifest
from fedcredit.trust.words import moment_of
from server.consortium.pending import Pending
from server.consortium.settings import Settings

POLICY_DAYS = 365


def policy_draft(institution: str, *, until: date) -> str:
    """The policy that an institution starts from, with its name and a last day."""
    text = (files("server") / "deploy" / "policy-template.yaml").read_text(encoding="utf-8")
    return Template(text).substitute(institution=json.dumps(institution, ensure_ascii=False), expires=until.isoformat())


def answer_lines(change: Pending) -> list[str]:
    """One line for each answer that is signed with the change: where it leads, and whether its policy is the usual."""
    lines = []
    for one in change.answers:
        body = peek(one.draft.encode(), kind=JOIN[one.role])
        join = {key: str(body.get(key, "")) for key in ("gateway", "server_name", "policy", "issued")}
        usual = ""
        if one.role == "institution":
            until = moment_of(join["issued"], where="issued") + timedelta(days=POLICY_DAYS)
            is_usual = join["policy"] == policy_draft(one.name, until=until.date())
            usual = ", the usual draft of a policy" if is_usual else ", A POLICY THAT IS NOT THE USUAL DRAFT"
        lines.append(f"answer to {one.name}: {join['gateway']} as {join['server_name']}{usual}")
    return lines


def answer_to(request: Request, *, certificate: str, sealed: bytes, manifest: Manifest, settings: Settings) -> Join:
    """What the consortium answers: `sealed` is the manifest's file, with its signatures or before them."""
    until = (manifest.issued + timedelta(days=POLICY_DAYS)).date()
    return Join(
        consortium=manifest.consortium,
        institution=request.institution,
        certificate=certificate,
        authority=manifest.authority,
        gateway=manifest.gateway,
        server_name=settings.server_name,
        manifest=sealed,
        policy=policy_draft(request.institution, until=until) if request.role == "institution" else "",
        software=manifest.packages,
        issued=manifest.issued,
        expires=manifest.issued + timedelta(days=settings.join_days),
        role=request.role,
    )
