r"""How often a superposition of N random pairs is read right: the law, and how many pairs it lets in.

A read of D numbers is the value asked for, of size 1 a channel, and N − 1 others that the wrong keys turned at
random. Against the K values it may be, its product with the right one is normal about D with variance
(N − 1)D, with every other normal about 0 with variance ND: right where the first is the largest of K,

    P(D, N, K) = ∫ φ(x − √(D/N)) Φ(x)^{K−1} dx,

with one variance, ND, for both. Of few pairs that is too much noise for the right answer, by one part in N, and
the law a little low; a slot with a pair of its own, which is always read right, is where it shows.

Needs no torch.
Sources: Plate, Distributed representations (1994), appendix; Frady, Kleyko and Sommer (arXiv 1803.00412).
"""

import math

import numpy as np
from scipy.special import log_ndtr

from hmlcore.checks import check_int, check_number, check_positive

_REACH = np.linspace(-9.0, 9.0, 2001)


def accuracy(channels: float, pairs: float, values: int) -> float:
    """P(D, N, K): the share of right answers among K values.

    Args: channels, D real numbers of one superposition; pairs, N in it; values, K.
    Raises: HmlcoreError for numbers that are not above 0.
    """
    channels, pairs = check_positive("channels", channels), check_positive("pairs", pairs)
    values = check_int("values", values)
    signal = math.sqrt(channels / pairs)
    # x = signal + z, z the noise of the right answer.
    density = np.exp(-0.5 * _REACH**2) / math.sqrt(2 * math.pi)
    return float(np.trapezoid(density * np.exp((values - 1) * log_ndtr(_REACH + signal)), _REACH))


def capacity(channels: float, values: int, at_least: float = 0.9) -> float:
    """The most pairs N for which :func:`accuracy` is `at_least`.

    Raises: HmlcoreError for an accuracy that is not between chance, 1/K, and 1.
    """
    at_least = check_number("at_least", at_least, 1 / check_int("values", values, 2), 1 - 1e-9)
    few, many = 1e-3, float(channels) * 1e3
    for _ in range(80):
        middle = math.sqrt(few * many)
        few, many = (middle, many) if accuracy(channels, middle, values) >= at_least else (few, middle)
    return few


def routed(channels: float, pairs: int, values: int, slots: int) -> float:
    """The same where each pair lies in one of `slots` of D channels by a hash of its key, which alone is read.

    A pair shares its slot with 1 + Binomial(N − 1, 1/S) pairs, itself among them.
    """
    slots, pairs = check_int("slots", slots), check_int("pairs", pairs)
    if slots == 1:
        return accuracy(channels, pairs, values)
    others = np.arange(pairs)
    log_choose = np.array([math.lgamma(pairs) - math.lgamma(n + 1) - math.lgamma(pairs - n) for n in others])
    weight = np.exp(log_choose - others * math.log(slots) + (pairs - 1 - others) * math.log1p(-1 / slots))
    likely = weight > 1e-6
    found = [accuracy(channels, 1 + n, values) for n in others[likely]]
    return float(np.dot(weight[likely], found) / weight[likely].sum())
