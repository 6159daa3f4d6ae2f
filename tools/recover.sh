#!/usr/bin/env bash
# recover.sh STACK [PULUMI OPTIONS]: makes a stack usable again after the Pulumi command line was killed in its middle.
#
# It ends provider processes of this checkout that lost their command line, releases the stack's lock, and takes stock of what
# really exists. Creates of the lab are idempotent by name, so what a lost create had made is found again, public IPs included.
set -euo pipefail
root=$(cd "$(dirname "${BASH_SOURCE[0]}")/.." && pwd)
stack=$1
shift

# Only providers of this checkout whose parent has gone (adopted by process 1 or a reaper that is no pulumi).
for exe in /proc/[0-9]*/exe; do
  target=$(readlink "$exe" 2>/dev/null || true)
  [ "${target% (deleted)}" = "$root/.build/bin/pulumi-resource-lab" ] || continue
  pid=${exe#/proc/}
  pid=${pid%/exe}
  parent=$(awk '/^PPid:/ {print $2}' "/proc/$pid/status" 2>/dev/null || echo 1)
  case $(cat "/proc/$parent/comm" 2>/dev/null || true) in
    pulumi*) ;;
    *)
      echo "ending provider $pid, whose command line has gone"
      kill -TERM "$pid" 2>/dev/null || true
      ;;
  esac
done

"$root/tools/pulumi.sh" cancel "$stack" --yes || true
"$root/tools/pulumi.sh" refresh --stack "$stack" --yes --clear-pending-creates --suppress-outputs "$@"
