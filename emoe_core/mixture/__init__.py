"""The paper's own setting: one sparse mixture of experts (SegMoE) instead of several whole models.

It has layers that route (`sparse`), their names (`layers`), routers made from hidden states (`router`), statistics of the
routing (`routing`), and the expert set whose experts are the mixture's paths (`experts`). It needs torch only: a host puts
the layers into its network.
"""
