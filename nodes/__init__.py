"""The nodes that ComfyUI sees. Each file is one job: schema, tooltips and one call into `emoe_core`."""

from comfy_api.latest import ComfyExtension, io

from . import (
    audit,
    audit_report,
    calibrate,
    decisions,
    diagnostics,
    disagreement_map,
    encode,
    experts,
    filter,
    gate,
    ledger,
    mixture,
    route,
    score,
    words,
)

NODES: list[type[io.ComfyNode]] = [
    *experts.NODES,
    *mixture.NODES,
    *encode.NODES,
    *score.NODES,
    *disagreement_map.NODES,
    *diagnostics.NODES,
    *gate.NODES,
    *route.NODES,
    *filter.NODES,
    *calibrate.NODES,
    *decisions.NODES,
    *audit.NODES,
    *audit_report.NODES,
    *ledger.NODES,
    *words.NODES,
]


class EMoEExtension(ComfyExtension):
    """Registers the pack's nodes and nothing else."""

    async def get_node_list(self) -> list[type[io.ComfyNode]]:
        return NODES
