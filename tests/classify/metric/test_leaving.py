"""What the enrolled images give away is not judged."""

from dataclasses import replace

import numpy as np
import pytest
from PIL import Image

from segclf.classify.metric.leaving import cases_that_leave
from segclf.manifest import cases_of


@pytest.fixture
def judged(tones):
    """The test cases c30, c31, …, their embeddings as given, and the recipe."""

    def make(vectors):
        table, split, recipe = tones()
        return cases_of(table, split, "test")[: len(vectors)], np.float32(vectors), recipe

    return make


UP, RIGHT = (0.0, 1.0), (1.0, 0.0)


def test_all_cases_of_an_enrolled_patient_leave(judged):
    held, vectors, recipe = judged([UP, UP, RIGHT])
    held = [replace(held[0], patient_id="p"), replace(held[1], patient_id="p"), held[2]]
    new = replace(held[2], case_id="new", patient_id="p")
    found = cases_that_leave(held, vectors, [new], np.float32([UP]), recipe)
    assert found == {held[i].case_id: "patient of an enrolled image" for i in (0, 1)}
    # a table without patients: the run knows whose case it is
    itself = replace(held[0], patient_id=held[0].case_id)
    found = cases_that_leave(held, vectors, [itself], np.float32([RIGHT]), recipe)
    assert found == {
        held[0].case_id: "enrolled", held[1].case_id: "patient of an enrolled image",
    }  # fmt: skip


def test_a_copy_in_another_format_leaves_and_a_lookalike_stays(judged, tmp_path):
    held, vectors, recipe = judged([UP, UP, RIGHT])
    copy = tmp_path / "copy.tif"
    with Image.open(held[0].images[0]) as image:
        image.save(copy)
    new = replace(held[0], case_id="new", patient_id="new", images=(copy,))
    found = cases_that_leave(held, vectors, [new], np.float32([UP]), recipe)
    assert found == {held[0].case_id: "same image as an enrolled one"}


def test_a_lookalike_whose_image_is_gone_leaves(judged):
    held, vectors, recipe = judged([UP, RIGHT])
    new = replace(held[0], case_id="new", patient_id="new", images=held[1].images)
    held[0].images[0].unlink()
    found = cases_that_leave(held, vectors, [new], np.float32([UP]), recipe)
    assert found == {held[0].case_id: "same image as an enrolled one"}


def test_without_cases_nothing_leaves(judged):
    _, vectors, recipe = judged([UP])
    assert cases_that_leave([], np.empty((0, 2), np.float32), [], vectors, recipe) == {}
