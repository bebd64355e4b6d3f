"""Who takes part in a run becomes a roster, and with schema and encoding the plan that everything in it is bound to."""

from __future__ import annotations

import hashlib
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from functools import cached_property

from fedcredit.privacy.secagg.encoding import Encoding
from fedcredit.privacy.secagg.refusals import KeyRefused, PlanRefused, TooFewRefused
from fedcredit.privacy.secagg.wire import MAX_MEMBERS, SUITE
from fedcredit.trust.keys import PublicIdentity, transcript

MIN_SURVIVORS = 4  # three would let any two members subtract their own updates and read the third's
ROSTER_LABEL = b"fedcredit/v1/secagg/roster"
PLAN_LABEL = b"fedcredit/v1/secagg/plan"


def threshold(members: int) -> int:
    """See `Roster.threshold`."""
    return 2 * members // 3 + 1


def least(members: int) -> int:
    """See `Roster.least`.

    >>> [least(n) for n in (4, 5, 7, 42)]
    [4, 4, 5, 29]
    """
    return max(threshold(members), MIN_SURVIVORS)


@dataclass(frozen=True)
class Roster:
    """The institutions of a run by name, each with its pinned identity; the index is the place in the order of names.

    It comes from what the institutions pinned before the run, never from keys that a server brings along.
    Raises TooFewRefused for fewer than MIN_SURVIVORS, KeyRefused if two names share one identity.
    """

    members: Mapping[str, PublicIdentity]

    def __post_init__(self) -> None:
        object.__setattr__(self, "members", dict(sorted(self.members.items())))
        if not MIN_SURVIVORS <= len(self.members) <= MAX_MEMBERS:
            raise TooFewRefused(
                "secagg roster",
                found=f"{len(self.members)} institutions",
                expected=f"{MIN_SURVIVORS} to {MAX_MEMBERS}",
                hint="a sum over fewer shows members each other's updates; train without masking, or find more members",
            )
        if len({identity.to_bytes() for identity in self.members.values()}) < len(self.members):
            raise KeyRefused("secagg roster", found="one identity under two names", expected="one each")

    @cached_property
    def names(self) -> tuple[str, ...]:
        """All names in order: the place is the index on the wire."""
        return tuple(self.members)

    @property
    def threshold(self) -> int:
        """t = floor(2n/3) + 1 of the roster's n: shares that open a secret, and signatures that fix a survivor set.

        Two survivor sets that t members each signed share at least 2t - n > n/3 signers, so fewer than n/3 colluding
        members cannot make two of them (Bonawitz et al. 2017, section 6.2).
        """
        return threshold(len(self.members))

    @property
    def least(self) -> int:
        """How many institutions must be left at every step: the threshold, and never under MIN_SURVIVORS."""
        return least(len(self.members))

    def index(self, name: str) -> int:
        """The place of a name. Raises KeyRefused for somebody outside of the roster."""
        if name not in self.members:
            raise KeyRefused("secagg roster", found="an institution outside of the roster", expected="a pinned member")
        return self.names.index(name)

    def identity(self, index: int) -> PublicIdentity:
        """The pinned identity at an index. Raises KeyRefused for an index outside of the roster."""
        if index >= len(self.names):
            raise KeyRefused("secagg roster", found="an institution outside of the roster", expected="a pinned member")
        return self.members[self.names[index]]

    def named(self, indices: Iterable[int]) -> frozenset[str]:
        """The names at some indices."""
        return frozenset(self.names[index] for index in indices)

    @cached_property
    def hash(self) -> bytes:
        """SHA-256 over all names and identities: 32 bytes."""
        entries = [part for name, key in self.members.items() for part in (name.encode(), key.to_bytes())]
        return hashlib.sha256(transcript(ROSTER_LABEL, *entries)).digest()


@dataclass(frozen=True)
class Plan:
    """What all parties agree on before a run's first key; `hash` is in every message, signature and mask of it.

    `run_id` is new for every run, and for a second set-up within one, as in "run/2"; `schema_sha256` is the
    32-byte digest of the model's schema.
    """

    run_id: str
    roster: Roster
    schema_sha256: bytes
    encoding: Encoding

    def __post_init__(self) -> None:
        if self.encoding.members != len(self.roster.names):
            raise PlanRefused(
                "secagg plan",
                found=f"an encoding for {self.encoding.members} institutions",
                expected=f"one for the roster's {len(self.roster.names)}",
            )

    @property
    def run(self) -> str:
        """What all set-ups of one run have in common: the run id up to the first slash."""
        return self.run_id.partition("/")[0]

    @cached_property
    def hash(self) -> bytes:
        """SHA-256 over suite, run, roster, schema and encoding: 32 bytes."""
        parts = (SUITE, self.run_id.encode(), self.roster.hash, self.schema_sha256, self.encoding.to_bytes())
        return hashlib.sha256(transcript(PLAN_LABEL, *parts)).digest()

    def require(self, plan_hash: bytes) -> None:
        """Return if a message is of this plan. Raises PlanRefused otherwise."""
        if plan_hash != self.hash:
            raise PlanRefused(
                "secagg message",
                found="one of another run, roster, schema or encoding",
                expected="this run's",
                hint="messages of a run mean nothing in another one",
            )
