import subprocess
import sys

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from scipy import stats

from segclf.core.randomness import generator, seed_of


def test_a_seed_is_the_blake2b_digest_of_its_key():
    # printf "('a', 1)" | b2sum -l 64   gives   9a7f386fd1afb2ac, read from its low end
    assert seed_of("a", 1) == int.from_bytes(bytes.fromhex("9a7f386fd1afb2ac"), "little")


def test_another_process_draws_the_same():
    code = "from segclf.core.randomness import generator; print(generator(3, 'c1').random())"
    drawn = [
        subprocess.run(
            [sys.executable, "-c", code],
            capture_output=True,
            text=True,
            check=True,
            env={"PYTHONHASHSEED": seed},
        ).stdout
        for seed in ("1", "2")
    ]
    assert drawn[0] == drawn[1] == f"{generator(3, 'c1').random()}\n"


@pytest.mark.parametrize(
    ("one", "other"),
    [
        ((1, 2), (2, 1)),
        (("a", 1), ("a", "1")),
        (("ab", "c"), ("a", "bc")),
        ((1,), (1, 0)),
        ((), ("",)),
    ],
)
def test_different_keys_have_different_seeds(one, other):
    assert seed_of(*one) != seed_of(*other)


@given(st.integers(-(2**62), 2**62), st.text(max_size=8))
def test_numbers_and_texts_from_numpy_are_the_same_key(number, text):
    text = text.rstrip("\x00")  # NumPy cuts these off
    assert seed_of(np.int64(number), np.str_(text)) == seed_of(number, text)


def test_a_stream_does_not_depend_on_what_was_drawn_before():
    first = generator(0, "case")
    first.random(1000)
    assert generator(0, "case").random() != first.random()
    assert generator(0, "case").random() == generator(0, "case").random()


def test_streams_of_neighbouring_keys_are_uniform_and_unrelated():
    drawn = np.array([generator(0, epoch, "case").random(2) for epoch in range(2000)])
    assert stats.kstest(drawn[:, 0], "uniform").pvalue > 0.001
    assert abs(np.corrcoef(drawn[:-1, 0], drawn[1:, 0])[0, 1]) < 0.08
    assert abs(np.corrcoef(drawn[:, 0], drawn[:, 1])[0, 1]) < 0.08
