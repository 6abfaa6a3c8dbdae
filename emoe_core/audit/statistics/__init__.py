"""Statistics of an audit: how groups differ, how sure that is, and whether length or wording explains it.

Ranks only, so no shape of the scores is assumed. Tests are scipy's; what scipy does not have (Hodges-Lehmann intervals
for any size, Newcombe's interval, Holm) is here and is checked against statsmodels and by brute force in the tests.
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
