"""An address at the end of a tunnel becomes the file behind it, of a size that is known beforehand.

Nothing is unpacked and nothing past the limit is read: a few kilobytes that unpack to gigabytes are refused by their
header, and an answer that drips or never ends stops at its limit.
"""

from __future__ import annotations

import time

import httpx

from fedcredit.errors import FedCreditError

PLAIN = {"Accept-Encoding": "identity"}
SILENT_SECONDS = 30.0  # without a byte; then nobody answers


class FetchFailed(FedCreditError):
    """There is no such file, nobody answers, or what comes is larger, packed or too slow."""

    code = "fetch"

    def __init__(self, where: str, *, found: str, expected: str, hint: str = "", status: int | None = None) -> None:
        super().__init__(where, found=found, expected=expected, hint=hint)
        self.status = status  # of HTTP, where that is what is wrong


def fetch(url: str, *, most: int, seconds: float, client: httpx.Client | None = None) -> bytes:
    """The file behind the address, at most `most` bytes, all of it within about `seconds`.

    `client` keeps a connection for the next file. Only 200 is an answer; nothing is followed elsewhere.

    Raises:
        FetchFailed: with the status, where the answer is another.
    """
    if client is None:
        # Only the way to this machine's own tunnel: no proxy that the environment names.
        with httpx.Client(trust_env=False) as own:
            return fetch(url, most=most, seconds=seconds, client=own)
    give_up, silence = time.monotonic() + seconds, min(seconds, SILENT_SECONDS)
    try:
        with client.stream("GET", url, headers=PLAIN, timeout=silence, follow_redirects=False) as answer:
            if answer.status_code != 200:
                status = answer.status_code
                raise FetchFailed(_name(url), found=f"HTTP {status}", expected="the file", status=status)
            if answer.headers.get("Content-Encoding", "identity").strip().lower() != "identity":
                raise FetchFailed(_name(url), found="a packed answer", expected="the file as it is")
            data = bytearray()
            for piece in answer.iter_raw():
                data += piece
                if len(data) > most:
                    raise FetchFailed(_name(url), found="a larger file", expected=f"at most {most} bytes")
                if time.monotonic() > give_up:
                    raise FetchFailed(_name(url), found="a slow answer", expected=f"all of it within {seconds:g} s")
    except (httpx.HTTPError, httpx.StreamError, httpx.InvalidURL) as fault:
        raise FetchFailed(_name(url), found=type(fault).__name__, expected="an answer") from None
    return bytes(data)


def _name(url: str) -> str:
    return url.rpartition("/")[2]
