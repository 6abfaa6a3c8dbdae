"""Statistics of an audit: how groups differ, how sure that is, and whether length or wording explains it.

Only ranks are used, so nothing is assumed about the shape of the scores. Tests are scipy's. What scipy lacks
(Hodges-Lehmann intervals for any size, Newcombe's interval, Holm) is checked against statsmodels and by brute force.
"""

from ...stats.compare import Comparison, between, holm, paired
from .adjust import adjusted_delta
from .describe import describe, edges, exact_share, rank_correlation

__all__ = [
    "Comparison",
    "adjusted_delta",
    "between",
    "describe",
    "edges",
    "exact_share",
    "holm",
    "paired",
    "rank_correlation",
]
