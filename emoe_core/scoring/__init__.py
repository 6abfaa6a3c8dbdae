"""From the experts' latents to a score, and to all that is told beside it."""
