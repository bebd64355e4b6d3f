"""An institution's part in a run: bytes in, bytes out, and every step on its disk before the bytes leave.

    session = ClientSession(plan, "bank-a", identity, store)

Nothing is kept in memory between two calls: a session made anew over the same store goes on where the last one stopped,
and refuses what it had done already.
"""

from __future__ import annotations

from fedcredit.privacy.secagg import client_round, client_setup, dealing
from fedcredit.privacy.secagg.context import Context, RoundId, topics
from fedcredit.privacy.secagg.differencing import Summed
from fedcredit.privacy.secagg.encoding import Words
from fedcredit.privacy.secagg.member import Member
from fedcredit.privacy.secagg.plan import Plan
from fedcredit.privacy.secagg.round_messages import RoundStart, SignatureSet, SurvivorSet
from fedcredit.privacy.secagg.setup_messages import CapsuleDelivery, ConfirmationDelivery, KeyList
from fedcredit.privacy.secagg.states import Dealt, Encapsulated, Offered, Paired, SurvivorsSigned, Uploaded
from fedcredit.privacy.secagg.store import Store
from fedcredit.trust.keys import Identity

# Stages of a run, then of a (round, attempt): the one way through each.
OFFERED, ENCAPSULATED, AGREED, CONFIRMED = "offered", "encapsulated", "agreed", "confirmed"
DEALT, UPLOADED, SIGNED = "dealt", "uploaded", "signed"  # and then the store's CLOSED


class ClientSession:
    """One institution in one run. Every method raises a SecaggRefused of its kind, and then nothing has left.

    Raises KeyRefused unless the roster pins this identity under this name.
    """

    def __init__(self, plan: Plan, name: str, identity: Identity, store: Store) -> None:
        self.plan = plan
        self.me = Member(plan, name, identity)
        self.store = store

    def offer_keys(self) -> bytes:
        """Step 1: our keys of this run, signed. Once a run: StageRefused the second time."""
        state, message = client_setup.offer_keys(self.me)
        self.store.advance_run(self.plan.hash, before=None, after=OFFERED, state=state.to_bytes())
        return message.to_bytes()

    def encapsulate(self, key_list: bytes) -> bytes:
        """Step 2: everybody's keys checked against the pinned roster; ciphertexts for later members."""
        state = Offered.from_bytes(self.store.run(self.plan.hash, stage=OFFERED))
        after, message = client_setup.answer_keys(self.me, state, KeyList.from_bytes(key_list))
        self.store.advance_run(self.plan.hash, before=OFFERED, after=ENCAPSULATED, state=after.to_bytes())
        return message.to_bytes()

    def agree(self, delivery: bytes) -> bytes:
        """Step 3: a secret with everybody, and proofs that we have it."""
        state = Encapsulated.from_bytes(self.store.run(self.plan.hash, stage=ENCAPSULATED))
        after, message = client_setup.agree(self.me, state, CapsuleDelivery.from_bytes(delivery))
        self.store.advance_run(self.plan.hash, before=ENCAPSULATED, after=AGREED, state=after.to_bytes())
        return message.to_bytes()

    def confirm(self, delivery: bytes) -> None:
        """Step 4: everybody's proofs checked; before this, no secret is used."""
        state = Paired.from_bytes(self.store.run(self.plan.hash, stage=AGREED))
        after = client_setup.check_confirmations(self.me, state, ConfirmationDelivery.from_bytes(delivery))
        self.store.advance_run(self.plan.hash, before=AGREED, after=CONFIRMED, state=after.to_bytes())

    def deal(self, round_: int, *, attempt: int = 0) -> bytes:
        """Step 5, one round ahead: shares for (round, attempt). Once each: StageRefused the second time."""
        at = RoundId.of(self.plan, round_, attempt=attempt)
        state, message = dealing.deal(self.me, self._paired(), at)
        self.store.advance(at, before=None, after=DEALT, state=state.to_bytes())
        return message.to_bytes()

    def require_start(self, start: bytes, *, model_sha256: bytes, weighing: bytes = b"") -> None:
        """Return if we would upload in this round: to be asked before training and before a budget is charged.

        Raises what `upload` would raise, and changes nothing.
        """
        self._admitted(RoundStart.from_bytes(start), model_sha256, weighing=weighing)

    def upload(
        self, start: bytes, *, model_sha256: bytes, settings_sha256: bytes, encoded: Words, weighing: bytes = b""
    ) -> tuple[bytes, Words]:
        """Step 6: signed header and masked words for what `plan.encoding.encode` gave.

        `model_sha256` and `settings_sha256` (32 bytes each) are digests that *we* computed of the global model and of
        the round's settings as they came; the masks cancel only among members who computed the same. `weighing`, at
        most 32 bytes, is what weights follow from, where there are any: a sum is not signed again under another one.
        """
        message = RoundStart.from_bytes(start)
        paired, dealt = self._admitted(message, model_sha256, weighing=weighing)
        at = RoundId(message.plan, message.round, message.attempt)
        context = Context(at, model_sha256, settings_sha256, message.cohort)
        state, header, words = client_round.upload(
            self.me, paired, dealt, start=message, context=context, encoded=encoded, weighing=weighing
        )
        self.store.advance(at, before=DEALT, after=UPLOADED, state=state.to_bytes())
        return header.to_bytes(), words

    def sign_survivors(self, survivor_set: bytes) -> bytes:
        """Step 7: our signature on the survivor set. One set a (round, attempt), ever."""
        message = SurvivorSet.from_bytes(survivor_set)
        at = RoundId(message.plan, message.round, message.attempt)
        state = Uploaded.from_bytes(self.store.round(at, stage=UPLOADED))
        after, signature = client_round.sign_survivors(self.me, state, message)
        chosen = Summed(self.plan.roster.named(after.survivors), state.weighing)
        signed = (topics(self.plan, at.round, model_sha256=state.model_sha256), chosen)
        self.store.advance(at, before=UPLOADED, after=SIGNED, state=after.to_bytes(), signed=signed)
        return signature.to_bytes()

    def release(self, signature_set: bytes) -> bytes:
        """Step 8: our shares, once at least t members signed the set that we signed. Once a (round, attempt)."""
        message = SignatureSet.from_bytes(signature_set)
        at = RoundId(message.plan, message.round, message.attempt)
        state = SurvivorsSigned.from_bytes(self.store.round(at, stage=SIGNED))
        released = client_round.release(self.me, state, message)
        self.store.finish(at, before=SIGNED)
        return released.to_bytes()

    def _paired(self) -> Paired:
        return Paired.from_bytes(self.store.run(self.plan.hash, stage=CONFIRMED))

    def _admitted(self, start: RoundStart, model_sha256: bytes, *, weighing: bytes) -> tuple[Paired, Dealt]:
        paired = self._paired()
        client_round.require_start(self.me, paired, start)
        at = RoundId(start.plan, start.round, start.attempt)
        dealt = Dealt.from_bytes(self.store.round(at, stage=DEALT))
        signed = self.store.signed_sums(topics(self.plan, start.round, model_sha256=model_sha256))
        client_round.require_cohort_same(self.me, start.cohort, weighing=weighing, signed=signed)
        return paired, dealt
