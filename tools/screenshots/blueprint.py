"""Makes `subgraphs/Generate only if certain.json` of the first template, in ComfyUI's own frontend.

python tools/screenshots/blueprint.py URL

URL is a running ComfyUI with the pack in it. The frontend lists the file under Subgraph Blueprints.
"""

from __future__ import annotations

import json
import sys
from pathlib import Path

ROOT = Path(__file__).resolve().parents[2]
sys.path.insert(0, str(ROOT / "scripts"))

from emoe_host.browser import SETTINGS, change_settings, open_browser, open_page, open_template  # noqa: E402

NAME = "Generate only if certain"
DESCRIPTION = (
    "Scores the prompt with the experts and hands the image on only if they know it: what makes the image runs only then. "
    "Connect the image to on_pass, and what to take instead, if anything, to on_block."
)
_MAKE = """async ([name, description]) => {
    const graph = app.graph;
    const by = (type) => graph.nodes.find((node) => node.type === type);
    const inside = ["EMoE_EncodeForExperts", "EMoE_Score", "EMoE_Gate", "EMoE_Route"].map(by);
    for (const node of graph.nodes.filter((n) => n.type.startsWith("Preview"))) graph.remove(node);
    const { subgraph, node } = graph.convertToSubgraph(new Set(inside));
    const own = (type) => subgraph.nodes.find((other) => other.type === type);
    const gate = own("EMoE_Gate"), route = own("EMoE_Route");
    const lead = (title, target, input) => {
        const slot = target.inputs.find((one) => one.name === input);
        subgraph.addInput(title, String(slot.type)).connect(slot, target);
    };
    lead("on_block", route, "on_block");
    lead("alpha", gate, "alpha");
    for (const [title, place] of [["passed", 0], ["verdict", 1]]) {
        const slot = gate.outputs[place];
        subgraph.addOutput(title, String(slot.type)).connect(slot, gate);
    }
    subgraph.name = node.title = name;
    for (const inner of [...subgraph.nodes, node])
        for (const slot of inner.outputs ?? []) if (!slot.links?.length) slot.links = null;
    const { nodes, subgraphs } = app.canvas._serializeItems([node]);
    nodes[0].pos = [0, 0];
    for (const slot of nodes[0].inputs ?? []) slot.link = null;
    for (const slot of nodes[0].outputs ?? []) slot.links = null;
    return JSON.stringify({
        revision: 0, last_node_id: node.id, last_link_id: 0, nodes, links: [], version: 0.4,
        definitions: { subgraphs }, extra: { BlueprintDescription: description },
    });
}"""


def main() -> int:
    url = sys.argv[1]
    change_settings(url, SETTINGS)
    with open_browser() as browser, open_page(browser, url) as page:
        open_template(page, "gate_before_generation")
        made = json.loads(page.evaluate(_MAKE, [NAME, DESCRIPTION]))
    target = ROOT / "subgraphs" / f"{NAME}.json"
    target.parent.mkdir(exist_ok=True)
    target.write_text(json.dumps(made, ensure_ascii=False, indent=1) + "\n", encoding="utf-8")
    inner = made["definitions"]["subgraphs"][0]
    print([slot["name"] for slot in inner["inputs"]], [slot["name"] for slot in inner["outputs"]])
    return 0


if __name__ == "__main__":
    sys.exit(main())
