#!/bin/sh
# Sends the events of uploads to the app. azd runs it after each deployment of the app, with the outputs
# of main.bicep in the environment; it may be run again at any time.
set -eu

: "${AZURE_RESOURCE_GROUP:?}" "${FUNCTION_APP:?}" "${FUNCTION_APP_HOST:?}" "${EVENT_TOPIC:?}" "${UPLOAD_CONTAINER:?}"
deadline=$(($(date +%s) + ${KEY_DEADLINE_SECONDS:-600}))

has_key() {
  az functionapp keys list --resource-group "$AZURE_RESOURCE_GROUP" --name "$FUNCTION_APP" \
    --query "contains(keys(systemKeys), 'blobs_extension')" --output tsv
}

# The webhook's key is there once the host has loaded the app; a call of its home page starts an instance.
echo "Waiting for the webhook of $FUNCTION_APP ..."
until [ "$(has_key)" = true ]; do
  if [ "$(date +%s)" -ge "$deadline" ]; then
    echo "$FUNCTION_APP has no key blobs_extension yet. See in its log stream that it starts," \
      "then run this script again." >&2
    exit 1
  fi
  curl --silent --output /dev/null --max-time 30 "https://$FUNCTION_APP_HOST/" || true
  sleep "${KEY_PAUSE_SECONDS:-10}"
done

az deployment group create --resource-group "$AZURE_RESOURCE_GROUP" --name event-subscription \
  --template-file "$(dirname "$0")/../event-subscription.bicep" --output none \
  --parameters "topicName=$EVENT_TOPIC" "appName=$FUNCTION_APP" "uploadContainer=$UPLOAD_CONTAINER"
echo "Uploads to $UPLOAD_CONTAINER are announced to $FUNCTION_APP."
