// Events of the upload container go to the webhook of the blob trigger. Deployed after each publish
// (hooks/postdeploy.sh): the webhook's key is made when the host first loads the app. It is read here,
// so it passes through no shell, no log and no output.

param topicName string
param appName string
param uploadContainer string

resource app 'Microsoft.Web/sites@2024-11-01' existing = {
  name: appName
}

resource topic 'Microsoft.EventGrid/systemTopics@2025-02-15' existing = {
  name: topicName
}

var key = listKeys('${app.id}/host/default', '2024-11-01').systemKeys.blobs_extension

resource subscription 'Microsoft.EventGrid/systemTopics/eventSubscriptions@2025-02-15' = {
  parent: topic
  name: 'device-uploads'
  properties: {
    destination: {
      endpointType: 'WebHook'
      properties: {
        endpointUrl: 'https://${app.properties.defaultHostName}/runtime/webhooks/blobs?functionName=Host.Functions.import_upload&code=${key}'
        minimumTlsVersionAllowed: '1.2'
      }
    }
    filter: {
      includedEventTypes: ['Microsoft.Storage.BlobCreated']
      // The trigger's own path is no filter.
      subjectBeginsWith: '/blobServices/default/containers/${uploadContainer}/blobs/'
    }
    eventDeliverySchema: 'EventGridSchema'
    // What is not delivered in a day is found by the sweep long before.
    retryPolicy: { maxDeliveryAttempts: 30, eventTimeToLiveInMinutes: 1440 }
  }
}
