"""Counter-based randomness: a draw depends on names and numbers, never on what ran before."""

import hashlib

import numpy as np


def seed_of(*key: int | str) -> int:
    """A 64-bit seed made from `key`, e.g. `seed_of(seed, epoch, case_id)`.

    The same key gives the same seed on every machine and in every process, so that results do
    not depend on the number of workers and a resumed run draws what the first one would have.
    """
    # NumPy's own integers and strings have another repr, and are the same names and numbers.
    plain = tuple(str(part) if isinstance(part, str) else int(part) for part in key)
    digest = hashlib.blake2b(repr(plain).encode(), digest_size=8).digest()
    return int.from_bytes(digest, "little")


def generator(*key: int | str) -> np.random.Generator:
    """A NumPy generator (Philox) whose stream depends on `key` alone."""
    return np.random.Generator(np.random.Philox(key=seed_of(*key)))
