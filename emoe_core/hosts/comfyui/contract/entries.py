"""What the pack relies on in ComfyUI beyond its documented node API, in one list, each entry with a check.

A host that breaks an entry breaks the feature that the entry names. `python -m emoe_core host` prints what holds, and a host
test asserts every entry on every host. Nothing of ComfyUI is imported before a check asks for it, so the list can be read
anywhere, and a host that lacks half of it still gets its report.

A check sees the host only through `Host.at`. A test gives it a host that lacks or changes one thing, so no check is vacuous.
"""

import importlib
import inspect
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from . import behaviour
from .objects import OBJECTS

#: Replaces a thing that a stand-in host shall lack.
LACKING = object()
Check = Callable[["Host"], "str | None"]


class Missing(Exception):
    """A name that this host does not have."""


@dataclass(frozen=True)
class Host:
    """A ComfyUI as the checks see it; its modules must be importable.

    Attributes:
        tree: ComfyUI's folder.
        changed: replacements by name, for stand-ins; `LACKING` for a missing thing.
    """

    tree: Path
    changed: Mapping[str, Any] = field(default_factory=dict)
    _made: dict[str, Any] = field(default_factory=dict, repr=False)

    def at(self, path: str) -> Any:
        """The thing behind a dotted name: a module's part, or one of the small objects of `OBJECTS`.

        Raises:
            Missing: there is no such thing.
        """
        found: Any = None
        parts = path.split(".")
        for number, part in enumerate(parts, start=1):
            name = ".".join(parts[:number])
            if name in self.changed:
                found = self.changed[name]
            else:
                found = self._step(found, name, part) if number > 1 else self._root(name)
            if found is LACKING:
                raise Missing(name)
        return found

    def text(self, name: str) -> str:
        """The text of a file in ComfyUI's folder that cannot be imported without starting a server."""
        found = self.changed.get(name)
        if found is LACKING or (found is None and not (self.tree / name).is_file()):
            raise Missing(name)
        return str(found) if found is not None else (self.tree / name).read_text("utf-8", errors="replace")

    def _root(self, name: str) -> Any:
        if name not in OBJECTS:
            return self._module(name)
        if name not in self._made:
            self._made[name] = OBJECTS[name](self)
        return self._made[name]

    def _step(self, found: Any, path: str, name: str) -> Any:
        if hasattr(found, name):
            return getattr(found, name)
        if inspect.ismodule(found):
            return self._module(path)
        raise Missing(path)

    def _module(self, path: str) -> Any:
        try:
            return importlib.import_module(path)
        except ModuleNotFoundError as error:
            if error.name is not None and (path == error.name or path.startswith(f"{error.name}.")):
                raise Missing(path) from None
            raise


@dataclass(frozen=True)
class Entry:
    """One thing that the pack relies on.

    Attributes:
        relied_on: the thing, in one sentence.
        breaks: what the user loses without it; follows "so".
        uses: names; functions with their arguments as the pack passes them: "module.call(one, two, key=)".
        behaves: checks what the host does with them.
        offered: like `uses`, for newer hosts only: without them, a host lacks only the feature that needs them.
    """

    name: str
    relied_on: str
    breaks: str
    uses: tuple[str, ...] = ()
    behaves: Check | None = None
    offered: tuple[str, ...] = ()

    def check(self, host: Host) -> str | None:
        """None where this holds, else one sentence: what this host does differently, and what that breaks."""
        there = (use for use in self.offered if _is_there(use.partition("(")[0], host))
        said = next((said for use in (*self.uses, *there) if (said := _use(use, host))), None)
        if said is None and self.behaves is not None:
            said = _guarded(self.behaves, host)
        return None if said is None else f"{said}, so {self.breaks}."


def _is_there(path: str, host: Host) -> bool:
    try:
        host.at(path)
    except Missing:
        return False
    return True


def _use(use: str, host: Host) -> str | None:
    path, _, form = use.partition("(")
    called = _guarded(lambda one: None if one.at(path) is not None or not form else f"{path} is empty", host)
    if called is not None or not form:
        return called
    words = [word.strip() for word in form.rstrip(")").split(",") if word.strip()]
    keywords = {word.rstrip("="): None for word in words if word.endswith("=")}
    return _guarded(lambda one: _binds(one.at(path), path, len(words) - len(keywords), keywords, use), host)


def _binds(called: Any, path: str, positional: int, keywords: dict[str, None], use: str) -> str | None:
    try:
        signature = inspect.signature(called)
    except ValueError:  # written in C, without a signature
        return None
    try:
        signature.bind(*[None] * positional, **keywords)
    except TypeError as error:
        return f"{path} is no longer called as {use} ({error})"
    return None


def _guarded(check: Check, host: Host) -> str | None:
    """A check's exception is its answer: a host that breaks one thing must still get answers about the others."""
    try:
        return check(host)
    except Missing as missing:
        return f"this ComfyUI has no {missing}"
    except Exception as error:
        lines = str(error).strip().splitlines() or [""]
        return f"this ComfyUI answers with {type(error).__name__} ({lines[0][:200]})"


def broken(host: Host) -> dict[str, str]:
    """The sentence of every entry that this host breaks, by the entry's name."""
    return {entry.name: said for entry in ENTRIES if (said := entry.check(host)) is not None}


_SCORES = "no prompt can be scored"
_OWN_FILES = "Load Experts cannot read checkpoints"
_MIXTURES = "Build Mixture and Load SegMoE do not work"
_DEMO = "the demo experts cannot be loaded"

ENTRIES: tuple[Entry, ...] = (
    # --- a network call through the host's sampling -------------------------------------------------------------------
    Entry(
        "sampling entry",
        "CFGGuider runs any Sampler on a MODEL and a positive CONDITIONING alone, and gives back the latent that it returns.",
        _SCORES,
        (
            "comfy.samplers.CFGGuider(patcher)",
            "comfy.samplers.CFGGuider.inner_set_conds(self, conds)",
            "comfy.samplers.CFGGuider.set_conds(self, positive, negative)",
            "comfy.samplers.CFGGuider.set_cfg(self, cfg)",
            "comfy.samplers.CFGGuider.sample(self, noise, latent, sampler, sigmas, callback=, disable_pbar=, seed=)",
            "comfy.samplers.sampler_object(name)",
            "comfy.samplers.ksampler(name, options)",
        ),
        behaviour.runs_the_sampler,
    ),
    Entry(
        "sampler's arguments",
        "A Sampler's sample gets model, sigmas, extra_args, callback, noise, latent, mask and disable_pbar, in this order.",
        _SCORES,
        ("comfy.samplers.Sampler", "comfy.samplers.Sampler.max_denoise(self, model_wrap, sigmas)"),
        behaviour.gives_the_sampler,
    ),
    Entry(
        "conditioning entries",
        "The model that a Sampler gets has conds['positive'], one dict per entry with uuid, and timestep_start and "
        "timestep_end as noise levels.",
        "entries of a prompt with areas or timestep ranges cannot be told apart",
        behaves=behaviour.processes_entries,
    ),
    Entry(
        "transformer options",
        "Each network call is told cond_or_uncond, uuids and sigmas of its rows, and a positive prompt alone is never asked "
        "for its unconditional branch.",
        _SCORES,
        behaves=behaviour.tells_the_call,
    ),
    Entry(
        "prediction",
        "The model answers the denoised latent, and (x - denoised) / sigma is what a noise-predicting network put out.",
        "the presets layout, thorough and one_model measure something else than their calibrations did",
        (
            "patcher.model.model_sampling.noise_scaling(sigma, noise, latent, max_denoise)",
            "patcher.model.model_sampling.sigma_max",
            "patcher.model.process_latent_out(latent)",
        ),
        behaviour.predicts_noise,
    ),
    Entry(
        "noise",
        "prepare_noise draws on the CPU from the seed alone, as torch.randn does, and one noise per place in batch_index.",
        "the same seed gives other noise than the calibrations were made with",
        ("comfy.sample.prepare_noise(latent, seed, places)",),
        behaviour.draws_noise,
    ),
    Entry(
        "noise levels",
        "calculate_sigmas gives a scheduler's falling noise levels, one more than steps, and SCHEDULER_NAMES lists them.",
        "at_step means another noise level than the calibrations were made with",
        (
            "comfy.samplers.calculate_sigmas(sampling, scheduler, steps)",
            "comfy.samplers.KSampler(model, steps, device, sampler, scheduler)",
            "comfy.samplers.KSampler.SAMPLERS",
            "comfy.samplers.SCHEDULER_NAMES",
        ),
        behaviour.makes_sigmas,
    ),
    Entry(
        "empty latents",
        "fix_empty_latent_channels gives an empty latent the channels that the model wants.",
        "an Empty Latent Image cannot be used with families of other latents",
        ("comfy.sample.fix_empty_latent_channels(patcher, latent)",),
        behaviour.fixes_channels,
    ),
    # --- places to look into a network --------------------------------------------------------------------------------
    Entry(
        "wrappers",
        "An APPLY_MODEL wrapper gets executor, x, t, c_concat, c_crossattn, control and transformer_options and may answer "
        "itself; within it a DIFFUSION_MODEL wrapper gets x first, and executor.class_obj is the network.",
        "scores cannot leave the network early, and mixtures cannot route",
        (
            "comfy.patcher_extension.WrappersMP.APPLY_MODEL",
            "comfy.patcher_extension.WrappersMP.DIFFUSION_MODEL",
            "patcher.add_wrapper_with_key(kind, key, wrapper)",
            "patcher.wrappers",
        ),
        behaviour.wraps,
    ),
    Entry(
        "U-Net patch points",
        "Patches in model_options run in their list's order: input_block_patch_after_skip with (h, options) behind each input "
        "block, output_block_patch with (h, skip, options) before each output block; the first of them sees the middle "
        "block's output.",
        "the taps mid_in and mid_out are wrong for U-Nets (presets fast and paper)",
        (
            "patcher.model.diffusion_model.input_blocks",
            "patcher.model.diffusion_model.middle_block",
            "patcher.model.diffusion_model.output_blocks",
            "patcher.model.diffusion_model.out",
            "patcher.model.diffusion_model.model_channels",
            "patcher.model.diffusion_model.channel_mult",
        ),
        behaviour.patches_blocks,
    ),
    Entry(
        "transformer patch points",
        "patches_replace['dit'] replaces ('double_block', i) and ('single_block', i): a patch gets (args, extra), and "
        "extra['original_block'](args) answers a dict with img, in double blocks with txt too.",
        "diffusion transformers have no block taps (preset fast)",
        (
            "flux.set_model_patch_replace(patch, place, kind, number)",
            "flux.model.diffusion_model.double_blocks",
            "flux.model.diffusion_model.single_blocks",
        ),
        behaviour.replaces_blocks,
    ),
    Entry(
        "names of layers",
        "A U-Net's transformers are called input_blocks.N.M.transformer_blocks.K and have attn1, attn2 (to_q, to_k, to_v) and "
        "ff.",
        _MIXTURES,
        behaves=behaviour.names_layers,
    ),
    # --- the MODEL ----------------------------------------------------------------------------------------------------
    Entry(
        "MODEL",
        "A MODEL is a ModelPatcher with these attributes; model_options has transformer_options.",
        "no MODEL can be made an expert",
        (
            "comfy.model_patcher.ModelPatcher(model, load_device=, offload_device=)",
            "patcher.model",
            "patcher.model_options",
            "patcher.patches",
            "patcher.patches_uuid",
            "patcher.backup",
            "patcher.hook_backup",
            "patcher.object_patches",
            "patcher.object_patches_backup",
            "patcher.weight_wrapper_patches",
            "patcher.additional_models",
            "patcher.injections",
            "patcher.attachments",
            "patcher.size",
            "patcher.load_device",
            "patcher.offload_device",
            "patcher.model_size()",
            "patcher.model_dtype()",
            "patcher.is_clone(other)",
            "patcher.get_model_object(name)",
            "patcher.model.device",
        ),
        behaviour.is_a_model,
    ),
    Entry(
        "clones",
        "A clone shares the network and its attachments, has lists of patches of its own, and closures among its patches stay "
        "the same objects.",
        "a score would change the user's MODEL",
        ("patcher.clone()",),
        behaviour.clones,
    ),
    Entry(
        "own weights",
        "get_key_patches gives every weight's own value first, also while patches are merged into the network.",
        "one model has two identities, and a calibration is refused after the first image",
        ("patcher.get_key_patches(prefix)", "patcher.add_patches(patches, strength)"),
        behaviour.keeps_own_weights,
    ),
    Entry(
        "object patches",
        "An object patch stands in the shared network while its clone is loaded, the original in object_patches_backup of "
        "every clone, and get_model_object sees a clone's own.",
        "mixtures and the identity of patched models are wrong",
        ("patcher.add_object_patch(name, value)",),
        behaviour.keeps_objects,
    ),
    Entry(
        "what a model is",
        "A model says its family, latents, prediction and number type: model_config.unet_config, latent_format, model_type, "
        "concat_keys, manual_cast_dtype, and the classes of its model_sampling.",
        "models of different families would be compared",
        (
            "patcher.model.model_config.unet_config",
            "patcher.model.latent_format.latent_channels",
            "patcher.model.latent_format.latent_dimensions",
            "patcher.model.model_type.name",
            "patcher.model.concat_keys",
            "patcher.model.manual_cast_dtype",
            "patcher.model.model_sampling",
            "comfy.model_base.BaseModel",
        ),
        behaviour.says_what_it_is,
    ),
    Entry(
        "weight patches",
        "load_lora_for_models patches clones of MODEL and CLIP; calculate_weight, stochastic_rounding and string_to_seed merge "
        "a patch as loading does, and leave what a weight adapter adds to it.",
        "Experts from LoRAs, slim experts and mixtures of patched experts do not work",
        (
            "comfy.sd.load_lora_for_models(model, clip, lora, strength_model, strength_clip)",
            "comfy.lora.calculate_weight(patches, weight, key)",
            "comfy.weight_adapter.WeightAdapterBase",
            "comfy.float.stochastic_rounding(value, dtype, seed=)",
            "comfy.model_patcher.string_to_seed(key)",
            "comfy.model_patcher.wipe_lowvram_weight(module)",
        ),
        behaviour.merges_weights,
    ),
    Entry(
        "layers that cast",
        "manual_cast.Linear computes in its input's type and on its device, whatever its weights have.",
        _MIXTURES,
        ("comfy.ops.manual_cast.Linear(width, count, bias=, dtype=, device=)",),
        behaviour.casts_layers,
    ),
    # --- files --------------------------------------------------------------------------------------------------------
    Entry(
        "loaders",
        "ComfyUI's own loaders give MODEL and CLIP as the first two of a checkpoint, and MODEL, CLIP and VAE of parts.",
        _OWN_FILES,
        (
            "comfy.sd.load_checkpoint_guess_config"
            "(path, output_vae=, output_clip=, embedding_directory=, output_model=)",
            "comfy.sd.load_diffusion_model(path)",
            "comfy.sd.load_diffusion_model_state_dict(state)",
            "comfy.sd.load_clip(paths, embedding_directory=)",
            "comfy.sd.VAE(sd=, config=)",
            "comfy.sd.VAE.decode(self, latent)",
            "comfy.sd.VAE.throw_exception_if_invalid(self)",
            "comfy.utils.load_torch_file(path, safe_load=)",
            "comfy.utils.unet_to_diffusers(config)",
        ),
    ),
    Entry(
        "model detection",
        "The parts of the checkpoint loader can be called one by one: a family's config is found from names, shapes and small "
        "tensors, and makes a model on the device meta.",
        "Load Experts cannot leave the decoder in its file (encoder only)",
        (
            "comfy.model_detection.unet_prefix_from_state_dict(state)",
            "comfy.model_detection.model_config_from_unet(state, prefix, metadata=)",
            "comfy.model_detection.detect_unet_config(state, prefix)",
            "comfy.supported_models_base.BASE.model_type(self, state, prefix)",
            "comfy.supported_models_base.BASE.sampling_settings",
            "comfy.supported_models_base.BASE.process_unet_state_dict",
            "comfy.supported_models_base.BASE.process_clip_state_dict",
            "comfy.supported_models_base.BASE.get_model(self, state, prefix, device=)",
            "comfy.supported_models_base.BASE.set_inference_dtype(self, dtype, manual_cast)",
            "comfy.supported_models_base.BASE.matches(config)",
            "comfy.supported_models_base.BASE.supported_inference_dtypes",
            "comfy.supported_models_base.ClipTarget(tokenizer, model)",
            "comfy.supported_models.SD15.clip_target(self, state_dict=)",
            "comfy.model_base.BaseModel.load_model_weights(self, state, prefix)",
            "comfy.utils.calculate_parameters(state, prefix)",
            "comfy.utils.weight_dtype(state, prefix)",
            "comfy.ldm.modules.diffusionmodules.openaimodel.UNetModel",
            "comfy.ldm.modules.diffusionmodules.openaimodel.TimestepEmbedSequential",
        ),
        behaviour.detects_a_model,
    ),
    Entry(
        "text encoders",
        "A CLIP's tokenize gives windows of (token, weight), and its encoding stands window after window in one tensor.",
        "prompts cannot be encoded for the experts",
        (
            "clip.tokenize(text)",
            "clip.encode_from_tokens_scheduled(tokens)",
            "clip.clone()",
            "clip.patcher",
            "clip.patcher.forced_hooks",
            "clip.cond_stage_model",
            "clip.layer_idx",
        ),
        behaviour.encodes,
    ),
    Entry(
        "CLIP pairs",
        "A CLIP_VISION gives one vector for a picture, and a CLIP's encoder one for a text, projected or not as it is told.",
        "the judges clip and clip_score do not work",
        (
            "clip.cond_stage_model.reset_clip_options()",
            "clip.cond_stage_model.set_clip_options(options)",
            "clip.cond_stage_model.encode_token_weights(tokens)",
            "comfy.clip_vision.ClipVisionModel(config)",
            "comfy.clip_vision.ClipVisionModel.encode_image(self, picture)",
            "clip_vision.patcher",
        ),
        behaviour.pairs_pictures_and_texts,
    ),
    Entry(
        "text encoders that write",
        "Where a CLIP has generate, it takes what the node Generate Text gives it, and decode makes a text of what it writes.",
        "the judge question does not work",
        behaves=behaviour.writes,
    ),
    Entry(
        "parts of the demo experts",
        "The classes of Stable Diffusion 1 can be derived from with other sizes: tokenizer, text encoder, family, latents, and "
        "a VAE from a config.",
        _DEMO,
        (
            "comfy.sd1_clip.SDTokenizer"
            "(path, max_length=, embedding_directory=, embedding_size=, tokenizer_class=, tokenizer_data=)",
            "comfy.sd1_clip.SD1Tokenizer(embedding_directory, tokenizer_data, tokenizer=)",
            "comfy.sd1_clip.SDClipModel"
            "(device=, dtype=, max_length=, textmodel_json_config=, special_tokens=, return_projected_pooled=, model_options=)",
            "comfy.sd1_clip.SD1ClipModel(device=, dtype=, model_options=, clip_model=)",
            "comfy.sd.CLIP(target, embedding_directory=, tokenizer_data=, parameters=, model_options=)",
            "comfy.sd.CLIP.load_sd(self, state, full_model=)",
            "comfy.supported_models.SD15(config)",
            "comfy.latent_formats.SD15()",
        ),
        behaviour.decodes,
    ),
    # --- the machine --------------------------------------------------------------------------------------------------
    Entry(
        "memory",
        "The host chooses devices and number types, loads and unloads models when it is asked, and lists those in memory.",
        "experts cannot be loaded, or stay in memory twice",
        (
            "comfy.model_management.get_torch_device()",
            "comfy.model_management.unet_offload_device()",
            "comfy.model_management.unet_inital_load_device(parameters, dtype)",
            "comfy.model_management.unet_dtype(model_params=, supported_dtypes=, weight_dtype=)",
            "comfy.model_management.unet_manual_cast(dtype, device, supported)",
            "comfy.model_management.load_models_gpu(models, force_full_load=)",
            "comfy.model_management.free_memory(size, device, keep_loaded=)",
            "comfy.model_management.current_loaded_models",
            "comfy.model_management.soft_empty_cache()",
            "comfy.model_management.OOM_EXCEPTION",
        ),
        behaviour.loads_and_frees,
        (
            "comfy.model_prefetch.cleanup_prefetch_queues()",
            "comfy.model_patcher.CoreModelPatcher(model, device, device)",
        ),
    ),
    Entry(
        "interrupts",
        "throw_exception_if_processing_interrupted raises when the user has pressed Cancel, and does nothing else.",
        "long runs cannot be cancelled",
        ("comfy.model_management.throw_exception_if_processing_interrupted()",),
        behaviour.interrupts,
    ),
    Entry(
        "folders",
        "folder_paths tells ComfyUI's folders and the files in them, and names the next file of an output prefix.",
        "experts, calibrations and verdicts cannot be found or kept",
        (
            "folder_paths.get_user_directory()",
            "folder_paths.get_input_directory()",
            "folder_paths.get_output_directory()",
            "folder_paths.get_temp_directory()",
            "folder_paths.get_directory_by_type(kind)",
            "folder_paths.get_filename_list(folder)",
            "folder_paths.get_full_path(folder, name)",
            "folder_paths.get_folder_paths(folder)",
            "folder_paths.get_save_image_path(prefix, folder)",
            "folder_paths.add_model_folder_path(folder, path)",
        ),
        behaviour.knows_folders,
    ),
    # --- the graph and the server -------------------------------------------------------------------------------------
    Entry(
        "nodes of version 3",
        "comfy_api.latest has io, ui and ComfyExtension, and Schema takes the fields that the nodes fill.",
        "the pack does not load",
        (
            "comfy_api.latest.ComfyExtension",
            "comfy_api.latest.io.ComfyNode",
            "comfy_api.latest.io.NodeOutput",
            "comfy_api.latest.io.Custom(name)",
            "comfy_api.latest.io.Schema"
            "(node_id=, display_name=, category=, description=, inputs=, outputs=, is_input_list=, is_output_node=)",
            "comfy_api.latest.ui.PreviewImage(image, cls=)",
        ),
    ),
    Entry(
        "progress",
        "ProgressBar moves the running node's bar, and does nothing where no server runs.",
        "long nodes show no progress",
        (
            "comfy.utils.ProgressBar(total)",
            "comfy.utils.ProgressBar.update(self, value)",
            "comfy.utils.ProgressBar.update_absolute(self, value, total)",
        ),
        behaviour.moves_the_bar,
    ),
    Entry(
        "running node",
        "get_executing_context tells prompt_id, node_id and list_index of the running node, and None outside of a run.",
        "verdicts do not find their images in the ledger, and the time left is not shown",
        (
            "comfy_execution.utils.get_executing_context()",
            "comfy_execution.utils.ExecutionContext(prompt_id=, node_id=, list_index=)",
        ),
        behaviour.tells_the_node,
    ),
    Entry(
        "blockers",
        "ExecutionBlocker(None) in an output ends a branch in silence.",
        "Reroute and Stop cannot end a branch",
        ("comfy_execution.graph_utils.ExecutionBlocker(message)",),
        behaviour.blocks_silently,
    ),
    Entry(
        "server",
        "PromptServer has these routes, and send_progress_text(text, node_id, sid) shows a line under a node.",
        "the batch command, the widgets and the time left do not work",
        behaves=behaviour.routes,
    ),
    Entry(
        "routes of packs",
        "The server adds what lies in PromptServer.instance.routes after it has loaded the packs, under /api as well, and its "
        "queue's get_history tells a run's outputs.",
        "the tab Review has no pictures",
        behaves=behaviour.takes_routes,
    ),
    Entry(
        "start without a server",
        "ComfyUI's modules read their arguments from sys.argv once enable_args_parsing was called.",
        "the command line cannot use ComfyUI",
        ("comfy.options.enable_args_parsing()", "comfy.cli_args.args"),
    ),
)
