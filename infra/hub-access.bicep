// Grants the app access to a hub, which can be in another resource group or subscription.

@description('Name of the hub.')
param hubName string
@description('Object id of the identity of the app.')
param appPrincipalId string
@description('Whether to return the principal id of the hub. Its system-assigned identity must be enabled then.')
param readsIdentity bool
@description('service: the host name with TLS 1.3, where the hub has one. classic: the other one.')
param endpoint 'service' | 'classic' = 'service'

resource hub 'Microsoft.Devices/IotHubs@2026-11-01' existing = {
  name: hubName
}

var dataContributor = subscriptionResourceId(
  'Microsoft.Authorization/roleDefinitions',
  '4fc6c259-987e-4a07-842e-c321cc9d413f'
)

// The app creates, reads, lists and cancels import and export jobs (jobs/write, read, delete), and reads devices
// that a job's log reports as missing (devices/read). To plan (APPLY), it looks devices and modules up
// (devices/read, twins/read) and counts them (statistics/read). IoT Hub Registry Contributor does not allow jobs.
resource appAtHub 'Microsoft.Authorization/roleAssignments@2022-04-01' = {
  name: guid(hub.id, appPrincipalId, dataContributor)
  scope: hub
  properties: {
    principalId: appPrincipalId
    principalType: 'ServicePrincipal'
    roleDefinitionId: dataContributor
  }
}

@description('Host name that the app calls (learn: "IoT Hub endpoints").')
output hostName string = endpoint == 'classic' || empty(hub.properties.?serviceHostName)
  ? hub.properties.hostName
  : hub.properties.serviceHostName!
@description('Object id of the system-assigned identity of the hub, if it was asked for.')
output hubPrincipalId string = readsIdentity ? hub.identity.principalId : ''
