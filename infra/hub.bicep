// A hub of its own, for those who have none yet.

param name string
param location string
param tags object
param sku string
@description('Whether the shared access policies are off, so that services come with Entra ID alone.')
param disableLocalAuth bool

resource hub 'Microsoft.Devices/IotHubs@2023-06-30' = {
  name: name
  location: location
  tags: tags
  sku: { name: sku, capacity: 1 }
  // With it the hub reads the devices of a job and writes its log.
  identity: { type: 'SystemAssigned' }
  properties: {
    // Devices keep their own keys and certificates.
    disableLocalAuth: disableLocalAuth
    // A free hub has two partitions, no more and no less.
    eventHubEndpoints: { events: { partitionCount: sku == 'F1' ? 2 : 4, retentionTimeInDays: 1 } }
    // checkov:skip=CKV_AZURE_108: devices in the field reach their hub over the internet
    publicNetworkAccess: 'Enabled'
  }
}

output name string = hub.name
