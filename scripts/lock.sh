#!/usr/bin/env bash
# Writes requirements/test.lock anew from requirements/test.in, in a fresh environment.
set -euo pipefail
. "$(dirname "${BASH_SOURCE[0]}")/python.sh"
exec "$start_python" -m emoe_host.lock "$@"
