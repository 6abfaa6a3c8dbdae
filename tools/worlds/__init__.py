"""Small worlds: sets of experts with known training data, to test what a score means in more than one case.

Three worlds differ in one thing each, and every split draws the languages' shares and the concepts again. The nets are
smaller than the demo's (8x8 latents, two levels), so that a world trains in about an hour on two cores. Experts of other
styles, LoRAs and a distilled expert (``--part 3``) come on top of that. Further worlds, for a question of their own, are trained
when asked for.
"""
