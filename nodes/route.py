"""Route and Stop: what happens after the gate's decision. A branch that is not needed is never computed."""

from typing import Any

from comfy_api.latest import io
from comfy_execution.graph_utils import ExecutionBlocker

from ..emoe_core.errors import PromptBlocked
from .api import named
from .shown import for_page, text_ui

_OPEN = object()  # an unconnected input; None is one that is connected and not computed yet


class Route(io.ComfyNode):
    """A lazy switch: the branch not taken, its loaders included, is never touched."""

    @classmethod
    def define_schema(cls) -> io.Schema:
        return io.Schema(
            **named("EMoE_Route", "Reroute by Gate", "route", "switch", "if else", "fallback", "lazy switch"),
            description=(
                "Goes one way when Confidence Gate passed the prompt and another when it blocked it. Only the chosen branch is "
                "computed; nodes and loaders of the other one do not run. With on_block left open, a blocked prompt ends "
                "here silently and nothing after this node runs."
            ),
            inputs=[
                io.Boolean.Input("passed", force_input=True, tooltip="The decision, from Confidence Gate."),
                io.AnyType.Input(
                    "on_pass",
                    lazy=True,
                    tooltip="Goes on when the prompt passed: an IMAGE right before Save Image, or MODEL, CONDITIONING, LATENT.",
                ),
                io.AnyType.Input(
                    "on_block",
                    optional=True,
                    lazy=True,
                    tooltip="Goes on when it was blocked, e.g. the image of a fallback model. Open: nothing does.",
                ),
            ],
            hidden=[io.Hidden.extra_pnginfo],
            outputs=[io.AnyType.Output(display_name="chosen", tooltip="The chosen input, of whatever type.")],
        )

    @classmethod
    def check_lazy_status(cls, passed: bool, on_pass: Any = _OPEN, on_block: Any = _OPEN) -> list[str]:
        name, value = ("on_pass", on_pass) if passed else ("on_block", on_block)
        return [name] if value is None else []

    @classmethod
    def execute(cls, passed: bool, on_pass: Any = _OPEN, on_block: Any = _OPEN) -> io.NodeOutput:
        value = on_pass if passed else on_block
        return _ended(cls, "Reroute by Gate") if value is _OPEN else io.NodeOutput(value)


class Stop(io.ComfyNode):
    """Lets a value through, or ends the branch here."""

    @classmethod
    def define_schema(cls) -> io.Schema:
        return io.Schema(
            **named("EMoE_Stop", "Stop or Skip by Gate", "block", "cancel", "abort", "interrupt", "end branch"),
            description=(
                "Stops a branch when Confidence Gate blocked the prompt: nothing before this node in the branch is computed and "
                "nothing after it runs. silent ends the run as a success without output; error ends it with one clear "
                "line, for batch tools that should notice."
            ),
            inputs=[
                io.AnyType.Input("value", lazy=True, tooltip="Whatever should only go on when the prompt passed."),
                io.Boolean.Input("passed", force_input=True, tooltip="The decision, from Confidence Gate."),
                io.Combo.Input(
                    "on_block",
                    options=["silent", "error"],
                    default="silent",
                    tooltip="silent: the branch just ends. error: the whole run fails with one line.",
                ),
            ],
            hidden=[io.Hidden.extra_pnginfo],
            outputs=[io.AnyType.Output(display_name="value", tooltip="The value, when the prompt passed.")],
        )

    @classmethod
    def check_lazy_status(cls, passed: bool, on_block: str, value: Any = _OPEN) -> list[str]:
        return ["value"] if passed and value is None else []

    @classmethod
    def execute(cls, passed: bool, on_block: str, value: Any = _OPEN) -> io.NodeOutput:
        if passed:
            return io.NodeOutput(value)
        if on_block != "silent":
            raise PromptBlocked(
                "EMoE: the Gate blocked this prompt, and Stop or Skip by Gate was set to end the run with an error."
            )
        return _ended(cls, "Stop or Skip by Gate")


def _ended(node: type[io.ComfyNode], name: str) -> io.NodeOutput:
    """The end of a branch. An API client reads of it in the history, where nothing behind has an entry; a page marks the node."""
    told = None if for_page(node.hidden) else text_ui(f"The Gate blocked this prompt: nothing after {name} ran.")
    return io.NodeOutput(ExecutionBlocker(None), ui=told)
