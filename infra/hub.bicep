// A new IoT hub.

import { Tags } from 'types.bicep'

@description('Name of the hub.')
param name string
@description('Azure region.')
param location string
@description('Tags of all resources.')
param tags Tags
@description('Tier of the hub.')
param sku string
@description('Whether services must use Entra ID: disables the shared access policies.')
param disableLocalAuth bool

resource hub 'Microsoft.Devices/IotHubs@2026-11-01' = {
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
    publicNetworkAccess: 'Enabled'
  }
}
