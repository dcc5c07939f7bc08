// Sends events of the upload container to the webhook of the blob trigger. hooks/postdeploy.sh deploys it
// after the app, because the webhook's key exists only after the host has loaded the app. The key is read
// here, so that it never appears in a shell, a log or an output.

@description('Name of the Event Grid topic.')
param topicName string
@description('Name of the function app.')
param appName string
@description('Name of the container for uploads.')
param uploadContainer string

resource app 'Microsoft.Web/sites@2025-03-01' existing = {
  name: appName
}

resource topic 'Microsoft.EventGrid/systemTopics@2025-02-15' existing = {
  name: topicName
}

var key = listKeys('${app.id}/host/default', '2025-03-01').systemKeys.blobs_extension

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
      // Event Grid must filter: it delivers all events of the account, whatever the trigger's path is.
      subjectBeginsWith: '/blobServices/default/containers/${uploadContainer}/blobs/'
      advancedFilters: [
        {
          // Writes that complete a blob. Not CreateFile and SftpCreate, after which it is empty. Learn: "Azure Blob
          // Storage as an Event Grid source"; the names with FromURL: "Storage Analytics logged operations".
          key: 'data.api'
          operatorType: 'StringIn'
          values: [
            'PutBlob'
            'PutBlobFromURL'
            'PutBlockList'
            'CopyBlob'
            'CopyBlobFromURL'
            'FlushWithClose'
            'SftpCommit'
          ]
        }
        {
          // Append and page blobs are created by PutBlob and filled later. The sweep finds them.
          key: 'data.blobType'
          operatorType: 'StringIn'
          values: ['BlockBlob']
        }
      ]
    }
    eventDeliverySchema: 'EventGridSchema'
    // The sweep finds uploads whose events are lost.
    retryPolicy: { maxDeliveryAttempts: 30, eventTimeToLiveInMinutes: 1440 }
  }
}
