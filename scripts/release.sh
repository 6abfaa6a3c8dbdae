#!/usr/bin/env bash
# Says whether this commit is a new version that can be published. See --help.
set -euo pipefail
. "$(dirname "${BASH_SOURCE[0]}")/python.sh"
exec "$start_python" -m emoe_host.release "$@"
