"""Target sizes made from true masks, as columns to group by."""

import numpy as np
import pandas as pd

from segclf.core.maskstats import MaskStatistics

SIZE = "target_size"


def target_sizes(statistics: MaskStatistics | None) -> tuple[pd.DataFrame, dict[str, str]]:
    """Size of the target of every case with a true mask and a target, and the columns' roles.

    `target_size_px`; where every such case has a spacing also `target_size_mm2`, of volumes
    `target_size_mm3`. With several findings the name of each is added. Blank where there is no
    target or its mask is not known: these columns follow from the truth.

    Args:
        statistics: Mask statistics; None has no sizes.
    """
    if statistics is None:
        return pd.DataFrame({"case_id": pd.Series(dtype="str")}), {}
    frame = statistics.frame.drop_duplicates(["case_id", "finding"])
    findings = list(frame["finding"].unique())
    found = pd.DataFrame({"case_id": frame["case_id"].astype("str").unique()})
    for finding in findings:
        own = frame.loc[frame["finding"] == finding]
        px = own["true_px"].to_numpy(dtype=np.float64, na_value=np.nan)
        px = np.where(px > 0, px, np.nan)
        area = px * own["px_size"].to_numpy(dtype=np.float64)
        suffix = f"_{finding}" if len(findings) > 1 else ""
        columns = {f"{SIZE}_px{suffix}": px}
        if not np.isnan(area[~np.isnan(px)]).any() and not np.isnan(px).all():
            unit = "mm3" if own["is_volume"].all() else "mm2"
            columns[f"{SIZE}_{unit}{suffix}"] = area
        sizes = pd.DataFrame({"case_id": own["case_id"].astype("str")} | columns)
        found = found.merge(sizes, on="case_id", how="left")
    return found, {str(name): "derived" for name in found.columns[1:]}


def with_sizes(cases: pd.DataFrame, sizes: pd.DataFrame) -> pd.DataFrame:
    """The cases with their sizes; a column that they have already stays as it is."""
    new = [name for name in sizes.columns if name == "case_id" or name not in cases.columns]
    both = cases.assign(case_id=cases["case_id"].astype("str"))
    return both.merge(sizes.loc[:, new], on="case_id", how="left", validate="many_to_one")
