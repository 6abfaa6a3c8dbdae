"""Which models are compared, and how each is known: their weights, and what a user put into them."""
