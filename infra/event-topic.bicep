// The Event Grid topic for upload events. Its subscription is deployed after the app:
// event-subscription.bicep.

import { Tags } from 'types.bicep'

@description('Name of the Event Grid topic.')
param topicName string
@description('Azure region.')
param location string
@description('Tags of all resources.')
param tags Tags
@description('Name of the storage account of the uploads.')
param deviceStorageName string

resource account 'Microsoft.Storage/storageAccounts@2026-06-01' existing = {
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
