"""The page: self-contained, escaped, without patients or folders, and complete."""

import re
from dataclasses import replace
from html.parser import HTMLParser

import pandas as pd
import pytest

from segclf.report import write_report

HOSTILE = "<img src=x onerror=alert(1)>"


class Page(HTMLParser):
    """Collects tags with attributes, visible text, and ids."""

    def __init__(self, html):
        super().__init__()
        self.tags, self.words = [], []
        self.feed(html)

    def handle_starttag(self, tag, attrs):
        self.tags.append((tag, dict(attrs)))

    def handle_data(self, data):
        self.words.append(data)

    def all(self, name):
        return [attrs for tag, attrs in self.tags if tag == name]


@pytest.fixture(scope="module")
def folder(tmp_path_factory, content):
    """The folder of the report of `content`."""
    return write_report(tmp_path_factory.mktemp("page") / "report", content).parent


@pytest.fixture(scope="module")
def html(folder):
    return (folder / "index.html").read_text(encoding="utf-8")


@pytest.fixture
def read(tmp_path):
    def write_and_read(content):
        path = write_report(tmp_path / "report", content)
        assert path == tmp_path / "report" / "index.html"
        return path.read_text(encoding="utf-8")

    return write_and_read


def hostile(content):
    names = {"tau": HOSTILE, "F": HOSTILE, "lesion": HOSTILE}
    return replace(
        content,
        title=HOSTILE,
        question=HOSTILE,
        metrics=content.metrics.replace({c: names for c in ("method", "group", "finding")}),
        scores=content.scores.replace({c: names for c in ("method", "finding", "case_id")}),
        gallery=[replace(item, case_id=HOSTILE, finding=HOSTILE) for item in content.gallery],
        recipe=HOSTILE,
        provenance={HOSTILE: {HOSTILE: HOSTILE}},
        training={HOSTILE: content.training["segmenter"]},
        quarantined=[{"case_id": HOSTILE, "reason": HOSTILE, "message": HOSTILE}],
        counts=pd.DataFrame({HOSTILE: [HOSTILE]}),
        unit_name=HOSTILE,
    )


def test_the_page_has_a_strict_policy_no_script_and_nothing_to_load(html):
    page = Page(html)
    policies = [a["content"] for a in page.all("meta") if a.get("http-equiv")]
    assert policies == [
        "default-src 'none'; style-src 'unsafe-inline'; img-src data:; base-uri 'none'; "
        "form-action 'none'"
    ]
    assert not {tag for tag, _ in page.tags} & {"script", "iframe", "object", "embed", "link"}
    for _, attrs in page.tags:
        assert not [name for name in attrs if name.startswith("on")]
        for name in ("href", "src", "xlink:href"):
            value = attrs.get(name) or "#"
            assert value.startswith(("#", "data:image/png;base64,"))
    css = re.findall(r"<style>(.*?)</style>", html, flags=re.DOTALL)
    assert len(css) == 1
    assert "url(" not in css[0]
    assert "@import" not in css[0]


def test_hostile_names_are_shown_as_text(read, content):
    html = read(hostile(content))
    assert "<img" not in html
    page = Page(html)
    assert not page.all("img")
    assert sum(HOSTILE in word for word in page.words) >= 12


def test_ids_are_unique_and_every_link_of_the_page_leads_somewhere(html):
    page = Page(html)
    ids = [attrs["id"] for _, attrs in page.tags if "id" in attrs]
    assert len(ids) == len(set(ids))
    links = {attrs["href"][1:] for attrs in page.all("a")}
    assert links
    assert links <= set(ids)
    labelled = {a["aria-labelledby"] for _, a in page.tags if "aria-labelledby" in a}
    assert labelled <= set(ids)


def test_patients_and_folders_are_not_shown(html, folder):
    written = [path.read_text() for path in folder.iterdir()]
    for text in written:
        assert "SECRET" not in text
        assert "/home/someone" not in text
        assert "C:\\x" not in text
        assert str(folder.parent) not in text
    assert "manifest: …/manifest.csv" in html
    assert "…/m.csv ab12" in html


def test_the_page_says_what_it_is_for_and_what_was_left_out(html):
    text = " ".join(Page(html).words)
    assert text.count("For research use, not for diagnosis.") == 2
    for part in (
        "3 positive patients (fewer than 5)", "a gap needs two groups", "case99", "truncated",
        "no label", "images are independent",
        "95% intervals: percentile, patient bootstrap; 1,000 resamples",
        "the unit of resampling is the study", "t = 0.5, tau = 1 px", "Dice on positives",
        "5 px away: 1 px", "against the truth (outlines agree within 2 mm)",
        "HD95 on positives, mm", "7 of 7 cases left out: no spacing in mm",
    ):  # fmt: skip
        assert part in text
    assert "sex = M" in text
    assert text.count("against the truth (outlines agree within 2 mm)") == 2  # all cases, by sex


def test_phantom_data_carry_a_banner_and_user_data_none(read, content, html):
    assert "data: phantom" not in html
    assert read(replace(content, data="phantom")).count("data: phantom") == 2


def test_every_figure_is_a_file_of_its_own_too(html, folder):
    files = sorted(path.name for path in folder.glob("*.svg"))
    assert files == [
        "forest-3.svg", "forest-4.svg", "forest-5.svg", "plane-6.svg", "precision-recall-2.svg",
        "roc-1.svg", "training-7.svg",
    ]  # fmt: skip
    for name in files:
        assert f"File: {name}" in html
        assert (folder / name).read_text().startswith("<?xml")


def test_tables_and_pictures_can_be_read_aloud(html):
    page = Page(html)
    assert all("scope" in attrs for attrs in page.all("th"))
    assert len(page.all("caption")) == len(page.all("table"))
    svgs = page.all("svg")
    assert all(a.get("role") == "img" or a.get("aria-hidden") for a in svgs)
    assert all(a.get("aria-label") or a.get("aria-labelledby") for a in svgs if "role" in a)
    assert page.all("html") == [{"lang": "en"}]


def test_each_mark_of_a_table_is_explained_below_it(html):
    notes_below = r'<table>(.*?)</table>\s*</div>\s*(<ul class="notes">.*?</ul>)?'
    found = re.findall(notes_below, html, re.DOTALL)
    assert sum("<sup>" in table for table, _ in found) >= 2
    for table, notes in found:
        marks = set(re.findall(r"<sup>(\w+)</sup>", table))
        assert marks == set(re.findall(r"<sup>(\w+)</sup>", notes))


def test_the_same_content_gives_the_same_bytes(read, content, html):
    assert read(content) == html


def test_a_report_without_shortcut_planes_training_or_errors_is_whole(read, content):
    nothing = pd.DataFrame()
    bare = replace(
        content, robust=nothing, grid=nothing, gaps=nothing, overlap=nothing, planes=(),
        training={}, gallery=(), ledger={}, quarantined=(), recipe="", provenance={},
        metrics=content.metrics[content.metrics["group_column"] == "all"],
    )  # fmt: skip
    text = " ".join(Page(read(bare)).words)
    assert "No case was set aside." in text
    assert "Every number could be estimated." in text
    for absent in ("shortcut", "Worst errors", "From mask to decision", "Differences between"):
        assert absent not in text


def test_missing_numbers_of_one_reason_share_a_row(read, content):
    metrics = content.metrics.copy()
    rare = metrics["group"] == "F"
    metrics.loc[rare, ["estimate", "lo", "hi"]] = float("nan")
    metrics.loc[rare, "reason"] = "too few"
    html = read(replace(content, metrics=metrics))
    table = html[html.index("Numbers that cannot be estimated") :]
    assert table.count("too few") == 1
    assert "AUROC, Sensitivity, Specificity" in table
