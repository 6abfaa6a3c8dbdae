"""What the contract asks beyond names: each function returns None, or what this host does differently, without a full stop.

They examine a recorded call through a small model (`objects`), so a test can pass one that went differently.
"""

from __future__ import annotations

import ast
import inspect
import math
import re
from pathlib import Path
from typing import TYPE_CHECKING, Any

import torch
from torch import Tensor

from .objects import CONTEXT, STEPS, Loaded, Seen, fill_layers

if TYPE_CHECKING:
    from .entries import Host

_BLOCK = re.compile(r"(input_blocks|output_blocks)\.\d+\.\d+\.transformer_blocks\.\d+")
_LAYERS = ("attn1.to_q", "attn1.to_k", "attn1.to_v", "attn2.to_q", "attn2.to_k", "attn2.to_v", "ff")
#: The host's classes of predictions; `identity.prediction` names a model's prediction by one of them.
_PREDICTIONS = ("V_PREDICTION", "EPS", "X0", "EDM", "CONST")


def _equal(a: Any, b: Any) -> bool:
    return isinstance(a, Tensor) and isinstance(b, Tensor) and a.shape == b.shape and torch.equal(a.cpu(), b.cpu())


def _close(a: Any, b: Any) -> bool:
    """Equal up to rounding."""
    if not (isinstance(a, Tensor) and isinstance(b, Tensor)) or a.shape != b.shape:
        return False
    return torch.allclose(a.float().cpu(), b.float().cpu(), rtol=1e-3, atol=1e-4)


def _unless(holds: bool, said: str) -> str | None:
    """The answer of a check whose last question is whether this holds."""
    return None if holds else said


# --- the sampling entry -----------------------------------------------------------------------------------------------


def runs_the_sampler(host: Host) -> str | None:
    seen: Seen = host.at("seen_unet")
    if not seen.sampler:
        return "CFGGuider.sample does not run the Sampler that it is given"
    if not isinstance(seen.denoised, Tensor) or seen.denoised.shape != seen.given["noise"].shape:
        return "the model does not answer a latent of the noise's shape"
    wanted = host.at("patcher").model.process_latent_out(seen.scaled.float())
    return _unless(_close(seen.result, wanted), "CFGGuider.sample does not give back what the Sampler returns")


def gives_the_sampler(host: Host) -> str | None:
    seen: Seen = host.at("seen_unet")
    got, given = seen.sampler, seen.given
    if len(got) != 8:
        return f"a Sampler gets {len(got)} arguments in place of 8"
    checks = {
        "the model": all(one is not None for one in got[0].values()),
        "the noise levels": _equal(got[1], given["sigmas"]),
        "extra_args": isinstance(got[2], dict) and "model_options" in got[2],
        "the callback": got[3] is None,
        "the noise": _equal(got[4], given["noise"]),
        "the latent": _equal(got[5], given["latent"]),
        "the mask": got[6] is None,
        "disable_pbar": got[7] is True,
    }
    wrong = next((f"{name} as argument {place}" for place, (name, good) in enumerate(checks.items()) if not good), None)
    return _unless(wrong is None, f"a Sampler does not get {wrong}")


def processes_entries(host: Host) -> str | None:
    seen: Seen = host.at("seen_unet")
    if len(seen.entries) != 2:
        return f"a prompt of 2 entries is {len(seen.entries)} entries in a Sampler"
    if len({entry.get("uuid") for entry in seen.entries} - {None}) != 2:
        return "entries of a prompt have no uuid of their own"
    level = host.at("patcher").model.model_sampling.percent_to_sigma(0.5)
    end = seen.entries[1].get("timestep_end")
    if end is None or not math.isclose(float(end), float(level), rel_tol=1e-4):
        return "an entry's timestep_end is not the noise level of its end_percent"
    return _unless("timestep_end" not in seen.entries[0], "an entry without a timestep range has a timestep_end")


def tells_the_call(host: Host) -> str | None:
    seen: Seen = host.at("seen_unet")
    uuids, branches, rows = [], [], 0
    for positional, keyword in seen.calls("APPLY_MODEL"):
        options = _options((*positional, *keyword.values()))
        if options is None or not {"cond_or_uncond", "uuids", "sigmas"} <= options.keys():
            return "a network call is not told cond_or_uncond, uuids and sigmas"
        if len(options["uuids"]) != len(options["cond_or_uncond"]):
            return "a network call is not told as many uuids as cond_or_uncond"
        uuids += list(options["uuids"])
        branches += list(options["cond_or_uncond"])
        rows += positional[0].shape[0] if positional else 0
    if sorted(map(str, uuids)) != sorted(str(entry.get("uuid")) for entry in seen.entries):
        return "the uuids of the network's calls are not those of the prompt's entries"
    if set(branches) != {0}:
        return "a positive prompt alone is asked for its unconditional branch, or 0 no longer means conditional"
    return _unless(rows == len(uuids), "a network call does not have one row for each uuid and latent")


def predicts_noise(host: Host) -> str | None:
    seen: Seen = host.at("seen_unet")
    calls = seen.calls("DIFFUSION_MODEL")
    if len(calls) != 1:
        return f"two entries of equal shape go through the network in {len(calls)} calls"
    out = seen.network[1]
    sigma = float(seen.given["sigmas"][0])
    prediction = (seen.scaled.float() - seen.denoised.float()) / sigma
    return _unless(_close(prediction, out.mean(0, keepdim=True)), "(x - denoised) / sigma is not the network's output")


def draws_noise(host: Host) -> str | None:
    prepare = host.at("comfy.sample.prepare_noise")
    latent = torch.zeros(2, 4, 3, 5)
    wanted = torch.randn(latent.shape, generator=torch.Generator().manual_seed(7))
    if not _equal(prepare(latent, 7, None), wanted):
        return "prepare_noise gives other noise than torch.randn with the same seed on the CPU"
    generator = torch.Generator().manual_seed(7)
    each = [torch.randn(1, *latent.shape[1:], generator=generator) for _ in range(4)]
    good = _equal(prepare(latent, 7, [3, 1]), torch.cat([each[3], each[1]]))
    return _unless(good, "prepare_noise does not give each place of batch_index its own noise")


def makes_sigmas(host: Host) -> str | None:
    names = list(host.at("comfy.samplers.SCHEDULER_NAMES"))
    for name in ("normal", "ddim_uniform"):
        if name not in names:
            return f"there is no scheduler {name}"
    sampling = host.at("patcher").get_model_object("model_sampling")
    sigmas = host.at("comfy.samplers.calculate_sigmas")(sampling, "normal", STEPS)
    falls = len(sigmas) == STEPS + 1 and bool((sigmas[:-1] > sigmas[1:]).all()) and float(sigmas[-1]) == 0
    if not falls:
        return f"calculate_sigmas does not give {STEPS + 1} falling noise levels for {STEPS} steps"
    first = float(sampling.sigma_max)
    return _unless(math.isclose(float(sigmas[0]), first, rel_tol=1e-4), "scheduler normal does not begin at sigma_max")


def fixes_channels(host: Host) -> str | None:
    fixed = host.at("comfy.sample.fix_empty_latent_channels")(host.at("flux"), torch.zeros(1, 4, 8, 8))
    return _unless(tuple(fixed.shape) == (1, 16, 8, 8), "an empty latent does not get the model's channels")


# --- patch points -----------------------------------------------------------------------------------------------------


def wraps(host: Host) -> str | None:
    seen: Seen = host.at("seen_unet")
    order = [name for name, *_ in seen.events if name.isupper()]
    if order != ["APPLY_MODEL", "DIFFUSION_MODEL"]:
        return "an APPLY_MODEL wrapper and a DIFFUSION_MODEL wrapper within it are not called once each"
    positional, keyword = seen.calls("APPLY_MODEL")[0]
    if len(positional) < 6 or not isinstance(positional[5], dict) or keyword.get("transformer_options") is not None:
        return "an APPLY_MODEL wrapper does not get transformer_options as its argument 5"
    if not isinstance(positional[0], Tensor) or not isinstance(positional[1], Tensor):
        return "an APPLY_MODEL wrapper does not get x and t first"
    inner, words = seen.calls("DIFFUSION_MODEL")[0]
    if not inner or not isinstance(inner[0], Tensor) or inner[0].shape != positional[0].shape:
        return "a DIFFUSION_MODEL wrapper does not get x first"
    if _options((*inner, *words.values())) is None:
        return "a DIFFUSION_MODEL wrapper does not get the call's transformer options"
    if seen.network[0] is not host.at("patcher").model.diffusion_model:
        return "executor.class_obj of a DIFFUSION_MODEL wrapper is not the network"
    return _unless(seen.left, "an APPLY_MODEL wrapper cannot answer for a network that was left early")


def patches_blocks(host: Host) -> str | None:
    seen: Seen = host.at("seen_unet")
    network = host.at("patcher").model.diffusion_model
    inputs, outputs = len(network.input_blocks), len(network.output_blocks)
    blocks = [("input", number) for number in range(inputs)] + [("output", number) for number in range(outputs)]
    wanted = [(f"{side} {place}", (side, number)) for side, number in blocks for place in (1, 2)]
    got = [
        (name, arguments[-1].get("block") if isinstance(arguments[-1], dict) else None)
        for name, arguments, _ in seen.events
        if name.startswith(("input", "output"))
    ]
    if got != wanted:
        return "patches of input and output blocks are not called in their order, with the block in their options"
    first, _ = seen.calls("output 1")[0]
    if len(first) != 3 or not isinstance(first[1], Tensor):
        return "output_block_patch does not get h, skip and options"
    return _unless(_equal(first[0], seen.middle), "the first output_block_patch does not see the middle block's output")


def replaces_blocks(host: Host) -> str | None:
    from ....scoring.presets import is_hidden
    from ..scoring.taps import taps_of

    seen: Seen = host.at("seen_flux")
    wanted = [f"{kind} {number}" for kind in ("double_block", "single_block") for number in range(2)]
    if [name for name, *_ in seen.events] != wanted:
        return "blocks of a transformer are not replaced by patches_replace['dit'], or not in their order"
    for name, (args, _, out), _ in seen.events:
        needed = {"img", "txt"} if name.startswith("double") else {"img"}
        if not (isinstance(args, dict) and isinstance(out, dict) and needed <= out.keys() and "img" in args):
            return f"a replaced {name.split()[0]} does not get or answer {' and '.join(sorted(needed))}"
    text, sequence = seen.events[1][1][2]["txt"], seen.events[2][1][0]["img"]
    if not _equal(sequence[:, : text.shape[1]], text):
        return "the single blocks' sequence does not begin with the text of the last double block"
    # The taps search the class's code for these names.
    return _unless(len([*filter(is_hidden, taps_of(host.at("flux")))]) == 4, "its code no longer names these blocks")


def names_layers(host: Host) -> str | None:
    network = host.at("patcher.model.diffusion_model")
    names = {name for name, _ in network.named_modules()}
    blocks = [name for name in names if _BLOCK.fullmatch(name)]
    if len(blocks) != 3:
        return "transformer blocks of a U-Net have other names"
    missing = [layer for layer in _LAYERS if f"{min(blocks)}.{layer}" not in names]
    return f"a transformer block of a U-Net has no {missing[0]}" if missing else None


# --- the MODEL --------------------------------------------------------------------------------------------------------


def is_a_model(host: Host) -> str | None:
    patcher = host.at("patcher")
    if not isinstance(patcher.model_options.get("transformer_options"), dict):
        return "model_options has no transformer_options"
    if patcher.get_model_object("diffusion_model") is not patcher.model.diffusion_model:
        return "get_model_object does not give the network"
    if not all(
        isinstance(getattr(patcher, name), dict) for name in ("patches", "object_patches", "wrappers", "backup")
    ):
        return "a MODEL's patches are no dictionaries"
    return _unless(patcher.is_clone(patcher.clone()), "is_clone does not know a clone")


def clones(host: Host) -> str | None:
    def patch(*_: Any) -> None:
        return None

    first = host.at("patcher").clone()
    first.attachments["emoe_contract"] = attached = object()
    options = first.model_options["transformer_options"]
    options["patches"] = {"attn2_patch": [patch]}
    second = first.clone()
    copied = second.model_options["transformer_options"]["patches"]["attn2_patch"]
    if second.model is not first.model:
        return "a clone has another network than its MODEL"
    if copied is options["patches"]["attn2_patch"] or second.object_patches is first.object_patches:
        return "a clone shares its lists of patches with its MODEL"
    if copied[0] is not patch:
        return "a clone has copies of closures in place of those of its MODEL"
    return _unless(
        second.attachments.get("emoe_contract") is attached, "a clone does not share its MODEL's attachments"
    )


def keeps_own_weights(host: Host) -> str | None:
    found: Loaded = host.at("loaded")
    if not _close(found.in_network, found.own + 1):
        return "loading a MODEL with a weight patch does not merge the patch into the network"
    return _unless(_equal(found.told, found.own), "get_key_patches gives merged weights in place of a MODEL's own")


def keeps_objects(host: Host) -> str | None:
    found: Loaded = host.at("loaded")
    if found.seen_by_clone is not found.patch:
        return "get_model_object does not see an object patch of its own clone"
    if found.standing is not found.patch:
        return "an object patch does not stand in the network while its clone is loaded"
    if found.backed_up is not found.original:
        return "object_patches_backup of other clones does not have what an object patch replaced"
    return _unless(found.after is found.original, "an object patch stays in the network when another clone is loaded")


def says_what_it_is(host: Host) -> str | None:
    model = host.at("patcher").model
    if model.model_config.unet_config.get("context_dim") != CONTEXT:
        return "unet_config does not tell the width of the text encoding (context_dim)"
    if (model.latent_format.latent_channels, model.latent_format.latent_dimensions) != (4, 2):
        return "latent_format does not tell channels and dimensions of a latent"
    if model.model_type.name != "EPS":
        return "model_type does not call Stable Diffusion's prediction EPS"
    names = {cls.__name__ for cls in type(model.model_sampling).__mro__}
    if names & set(_PREDICTIONS) != {"EPS"}:
        return "the classes of model_sampling do not name the prediction"
    if type(model) is not host.at("comfy.model_base.BaseModel"):
        return "a Stable Diffusion 1 is not a plain BaseModel"
    flow = {cls.__name__ for cls in type(host.at("flux").model.model_sampling).__mro__}
    return _unless("CONST" in flow, "the classes of a flow model's sampling do not name CONST")


def _adds(self: object, weight: Tensor, key: str, strength: float, *others: object) -> Tensor:
    return weight + strength


def merges_weights(host: Host) -> str | None:
    weight = torch.full((2, 2), 0.5)
    patches = [(2.0, ("diff", (torch.ones(2, 2),)), 1.0, None, None)]
    merged = host.at("comfy.lora.calculate_weight")(patches, weight.clone(), "key")
    if not _close(merged, torch.full((2, 2), 2.5)):
        return "calculate_weight does not add a difference times its strength"
    adapter = type("Adds", (host.at("comfy.weight_adapter.WeightAdapterBase"),), {"calculate_weight": _adds})()
    patches = [(2.0, adapter, 1.0, None, None)]
    if not _close(host.at("comfy.lora.calculate_weight")(patches, weight.clone(), "key"), torch.full((2, 2), 2.5)):
        return "calculate_weight does not leave a weight to a weight adapter"
    rounding = host.at("comfy.float.stochastic_rounding")
    seed = host.at("comfy.model_patcher.string_to_seed")("key")
    if not isinstance(seed, int) or rounding(merged, torch.float16, seed=seed).dtype != torch.float16:
        return "stochastic_rounding with string_to_seed does not give the type that it is asked for"
    model = host.at("patcher")
    key = "diffusion_model.input_blocks.1.1.proj_in.weight"
    lora = {
        "diffusion_model.input_blocks.1.1.proj_in.lora_up.weight": torch.ones(64, 1, 1, 1),
        "diffusion_model.input_blocks.1.1.proj_in.lora_down.weight": torch.ones(1, 64, 1, 1),
    }
    patched, text = host.at("comfy.sd.load_lora_for_models")(model, None, lora, 1.0, 1.0)
    if text is not None or key in model.patches or patched is model:
        return "load_lora_for_models does not patch a clone of the MODEL alone"
    return _unless(key in patched.patches, "load_lora_for_models does not know a LoRA by the network's own names")


def casts_layers(host: Host) -> str | None:
    layer = host.at("comfy.ops.manual_cast.Linear")(4, 2, bias=False, dtype=torch.float32, device="cpu")
    fill_layers(layer)
    with torch.no_grad():
        layer.weight.fill_(0.5)
        out = layer(torch.ones(1, 4, dtype=torch.bfloat16))
    good = out.dtype == torch.bfloat16 and bool((out == 2).all())
    return _unless(good, "manual_cast.Linear does not compute in the type of its input")


# --- files ------------------------------------------------------------------------------------------------------------


def detects_a_model(host: Host) -> str | None:
    base = host.at("comfy.supported_models_base.BASE")
    if not hasattr(base, "quant_config") and not hasattr(base, "scaled_fp8"):
        return "a family's config does not tell whether layers are quantised (quant_config or scaled_fp8)"
    network = host.at("patcher").model.diffusion_model
    state = {f"model.diffusion_model.{name}": weight.to("meta") for name, weight in network.state_dict().items()}
    prefix = host.at("comfy.model_detection.unet_prefix_from_state_dict")(state)
    if prefix != "model.diffusion_model.":
        return "unet_prefix_from_state_dict does not find the network's names in a checkpoint"
    found = host.at("comfy.model_detection.detect_unet_config")(state, prefix)
    if found is None or found.get("context_dim") != CONTEXT or found.get("model_channels") != 64:
        return "detect_unet_config does not find a U-Net's widths from its shapes"
    config = host.at("comfy.supported_models.SD15")({**found, "num_heads": 8})
    config.set_inference_dtype(torch.float32, None)
    made = config.get_model(dict(state), prefix, device=torch.device("meta")).diffusion_model
    if type(made) is not host.at("comfy.ldm.modules.diffusionmodules.openaimodel.UNetModel"):
        return "a Stable Diffusion 1's network is no plain UNetModel"
    meta = all(weight.device.type == "meta" for weight in made.parameters())
    fill_layers(made)
    if {name: weight.shape for name, weight in made.named_parameters()} != {
        name: weight.shape for name, weight in network.named_parameters()
    }:
        return "a network made from a detected config has other weights"
    return _unless(meta, "get_model takes memory for weights on the device meta")


def encodes(host: Host) -> str | None:
    clip = host.at("clip")
    tokens = clip.tokenize("cat")
    windows = next(iter(tokens.values())) if isinstance(tokens, dict) and len(tokens) == 1 else None
    if not windows or not all(isinstance(token[0], int) and len(token) == 2 for window in windows for token in window):
        return "tokenize does not give a dict of windows of (token, weight)"
    one = clip.encode_from_tokens_scheduled(tokens)
    if len(one) != 1 or not isinstance(one[0][0], Tensor) or not isinstance(one[0][1].get("pooled_output"), Tensor):
        return "encode_from_tokens_scheduled does not give one entry of a tensor and a dict with pooled_output"
    (name,) = tokens
    other = clip.tokenize("dog")[name]
    both = clip.encode_from_tokens_scheduled({name: [*windows, *other]})[0][0]
    length = len(windows[0])
    apart = both.shape[1] == 2 * length and _close(both[:, :length], one[0][0])
    return _unless(apart, "windows of a prompt are not encoded one after the other")


def pairs_pictures_and_texts(host: Host) -> str | None:
    clip, picture = host.at("clip"), torch.rand(2, 12, 8, 3, generator=torch.Generator().manual_seed(0))
    with torch.no_grad():
        vectors = host.at("clip_vision").encode_image(picture)["image_embeds"]
    if not isinstance(vectors, Tensor) or tuple(vectors.shape) != (2, 8):
        return "encode_image does not give image_embeds, a vector per picture"
    encoder, tokens = clip.cond_stage_model, clip.tokenize("cat")
    for projected in (True, False):
        encoder.reset_clip_options()
        encoder.set_clip_options({"projected_pooled": projected, "execution_device": clip.patcher.load_device})
        told = getattr(encoder.clip_l, "return_projected_pooled", None)
        with torch.no_grad():
            pooled = encoder.encode_token_weights(tokens)[1]
        encoder.reset_clip_options()
        if told is not projected:
            return "a text encoder does not project the vector of a text as it is told"
        if not isinstance(pooled, Tensor) or pooled.ndim != 2:
            return "encode_token_weights does not give the vector of a text second"
    return None


def writes(host: Host) -> str | None:
    kind = host.at("comfy.sd.CLIP")
    if not hasattr(kind, "generate"):
        return None
    for name, given in (("generate", ("do_sample", "max_length", "seed")), ("decode", ())):
        try:
            inspect.signature(getattr(kind, name)).bind(None, None, **dict.fromkeys(given))
        except (TypeError, AttributeError):
            return f"CLIP.{name} is no longer called as it was"
    return None


def decodes(host: Host) -> str | None:
    vae = host.at("vae")
    if getattr(vae, "latent_channels", None) != 4:
        return "a VAE does not tell its latent_channels"
    with torch.no_grad():
        picture = vae.decode(torch.zeros(1, 4, 4, 4))
    good = isinstance(picture, Tensor) and tuple(picture.shape) == (1, 32, 32, 3)
    return _unless(good, "a VAE does not decode [1, 4, h, w] to a picture [1, 8h, 8w, 3]")


# --- the machine ------------------------------------------------------------------------------------------------------


def loads_and_frees(host: Host) -> str | None:
    management, model = host.at("comfy.model_management"), host.at("patcher").clone()

    def listed() -> bool:
        return any(one.model is not None and one.model.is_clone(model) for one in management.current_loaded_models)

    management.load_models_gpu([model], force_full_load=True)
    if not listed():
        return "current_loaded_models does not list a MODEL that load_models_gpu has loaded"
    others = [one for one in management.current_loaded_models if one.model is None or not one.model.is_clone(model)]
    management.free_memory(1e30, model.load_device, keep_loaded=others)
    kept = {id(one) for one in management.current_loaded_models}
    if listed():
        return "free_memory does not unload a MODEL"
    return _unless(all(id(one) in kept for one in others), "free_memory unloads models that it is told to keep")


def interrupts(host: Host) -> str | None:
    management = host.at("comfy.model_management")
    check = host.at("comfy.model_management.throw_exception_if_processing_interrupted")
    check()
    management.interrupt_current_processing(True)
    try:
        check()
    except Exception:  # the pack passes it on, whatever it is
        return None
    except BaseException as error:  # newer hosts raise one that no `except Exception` catches
        return (
            None if type(error).__name__ == "InterruptProcessingException" else f"Cancel raises {type(error).__name__}"
        )
    finally:
        management.interrupt_current_processing(False)
    return "Cancel does not raise"


def knows_folders(host: Host) -> str | None:
    paths = host.at("folder_paths")
    for folder in ("checkpoints", "diffusion_models", "loras", "embeddings", "diffusers"):
        if not isinstance(paths.get_folder_paths(folder), (list, tuple)):
            return f"folder_paths does not know the folder {folder}"
    if paths.get_full_path("checkpoints", "emoe_contract/none.safetensors") is not None:
        return "get_full_path does not answer None for a file that is not there"
    if not all(isinstance(name, str) for name in paths.get_filename_list("loras")):
        return "get_filename_list does not list names"
    saved = host.at("folder_paths.get_save_image_path")("emoe_contract", paths.get_output_directory())
    good = len(saved) == 5 and Path(saved[0]).is_dir() and saved[1] == "emoe_contract" and isinstance(saved[2], int)
    return _unless(good, "get_save_image_path does not give folder, name, counter, subfolder and prefix")


# --- the graph --------------------------------------------------------------------------------------------------------


def moves_the_bar(host: Host) -> str | None:
    bar = host.at("comfy.utils.ProgressBar")(3)
    bar.update(1)
    bar.update_absolute(2, 3)
    return _unless((bar.current, bar.total) == (2, 3), "ProgressBar does not count")


def tells_the_node(host: Host) -> str | None:
    if host.at("comfy_execution.utils.get_executing_context")() is not None:
        return "get_executing_context tells a node outside of a run"
    context = host.at("comfy_execution.utils.ExecutionContext")(prompt_id="a", node_id="b", list_index=0)
    return _unless((context.prompt_id, context.node_id, context.list_index) == ("a", "b", 0), "it tells other things")


def blocks_silently(host: Host) -> str | None:
    blocker = host.at("comfy_execution.graph_utils.ExecutionBlocker")(None)
    return _unless(getattr(blocker, "message", "") is None, "ExecutionBlocker(None) is no silent blocker")


def _options(arguments: tuple[Any, ...]) -> dict[str, Any] | None:
    """The transformer options among a call's arguments."""
    return next((one for one in arguments if isinstance(one, dict) and "cond_or_uncond" in one), None)


if TYPE_CHECKING:
    from .entries import Host

#: Used by the batch command, the ledger, the audit and the pack's widgets.
ROUTES = (
    ("get", "/ws"),
    ("get", "/object_info"),
    ("get", "/history"),
    ("get", "/history/{prompt_id}"),
    ("get", "/queue"),
    ("post", "/prompt"),
)
_ARGUMENTS = ["self", "text", "node_id", "sid"]


def routes(host: Host) -> str | None:
    """Whether server.py has every route, and the call that shows a line below a node.

    It is read from the source, because importing it would start half a server.
    """
    tree = ast.parse(host.text("server.py"))
    found = {route for node in ast.walk(tree) if (route := _route(node)) is not None}
    if missing := [f"{method.upper()} {path}" for method, path in ROUTES if (method, path) not in found]:
        return f"this ComfyUI's server has no {missing[0]}"
    shown = [node for node in ast.walk(tree) if isinstance(node, ast.FunctionDef) and node.name == "send_progress_text"]
    if not shown:
        return "this ComfyUI's server has no send_progress_text"
    given = [argument.arg for argument in shown[0].args.args]
    if given[: len(_ARGUMENTS)] != _ARGUMENTS:
        return f"this ComfyUI's send_progress_text takes ({', '.join(given)})"
    names = {node.attr for node in ast.walk(tree) if isinstance(node, ast.Attribute)}
    if "client_id" not in names or "instance" not in names:
        return "this ComfyUI's PromptServer has no instance or no client_id"
    return None


def takes_routes(host: Host) -> str | None:
    """Whether routes that a pack adds while it is loaded are served, and the history can be asked; read from the sources too."""
    lines = {
        name: [node.lineno for node in _calls(host.text("main.py"), name)]
        for name in ("init_extra_nodes", "add_routes")
    }
    if not all(lines.values()) or max(lines["add_routes"]) < max(lines["init_extra_nodes"]):
        return "this ComfyUI's main.py does not add its routes after the packs are loaded"
    added = _function(host.text("server.py"), "add_routes")
    if (
        added is None
        or "self.app.add_routes(self.routes)" not in (source := ast.unparse(added))
        or "'/api' + route.path" not in source
    ):
        return "this ComfyUI's server does not add its routes under /api"
    asked = _function(host.text("execution.py"), "get_history")
    given = [] if asked is None else [argument.arg for argument in asked.args.args]
    if not {"prompt_id", "map_function"}.issubset(given):
        return "this ComfyUI's get_history does not take prompt_id and map_function"
    return None


def _calls(source: str, name: str) -> list[ast.Call]:
    calls = (node for node in ast.walk(ast.parse(source)) if isinstance(node, ast.Call))
    return [node for node in calls if isinstance(node.func, ast.Attribute) and node.func.attr == name]


def _function(source: str, name: str) -> ast.FunctionDef | None:
    tree = ast.walk(ast.parse(source))
    return next((node for node in tree if isinstance(node, ast.FunctionDef) and node.name == name), None)


def _route(node: ast.AST) -> tuple[str, str] | None:
    """Method and path of a decorator such as routes.get("/queue")."""
    if not isinstance(node, ast.Call) or not isinstance(node.func, ast.Attribute) or not node.args:
        return None
    called, path = node.func, node.args[0]
    if isinstance(called.value, ast.Name) and called.value.id == "routes" and isinstance(path, ast.Constant):
        return called.attr, str(path.value)
    return None
