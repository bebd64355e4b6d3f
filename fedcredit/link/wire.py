"""Bytes of TLS become numbers and blocks: each length is checked against what is there."""

from __future__ import annotations


class Reader:
    """Reads from the front.

    >>> Reader(bytes([2, 7, 8, 9])).block(1)
    b'\\x07\\x08'

    Every method raises ValueError where the bytes end too early.
    """

    def __init__(self, data: bytes) -> None:
        self._data, self._at = data, 0

    @property
    def left(self) -> int:
        """How many bytes are not read yet."""
        return len(self._data) - self._at

    def take(self, size: int) -> bytes:
        """The next `size` bytes."""
        if size > self.left:
            raise ValueError("the bytes end too early")
        self._at += size
        return self._data[self._at - size : self._at]

    def skip(self, size: int) -> None:
        """Go past `size` bytes."""
        self.take(size)

    def number(self, size: int) -> int:
        """A big-endian number of `size` bytes."""
        return int.from_bytes(self.take(size), "big")

    def numbers(self, size: int) -> tuple[int, ...]:
        """All that is left, as numbers of `size` bytes."""
        return tuple(self.number(size) for _ in range(-(-self.left // size)))

    def block(self, size: int) -> bytes:
        """A block whose length stands before it in `size` bytes."""
        return self.take(self.number(size))

    def inner(self, size: int) -> Reader:
        """A reader of such a block."""
        return Reader(self.block(size))


def block(data: bytes, size: int) -> bytes:
    """The data with its length before it in `size` bytes.

    >>> block(b"ab", 2)
    b'\\x00\\x02ab'
    """
    return len(data).to_bytes(size, "big") + data
