"""Seeds of whatever is drawn: one for every purpose, from the one that a run has."""

import hashlib


def mixed_seed(seed: int, purpose: str, *numbers: int) -> int:
    """Return a run's seed for one purpose, a plain word, and for the numbers of what is drawn anew, such as an epoch.

    Neighbouring seeds and different purposes share nothing: two generators of one seed would give the same draws.
    """
    return int.from_bytes(hashlib.sha256(" ".join(map(str, (seed, purpose, *numbers))).encode()).digest()[:6], "big")
