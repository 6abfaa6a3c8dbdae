#!/usr/bin/env bash
# Makes a Python environment for a ComfyUI of your own, with what the demo and the tests need. See --help.
set -euo pipefail
. "$(dirname "${BASH_SOURCE[0]}")/python.sh"
exec "$start_python" -m emoe_host.environment "$@"
