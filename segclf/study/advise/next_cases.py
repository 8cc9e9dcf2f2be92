"""`segclf advise --next N`: which training cases to draw next, and why each."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd

from segclf.core.atomic import write_text
from segclf.core.catalog import unknown_name
from segclf.core.errors import UsageError
from segclf.core.randomness import seed_of
from segclf.core.records import Case, MaskState
from segclf.core.text import counted, guarded, visible
from segclf.experiment import Experiment
from segclf.manifest import CaseTable, cases_of
from segclf.manifest.values import values_of
from segclf.study.advise.choose import Chosen, Pool, choose
from segclf.study.advise.drawn import drawn_masks, pseudo_masks
from segclf.study.advise.flow import Opened
from segclf.study.advise.groups import binned_values, columns_of
from segclf.study.advise.look import Seen, only

LIST = "next.csv"
MODEL = "model.safetensors"
MOST_DRAWN = 1000
"""Cases with masks that the others are compared with; a seeded sample where there are more."""
BALANCED = ("patient", "acquisition")
Row = dict[str, Any]


@dataclass(frozen=True)
class NextCases:
    """The list, and what it was made from."""

    rows: tuple[Row, ...]
    n_candidates: int
    columns: tuple[str, ...]
    """Whose groups are balanced."""
    has_model: bool
    quarantined: tuple[Row, ...]
    seed: int
    data: str
    """`user` or `phantom`."""

    def as_dict(self) -> Row:
        """Plain data, for JSON."""
        return {
            "data": self.data,
            "next": list(self.rows),
            "n_candidates": self.n_candidates,
            "balanced": list(self.columns),
            "has_model": self.has_model,
            "quarantined": list(self.quarantined),
        }


def next_cases(
    opened: Opened,
    n: int,
    *,
    by: Sequence[str] = (),
    fold: int | None = None,
    on_event: Callable[[Row], None] | None = None,
) -> NextCases:
    """Training cases without a mask whose drawing should teach most, in that order.

    Validation and test cases are never candidates and their files are never opened; nor are cases
    that have a mask, or whose label says that it is empty. `choose` defines the score. Without a
    trained run only the groups and a seeded order decide.

    Args:
        opened: From `flow.open_data`.
        n: How many.
        by: Columns to balance; default: those of the roles patient and acquisition.
        fold: With folds, the fold whose training part is meant.
        on_event: Told the progress.

    Raises:
        UsageError: `n` is below 1, there is no split, a column is not there, or nothing is left
            to draw.
    """
    train, fold = _train_part(opened, n, fold)
    drawn, made = drawn_masks(train), pseudo_masks(train)
    candidates = [case for case in train.cases if _to_draw(case, drawn, made)]
    if not candidates:
        raise UsageError(
            "no training case is left to draw.",
            where="--next",
            expected="cases whose label is 1 or not known, without a mask",
            fix="add cases, or use segclf advise --measure to see whether more would help",
        )
    seed = train.recipe.seed
    columns = _columns(train, by)
    with_mask = [case for case in train.cases if case.case_id in drawn]
    view = _View(candidates, np.ones(len(candidates)))
    if opened.exp is not None and (opened.exp.run.stage("segment", fold=fold) / MODEL).is_file():
        known = sorted(with_mask, key=lambda case: seed_of(seed, "drawn", case.case_id))
        view = _view(opened.exp, candidates, known[:MOST_DRAWN], fold, on_event)
    groups, names = _groups(train, columns)
    shares = _shares(train)
    row_of = {case.case_id: i for i, case in enumerate(train.cases)}
    pool = Pool(
        view.doubt,
        np.array([_chance(case, shares) for case in view.cases]),
        view.embedding,
        view.drawn_embedding,
        groups[[row_of[case.case_id] for case in view.cases]],
        groups[[row_of[case.case_id] for case in with_mask]],
        np.array([seed_of(seed, "next", case.case_id) % 2**53 for case in view.cases]),
    )
    has_model = view.embedding is not None
    rows = _rows(choose(pool, n), view.cases, pool, names, columns, has_model=has_model)
    return NextCases(
        tuple(rows), len(candidates), columns, has_model, view.quarantined, seed, train.recipe.data
    )


@dataclass(frozen=True)
class _View:
    """Candidates that can be read, as a segmenter sees them."""

    cases: Sequence[Case]
    doubt: np.ndarray
    embedding: np.ndarray | None = None
    drawn_embedding: np.ndarray | None = None
    quarantined: tuple[Row, ...] = ()


def _train_part(opened: Opened, n: int, fold: int | None) -> tuple[CaseTable, int | None]:
    """The training cases of the split or of one fold."""
    table, split = opened.table, opened.split
    if n < 1 or split is None:
        raise UsageError(
            f"there is no training part: {opened.note}" if n > 0 else f"{n} cases cannot be named.",
            where=f"--next {n}",
            expected="at least one case, of a data set that can be split",
            fix="write --next 50" if n < 1 else "see segclf split",
        )
    folds = sorted({int(one) for one in split["fold"].dropna()})
    if fold is not None and fold not in folds:
        raise UsageError(
            f"there is no fold {fold}.",
            where="--fold",
            expected=f"one of {folds}" if folds else "a recipe with split.folds",
            fix="choose one of these, or leave --fold away",
        )
    fold = fold if fold is not None or not folds else folds[0]
    ids = {case.case_id for case in cases_of(table, split, "train", fold)}
    return only(table, [case.case_id in ids for case in table.cases]), fold


def _view(
    exp: Experiment,
    candidates: Sequence[Case],
    known: Sequence[Case],
    fold: int | None,
    on_event: Callable[[Row], None] | None,
) -> _View:
    from segclf.study.advise.look_at import look_at  # torch: seconds, paid where there is a model

    seen = look_at(exp, [*candidates, *known], fold, on_event)
    place = {case_id: i for i, case_id in enumerate(seen.case_ids)}
    cases = [case for case in candidates if case.case_id in place]
    at = [place[case.case_id] for case in cases]
    near = [place[case.case_id] for case in known if case.case_id in place]
    doubt = [_mean_doubt(seen.doubt[i], case) for i, case in zip(at, cases, strict=True)]
    embedding = seen.embedding.astype(np.float64)
    return _View(cases, np.array(doubt), embedding[at], embedding[near], seen.quarantined)


def write_list(opened: Opened, found: NextCases, out: Path | None) -> Path | None:
    """Write the list as CSV: to `out`, else into the run; None (nothing) without either."""
    if out is None and opened.exp is None:
        return None
    path = out or (opened.exp.run.stage("advise") / LIST if opened.exp else Path(LIST))
    frame = pd.DataFrame(found.rows).assign(data=found.data)
    for name in ("case_id", "reason"):
        frame[name] = [guarded(visible(text)) for text in frame[name]]
    write_text(path, frame.to_csv(index=False, lineterminator="\n"))
    return path


def next_text(found: NextCases, path: Path | None) -> str:
    """The list for the console, and what it rests on."""
    lines = [f"{row['rank']:>4}  {row['case_id']}  {row['reason']}" for row in found.rows]
    what = "lack of masks in its groups x chance of a positive"
    if found.has_model:
        what = f"doubt x diversity x {what}"
    else:
        what += ", then a seeded order; --run with a trained segmenter adds doubt and diversity"
    lines.append(f"{counted(found.n_candidates, 'training case')} could be drawn; order: {what}.")
    if found.columns:
        lines.append(f"groups of: {', '.join(found.columns)}")
    if found.quarantined:
        lines.append(f"{counted(len(found.quarantined), 'case')} set aside: cannot be read")
    return "\n".join([*lines, f"wrote {path}" if path else "--out next.csv writes the list"])


def _to_draw(case: Case, drawn: dict[str, tuple[int, ...]], made: set[tuple[str, int]]) -> bool:
    """Whether the case has no mask, and its labels do not settle them all."""
    return case.case_id not in drawn and any(
        source.state is MaskState.UNKNOWN or (case.case_id, k) in made
        for k, source in enumerate(case.masks)
    )


def _chance(case: Case, shares: Sequence[float]) -> float:
    """Chance that a finding is there: 1 if one is known to be, else the largest known share."""
    if 1.0 in case.labels:
        return 1.0
    unknown = [share for share, label in zip(shares, case.labels, strict=True) if np.isnan(label)]
    return max(unknown, default=0.0)


def _shares(table: CaseTable) -> list[float]:
    """Per finding, the share of positives among the known labels; 1 where none is known."""
    labels = np.array([case.labels for case in table.cases])
    columns = [column[~np.isnan(column)] for column in labels.T]
    return [float(column.mean()) if len(column) else 1.0 for column in columns]


def _mean_doubt(doubt: np.ndarray, case: Case) -> float:
    """Over the findings that may be there."""
    return float(doubt[[label != 0 for label in case.labels]].mean())


def _columns(table: CaseTable, by: Sequence[str]) -> tuple[str, ...]:
    for name in by:
        if name not in table.frame:
            raise unknown_name(name, [str(c) for c in table.frame.columns], kind="column")
    if by:
        return tuple(by)
    roles = columns_of(Seen(table, {}, (), {}))
    return tuple(
        name
        for name, about in roles.items()
        if about["role"] in BALANCED and binned_values(values_of(table.frame, name)) is not None
    )


def _groups(table: CaseTable, columns: Sequence[str]) -> tuple[np.ndarray, list[tuple[str, ...]]]:
    """(case, column) group codes, and the names of the groups."""
    codes = np.full((len(table.cases), len(columns)), -1)
    names: list[tuple[str, ...]] = []
    for j, column in enumerate(columns):
        binned = binned_values(values_of(table.frame, column))
        names.append(binned[1] if binned else ())
        if binned:
            codes[:, j] = binned[0]
    return codes, names


def _rows(
    chosen: Chosen,
    cases: Sequence[Case],
    pool: Pool,
    names: Sequence[tuple[str, ...]],
    columns: Sequence[str],
    *,
    has_model: bool,
) -> list[Row]:
    rows = []
    for rank, place in enumerate(chosen.order, start=1):
        case, i = cases[place], rank - 1
        groups = [
            f"{column} {names[j][pool.groups[place, j]]}"
            for j, column in enumerate(columns)
            if pool.groups[place, j] >= 0
        ]
        reasons = []
        if has_model:
            reasons.append(f"{100 * chosen.doubt[i]:.0f} % of the believed area is doubtful")
            reasons.append(f"diversity {chosen.diversity[i]:.2f}")
        if columns:
            reasons.append(f"its groups lack masks by a factor {chosen.group[i]:.2f}: ")
            reasons[-1] += ", ".join(groups) or "all blank"
        reasons.append("label 1" if 1.0 in case.labels else "label not known")
        rows.append(
            {
                "rank": rank,
                "case_id": case.case_id,
                "score": round(float(chosen.score[i]), 6),
                "doubt": round(float(chosen.doubt[i]), 6) if has_model else None,
                "diversity": round(float(chosen.diversity[i]), 6) if has_model else None,
                "group": round(float(chosen.group[i]), 6),
                "chance": round(float(pool.chance[place]), 6),
                "reason": "; ".join(reasons),
            }
        )
    return rows
