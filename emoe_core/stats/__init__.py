"""Statistics that know nothing of prompts or models: numbers in, numbers out."""
