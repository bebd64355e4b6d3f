"""What people read to each other on the telephone becomes a yes or a no to a consortium's fingerprint."""

from __future__ import annotations

from fedcredit.errors import PolicyRefused

MIN_FINGERPRINT = 16  # hex digits; a stranger who wants 64 bits to agree has to make 10^19 consortia
READ_FINGERPRINT = 32  # what we print to be read: 128 bits


class FingerprintRefused(PolicyRefused):
    """What was read on the telephone is not the fingerprint of what came in the file."""

    code = "fingerprint"


def read_fingerprint(said: str, *, of: str) -> None:
    """Return if what a person typed is how the fingerprint `of` begins, at least 16 digits of it.

    Spaces, colons and dashes between the digits are left out.

    >>> read_fingerprint("0123 4567 89ab cdef", of="0123456789abcdef" * 4)

    Raises:
        FingerprintRefused: it is shorter, or another one.
    """
    typed = said.lower().translate({ord(sign): None for sign in " :-"})
    if len(typed) < MIN_FINGERPRINT or not of.startswith(typed):
        raise FingerprintRefused(
            "--fingerprint",
            found=f"{typed[:64] or 'nothing'}",
            expected=f"the first {MIN_FINGERPRINT} digits or more of the fingerprint of this file",
            hint="telephone again: if what they read to you differs from what you typed, the file is not theirs",
        )


def spaced(fingerprint: str) -> str:
    """The digits of a fingerprint that people read to each other, in groups of four.

    >>> spaced("0123456789abcdef" * 4)
    '0123 4567 89ab cdef 0123 4567 89ab cdef'
    """
    digits = fingerprint[:READ_FINGERPRINT]
    return " ".join(digits[at : at + 4] for at in range(0, len(digits), 4))
