"""Lists that stay aligned: passed items go one way, blocked ones the other, and prompts stay beside their pictures."""

from typing import Any

from comfy_api.latest import io
from comfy_execution.graph_utils import ExecutionBlocker

from ..emoe_core.gating.lists import partition, prompt_lines
from .api import named

_LISTS = ("list_1", "list_2", "list_3", "list_4")


class FilterList(io.ComfyNode):
    """The gate for many prompts at once."""

    @classmethod
    def define_schema(cls) -> io.Schema:
        lists = [
            io.AnyType.Input(
                name,
                optional=name != _LISTS[0],
                tooltip="A list with one item per prompt: prompts, conditionings, latents, images, seeds, anything.",
            )
            for name in _LISTS
        ]
        outputs = [
            io.AnyType.Output(
                display_name=f"{side}_{number}",
                is_output_list=True,
                tooltip=f"The items of list_{number} whose prompt was {side}; nodes after it rest when there is none.",
            )
            for side in ("accepted", "rejected")
            for number in range(1, len(_LISTS) + 1)
        ]
        return io.Schema(
            **named("EMoE_FilterList", "Filter List by Gate", "skip prompts", "filter prompts", "split list", "batch"),
            description=(
                "Splits up to four aligned lists by the Gate's decisions, so that a prompt stays beside its picture and "
                "its seed. An empty side lets the nodes after it rest instead of ending the run with an error."
            ),
            inputs=[
                io.Boolean.Input("passed", force_input=True, tooltip="One decision per prompt, from Confidence Gate."),
                *lists,
            ],
            outputs=[
                *outputs,
                io.Int.Output(
                    display_name="kept_indices",
                    is_output_list=True,
                    tooltip="Places of the accepted items in the lists, from 0.",
                ),
                io.Int.Output(
                    display_name="dropped_indices",
                    is_output_list=True,
                    tooltip="Places of the rejected items in the lists, from 0.",
                ),
                io.Int.Output(display_name="kept_count", tooltip="How many items were accepted."),
                io.Int.Output(display_name="dropped_count", tooltip="How many items were rejected."),
            ],
            is_input_list=True,
        )

    @classmethod
    def execute(cls, passed: list[bool], **lists: list[Any]) -> io.NodeOutput:
        given = {name: lists[name] for name in _LISTS if name in lists}
        parts = partition(passed, given)
        sides = [_bearable(side.get(name, [])) for side in (parts.accepted, parts.rejected) for name in _LISTS]
        indices = [_bearable(parts.kept), _bearable(parts.dropped)]
        return io.NodeOutput(*sides, *indices, len(parts.kept), len(parts.dropped))


def _bearable(items: list[Any]) -> list[Any]:
    """The items, or a silent blocker for an empty list, on which the host's nodes would fail."""
    return items or [ExecutionBlocker(None)]


class PromptList(io.ComfyNode):
    """Starts a list of prompts: the host has no node that makes one from a text."""

    @classmethod
    def define_schema(cls) -> io.Schema:
        return io.Schema(
            **named("EMoE_PromptList", "Prompt List", "prompts from text", "prompt lines", "batch prompts"),
            description=(
                "Makes a ComfyUI list of prompts from a text with one prompt per line. Every node after it runs once per prompt, "
                "and Filter List by Gate keeps those that the Gate passed."
            ),
            inputs=[
                io.String.Input(
                    "prompts",
                    multiline=True,
                    tooltip="One prompt per line. Blank lines and lines that start with # are left out.",
                )
            ],
            outputs=[
                io.String.Output(display_name="prompts_list", is_output_list=True, tooltip="The prompts, as a list."),
                io.Int.Output(display_name="count", tooltip="How many there are."),
            ],
        )

    @classmethod
    def execute(cls, prompts: str) -> io.NodeOutput:
        found = prompt_lines(prompts)
        return io.NodeOutput(found, len(found))
