"""The generator of noise and batches is the operating system's entropy in a layout that torch reads as its own."""

from __future__ import annotations

import numpy as np
import torch

from fedcredit.privacy.twister import KEY_START, KEY_WORDS, STATE_BYTES, os_generator, renew


def key_of(generator: torch.Generator) -> np.ndarray:
    state = generator.get_state().numpy()
    return state[KEY_START : KEY_START + 8 * KEY_WORDS].view(np.uint64)


def test_the_outputs_are_those_of_numpys_twister_with_the_same_key() -> None:
    generator = os_generator()
    numpys = np.random.MT19937()
    numpys.state = {
        "bit_generator": "MT19937",
        "state": {"key": key_of(generator).astype(np.uint32), "pos": KEY_WORDS},
    }
    # torch draws an int32 as the low 31 bits of one output; 2,000 draws pass three refreshes of the 624 words.
    drawn = torch.empty(2000, dtype=torch.int32).random_(generator=generator).numpy()
    np.testing.assert_array_equal(drawn, numpys.random_raw(2000) & 0x7FFFFFFF)


def test_the_layout_is_the_one_that_torch_uses_for_its_own_seeds() -> None:
    own = torch.Generator().manual_seed(5)
    assert own.get_state().numel() == STATE_BYTES
    np.testing.assert_array_equal(key_of(own), np.random.RandomState(5).get_state()[1])


def test_two_generators_share_nothing() -> None:
    one, other = os_generator(), os_generator()
    assert np.mean(key_of(one) == key_of(other)) < 0.01
    assert not torch.equal(torch.randn(100, generator=one), torch.randn(100, generator=other))


def test_every_word_of_the_state_is_filled_with_32_bits() -> None:
    key = key_of(os_generator())
    assert key.max() > 2**31
    assert key.max() < 2**32
    ones = np.unpackbits(key.astype(np.uint32).view(np.uint8)).mean()
    assert abs(ones - 0.5) < 0.02  # 19,968 fair bits: six standard deviations are 0.021


def test_the_global_seed_has_no_part_in_it() -> None:
    torch.manual_seed(0)
    before = torch.get_rng_state()
    first = torch.randn(8, generator=os_generator())
    assert torch.equal(torch.get_rng_state(), before)
    torch.manual_seed(0)
    assert not torch.equal(first, torch.randn(8, generator=os_generator()))


def test_renewing_forgets_what_was_drawn_before() -> None:
    generator = os_generator()
    state = generator.get_state()
    torch.randn(7, generator=generator)  # an odd number leaves a cached normal behind
    renew(generator)
    after = torch.randn(50, generator=generator)
    generator.set_state(state)
    assert not torch.equal(after, torch.randn(50, generator=generator))


def test_normals_have_the_moments_of_the_standard_normal() -> None:
    draws = torch.randn(200_000, generator=os_generator(), dtype=torch.float64)
    assert abs(draws.mean().item()) < 0.012  # five standard errors
    assert abs(draws.std().item() - 1) < 0.01
