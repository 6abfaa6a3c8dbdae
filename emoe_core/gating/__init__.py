"""From a score to a decision: calibrations that hold, policies with a known error rate, reference prompts, and whether it pays."""
