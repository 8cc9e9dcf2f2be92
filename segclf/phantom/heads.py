"""What an image may look like: exclusive heads, and the ringed disc of `class_kind`."""

HEADS: dict[str, tuple[tuple[str, str, str], int]] = {
    "density": (("L", "M", "H"), 0),
    "texture": (("fine", "medium", "coarse"), 1),
    "habitus": (("wide", "round", "tall"), 1),
    "stripes": (("none", "across", "along"), 0),
    "organs": (("one", "two", "three"), 1),
    "rim": (("none", "thin", "thick"), 0),
    "centre": (("dark", "flat", "bright"), 1),
    "speckle": (("none", "few", "many"), 0),
}
"""Head to its categories and the one that is drawn where the data set does not have the head.
Mirroring an image keeps every category."""
COMBINED = ("texture", "habitus", "stripes")
"""Heads of which `n_held_out` combinations are held out."""
N_RINGS = 5


def held_out_triples(n_held_out: int) -> set[tuple[int, int, int]]:
    """Categories of the heads COMBINED that never meet in train or val.

    All three differ, so that every category and every pair of categories still occurs there, and
    no head can be told from one other head.
    """
    orders = ((0, 1, 2), (1, 2, 0), (2, 0, 1), (0, 2, 1), (1, 0, 2), (2, 1, 0))
    return set(orders[:n_held_out])


def kind_name(kind: int) -> str:
    """The category of `class_kind` with this number."""
    return f"kind{kind:02d}"


def ring_code(kind: int) -> list[float]:
    """+1 (bright) or -1 (dark) for each ring from the centre outwards.

    Four rings spell 7 `kind` modulo 16 in binary, the fifth one their parity: any two of the first
    16 categories differ in at least two rings, and the first ones already use every ring, so that
    a category that is left out is new by its combination alone. The other 16 have the opposite
    parity.
    """
    word = 7 * kind % 16
    bits = [word >> ring & 1 for ring in range(N_RINGS - 1)]
    bits.append((sum(bits) + kind // 16) % 2)
    return [1.0 if bit else -1.0 for bit in bits]
