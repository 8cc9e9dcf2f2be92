import pytest

from segclf.core.errors import ConfigError
from segclf.data.checks import check_feeding


@pytest.mark.parametrize(
    ("settings", "words"),
    [
        ({"image": {"size_px": [8, 8, 8]}}, ["image.size_px = [8, 8, 8]", "2 axes"]),
        ({"image": {"spacing_mm": [1.0, 0.0]}}, ["image.spacing_mm = [1.0, 0.0]", "2 positive"]),
        ({"segment": {"patch_px": [16]}}, ["segment.patch_px = [16]", "image.spatial_dims: 1"]),
        ({"augment": {"flip_axes": [0, 2]}}, ["augment.flip_axes = [0, 2]", "axes from 0 to 1"]),
        ({"image": {"intensity": "window"}}, ["image.window = None", "image.window: [0, 80]"]),
        ({"image": {"intensity": "window", "window": [80, 0]}}, ["[80.0, 0.0] is not a window"]),
    ],
)
def test_a_setting_that_does_not_fit_is_named_with_its_value_and_the_fix(recipe, settings, words):
    with pytest.raises(ConfigError) as caught:
        check_feeding(recipe(**settings))
    assert all(word in str(caught.value) for word in words)


def test_a_volume_recipe_with_three_numbers_each_is_accepted(recipe):
    check_feeding(
        recipe(
            image={"spatial_dims": 3, "size_px": [8, 8, 8], "spacing_mm": [1, 1, 5]},
            segment={"patch_px": [8, 8, 4]},
            augment={"flip_axes": [0, 1, 2]},
        )
    )
