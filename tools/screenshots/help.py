"""Takes the example picture of every help page, `web/docs/EMoE_*.jpg`, in ComfyUI's own frontend.

    python tools/screenshots/help.py --url URL [--only EMoE_X]

URL is a running ComfyUI with the pack in it. The graphs are only drawn, not run. Each is written below as its nodes
(`name=class`) and its links (`from.output>to.input`); the links determine the columns.
"""

from __future__ import annotations

import argparse
import io
import sys
from pathlib import Path
from typing import Any

ROOT = Path(__file__).resolve().parents[2]
sys.path.insert(0, str(ROOT / "scripts"))

from emoe_host.browser import SETTINGS, change_settings, open_browser, open_page  # noqa: E402
from keeping import save_photo  # noqa: E402
from PIL import Image  # noqa: E402

WIDTH = 1000  # pixels of the widest picture
_DEMO = "d=EMoE_DemoExperts t=EMoE_EncodeForExperts l=EmptyLatentImage s=EMoE_Score"
_SCORED = "d.experts>t.experts t.conditioning>s.positive d.experts>s.experts l.LATENT>s.latent_image"
_GATED = f"{_DEMO} g=EMoE_Gate"
_GATE_LINKS = f"{_SCORED} s.report>g.report"
_KNOWN = "d=EMoE_DemoExperts l=EmptyLatentImage"
GRAPHS = {
    "EMoE_DemoExperts": (_GATED, _GATE_LINKS),
    "EMoE_AddExpert": (
        "a=CheckpointLoaderSimple b=CheckpointLoaderSimple x=EMoE_AddExpert y=EMoE_AddExpert t=EMoE_EncodeForExperts",
        "a.MODEL>x.model a.CLIP>x.clip b.MODEL>y.model b.CLIP>y.clip x.experts>y.experts y.experts>t.experts",
    ),
    "EMoE_LoadExperts": (
        "d=EMoE_LoadExperts t=EMoE_EncodeForExperts l=EmptyLatentImage s=EMoE_Score",
        _SCORED,
    ),
    "EMoE_ExpertsFromLoras": (
        "c=CheckpointLoaderSimple x=EMoE_ExpertsFromLoras y=EMoE_AddExpert t=EMoE_EncodeForExperts",
        "c.MODEL>x.model c.CLIP>x.clip x.experts>y.experts c.MODEL>y.model c.CLIP>y.clip y.experts>t.experts",
    ),
    "EMoE_BuildMixture": (
        "d=EMoE_DemoExperts m=EMoE_BuildMixture t=EMoE_EncodeForExperts l=EmptyLatentImage s=EMoE_Score k=KSampler",
        "d.experts>m.experts m.experts>t.experts m.experts>s.experts t.conditioning>s.positive l.LATENT>s.latent_image "
        "m.model>k.model t.conditioning>k.positive",
    ),
    "EMoE_LoadSegMoE": (
        "d=EMoE_LoadSegMoE t=EMoE_EncodeForExperts l=EmptyLatentImage s=EMoE_Score",
        _SCORED,
    ),
    "EMoE_EncodeForExperts": (_DEMO, _SCORED),
    "EMoE_Score": (f"{_GATED} p=PreviewImage", f"{_GATE_LINKS} s.disagreement_map>p.images"),
    "EMoE_DisagreementMap": (
        f"{_DEMO} x=EMoE_DisagreementMap",
        f"{_SCORED} s.report>x.report d.VAE>x.vae",
    ),
    "EMoE_ExpertDiagnostics": (
        "d=EMoE_DemoExperts x=EMoE_ExpertDiagnostics p=PreviewAny",
        "d.experts>x.experts x.0>p.source",
    ),
    "EMoE_WordAttribution": (
        f"{_KNOWN} w=EMoE_WordAttribution p=PreviewAny i=PreviewImage",
        "d.experts>w.experts l.LATENT>w.latent_image w.words>p.source w.picture>i.images",
    ),
    "EMoE_KnownOrUnknown": (
        f"{_KNOWN} x=EMoE_KnownOrUnknown p=PreviewAny i=PreviewImage",
        "d.experts>x.experts l.LATENT>x.latent_image x.STRING>p.source x.IMAGE>i.images",
    ),
    "EMoE_ChooseExperts": (
        "d=EMoE_LoadExperts l=EmptyLatentImage x=EMoE_ChooseExperts p=PreviewAny i=PreviewImage s=EMoE_SaveCalibration",
        "d.experts>x.experts l.LATENT>x.latent_image x.STRING>p.source x.IMAGE>i.images x.settings>s.calibration",
    ),
    "EMoE_ScoreList": (
        "n=EMoE_PromptList d=EMoE_DemoExperts t=EMoE_EncodeForExperts l=EmptyLatentImage s=EMoE_ScoreList g=EMoE_Gate",
        f"n.0>t.text {_GATE_LINKS}",
    ),
    "EMoE_KeepForTrial": (
        f"{_DEMO} k=KSampler v=VAEDecode x=EMoE_KeepForTrial",
        f"{_SCORED} d.MODEL>k.model t.conditioning>k.positive l.LATENT>k.latent_image k.LATENT>v.samples d.VAE>v.vae "
        "v.IMAGE>x.images s.report>x.report",
    ),
    "EMoE_Gate": (
        f"{_GATED} c=EMoE_LoadCalibration r=EMoE_Route",
        f"{_GATE_LINKS} c.calibration>g.calibration g.passed>r.passed",
    ),
    "EMoE_Calibrate": (
        f"{_KNOWN} c=EMoE_Calibrate v=EMoE_SaveCalibration",
        "d.experts>c.experts l.LATENT>c.latent_image c.calibration>v.calibration",
    ),
    "EMoE_SaveCalibration": (
        f"{_KNOWN} c=EMoE_Calibrate v=EMoE_SaveCalibration",
        "d.experts>c.experts l.LATENT>c.latent_image c.calibration>v.calibration",
    ),
    "EMoE_LoadCalibration": (
        "c=EMoE_LoadCalibration s=EMoE_Score g=EMoE_Gate",
        "c.calibration>g.calibration s.report>g.report",
    ),
    "EMoE_CalibrationFromLedger": (
        "s=EMoE_Score c=EMoE_CalibrationFromLedger v=EMoE_SaveCalibration",
        "s.report>c.report c.calibration>v.calibration",
    ),
    "EMoE_JudgeTrial": (
        "v=CLIPVisionLoader c=CLIPLoader j=EMoE_JudgeTrial p=PreviewAny",
        "v.CLIP_VISION>j.clip_vision c.CLIP>j.clip j.0>p.source",
    ),
    "EMoE_DecisionReport": (
        "c=EMoE_LoadCalibration x=EMoE_DecisionReport i=PreviewImage p=PreviewAny",
        "c.calibration>x.calibration x.IMAGE>i.images x.STRING>p.source",
    ),
    "EMoE_Audit": (
        f"{_KNOWN} a=EMoE_Audit p=PreviewAny",
        "d.experts>a.experts l.LATENT>a.latent_image a.STRING>p.source",
    ),
    "EMoE_AuditReport": (
        f"{_KNOWN} a=EMoE_Audit r=EMoE_AuditReport i=PreviewImage j=PreviewImage p=PreviewAny",
        "d.experts>a.experts l.LATENT>a.latent_image a.audit>r.audit r.priorities>i.images r.distributions>j.images "
        "r.summary>p.source",
    ),
    "EMoE_Route": (
        "g=EMoE_Gate v=VAEDecode w=LoadImage r=EMoE_Route s=SaveImage",
        "g.passed>r.passed v.IMAGE>r.on_pass w.IMAGE>r.on_block r.chosen>s.images",
    ),
    "EMoE_Stop": (
        "g=EMoE_Gate v=VAEDecode r=EMoE_Stop s=SaveImage",
        "g.passed>r.passed v.IMAGE>r.value r.0>s.images",
    ),
    "EMoE_PromptList": (
        "p=EMoE_PromptList d=EMoE_DemoExperts t=EMoE_EncodeForExperts l=EmptyLatentImage s=EMoE_Score g=EMoE_Gate",
        f"p.0>t.text {_GATE_LINKS}",
    ),
    "EMoE_FilterList": (
        "p=EMoE_PromptList g=EMoE_Gate f=EMoE_FilterList n=PreviewAny",
        "g.passed>f.passed p.0>f.0 f.0>n.source",
    ),
}
_BUILD = """async ([nodes, links]) => {
    await app.loadGraphData({ last_node_id: 0, last_link_id: 0, nodes: [], links: [], version: 0.4 }, true, true, "help");
    const made = {}, wrong = [], demo = nodes.some(([, type]) => type === "EMoE_DemoExperts");
    const files = { EMoE_LoadCalibration: "my calibration", EMoE_LoadSegMoE: "my mixture", LoadImage: "placeholder.png" };
    for (const [name, type] of nodes) {
        const node = LiteGraph.createNode(type);
        if (!node) return [`no node ${type}`];
        app.graph.add(node);
        node.setSize([Math.max(node.size[0], type.includes("Loras") ? 300 : 200), node.size[1]]);
        for (const widget of node.widgets ?? []) { // a list of files that are not there, or the demo experts' size
            if ([undefined, "undefined"].includes(widget.value)) widget.value = files[type] ?? "model.safetensors";
            if (demo && ["width", "height"].includes(widget.name)) widget.value = 128;
        }
        made[name] = node;
    }
    const slot = (slots, wanted) => /^\\d+$/.test(wanted) ? Number(wanted)
        : slots.findIndex((s) => s.name === wanted || s.type === wanted || s.label === wanted);
    for (const [from, out, to, into] of links) {
        const output = slot(made[from].outputs, out);
        let input = slot(made[to].inputs, into);
        if (into === "0") input = made[to].inputs.findIndex((s) => s.name !== "passed" && s.link == null);
        if (output < 0 || input < 0 || !made[from].connect(output, made[to], input)) wrong.push(`${from}.${out}>${to}.${into}`);
    }
    window.emoeMade = made;
    return wrong;
}"""
_PLACE = """([nodes, links]) => {
    const made = window.emoeMade, depth = Object.fromEntries(nodes.map(([name]) => [name, 0]));
    for (const _ of nodes) for (const [from, , to] of links) depth[to] = Math.max(depth[to], depth[from] + 1);
    let x = 0;
    for (let column = 0; column < nodes.length; column++) {
        const inside = nodes.filter(([name]) => depth[name] === column).map(([name]) => made[name]);
        let y = 0;
        for (const node of inside) { node.pos = [x, y]; y += Math.max(node.size[1], node.computeSize()[1]) + 80; }
        if (inside.length) x += Math.max(...inside.map((n) => n.size[0])) + 70;
    }
}"""
_FIT = """() => {
    const boxes = app.graph.nodes.map((n) => [n.pos[0], n.pos[1] - 30, n.pos[0] + n.size[0], n.pos[1] + n.size[1]]);
    const left = Math.min(...boxes.map((b) => b[0])) - 20, top = Math.min(...boxes.map((b) => b[1])) - 34;
    const right = Math.max(...boxes.map((b) => b[2])) + 20, bottom = Math.max(...boxes.map((b) => b[3])) + 20;
    const { canvas } = app, view = canvas.canvas.getBoundingClientRect();
    const scale = Math.min(1, (view.width - 120) / (right - left), (view.height - 180) / (bottom - top));
    canvas.ds.scale = scale;
    canvas.ds.offset = [80 / scale - left, 100 / scale - top];
    canvas.deselectAllNodes();
    canvas.setDirty(true, true);
    return [view.left + 80, view.top + 100, (right - left) * scale, (bottom - top) * scale];
}"""


def take(page: Any, name: str) -> str:
    """Draws one graph and takes its picture; returns a line about the result."""
    nodes, links = GRAPHS[name]
    pairs = [node.split("=") for node in nodes.split()]
    ends = [[*left.split("."), *right.split(".")] for left, right in (link.split(">") for link in links.split())]
    if wrong := page.evaluate(_BUILD, [pairs, ends]):
        return f"{name}: {', '.join(wrong)} cannot be connected"
    page.wait_for_timeout(400)  # nodes grow with their content
    page.evaluate(_PLACE, [pairs, ends])
    page.wait_for_timeout(200)
    box = page.evaluate(_FIT)
    page.mouse.move(900, 1075)
    page.wait_for_timeout(500)
    shot = page.screenshot(clip=dict(zip(("x", "y", "width", "height"), box, strict=True)))
    photo = Image.open(io.BytesIO(shot)).convert("RGB")
    if photo.width > WIDTH:
        photo = photo.resize((WIDTH, round(photo.height * WIDTH / photo.width)), Image.Resampling.LANCZOS)
    target = ROOT / "web" / "docs" / f"{name}.jpg"
    save_photo(photo, target)
    return f"{target.name}: success, {photo.width}x{photo.height}, {target.stat().st_size / 1000:.0f} kB"


def main() -> int:
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("--url", required=True, help="a running ComfyUI with the pack")
    parser.add_argument("--only", action="append", choices=list(GRAPHS), help="only this page (may be repeated)")
    options = parser.parse_args()
    change_settings(options.url, SETTINGS)
    failed = False
    with open_browser() as chromium, open_page(chromium, options.url) as page:
        for name in options.only or GRAPHS:
            line = take(page, name)
            failed |= "success" not in line
            print(line, flush=True)
    return 1 if failed else 0


if __name__ == "__main__":
    sys.exit(main())
