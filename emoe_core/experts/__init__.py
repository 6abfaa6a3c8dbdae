"""Which models are compared, and how each one is identified: by its weights and by what a user patched into it."""
