#!/usr/bin/env bash
# A whole trial in a real ComfyUI: demo prompts are scored, drawn and judged, and a page says what it shows. See --help.
set -euo pipefail
. "$(dirname "${BASH_SOURCE[0]}")/python.sh"
exec "$start_python" -m emoe_host.prove_demo "$@"
