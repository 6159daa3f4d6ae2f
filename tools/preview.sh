#!/usr/bin/env bash
# Previews a stack: preview.sh STACK [options of pulumi preview].
#
# A stack of a cloud needs the cloud's provider. Where it is not installed and cannot be (the command line that `make tools` builds
# installs nothing), the preview runs against the stand-ins of test/standin, with a state of its own: it shows the plan and the graph, and
# nothing is asked of any account. Ids in the stack file are taken on trust.
set -euo pipefail
root=$(cd "$(dirname "${BASH_SOURCE[0]}")/.." && pwd)
build=${SALLYPORT_BUILD_DIR:-$root/.build}
stack=$1
shift
cd "$root"

cloud=$(sed -nE 's/^ *sallyport:cloud: *"?([a-z]+)"?.*/\1/p' "stacks/Pulumi.$stack.yaml")
installed() { compgen -G "${PULUMI_HOME:-${HOME:-/root}/.pulumi}/plugins/resource-$cloud-v*" >/dev/null ||
  { command -v pulumi >/dev/null && command -v pulumi-language-go >/dev/null; }; }

if [ "$cloud" = local ] || installed; then
  if [ "$cloud" = local ]; then export GOFLAGS="${GOFLAGS:-} -tags=local"; fi
  exec tools/pulumi.sh preview --stack "$stack" --diff "$@"
fi

echo "==> no provider of $cloud on this machine: previewing against a stand-in, nothing is asked of any account"
"$build/bin/sallyport" plan --stack "$stack"
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
go run ./test/standin/cmd/install-standins -home "$build/standin-home"
mkdir "$work/state" "$work/stacks"
cp Pulumi.yaml "$work/"
export PULUMI_BACKEND_URL="file://$work/state" PULUMI_HOME="$build/standin-home" PULUMI_CONFIG_PASSPHRASE="" PULUMI_CONFIG_PASSPHRASE_FILE=""
export SALLYPORT_PREFLIGHT=off
unset SALLYPORT_STANDIN_WORLD # a world in memory
# The new stack's salt belongs to this preview, not into the user's stack file.
tools/pulumi.sh --cwd "$work" stack init "$stack" >/dev/null
file="$work/stacks/Pulumi.$stack.yaml"
grep -v '^encryptionsalt:' "stacks/Pulumi.$stack.yaml" >>"$file"
tools/pulumi.sh preview --stack "$stack" --config-file "$file" --suppress-outputs --show-reads=false "$@"
