"""Models of mask statistics against scikit-learn and statsmodels."""

import numpy as np
import pytest
import statsmodels.api as sm
from sklearn.ensemble import GradientBoostingClassifier
from sklearn.linear_model import LogisticRegression
from sklearn.metrics import roc_auc_score
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import StandardScaler

from segclf.core.maskstats import SCALARS, mask_statistics
from segclf.summarize.trained import TRAINED, logistic
from segclf.summarize.trained.fold import fit_statistics
from segclf.summarize.trained.statistics import FEATURES, features_of
from segclf.summarize.trained.store import Store


@pytest.fixture
def drawn():
    """Features of 80 cases and who is positive, and features of 300 more cases."""
    rng = np.random.default_rng(5)
    x = rng.normal(size=(380, 5)) * [1, 10, 0.1, 3, 1] + [0, 5, 1, 0, 0]
    positive = (x[:80, 0] + x[:80, 1] / 20 + rng.normal(size=80) > 0.3).astype(int)
    return x[:80], positive, x[80:]


def test_logistic_has_the_probabilities_of_scikit_learn(drawn):
    x, positive, more = drawn
    head = TRAINED["logistic"].load()
    witness = make_pipeline(StandardScaler(), LogisticRegression(max_iter=1000)).fit(x, positive)
    probability = head.probability(head.fit(x, positive, 0), more)
    np.testing.assert_allclose(probability, witness.predict_proba(more)[:, 1], rtol=1e-6)


def test_logistic_without_a_penalty_has_the_coefficients_of_statsmodels(drawn, monkeypatch):
    x, positive, _ = drawn
    monkeypatch.setattr(logistic, "STRENGTH", 1e8)
    arrays = logistic.fit_logistic(x, positive, 0)
    z = (x - x.mean(0)) / x.std(0)
    witness = sm.Logit(positive, sm.add_constant(z)).fit(disp=0)
    np.testing.assert_allclose(arrays["coefficient"], witness.params[1:], rtol=1e-2)
    np.testing.assert_allclose(arrays["intercept"], witness.params[:1], rtol=1e-2)


def test_a_feature_without_spread_has_no_influence(drawn):
    x, positive, more = drawn
    head = TRAINED["logistic"].load()
    x[:, 2] = more[:, 2] = 0.1
    assert np.isfinite(head.probability(head.fit(x, positive, 0), more)).all()


def test_boosting_has_the_probabilities_of_scikit_learn(drawn):
    x, positive, more = drawn
    head = TRAINED["boosting"].load()
    witness = GradientBoostingClassifier(
        n_estimators=100, max_depth=2, learning_rate=0.1, random_state=7
    ).fit(x, positive)
    probability = head.probability(head.fit(x, positive, 7), more)
    np.testing.assert_allclose(probability, witness.predict_proba(more)[:, 1], rtol=1e-12)
    assert len(np.unique(probability)) > 20


def test_the_recorded_auroc_is_that_of_scikit_learn(drawn):
    x, positive, more = drawn
    label = (more[:, 0] > 0).astype(float)
    stores = [
        Store([f"c{i:03d}" for i in range(len(v))], v[:, None], y[:, None], y[:, None], [])
        for v, y in ((x, positive.astype(float)), (more, label))
    ]
    models, facts = fit_statistics(TRAINED["boosting"].load(), *stores, ("lesion",), 0)
    score = TRAINED["boosting"].load().probability(models["lesion"], more)
    assert facts["validation_auroc"] == pytest.approx(roc_auc_score(label, score))


def test_features_are_logarithms_of_statistics_and_never_metadata():
    logits = np.random.default_rng(0).normal(-2, 2, (9, 8)).astype(np.float32)
    row = mask_statistics(1 / (1 + np.exp(-np.float64(logits))), logits, px_size=1, component_t=0.5)
    columns = {name: np.array([value]) for name, value in row.items() if name != "true_px"}
    values = dict(zip(FEATURES, features_of(columns)[0], strict=True))
    p = 1 / (1 + np.exp(-np.float64(logits)))
    assert values["logit(mean_p)"] == pytest.approx(np.log(p.mean() / (1 - p.mean())))
    assert values["logit(max_p)"] == pytest.approx(logits.max(), rel=1e-6)
    assert values["log1p(area at t = 0.5)"] == pytest.approx(np.log1p((logits > 0).sum()))
    assert values["log1p(-sum_log1mp)"] == pytest.approx(np.log1p(-np.log1p(-p).sum()))
    assert len(values) == 13
    named = " ".join(values)
    metadata = set(SCALARS) - {"mean_p", "max_p", "top_0", "top_1", "top_2", "top_3", "sum_log1mp",
                               "lse_logit", "largest_component_px", "n_components"}  # fmt: skip
    assert not [name for name in metadata if name in named]
