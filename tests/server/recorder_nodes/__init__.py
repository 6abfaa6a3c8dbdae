"""Custom nodes for the tests: each writes a line when its function is REALLY called.

The socket announces a node that a silent blocker keeps from running just as it announces one that runs. These nodes
settle it: what is not in `recorder.jsonl` (in ComfyUI's user folder) was not called. Every node has a `tag`, so that a
test finds its own lines.
"""

import json
import time
from pathlib import Path

import folder_paths
import torch
from server import PromptServer


class _Any(str):
    """A socket type that fits every other."""

    __slots__ = ()

    def __ne__(self, other):
        return False


ANY = _Any("*")
TAG = ("STRING", {"default": ""})


def record(node, tag):
    with open(Path(folder_paths.get_user_directory()) / "recorder.jsonl", "a") as file:
        file.write(json.dumps({"class": type(node).__name__, "tag": tag}) + "\n")


class RecorderImage:
    """Stands for a loader or a generator: no inputs but values, gives an image of one colour."""

    INPUT_TYPES = classmethod(lambda cls: {"required": {"tag": TAG, "value": ("FLOAT", {"default": 0.5})}})
    RETURN_TYPES = ("IMAGE",)
    FUNCTION = "run"
    CATEGORY = "test"

    def run(self, tag, value):
        record(self, tag)
        return (torch.full((1, 16, 16, 3), value),)


class RecorderPass:
    """Hands anything on."""

    INPUT_TYPES = classmethod(lambda cls: {"required": {"tag": TAG, "anything": (ANY,)}})
    RETURN_TYPES = (ANY,)
    FUNCTION = "run"
    CATEGORY = "test"

    def run(self, tag, anything):
        record(self, tag)
        return (anything,)


class RecorderWait:
    """Hands anything on after a while, so that a test can act in the middle of a run on any machine. Records nothing."""

    INPUT_TYPES = classmethod(lambda cls: {"required": {"anything": (ANY,), "seconds": ("FLOAT", {"default": 0.25})}})
    RETURN_TYPES = (ANY,)
    FUNCTION = "run"
    CATEGORY = "test"

    def run(self, anything, seconds):
        time.sleep(seconds)
        return (anything,)


class RecorderListened:
    """Hands anything on once the client that queued the run has its socket open, or after a minute. Records nothing."""

    INPUT_TYPES = classmethod(lambda cls: {"required": {"anything": (ANY,)}})
    RETURN_TYPES = (ANY,)
    FUNCTION = "run"
    CATEGORY = "test"

    def run(self, anything):
        server = PromptServer.instance
        for _ in range(3000):
            if server.client_id in server.sockets:
                break
            time.sleep(0.02)
        return (anything,)


class RecorderSink:
    """An output node: takes anything, shows a line."""

    INPUT_TYPES = classmethod(lambda cls: {"required": {"tag": TAG, "anything": (ANY,)}})
    RETURN_TYPES = ()
    OUTPUT_NODE = True
    FUNCTION = "run"
    CATEGORY = "test"

    def run(self, tag, anything):
        record(self, tag)
        return {"ui": {"text": [f"{tag}: {type(anything).__name__}"]}}


class RecorderBlock:
    """Hands anything on, or a blocker: silent with an empty message."""

    INPUT_TYPES = classmethod(
        lambda cls: {"required": {"tag": TAG, "anything": (ANY,), "block": ("BOOLEAN", {}), "message": ("STRING", {})}}
    )
    RETURN_TYPES = (ANY,)
    FUNCTION = "run"
    CATEGORY = "test"

    def run(self, tag, anything, block, message):
        from comfy_execution.graph_utils import ExecutionBlocker

        record(self, tag)
        return (ExecutionBlocker(message or None) if block else anything,)


class RecorderBooleans:
    """A list of booleans, one per word ("yes no yes"): for what happens item by item."""

    INPUT_TYPES = classmethod(lambda cls: {"required": {"tag": TAG, "words": ("STRING", {})}})
    RETURN_TYPES = ("BOOLEAN",)
    OUTPUT_IS_LIST = (True,)
    FUNCTION = "run"
    CATEGORY = "test"

    def run(self, tag, words):
        record(self, tag)
        return ([word == "yes" for word in words.split()],)


class RecorderStrings:
    """A list of strings, one per line."""

    INPUT_TYPES = classmethod(lambda cls: {"required": {"tag": TAG, "lines": ("STRING", {"multiline": True})}})
    RETURN_TYPES = ("STRING",)
    OUTPUT_IS_LIST = (True,)
    FUNCTION = "run"
    CATEGORY = "test"

    def run(self, tag, lines):
        record(self, tag)
        return (lines.splitlines(),)


class RecorderFail:
    """Raises."""

    INPUT_TYPES = classmethod(lambda cls: {"required": {"tag": TAG, "anything": (ANY,)}})
    RETURN_TYPES = (ANY,)
    FUNCTION = "run"
    CATEGORY = "test"

    def run(self, tag, anything):
        record(self, tag)
        raise ValueError(f"failed as asked: {tag}")


class RecorderConditioning:
    """Random text encodings of any width, for models whose text encoder is too large for a test."""

    INPUT_TYPES = classmethod(
        lambda cls: {"required": {"tag": TAG, "seed": ("INT", {}), "width": ("INT", {"default": 768})}}
    )
    RETURN_TYPES = ("CONDITIONING",)
    FUNCTION = "run"
    CATEGORY = "test"

    def run(self, tag, seed, width):
        record(self, tag)
        return ([[torch.randn(1, 77, width, generator=torch.Generator().manual_seed(seed)), {}]],)


_NODES = (
    RecorderImage,
    RecorderConditioning,
    RecorderPass,
    RecorderWait,
    RecorderListened,
    RecorderSink,
    RecorderBlock,
    RecorderBooleans,
    RecorderStrings,
    RecorderFail,
)
NODE_CLASS_MAPPINGS = {cls.__name__: cls for cls in _NODES}
