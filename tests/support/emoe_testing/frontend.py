"""ComfyUI's frontend in a page, and what the browser tests ask of it."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

from emoe_host.server import Server
from playwright.sync_api import ConsoleMessage, Error, Locator, Page

ROOT = Path(__file__).resolve().parents[3]
#: The renderers, and the host's setting for each.
RENDERERS = {"classic": False, "nodes2": True}
NEWER = [f"newer-{renderer}" for renderer in RENDERERS]
#: Where every test runs: the host's own frontend, in the renderer that it starts with.
HOME = "classic"
#: Places for tests in whose outcome the renderer has a part. The newer frontend's canvas is HOME's; Nodes 2.0 is another in each.
DRAWN = [*RENDERERS, NEWER[1]]
ELSEWHERE = DRAWN[1:]
#: For tests in which the frontend has a part, and those in which frontend and renderer have a part of its own each.
FRONTENDS = [HOME, NEWER[0]]
EACH_ONCE = [HOME, NEWER[1]]


def template(name: str) -> dict[str, Any]:
    """A template whose samplers take two steps instead of twenty, and a mixture's gates as many. What they paint is looked at
    where each template is opened from the Templates panel, as it was saved; elsewhere the steps, and the progress that the
    page draws of each, are only time.
    """
    workflow = dict(json.loads((ROOT / "example_workflows" / f"{name}.json").read_text("utf-8")))
    for node in workflow["nodes"]:
        if (place := {"KSampler": 2, "EMoE_BuildMixture": 4}.get(node["type"])) is not None:
            assert node["widgets_values"][place] in (20, 25)
            node["widgets_values"][place] = 2
    return workflow


def complaints(page: Page) -> list[str]:
    """Collects, from now on, the errors that come from the pack's own files; the frontend has some of its own."""
    found: list[str] = []

    def note(message: ConsoleMessage) -> None:
        where = f"{message.location.get('url', '')} {message.text}"
        if message.type in ("error", "warning") and "/extensions/emoe/" in where:
            found.append(where)

    def note_error(error: Error) -> None:
        if "/extensions/emoe/" in str(error.stack):
            found.append(str(error.stack))

    page.on("console", note)
    page.on("pageerror", note_error)
    return found


CUT_OFF = """(root) => {
    const box = root.getBoundingClientRect(), found = [];
    const within = (part, name) => {
        const beside = part.left < box.left - 1 || part.right > box.right + 1;
        if (part.height && (beside || part.top < box.top - 1 || part.bottom > box.bottom + 1)) found.push(name);
    };
    const texts = document.createTreeWalker(root, NodeFilter.SHOW_TEXT);
    for (let text = texts.nextNode(); text; text = texts.nextNode()) {
        const parent = text.parentElement;
        if (!text.data.trim() || parent.closest(".emoe-prompt, caption") || !parent.checkVisibility()) continue;
        const range = document.createRange();
        range.selectNodeContents(text);
        for (const part of range.getClientRects()) within(part, text.data);
    }
    for (const part of root.querySelectorAll("svg, ol, .emoe-prompt"))
        if (part.checkVisibility()) within(part.getBoundingClientRect(), part.tagName);
    return found;
}"""


class Frontend:
    """A page with the frontend, and what the tests ask of it."""

    def __init__(self, page: Page, renderer: str, server: Server) -> None:
        self.page = page
        self.renderer = renderer
        self.server = server
        self.complaints = complaints(page)

    def open(self, workflow: str | dict[str, Any], name: str | None = None) -> None:
        """Opens a workflow in a new tab: a `template` by its name (the Templates panel takes seconds and has its own test),
        or any other. The tabs of earlier tests are closed.
        """
        if isinstance(workflow, str):
            name, workflow = name or workflow, template(workflow)
        self.close_others()
        self.page.evaluate("async ([w, name]) => { await app.loadGraphData(w, true, true, name); }", [workflow, name])
        ids = sorted(node["id"] for node in workflow["nodes"])
        self.page.wait_for_function(
            "(ids) => JSON.stringify(app.graph.nodes.map((n) => Number(n.id)).sort((a, b) => a - b)) === ids",
            arg=json.dumps(ids, separators=(",", ":")),
        )
        self.wait_for_own_id()
        # newer frontends remember where they looked at a workflow last, which another test may have changed
        if view := workflow.get("extra", {}).get("ds"):
            self.page.evaluate(
                """({ scale, offset }) => {
                    Object.assign(app.canvas.ds, { scale, offset: [...offset] });
                    app.canvas.setDirty(true, true);
                }""",
                view,
            )
        self.wait_until_still()

    def wait_for_own_id(self) -> str:
        """Returns the open workflow's id, when no other tab has it."""
        self.page.wait_for_function(
            """() => {
                const { activeWorkflow, openWorkflows } = app.extensionManager.workflow;
                const ids = openWorkflows.map((one) => one.activeState?.id).filter(Boolean);
                return new Set(ids).size === ids.length && activeWorkflow.activeState.id === (app.rootGraph ?? app.graph).id;
            }"""
        )
        return str(self.page.evaluate("() => (app.rootGraph ?? app.graph).id"))

    def wait_until_still(self) -> None:
        """Returns when no node or widget has moved for ten frames: the canvas is drawn in the frames after a change."""
        self.page.evaluate(
            """async () => {
                const places = () => JSON.stringify(
                    [...document.querySelectorAll("[class^='emoe-'], [data-node-id]")].map((e) => e.getBoundingClientRect()));
                const end = performance.now() + 20000;
                for (let last = "", same = 0; same < 10; ) {
                    await new Promise(requestAnimationFrame);
                    const now = places();
                    if (performance.now() > end) throw new Error(`still moving: ${last} ${now}`);
                    same = now === last ? same + 1 : 0;
                    last = now;
                }
            }"""
        )

    def close_others(self) -> None:
        """Closes every tab but the open one: each keeps its nodes and pictures."""
        self.page.evaluate(
            """async () => {
                const store = app.extensionManager.workflow;
                for (const old of [...store.openWorkflows])
                    if (old !== store.activeWorkflow) await store.closeWorkflow(old);
            }"""
        )

    def node(self, node_type: str, title: str | None = None) -> int:
        """The id of the one node of a type (and title)."""
        found: list[int] = self.page.evaluate(
            "([type, title]) => app.graph.nodes.filter((n) => n.type === type && (title === null || n.title === title))"
            ".map((n) => Number(n.id))",
            [node_type, title],
        )
        assert len(found) == 1, f"{len(found)} nodes of type {node_type}"
        return found[0]

    def ids(self, node_type: str) -> list[int]:
        """The ids of all nodes of a type."""
        return list(
            self.page.evaluate("(t) => app.graph.nodes.filter((n) => n.type === t).map((n) => Number(n.id))", node_type)
        )

    def card(self, node: int, kind: str = "emoe_card") -> Locator:
        """The pack's widget on a node of the open graph."""
        self.page.evaluate(
            """([id, kind]) => {
                const widget = app.canvas.graph.getNodeById(id).widgets.find((w) => w.name === kind);
                document.querySelectorAll(`[data-test-widget]`).forEach((e) => delete e.dataset.testWidget);
                if (widget) widget.element.dataset.testWidget = kind;
            }""",
            [node, kind],
        )
        return self.page.locator(f"[data-test-widget='{kind}']")

    def folds(self) -> bool:
        """Whether inputs stand folded here: the host says which are advanced, and Nodes 2.0 folds them. The canvas does not."""
        score = self.server.object_info()["EMoE_Score"]["input"]["required"]
        return self.renderer == "nodes2" and bool(score["steps"][1].get("advanced"))

    def shown(self, node: int, kind: str = "emoe_card") -> Locator:
        """The pack's widget as the page shows it on a node: with Nodes 2.0 found in the page, whatever the node holds."""
        if self.renderer == "classic":
            return self.card(node, kind)
        return self.page.locator(f"[data-node-id='{node}'] .{kind.replace('_', '-')}")

    def record(self) -> None:
        """A click anywhere makes the frontend look for changes; this is what it calls then."""
        self.page.evaluate("() => app.extensionManager.workflow.activeWorkflow.changeTracker.checkState()")

    def undo(self) -> None:
        """As Ctrl+Z does: the frontend makes all nodes anew, with the same ids."""
        self.again("Comfy.Undo")

    def redo(self) -> None:
        self.again("Comfy.Redo")

    def again(self, command: str) -> None:
        self.page.evaluate(
            """async (command) => {
                document.activeElement?.blur();
                for (let frame = 0; frame < 3; frame++) await new Promise(requestAnimationFrame); // keys are looked at in them
                app.graph.nodes[0].isOld = true;
                await app.extensionManager.command.execute(command);
            }""",
            command,
        )
        self.page.wait_for_function("() => app.graph.nodes.length && !app.graph.nodes.some((n) => n.isOld)")
        self.wait_until_still()

    def cut_off(self, card: Locator) -> list[str]:
        """What of a card is not whole: texts and drawings that reach beyond it. The prompt may be long and is shortened."""
        return list(card.evaluate(CUT_OFF))

    def at_sizes(self, card: Locator, sizes: list[tuple[int, int]]) -> list[tuple[list[str], list[str]]]:
        """At every width and height: what is cut off, and the classes of what the card shows."""
        return list(
            card.evaluate(
                f"""(root, sizes) => {{
                    const found = sizes.map(([width, height]) => {{
                        Object.assign(root.style, {{ flex: "none", width: `${{width}}px`, height: `${{height}}px` }});
                        const shown = [...root.children].filter((part) => part.checkVisibility());
                        return [({CUT_OFF})(root), shown.map((part) => part.className)];
                    }});
                    root.removeAttribute("style");
                    return found;
                }}""",
                sizes,
            )
        )

    def notice(self, text: str) -> Locator:
        """The last notice that says so; each frontend has its own kind."""
        return self.page.locator(".emoe-toast, [data-testid='toast']").filter(has_text=text).last

    def follow(self, notice: Locator) -> None:
        """Goes where a notice leads: by its button, in older frontends by a click on its text."""
        has_buttons = self.page.evaluate("() => Boolean(app.extensionManager.toast.warning)")
        way = (
            notice.get_by_role("button", name="See the Gate")
            if has_buttons
            else notice.get_by_text("Click to see the Gate")
        )
        way.click(force=True)

    def images(self, node: int, timeout: float = 60000) -> list[int]:
        """Widths of the pictures that a node shows, once they are loaded."""
        if self.renderer == "classic":  # drawn on the canvas, from image elements that the node holds
            held = "Array.from(app.graph.getNodeById(id).imgs ?? [])"
        else:
            held = "Array.from(document.querySelectorAll(`[data-node-id='${id}'] img`))"
        ready = (
            f"(id) => {{ const all = {held}; return all.length && all.every((i) => i.complete && i.naturalWidth); }}"
        )
        self.page.wait_for_function(ready, arg=node, timeout=timeout)
        return list(self.page.evaluate(f"(id) => {held}.map((i) => i.naturalWidth)", node))

    def drawn_on(self, node: int) -> int:
        """How many pictures the host draws on a node of the open graph."""
        if self.renderer == "nodes2":
            return self.page.locator(f"[data-node-id='{node}'] img").count()
        return int(
            self.page.evaluate(
                """(id) => {
                    const node = app.canvas.graph.getNodeById(id);
                    return (node.imgs?.length ?? 0) + node.widgets.filter((w) => w.name.startsWith("$$canvas")).length;
                }""",
                node,
            )
        )

    def text(self, node: int) -> str:
        """What a Preview Any node shows: read from the page, in newer frontends from the widget that they draw."""
        newer = "app.graph.getNodeById(id).widgets.find((w) => w.name === 'preview_text')"
        if self.page.evaluate(f"(id) => Boolean({newer})", node):
            return str(self.page.evaluate(f"(id) => {newer}.value", node)).strip()
        if self.renderer == "nodes2":
            return self.page.get_by_test_id(f"node-body-{node}").inner_text().removeprefix("source").strip()
        element = "app.graph.getNodeById(id).widgets.find((w) => w.name === 'preview').element"
        self.page.wait_for_function(f"(id) => {element}.isConnected", arg=node, timeout=60000)
        return str(self.page.evaluate(f"(id) => {element}.textContent", node)).strip()

    def write_prompt(self, text: str) -> None:
        """Types the prompt into its text area."""
        node = self.node("PrimitiveStringMultiline")
        if self.renderer == "nodes2":
            area = self.page.locator(f"[data-node-id='{node}'] textarea")
            area.fill(text)
        else:
            handle = self.page.evaluate_handle("(id) => app.graph.getNodeById(id).widgets[0].element", node)
            element = handle.as_element()
            assert element is not None
            element.fill(text)
        self.record()

    def set_widget(self, node_type: str, name: str, value: Any) -> None:
        self.page.evaluate(
            """([type, name, value]) => {
                const node = app.graph.nodes.find((n) => n.type === type);
                const widget = node.widgets.find((w) => w.name === name);
                widget.value = value;
                widget.callback?.(value);
            }""",
            [node_type, name, value],
        )
