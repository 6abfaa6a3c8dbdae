"""Makes the demo LoRAs: the differences of experts 2, 3 and 4 from expert 1, as low-rank patches of expert 1.

    python tools/demo_loras.py [--rank 4]

Each weight matrix's difference is cut to its strongest directions (truncated singular value decomposition, the best
approximation of that rank: Eckart and Young, 1936). A convolution is taken as a matrix of outputs by everything else.
Biases, norms and embeddings stay those of expert 1. Names are the checkpoint's, with the prefixes of kohya's trainers, which
ComfyUI's loader knows.
"""

from __future__ import annotations

import argparse
import sys
from pathlib import Path

import torch
from safetensors.torch import load_file, save_file
from torch import Tensor

ROOT = Path(__file__).resolve().parents[1]
sys.path.insert(0, str(ROOT))

from emoe_core import demo  # noqa: E402

UNET, TEXT = "model.diffusion_model.", "cond_stage_model.transformer."


def lora_name(key: str) -> str | None:
    """kohya's name of a weight; None for a weight that a LoRA does not change (embeddings are no matrix product)."""
    if not key.endswith(".weight") or "embedding" in key:
        return None
    stem = key.removesuffix(".weight")
    if stem.startswith(UNET):
        return "lora_unet_" + stem.removeprefix(UNET).replace(".", "_")
    if stem.startswith(TEXT):
        return "lora_te_" + stem.removeprefix(TEXT).replace(".", "_")
    return None


def low_rank(difference: Tensor, rank: int) -> tuple[Tensor, Tensor]:
    """Up and down: two matrices whose product is the best approximation of this rank."""
    u, s, v = torch.linalg.svd(difference.flatten(start_dim=1).double(), full_matrices=False)
    root = s[:rank].sqrt()
    up, down = u[:, :rank] * root, root[:, None] * v[:rank]
    if difference.dim() == 4:
        return up[..., None, None], down.reshape(-1, *difference.shape[1:])
    return up, down


def make(base: dict[str, Tensor], other: dict[str, Tensor], rank: int) -> tuple[dict[str, Tensor], float]:
    """The LoRA, and the share of the squared difference (of all matrices) that it keeps."""
    made: dict[str, Tensor] = {}
    lost = whole = 0.0
    for key, weight in base.items():
        name = lora_name(key)
        if name is None or weight.dim() < 2:
            continue
        difference = other[key].float() - weight.float()
        up, down = low_rank(difference, rank)
        near = (up.flatten(1) @ down.flatten(1)).reshape(difference.shape)
        whole += float(difference.double().square().sum())
        lost += float((difference.double() - near).square().sum())
        made[f"{name}.lora_up.weight"] = up.half().contiguous()
        made[f"{name}.lora_down.weight"] = down.half().contiguous()
        made[f"{name}.alpha"] = torch.tensor(float(up.shape[1])).half()
    return made, 1 - lost / whole


def main() -> None:
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("--rank", type=int, default=4)
    parser.add_argument("--into", type=Path, default=demo.FOLDER / "loras")
    options = parser.parse_args()
    options.into.mkdir(parents=True, exist_ok=True)
    first, *others = demo.expert_files()
    base = load_file(first)
    for path in others:
        made, share = make(base, load_file(path), options.rank)
        target = options.into / f"{path.stem.replace('expert', 'lora')}.safetensors"
        told = {
            "name": target.stem,
            "base": first.name,
            "made_from": path.name,
            "licence": demo.metadata(path)["licence"],
        }
        save_file(made, target, told | {"ss_network_dim": str(options.rank), "ss_network_alpha": str(options.rank)})
        print(f"{target.name}: {target.stat().st_size / 1e6:.2f} MB, {100 * share:.0f} % of the squared difference")


if __name__ == "__main__":
    main()
