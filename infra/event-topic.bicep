// The Event Grid topic for upload events. Its subscription is deployed after the app:
// event-subscription.bicep.

param topicName string
param location string
param tags object
param deviceStorageName string

resource account 'Microsoft.Storage/storageAccounts@2025-06-01' existing = {
  name: deviceStorageName
}

resource topic 'Microsoft.EventGrid/systemTopics@2025-02-15' = {
  name: topicName
  location: location
  tags: tags
  properties: {
    source: account.id
    topicType: 'Microsoft.Storage.StorageAccounts'
  }
}

output topicName string = topic.name
