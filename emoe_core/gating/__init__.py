"""From a score to a decision: calibrations that hold, policies with a known error rate, and whether a gate pays."""
