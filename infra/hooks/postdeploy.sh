#!/bin/sh
# Subscribes the app to upload events. azd runs it after each deployment of the app, with the outputs of
# main.bicep in the environment. Safe to run again at any time.
set -eu

: "${AZURE_RESOURCE_GROUP:?}" "${FUNCTION_APP:?}" "${FUNCTION_APP_HOST:?}" "${EVENT_TOPIC:?}" "${UPLOAD_CONTAINER:?}"
deadline=$(($(date +%s) + ${KEY_DEADLINE_SECONDS:-600}))

has_key() {
  az functionapp keys list --resource-group "$AZURE_RESOURCE_GROUP" --name "$FUNCTION_APP" \
    --query "systemKeys.blobs_extension != null" --output tsv
}

# Event Grid validates the webhook, which fails while the host is starting.
subscribe() {
  az deployment group create --resource-group "$AZURE_RESOURCE_GROUP" --name event-subscription \
    --template-file "$(dirname "$0")/../event-subscription.bicep" --output none \
    --parameters "topicName=$EVENT_TOPIC" "appName=$FUNCTION_APP" "uploadContainer=$UPLOAD_CONTAINER"
}

# Requesting the home page starts an instance. The webhook's key exists once the host has loaded the app.
echo "Waiting for the webhook of $FUNCTION_APP ..."
until curl --silent --output /dev/null --max-time 30 "https://$FUNCTION_APP_HOST/" || true
  [ "$(has_key)" = true ] && subscribe; do
  if [ "$(date +%s)" -ge "$deadline" ]; then
    echo "Could not subscribe $FUNCTION_APP to upload events. If there is no error above, its key" \
      "blobs_extension does not exist: the app did not start. Check its log stream, then run this script again." >&2
    exit 1
  fi
  sleep "${KEY_PAUSE_SECONDS:-10}"
done
echo "Subscribed $FUNCTION_APP to upload events of $UPLOAD_CONTAINER."
