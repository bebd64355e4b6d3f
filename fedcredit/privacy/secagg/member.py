"""Who we are in a run: the plan, our place in its roster, and the identity that signs for us."""

from __future__ import annotations

from dataclasses import dataclass

from fedcredit.privacy.secagg.plan import Plan
from fedcredit.privacy.secagg.refusals import KeyRefused
from fedcredit.trust.keys import Identity


@dataclass(frozen=True)
class Member:
    """An institution in a run. Raises KeyRefused unless the roster pins this identity under this name."""

    plan: Plan
    name: str
    identity: Identity

    def __post_init__(self) -> None:
        if self.plan.roster.identity(self.index) != self.identity.public:
            raise KeyRefused("secagg roster", found="another identity under our name", expected="our own")

    @property
    def index(self) -> int:
        """Our place in the roster."""
        return self.plan.roster.index(self.name)
