"""What every trained summarizer promises: list one in the catalog and it is tested.

A package that adds one under the entry point `segclf.trained_summarizers` is tested as soon as it
is installed.
Maps, feature maps and logits are drawn here; `tests/summarize/trained` goes through a segmenter.
"""

import dataclasses

import numpy as np
import pytest
import torch
from scipy.special import expit

from segclf.core.catalog import plugin_points
from segclf.core.config import make_recipe
from segclf.core.errors import ConfigError, IntegrityError
from segclf.core.maskstats import mask_statistics
from segclf.summarize.trained import TRAINED, find_trained
from segclf.summarize.trained.card import load_head, read_card, save_head, statistics_scores
from segclf.summarize.trained.fit import fit_network, network_scores, new_network
from segclf.summarize.trained.fold import fit_statistics
from segclf.summarize.trained.represent import Reader
from segclf.summarize.trained.statistics import FEATURES, features_of
from segclf.summarize.trained.store import Store
from segclf.summarize.trained.table import GROUP

FINDINGS = ("lesion", "other")
GRID_PX = 8  # divides no side of the maps, so that no grid is invariant by accident
ALL = {name: find_trained(name) for name in (*TRAINED, *(p.name for p in plugin_points(GROUP)))}
MAPS = [name for name, trained in ALL.items() if trained.reads != "statistics"]
HEAVY = ("resnet50",)  # its checkpoints take seconds to write and check
FITTED = [pytest.param(n, marks=pytest.mark.nightly) if n in HEAVY else n for n in ALL]
STATISTICS = [name for name in ALL if name not in MAPS]
NO_SIGNAL = -30.0
CHANGES = {
    "flip": lambda maps: np.flip(maps, axis=tuple(range(2, maps.ndim))),
    "padding": lambda maps: np.pad(maps, [(0, 0), (0, 0), *[(3, 3)] * (maps.ndim - 2)]),
    "scale": lambda maps: np.kron(maps, np.ones((1, 1) + (2,) * (maps.ndim - 2))),
}


@pytest.fixture(autouse=True)
def quick(monkeypatch):
    """Tests do not wait for the disk, and one thread gives the same bits each time."""
    monkeypatch.setattr("os.fsync", lambda _descriptor: None)
    before = torch.get_num_threads()
    torch.set_num_threads(1)
    yield
    torch.set_num_threads(before)


def draw(n_cases, space, *, seed=0):
    """Logits (case, finding, *space): noise, and a lesion in every other case."""
    logits = np.random.default_rng(seed).normal(-4.0, 1.5, size=(n_cases, 2, *space))
    logits[::2, 0][(slice(None), *(slice(1, 6),) * len(space))] += 5.0
    return logits.astype(np.float32)


def labels(n_cases):
    label = np.zeros((n_cases, 2))
    label[::2, 0] = 1
    label[1::3, 1] = 1
    return label


def features(logits):
    """(case, finding, feature) by the definition in `core.maskstats`."""
    rows = [
        mask_statistics(expit(np.float64(m)), m, px_size=1.0, component_t=0.5)
        for case in logits
        for m in case
    ]
    columns = {name: np.array([row[name] for row in rows]) for name in rows[0] if name != "true_px"}
    return features_of(columns).reshape(*logits.shape[:2], -1)


def kept(rule, logits, *, like=None):
    """What the rule keeps of these maps, and the reader; `like` are maps of the training."""
    trained = ALL[rule]
    if rule in STATISTICS:
        return features(logits), Reader(trained, None, (), False, (2, len(FEATURES)))
    head = trained.load()
    maps = torch.from_numpy(np.ascontiguousarray(expit(logits)))
    grid = head.grid(tuple((logits if like is None else like).shape[2:]), GRID_PX)
    values = head.reduce(maps, grid).numpy()
    return values, Reader(trained, head, grid, False, values.shape[1:])


def store_of(values, label):
    ids = [f"case{i:02d}" for i in range(len(values))]
    return Store(ids, values, label, np.zeros(label.shape), [])


def recipe(n_axes, steps=2):
    return make_recipe(
        {
            "image": {"spatial_dims": n_axes},
            "augment": {"flip_axes": [0]},
            "train": {"steps": steps, "batch_size": 4, "validate_every": steps, "lr": 0.01,
                      "checkpoint_every": steps, "warmup_steps": 0, "precision": "fp32"},
        },
        where="test",
    )  # fmt: skip


def fitted(rule, values, reader, label, folder, n_axes=2):
    """The model of `rule` fitted on kept values, as `save_head` takes it."""
    store = store_of(values, label)
    if rule in STATISTICS:
        return fit_statistics(ALL[rule].load(), store, store, FINDINGS, 0)[0]
    return fit_network(reader, store, store, recipe(n_axes), folder, "test", None).network


def scores_of(rule, model, values):
    if rule in STATISTICS:
        return statistics_scores(ALL[rule].load(), model, list(FINDINGS), values)
    return network_scores(model, values)


def fresh(rule, values, reader, label):
    """A model without the cost of a training: for promises that hold for all weights."""
    if rule in STATISTICS:
        return fitted(rule, values, reader, label, None)
    return new_network(reader.head, reader.shape, 2, seed=3).eval()


@pytest.mark.parametrize("space", [(21, 18), (9, 10, 9)], ids=["2D", "3D"])
@pytest.mark.parametrize("change", CHANGES)
@pytest.mark.parametrize("rule", ALL)
def test_scores_are_invariant_to_what_is_declared_and_to_nothing_else(rule, change, space):
    logits = draw(12, space)
    values, reader = kept(rule, logits)
    try:
        model = fresh(rule, values, reader, labels(12))
    except ConfigError as error:
        assert len(space) == 3
        pytest.skip(error.wrong)
    changed = CHANGES[change](logits - NO_SIGNAL) + NO_SIGNAL  # what is added is no signal
    again, _ = kept(rule, np.ascontiguousarray(changed, dtype=np.float32), like=logits)
    scores, others = scores_of(rule, model, values), scores_of(rule, model, again)
    assert np.isfinite(scores).all()
    assert ((scores >= 0) & (scores <= 1)).all()
    difference = np.abs(scores - others).max()
    if change in ALL[rule].invariant_to:
        assert difference <= 1e-5
    else:
        assert difference > 2e-5


@pytest.mark.parametrize("rule", ALL)
def test_a_case_scores_the_same_alone_and_among_others_in_any_order(rule):
    values, reader = kept(rule, draw(6, (21, 18)))
    model = fresh(rule, values, reader, labels(6))
    together = scores_of(rule, model, values)
    alone = np.concatenate([scores_of(rule, model, values[i : i + 1]) for i in range(6)])
    turned = scores_of(rule, model, values[::-1].copy())[::-1]
    np.testing.assert_allclose(alone, together, atol=1e-6)
    np.testing.assert_allclose(turned, together, atol=1e-6)
    assert len(np.unique(together.round(9))) > 1


@pytest.mark.parametrize("rule", FITTED)
def test_unknown_labels_have_no_influence_and_a_saved_head_scores_the_same(rule, tmp_path):
    values, reader = kept(rule, draw(10, (18, 17)))
    label = labels(10)
    label[7] = np.nan
    label[8, 1] = np.nan
    spoiled = values.copy()
    spoiled[7] = 9.0
    if rule in STATISTICS:
        spoiled[8, 1] = -9.0
    models = [
        fitted(rule, v, reader, label, tmp_path / name)
        for name, v in (("one", values), ("two", spoiled))
    ]
    one, two = (scores_of(rule, model, values) for model in models)
    if rule in STATISTICS:
        np.testing.assert_array_equal(one, two)
    else:
        for a, b in zip(*(m.state_dict().values() for m in models), strict=True):
            assert torch.equal(a, b)
    facts = {"rule": rule, "findings": list(FINDINGS), "not_fitted": {}, "seed": 0,
             "shape": list(reader.shape), "segmenter_sha256": "a" * 64}  # fmt: skip
    save_head(tmp_path, models[0], facts)
    head = load_head(tmp_path, read_card(tmp_path), segmenter_sha256="a" * 64)
    np.testing.assert_allclose(head.scores(values), one, rtol=1e-5)
    half = load_head(
        tmp_path, head.card | {"not_fitted": {"other": "why"}}, segmenter_sha256="a" * 64
    )
    assert np.isnan(half.scores(values)[:, 1]).all()
    np.testing.assert_array_equal(half.scores(values)[:, 0], head.scores(values)[:, 0])
    with pytest.raises(IntegrityError, match="another segmenter"):
        load_head(tmp_path, read_card(tmp_path), segmenter_sha256="b" * 64)
    path = tmp_path / head.card["file"]
    path.write_bytes(path.read_bytes()[:-1] + b"?")
    with pytest.raises(IntegrityError, match="not the file that the card names"):
        read_card(tmp_path)


@pytest.mark.parametrize("rule", ALL)
def test_a_record_declares_only_changes_that_exist_and_explains_its_head(rule):
    trained = ALL[rule]
    assert trained.invariant_to <= set(CHANGES)
    assert dataclasses.is_dataclass(trained.load())
    build = trained.load().fit if rule in STATISTICS else trained.load().build
    assert build.__doc__


def test_a_head_for_volumes_that_does_not_exist_is_refused_with_the_way_out():
    with pytest.raises(ConfigError, match=r"no SqueezeNet for volumes[\s\S]*--rule resnet50"):
        TRAINED["squeezenet"].load().build((1, 20, 20, 20), 1)


def test_a_head_that_does_not_fit_into_memory_is_refused_before_memory_is_taken():
    with pytest.raises(ConfigError, match=r"GiB for maps of 1 x 2000 x 2000 x 2000"):
        new_network(TRAINED["fc"].load(), (1, 2000, 2000, 2000), 1, seed=0)
