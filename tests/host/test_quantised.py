"""Quantised experts: every way of storing weights that this host loads, and what node packs bring of their own."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from types import ModuleType
from typing import Any

import pytest
import torch
from emoe_testing import packs
from emoe_testing.checkpoints import UNET_PREFIX, make_quantised, make_sd15, scaled_fp8
from emoe_testing.scoring import latent, prompt, score_prompt
from safetensors.torch import load_file, save_file

#: The formats that hosts list. A host that lists another fails a test here.
FORMATS = (
    "float8_e4m3fn",
    "float8_e5m2",
    "mxfp8",
    "int8_tensorwise",
    "nvfp4",
    "convrot_w4a4",
    "asym_w4a8_int8",
)
#: Hosts tell a family by the shape of some layers, so files leave those alone where numbers are packed two per byte.
PACKED = ("nvfp4", "convrot_w4a4", "asym_w4a8_int8")
#: Rows are turned by groups of these many columns: a power of four that divides every width of the stand-ins.
TURNED = {"convrot_w4a4": 64, "asym_w4a8_int8": 64, "int8_convrot": 64}
KEY = "diffusion_model.middle_block.1.transformer_blocks.0.attn1.to_q.weight"
#: Of the embedded experts, as released.

LAYOUT = "8628e760af1e1efd5acecdc4debae1fabe9f2a1757aa65eeba8ee7ec730113a7"
DIGESTS = [
    "43d2a57703e444e73d6b35b6e4b623aacd6b122aed143021773361521dc444c1",
    "6988051123d3af3ad29f1bb2144ea91e73c743d886bc46b1835ba9af378916f9",
    "9a5a730729b7ab01250792c5a752a75ea07491c644cf5d31b048ced0318b1e74",
    "229e87f903495734ce915c7c50b07ea2602270a11ac20645d42ec664a703c060",
]
TEXT = [
    "c563d6f8ec2ee6dd488789e36684abb041586929f33286db6c6940a908509a6e",
    "fe602bdf2997834cb0c4334f6ab7c91c5eebf7626fda38ac4489cc7893d97e57",
    "14c1355f849a65fc50d10ae12c38f12b821ab72b4b6c1b3c52acc68167dbcb3c",
    "7e19425ad452709af7f79351dc51fe656ea938b12ac001f962828fe19edc501f",
]


@pytest.fixture(scope="module")
def load(host: Any, stand_in: Callable[[str], str]) -> Callable[..., Any]:
    """`load(name, part)`: through Load Experts, once per name."""
    made: dict[Any, Any] = {}

    def one(name: str, part: bool = False) -> Any:
        if (name, part) not in made:
            file = name if name.endswith(".safetensors") else stand_in(name)
            made[name, part] = host.experts.load.load_expert(file, part)
        return made[name, part]

    return one


@pytest.fixture(scope="module")
def stranger(comfy_base: Path, host: Any) -> Any:
    make_sd15(comfy_base / "models" / "checkpoints" / "unrelated.safetensors", 77)
    return host.experts.load.load_expert("unrelated.safetensors")


@pytest.fixture(scope="module")
def kin(pack: ModuleType) -> Callable[..., Any]:
    """`kin(a, b)`: the correlation of two experts' weights."""
    return lambda a, b: pack.emoe_core.experts.signature.relatedness(a.signature, b.signature)


@pytest.fixture
def score(pack: ModuleType, host: Any) -> Callable[..., Any]:
    """`score(experts, preset)`: by a prompt that fits the first one."""

    def run(experts: list[Any], preset: str = "fast") -> Any:
        chosen, made = pack.emoe_core.scoring.presets.PRESETS[preset], pack.emoe_core.experts.sets.ExpertSet()
        for expert in experts:
            made = made.add(expert)
        width = experts[0].model.model.model_config.unet_config["context_dim"]
        how: dict[str, Any] = {"noise_seed": 5}
        if chosen.estimator.startswith("centred"):
            how["empty_prompt"] = prompt(width, 1)
        how |= {"tap": chosen.tap, "estimator": chosen.estimator, "noise_samples": 1}
        return score_prompt(host, made, prompt(width), latent(), **how).report

    return run


def remark(conf: dict[str, Any]) -> torch.Tensor:
    return torch.tensor(list(json.dumps(conf).encode()), dtype=torch.uint8)


def write(path: Path, base: Path, form: str, prefix: str = "", by_layer: bool | None = None) -> Path:
    """A file in a format that this host lists, in the host's own numbers.

    Args:
        by_layer: remarks beside each layer, as newer hosts read them; else in the file's metadata. None for this host's way.
    """
    import comfy.quant_ops
    import comfy.utils

    by_layer = hasattr(comfy.utils, "convert_old_quants") if by_layer is None else by_layer
    listed = form.replace("int8_convrot", "int8_tensorwise")
    layout = comfy.quant_ops.QUANT_ALGOS[listed]["comfy_tensor_layout"]
    layers: dict[str, Any] = {}

    def quantise(layer: str, weight: torch.Tensor) -> dict[str, torch.Tensor]:
        if form in PACKED and not (".ff." in layer or ".attn1." in layer):
            return {"weight": weight.half()}
        turned = {"convrot_groupsize": TURNED[form]} if form in TURNED else {}
        if form == "int8_convrot":
            turned = {"convrot": True, **turned}
        how = {**turned, "per_channel": True} if form == "int8_convrot" else turned
        made = comfy.quant_ops.QuantizedTensor.from_float(weight, layout, **how)
        layers[layer] = {"format": listed, **turned}
        if hasattr(made, "state_dict"):
            stored = made.state_dict("weight")
        else:
            stored = {"weight": made._qdata, "weight_scale": made._layout_params["scale"]}
        return stored | ({"comfy_quant": remark(layers[layer])} if by_layer else {})

    make_quantised(path, base, quantise, prefix=prefix)
    if not by_layer:
        save_file(load_file(path), path, {"_quantization_metadata": json.dumps({"layers": layers})})
    return path


def listed_formats() -> set[str]:
    import comfy.quant_ops

    return set(comfy.quant_ops.QUANT_ALGOS)


def loaded_formats() -> set[str]:
    """What `in_format` can write and this host loads: its own formats, the older one, and 8-bit numbers with turned rows."""
    listed = listed_formats()
    return {*listed, "scaled_fp8"} | ({"int8_convrot"} if "int8_tensorwise" in listed else set())


def stock(name: str, host: Any) -> Any:
    """The host's own loader, then Add Expert's road."""
    import comfy.sd
    import folder_paths

    if name.startswith("diffusion_models/"):
        path = folder_paths.get_full_path_or_raise("diffusion_models", name.removeprefix("diffusion_models/"))
        return host.experts.load.expert_from_model(comfy.sd.load_diffusion_model(path), None, "stock")
    path = folder_paths.get_full_path_or_raise("checkpoints", name)
    model = comfy.sd.load_checkpoint_guess_config(path, output_vae=False, output_clip=False)[0]
    return host.experts.load.expert_from_model(model, None, "stock")


def test_this_host_lists_formats_and_all_are_tried_here(comfyui: Path) -> None:
    assert listed_formats() and listed_formats() <= set(FORMATS)


@pytest.fixture(scope="module")
def in_format(comfy_base: Path, stand_in: Callable[[str], str]) -> Callable[[str], str]:
    """`in_format(form)`: the quantised twin of stand-in `other`; gives its name in Load Experts."""
    made = set()

    def get(form: str) -> str:
        base = comfy_base / "models" / "checkpoints" / stand_in("other")
        name = f"diffusion_models/twin_{form}.safetensors"
        if form == "scaled_fp8":
            name = "twin_scaled.safetensors"
            extra = {f"{UNET_PREFIX}scaled_fp8": torch.empty(0, dtype=torch.float8_e4m3fn)}
            if form not in made:
                make_quantised(comfy_base / "models" / "checkpoints" / name, base, scaled_fp8, extra=extra)
        elif form not in made:
            write(comfy_base / "models" / name, base, form)
        made.add(form)
        return name

    return get


@pytest.mark.parametrize("form", ("scaled_fp8", "int8_convrot", *FORMATS))
def test_a_quantised_twin_is_kin_of_one_family_and_scored(
    form: str,
    pack: ModuleType,
    host: Any,
    load: Callable[..., Any],
    stranger: Any,
    kin: Callable[..., Any],
    in_format: Callable[[str], str],
    score: Callable[..., Any],
    comfy_base: Path,
    stand_in: Callable[[str], str],
) -> None:
    """By every road the same identity; kin to the file it was made from, no kin to a stranger; a word on the precision."""
    if form not in loaded_formats():  # what this host cannot load is refused, not taken for numbers that it is not
        name = f"diffusion_models/refused_{form}.safetensors"
        base = comfy_base / "models" / "checkpoints" / stand_in("other")
        stored = lambda layer, w: {  # noqa: E731
            "weight": (w / w.abs().max() * 127).to(torch.int8),
            "weight_scale": w.abs().max() / 127,
            "comfy_quant": remark({"format": form.replace("int8_convrot", "int8_tensorwise")}),
        }
        make_quantised(comfy_base / "models" / name, base, stored, prefix="")
        for part in (False, True):
            with pytest.raises(
                pack.emoe_core.errors.EMoEError, match="quantised in a form|not a model that ComfyUI kn"
            ):
                host.experts.load.load_expert(name, part)
        return
    plain, name = load("other"), in_format(form)
    twin, part, by_stock = load(name), load(name, True), stock(name, host)
    assert not host.experts.partial.decoder_of(part.model)
    assert twin.identity == part.identity == by_stock.identity and twin.identity != plain.identity
    assert twin.signature.layout == plain.signature.layout and not twin.signature.unread
    assert twin.family == plain.family
    near, far = kin(twin, plain), kin(twin, stranger)
    print(f"\n{form}: stored as {twin.weights}, twin {near:.4f}, stranger {far:.4f}")
    assert near > 0.9 and abs(far) < 0.2
    related = pack.emoe_core.experts.kinship.kinship([load("sd15"), plain, twin])
    assert [(one.one, one.other, one.kind) for one in related.copies] == [(1, 2, "rounding")] and not related.merges
    said = f"different precision ('other' {plain.weights}, '{twin.name}' {twin.weights})"
    for preset in ("fast", "layout"):
        report = score([plain, twin], preset)
        assert report.score > 0 and any(said in warning for warning in report.warnings)
    with pytest.raises(pack.emoe_core.errors.EMoEError, match="do not descend from one base"):
        score([twin, stranger])


@pytest.mark.parametrize("form", ("scaled_fp8", "int8_convrot", *FORMATS))
def test_samples_are_those_of_the_whole_weight(
    form: str, host: Any, in_format: Callable[[str], str], load: Any
) -> None:
    """Every packing is read value by value, and gives what the host's own unpacking gives."""
    import comfy.model_patcher

    if form not in loaded_formats():
        assert form not in listed_formats()  # nothing to unpack: see the refusal above
        return
    model, tried = load(in_format(form)).model, 0
    for key, (tensor, owner, name) in host.experts.weights.stored_weights(model, "diffusion_model.").items():
        found = host.experts.weights.readable(tensor, owner, name)
        if isinstance(found, torch.Tensor):
            continue
        tried += 1
        weight, _, unpack = comfy.model_patcher.get_key_weight(model.model, key)
        whole = unpack(weight).float() if unpack is not None else weight.float() * owner.scale_weight
        assert found.shape == tuple(whole.shape)
        for count in (256, 64, 10**9 if whole.numel() < 200_000 else 256):
            step = whole.numel() // count if whole.numel() > count else 1
            expected = whole.reshape(-1)[: step * count : step] if whole.numel() > count else whole.reshape(-1)
            torch.testing.assert_close(torch.from_numpy(found.sample(count)), expected, rtol=2e-3, atol=2e-5)
        if tried >= 6:
            break
    assert tried >= 6


@pytest.mark.parametrize("form", ("scaled_fp8", *FORMATS))
def test_a_lora_on_a_quantised_expert_counts_and_works(
    form: str,
    host: Any,
    load: Callable[..., Any],
    in_format: Callable[[str], str],
    score: Callable[..., Any],
    comfy_base: Path,
) -> None:
    if form not in loaded_formats():
        assert form not in listed_formats()  # refused as a whole: see above
        return
    twin = load(in_format(form))
    generator = torch.Generator().manual_seed(3)
    name = KEY.removeprefix("diffusion_model.").removesuffix(".weight").replace(".", "_")
    up, down = torch.randn(320, 4, generator=generator) / 10, torch.randn(4, 320, generator=generator) / 10
    path = comfy_base / "models" / "loras" / "on_quantised.safetensors"
    path.parent.mkdir(parents=True, exist_ok=True)
    save_file({f"lora_unet_{name}.lora_up.weight": up, f"lora_unet_{name}.lora_down.weight": down}, path)
    made = host.experts.loras.experts_from_loras(twin.model, None, [(path.name, 1.0), (path.name, 0.5)]).experts
    assert len({twin.identity, *(one.identity for one in made)}) == 3
    assert {one.signature.digest for one in made} == {twin.signature.digest}
    assert score([twin, made[0]]).score > 0
    # the same while the LoRA is merged into the loaded weights, as it is now
    for one in (*made, twin):
        assert host.experts.load.expert_from_model(one.model, None, "again").identity == one.identity


def test_sdxl_in_eight_bits(
    host: Any, stand_in: Callable[[str], str], load: Any, kin: Any, score: Any, comfy_base: Path
) -> None:
    base = comfy_base / "models" / "checkpoints" / stand_in("xl")
    extra = {f"{UNET_PREFIX}scaled_fp8": torch.empty(0, dtype=torch.float8_e4m3fn)}
    make_quantised(comfy_base / "models" / "checkpoints" / "xl_scaled.safetensors", base, scaled_fp8, extra=extra)
    plain, twin = load("xl"), load("xl_scaled.safetensors", True)
    assert twin.family == plain.family and twin.signature.layout == plain.signature.layout and kin(plain, twin) > 0.9
    assert twin.weights == "float8_e4m3fn" and twin.identity == stock("xl_scaled.safetensors", host).identity
    for preset in ("fast", "layout"):
        assert score([plain, twin], preset).score > 0


def test_remarks_that_this_host_does_not_read_are_refused(
    pack: ModuleType, host: Any, comfy_base: Path, stand_in: Callable[[str], str]
) -> None:
    """Remarks beside each layer are newer than this host, or else they load."""
    import comfy.utils

    path = comfy_base / "models" / "diffusion_models" / "by_layer.safetensors"
    write(path, comfy_base / "models" / "checkpoints" / stand_in("other"), "float8_e4m3fn", by_layer=True)
    if hasattr(comfy.utils, "convert_old_quants"):
        assert host.experts.load.load_expert("diffusion_models/by_layer.safetensors").weights == "float8_e4m3fn"
    else:
        with pytest.raises(
            pack.emoe_core.errors.EMoEError, match="quantised in a form that this ComfyUI does not know"
        ):
            host.experts.load.load_expert("diffusion_models/by_layer.safetensors")


def test_a_layer_that_scales_its_input_counts_with_it(host: Any) -> None:
    """Files of another kind smooth a layer's input first: what it computes is the weight times that, by columns."""
    layer = torch.nn.Linear(8, 4)
    layer.weight = torch.nn.Parameter(layer.weight.detach().to(torch.float8_e4m3fn), requires_grad=False)
    layer.weight_scale, layer.pre_quant_scale = torch.tensor(0.5), torch.arange(1.0, 9.0)
    found = host.experts.weights.readable(layer.weight, layer, "weight")
    expected = layer.weight.float() * 0.5 * layer.pre_quant_scale
    assert torch.equal(torch.from_numpy(found.sample(256)), expected.reshape(-1))


# --- weights of node packs --------------------------------------------------------------------------------------------


@pytest.fixture(scope="module")
def in_blocks(host: Any, stand_in: Callable[[str], str], comfy_base: Path) -> Callable[..., Any]:
    """`in_blocks(name, kind)`: a stand-in as the GGUF loader would bring it, all linear layers in blocks."""
    import comfy.sd

    def one(name: str, kind: str) -> Any:
        folder, state = comfy_base / "models" / "checkpoints", {}
        file = name if name.endswith(".safetensors") else stand_in(name)
        for key, weight in load_file(folder / file).items():
            if not key.startswith(UNET_PREFIX):
                continue
            stored = weight
            if weight.dim() == 2:
                pack = packs.q4_0 if kind == "Q4_0" else packs.q8_0
                stored = packs.BlockTensor.of(pack(weight), packs.BlockType[kind], tuple(weight.shape))
            state[key.removeprefix(UNET_PREFIX)] = stored
        options = {"custom_operations": packs.block_operations()}
        model = packs.block_patcher(comfy.sd.load_diffusion_model_state_dict(state, model_options=options))
        return host.experts.load.expert_from_model(model, None, f"{name} {kind}")

    return one


@pytest.mark.parametrize("kind", ["Q8_0", "Q4_0"])
def test_blocks_are_compared_as_what_they_stand_for(
    kind: str, pack: ModuleType, in_blocks: Any, load: Any, stranger: Any, kin: Any, score: Any, host: Any
) -> None:
    plain, twin = load("other"), in_blocks("other", kind)
    assert twin.weights == kind and twin.signature.layout == plain.signature.layout and twin.family == plain.family
    near, far = kin(twin, plain), kin(twin, stranger)
    print(f"\n{kind}: twin {near:.4f}, stranger {far:.4f}")
    assert near > 0.9 and abs(far) < 0.2
    (copy,) = pack.emoe_core.experts.kinship.kinship([load("sd15"), plain, twin]).copies
    assert (copy.one, copy.other, copy.stored) == (1, 2, kind)
    for preset in ("fast", "layout"):
        assert score([plain, twin], preset).score > 0
    patched = twin.model.clone()
    patched.__class__ = type(twin.model)
    patched.add_patches({KEY: (torch.full((320, 320), 0.05),)}, 1.0)
    with_patch = host.experts.load.expert_from_model(patched, None, "patched")
    assert with_patch.identity != twin.identity and with_patch.signature.digest == twin.signature.digest
    assert score([twin, with_patch]).score > 0
    assert host.experts.load.expert_from_model(patched, None, "again").identity == with_patch.identity


def test_blocks_of_an_unknown_kind_leave_kinship_unknown(
    pack: ModuleType, in_blocks: Any, load: Any, kin: Any, score: Any, stranger: Any
) -> None:
    """The expert still serves; the report says what is not known, and two such files have identities of their own."""
    plain, twin, other = load("other"), in_blocks("other", "UNHEARD_OF"), in_blocks("sd15", "UNHEARD_OF")
    assert twin.signature.unread and kin(twin, plain) is None and kin(twin, other) is None
    assert twin.signature.layout == plain.signature.layout and twin.identity != other.identity
    assert score([twin, other]).score > 0
    (warning, *_) = (w for w in score([plain, twin]).warnings if "unknown" in w)
    assert "descend from one base model is unknown" in warning and "'other'" in warning
    assert not any("unknown" in warning for warning in score([plain, twin], "layout").warnings)
    found = pack.emoe_core.scoring.diagnostics.diagnose(
        pack.emoe_core.experts.sets.ExpertSet().add(plain).add(twin), ("mid_out", "noise_pred")
    )
    assert found.kinship[0][1] is None and any("lineage: unknown" in line for line in found.lines)
    assert found.kin.unread == (1,) and found.kin.effective is None and f"- {twin.name}: kinship unknown" in found.lines
    assert pack.emoe_core.hosts.comfyui.diagnosing.picture(found).shape[0] == 1


def test_weights_that_only_a_kernel_reads(
    pack: ModuleType, host: Any, load: Any, kin: Any, score: Any, stand_in: Any, comfy_base: Path
) -> None:
    """Layers with `qweight`: the layout of the weight itself, kinship unknown, LoRAs that the network keeps itself counted."""
    import comfy.sd
    import folder_paths

    def packed_expert(name: str) -> Any:
        path = folder_paths.get_full_path_or_raise("checkpoints", stand_in(name))
        model = comfy.sd.load_checkpoint_guess_config(path, output_vae=False, output_clip=False)[0]
        for part in list(model.model.diffusion_model.modules()):
            for child_name, child in list(part.named_children()):
                if isinstance(child, torch.nn.Linear):
                    bias = None if child.bias is None else child.bias.detach()
                    setattr(part, child_name, packs.FourBitLinear(child.weight.detach(), bias))
        return host.experts.load.expert_from_model(model, None, f"{name} int4")

    plain, one, two = load("other"), packed_expert("other"), packed_expert("sd15")
    assert one.weights == "int4" and one.signature.layout == plain.signature.layout
    assert kin(one, two) is None and one.identity != two.identity and one.identity == packed_expert("other").identity
    for preset in ("fast", "layout"):
        assert score([one, two], preset).score > 0
    lora = comfy_base / "models" / "loras" / "kept.safetensors"
    lora.parent.mkdir(parents=True, exist_ok=True)
    save_file({"a": torch.ones(2)}, lora)
    identities = {one.identity}
    for strength in (1.0, 0.5):
        one.model.model.diffusion_model.loras = [(str(lora), strength)]
        identities.add(host.experts.load.expert_from_model(one.model, None, "with").identity)
    assert len(identities) == 3


def test_a_class_that_unpacks_itself_and_one_that_does_not(host: Any) -> None:
    class Halved(torch.Tensor):
        def dequantize(self) -> torch.Tensor:
            return self.as_subclass(torch.Tensor).float() / 2

    class Closed(torch.Tensor):
        pass

    layer = torch.nn.Linear(16, 16)
    stored = torch.randint(-100, 100, (16, 16), dtype=torch.int8)
    found = host.experts.weights.readable(stored.as_subclass(Halved), layer, "weight")
    assert torch.equal(torch.from_numpy(found.sample(256)), stored.float().reshape(-1) / 2)
    closed = host.experts.weights.readable(stored.as_subclass(Closed), layer, "weight")
    assert closed.shape == (16, 16) and closed.raw == stored.float().reshape(-1).numpy().tobytes()
    # whole numbers of 8 bits without a scale stand for nothing known, a class of plain numbers for themselves
    assert host.experts.weights.readable(stored, layer, "weight").raw == closed.raw
    assert isinstance(host.experts.weights.readable(stored.float().as_subclass(Closed), layer, "weight"), torch.Tensor)


# --- plain weights ----------------------------------------------------------------------------------------------------


def test_plain_weights_keep_their_digests(pack: ModuleType) -> None:
    """Calibrations are saved with them: they are the same on every host, and never change."""
    experts = pack.emoe_core.hosts.comfyui.experts.demo_set.embedded_experts().experts
    assert {expert.signature.layout for expert in experts} == {LAYOUT}
    assert [expert.signature.digest for expert in experts] == DIGESTS
    assert [expert.text_encoder_identity() for expert in experts] == TEXT
    assert {expert.weights for expert in experts} == {"float32"}
