// Grants the app access to a hub, which can be in another resource group or subscription.

param hubName string
param appPrincipalId string
@description('Whether to return the principal id of the hub. Its system-assigned identity must be enabled then.')
param readsIdentity bool

resource hub 'Microsoft.Devices/IotHubs@2023-06-30' existing = {
  name: hubName
}

var dataContributor = subscriptionResourceId('Microsoft.Authorization/roleDefinitions', '4fc6c259-987e-4a07-842e-c321cc9d413f')

// The app creates, reads, lists and cancels jobs (jobs/write, read, delete) and reads devices that a job's
// log reports as missing (devices/read). IoT Hub Registry Contributor does not allow jobs.
resource appAtHub 'Microsoft.Authorization/roleAssignments@2022-04-01' = {
  name: guid(hub.id, appPrincipalId, dataContributor)
  scope: hub
  properties: {
    principalId: appPrincipalId
    principalType: 'ServicePrincipal'
    roleDefinitionId: dataContributor
  }
}

output hostName string = hub.properties.hostName
output hubPrincipalId string = readsIdentity ? hub.identity.principalId : ''
