"""The host at hand keeps everything that the pack relies on, and each check fails where it does not.

A check that could not fail would prove nothing: every name is taken away and every call form changed in turn, and for what is
looked at in a call through a small model there is a call that went otherwise.
"""

from __future__ import annotations

import importlib.util
import json
import os
import subprocess
import sys
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
import torch

from emoe_core.hosts.comfyui.contract.entries import ENTRIES, LACKING, Entry, Host

ROOT = Path(__file__).resolve().parents[2]
BY_NAME = {entry.name: entry for entry in ENTRIES}
USES = [(entry, use) for entry in ENTRIES for use in entry.uses]


@pytest.fixture(scope="module")
def host(comfyui: Path) -> Host:
    """The host at hand; its small models are made once."""
    return Host(comfyui)


def with_changes(host: Host, **changed: Any) -> Host:
    """The host with other things under some names; __ stands for a dot."""
    return replace(host, changed={name.replace("__", "."): thing for name, thing in changed.items()})


def is_a_sentence(said: str | None, entry: Entry) -> bool:
    return said is not None and said.endswith(f", so {entry.breaks}.") and "\n" not in said and len(said) < 500


@pytest.mark.parametrize("entry", ENTRIES, ids=lambda entry: entry.name)
def test_it_holds(entry: Entry, host: Host) -> None:
    assert entry.check(host) is None


def test_names_and_sentences_are_fit_to_print() -> None:
    assert len(BY_NAME) == len(ENTRIES)
    for entry in ENTRIES:
        assert entry.relied_on.endswith(".") and entry.relied_on[0].isalpha()
        assert not entry.breaks.endswith(".") and (entry.uses or entry.behaves)


@pytest.mark.parametrize(("entry", "use"), USES, ids=lambda one: one if isinstance(one, str) else one.name)
def test_a_host_that_lacks_a_name_is_told_so(entry: Entry, use: str, host: Host) -> None:
    name = use.partition("(")[0]
    said = entry.check(replace(host, changed={name: LACKING}))
    assert is_a_sentence(said, entry) and f"this ComfyUI has no {name}" in str(said)


@pytest.mark.parametrize(
    ("entry", "use"), [one for one in USES if "(" in one[1]], ids=lambda one: one if isinstance(one, str) else one.name
)
def test_a_host_that_calls_it_otherwise_is_told_so(entry: Entry, use: str, host: Host) -> None:
    name = use.partition("(")[0]

    def other(*, an_argument_that_the_pack_does_not_give: Any) -> None:
        raise AssertionError("the check must look at the signature first")

    said = entry.check(replace(host, changed={name: other}))
    assert is_a_sentence(said, entry) and f"{name} is no longer called as" in str(said)


@pytest.mark.parametrize("use", [use for entry in ENTRIES for use in entry.offered])
def test_what_only_newer_hosts_offer_may_be_missing_and_not_changed(use: str, host: Host) -> None:
    name = use.partition("(")[0]
    entry = next(one for one in ENTRIES if use in one.offered)

    def other(*, an_argument_that_the_pack_does_not_give: Any) -> None:
        raise AssertionError("the check must look at the signature first")

    assert entry.check(replace(host, changed={name: LACKING})) is None
    said = entry.check(replace(host, changed={name: other}))
    if importlib.util.find_spec(name.rpartition(".")[0]) is None:
        assert said is None
    else:
        assert is_a_sentence(said, entry) and f"{name} is no longer called as" in str(said)


# --- behaviour ----------------------------------------------------------------------------------------------------------


class _Changed:
    """Acts as another object, with some attributes changed; those that are `LACKING` are not there."""

    def __init__(self, real: Any, **changed: Any) -> None:
        self.__dict__["_real"], self.__dict__["_changed"] = real, changed

    def __getattr__(self, name: str) -> Any:
        changed = self.__dict__["_changed"]
        if changed.get(name) is LACKING:
            raise AttributeError(name)
        return changed[name] if name in changed else getattr(self.__dict__["_real"], name)

    def __setattr__(self, name: str, value: Any) -> None:
        setattr(self.__dict__["_real"], name, value)


def unet_call(**changed: Callable[[Any], Any]) -> Callable[[Host], Host]:
    """A host whose call through the U-Net went otherwise: each function makes an attribute of `Seen` another one."""

    def of(host: Host) -> Host:
        seen = host.at("seen_unet")
        return with_changes(
            host, seen_unet=replace(seen, **{name: make(getattr(seen, name)) for name, make in changed.items()})
        )

    return of


def flux_call(change: Callable[[list[Any]], Any]) -> Callable[[Host], Host]:
    def of(host: Host) -> Host:
        seen = host.at("seen_flux")
        return with_changes(host, seen_flux=replace(seen, events=change(list(seen.events))))

    return of


def loading(**changed: Callable[[Any], Any]) -> Callable[[Host], Host]:
    def of(host: Host) -> Host:
        found = host.at("loaded")
        return with_changes(
            host, loaded=replace(found, **{name: make(getattr(found, name)) for name, make in changed.items()})
        )

    return of


def model(**changed: Callable[[Any], Any]) -> Callable[[Host], Host]:
    """A host whose MODEL has other attributes."""

    def of(host: Host) -> Host:
        real = host.at("patcher")
        return with_changes(
            host, patcher=_Changed(real, **{name: make(getattr(real, name)) for name, make in changed.items()})
        )

    return of


def base_model(**changed: Any) -> Callable[[Host], Host]:
    """A host whose models have other attributes."""
    return model(model=lambda real: _Changed(real, **changed))


def named(name: str, make: Callable[[Any], Any]) -> Callable[[Host], Host]:
    return lambda host: replace(host, changed={name: make(host.at(name))})


def swapped(first: int, second: int) -> Callable[[Any], Any]:
    def change(items: Any) -> Any:
        listed = list(items)
        listed[first], listed[second] = listed[second], listed[first]
        return type(items)(listed)

    return change


def events(name: str, change: Callable[[Any, Any], tuple[Any, Any]]) -> Callable[[Any], Any]:
    """Every event of a name with other arguments."""
    return lambda all_: [(event, *change(a, k)) if event == name else (event, a, k) for event, a, k in all_]


def options(change: Callable[[dict[str, Any]], dict[str, Any]]) -> Callable[[Any], Any]:
    def other(arguments: Any, words: Any) -> tuple[Any, Any]:
        return tuple(change(one) if isinstance(one, dict) and "uuids" in one else one for one in arguments), words

    return events("APPLY_MODEL", other)


def without(name: str) -> Callable[[dict[str, Any]], dict[str, Any]]:
    return lambda all_: {key: value for key, value in all_.items() if key != name}


def flipped(items: Any) -> Any:
    return items[::-1]


def renamed_blocks(real: Any) -> Any:
    return _Changed(
        real, named_modules=lambda: [(name.replace("transformer", "t"), one) for name, one in real.named_modules()]
    )


def lazy_noise(real: Any) -> Any:
    return lambda latent, seed, places=None: real(latent, seed + 1, places)


def one_noise(real: Any) -> Any:
    return lambda latent, seed, places=None: real(latent, seed, None)


def server(old: str, new: str, file: str = "server.py") -> Callable[[Host], Host]:
    def of(host: Host) -> Host:
        text = host.text(file)
        assert old in text
        return replace(host, changed={file: text.replace(old, new)})

    return of


def cold_memory(host: Host) -> Host:
    real = host.at("comfy.model_management")
    return replace(host, changed={"comfy.model_management": _Changed(real, current_loaded_models=[])})


def full_memory(host: Host) -> Host:
    real = host.at("comfy.model_management")
    changed = _Changed(real, free_memory=lambda *_, keep_loaded=None: [])
    return replace(host, changed={"comfy.model_management": changed})


def clone_of(change: Callable[[Any, Any], Any]) -> Callable[[Host], Host]:
    """A host whose clones are other ones; `change` gets the MODEL and what its clone would be."""

    def wrapped(real: Any) -> Any:
        return _Changed(real, clone=lambda: change(real, real.clone()))

    return lambda host: with_changes(
        host, patcher=_Changed(host.at("patcher"), clone=lambda: wrapped(host.at("patcher").clone()))
    )


def copied_patches(real: Any, clone: Any) -> Any:
    patches = clone.model_options["transformer_options"]["patches"]["attn2_patch"]
    patches[:] = [lambda *_: None for _ in patches]
    return clone


def shared_options(real: Any, clone: Any) -> Any:
    clone.model_options = real.model_options
    return clone


def no_attachments(real: Any, clone: Any) -> Any:
    clone.attachments = {}
    return clone


def other_network(real: Any, clone: Any) -> Any:
    return _Changed(clone, model=SimpleNamespace())


def clip_that(**changed: Any) -> Callable[[Host], Host]:
    return lambda host: with_changes(
        host, clip=_Changed(host.at("clip"), **{k: v(host.at("clip")) for k, v in changed.items()})
    )


def encoder_that(**changed: Any) -> Callable[[Host], Host]:
    return clip_that(cond_stage_model=lambda real: _Changed(real.cond_stage_model, **changed))


#: For each entry with a behaviour: hosts that behave otherwise, and a word of what is said of them.
def _tuples_only(patches: list[Any], weight: torch.Tensor, key: str) -> torch.Tensor:
    """Merges differences and passes over weight adapters."""
    return weight + 2 if isinstance(patches[0][1], tuple) else weight


OTHERWISE: dict[str, list[tuple[Callable[[Host], Host], str]]] = {
    "sampling entry": [
        (unet_call(sampler=lambda _: ()), "does not run"),
        (unet_call(denoised=lambda x: x[:, :2]), "noise's shape"),
        (unet_call(result=lambda x: x + 1), "give back"),
    ],
    "sampler's arguments": [
        (unet_call(sampler=lambda got: got[:7]), "7 arguments"),
        (unet_call(sampler=swapped(1, 2)), "the noise levels as argument 1"),
        (unet_call(sampler=swapped(4, 5)), "the noise as argument 4"),
        (unet_call(sampler=lambda got: ({"inner_model": got[0]["inner_model"], "conds": None}, *got[1:])), "the model"),
        (unet_call(sampler=lambda got: (*got[:7], None)), "disable_pbar"),
    ],
    "conditioning entries": [
        (unet_call(entries=lambda all_: all_[:1]), "1 entries"),
        (unet_call(entries=lambda all_: [without("uuid")(one) for one in all_]), "no uuid"),
        (unet_call(entries=lambda all_: [without("timestep_end")(one) for one in all_]), "end_percent"),
        (unet_call(entries=lambda all_: [{**one, "timestep_end": 0.5} for one in all_]), "end_percent"),
    ],
    "transformer options": [
        (unet_call(events=options(without("uuids"))), "not told"),
        (unet_call(events=options(without("cond_or_uncond"))), "not told"),
        (unet_call(events=options(lambda all_: {**all_, "uuids": all_["uuids"][:1]})), "as many"),
        (unet_call(events=options(lambda all_: {**all_, "uuids": [1, 2]})), "not those"),
        (unet_call(events=options(lambda all_: {**all_, "cond_or_uncond": [0, 1]})), "unconditional"),
    ],
    "prediction": [
        (unet_call(denoised=lambda x: x * 0.9), "network's output"),
        (unet_call(events=lambda all_: all_ * 2), "2 calls"),
    ],
    "noise": [
        (named("comfy.sample.prepare_noise", lazy_noise), "other noise"),
        (named("comfy.sample.prepare_noise", one_noise), "batch_index"),
    ],
    "noise levels": [
        (named("comfy.samplers.SCHEDULER_NAMES", lambda _: ["karras"]), "no scheduler normal"),
        (named("comfy.samplers.calculate_sigmas", lambda real: lambda *given: real(*given)[:-1]), "falling"),
        (named("comfy.samplers.calculate_sigmas", lambda real: lambda *given: real(*given) * 0.9), "sigma_max"),
    ],
    "empty latents": [
        (named("comfy.sample.fix_empty_latent_channels", lambda _: lambda model, latent: latent), "channels"),
    ],
    "wrappers": [
        (unet_call(events=flipped), "within it"),
        (unet_call(events=lambda all_: [one for one in all_ if one[0] != "DIFFUSION_MODEL"]), "within it"),
        (
            unet_call(events=events("APPLY_MODEL", lambda a, k: (a[:5], {**k, "transformer_options": a[5]}))),
            "argument 5",
        ),
        (unet_call(events=events("DIFFUSION_MODEL", lambda a, k: (a[::-1], k))), "x first"),
        (unet_call(network=lambda pair: (None, pair[1])), "class_obj"),
        (unet_call(left=lambda _: False), "left early"),
    ],
    "U-Net patch points": [
        (unet_call(events=lambda all_: [one for one in all_ if one[0] != "input 2"]), "their order"),
        (unet_call(events=swapped(2, 3)), "their order"),
        (unet_call(events=events("input 1", lambda a, k: ((a[0], {}), k))), "their order"),
        (unet_call(middle=lambda x: x + 1), "middle block's output"),
        (unet_call(events=events("output 1", lambda a, k: ((a[0], a[2]), k))), "h, skip and options"),
    ],
    "transformer patch points": [
        (flux_call(lambda all_: []), "not replaced"),
        (flux_call(flipped), "their order"),
        (flux_call(lambda all_: [(n, (a[0], a[1], without("txt")(a[2])), k) for n, a, k in all_]), "img and txt"),
        (
            flux_call(
                lambda all_: [
                    all_[0],
                    all_[1],
                    (all_[2][0], ({"img": all_[2][1][0]["img"] + 1}, *all_[2][1][1:]), {}),
                    all_[3],
                ]
            ),
            "the text",
        ),
    ],
    "names of layers": [(named("patcher.model.diffusion_model", renamed_blocks), "other names")],
    "MODEL": [
        (model(model_options=lambda real: {}), "transformer_options"),
        (model(get_model_object=lambda real: lambda name: None), "the network"),
        (model(backup=lambda real: None), "no dictionaries"),
        (model(is_clone=lambda real: lambda other: False), "know a clone"),
    ],
    "clones": [
        (clone_of(copied_patches), "copies of closures"),
        (clone_of(shared_options), "shares its lists"),
        (clone_of(no_attachments), "attachments"),
        (clone_of(other_network), "another network"),
    ],
    "own weights": [
        (loading(told=lambda x: x + 1), "merged weights"),
        (loading(in_network=lambda x: x - 1), "does not merge"),
    ],
    "object patches": [
        (loading(seen_by_clone=lambda _: None), "does not see"),
        (loading(standing=lambda _: None), "does not stand"),
        (loading(backed_up=lambda _: None), "object_patches_backup"),
        (loading(after=lambda _: None), "stays in the network"),
    ],
    "what a model is": [
        (base_model(model_config=SimpleNamespace(unet_config={})), "context_dim"),
        (base_model(latent_format=SimpleNamespace(latent_channels=4, latent_dimensions=3)), "dimensions"),
        (base_model(model_type=SimpleNamespace(name="EPSILON")), "EPS"),
        (base_model(model_sampling=object()), "name the prediction"),
        (base_model(), "plain BaseModel"),
        (
            lambda host: with_changes(host, flux=SimpleNamespace(model=SimpleNamespace(model_sampling=object()))),
            "CONST",
        ),
    ],
    "weight patches": [
        (named("comfy.lora.calculate_weight", lambda _: lambda patches, weight, key: weight), "calculate_weight"),
        (named("comfy.lora.calculate_weight", lambda _: _tuples_only), "weight adapter"),
        (named("comfy.float.stochastic_rounding", lambda _: lambda value, dtype, seed=0: value), "stochastic_rounding"),
        (named("comfy.model_patcher.string_to_seed", lambda _: lambda key: key), "string_to_seed"),
        (named("comfy.sd.load_lora_for_models", lambda _: lambda m, c, lora, a, b: (m.clone(), c)), "by the network's"),
        (named("comfy.sd.load_lora_for_models", lambda _: lambda m, c, lora, a, b: (m, c)), "a clone of the MODEL"),
    ],
    "layers that cast": [
        (named("comfy.ops.manual_cast.Linear", lambda _: torch.nn.Linear), "RuntimeError"),
        (named("comfy.ops.manual_cast.Linear", lambda _: _Uncast), "manual_cast.Linear"),
    ],
    "model detection": [
        (
            named(
                "comfy.supported_models_base.BASE",
                lambda real: _Changed(real, quant_config=LACKING, scaled_fp8=LACKING),
            ),
            "quant_config",
        ),
        (named("comfy.model_detection.unet_prefix_from_state_dict", lambda _: lambda state: "model."), "find"),
        (named("comfy.model_detection.detect_unet_config", lambda _: lambda state, prefix: None), "its shapes"),
        (named("comfy.ldm.modules.diffusionmodules.openaimodel.UNetModel", lambda _: object), "UNetModel"),
    ],
    "text encoders": [
        (clip_that(tokenize=lambda real: lambda text: [[(1, 1.0)]]), "tokenize"),
        (clip_that(encode_from_tokens_scheduled=lambda real: lambda tokens: []), "one entry"),
        (clip_that(encode_from_tokens_scheduled=lambda real: lambda tokens: _first_window(real, tokens)), "one after"),
    ],
    "CLIP pairs": [
        (
            lambda host: with_changes(
                host,
                clip_vision=_Changed(host.at("clip_vision"), encode_image=lambda picture: {"image_embeds": picture}),
            ),
            "a vector per picture",
        ),
        (encoder_that(encode_token_weights=lambda tokens: (torch.zeros(1, 2, 3), None)), "second"),
        (encoder_that(set_clip_options=lambda options: None), "as it is told"),
    ],
    "text encoders that write": [
        (
            named("comfy.sd.CLIP", lambda real: _Changed(real, generate=lambda tokens: [], decode=lambda: "")),
            "generate",
        ),
    ],
    "parts of the demo experts": [
        (lambda host: with_changes(host, vae=_Changed(host.at("vae"), latent_channels=16)), "latent_channels"),
        (lambda host: with_changes(host, vae=_Changed(host.at("vae"), decode=lambda latent: latent)), "decode"),
    ],
    "memory": [(cold_memory, "does not list"), (full_memory, "does not unload")],
    "interrupts": [
        (
            named("comfy.model_management.throw_exception_if_processing_interrupted", lambda _: lambda: None),
            "not raise",
        ),
    ],
    "folders": [
        (lambda host: _folders(host, get_full_path=lambda folder, name: name), "not there"),
        (lambda host: _folders(host, get_folder_paths=lambda folder: None), "checkpoints"),
        (lambda host: _folders(host, get_filename_list=lambda folder: [1]), "list names"),
        (named("folder_paths.get_save_image_path", lambda _: lambda prefix, folder: (folder, prefix)), "counter"),
    ],
    "progress": [(named("comfy.utils.ProgressBar.update_absolute", lambda _: None), "empty")],
    "running node": [
        (named("comfy_execution.utils.get_executing_context", lambda _: lambda: object()), "outside of a run"),
        (
            named(
                "comfy_execution.utils.ExecutionContext",
                lambda _: lambda prompt_id, node_id, list_index: SimpleNamespace(prompt_id=0, node_id=0, list_index=0),
            ),
            "other things",
        ),
    ],
    "blockers": [(named("comfy_execution.graph_utils.ExecutionBlocker", lambda _: lambda message: object()), "silent")],
    "server": [
        (server('@routes.post("/prompt")', '@routes.post("/prompts")'), "POST /prompt"),
        (server("def send_progress_text", "def send_text"), "send_progress_text"),
        (server("def send_progress_text(\n        self, text", "def send_progress_text(\n        self, node"), "takes"),
        (lambda host: Host(host.tree, {"server.py": LACKING}), "no server.py"),
    ],
    "routes of packs": [
        (server("prompt_server.add_routes()", "pass", "main.py"), "main.py does not add"),
        (server('"/api" + route.path', "route.path"), "under /api"),
        (server("self.app.add_routes(self.routes)", "pass"), "does not add its routes"),
        (server("map_function=None", "mapped=None", "execution.py"), "get_history does not take"),
        (lambda host: Host(host.tree, {"main.py": LACKING}), "no main.py"),
    ],
}


class _Uncast(torch.nn.Linear):
    """Computes in its weights' type."""

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        return super().forward(x.float())


def _first_window(clip: Any, tokens: Any) -> Any:
    return clip.encode_from_tokens_scheduled({name: windows[:1] for name, windows in tokens.items()})


def _folders(host: Host, **changed: Any) -> Host:
    return replace(host, changed={"folder_paths": _Changed(host.at("folder_paths"), **changed)})


def test_every_behaviour_has_a_host_that_behaves_otherwise() -> None:
    assert set(OTHERWISE) == {entry.name for entry in ENTRIES if entry.behaves is not None}


@pytest.mark.parametrize(
    ("name", "change", "word"),
    [(name, change, word) for name, changes in OTHERWISE.items() for change, word in changes],
    ids=[f"{name}-{word}" for name, changes in OTHERWISE.items() for _, word in changes],
)
def test_a_host_that_behaves_otherwise_is_told_so(
    name: str, change: Callable[[Host], Host], word: str, host: Host
) -> None:
    said = BY_NAME[name].check(change(host))
    assert is_a_sentence(said, BY_NAME[name]), said
    assert word in str(said)
    assert BY_NAME[name].check(host) is None, "the host itself was changed"


def test_what_is_seen_is_what_the_host_does(host: Host, monkeypatch: pytest.MonkeyPatch) -> None:
    """The record of a call is no assumption: a host that is really changed is seen to be."""
    import comfy.samplers

    original = comfy.samplers.CFGGuider.sample

    def other(self: Any, noise: Any, latent: Any, sampler: Any, sigmas: Any, **words: Any) -> Any:
        return original(self, latent, noise, sampler, sigmas, **words)

    monkeypatch.setattr(comfy.samplers.CFGGuider, "sample", other)
    said = BY_NAME["sampler's arguments"].check(Host(host.tree))
    assert said is not None and "the noise as argument 4" in said


def test_an_error_in_the_host_is_one_sentence_and_no_crash(host: Host, monkeypatch: pytest.MonkeyPatch) -> None:
    import comfy.samplers

    def breaks(*_: Any, **__: Any) -> None:
        raise ValueError("first line\nsecond line")

    monkeypatch.setattr(comfy.samplers.CFGGuider, "inner_set_conds", breaks)
    entry = BY_NAME["prediction"]
    said = entry.check(Host(host.tree))
    assert is_a_sentence(said, entry) and "ValueError (first line)" in str(said)


# --- the command --------------------------------------------------------------------------------------------------------


def asked(tree: Path, *arguments: str, code: str = "", **environment: str) -> subprocess.CompletedProcess[str]:
    command = [sys.executable, *(["-c", code] if code else ["-m", "emoe_core"]), "host", "--cpu", *arguments]
    env = {**os.environ, "COMFYUI_PATH": str(tree), **environment}
    return subprocess.run(command, cwd=ROOT, env=env, capture_output=True, text=True, timeout=300)


def test_the_command_says_what_holds(comfyui: Path) -> None:
    done = asked(comfyui, "--json")
    assert done.returncode == 0, done.stderr
    found = json.loads(done.stdout)
    import comfyui_version

    assert (
        found["comfyui"] == comfyui_version.__version__
        and found["versions"]["torch"] == torch.__version__.split("+")[0]
    )
    assert found["holds"] == [entry.name for entry in ENTRIES] and found["broken"] == {} and found["exit_code"] == 0
    assert found["device"] == "cpu"


def test_the_command_says_what_is_broken_and_shortens_the_home_folder(comfyui: Path) -> None:
    """A start script takes one function of the host away before the command looks."""
    code = (
        "import sys; from emoe_core.hosts.comfyui import outside; start = outside.start\n"
        "def broken(*a, **k):\n start(*a, **k)\n import comfy.sample; del comfy.sample.prepare_noise\n"
        "outside.start = broken\nfrom emoe_core.__main__ import main; sys.exit(main())"
    )
    done = asked(comfyui, code=code, HOME=str(comfyui.parent))
    assert done.returncode == 1, done.stderr
    assert "BROKEN  noise: this ComfyUI has no comfy.sample.prepare_noise, so " in done.stdout
    assert str(comfyui.parent) not in done.stdout and f"~/{comfyui.name}" in done.stdout.replace("\\", "/")


def test_the_command_without_a_comfyui_is_one_sentence(tmp_path: Path) -> None:
    done = asked(tmp_path, HOME=str(tmp_path.parent))
    assert done.returncode == 2 and done.stdout == ""
    assert done.stderr.startswith("error: COMFYUI_PATH is '~/") and done.stderr.count("\n") == 1
