"""The facts of a wrong decision in words."""

from segclf.report.content import GalleryItem
from segclf.report.gallery import ErrorFacts, Region
from segclf.report.text import amount, count, plain, probability


def fact_lines(item: GalleryItem, facts: ErrorFacts) -> list[tuple[str, str]]:
    """Terms and sentences: what was missed, what is near, why it was decided so, what flips it."""
    has_map = item.probability is not None
    return [
        ("Target", _target(item, facts)),
        *([_prediction(item, facts)] if has_map else []),
        ("Decision", _decision(item, facts)),
        ("Would flip", _flip(item, facts)),
    ]


def _target(item: GalleryItem, facts: ErrorFacts) -> str:
    if facts.target is None:
        is_negative = item.kind == "false alarm"
        return (
            "none: the case is negative"
            if is_negative
            else "not drawn; the label says that there is one"
        )
    size = _area(item, facts.target)
    if item.probability is None:
        return size
    inside = f"highest probability inside {probability(facts.target.max_p)}"
    if not facts.n_missed:
        return f"{_all(facts.n_components)}touched by the prediction: {size}; {inside}"
    which = f"{facts.n_missed} of {facts.n_components} regions missed, the largest"
    return f"{'missed' if facts.n_components == 1 else which}: {size}; {inside}"


def _prediction(item: GalleryItem, facts: ErrorFacts) -> tuple[str, str]:
    term = "Nearest prediction" if facts.n_missed else "Largest prediction"
    if facts.nearest is None:
        return term, f"none: no pixel is above t = {probability(item.t)}"
    text = f"{_area(item, facts.nearest)}; highest probability {probability(facts.nearest.max_p)}"
    if facts.distance is None:
        return term, text
    return term, f"{amount(facts.distance, 'mm' if item.spacing_mm else 'px')} away: {text}"


def _decision(item: GalleryItem, facts: ErrorFacts) -> str:
    call = "negative" if item.kind == "missed" else "positive"
    if item.tau is None:
        is_above = "not above" if item.kind == "missed" else "above"
        score = "unknown" if item.score is None else amount(item.score)
        threshold = "unknown" if item.threshold is None else amount(item.threshold)
        return f"{call}: the score {score} is {is_above} the threshold {threshold}"
    is_more = "not more" if item.kind == "missed" else "more"
    return (
        f"{call}: {count(facts.n_above_t)} px above t = {probability(item.t)} are {is_more} than "
        f"tau = {amount(item.tau, item.unit)}"
    )


def _flip(item: GalleryItem, facts: ErrorFacts) -> str:
    """What would make the decision the other one."""
    is_missed = item.kind == "missed"
    if item.tau is None:
        if item.score is None:
            return "unknown: no score is recorded"
        return f"at a threshold {'below' if is_missed else 'of'} {amount(item.score)}" + (
            "" if is_missed else " or more"
        )
    if facts.flip_t is None:
        by_t = "at no t of the grid with this tau"
    else:
        side = "or less" if is_missed else "or more"
        by_t = f"at t = {probability(facts.flip_t)} {side} with this tau"
    if facts.flip_tau is None:
        return f"{by_t}; at no tau with this t, since no pixel is above it"
    area = amount(facts.flip_tau, item.unit)
    return f"{by_t}, or at tau {f'below {area}' if is_missed else f'= {area} or more'} with this t"


def _area(item: GalleryItem, region: Region) -> str:
    if region.size is None:
        return f"{count(region.n_px)} px"
    is_volume = item.spacing_mm is not None and len(item.spacing_mm) == 3
    size = amount(region.size / 1000, "mL") if is_volume else amount(region.size, "mm2")
    return f"{count(region.n_px)} px ({size})"


def _all(n: int) -> str:
    return "" if n == 1 else f"all {n} regions "


def alt_text(item: GalleryItem) -> str:
    """What the picture of an item shows, for those who cannot see it."""
    maps = {"the target": item.truth, "the prediction": item.probability}
    outlined = [name for name, mask in maps.items() if mask is not None]
    return (
        f"Case {plain(item.case_id)}, {item.kind}: image with outlines of {' and '.join(outlined)}."
    )
