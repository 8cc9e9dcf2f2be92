"""Groups and outside score tables on the page: curves, warnings, the appendix, and the ledger."""

import re
from dataclasses import replace

import numpy as np
import pandas as pd
import pytest

from segclf.report import ReportContent, write_report
from segclf.report.appendix import GUIDELINES, answers
from segclf.report.curves import KINDS, curve_figure
from segclf.report.panels import drawn_parts, group_parts, panels_figure
from segclf.report.points import net_benefit_points, roc_points
from segclf.report.rows import as_rows, where
from segclf.report.scored import scored_cases
from segclf.report.sizes import size_figure

METHODS = ["tau", "sigmoid"]
HOSTILE = "<img src=x onerror=alert(1)>"


@pytest.fixture
def sexes(scores):
    ids = scores["case_id"].unique()
    return pd.Series(np.where(np.arange(len(ids)) % 4 < 2, "F", "M"), index=ids)


@pytest.fixture
def full(content, sexes):
    """A page with every optional table, and probabilities."""
    scores = content.scores.assign(probability=1 / (1 + np.exp(-content.scores["score"])))
    test = {"kind": "heterogeneity", "finding": "lesion", "metric": "auroc", "method": "tau"}
    test |= {"group_column": "sex", "group": "", "first": "", "second": "", "n_cases": 40}
    test |= {"n_patients": 20, "n_positive": 16, "n_negative": 24, "n_tests": 2, "verdict": ""}
    test |= {"p": 0.3, "p_adjusted": 0.6, "adjusted_by": "Holm", "family": "sex", "reason": ""}
    test |= {"test": "permutation of patients", "interval": "", "lo": np.nan, "hi": np.nan}
    test |= {"margin": np.nan, "difference": np.nan}
    test |= {"estimate_first": np.nan, "estimate_second": np.nan}
    pair = test | {"kind": "methods", "group_column": "all", "group": "all", "first": "tau"}
    pair |= {"second": "sigmoid", "difference": 0.2, "lo": 0.1, "hi": 0.3, "interval": "DeLong"}
    size = {"method": "tau", "finding": "lesion", "column": "area_mm2", "low": 3.0, "high": 40.0}
    size |= {"n_positive": 16, "n_patients": 8, "sensitivity": 0.75, "lo": 0.6, "hi": 0.9}
    size |= {"interval": "Wilson", "reason": ""}
    part = {"method": "tau", "finding": "lesion", "group_column": "sex", "auroc": 0.8}
    part |= {"share_of_pairs": 1.0, "pairs": "all", "positives": "", "negatives": ""}
    return replace(
        content, scores=scores, groups={"sex": sexes}, comparisons=pd.DataFrame([test, pair]),
        size_recall=pd.DataFrame([size]), decomposition=pd.DataFrame([part]),
    )  # fmt: skip


@pytest.fixture
def read(tmp_path):
    return lambda content: write_report(tmp_path / "r", content).read_text(encoding="utf-8")


def shown(html):
    """The text of a page."""
    text = re.sub(r"<(style|svg).*?</\1>", " ", html, flags=re.DOTALL)
    return re.sub(r"\s+", " ", re.sub(r"<[^>]*>", " ", text))


def lines_of(axes, length):
    return [line.get_data() for line in axes.get_lines() if len(line.get_xdata()) == length]


def test_a_panel_draws_the_cases_of_its_group_and_its_operating_point(scores, metrics, sexes):
    cases = scored_cases(scores, "lesion", METHODS)
    parts, left_out = drawn_parts(
        group_parts(cases, sexes, where(as_rows(metrics), group_column="sex"))
    )
    assert [part.name for part in parts] == ["F", "M"]
    assert left_out == {}
    axes = panels_figure(KINDS["roc"], parts).axes[1]
    own = scores[(scores["method"] == "tau") & scores["case_id"].map(sexes).eq("M")]
    x, y = roc_points(own["label"].to_numpy(), own["score"].to_numpy())
    assert any(np.array_equal(data, (x, y)) for data in lines_of(axes, len(x)))
    rings = [line.get_data() for line in axes.get_lines() if line.get_marker() == "o"]
    assert [(float(x[0]), float(y[0])) for x, y in rings] == [(0.4, 0.75)] * 2


def test_strata_of_positives_are_drawn_against_all_negatives(scores, metrics, sexes):
    rows = as_rows(metrics[metrics["group_column"] == "sex"].assign(negatives="all"))
    part = group_parts(scored_cases(scores, "lesion", METHODS), sexes, rows)[0]
    label = part.cases["tau"].label
    assert (label.sum(), (label == 0).sum()) == (10, 20)


def test_at_most_8_groups_get_panels_and_the_others_are_named(scores, metrics):
    ids = scores["case_id"].unique()
    names = pd.Series([f"g{i // 4}" for i in range(len(ids))], index=ids)
    names.iloc[[1, 3]] = "other"  # g0 keeps positives only
    rows = [
        row | {"group": group} for group in names.unique() for row in as_rows(metrics.iloc[9:10])
    ]
    parts, left_out = drawn_parts(group_parts(scored_cases(scores, "lesion", METHODS), names, rows))
    assert len(parts) == 8
    assert left_out == {
        "no test cases of both classes": ["g0", "other"],
        "not among the 8 groups with most positive cases": ["g9"],
    }


def test_curves_of_probabilities_need_one(scores, metrics):
    rows = where(as_rows(metrics), group_column="all")
    with_one = scores.assign(probability=np.where(scores["method"] == "tau", 0.3, np.nan))
    figure = curve_figure(KINDS["decision"], scored_cases(with_one, "lesion", METHODS), rows)
    labels = [line.get_label() for line in figure.axes[0].get_lines()]
    assert "sigmoid  no probability" in labels
    cases = scored_cases(scores, "lesion", METHODS)
    parts = group_parts(cases, pd.Series("F", index=scores["case_id"].unique()), rows)
    assert panels_figure(KINDS["decision"], parts) is None


def test_the_decision_curve_spans_the_declared_thresholds_with_their_intervals(scores):
    rows = [
        {"method": "tau", "metric": f"net_benefit@{t}", "estimate": 0.1, "lo": 0.05, "hi": 0.2}
        for t in (0.1, 0.3)
    ]
    known = scores.assign(probability=1 / (1 + np.exp(-scores["score"])))
    cases = scored_cases(known, "lesion", ["tau"])
    axes = curve_figure(KINDS["decision"], cases, rows).axes[0]
    every, own = lines_of(axes, 100)  # treat-all lies below the methods
    grid = np.linspace(0.1, 0.3, 100)
    np.testing.assert_allclose(own[0], grid)
    one = known[known["method"] == "tau"]
    expected = net_benefit_points(one["label"].to_numpy(), one["probability"].to_numpy(), grid)
    np.testing.assert_allclose(own[1], expected)
    np.testing.assert_allclose(every[1], 0.5 - 0.5 * grid / (1 - grid))
    bars = [(x[0], *y) for x, y in lines_of(axes, 2) if x[0] == x[1]]
    np.testing.assert_allclose(bars, [(0.1, 0.05, 0.2), (0.3, 0.05, 0.2)])


def test_a_bin_with_few_cases_is_hollow(scores):
    probability = np.where(np.arange(len(scores)) % 40 < 5, 0.95, 0.05)
    cases = scored_cases(scores.assign(probability=probability), "lesion", ["tau"])
    lines = curve_figure(KINDS["calibration"], cases, []).axes[0].get_lines()
    hollow = [line.get_xdata() for line in lines if line.get_markerfacecolor() == "none"]
    assert [x.tolist() for x in hollow] == [[pytest.approx(0.95)]]


def test_sizes_are_drawn_in_order_with_their_intervals():
    row = {"method": "tau", "column": "mm2", "n_positive": 4, "lo": 0.4, "hi": 0.9}
    rows = [row | {"low": 10.0, "high": np.nan, "sensitivity": 0.8}]
    rows += [row | {"low": 1.0, "high": 10.0, "sensitivity": 0.5}]
    axes = size_figure(rows, methods=["tau"]).axes[0]
    assert list(axes.get_lines()[0].get_ydata()) == [0.5, 0.8]
    names = [text.get_text() for text in axes.get_xticklabels()]
    assert names == ["1 to 10\n4 pos.", "10 or more\n4 pos."]


def test_the_page_has_a_section_for_every_table(full, read):
    html = read(full)
    text = shown(html)
    for heading in (
        "Differences between methods", "Differences between groups", "By sex", "ROC per group",
        "Precision and recall per group", "Calibration per group", "Decision curve per group",
        "pooled AUROC taken apart", "Sensitivity by size of the target", "permutation of patients",
        "Holm over 2 tests of the family: sex", "Decisions against labels per group",
    ):  # fmt: skip
        assert heading in text
    assert "not among the" not in text
    for piece in ("lesion by sex group method", "Forest plots of sensitivity and specificity"):
        assert piece in text


def test_the_appendix_links_what_is_there_and_says_what_is_not(full, read, content):
    html = read(full)
    ids = set(re.findall(r'\bid="([^"]*)"', html))
    items = html[html.index('<section id="items">') : html.index('<section id="ledger">')]
    assert set(re.findall(r'href="#([^"]*)"', items)) <= ids
    assert sum(map(len, GUIDELINES.values())) == items.count('<th scope="row">') == 25

    def row(page, number):
        return re.search(rf'<th scope="row">{number}</th>.*?</tr>', page, re.DOTALL)[0]

    assert 'href="#finding-1-groups"' in row(items, "23b")
    failures = re.search(r"analysis of failures</td>.*?</tr>", items, re.DOTALL)
    assert failures is not None
    assert 'href="#errors"' in failures[0]
    assert "not answered by this page" in row(items, "22")
    assert "not answered by this page" in row(read(content), "21")  # no test, no spread
    bare = read(replace(content, gallery=(), gaps=pd.DataFrame()))
    assert "not answered by this page" in row(bare, "23b")
    assert "comply" not in items
    assert "complian" not in items


def test_an_item_without_its_section_is_not_answered():
    found = answers({})
    assert all(not item.places for items in found.values() for item in items)
    assert answers({"ledger": [("ledger", "x")]})["STARD-AI (Nat Med 2025;31:3283)"][3].places


def test_warnings_are_red_and_every_number_of_decisions_is_marked(full, read):
    assert "banner alarm" not in read(full)
    ledger = {**full.ledger, "exploratory": True, "images_independent": True}
    html = read(replace(full, ledger=ledger))
    assert html.count("banner alarm") == 2
    assert "Images are treated as independent." in html
    table = re.search(r"<caption>lesion: all test cases</caption>.*?</table>", html, re.DOTALL)[0]
    assert table.count('class="flag"') == 4  # sensitivity and specificity of two methods
    counted = re.search(r"<caption>lesion: decisions against.*?</table>", html, re.DOTALL)[0]
    assert counted.count('class="flag"') == 8
    sizes = re.search(r"<caption>Sensitivity of lesion by area.*?</table>", html, re.DOTALL)[0]
    assert sizes.count('class="flag"') == 1
    assert "--alarm: #a3121f" in html


def test_a_page_of_outside_score_tables_is_whole(metrics, scores, read):
    ledger = {"exclusions": [{"method": "tau", "finding": "lesion", "reason": "score is NaN",
                              "n_rows": 3, "n_cases": 3}],
              "thresholds": [{"method": "tau", "source": "val", "cases": [1, 2]}],
              "margins": {"auroc": 0.03}, "prespecified": ["AUROC by sex"]}  # fmt: skip
    html = read(
        ReportContent(
            title="Two tools", data="user", question="Which?", metrics=metrics, scores=scores,
            ledger=ledger,
        )
    )  # fmt: skip
    text = shown(html)
    for part in ("Test cases", "40 20 16 24 0.400", "score is NaN", "Margins of equivalence",
                 "AUROC by sex", "what one score is given to"):  # fmt: skip
        assert part in text
    for absent in ("Training", "Worst errors", "From mask", "Recipe", "manifest", "Differences",
                   "shortcut?", "Warnings"):  # fmt: skip
        assert absent not in text
    headings = re.findall(r"<h[23]>(.*?)</h[23]>", html)
    assert headings[-1] == "What was left out"
    empty = r"<h[23]>[^<]*</h[23]>\s*(?:</section>\s*)*(?=<h2|<section|</main>)"
    assert not [match for match in re.findall(empty, html) if "Results" not in match]


def test_missing_numbers_are_counted_by_reason(metrics, scores, read):
    frame = metrics.copy()
    frame.loc[frame["metric"] == "specificity", ["estimate", "reason"]] = [np.nan, "no decision"]
    text = shown(read(ReportContent("t", "user", "q", frame, scores)))
    table = text[text.index("Numbers that cannot be estimated") :]
    assert "lesion no decision 6 tau, sigmoid 3: all cases, sex = F, sex = M Specificity" in table


def test_hostile_names_of_groups_and_families_are_text(full, read):
    swap = {"F": HOSTILE, "sex": HOSTILE, "tau": HOSTILE, "lesion": HOSTILE}
    frames = {
        name: getattr(full, name).astype(object).replace(swap)
        for name in ("metrics", "scores", "comparisons", "gaps", "decomposition", "size_recall")
    }
    html = read(replace(full, groups={HOSTILE: full.groups["sex"].replace(swap)}, **frames))
    assert "<img" not in html
    assert html.count("&lt;img src=x") > 50
