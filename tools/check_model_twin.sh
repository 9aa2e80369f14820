#!/bin/sh
# The numpy twin of the models against every reference checkpoint. Exits 77 (skipped) where there is no Python with numpy;
# PYTHON names another one than python3.
set -eu
cd "$(dirname "$0")/.."
python=${PYTHON:-python3}
if ! "$python" -c 'import numpy' 2>/dev/null; then
    echo "skipped: $python is not there or has no numpy; PYTHON=... names one that has"
    exit 77
fi
exec "$python" tools/model_twin.py --check tests/data
