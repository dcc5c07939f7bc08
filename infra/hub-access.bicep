// What the app may do at a hub, new or existing, in whatever resource group it is.

param hubName string
param appPrincipalId string
@description('Whether the identity of the hub itself is needed. It has to be on then.')
param readsIdentity bool

resource hub 'Microsoft.Devices/IotHubs@2023-06-30' existing = {
  name: hubName
}

var dataContributor = subscriptionResourceId('Microsoft.Authorization/roleDefinitions', '4fc6c259-987e-4a07-842e-c321cc9d413f')

// The app: creates, reads, lists and cancels jobs (jobs/write, read, delete), and looks up devices that a
// log calls missing (devices/read). IoT Hub Registry Contributor has no right to jobs.
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
