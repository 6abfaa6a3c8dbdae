#!/usr/bin/env bash
# Runs lint, types and the five test tiers. See --help.
set -euo pipefail
. "$(dirname "${BASH_SOURCE[0]}")/python.sh"
exec "$start_python" -m emoe_host.check "$@"
