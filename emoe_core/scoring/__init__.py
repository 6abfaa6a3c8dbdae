"""From the experts' latents to a score, and to everything that is reported beside it."""
