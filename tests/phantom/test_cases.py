"""The phantom's truth and pixels: what is drawn, how often, and that it is always the same."""

import hashlib
from dataclasses import replace
from itertools import combinations, permutations

import numpy as np
import pytest
from scipy import ndimage

from segclf.phantom import PhantomSettings, draw_case, finding_names, target_size
from segclf.phantom.heads import HEADS, ring_code
from segclf.phantom.people import draw_person
from segclf.phantom.picture import draw_picture

EVERYTHING = {"n_findings": 4, "n_heads": 8, "n_held_out": 2, "n_classes": 12, "n_unseen": 3}


def people(settings, split, n):
    return [draw_person(settings, split, index) for index in range(n)]


def digest(settings, n=3):
    """SHA-256 of the decoded pixels and the truth of the first cases of each split."""
    sha = hashlib.sha256()
    for split in ("train", "val", "test"):
        for index in range(n):
            case = draw_case(settings, split, index)
            sha.update(case.image.tobytes() + case.masks.tobytes())
            truth = (case.case_id, case.patient_id, case.labels, case.tube, case.classes)
            sha.update(repr((truth, case.metadata, case.has_mask, case.has_label)).encode())
    return sha.hexdigest()


@pytest.mark.parametrize(
    ("changes", "expected"),
    [
        ({}, "601c5706ec9e4f94e53ce4ec2af71f41135e87cd33029f25916b15cb0a270178"),
        ({"spatial_dims": 3}, "792a5d47e18aebc024c99aa1a9e70aad6bf565124d792e8f17fd40ed67b5c398"),
        (
            {"seed": 7, "size_px": (40, 52), **EVERYTHING},
            "972b5e0a4bcc43c9f5e505449a9b263c34a15b8c43833c87b78aa6d29fddc686",
        ),
    ],
)
def test_a_seed_always_draws_the_same_pixels_and_truth(changes, expected):
    assert digest(PhantomSettings(**changes)) == expected


def test_another_seed_draws_other_pixels():
    first, second = (draw_case(PhantomSettings(seed=seed), "train", 0) for seed in (0, 1))
    assert (first.image != second.image).mean() > 0.5


def test_a_case_depends_neither_on_n_nor_on_the_cases_before_it():
    few = PhantomSettings(n_cases={"train": 6})
    alone = draw_case(PhantomSettings(), "train", 5)
    in_order = [draw_case(few, "train", index) for index in range(6)][5]
    np.testing.assert_array_equal(alone.image, in_order.image)
    assert alone.metadata == in_order.metadata


def test_rho_decides_which_images_hold_the_tube_and_nothing_else():
    always, never = (PhantomSettings(rho={"train": rho}) for rho in (1.0, 0.0))
    for index in range(6):
        a, b = draw_case(always, "train", index), draw_case(never, "train", index)
        assert a.tube == a.labels[0]
        assert b.tube == 1 - b.labels[0]
        assert a.labels == b.labels
        np.testing.assert_array_equal(a.masks, b.masks)
        with_tube, without = (a, b) if a.tube else (b, a)
        change = with_tube.image.astype(int) - without.image
        assert change.min() >= 0
        assert 0.005 < (change > 20).mean() < 0.08  # a thin line


def test_the_shortcut_agrees_with_the_label_as_often_as_rho_says():
    settings = PhantomSettings(rho={"train": 0.9, "test": 0.5})
    for split, rho in (("train", 0.9), ("val", 0.9), ("test", 0.5)):
        agrees = [person.tube == person.labels[0] for person in people(settings, split, 2000)]
        assert np.mean(agrees) == pytest.approx(rho, abs=3 * np.sqrt(rho * (1 - rho) / 2000))


@pytest.mark.parametrize("prevalence", [0.05, 0.5, 0.9])
def test_labels_are_as_frequent_as_the_prevalence_in_every_finding(prevalence):
    settings = PhantomSettings(prevalence=prevalence, n_findings=4)
    labels = np.array([person.labels for person in people(settings, "train", 2000)])
    np.testing.assert_allclose(labels.mean(axis=0), prevalence, atol=0.03)


def test_sex_and_site_are_as_frequent_as_asked_for_already_in_few_patients():
    settings = PhantomSettings(sex={"F": 3, "M": 1}, site={"A": 0.6, "B": 0.4})
    drawn = people(settings, "train", 80)[::2]
    assert sum(person.sex == "F" for person in drawn) == pytest.approx(30, abs=2)
    assert sum(person.site == "A" for person in drawn) == pytest.approx(24, abs=2)


def test_the_default_test_split_can_estimate_every_group_and_shortcut_cell():
    settings = PhantomSettings()
    drawn = people(settings, "test", settings.n_cases.test)
    for group in ("F", "M", "A", "B", "C"):
        members = [person for person in drawn if group in (person.sex, person.site)]
        for label in (0, 1):
            assert len({p.patient for p in members if p.labels[0] == label}) >= 20
    cells = [(person.labels[0], person.tube) for person in drawn]
    assert min(cells.count((label, tube)) for label in (0, 1) for tube in (0, 1)) >= 48


def test_images_of_one_patient_share_the_person_and_the_ids_are_in_one_split():
    settings = PhantomSettings(images_per_patient=3)
    cases = {s: [draw_case(settings, s, i) for i in range(6)] for s in ("train", "val", "test")}
    for split in cases.values():
        first, second = split[:3], split[3:]
        for trio in (first, second):
            assert len({case.patient_id for case in trio}) == 1
            persons = {
                tuple(case.metadata[key] for key in ("sex", "site", "age_years")) for case in trio
            }
            assert len(persons) == 1
        assert not np.array_equal(first[0].image, first[1].image)
    owners = [case.patient_id for split in cases.values() for case in split]
    assert len(set(owners)) == 6
    assert not any(case.patient_id in case.case_id for split in cases.values() for case in split)


def test_large_lesions_have_the_median_asked_for_and_at_most_twice_that():
    settings = PhantomSettings(area_fraction=0.2, area_spread=0.5, size_px=(64, 64))
    masks = [draw_case(settings, "train", index).masks[0] for index in range(150)]
    shares = np.array([mask.mean() for mask in masks if mask.any()])
    assert np.median(shares) == pytest.approx(0.2, abs=0.04)
    assert 0.35 < shares.max() <= 0.4 + 1e-3


def test_lesions_are_one_piece_of_a_tenth_of_a_per_cent_to_three_per_cent():
    settings = PhantomSettings(area_spread=1.5)
    masks = [draw_case(settings, "train", index).masks[0] for index in range(150)]
    shares = np.array([mask.mean() for mask in masks if mask.any()])
    assert 0.001 - 1e-4 <= shares.min() < 0.002  # 0.1 % of 96 x 96 is 9.2 pixels, drawn as 9
    assert 0.02 < shares.max() <= 0.03
    pieces = [ndimage.label(mask, np.ones((3, 3)))[1] for mask in masks if mask.any()]
    assert pieces == [1] * len(pieces)


def test_the_median_lesion_takes_the_asked_for_share_of_the_image():
    settings = PhantomSettings(area_fraction=0.008, area_spread=0.3)
    masks = [draw_case(settings, "train", index).masks[0] for index in range(100)]
    shares = [mask.mean() for mask in masks if mask.any()]
    assert np.median(shares) == pytest.approx(0.008, rel=0.15)


def test_a_case_has_pixels_in_the_mask_exactly_when_its_label_is_1():
    settings = PhantomSettings(n_findings=2, spatial_dims=3, size_px=(20, 24, 16))
    for index in range(8):
        case = draw_case(settings, "train", index)
        assert case.image.shape == (1, 20, 24, 16)
        assert case.masks.shape == (2, 20, 24, 16)
        assert tuple(case.masks.any(axis=(1, 2, 3)).astype(int)) == case.labels


def test_a_lesion_adds_its_contrast_inside_its_mask_and_little_outside():
    faint, strong = (PhantomSettings(contrast=c, site={"A": 1}) for c in (0.001, 0.201))
    index = next(i for i in range(20) if draw_case(faint, "train", i).labels[0])
    before, after = (draw_case(s, "train", index) for s in (faint, strong))
    added = (after.image.astype(float) - before.image)[0] / 255
    inside = before.masks[0] > 0
    core = ndimage.binary_erosion(inside)
    assert added[core].mean() == pytest.approx(0.2, abs=0.03)
    assert np.abs(added[~ndimage.binary_dilation(inside, iterations=3)]).max() < 0.01


def test_lesions_lie_all_over_the_body():
    masks = [draw_case(PhantomSettings(), "train", index).masks[0] for index in range(40)]
    centres = np.array([ndimage.center_of_mass(mask) for mask in masks if mask.any()])
    assert np.ptp(centres, axis=0).min() > 40
    assert np.hypot(*(centres - 47.5).T).max() < 48


def test_a_second_finding_overlaps_with_the_first_in_some_cases_and_not_in_others():
    settings = PhantomSettings(n_findings=2)
    cases = [draw_case(settings, "train", index) for index in range(40)]
    both = [case.masks.all(axis=0).any() for case in cases if case.labels == (1, 1)]
    assert 0.2 < np.mean(both) < 0.8
    assert finding_names(settings) == ("lesion", "edema")


def test_each_site_has_its_own_style():
    site_a, site_b = (PhantomSettings(site=site) for site in ({"A": 1}, {"B": 0.001, "A": 1e-9}))
    plain = draw_case(site_a, "train", 0).image
    styled = draw_case(PhantomSettings(site={"A": 1e-9, "B": 1}), "train", 0).image
    assert styled.mean() > plain.mean() + 5  # gamma 0.75 brightens
    np.testing.assert_array_equal(plain, draw_case(site_b, "train", 0).image)  # by position


def test_each_category_of_each_head_is_drawn_and_looks_different():
    settings = PhantomSettings(n_heads=8)
    drawn = people(settings, "train", 120)
    assert PhantomSettings().n_heads == 0
    assert draw_case(PhantomSettings(), "train", 0).classes == {}
    for head, (categories, _) in HEADS.items():
        assert {person.classes(settings)[head] for person in drawn} == set(categories)
        images = [
            draw_picture(settings, "train", 0, replace(drawn[0], look=drawn[0].look | {head: k}))[0]
            for k in range(3)
        ]
        for one, other in combinations(images, 2):
            assert (np.abs(one.astype(int) - other) > 10).sum() >= 10


def test_held_out_combinations_occur_in_test_alone_and_each_pair_still_in_train():
    settings = PhantomSettings(n_heads=4, n_held_out=6)
    seen = {
        split: {
            tuple(person.classes(settings)[head] for head in ("texture", "habitus", "stripes"))
            for person in people(settings, split, 900)
        }
        for split in ("train", "val", "test")
    }
    assert len(seen["test"]) == 27
    assert seen["test"] - seen["train"] == set(permutations_of_categories())
    assert seen["val"] <= seen["train"]
    for one, other in combinations(range(3), 2):
        assert len({(triple[one], triple[other]) for triple in seen["train"]}) == 9


def permutations_of_categories():
    """Triples in which no two heads have the category of the same number."""
    columns = (
        ("fine", "medium", "coarse"),
        ("wide", "round", "tall"),
        ("none", "across", "along"),
    )
    for order in permutations(range(3)):
        yield tuple(column[k] for column, k in zip(columns, order, strict=True))


def test_unseen_classes_occur_in_test_alone():
    settings = PhantomSettings(n_classes=8, n_unseen=3)
    kinds = {
        split: {person.classes(settings)["kind"] for person in people(settings, split, 400)}
        for split in ("train", "test")
    }
    assert kinds["train"] == {f"kind{k:02d}" for k in range(5)}
    assert kinds["test"] == {f"kind{k:02d}" for k in range(8)}


def test_two_categories_of_kind_differ_in_their_rings_and_nowhere_else():
    settings = PhantomSettings(n_classes=32)
    person = draw_person(settings, "train", 0)
    images = [
        draw_picture(settings, "train", 0, replace(person, kind=kind))[0].astype(int)
        for kind in (0, 1, 2, 31)
    ]
    for one, other in combinations(images, 2):
        changed = np.abs(one - other) > 10
        assert changed.any()
        rows, columns = np.nonzero(changed)
        assert max(np.ptp(rows), np.ptp(columns)) <= 0.36 * 95 + 1  # the disc's diameter


def test_any_two_of_16_categories_of_kind_differ_in_two_rings_and_the_first_use_all_rings():
    codes = [ring_code(kind) for kind in range(32)]
    assert len({tuple(code) for code in codes}) == 32
    for half in (codes[:16], codes[16:]):
        for one, other in combinations(half, 2):
            assert sum(a != b for a, b in zip(one, other, strict=True)) >= 2
    for ring in zip(*codes[:6], strict=True):
        assert set(ring) == {1.0, -1.0}


def test_masks_and_labels_are_missing_at_the_set_rate_in_training_cases_alone():
    settings = PhantomSettings(missing_masks=0.5, missing_labels=0.2, size_px=(16, 16))
    train = [draw_case(settings, "train", index) for index in range(300)]
    positive = [case for case in train if case.labels[0]]
    assert np.mean([case.has_mask[0] for case in positive]) == pytest.approx(0.5, abs=0.12)
    assert np.mean([case.has_label[0] for case in train]) == pytest.approx(0.8, abs=0.07)
    for index in range(20):
        case = draw_case(settings, "test", index)
        assert case.has_label == (True,)
        assert case.has_mask == (bool(case.labels[0]),)


def test_categories_are_missing_at_the_rate_of_labels_and_nothing_else_changes():
    whole = PhantomSettings(n_heads=3, n_classes=4, size_px=(16, 16))
    lossy = whole.model_copy(update={"missing_labels": 0.4})
    cases = [draw_case(lossy, "train", index) for index in range(300)]
    for head in ("density", "texture", "habitus", "kind"):
        assert np.mean([case.has_class[head] for case in cases]) == pytest.approx(0.6, abs=0.08)
    assert draw_case(lossy, "val", 0).has_class == dict.fromkeys(cases[0].classes, True)
    same = draw_case(whole, "train", 7)
    assert same.classes == cases[7].classes
    np.testing.assert_array_equal(same.image, cases[7].image)


def test_target_size_is_named_by_the_share_of_the_image():
    mask = np.zeros((1, 100, 100), np.uint8)
    assert target_size(mask) == ""
    for n_px, size in ((29, "small"), (30, "medium"), (99, "medium"), (100, "large")):
        mask.flat[:n_px] = 1
        assert target_size(mask) == size


def test_an_unknown_split_and_a_negative_index_are_refused():
    with pytest.raises(ValueError, match="'dev' and index = 0"):
        draw_case(PhantomSettings(), "dev", 0)
    with pytest.raises(ValueError, match="index = -1"):
        draw_case(PhantomSettings(), "test", -1)


@pytest.mark.parametrize("elongation", [1, 6])
def test_lesions_are_as_long_as_asked_and_then_their_boxes_are_mostly_background(elongation):
    settings = PhantomSettings(
        elongation=elongation, area_fraction=0.02, area_spread=0, size_px=(128, 128)
    )
    ratios, filled, angles = [], [], []
    for index in range(60):
        case = draw_case(settings, "train", index)
        mask = case.masks[0] > 0
        if not mask.any():
            continue
        place = np.argwhere(mask)
        if (place.min(0) == 0).any() or (place.max(0) == 127).any():
            continue  # cut by the edge of the image
        values, axes = np.linalg.eigh(np.cov(place.T))  # of an ellipse: squared half axes / 4
        ratios.append(np.sqrt(values[1] / values[0]))
        angles.append(np.degrees(np.arctan2(*axes[:, 1])) % 180)
        filled.append(mask.sum() / np.prod(np.ptp(place, axis=0) + 1))
    assert len(ratios) > 15
    assert np.median(ratios) == pytest.approx(1.2 if elongation == 1 else 6, rel=0.25)
    assert np.median(filled) > 0.65 if elongation == 1 else np.median(filled) < 0.5
    assert np.ptp(angles) > 90
