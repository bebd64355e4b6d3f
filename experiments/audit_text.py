"""An audit as a security officer reads it: the bound beside the claim, the attacks beside a coin, twelve lines."""

from __future__ import annotations

from experiments.audit import Audit
from fedcredit.privacy.auditing.one_run import Bound


def audit_text(found: Audit) -> str:
    """The audit in lines; the first says whether it contradicts the run."""
    subject, member = found.subject, found.membership
    verdict = (
        f"CONTRADICTED: epsilon is at least {found.bound:.2f}, {subject.claimed:.2f} was claimed"
        if found.bound > subject.claimed
        else "CONTRADICTED: a check failed"
        if found.is_contradicted
        else f"not contradicted: epsilon is at least {found.bound:.2f}, {subject.claimed:.2f} was claimed"
    )
    lines = [
        f"{verdict} (delta {subject.delta:g}, {subject.institution}, {subject.companies} companies, {subject.unit})",
        _bound("every update seen", found.canaries.white_box),
        *([_bound("final model seen", found.canaries.black_box)] if found.canaries.black_box else []),
        f"membership: AUC {member.auc:.3f} [{member.auc_low:.3f}, {member.auc_high:.3f}], a coin is .5; "
        f"{100 * member.tpr:.1f} % [{100 * member.tpr_low:.1f}, {100 * member.tpr_high:.1f}] of members found "
        f"at 1 % false alarms, a coin finds 1 % ({member.shadows} shadow models)",
    ]
    if found.inversion:
        leak = found.inversion
        lines.append(
            f"row recovered from one company's update (1 all, 0 nothing): bare {leak.bare:.2f}, "
            f"noised {leak.noised:.2f}, masked {leak.masked:.2f}"
        )
    return "\n".join([*lines, *map(str, found.findings)])


def _bound(seen: str, bound: Bound) -> str:
    gaussian = "" if bound.gaussian is None else f", {bound.gaussian:.2f} if the noise is Gaussian"
    return (
        f"{seen}: epsilon at least {bound.epsilon:.2f} whatever the mechanism{gaussian} "
        f"({bound.correct} of {bound.guesses} guesses right, {bound.canaries} canaries; reach {bound.reach:.1f})"
    )
