#!/bin/bash
# Gives the interface every private IP of the slot. Amazon Linux's own tool does so too, from the metadata, but in its own time; the
# proxy binds to these addresses at once.
set -euo pipefail

device=$(ip -4 route show default | sed -n 's/.* dev \([^ ]*\).*/\1/p' | head -n 1)
for address in ${ADDRESSES//,/ }; do
  [ -n "$(ip -4 address show to "$address/32")" ] || ip address add "$address/32" dev "$device"
done
