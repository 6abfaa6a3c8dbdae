"""The paper's own setting: one sparse mixture of experts (SegMoE) instead of several whole models.

Layers that route and the statistics of it are in `sparse`, their names in `layers`, routers from hidden states in `router`, and
the expert set of the mixture's paths in `experts`. It needs torch only: a host puts the layers into a network.
"""
