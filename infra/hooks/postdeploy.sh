#!/bin/sh
# Sends the events of uploads to the app. azd runs it after each deployment of the app, with the outputs
# of main.bicep in the environment; it may be run again at any time.
set -eu

: "${AZURE_RESOURCE_GROUP:?}" "${FUNCTION_APP:?}" "${FUNCTION_APP_HOST:?}" "${EVENT_TOPIC:?}" "${UPLOAD_CONTAINER:?}"
deadline=$(($(date +%s) + ${KEY_DEADLINE_SECONDS:-600}))

has_key() {
  az functionapp keys list --resource-group "$AZURE_RESOURCE_GROUP" --name "$FUNCTION_APP" \
    --query "systemKeys.blobs_extension != null" --output tsv
}

# Event Grid asks the webhook whether it wants events, which a host that is just starting does not answer.
subscribe() {
  az deployment group create --resource-group "$AZURE_RESOURCE_GROUP" --name event-subscription \
    --template-file "$(dirname "$0")/../event-subscription.bicep" --output none \
    --parameters "topicName=$EVENT_TOPIC" "appName=$FUNCTION_APP" "uploadContainer=$UPLOAD_CONTAINER"
}

# A call of the home page starts an instance; the webhook's key is there once its host has loaded the app.
echo "Waiting for the webhook of $FUNCTION_APP ..."
until curl --silent --output /dev/null --max-time 30 "https://$FUNCTION_APP_HOST/" || true
  [ "$(has_key)" = true ] && subscribe; do
  if [ "$(date +%s)" -ge "$deadline" ]; then
    echo "Uploads are not announced to $FUNCTION_APP, for the reason above, or for want of its key" \
      "blobs_extension. See in its log stream that it starts, then run this script again." >&2
    exit 1
  fi
  sleep "${KEY_PAUSE_SECONDS:-10}"
done
echo "Uploads to $UPLOAD_CONTAINER are announced to $FUNCTION_APP."
