"""Masked updates become their sum, and the server learns the sum only.

Nothing in here opens a socket, reads a clock or knows Flower: bytes come in, bytes go out. The institution's side is
`session.ClientSession`, whose every step is on disk before its message leaves; the server's side is functions from
replies by name to what goes out next. Indices on the wire are places in the roster's order of names.

    set-up, once a run              institution                           server (`server_setup`)
      1  offer_keys()               -> KeyOffer                           relay_keys -> KeyList, one for all
      2  encapsulate(key_list)      -> Capsules                           relay_capsules -> CapsuleDelivery, one each
      3  agree(delivery)            -> Confirmations                      relay_confirmations -> ConfirmationDelivery
      4  confirm(delivery)             (rides on the next message)
    one round ahead
      5  deal(round, attempt)       -> Deal                               gather_deals -> cohort
    round r, attempt a                                                    (`server_round`)
      6  upload(start, ...)         -> UploadHeader, masked words         start_round -> RoundStart, one each
         (and deal(r + 1, 0)        -> Deal, on the same reply)           gather_uploads -> SurvivorSet, for survivors
      7  sign_survivors(set)        -> SurvivorSignature                  gather_signatures -> SignatureSet
      8  release(signatures)        -> Release                            unmask -> the sum

A plain round is step 6 alone, so masking adds two messages to it; step 5 is a message of its own only before the
first round and before a retry. All rules and why they hold are on the page beside this room, `privacy/README.md`.
"""

from fedcredit.privacy.secagg.encoding import Counts, Encoding, Sum
from fedcredit.privacy.secagg.plan import MIN_SURVIVORS, Plan, Roster
from fedcredit.privacy.secagg.refusals import SecaggRefused
from fedcredit.privacy.secagg.server_round import gather_signatures, gather_uploads, start_round
from fedcredit.privacy.secagg.server_setup import gather_deals, relay_capsules, relay_confirmations, relay_keys
from fedcredit.privacy.secagg.session import ClientSession
from fedcredit.privacy.secagg.store import Store
from fedcredit.privacy.secagg.unmasking import unmask

__all__ = [
    "MIN_SURVIVORS",
    "ClientSession",
    "Counts",
    "Encoding",
    "Plan",
    "Roster",
    "SecaggRefused",
    "Store",
    "Sum",
    "gather_deals",
    "gather_signatures",
    "gather_uploads",
    "relay_capsules",
    "relay_confirmations",
    "relay_keys",
    "start_round",
    "unmask",
]
