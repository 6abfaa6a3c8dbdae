"""ComfyUI's own frontend in a headless Chromium, for the browser tests and for the pictures of the documentation."""

from __future__ import annotations

import contextlib
import json
import shutil
import urllib.request
from collections.abc import Callable, Iterator, Mapping
from typing import TYPE_CHECKING, Any

from . import HostError

if TYPE_CHECKING:
    from playwright.sync_api import Browser, Page

FLAGS = [
    "--no-sandbox",
    "--disable-gpu",
    "--disable-quic",
    "--no-first-run",
    "--disable-background-networking",
    "--disable-component-update",
    "--disable-sync",
    "--force-color-profile=srgb",
]
WINDOW = {"width": 1920, "height": 1080}
#: The classic canvas, quiet: no tutorial, no map, no counters, nothing greyed out when it is zoomed.
SETTINGS: dict[str, object] = {
    "Comfy.TutorialCompleted": True,
    "Comfy.VueNodes.Enabled": False,
    "Comfy.Minimap.Visible": False,
    "Comfy.Graph.CanvasInfo": False,
    "Comfy.Workflow.ShowMissingNodesWarning": True,
    "LiteGraph.Canvas.MinFontSizeForLOD": 0,
    "LiteGraph.Canvas.LowQualityRenderingZoomThreshold": 0,
}
#: Nothing fades, slides or spins: the processor draws every frame of it, and a click waits for the end.
_STILL = """document.addEventListener("DOMContentLoaded", () => {
    const style = document.createElement("style");
    const off = ["transition", "animation", "backdrop-filter"].map((name) => `${name}: none !important;`).join("");
    style.textContent = `*, *::before, *::after { ${off} }`;
    document.head.append(style);
});"""
_PROGRAMS = ("chromium", "chromium-browser", "google-chrome")

_LISTEN = """() => {
    window.emoeRun = new Promise((resolve) => {
        const done = (answer) => { clearTimeout(timer); resolve(answer); };
        const timer = setTimeout(() => done("timeout"), 180000);
        const { api } = window.app;
        api.addEventListener("execution_success", () => done("success"), { once: true });
        api.addEventListener("execution_error", (e) => done(e.detail.exception_message.trim()), { once: true });
    });
}"""


def chromium() -> str:
    """The browser's program; a `HostError` that says what to install when there is none."""
    for name in _PROGRAMS:
        if path := shutil.which(name):
            return path
    raise HostError(
        "no Chromium was found on PATH, and the browser tests need one: install it (Debian and Ubuntu: apt-get install "
        "chromium), or leave them out with `bash scripts/test.sh lint core host server`."
    )


def change_settings(url: str, settings: Mapping[str, object]) -> None:
    """Changes the user's settings on the server at `url`; they take effect when a page is loaded next."""
    direct = urllib.request.build_opener(urllib.request.ProxyHandler({}))
    for key, value in settings.items():
        body, kind = json.dumps(value).encode(), {"Content-Type": "application/json"}
        direct.open(urllib.request.Request(f"{url}/api/settings/{key}", body, kind), timeout=30).read()


@contextlib.contextmanager
def open_browser() -> Iterator[Browser]:
    program = chromium()
    from playwright.sync_api import sync_playwright

    with sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path=program, args=FLAGS)
        try:
            yield browser
        finally:
            browser.close()


def go(page: Page, url: str) -> None:
    """Loads the frontend and waits until it is ready to use."""
    page.goto(url)
    wait_until_ready(page)


def wait_until_ready(page: Page) -> None:
    """Returns when the page has its graph and its first workflow."""
    _wait_for_workflow(page)
    page.wait_for_timeout(1000)  # the workflow's nodes appear a moment after the workflow


def _wait_for_workflow(page: Page) -> None:
    page.wait_for_function(
        """() => {
            const state = window.app?.extensionManager?.workflow?.activeWorkflow?.activeState;
            return state && state.nodes.length === app.graph?.nodes.length;
        }""",
        timeout=60000,
    )


def reload(page: Page) -> None:
    """Loads the page anew, and returns when it hears the server and the workflow that was open is back with all its nodes."""
    nodes = "JSON.stringify(app.graph.nodes.map((n) => [Number(n.id), n.type]).sort((a, b) => a[0] - b[0]))"
    before = page.evaluate(f"() => {nodes}")
    page.reload()
    page.wait_for_function(
        f"(before) => window.app?.api?.clientId && app.graph?.nodes && {nodes} === before", arg=before
    )
    _wait_for_workflow(page)


@contextlib.contextmanager
def open_page(
    browser: Browser, url: str, prepare: Callable[[Page], object] = lambda page: None, **context_options: Any
) -> Iterator[Page]:
    """The frontend of the server at `url` in a new window, ready to use; `prepare` gets the page before it is loaded."""
    context = browser.new_context(**{"viewport": WINDOW, **context_options})
    try:
        context.set_default_timeout(60000)
        context.add_init_script("localStorage.setItem('vueNodesBannerDismissed', 'true')")
        context.add_init_script(_STILL)
        page = context.new_page()
        prepare(page)
        go(page, url)
        yield page
    finally:
        context.close()


def open_template(page: Page, name: str, pack: str = "emoe") -> None:
    """Opens a pack's template from the Templates panel, as a person would."""
    page.click("button.templates-tab-button")
    dialog = page.get_by_role("dialog")
    dialog.get_by_text(pack, exact=True).first.click()
    page.get_by_test_id(f"template-workflow-{name}").click()
    dialog.wait_for(state="hidden")
    page.wait_for_function(
        "(name) => app.extensionManager.workflow.activeWorkflow?.filename?.startsWith(name)", arg=name
    )
    page.wait_for_timeout(500)


def start_run(page: Page) -> None:
    """Presses Run."""
    page.evaluate(_LISTEN)
    page.get_by_test_id("queue-button").click()


def end_of_run(page: Page) -> str:
    """Waits for the end of the latest run; 'success', or the error."""
    answer: str = page.evaluate("() => window.emoeRun")
    return answer


def press_run(page: Page) -> str:
    """Presses Run and waits for the end; 'success', or the error."""
    start_run(page)
    return end_of_run(page)


def toggle_app_mode(page: Page) -> None:
    """Switches between the graph and the app mode of newer frontends."""
    page.evaluate("() => app.extensionManager.command.execute('Comfy.ToggleLinear')")
    page.wait_for_timeout(1000)


def open_app_mode(page: Page) -> None:
    """Opens the current workflow in app mode, without the tour."""
    toggle_app_mode(page)
    page.get_by_test_id("linear-widgets").wait_for()
    page.keyboard.press("Escape")
    page.wait_for_timeout(500)


def run_app(page: Page, prompt: str) -> str:
    """Writes the prompt and runs, like a person who sees no graph; 'success', or the error."""
    page.get_by_test_id("linear-widgets").locator("textarea").first.fill(prompt)
    page.evaluate(_LISTEN)
    page.get_by_test_id("linear-run-button").locator("button").last.click()
    answer = end_of_run(page)
    page.wait_for_timeout(1000)
    return answer
