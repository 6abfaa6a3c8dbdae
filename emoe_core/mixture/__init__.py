"""The paper's own setting: one sparse mixture of experts (SegMoE) instead of several whole models.

Layers that route are in `sparse`, their names in `layers`, routers from hidden states in `router`, the routing's statistics in
`routing`, and the expert set of the mixture's paths in `experts`. It needs torch only: a host puts the layers into a network.
"""
