import functools
import multiprocessing

import pytest
import torch

from segclf.core.errors import CaseError
from segclf.data.workers import ordered


def square(value):
    return value * value


def fails_at(value, *, bad):
    if value == bad:
        raise CaseError("unreadable", f"case {value} is bad.", where="w", expected="e", fix="f")
    return value


@pytest.mark.parametrize("workers", [0, 2])
def test_values_come_in_order(workers):
    assert list(ordered(square, range(3, 9), workers=workers)) == [9, 16, 25, 36, 49, 64]


@pytest.mark.parametrize("workers", [0, 2])
def test_an_error_arrives_whole_at_its_place(workers):
    values = ordered(functools.partial(fails_at, bad=2), range(5), workers=workers)
    assert [next(values), next(values)] == [0, 1]
    with pytest.raises(CaseError, match=r"case 2 is bad\.\n  where:    w") as caught:
        next(values)
    assert caught.value.reason == "unreadable"


@pytest.mark.parametrize("workers", [0, 2])
def test_the_global_random_state_is_left_alone(workers):
    before = torch.random.get_rng_state()
    assert len(list(ordered(square, range(4), workers=workers))) == 4
    assert torch.equal(torch.random.get_rng_state(), before)


def threads_of(_):
    return torch.get_num_threads()


def test_a_worker_uses_one_thread():
    assert list(ordered(threads_of, range(2), workers=1)) == [1, 1]


def children():
    return len(multiprocessing.active_children())


def test_workers_end_at_once_when_the_reader_leaves_early():
    values = ordered(square, range(1000), workers=2)
    next(values)
    assert children() == 2
    values.close()
    assert children() == 0


def test_workers_end_at_once_after_an_error():
    values = ordered(functools.partial(fails_at, bad=0), range(50), workers=2)
    with pytest.raises(CaseError):
        next(values)
    assert children() == 0
