// A new IoT hub.

param name string
param location string
param tags object
param sku string
@description('Whether services must use Entra ID: disables the shared access policies.')
param disableLocalAuth bool

resource hub 'Microsoft.Devices/IotHubs@2023-06-30' = {
  name: name
  location: location
  tags: tags
  sku: { name: sku, capacity: 1 }
  // The hub uses it to read the device file of a job and to write the job's log.
  identity: { type: 'SystemAssigned' }
  properties: {
    // Does not affect the keys and certificates of devices.
    disableLocalAuth: disableLocalAuth
    // A free hub must have two partitions.
    eventHubEndpoints: { events: { partitionCount: sku == 'F1' ? 2 : 4, retentionTimeInDays: 1 } }
    // checkov:skip=CKV_AZURE_108: devices connect over the internet
    publicNetworkAccess: 'Enabled'
  }
}

output name string = hub.name
