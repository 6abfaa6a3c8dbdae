"""Promises to saved workflows: ids, inputs, outputs and their order do not change; and every socket explains itself."""

from __future__ import annotations

import inspect
import json
import os
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import pytest

ROOT = Path(__file__).resolve().parents[2]
GOLDEN = Path(__file__).parent / "golden_schemas.json"
#: What saved workflows depend on; words may be improved at any time.
_FREE = {"tooltip", "placeholder", "advanced"}
_FILES = "(files)"


def promise(cls: Any) -> dict[str, Any]:
    """The part of a node's schema that workflows on disk rely on."""
    info = cls.GET_NODE_INFO_V1()
    inputs = {}
    for group in ("required", "optional"):
        for name, (kind, *rest) in info["input"].get(group, {}).items():
            options = {k: v for k, v in (rest[0] if rest else {}).items() if k not in _FREE}
            by_files = cls.__name__ in ("LoadCalibration", "LoadSegMoE")
            by_files = by_files or (cls.__name__, name) in (("Audit", "file"), ("JudgeTrial", "trial"))
            if by_files or name.startswith(("lora_", "expert_")):
                options["options"] = _FILES  # depends on the files that are there
            elif name == "scheduler":  # the host's own list
                options["options"] = "(schedulers)"
            elif name == "sampler_name":
                options["options"] = "(samplers)"
            inputs[name] = {"type": str(kind), "group": group, **options}
    return {
        "inputs": inputs,
        "outputs": list(zip(map(str, info["output"]), info["output_name"], info["output_is_list"], strict=True)),
        "output_node": info["output_node"],
        "category": info["category"],
        "folded": folded(info),
    }


def folded(info: dict[str, Any]) -> list[str]:
    """The inputs that stand folded until they are asked for, on a host that knows of such."""
    inputs = {**info["input"].get("required", {}), **info["input"].get("optional", {})}
    return [name for name, (_, *options) in inputs.items() if options and options[0].get("advanced")]


def host_takes(name: str) -> bool:
    """Whether this host's inputs know an argument of this name."""
    from comfy_api.latest import io

    return name in inspect.signature(io.Int.Input.__init__).parameters


def test_schemas_are_the_golden_ones(node_classes: dict[str, Any]) -> None:
    """After adding (never changing) something, write the file anew with EMOE_UPDATE_GOLDEN=1 and read its diff.

    What stands folded is held on hosts that know of it, and is written by them alone.
    """
    now = json.loads(json.dumps({name: promise(cls) for name, cls in sorted(node_classes.items())}))
    golden = json.loads(GOLDEN.read_text(encoding="utf-8"))
    if not host_takes("advanced"):
        assert not any(schema["folded"] for schema in now.values())
        now = {name: {**schema, "folded": golden.get(name, {}).get("folded", [])} for name, schema in now.items()}
    if os.environ.get("EMOE_UPDATE_GOLDEN"):
        GOLDEN.write_text(json.dumps(now, indent=1) + "\n", encoding="utf-8")
        golden = now
    assert list(now) == list(golden)
    for name in golden:
        assert list(now[name]["inputs"]) == list(golden[name]["inputs"]), f"{name}: inputs or their order changed"
        assert now[name] == golden[name]


def test_everything_explains_itself(node_classes: dict[str, Any]) -> None:
    for name, cls in node_classes.items():
        info = cls.GET_NODE_INFO_V1()
        assert len(info["description"]) > 40, name
        for group in ("required", "optional"):
            for socket, (_, *options) in info["input"].get(group, {}).items():
                assert options and len(options[0].get("tooltip", "")) > 10, f"{name}: input {socket} has no tooltip"
        assert len(info["output_tooltips"]) == len(info["output"])
        for output, tooltip in zip(info["output_name"], info["output_tooltips"], strict=True):
            assert tooltip and len(tooltip) > 10, f"{name}: output {output} has no tooltip"
        assert (ROOT / "web" / "docs" / f"{name}.md").is_file(), f"{name} has no help page"


def test_a_linked_input_is_not_known_yet_when_the_graph_is_queued(node_classes: dict[str, Any]) -> None:
    """ComfyUI hands over None for it then: nothing can be refused, and nothing may break."""
    for name, cls in node_classes.items():
        schema = cls.define_schema()
        linked = dict.fromkeys(socket.id for socket in schema.inputs)
        for hook in ("validate_inputs", "fingerprint_inputs"):
            if hook not in vars(cls):
                continue
            asked = inspect.signature(getattr(cls, hook)).parameters
            all_of_them = any(parameter.kind is parameter.VAR_KEYWORD for parameter in asked.values())
            found = getattr(cls, hook)(**{key: None for key in linked if all_of_them or key in asked})
            assert found is True if hook == "validate_inputs" else isinstance(found, str), name


def test_the_audit_checks_what_is_known_beside_what_is_linked(node_classes: dict[str, Any]) -> None:
    check = node_classes["EMoE_Audit"].validate_inputs
    assert check(file="built-in set: concepts", languages=None, part="food, 5") is True
    assert check(file="built-in set: concepts", languages="fi", part=None) is True
    assert "no language 'xx'" in check(file="built-in set: concepts", languages="xx", part=None)
    assert "no topic 'warfare'" in check(file="built-in set: concepts", languages=None, part="warfare")
    assert check(file="none", languages=None, part=None) is True


def test_lazy_inputs_ask_for_the_chosen_branch_only(node_classes: dict[str, Any]) -> None:
    """None means connected and not computed; an input that is not given is not connected."""
    route, stop = node_classes["EMoE_Route"], node_classes["EMoE_Stop"]
    ask = route.check_lazy_status
    assert ask(passed=True, on_pass=None, on_block=None) == ["on_pass"]
    assert ask(passed=False, on_pass=None, on_block=None) == ["on_block"]
    assert ask(passed=False, on_pass=None) == []
    assert ask(passed=True, on_pass="image", on_block=None) == []
    assert stop.check_lazy_status(passed=True, on_block="silent", value=None) == ["value"]
    assert stop.check_lazy_status(passed=False, on_block="error", value=None) == []


def test_an_open_branch_blocks_silently_and_per_output(node_classes: dict[str, Any]) -> None:
    """`block_execution` without a value would fail open on this host: the blocker must be the output itself."""
    from comfy_execution.graph_utils import ExecutionBlocker

    for output in (
        node_classes["EMoE_Route"].execute(passed=False, on_pass=None),
        node_classes["EMoE_Stop"].execute(passed=False, on_block="silent", value=None),
    ):
        assert isinstance(output.args[0], ExecutionBlocker) and output.args[0].message is None
    assert node_classes["EMoE_Route"].execute(passed=True, on_pass="x").args == ("x",)
    assert node_classes["EMoE_Route"].execute(passed=False, on_pass=None, on_block="y").args == ("y",)


def test_the_gate_is_an_output_node_for_both_ways_the_host_asks(node_classes: dict[str, Any]) -> None:
    assert node_classes["EMoE_Gate"].OUTPUT_NODE is True
    outputs = {name for name, cls in node_classes.items() if cls.OUTPUT_NODE}
    assert outputs == {
        "EMoE_Audit",
        "EMoE_AuditReport",
        "EMoE_DecisionReport",
        "EMoE_DisagreementMap",
        "EMoE_ExpertDiagnostics",
        "EMoE_Gate",
        "EMoE_ChooseExperts",
        "EMoE_KnownOrUnknown",
        "EMoE_KeepForTrial",
        "EMoE_JudgeTrial",
        "EMoE_SaveCalibration",
        "EMoE_WordAttribution",
    }


@pytest.mark.parametrize("preset", ["fast", "thorough", "paper", "one_model", "layout", "custom"])
def test_presets_are_all_offered(node_classes: dict[str, Any], preset: str) -> None:
    assert preset in node_classes["EMoE_Score"].GET_NODE_INFO_V1()["input"]["required"]["preset"][1]["options"]


class OlderInput:
    """The part of an input of ComfyUI 0.3.75 that matters here."""

    def __init__(self, id: str, default: Any = None) -> None:
        self.id, self.default = id, default


class NewerInput(OlderInput):
    """The same of a host that folds inputs."""

    def __init__(self, id: str, default: Any = None, advanced: bool | None = None) -> None:
        super().__init__(id, default)
        self.advanced = advanced


@dataclass
class OlderSchema:
    """The part of the schema of ComfyUI 0.3.75 that matters here."""

    node_id: str
    display_name: str = ""
    category: str = ""


@dataclass
class NewerSchema(OlderSchema):
    """The same of a host that reads search words and tells of cached results."""

    search_aliases: list[str] = field(default_factory=list)
    has_intermediate_output: bool = False


def test_a_host_gets_what_it_knows(pack: Any) -> None:
    known = pack.nodes.api.known
    assert NewerInput("steps", 20, **known(NewerInput, advanced=True)).advanced is True
    assert known(OlderInput, advanced=True) == {}
    assert known(NewerInput, OlderInput, advanced=True) == {}  # one of them would refuse it
    assert NewerSchema("X", **known(NewerSchema, has_intermediate_output=True)).has_intermediate_output is True
    assert known(OlderSchema, has_intermediate_output=True) == {}
    assert known(NewerSchema, has_intermediate_output=True, of_tomorrow=1) == {"has_intermediate_output": True}


def test_search_words_are_given_to_a_schema_that_has_the_field(pack: Any) -> None:
    """The first is the English name: a translated frontend searches its own names."""
    given = pack.nodes.api.named("X", "Skip", "stop", schema=NewerSchema)
    assert NewerSchema(**given).search_aliases == ["Skip", "stop"]
    assert "search_aliases" not in pack.nodes.api.named("X", "Skip", "stop", schema=OlderSchema)


def test_every_node_has_search_words_where_this_host_reads_them(node_classes: dict[str, Any]) -> None:
    from comfy_api.latest import io

    reads = "search_aliases" in inspect.signature(io.Schema).parameters
    for name, cls in node_classes.items():
        words = getattr(cls.GET_SCHEMA(), "search_aliases", None)
        assert (words or [None])[0] == (cls.GET_SCHEMA().display_name if reads else None), name
        assert bool(cls.GET_NODE_INFO_V1().get("search_aliases")) == reads, name  # what the frontend gets


def test_what_an_artist_needs_stands_open(node_classes: dict[str, Any]) -> None:
    """And what a folded input is worth when nobody opens it: each has a default."""
    asked = {name: cls.GET_NODE_INFO_V1()["input"] for name, cls in node_classes.items()}
    inputs = {name: {**of.get("required", {}), **of.get("optional", {})} for name, of in asked.items()}
    for name, of in inputs.items():
        for one, (_, *options) in of.items():
            assert not (options and options[0].get("advanced")) or "default" in options[0], f"{name}: {one}"
    open_widgets = [
        one
        for one, (_, options) in inputs["EMoE_Score"].items()
        if "default" in options and not options.get("advanced")
    ]
    if host_takes("advanced"):
        assert open_widgets == ["preset", "noise_samples"]
    else:
        assert len(open_widgets) == 12


def test_a_cached_score_is_told_where_the_host_can(node_classes: dict[str, Any]) -> None:
    from comfy_api.latest import io

    can = "has_intermediate_output" in inspect.signature(io.Schema).parameters
    told = {name for name, cls in node_classes.items() if getattr(cls, "HAS_INTERMEDIATE_OUTPUT", False)}
    assert told == ({"EMoE_Score", "EMoE_ScoreList"} if can else set())
