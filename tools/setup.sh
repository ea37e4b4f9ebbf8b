#!/usr/bin/env bash
# Make .venv from the locks. Say what is missing in one line, or install it where that is possible.
set -euo pipefail
cd "$(dirname "$0")/.."
uv_version=$1

fail() { echo "setup: $*" >&2; exit 1; }

install() {
  if [ "$(id -u)" = 0 ] && command -v apt-get >/dev/null; then
    echo "setup: installing $*"
    { apt-get -qq update && DEBIAN_FRONTEND=noninteractive apt-get -qq install -y --no-install-recommends "$@"; } >/dev/null
  else
    fail "$* missing: install with your package manager, or run as root on Debian or Ubuntu"
  fi
}

command -v python3 >/dev/null || install python3
python3 -c 'import sys; sys.exit(sys.version_info < (3, 11))' || fail "Python 3.11 or later is needed, this is $(python3 -V)"
python3 -c 'import ensurepip, venv' 2>/dev/null || install python3-venv

if [ "$(.tools/bin/uv --version 2>/dev/null | cut -d' ' -f2)" != "$uv_version" ]; then
  echo "setup: uv $uv_version"
  python3 -m venv --clear .tools
  .tools/bin/python -m pip install --quiet --disable-pip-version-check "uv==$uv_version"
fi

[ -x .venv/bin/python ] || .tools/bin/uv venv --quiet --clear --python "$(command -v python3)" .venv
echo "setup: the locked packages (about 800 MB when new)"
.tools/bin/uv pip sync --quiet --python .venv/bin/python --require-hashes locks/dev.txt
.tools/bin/uv pip install --quiet --python .venv/bin/python --no-deps --editable .
