import numpy as np
import torch

from segclf.data import CaseCache, prepare_cases, train_batches


def test_bad_cases_are_set_aside_with_their_reason_before_training(many_cases, recipe):
    many_cases[3].images[0].unlink()
    many_cases[7].images[0].write_bytes(b"")
    settings = recipe(train={"batch_size": 12})
    cache = CaseCache(many_cases, settings, None)
    good, quarantined = prepare_cases(many_cases, settings, cache)
    assert [case.case_id for case in good] == [f"c{k:02}" for k in range(12) if k not in (3, 7)]
    assert [case_id for case_id, _, _ in quarantined] == ["c03", "c07"]
    assert quarantined[0][1] == "missing_file"
    assert "case c03" in quarantined[0][2]
    for case in good:
        case.images[0].unlink()  # from here on everything comes from the cache
    steps = train_batches(good, settings, task="segment", cache=cache, n_steps=2)
    assert len(list(steps)) == 2


def test_an_image_with_other_channels_than_most_is_set_aside(many_cases, write_case, recipe):
    colour = write_case("colour", np.zeros((24, 24, 3), dtype=np.uint8))
    cases = [colour, *many_cases]
    good, quarantined = prepare_cases(cases, recipe(), CaseCache(cases, recipe(), None))
    assert good == tuple(many_cases)
    assert quarantined[0][:2] == ("colour", "channels_differ")
    assert "the image has 3 channels, most others 1" in quarantined[0][2]


def test_progress_ends_at_the_number_of_cases(many_cases, recipe):
    events = []
    cache = CaseCache(many_cases, recipe(), None)
    prepare_cases(many_cases, recipe(), cache, events.append)
    assert events[-1] == {"kind": "read", "step": 12, "of": 12}
    assert [event["step"] for event in events] == sorted(event["step"] for event in events)


def test_no_cases_at_all_is_no_error(recipe):
    assert prepare_cases([], recipe(), CaseCache([], recipe(), None)) == ((), [])


def test_the_number_of_torch_threads_is_what_it_was(many_cases, recipe):
    before = torch.get_num_threads()
    torch.set_num_threads(3)
    prepare_cases(many_cases, recipe(), CaseCache(many_cases, recipe(), None))
    after = torch.get_num_threads()
    torch.set_num_threads(before)
    assert after == 3
