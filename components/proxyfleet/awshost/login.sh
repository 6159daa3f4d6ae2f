#!/bin/bash
# Fetches the image unless it is here: logs in to ECR with the instance's role and nothing else. The AMI has no AWS command line,
# but curl signs requests by itself. Secrets travel through pipes, never through arguments.
set -euo pipefail
umask 077

docker image inspect "$IMAGE" >/dev/null 2>&1 && exit 0

token=$(curl -sSf -m 5 -X PUT -H 'X-aws-ec2-metadata-token-ttl-seconds: 300' "$METADATA/latest/api/token")
role=$(curl -sSf -m 5 -H "X-aws-ec2-metadata-token: $token" "$METADATA/latest/meta-data/iam/security-credentials/")
credentials=$(curl -sSf -m 5 -H "X-aws-ec2-metadata-token: $token" "$METADATA/latest/meta-data/iam/security-credentials/$role")

# field NAME: a string of the JSON on standard input. The values that are read this way contain neither quotes nor escapes.
field() { tr -d '\n' | sed -n "s/.*\"$1\" *: *\"\([^\"]*\)\".*/\1/p"; }

answer=$(curl -sSf -m 20 --retry 3 --aws-sigv4 "aws:amz:$REGION:ecr" --config <(
  printf 'user = "%s:%s"\n' "$(field AccessKeyId <<<"$credentials")" "$(field SecretAccessKey <<<"$credentials")"
  printf 'header = "X-Amz-Security-Token: %s"\n' "$(field Token <<<"$credentials")"
) -H 'Content-Type: application/x-amz-json-1.1' -H 'X-Amz-Target: AmazonEC2ContainerRegistry_V20150921.GetAuthorizationToken' \
  -d '{}' "$ECR/")
authorization=$(field authorizationToken <<<"$answer")
[ -n "$authorization" ] || { echo "ECR gave no authorization token" >&2; exit 1; }

mkdir -p "$DOCKER_CONFIG"
printf '{"auths":{"%s":{"auth":"%s"}}}\n' "${IMAGE%%/*}" "$authorization" >"$DOCKER_CONFIG/config.json"
docker pull --quiet "$IMAGE"
rm -f "$DOCKER_CONFIG/config.json"
