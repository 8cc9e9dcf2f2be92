"""What the names of compared methods mean, for readers who did not choose them."""

from collections.abc import Mapping, Sequence
from typing import Any

BY_MASKS = {
    "tau": "area of the predicted mask above a fitted probability decides; mean probability ranks",
    "mean": "mean probability of all pixels",
    "max": "probability of the most probable pixel",
    "topk": "mean of the most probable pixels",
    "mean_logit": "mean of all pixels on the scale of log odds",
    "max_logit": "the most probable pixel on the scale of log odds",
    "topk_logit": "the most probable pixels on the scale of log odds",
    "noisy_or": "probability that any pixel is positive, as if pixels were independent",
    "lse": "smooth maximum of the pixels' log odds",
    "largest_component": "size of the largest connected part of the predicted mask",
    "share": "share of this finding in all that the masks show",
    "fc": "one weight per cell of a coarse probability map",
    "pool_fc": "one weight per mean and maximum of 4 x 4 (x 4) cells of the probability map",
    "squeezenet": "a small image network that reads the probability map",
    "resnet50": "a large image network that reads the probability map",
    "shallow_simple": "means of the segmenter's last features, one weight each",
    "shallow_complex": "the segmenter's last features, read by a small network",
    "deep_simple": "means of the features at the end of the encoder, one weight each",
    "deep_complex": "the features at the end of the encoder, read by a small network",
    "logistic": "logistic regression on numbers that describe the mask",
    "boosting": "decision trees on numbers that describe the mask",
}
"""Ways from a predicted mask to a score."""
HEADS = {
    "softmax": "ordinary classifier: one class per image",
    "sigmoid": "ordinary classifier: each finding by itself",
    "multihead": "ordinary classifier of several class columns at once",
    "metric": "classifier by similarity to training images",
    "joint": "classifier that learns masks and labels together",
}
ENDS = {
    "@time": "trained as long as the segmenter",
    "-init": "starts from the segmenter's encoder",
    "-val": "fitted on labels of validation cases",
    "-oof": "fitted on masks of segmenters that had not seen the case",
}
"""Ends of names that change how a method is trained."""


def name_rows(entries: Sequence[Mapping[str, Any]]) -> list[dict[str, str]]:
    """Each method and what it is, in the order of the comparison."""
    rows = []
    for entry in entries:
        base, ends = entry["name"], []
        for end, words in ENDS.items():
            if base.endswith(end):
                base = base.removesuffix(end)
                ends.append(words)
        known = HEADS if entry["family"] == "head" else BY_MASKS
        what = "; ".join([known.get(base, "a plug-in"), *ends])
        rows.append({"method": entry["name"], "what it is": what})
    return rows
