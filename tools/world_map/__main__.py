"""Makes the audit report's world map and names: `emoe_core/audit/report/data/*.json`, with their licences.

    python tools/world_map [FOLDER]

Shapes come from Natural Earth (public domain) through the npm package world-atlas (ISC), names and codes from Unicode CLDR
(Unicode License v3) through two of its npm packages, at fixed versions, with their files checked. FOLDER (a temporary
one by default) keeps the files for a second run. Needs numpy and npm.

* world.json: `width` and `height` of the drawing, `shapes` (SVG paths by ISO 3166 alpha-2 code, "" for land without
  one), `places` (for each territory the point of its dot), `small` (territories drawn as a dot).
* names.json: `languages` and `territories` with their English and Japanese names by code, `codes` from three-letter and
  numeric codes to two letters, `also` from other English names (lower case) to two letters.
"""

from __future__ import annotations

import json
import sys
import tempfile
from pathlib import Path
from typing import Any

ROOT = Path(__file__).resolve().parents[2]
sys.path.insert(0, str(ROOT / "tools"))
sys.path.insert(0, str(Path(__file__).parent))

import shapes  # noqa: E402
from packages import CORE, LOCALE_NAMES, Package, members  # noqa: E402

DATA = ROOT / "emoe_core" / "audit" / "report" / "data"
ATLAS = Package(
    "world-atlas",
    "2.0.2",
    "sha512-IXfV0qwlKXpckz1FhwXVwKRjiIhOnWttOskm5CtxMsjgE/MXAYRHWJqgXOpM8IkcPBoXnyTU5lFHcYa5ChG0LQ==",
)
Files = dict[str, bytes]


def displayed(files: Files, language: str, kind: str) -> dict[str, str]:
    content = json.loads(files[f"main/{language}/{kind}.json"])
    names: dict[str, str] = content["main"][language]["localeDisplayNames"][kind]
    return names


def names_of(core: Files, local: Files) -> dict[str, Any]:
    """Names in English and Japanese, and other names of a territory."""
    mapping = json.loads(core["supplemental/codeMappings.json"])["supplemental"]["codeMappings"]
    territories, languages = (
        [displayed(local, lang, kind) for lang in ("en", "ja")] for kind in ("territories", "languages")
    )
    known = [
        code
        for code in territories[0]
        if len(code) == 2 and code.isalpha() and code not in ("EU", "EZ", "UN", "QO", "ZZ")
    ]
    known = [code for code in known if code in mapping and not code.startswith("X") or code == "XK"]
    codes, also = {}, {}
    for code in known:
        codes |= {mapping[code][name]: code for name in ("_alpha3", "_numeric") if name in mapping[code]}
        for name, text in territories[0].items():
            if name.split("-")[0] == code:
                also[text.lower()] = code
        also[territories[1][code]] = code
    return {
        "languages": {
            code: [languages[0][code], languages[1][code]]
            for code in languages[0]
            if "-alt-" not in code and code in languages[1]
        },
        "territories": {code: [territories[0][code], territories[1][code]] for code in known},
        "codes": codes,
        "also": {text: code for text, code in also.items() if text != territories[0][code].lower()},
    }


def main() -> int:
    with tempfile.TemporaryDirectory() as temporary:
        folder = Path(sys.argv[1] if len(sys.argv) > 1 else temporary).resolve()
        atlas = members(ATLAS, folder, lambda name: name.startswith("countries-") or name == "LICENSE")
        core = members(CORE, folder, lambda name: name in ("supplemental/codeMappings.json", "LICENSE"))
        local = members(LOCALE_NAMES, folder, lambda name: name.startswith(("main/en/", "main/ja/")))
        names = names_of(core, local)
        maps = (json.loads(atlas[f"countries-{scale}.json"]) for scale in ("110m", "50m", "10m"))
        world = shapes.world(*maps, names["codes"])
        DATA.mkdir(parents=True, exist_ok=True)
        for name, value in (("world", world), ("names", names)):
            text = json.dumps(value, ensure_ascii=False, separators=(",", ":"))
            (DATA / f"{name}.json").write_text(
                text.replace("],", "],\n").replace('Z",', 'Z",\n') + "\n", encoding="utf-8"
            )
            print(f"{name}.json: {(DATA / f'{name}.json').stat().st_size / 1000:.1f} kB")
        (DATA / "licences").mkdir(exist_ok=True)
        (DATA / "licences" / "world-atlas.txt").write_bytes(atlas["LICENSE"])
        (DATA / "licences" / "Unicode-3.0.txt").write_bytes(core["LICENSE"])
    missing = sorted(set(names["territories"]) - set(world["places"]))
    print(f"{len(world['shapes'])} shapes, {len(world['small'])} dots; not on the map: {' '.join(missing)}")
    return 0


if __name__ == "__main__":
    sys.exit(main())
