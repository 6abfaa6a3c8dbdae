"""The texts of the nodes in English, Japanese and Chinese, in the files that ComfyUI's frontend reads.

    python tools/locales               writes locales/en from the schemas; prints what is missing or outdated in the others
    python tools/locales new.json      adds translations: {"ja": {"EMoE_Gate.inputs.alpha.tooltip": "..."}}

Needs ComfyUI's own Python and COMFYUI_PATH, like the host tests. A node's English text is its schema's, never written
here. `translated_from.json` holds a digest of the English behind each translation, so that a changed text is noticed.
"""

from __future__ import annotations

import json
import os
import sys
import tempfile
from pathlib import Path
from typing import Any

ROOT = Path(__file__).resolve().parents[2]
sys.path.insert(0, str(ROOT / "scripts"))
sys.path.insert(0, str(Path(__file__).parent))

import texts  # noqa: E402
from emoe_host.inprocess import import_comfyui, load_pack  # noqa: E402


def schemas() -> dict[str, Any]:
    """The running nodes' own descriptions, by node id."""
    base = Path(tempfile.mkdtemp(prefix="emoe-locales-"))
    import_comfyui(Path(os.environ["COMFYUI_PATH"]), base)
    load_pack(base)
    import nodes

    return {
        name: cls.GET_NODE_INFO_V1()
        for name, cls in sorted(nodes.NODE_CLASS_MAPPINGS.items())
        if getattr(cls, "RELATIVE_PYTHON_MODULE", "") == "custom_nodes.emoe"
    }


def main() -> int:
    if not os.environ.get("COMFYUI_PATH"):
        print("error: set COMFYUI_PATH and use its Python.", file=sys.stderr)
        return 2
    english = texts.english(schemas())
    texts.write("en", english)
    for path in sys.argv[1:]:
        for language, found in json.loads(Path(path).read_text("utf-8")).items():
            texts.take(language, found, english)
    left = {language: texts.missing(language, english) for language in texts.TRANSLATED}
    for language in texts.TRANSLATED:
        texts.drop_unknown(language, english)
    if any(left.values()):
        print(json.dumps(left, ensure_ascii=False, indent=1))
        print("Translate these, save them as a file and run: python tools/locales FILE", file=sys.stderr)
        return 1
    return 0


if __name__ == "__main__":
    sys.exit(main())
