"""A refusal of batch norm becomes an error for people; other errors stay what they are."""

import pytest
import torch
from torch import nn

from segclf.core.errors import ConfigError
from segclf.networks.normalizable import normalizable


def test_a_single_value_per_channel_is_an_error_with_its_fix():
    with pytest.raises(ConfigError) as caught, normalizable("a batch has", where="here", fix="do"):
        nn.BatchNorm1d(3).train()(torch.zeros(1, 3))
    error = caught.value
    assert error.wrong == "a batch has too few values to be normalized."
    assert (error.where, error.fix) == ("here", "do")
    assert error.expected == "at least two values per channel in every feature map"


def test_another_error_passes():
    with pytest.raises(ValueError, match="something"), normalizable("", where="", fix=""):
        raise ValueError("something else")
