"""Separability of known laws: KL divergence of what image labels and what masks tell apart.

A law is an array of masses, or of densities at the nodes of a quadrature, whose weights are then
the last argument; sums run over all axes. docs/science.md derives the formulas.
"""

from dataclasses import dataclass

import numpy as np
from numpy.typing import ArrayLike
from scipy.special import kl_div

N_SDS = 12.0
"""How far beyond the outermost mean a quadrature reaches, in standard deviations."""


def kl(p: ArrayLike, q: ArrayLike, weight: ArrayLike = 1.0) -> float:
    """KL(p || q) in nats; infinite where p has mass that q has not.

    Each term is p log(p/q) - p + q, which is never negative, so that small values keep their
    digits; for laws of total 1 the sum is the same.

    Args:
        p: Masses or densities.
        q: The same shape.
        weight: Of each node; 1 for masses.
    """
    return float(np.sum(kl_div(np.asarray(p, float), np.asarray(q, float)) * weight))


def chi2(p: ArrayLike, q: ArrayLike, weight: ArrayLike = 1.0) -> float:
    """Chi-square divergence: mean of (p/q - 1)^2 under q; infinite where only p has mass."""
    p, q = np.asarray(p, float), np.asarray(q, float)
    with np.errstate(divide="ignore", invalid="ignore"):
        terms = np.where((p == 0) & (q == 0), 0.0, (p - q) ** 2 / q)
    return float(np.sum(terms * weight))


def share_of_positives(alpha: float, prevalence: float) -> float:
    """lambda: the share of background pixels that lie in positive images.

    Args:
        alpha: Area fraction of the target in positive images.
        prevalence: Share of positive images.

    Raises:
        ValueError: There is no background, or a share is outside [0, 1].
    """
    if not (0 <= alpha <= 1 and 0 <= prevalence <= 1) or alpha * prevalence == 1:
        raise ValueError(f"alpha = {alpha}, prevalence = {prevalence}: need shares, not both 1")
    inside = prevalence * (1 - alpha)
    return inside / (inside + 1 - prevalence)


@dataclass(frozen=True)
class Scene:
    """The three laws of a pixel's feature."""

    target: np.ndarray
    """T: on the target."""
    positive: np.ndarray
    """B1: background of positive images."""
    negative: np.ndarray
    """B0: background of negative images."""
    weight: np.ndarray | float = 1.0
    """Of each node of a quadrature; 1 for masses."""

    def mixed(self, alpha: float) -> np.ndarray:
        """P1: a pixel of a positive image."""
        return alpha * self.target + (1 - alpha) * self.positive

    def others(self, alpha: float, prevalence: float) -> np.ndarray:
        """N: a background pixel of any image."""
        share = share_of_positives(alpha, prevalence)
        return share * self.positive + (1 - share) * self.negative

    def image_kl(self, alpha: float) -> float:
        """KL(P1 || P0): what image labels tell apart."""
        return kl(self.mixed(alpha), self.negative, self.weight)

    def image_bound(self, alpha: float) -> float:
        """The bound alpha KL(T || B0) + (1 - alpha) KL(B1 || B0), `image_gap` above `image_kl`."""
        return alpha * self.target_kl() + (1 - alpha) * self.background_kl()

    def image_gap(self, alpha: float) -> float:
        """I(R; X), what the feature says of the region of a pixel of a positive image.

        It is `image_bound` - `image_kl`: 0 only if target and background have the same law, and
        at most the entropy of `alpha`, which it is if they share no value.
        """
        p = self.mixed(alpha)
        inside, rest = (kl(law, p, self.weight) for law in (self.target, self.positive))
        return alpha * inside + (1 - alpha) * rest

    def image_part(self, alpha: float) -> float:
        """KL(alpha T + (1 - alpha) B0 || B0): `image_kl` if B1 were B0, the target's part."""
        p = alpha * self.target + (1 - alpha) * self.negative
        return kl(p, self.negative, self.weight)

    def image_small(self, alpha: float) -> float:
        """alpha^2 chi2(T || B0) / 2: the limit of `image_part` for a small target."""
        return alpha**2 * chi2(self.target, self.negative, self.weight) / 2

    def image_slope(self, alpha: float) -> float:
        """Local exponent of alpha in `image_kl`: 2 for a small target, 1 for one told apart."""
        p = self.mixed(alpha)
        with np.errstate(divide="ignore", invalid="ignore"):
            terms = np.where(p > 0, (self.target - self.positive) * np.log(p / self.negative), 0.0)
        return alpha * float(np.sum(terms * self.weight)) / self.image_kl(alpha)

    def pixel_kl(self, alpha: float, prevalence: float) -> float:
        """KL(T || N): what masks tell apart."""
        return kl(self.target, self.others(alpha, prevalence), self.weight)

    def target_kl(self) -> float:
        """KL(T || B0)."""
        return kl(self.target, self.negative, self.weight)

    def background_kl(self) -> float:
        """KL(B1 || B0): 0 without a shortcut."""
        return kl(self.positive, self.negative, self.weight)


@dataclass(frozen=True)
class Mixture:
    """A mixture of Gaussians on the line."""

    weights: tuple[float, ...]
    means: tuple[float, ...]
    sds: tuple[float, ...]

    def density(self, x: ArrayLike) -> np.ndarray:
        """Its density at `x`, which has one axis."""
        mean, sd, weight = (np.array(v, float) for v in (self.means, self.sds, self.weights))
        z = (np.asarray(x, float)[:, None] - mean) / sd
        return np.exp(-0.5 * z**2) @ (weight / (sd * np.sqrt(2 * np.pi)))


def gaussian(mean: float, sd: float) -> Mixture:
    """One Gaussian."""
    return Mixture((1.0,), (mean,), (sd,))


def blend(weights: ArrayLike, parts: tuple[Mixture, ...]) -> Mixture:
    """The mixture of `parts` with these weights."""
    shares = np.asarray(weights, float)
    return Mixture(
        tuple(float(s * w) for s, part in zip(shares, parts, strict=True) for w in part.weights),
        tuple(mean for part in parts for mean in part.means),
        tuple(sd for part in parts for sd in part.sds),
    )


def quadrature(parts: tuple[Mixture, ...], per_sd: int = 2) -> tuple[np.ndarray, np.ndarray]:
    """Nodes and weights (Gauss-Legendre in pieces) that integrate what is made of these laws.

    Args:
        parts: Their means are reached with `N_SDS` of the widest to spare.
        per_sd: Pieces of 8 nodes per standard deviation of the narrowest.
    """
    means = [mean for part in parts for mean in part.means]
    sds = [sd for part in parts for sd in part.sds]
    lowest, highest = min(means) - N_SDS * max(sds), max(means) + N_SDS * max(sds)
    edges = np.linspace(lowest, highest, int(per_sd * (highest - lowest) / min(sds)) + 2)
    node, weight = np.polynomial.legendre.leggauss(8)
    half = np.diff(edges)[:, None] / 2
    nodes = edges[:-1, None] + half * (node + 1)
    return nodes.ravel(), (half * weight).ravel()


def scene_of(target: Mixture, positive: Mixture, negative: Mixture) -> Scene:
    """The scene of three mixtures of Gaussians, on a quadrature that suits them."""
    nodes, weights = quadrature((target, positive, negative))
    return Scene(*(law.density(nodes) for law in (target, positive, negative)), weight=weights)


def in_context(
    target: Mixture, background: Mixture, shares: tuple[float, float, float] = (0.5, 0.5, 0.5)
) -> Scene:
    """The scene of a pixel together with a bit of its whole image, such as 'it shows a tube'.

    Args:
        target: The pixel on the target; in its image the bit says nothing more about it.
        background: The pixel on the background, of all images.
        shares: P(bit = 1) where the pixel is on the target, in the background of positive and of
            negative images.
    """
    nodes, weights = quadrature((target, background))
    t, b = target.density(nodes), background.density(nodes)
    laws = (
        np.stack([pixel * (1 - share), pixel * share])
        for pixel, share in zip((t, b, b), shares, strict=True)
    )
    return Scene(*laws, weight=weights)
