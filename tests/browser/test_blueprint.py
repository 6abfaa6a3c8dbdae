"""The subgraph blueprint: offered by the server, whole when it is opened, and it does what its name says."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
from emoe_host.browser import press_run
from emoe_host.server import Server
from emoe_testing.frontend import FRONTENDS

NAME = "Generate only if certain"
FILE = Path(__file__).resolve().parents[2] / "subgraphs" / f"{NAME}.json"
_CONNECT = """() => {
    const graph = app.graph;
    const gate = graph.nodes.find((node) => node.subgraph);
    const add = (type) => { const node = LiteGraph.createNode(type); graph.add(node); return node; };
    const value = (node, name, to) => { node.widgets.find((widget) => widget.name === name).value = to; };
    const into = (name) => gate.inputs.findIndex((slot) => slot.name === name);
    const out = (name) => gate.outputs.findIndex((slot) => slot.name === name);
    const experts = add("EMoE_DemoExperts"), latent = add("EmptyLatentImage"), prompt = add("PrimitiveStringMultiline");
    const negative = add("CLIPTextEncode"), sampler = add("KSampler"), decode = add("VAEDecode"), save = add("SaveImage");
    value(latent, "width", 128);
    value(latent, "height", 128);
    value(sampler, "steps", 4);
    value(prompt, "value", "sunflower");
    experts.connect(0, gate, into("experts"));
    prompt.connect(0, gate, into("text"));
    latent.connect(0, gate, into("latent_image"));
    experts.connect(1, sampler, 0);
    gate.connect(out("conditioning"), sampler, 1);
    experts.connect(2, negative, 0);
    negative.connect(0, sampler, 2);
    latent.connect(0, sampler, 3);
    sampler.connect(0, decode, 0);
    experts.connect(3, decode, 1);
    decode.connect(0, gate, into("on_pass"));
    gate.connect(out("chosen"), save, 0);
}"""


def test_the_server_offers_it(server: Server) -> None:
    offered = [entry for entry in server.get("/global_subgraphs").values() if entry["name"] == NAME]
    assert [entry["info"]["node_pack"] for entry in offered] == ["custom_nodes.emoe"]


def test_it_has_the_obvious_sockets() -> None:
    (inner,) = json.loads(FILE.read_text("utf-8"))["definitions"]["subgraphs"]
    assert [slot["name"] for slot in inner["inputs"]] == [
        "experts",
        "text",
        "latent_image",
        "on_pass",
        "on_block",
        "alpha",
    ]
    assert [slot["name"] for slot in inner["outputs"]] == ["conditioning", "chosen", "passed", "verdict"]


@pytest.mark.run_in(FRONTENDS, "what a subgraph becomes when it is sent is the frontend's")
@pytest.mark.parametrize(("prompt", "pictures"), [("sunflower", 1), ("xchtgg", 0)])
def test_it_generates_only_if_certain(frontend: Any, prompt: str, pictures: int) -> None:
    page = frontend.page
    workflow = json.loads(FILE.read_text("utf-8"))
    frontend.open(workflow, f"bp_{prompt}")
    assert not page.locator(".comfy-missing-nodes").count()
    page.evaluate(_CONNECT)
    frontend.write_prompt(prompt)
    server = frontend.server
    before = set(server.get("/history"))
    assert press_run(page) == "success"
    (new,) = set(server.get("/history")) - before
    outputs = server.get(f"/history/{new}")[new]["outputs"].values()
    kept = [image for output in outputs for image in output.get("images", []) if image["type"] == "output"]
    assert len(kept) == pictures
    assert frontend.complaints == []
