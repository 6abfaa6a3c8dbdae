"""The paper's own setting: one sparse mixture of experts (SegMoE) instead of several whole models.

Layers that route (`sparse`), their names (`layers`), routers made from hidden states (`router`), what the routing did
(`routing`), and the expert set whose experts are the mixture's paths (`experts`). torch only: a host puts the layers into
its network.
"""
