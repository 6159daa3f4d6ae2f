#!/bin/bash
# Looks after the proxy of this machine, without any permission in AWS:
# - a machine whose proxy is not ready in time, or not alive for long, ends itself; its Auto Scaling group makes another one. Until
#   READY_SECONDS after its start it is not in service, so a proxy that cannot work never lets the next slot follow;
# - when the group wants to end the machine, the proxy is drained first.
set -u

# The group counts from the machine's start. A watch that is itself started again later gives the proxy as long as a dead one has.
read -r uptime _ <"${UPTIME:-/proc/uptime}"
limit=$((READY_SECONDS - 30 - ${uptime%.*}))
[ "$limit" -gt 0 ] || limit=$DEAD_SECONDS
until_ready=$((SECONDS + limit))
alive=$SECONDS
ready=
token=
renew=0

get() { curl -sf -m 4 "$@"; }

# look sets state to what the group wants this machine to be, for example InService or Terminated; empty if it cannot be asked.
look() {
  state=
  if [ -z "$token" ] || [ "$SECONDS" -ge "$renew" ]; then
    token=$(get -X PUT -H 'X-aws-ec2-metadata-token-ttl-seconds: 21600' "$METADATA/latest/api/token") || { token=; return; }
    renew=$((SECONDS + 18000))
  fi
  state=$(get -H "X-aws-ec2-metadata-token: $token" "$METADATA/latest/meta-data/autoscaling/target-lifecycle-state")
}

end() {
  echo "$1"
  systemctl poweroff
  exit 0
}

while :; do
  look
  if [ "$state" = Terminated ]; then
    echo "the group ends this machine: draining"
    systemctl stop sallyport-proxy.service
    end "drained"
  fi
  if [ -z "$ready" ]; then
    if get -o /dev/null "$PROXY/readyz"; then
      ready=yes
      alive=$SECONDS
      echo "the proxy is ready"
    elif [ "$SECONDS" -ge "$until_ready" ]; then
      end "the proxy is not ready after $limit s: $(curl -s -m 4 "$PROXY/readyz" | tr -d '\n' | cut -c 1-2000)"
    fi
  elif get -o /dev/null "$PROXY/healthz"; then
    alive=$SECONDS
  elif [ $((SECONDS - alive)) -ge "$DEAD_SECONDS" ]; then
    end "the proxy has been dead for $((SECONDS - alive)) s although it is started again and again"
  fi
  sleep "$PAUSE_SECONDS"
done
