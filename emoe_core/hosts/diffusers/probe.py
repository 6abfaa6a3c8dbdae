"""The probe on diffusers: one network call per expert for as many prompts and noise samples as fit in a batch."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass

import torch
from torch import Tensor

from ...errors import EMoEError
from ...experts.sets import Expert, ExpertSet
from ...scoring import empty_prompt
from ...scoring.probe import Answer, Latents, Request
from .networks import Encoded, Network, borrowed
from .prompts import TextEncoders


@dataclass(frozen=True, eq=False)
class DiffusersProbe:
    """Implements `emoe_core.scoring.probe.Probe` for several prompts at once.

    Attributes:
        texts: the prompts.
        width, height: of the picture, in pixels.
        noises: one noise tensor [1, C, h, w] per noise sample, on the CPU.
        sigma: the scored noise level.
        batch: how many (prompt, noise sample) pairs share one network call.
        device: where experts are put, one at a time; None leaves them where they are.
        empty_key: digest of everything that the empty pass depends on.
    """

    experts: ExpertSet
    texts: Sequence[str]
    width: int
    height: int
    noises: Sequence[Tensor]
    sigma: float
    batch: int
    device: torch.device | None
    empty_key: str

    @property
    def taps(self) -> tuple[str, ...]:
        """See `emoe_core.scoring.probe.Probe.taps`."""
        return common_taps(self.experts)

    def latents(self, request: Request, advance: Callable[[int], None]) -> Answer:
        """See `emoe_core.scoring.probe.Probe.latents`."""
        expert = self.experts.experts[request.expert]
        if not request.empty:
            return Answer(self._measure(expert, self.texts, request.taps, advance))
        key = f"{self.empty_key}:{','.join(request.taps)}"
        answer = empty_prompt.recall(expert, key)
        if answer is None:
            (answer,) = self._measure(expert, [""], request.taps, advance)
            empty_prompt.keep(expert, key, answer)
        else:
            advance(len(self.noises))
        return Answer([answer])

    def _measure(
        self, expert: Expert, texts: Sequence[str], taps: tuple[str, ...], advance: Callable[[int], None]
    ) -> list[Latents]:
        network: Network = expert.model
        try:
            prompts = self._encode(expert, texts)
            pairs = [(prompt, sample) for prompt in range(len(texts)) for sample in range(len(self.noises))]
            found: dict[str, list[Tensor]] = {tap: [] for tap in taps}
            with borrowed([network.module], self.device):
                for start in range(0, len(pairs), self.batch):
                    now = pairs[start : start + self.batch]
                    noise = torch.cat([self.noises[sample] for _, sample in now])
                    rows = {name: row[[prompt for prompt, _ in now]] for name, row in prompts.items()}
                    for tap, latents in network.measure(noise, self.sigma, rows, taps).items():
                        found[tap].append(latents)
                    advance(len(now))
        except torch.OutOfMemoryError as error:
            raise EMoEError(
                f"Expert '{expert.name}' ran out of memory with {self.batch} latents in one call; set a smaller batch."
            ) from error
        samples = len(self.noises)
        whole = {tap: torch.cat(parts).unsqueeze(1) for tap, parts in found.items()}
        return [
            {tap: [latents[prompt * samples : (prompt + 1) * samples]] for tap, latents in whole.items()}
            for prompt in range(len(texts))
        ]

    def _encode(self, expert: Expert, texts: Sequence[str]) -> Encoded:
        encoders: TextEncoders | None = expert.clip
        if encoders is None:
            encoders = next((other.clip for other in self.experts.experts if other.clip is not None), None)
        if encoders is None:
            raise EMoEError("None of the experts has a text encoder, so the prompt cannot be encoded; load one whole.")
        with borrowed(encoders.modules.values(), self.device):
            parts = [
                encoders.encode(texts[start : start + self.batch], self.width, self.height)
                for start in range(0, len(texts), self.batch)
            ]
        return {name: torch.cat([part[name].cpu() for part in parts]) for name in parts[0]}


def common_taps(experts: ExpertSet) -> tuple[str, ...]:
    """The taps that every expert of the set has."""
    each = [expert.model.taps for expert in experts.experts]
    return tuple(tap for tap in each[0] if all(tap in other for other in each))


def noise_samples(shape: tuple[int, ...], seed: int, count: int) -> list[Tensor]:
    """Noise sample k is the noise of seed + k, made on the CPU as in the other host, without the global random state."""
    generators = (torch.Generator("cpu").manual_seed((seed + k) % 2**64) for k in range(count))
    return [torch.randn((1, *shape), generator=generator, dtype=torch.float32) for generator in generators]
