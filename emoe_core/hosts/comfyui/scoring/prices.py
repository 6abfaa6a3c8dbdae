"""Prices in ComfyUI: kept in memory and in a small file in its user directory, and told while a run is made."""

import time
from pathlib import Path

import folder_paths
import torch
from comfy.model_patcher import ModelPatcher

from ....errors import plain
from ....experts.sets import ExpertSet
from ....io.files import read_regular, write_whole
from ....io.log import log
from ....records.took import Took, in_words
from ....scoring.collect import Progress
from ....scoring.price import Kind, Meter, Prices
from ....scoring.savings import Held, Price, price_of
from ..experts.slim import BITS
from .probe import common_taps
from .progress import show_text

#: What is expected to take less is not told while it runs: the answer comes sooner than it is read.
WORTH_TELLING = 3.0
#: Seconds between two writes of figures that were written before.
_EVERY = 60.0
_prices: dict[Path, Prices] = {}
_written: dict[Path, float] = {}


def path() -> Path:
    """The file: `emoe/prices.json` in ComfyUI's user directory. It holds digests and seconds, and no name of anything."""
    return Path(folder_paths.get_user_directory()) / "emoe" / "prices.json"


def known() -> Prices:
    """What was measured so far. A file that cannot be read counts as none, and the next run replaces it."""
    file = path()
    if file not in _prices:
        _prices[file] = Prices()
        try:
            if file.exists():
                _prices[file] = Prices.of_text(read_regular(file))
        except (OSError, ValueError) as error:
            log.warning("EMoE: the measured prices in '%s' cannot be read (%s) and are measured anew", file.name, error)
    return _prices[file]


def measured(kind: Kind, meter: Meter, seconds: float, estimator: str, noise_samples: int) -> None:
    """Takes over what a run measured."""
    prices, file = known(), path()
    before = prices.records.get(kind)
    prices.add(kind, meter, seconds, estimator, noise_samples)
    now, after = time.monotonic(), prices.records.get(kind)
    is_news = before is None or (after is not None and (before.later is None) != (after.later is None))
    # Figures that an earlier process wrote count as written when this one first measures.
    if after is None or not (is_news or now - _written.setdefault(file, now) >= _EVERY):
        return
    _written[file] = now
    try:
        file.parent.mkdir(parents=True, exist_ok=True)
        write_whole(file, prices.text())
    except OSError as error:
        log.debug("EMoE: the measured prices cannot be written (%s)", plain(str(error)))


def device_of(model: ModelPatcher) -> str:
    """Where a model computes, for a person."""
    device = model.load_device
    return f"{device} ({torch.cuda.get_device_name(device)})" if device.type == "cuda" else str(device)


def times(expected: tuple[float, float] | None, count: int) -> tuple[float, float] | None:
    """What so many of the same are expected to take."""
    return None if expected is None else (count * expected[0], count * expected[1])


def told(tell: Progress, expected: tuple[float, float] | None) -> Progress:
    """A progress that also tells on the node how long it will go on, where that is known and long."""
    if expected is None or expected[1] < WORTH_TELLING:
        return tell
    begun, latest = time.monotonic(), [""]
    show_text(f"expected: {in_words(expected[1])}")

    def watched(done: int, total: int, expert: str) -> None:
        tell(done, total, expert)
        left = expected[1] * (1 - done / total) if total else 0.0
        before, latest[0] = latest[0], expert
        if before and expert not in ("", before):
            late = time.monotonic() - begun > expected[1]
            show_text(f"longer than expected ({in_words(expected[1])})" if late else f"about {in_words(left)} left")

    return watched


def finished(took: Took | None, expected: tuple[float, float] | None) -> None:
    """Replaces on the node what `told` said."""
    if took is not None and expected is not None and expected[1] >= WORTH_TELLING:
        show_text(took.line())


def price(experts: ExpertSet, preset: str | None) -> Price:
    """What a score by these experts costs, for Expert Diagnostics."""
    first = experts.experts[0].model
    models = {id(expert.model.model): expert.model.model.diffusion_model for expert in experts.experts}
    held = [_held(network) for network in models.values()]
    identities = [expert.identity for expert in experts.experts]
    found = known().latest(identities, device_of(first))
    return price_of(identities, common_taps(experts), preset, found, held, BITS)


def _held(network: torch.nn.Module) -> Held:
    weights = list(network.parameters())
    return Held(sum(one.numel() for one in weights), sum(one.numel() * one.element_size() for one in weights))
