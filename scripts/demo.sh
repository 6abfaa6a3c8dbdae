#!/usr/bin/env bash
# Runs the demo in a real ComfyUI: prompts are scored, gated, and drawn or not. See --help.
set -euo pipefail
. "$(dirname "${BASH_SOURCE[0]}")/python.sh"
exec "$start_python" -m emoe_host.demo "$@"
