# Sourced by the other scripts here: finds a Python to start with, and says so in one sentence when there is none.
root=$(cd "$(dirname "${BASH_SOURCE[0]}")/.." && pwd)
start_python=
for candidate in "${EMOE_PYTHON:-}" python3.11 python3 python; do
    if [ -n "$candidate" ] && "$candidate" -c 'import sys; sys.exit(sys.version_info < (3, 10))' >/dev/null 2>&1; then
        start_python=$candidate
        break
    fi
done
if [ -z "$start_python" ]; then
    echo "error: no Python 3.10 or newer was found on PATH; install Python 3.11, or name one with EMOE_PYTHON." >&2
    exit 2
fi
export PYTHONPATH="$root/scripts${PYTHONPATH:+:$PYTHONPATH}"
