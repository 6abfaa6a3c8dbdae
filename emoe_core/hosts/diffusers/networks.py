"""The denoising networks: how each kind is called for one step, and where its taps are.

A tap is a forward hook on a part of the network, added for one call and then removed. At the last wanted tap the hook
leaves the network with a private exception, so the rest of it is never computed.
"""

from collections.abc import Callable, Iterable, Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor, nn

from ...errors import EMoEError
from .schedules import NoiseLevels

NOISE_PRED = "noise_pred"
#: A prompt as a network takes it: tensors by name, one row per prompt.
Encoded = dict[str, Tensor]


class _Taken(Exception):
    """Raised at the last wanted tap to leave the network early; never leaves this module."""


@dataclass(frozen=True, eq=False)
class Network:
    """A denoising network with the noise levels it was trained on.

    Attributes:
        module: the network itself, of diffusers.
        levels: its noise levels.
        channels: channels of a latent.
        multiple: height and width of a latent must be multiples of this.
        places: for each hidden tap, in the order in which the network runs through them, the part to hook.
    """

    module: nn.Module
    levels: NoiseLevels
    channels: int
    multiple: int
    places: dict[str, nn.Module]

    @property
    def taps(self) -> tuple[str, ...]:
        """The network's taps."""
        return (*self.places, NOISE_PRED)

    def predict(self, x: Tensor, time: Tensor, prompt: Encoded) -> Tensor:
        """The network's output for latents [B, C, h, w] at one time, of the same shape."""
        raise NotImplementedError

    def taken(self, tap: str, inputs: tuple[Any, ...], output: Any, x: Tensor) -> Tensor:
        """The latent at a hidden tap, from the hooked part's input and output."""
        raise NotImplementedError

    def measure(self, noise: Tensor, sigma: float, prompt: Encoded, taps: tuple[str, ...]) -> dict[str, Tensor]:
        """The latents [B, ...] at the wanted taps, float32 on the CPU, from one call.

        Args:
            noise: the noise of an empty latent, [B, C, h, w] on the CPU.
            prompt: one row for each of the B latents.

        Raises:
            EMoEError: the network has no such tap.
        """
        for tap in taps:
            if tap not in self.taps:
                raise EMoEError(
                    f"{type(self.module).__name__} has no tap '{tap}'; it has {', '.join(self.taps)}. Choose one of "
                    "these, or the preset layout."
                )
        device, dtype = place_of(self.module)
        noisy = self.levels.noisy(noise.float(), sigma)
        x = self.levels.network_input(noisy, sigma).to(device, dtype)
        # The sizes in time_ids are pixels, which half precision would round.
        rows = {name: row.to(device, torch.float32 if name == "time_ids" else dtype) for name, row in prompt.items()}
        found: dict[str, Tensor] = {}
        hidden = [tap for tap in self.places if tap in taps]
        with torch.no_grad(), ExitStack() as hooks:
            for tap in hidden:
                hook = self._hook(tap, found, x, NOISE_PRED not in taps and tap == hidden[-1])
                hooks.callback(self.places[tap].register_forward_hook(hook).remove)
            try:
                output = self.predict(x, self.levels.time(sigma).to(device), rows)
                found[NOISE_PRED] = self.levels.noise_prediction(_kept(output), noisy, sigma)
            except _Taken:
                pass
        return {tap: found[tap] for tap in taps}

    def _hook(self, tap: str, found: dict[str, Tensor], x: Tensor, last: bool) -> Callable[..., None]:
        def take(module: nn.Module, inputs: tuple[Any, ...], output: Any) -> None:
            found[tap] = _kept(self.taken(tap, inputs, output, x))
            if last:
                raise _Taken

        return take


def place_of(module: nn.Module) -> tuple[torch.device, torch.dtype]:
    """Where a module computes and in which type: those of its first floating-point weight, unless it is offloaded."""
    hook = getattr(module, "_hf_hook", None)
    weight = next(tensor for tensor in module.parameters() if tensor.is_floating_point())
    device = getattr(hook, "execution_device", None)
    return torch.device(weight.device if device is None else device), weight.dtype


def _kept(latent: Tensor) -> Tensor:
    return latent.detach().to(device="cpu", dtype=torch.float32, copy=True)


class UNet(Network):
    """UNet2DConditionModel, of Stable Diffusion 1, 2 and XL."""

    def predict(self, x: Tensor, time: Tensor, prompt: Encoded) -> Tensor:
        added = {name: prompt[name] for name in ("text_embeds", "time_ids") if name in prompt}
        answer = self.module(
            x,
            time,
            encoder_hidden_states=prompt["prompt_embeds"],
            added_cond_kwargs=added or None,
            return_dict=False,
        )
        return answer[0]  # type: ignore[no-any-return]

    def taken(self, tap: str, inputs: tuple[Any, ...], output: Any, x: Tensor) -> Tensor:
        return output if tap == "mid_out" else inputs[0]  # type: ignore[no-any-return]


class SD3(Network):
    """SD3Transformer2DModel."""

    def predict(self, x: Tensor, time: Tensor, prompt: Encoded) -> Tensor:
        answer = self.module(
            hidden_states=x,
            timestep=time.expand(x.shape[0]),
            encoder_hidden_states=prompt["prompt_embeds"],
            pooled_projections=prompt["text_embeds"],
            return_dict=False,
        )
        return answer[0]  # type: ignore[no-any-return]

    def taken(self, tap: str, inputs: tuple[Any, ...], output: Any, x: Tensor) -> Tensor:
        return output[1].transpose(1, 2)  # type: ignore[no-any-return]


class Flux(Network):
    """FluxTransformer2DModel: its latents are packed two by two into tokens."""

    #: The guidance given to a distilled model; the other host's default.
    guidance = 3.5

    def predict(self, x: Tensor, time: Tensor, prompt: Encoded) -> Tensor:
        batch, channels, height, width = x.shape
        rows, columns = height // 2, width // 2
        tokens = x.reshape(batch, channels, rows, 2, columns, 2).permute(0, 2, 4, 1, 3, 5).flatten(3).flatten(1, 2)
        places = torch.zeros(rows, columns, 3, device=x.device)
        places[..., 1] = torch.arange(rows, device=x.device)[:, None]
        places[..., 2] = torch.arange(columns, device=x.device)[None]
        text = prompt["prompt_embeds"]
        strength = None
        if getattr(self.module, "config", {}).get("guidance_embeds"):
            strength = torch.full((batch,), self.guidance, device=x.device, dtype=x.dtype)
        answer = self.module(
            hidden_states=tokens,
            timestep=time.expand(batch).to(x.dtype),
            guidance=strength,
            pooled_projections=prompt["text_embeds"],
            encoder_hidden_states=text,
            txt_ids=torch.zeros(text.shape[1], 3, device=x.device),
            img_ids=places.flatten(0, 1),
            return_dict=False,
        )
        grid = answer[0].reshape(batch, rows, columns, channels, 2, 2).permute(0, 3, 1, 4, 2, 5)
        return grid.reshape(batch, channels, height, width)  # type: ignore[no-any-return]

    def taken(self, tap: str, inputs: tuple[Any, ...], output: Any, x: Tensor) -> Tensor:
        # Older releases return the single blocks' text and picture tokens in one tensor, text first.
        if isinstance(output, Tensor):
            return output[:, -(x.shape[-2] // 2) * (x.shape[-1] // 2) :].transpose(1, 2)
        return output[1].transpose(1, 2)  # type: ignore[no-any-return]


def unet_places(module: nn.Module) -> dict[str, nn.Module]:
    """The hidden taps of a U-Net; none without a middle block."""
    middle = getattr(module, "mid_block", None)
    return {} if middle is None else {"mid_in": middle, "mid_out": middle}


def block_places(module: nn.Module) -> dict[str, nn.Module]:
    """The hidden taps of a transformer: its blocks of all kinds, in the order in which they run."""
    kinds = ("transformer_blocks", "single_transformer_blocks")
    blocks = [block for kind in kinds for block in getattr(module, kind, ())]
    return {f"block:{number}": block for number, block in enumerate(blocks)}


@contextmanager
def borrowed(modules: Iterable[nn.Module], device: torch.device | None) -> Iterator[None]:
    """The modules on `device` (or where they are, when None) and in evaluation mode inside the block.

    A module that a library moves itself (offloading hooks, quantised weights, several devices) stays where it is.
    """
    taken = list(modules)
    modes = {part: part.training for module in taken for part in module.modules()}
    moved: list[tuple[nn.Module, torch.device]] = []
    try:
        for module in taken:
            module.eval()
            home = _home(module)
            if device is not None and home is not None and home != device:
                moved.append((module, home))
                module.to(device)
        yield
    finally:
        for module, home in moved:
            module.to(home)
        for part, mode in modes.items():
            part.training = mode


def _home(module: nn.Module) -> torch.device | None:
    """The device that holds all of the module; None when it must not be moved."""
    if any(hasattr(part, "_hf_hook") for part in module.modules()) or hasattr(module, "hf_device_map"):
        return None
    if getattr(module, "is_quantized", False) or getattr(module, "is_loaded_in_8bit", False):
        return None
    places = {tensor.device for tensor in (*module.parameters(), *module.buffers())}
    return places.pop() if len(places) == 1 else None
