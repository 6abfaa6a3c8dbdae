"""Runs one graph through ComfyScript, unmodified, and prints what it gives as JSON, on the last line.

python run_comfy_script.py PACKAGES URL GRAPH_FILE
"""

from __future__ import annotations

import json
import sys
from typing import Any

packages, url, file = sys.argv[1:]
sys.path.insert(0, packages)

from comfy_script import astutil, runtime  # noqa: E402

runtime.load(url, watch=False)
runtime.queue.start_watch(False, False, False)  # what it displays is for a notebook

from comfy_script.runtime import nodes  # noqa: E402

with open(file, encoding="utf-8") as opened:
    graph = json.load(opened)
made: dict[str, Any] = {}


def output(link: list[Any]) -> Any:
    made = call(link[0])
    return made[link[1]] if isinstance(made, list) else made


def call(name: str) -> Any:
    """What a node gives, each called once, after those that it takes from."""
    if name not in made:
        entry = graph[name]
        inputs = {key: output(value) if isinstance(value, list) else value for key, value in entry["inputs"].items()}
        made[name] = getattr(nodes, astutil.str_to_class_id(entry["class_type"]))(**inputs)
    return made[name]


with runtime.Workflow() as workflow:
    for name in graph:
        call(name)

task = workflow.task
results = [type(result).__name__ for result in task.wait()]
saved, verdict = task.wait_result(made["save"]), task.wait_result(made["gate"][0])
images = [] if saved is None else [list(image.size) for image in saved.wait()]
print("\n" + json.dumps({"results": results, "images": images, "verdict": verdict._output["emoe"][0]["verdict"]}))
