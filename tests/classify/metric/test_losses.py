import sys

import numpy as np
import pytest
import torch

from segclf.classify.metric import LOSSES, MINERS
from segclf.classify.metric.losses import MetricLoss
from segclf.core.errors import ConfigError, MissingExtraError, UsageError
from segclf.core.settings import MetricSettings

NUMBER = torch.tensor([0, 0, 1, 1, 2])


def embedding(n=5, dim=3, seed=0):
    raw = torch.randn(n, dim, generator=torch.Generator().manual_seed(seed))
    return torch.nn.functional.normalize(raw, dim=1)


def loss(name, n_classes=3, **settings):
    torch.manual_seed(0)
    return MetricLoss(MetricSettings(loss=name, embedding_dim=3, **settings), n_classes)


def distances(z):
    return np.linalg.norm(z[:, None] - z[None], axis=-1)


def same_and_different():
    same = (NUMBER[:, None] == NUMBER[None]).numpy() & ~np.eye(5, dtype=bool)
    return same, ~same & ~np.eye(5, dtype=bool)


def test_contrastive_is_its_formula():
    z = embedding()
    same, different = same_and_different()
    d = distances(z.numpy())
    pull, push = d[same], np.maximum(0, 1 - d[different])
    expected = pull[pull > 0].mean() + push[push > 0].mean()
    assert float(loss("contrastive").of_classes(z, NUMBER)) == pytest.approx(expected, rel=1e-5)


def test_triplet_is_its_formula_with_a_margin_of_one_fifth():
    z = embedding()
    same, different = same_and_different()
    d = distances(z.numpy())
    terms = [
        max(0, d[a, p] - d[a, n] + 0.2)
        for a in range(5) for p in range(5) for n in range(5)
        if same[a, p] and different[a, n]
    ]  # fmt: skip
    expected = np.mean([term for term in terms if term > 0])
    assert float(loss("triplet").of_classes(z, NUMBER)) == pytest.approx(expected, rel=1e-5)


def test_supcon_is_its_formula_at_a_temperature_of_one_tenth():
    z = embedding()
    same, _ = same_and_different()
    logits = (z @ z.T).numpy() / 0.1
    terms = []
    for a in range(4):  # the last one has no partner
        others = np.delete(logits[a], a)
        terms.append(np.mean(np.log(np.exp(others).sum()) - logits[a][same[a]]))
    value = float(loss("supcon").of_classes(z, NUMBER))
    assert value == pytest.approx(np.mean(terms), rel=1e-5)


def test_arcface_is_its_formula_and_learns_its_class_vectors():
    made, z = loss("arcface"), embedding()
    (weight,) = made.parameters()
    unit = (weight / weight.norm(dim=0)).detach().numpy()
    cosine = z.numpy() @ unit
    angle = np.arccos(cosine)
    logits = cosine.copy()
    for case, number in enumerate(NUMBER.tolist()):
        a, m = angle[case, number], np.deg2rad(28.6)
        is_within = a <= np.pi - m  # beyond, a line that keeps falling takes over
        logits[case, number] = np.cos(a + m) if is_within else np.cos(a) - m * np.sin(m)
    logits *= 16
    picked = logits[np.arange(5), NUMBER]
    expected = np.mean(np.log(np.exp(logits).sum(1)) - picked)
    value = float(made.of_classes(z, NUMBER).detach())
    assert value == pytest.approx(expected, rel=1e-4)
    made.of_classes(z, NUMBER).backward()
    assert float(weight.grad.abs().sum()) > 0


@pytest.mark.parametrize("name", ["supcon", "contrastive", "triplet"])
def test_pairs_that_say_the_classes_give_the_loss_of_the_classes(name):
    z = embedding()
    relation = (NUMBER[:, None] == NUMBER[None]).float().fill_diagonal_(float("nan"))
    by_pairs = loss(name, 0, pairs="p.csv").of_pairs(z, relation)
    assert float(by_pairs) == pytest.approx(float(loss(name).of_classes(z, NUMBER)), rel=1e-5)


@pytest.mark.parametrize("name", ["supcon", "contrastive", "triplet"])
def test_a_batch_of_which_no_pair_is_known_gives_zero_with_a_gradient(name):
    z = embedding().requires_grad_()
    value = loss(name, 0, pairs="p.csv").of_pairs(z, torch.full((5, 5), float("nan")))
    value.backward()
    assert float(value.detach()) == 0
    assert z.grad is not None
    assert not z.grad.any()


def test_unknown_pairs_have_no_influence():
    z = embedding()
    relation = torch.full((5, 5), float("nan"))
    relation[0, 1] = relation[1, 0] = 1
    relation[0, 2] = relation[2, 0] = 0
    made = loss("contrastive", 0, pairs="p.csv")
    moved = z.clone()
    moved[3:] = embedding(seed=9)[3:]
    assert float(made.of_pairs(z, relation)) == float(made.of_pairs(moved, relation)) > 0


@pytest.mark.parametrize("name", LOSSES)
@pytest.mark.parametrize("miner", [None, *MINERS])
def test_every_loss_pulls_with_every_miner(name, miner):
    z = torch.nn.functional.normalize(embedding() + 0.6, dim=1).requires_grad_()  # close together
    loss(name, miner=miner).of_classes(z, NUMBER).backward()
    assert torch.isfinite(z.grad).all()
    assert z.grad.abs().sum() > 0


def test_batch_hard_takes_the_farthest_same_and_the_nearest_different():
    z, made = embedding(), loss("triplet", miner="batch_hard")
    same, different = same_and_different()
    d = distances(z.numpy())
    terms = [max(0, d[a][same[a]].max() - d[a][different[a]].min() + 0.2) for a in range(4)]
    expected = np.mean([term for term in terms if term > 0])
    assert float(made.of_classes(z, NUMBER)) == pytest.approx(expected, rel=1e-5)


def test_wrong_names_and_options_are_named():
    with pytest.raises(UsageError, match="no metric loss called 'tripled'") as caught:
        loss("tripled")
    assert "triplet" in caught.value.fix
    with pytest.raises(ConfigError, match=r"the loss 'supcon' refuses its options.*'warmth'"):
        loss("supcon", loss_options={"warmth": 1})


@pytest.mark.parametrize(
    ("name", "miner", "key"), [("arcface", None, "loss"), ("triplet", "batch_hard", "miner")]
)
def test_what_needs_classes_is_refused_with_pairs(name, miner, key):
    with pytest.raises(ConfigError, match="needs classes, but there are pairs alone") as caught:
        loss(name, 0, pairs="p.csv", miner=miner)
    assert caught.value.where == f"classify.metric.{key}"


def test_the_default_is_arcface_for_classes_and_contrastive_for_pairs():
    assert type(loss(None).loss).__name__ == "ArcFaceLoss"
    assert type(loss(None, 0, pairs="p.csv").loss).__name__ == "ContrastiveLoss"


def test_without_the_library_the_extra_is_named(monkeypatch):
    monkeypatch.setitem(sys.modules, "pytorch_metric_learning.losses", None)
    with pytest.raises(MissingExtraError, match=r"the head metric needs .* install segclf\[metric"):
        loss("supcon")
