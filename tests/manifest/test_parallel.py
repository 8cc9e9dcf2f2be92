"""Jobs in processes: order, and what a crash costs."""

import pytest

from segclf.manifest.parallel import map_isolated


def test_in_one_process_results_come_in_order():
    assert list(map_isolated(abs, [-1, 2, -3], workers=1, crashed=str)) == [1, 2, 3]


def test_a_job_that_kills_its_process_costs_only_itself():
    """`eval` is a function that every process knows, and `os._exit` a crash."""
    jobs = ["1+1", "__import__('os')._exit(3)", "2*2"]
    results = list(map_isolated(eval, jobs, workers=2, crashed=lambda job: "dead", chunk=1))
    assert results == [2, "dead", 4]


@pytest.mark.nightly
def test_an_error_in_a_job_is_not_swallowed():
    with pytest.raises(ZeroDivisionError):
        list(map_isolated(eval, ["1/0", "1"], workers=2, crashed=lambda job: "dead"))
