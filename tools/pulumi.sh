#!/usr/bin/env bash
# Runs Pulumi for this project: pulumi.sh ARGUMENTS...
#
#   command line  the user's own Pulumi if it is on PATH together with its Go language host, else the one `make tools` built
#   backend       PULUMI_BACKEND_URL or the user's `pulumi login` if there is one, else files below .build/state
#   passphrase    PULUMI_CONFIG_PASSPHRASE or PULUMI_CONFIG_PASSPHRASE_FILE if set, else, with our own file backend, an empty
#                 one: stack local keeps no secret. Set your own before you put a secret into a stack.
set -euo pipefail
root=$(cd "$(dirname "${BASH_SOURCE[0]}")/.." && pwd)
build=${SALLYPORT_BUILD_DIR:-$root/.build}

if command -v pulumi >/dev/null && command -v pulumi-language-go >/dev/null; then
  pulumi=$(command -v pulumi)
else
  pulumi=$build/bin/pulumi
  if [ ! -x "$pulumi" ]; then
    echo "pulumi.sh: no pulumi on PATH and none built here; run 'make tools' first" >&2
    exit 1
  fi
  export PATH="$build/bin:$PATH"
  export PULUMI_DISABLE_AUTOMATIC_PLUGIN_ACQUISITION=${PULUMI_DISABLE_AUTOMATIC_PLUGIN_ACQUISITION:-true}
fi

logged_in() {
  grep -Eqs '"current": *"[^"]+"' "${PULUMI_HOME:-${HOME:-/root}/.pulumi}/credentials.json"
}
if [ -z "${PULUMI_BACKEND_URL:-}" ] && ! logged_in; then
  mkdir -p "$build/state"
  export PULUMI_BACKEND_URL="file://$build/state"
  export PULUMI_HOME=${PULUMI_HOME:-$build/pulumi-home}
  if [ -z "${PULUMI_CONFIG_PASSPHRASE_FILE:-}" ]; then
    export PULUMI_CONFIG_PASSPHRASE=${PULUMI_CONFIG_PASSPHRASE-}
  fi
fi
export PULUMI_SKIP_UPDATE_CHECK=${PULUMI_SKIP_UPDATE_CHECK:-true}
export CGO_ENABLED=0 # one flag set for everything compiled here, so that nothing is compiled twice
cd "$root"
exec "$pulumi" "$@"
