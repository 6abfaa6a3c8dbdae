"""Where a latent can be taken out of a ComfyUI model, and how a tap is put there.

Only the host's own patch points are used, on a private clone:

* U-Nets: the last input block's patch gives the middle block's input, the first output block's patch its output (after a
  ControlNet's share). Newer releases have a patch for the middle block too, but every release has the output block's, which
  sees the same tensor.
* Diffusion transformers: `patches_replace["dit"]` of ("double_block", i) and ("single_block", i). One count runs through
  both kinds. A model whose code never looks for these patches has no block taps.

When the host clones a model, it deep-copies patches that are objects but not closures, so everything here is a closure.
"""

from collections.abc import Callable
from types import CodeType, FunctionType
from typing import Any

import torch
from comfy.model_patcher import ModelPatcher
from comfy.patcher_extension import WrappersMP
from torch import Tensor

from ....errors import EMoEError
from ....scoring.presets import NOISE_PRED, is_hidden
from ..experts.patchers import forget_prefetched

WRAPPER_KEY = "emoe_tap"
#: (tap, id of the conditioning entry, latent [rows, C, ...]).
Keep = Callable[[str, Any, Tensor], None]

_DOUBLE = ("double_blocks", "joint_blocks", "double_layers", "transformer_blocks", "blocks")
_SINGLE = ("single_blocks", "single_layers")


class Left(Exception):
    """Raised at the last tap to leave the network early; never leaves this module."""


def taps_of(model: ModelPatcher) -> tuple[str, ...]:
    """The taps of a ModelPatcher, in the order in which a pass reaches them."""
    network = model.get_model_object("diffusion_model")
    if _is_unet(network):
        middle = ("mid_in",) if getattr(network, "middle_block", None) is None else ("mid_in", "mid_out")
        return (*middle, NOISE_PRED)
    return (*(f"block:{i}" for i in range(len(_blocks(network)))), NOISE_PRED)


def place(model: ModelPatcher, taps: tuple[str, ...], keep: Keep) -> None:
    """Puts taps on a private clone; the pass ends at the last of them unless the prediction itself is wanted.

    `keep` is called for each conditioning entry of the prompt that the network sees, with float32 latents on the CPU.
    """
    network = model.get_model_object("diffusion_model")
    ordered = [tap for tap in taps_of(model) if tap in taps and is_hidden(tap)]
    leave_at = None if NOISE_PRED in taps or not ordered else ordered[-1]
    options: dict[str, Any] = {}  # of the current call; not every family hands them to its block patches

    def take(tap: str, latent: Tensor) -> None:
        branches = options["cond_or_uncond"]
        if latent.shape[0] % len(branches):
            raise EMoEError("Another node changes how many latents go through the network; score without that node.")
        for branch, entry, part in zip(branches, options["uuids"], latent.chunk(len(branches)), strict=True):
            if branch == 0:  # another node's patch may have asked for the unconditional branch as well
                keep(tap, entry, part.detach().to(device="cpu", dtype=torch.float32, copy=True))
        if tap == leave_at:
            raise Left

    def around(
        executor: Any,
        x: Tensor,
        t: Tensor,
        c_concat: Any = None,
        c_crossattn: Any = None,
        control: Any = None,
        transformer_options: Any = None,
        **kwargs: Any,
    ) -> Tensor:
        options.clear()
        options.update(transformer_options)
        try:
            return executor(x, t, c_concat, c_crossattn, control, transformer_options, **kwargs)  # type: ignore[no-any-return]
        except Left:
            forget_prefetched()
            return torch.zeros_like(x)

    if ordered:
        model.add_wrapper_with_key(WrappersMP.APPLY_MODEL, WRAPPER_KEY, around)
    if _is_unet(network):
        _tap_unet(model, len(network.input_blocks) - 1, ordered, take)
    elif ordered:
        _tap_blocks(model, _blocks(network), {int(tap.split(":")[1]): tap for tap in ordered}, take)


def _is_unet(network: Any) -> bool:
    return hasattr(network, "input_blocks") and hasattr(network, "output_blocks")


def _tap_unet(model: ModelPatcher, last_input: int, taps: list[str], take: Callable[[str, Tensor], None]) -> None:
    def after_inputs(h: Tensor, options: dict[str, Any]) -> Tensor:
        if options.get("block") == ("input", last_input):
            take("mid_in", h)
        return h

    def at_outputs(h: Tensor, skip: Tensor, options: dict[str, Any]) -> tuple[Tensor, Tensor]:
        if options.get("block") == ("output", 0):
            take("mid_out", h)
        return h, skip

    patches = model.model_options["transformer_options"].setdefault("patches", {})
    if "mid_in" in taps:  # last in the list, to see what the middle block really gets
        patches["input_block_patch_after_skip"] = [*patches.get("input_block_patch_after_skip", []), after_inputs]
    if "mid_out" in taps:  # first in the list: patches of the decoder's input (FreeU) come after the middle block
        patches["output_block_patch"] = [at_outputs, *patches.get("output_block_patch", [])]


def _blocks(network: Any) -> list[tuple[str, int]]:
    """The patch points of a transformer's blocks, in order; none if its code does not look for them."""
    points: list[tuple[str, int]] = []
    for point, names in (("double_block", _DOUBLE), ("single_block", _SINGLE)):
        found = next((blocks for name in names if (blocks := getattr(network, name, None)) is not None), None)
        if isinstance(found, torch.nn.ModuleList) and _mentions(type(network), point):
            points += [(point, i) for i in range(len(found))]
    return points if _mentions(type(network), "patches_replace") else []


def _mentions(cls: type, word: str) -> bool:
    """Whether any method of a class has this string among its constants."""

    def within(code: CodeType) -> bool:
        return any(word == c or (isinstance(c, CodeType) and within(c)) for c in code.co_consts)

    methods = (value for one in cls.__mro__ for value in vars(one).values())
    return any(within(method.__code__) for method in methods if isinstance(method, FunctionType))


def _tap_blocks(
    model: ModelPatcher, points: list[tuple[str, int]], wanted: dict[int, str], take: Callable[[str, Tensor], None]
) -> None:
    """Taps on blocks give only the image's tokens: [rows, C, tokens].

    Single blocks run on text and image tokens in one sequence, the text in front (Flux) or at the end (Hunyuan video).
    Which it is can be seen where the first of them begins.
    """
    text: dict[str, Any] = {}  # of the current call
    doubles = sum(point == "double_block" for point, _ in points)

    def image_tokens(sequence: Tensor) -> Tensor:
        count = text.get("count", 0)
        return sequence[:, count:] if text.get("in_front") else sequence[:, : sequence.shape[1] - count]

    def patch_for(number: int) -> Callable[[dict[str, Any], dict[str, Any]], dict[str, Any]]:
        earlier = (
            model.model_options["transformer_options"].get("patches_replace", {}).get("dit", {}).get(points[number])
        )

        def patch(args: dict[str, Any], extra: dict[str, Any]) -> dict[str, Any]:
            if number == doubles and "last" in text:  # the first single block
                before, sequence = text.pop("last"), args["img"]
                count = before.shape[1]
                in_front = torch.equal(sequence[:, :count], before)
                at_end = torch.equal(sequence[:, sequence.shape[1] - count :], before)
                text.update(count=count if in_front or at_end else 0, in_front=in_front)
            out: dict[str, Any] = extra["original_block"](args) if earlier is None else earlier(args, extra)
            if number == doubles - 1 and isinstance(out.get("txt"), Tensor):
                text["last"] = out["txt"]
            if number in wanted:
                tokens = out["img"] if number < doubles else image_tokens(out["img"])
                take(wanted[number], tokens.transpose(1, 2))
            return out

        return patch

    needed = set(wanted)
    if max(needed) >= doubles:
        needed |= {number for number in (doubles - 1, doubles) if number >= 0}
    for number in sorted(needed):
        model.set_model_patch_replace(patch_for(number), "dit", *points[number])
