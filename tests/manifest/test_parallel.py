"""Jobs in threads: order, errors, and how far ahead they run."""

import threading

import pytest

from segclf.manifest.parallel import AHEAD, map_threads


@pytest.mark.parametrize("workers", [1, 3])
def test_results_come_in_order(workers):
    assert list(map_threads(abs, range(-50, 0), workers=workers)) == [*range(50, 0, -1)]


def test_an_error_in_a_job_is_not_swallowed():
    with pytest.raises(ZeroDivisionError):
        list(map_threads(lambda job: 1 // job, [1, 0, 1], workers=2))


def test_few_jobs_are_done_before_their_turn():
    started = []
    lock = threading.Lock()

    def note(job):
        with lock:
            started.append(job)

    results = map_threads(note, range(1000), workers=2)
    next(results)
    assert len(started) <= AHEAD * 2 + 1
    results.close()
    assert len(started) < 50
