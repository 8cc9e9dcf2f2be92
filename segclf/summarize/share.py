"""A rule that does not depend on the size of a lesion: which of several findings it is."""

from collections.abc import Sequence

import numpy as np

from segclf.core.catalog import unknown_name
from segclf.core.errors import UsageError
from segclf.core.maskstats import MaskStatistics
from segclf.summarize.pixels import rows_of


def share(stats: MaskStatistics, *, finding: str, share_of: tuple[str, ...] = ()) -> np.ndarray:
    """Share of one finding in the probability mass of several, (case,), in [0, 1].

    The mass of a finding is the sum of its probability over the pixels; malignant / (malignant +
    benign) is the example. Where no finding has any mass the score is 0: nothing was found.

    Args:
        stats: Statistics of many masks.
        finding: Which finding.
        share_of: The findings that share, this one among them; () for all.

    Raises:
        UsageError: There are fewer than two findings, or one is unknown.
    """
    members = sharing(list(stats.frame["finding"].unique()), finding, share_of)
    frame = stats.frame
    mass = frame["mean_p"].to_numpy(dtype=np.float64) * frame["n_px"].to_numpy()
    case = frame.groupby(["case_id", "fold"], sort=False, dropna=False).ngroup().to_numpy()
    is_member = frame["finding"].isin(members).to_numpy()
    total = np.bincount(case[is_member], mass[is_member], minlength=case.max() + 1)
    rows = rows_of(stats, finding)
    return np.divide(
        mass[rows], total[case[rows]], out=np.zeros(rows.size), where=total[case[rows]] > 0
    )


def sharing(known: Sequence[str], finding: str, share_of: Sequence[str]) -> list[str]:
    """The findings that share the mass with `finding`; arguments and errors as of `share`."""
    members = list(share_of) or list(known)
    for member in members:
        if member not in known:
            raise unknown_name(member, known, kind="finding", where="summarize.share_of")
    if len(set(members)) < 2 or finding not in members:
        raise UsageError(
            f"the share of {finding!r} among {', '.join(members)} says nothing.",
            where="rule share",
            expected="at least two findings, among them the one that is scored",
            fix="choose another rule, such as mean, or name more findings in summarize.share_of",
        )
    return members
