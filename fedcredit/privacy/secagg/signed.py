"""A member's message becomes one that its pinned identity stands for.

The signature is over everything before it, under the label of the message's kind.
"""

from __future__ import annotations

from dataclasses import replace
from typing import Self

from fedcredit.privacy.secagg.plan import Plan
from fedcredit.privacy.secagg.refusals import KeyRefused
from fedcredit.privacy.secagg.wire import Message, fixed
from fedcredit.trust.keys import SIGNATURE_BYTES, Identity, SignatureInvalid

SIGN_LABEL = b"fedcredit/v1/secagg/message/"
SIGNATURE = fixed(SIGNATURE_BYTES)
UNSIGNED = bytes(SIGNATURE_BYTES)  # in place of a signature that is yet to be made


class Signed(Message):
    """A message of a member, whose last field is its signature."""

    plan: bytes
    sender: int
    signature: bytes

    def signed(self, identity: Identity) -> Self:
        """The same message with its signature."""
        return replace(self, signature=identity.sign(self.unsigned(), context=self._label()))  # type: ignore[type-var]  # every one is a dataclass

    def verify(self, plan: Plan) -> Self:
        """The message itself, if it is of this plan and its sender's pinned identity signed it.

        Raises PlanRefused or KeyRefused otherwise.
        """
        plan.require(self.plan)
        try:
            plan.roster.identity(self.sender).verify(self.signature, self.unsigned(), context=self._label())
        except SignatureInvalid:
            raise KeyRefused(
                f"secagg message {self.kind!r}",
                found="a signature that the pinned identity did not make",
                expected="Ed25519 and ML-DSA-65, both valid",
            ) from None
        return self

    def _label(self) -> bytes:
        return SIGN_LABEL + self.kind.encode()
