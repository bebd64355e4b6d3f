"""Entropy of the operating system into a torch generator, for noise and batch membership that nobody can replay."""

from __future__ import annotations

import os

import numpy as np
import torch

# CPU generator state: seed u64, left i32, seeded i32, next u64, 624 MT19937 words in u64 each, cached normals.
STATE_BYTES = 5056
KEY_START = 24
KEY_WORDS = 624


def os_generator() -> torch.Generator:
    """A CPU generator whose whole MT19937 state, 19,937 bits, comes from the operating system.

    `torch.Generator().manual_seed` and `.seed` expand 32 bits, which a machine can search in minutes; a batch or a
    noise vector drawn that way would carry no privacy against somebody who tries all seeds. Here there is no seed
    to find, log or send.

    What this is not: MT19937 is no cryptographic generator. Who knew some 20,000 bits of its output exactly could
    compute the rest. `renew` bounds that to what is drawn between two renewals; and torch's normals are float32, so
    the attack of Mironov (2012) on low-order bits of Gaussian noise is not excluded either.

    >>> bool(torch.rand(1, generator=os_generator()) == torch.rand(1, generator=os_generator()))
    False
    """
    generator = torch.Generator()
    renew(generator)
    return generator


def renew(generator: torch.Generator) -> None:
    """Replace the whole state of a CPU generator by fresh entropy of the operating system."""
    state = np.zeros(STATE_BYTES, dtype=np.uint8)
    state[8:16] = np.array([1, 1], dtype=np.int32).view(np.uint8)  # left=1: new words at the next draw; seeded
    key = np.frombuffer(os.urandom(4 * KEY_WORDS), dtype=np.uint32).astype(np.uint64)
    state[KEY_START : KEY_START + 8 * KEY_WORDS] = key.view(np.uint8)
    # torch refuses a state of another length, so a changed layout is an error and not a weak generator.
    generator.set_state(torch.from_numpy(state))
