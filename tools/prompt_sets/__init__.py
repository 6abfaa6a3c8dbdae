"""How the built-in prompt sets are made from Unicode CLDR: see `__main__`."""
