"""`infer-classes`: from the attributes that a classifier sees to classes that it never saw."""

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd

from segclf.core.atomic import atomic_path, sha256_of, write_json
from segclf.core.catalog import unknown_name
from segclf.core.errors import UsageError
from segclf.core.runs import shown
from segclf.core.scoretable import empty_scores, read_scores
from segclf.core.text import guarded
from segclf.evaluate.heads import accuracy_interval, class_predictions
from segclf.evaluate.rules import Rules, derived_classes, read_rules, rule_truth
from segclf.experiment import Experiment
from segclf.stages import note_stage, split_frame

FOLDER = "inferred"


def infer_classes(
    exp: Experiment, rules_file: Path, *, method: str = "multihead"
) -> tuple[Path, dict[str, Any]]:
    """Derive classes by rules from the scores of a method; returns the folder and its record.

    Writes `classes.parquet`, `classes.csv` and `inferred.json` with the accuracy on test cases
    below `classify/<method>/inferred/`. Rules are given, so nothing is fitted.

    Args:
        exp: The run.
        rules_file: YAML, see `read_rules`.
        method: A classifier of class columns in this run.

    Raises:
        UsageError: There is no file, the method has no scores of class columns, or a name does not
            exist.
        ConfigError: The rules cannot be used.
    """
    scores = _scores_of(exp, method)
    if not rules_file.is_file():
        raise UsageError(
            "there is no such file of rules.",
            where=f"--rules {shown(rules_file)}",
            expected="a YAML file: classes: {NAME: {head: category}}",
            fix="write one; docs/classifiers.md has an example",
        )
    rules = read_rules(rules_file, categories_of(scores))
    truth = true_classes(exp, rules, categories_of(scores))
    table = derived_classes(scores, rules)
    table["truth"] = [truth.get(case_id) for case_id in table["case_id"]]
    record = {
        "method": method,
        "rules": {name: dict(rule) for name, rule in rules.classes.items()},
        "rules_sha256": sha256_of(rules_file),
        "other": rules.other,
        "truth": rules.truth or "the rule that the true categories meet",
        **accuracy_of(table, truth, split_frame(exp.split, exp.table), rules, exp),
    }
    folder = exp.run.stage("classify", method, FOLDER)
    folder.mkdir(parents=True, exist_ok=True)
    with atomic_path(folder / "classes.parquet") as part:
        table.to_parquet(part, index=False)
    with atomic_path(folder / "classes.csv") as part:
        table.map(lambda v: guarded(v) if isinstance(v, str) else v).to_csv(part, index=False)
    write_json(folder / "inferred.json", record)
    note_stage(exp, f"classify/{method}/{FOLDER}")
    return folder, record


def categories_of(scores: pd.DataFrame) -> dict[str, list[str]]:
    """Head to its categories, from the rows `<head>=<category>` of a score table."""
    found: dict[str, list[str]] = {}
    for finding in scores["finding"].unique():
        head, is_class, category = str(finding).partition("=")
        if is_class:
            found.setdefault(head, []).append(category)
    return found


def true_classes(
    exp: Experiment, rules: Rules, categories: Mapping[str, list[str]]
) -> dict[str, str]:
    """Case id to its true class, where it is known: from the column, or by the rules themselves.

    Raises:
        UsageError: The column does not exist.
    """
    frame = exp.table.frame
    if rules.truth is not None:
        if rules.truth not in frame:
            raise unknown_name(rules.truth, map(str, frame.columns), kind="column", where="truth")
        known = frame[frame[rules.truth].notna()]
        return dict(zip(known["case_id"], map(_class_name, known[rules.truth]), strict=True))
    of_category = {}
    for case_head, names in categories.items():
        column = frame[f"class_{case_head}"].astype("object")
        for name in names:
            is_it = np.where(column.isna(), np.nan, (column.astype(str) == name).astype(float))
            of_category[f"{case_head}={name}"] = is_it
    found = rule_truth(of_category, rules)
    return {c: name for c, name in zip(frame["case_id"], found, strict=True) if name is not None}


def _class_name(value: object) -> str:
    """A class as the manifest writes it: a blank in a column of numbers makes 2 a 2.0."""
    return str(int(value)) if isinstance(value, float) and value.is_integer() else str(value)


def accuracy_of(
    table: pd.DataFrame,
    truth: Mapping[str, str],
    split: pd.DataFrame,
    rules: Rules,
    exp: Experiment,
) -> dict[str, Any]:
    """Accuracy on test cases with counts, per class and for classes that no training case has.

    With folds, a class is in training for a test case if a training case of its fold has it.
    Cases whose true class has no rule are counted and left out, or count as `other` if there is
    one. A case that is not decided counts as wrong.
    """
    test = table.loc[table["split"] == "test"]
    actual = test["truth"].to_numpy(object)
    known = np.array([isinstance(name, str) for name in actual], bool)
    if rules.other:
        actual = np.array([n if n in rules.classes or not k else "other"
                           for n, k in zip(actual, known, strict=True)], object)  # fmt: skip
    has_rule = np.array([name in rules.names for name in actual], bool)
    hit = (test["predicted"].to_numpy(object) == actual) & has_rule
    trained = _trained_classes(split, truth)
    fold_of = [None if pd.isna(fold) else int(fold) for fold in test["fold"]]
    unseen = has_rule & np.array(
        [name not in trained[fold] for name, fold in zip(actual, fold_of, strict=True)], bool
    )
    patient = test["patient_id"].to_numpy(object)

    def share(of: np.ndarray) -> dict[str, Any]:
        if not of.any():
            return {"n": 0, "accuracy": None, "lo": None, "hi": None, "reason": "no such test case"}
        lo, hi, reason = accuracy_interval(
            hit[of], patient[of], exp.recipe.evaluate, exp.recipe.seed
        )
        ends = (None if np.isnan(end) else end for end in (lo, hi))
        lo, hi = ends
        return {"n": int(of.sum()), "accuracy": float(hit[of].mean()), "lo": lo, "hi": hi,
                "reason": reason}  # fmt: skip

    return {
        **share(has_rule),
        "n_unknown": int((~known).sum()),
        "n_without_rule": int((known & ~has_rule).sum()),
        "n_undecided": int((test["predicted"].isna().to_numpy() & has_rule).sum()),
        "unseen_in_training": share(unseen),
        "per_class": {
            name: share(actual == name)
            | {"in_training": all(name in names for names in trained.values())}
            for name in rules.names
        },
    }


def _trained_classes(split: pd.DataFrame, truth: Mapping[str, str]) -> dict[int | None, set[str]]:
    """Fold to the classes of its training cases; the key is None without folds."""
    train = split.query("split == 'train'")
    found: dict[int | None, set[str]] = {}
    for case_id, fold in zip(train["case_id"], train["fold"].astype(object), strict=True):
        classes = found.setdefault(None if fold is pd.NA else int(fold), set())
        if case_id in truth:
            classes.add(truth[case_id])
    return found


def inferred_text(record: Mapping[str, Any]) -> str:
    """The accuracy in a line or two."""
    lines = []
    for title, row in (("all", record), ("not in training", record["unseen_in_training"])):
        if row["accuracy"] is None:
            lines.append(f"accuracy ({title}): {row['reason']}")
            continue
        interval = "" if row["lo"] is None else f" [{row['lo']:.3f}, {row['hi']:.3f}]"
        lines.append(
            f"accuracy ({title}): {row['accuracy']:.3f}{interval} on {row['n']} test cases"
        )
    counts = {
        "undecided, counted as wrong": record["n_undecided"],
        "left out: their class has no rule": record["n_without_rule"],
        "left out: their class is not known": record["n_unknown"],
    }
    return "\n".join([*lines, *(f"{n} {what}" for what, n in counts.items() if n)])


def _scores_of(exp: Experiment, method: str) -> pd.DataFrame:
    folders = [exp.run.stage("classify", method, fold=fold) for fold in exp.folds()]
    paths = [folder / "scores.parquet" for folder in folders]
    tables = [read_scores(path) for path in paths if path.is_file()]
    scores = pd.concat(tables) if tables else empty_scores()
    if not categories_of(scores):
        raise UsageError(
            f"the method {method!r} has no scores of class columns in this run.",
            where=shown(exp.run.stage("classify", method)),
            expected="scores.parquet with rows such as density=L",
            fix=f"run: segclf train-clf --head multihead --run {exp.run.path.name}",
        )
    if np.isnan(class_predictions(scores)["probability"].to_numpy(float)).any():
        raise UsageError(
            f"the scores of {method!r} are no probabilities, so rules cannot multiply them.",
            where=shown(exp.run.stage("classify", method)),
            expected="scores that add up to 1 over the categories of a head",
            fix="use a classifier with softmax outputs: --method multihead",
        )
    return scores
