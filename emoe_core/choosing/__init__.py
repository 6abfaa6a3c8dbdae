"""Which experts to take and which settings, from inner products of their answers: every subset is scored without the models."""
