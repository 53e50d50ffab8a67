#!/usr/bin/env bash
# Formats the volume the first time, then becomes the broker. The image's own start cannot format a
# quorum that may grow, and writes below /opt, which is read-only here.
#   SETTINGS   file beside this one with what all brokers have in common
#   NODE_ID    number of this broker
#   NODE_NAME  name under which the others, and the clients, reach it; it listens on that address only
#   CLUSTER_ID, INITIAL_CONTROLLERS  for a cluster: the same on every broker
set -euo pipefail

storage=/opt/kafka/bin/kafka-storage.sh
log=/var/lib/kafka/data/log
settings=/tmp/server.properties

write_settings() { # LOG-FOLDER
  local listeners="PLAINTEXT://$NODE_NAME:9092,CONTROLLER://$NODE_NAME:9093"
  {
    cat "/etc/steadflow/$SETTINGS"
    printf '%s\n' "node.id=$NODE_ID" "listeners=$listeners" "advertised.listeners=$listeners" "log.dirs=$1"
  } >"$settings"
}

# Killed at any point, it is formatted or not, never half.
if [ ! -e "$log" ]; then
  rm -rf "$log.new"
  write_settings "$log.new"
  if [ -n "${INITIAL_CONTROLLERS-}" ]; then
    quorum=(--initial-controllers "$INITIAL_CONTROLLERS")
  else
    quorum=(--standalone)
  fi
  # With "=": an id may begin with a dash.
  "$storage" format "${quorum[@]}" --cluster-id="${CLUSTER_ID:-$("$storage" random-uuid)}" --config "$settings"
  mv "$log.new" "$log"
fi
write_settings "$log"
# Containers that start again may get each other's addresses. A broker that goes by a remembered one
# asks the wrong node for its vote, and never looks again while that connection lasts.
export KAFKA_OPTS="${KAFKA_OPTS-} -Dsun.net.inetaddr.ttl=0"
exec /opt/kafka/bin/kafka-server-start.sh "$settings"
