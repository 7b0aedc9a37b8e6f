"""How sure a count of successes makes us: Wilson's interval."""

import math

Z = 1.959964  # a normal variable lies within plus or minus Z with probability 95 %


def wilson(k: int, n: int) -> tuple[float, float]:
    """The 95 % confidence interval (low, high) of the true rate after k successes in n trials.

    Wilson's interval (1927) stays within 0..1 and remains honest at k = 0 and k = n, where the usual
    "plus or minus two standard errors" would claim certainty.
    """
    if not 0 <= k <= n or n < 1:
        raise ValueError(f"wilson needs 0 <= k <= n and n of at least 1, got k={k} and n={n}")
    centre = (k + Z * Z / 2) / (n + Z * Z)
    half = Z * math.sqrt(k * (n - k) / n + Z * Z / 4) / (n + Z * Z)
    return max(0.0, centre - half), min(1.0, centre + half)
