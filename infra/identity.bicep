// The app's identity for storage, hub and Application Insights. User-assigned, so that it has its roles
// before the app starts, and keeps them if the app is replaced.

param name string
param location string
param tags object

resource identity 'Microsoft.ManagedIdentity/userAssignedIdentities@2024-11-30' = {
  name: name
  location: location
  tags: tags
}

output id string = identity.id
output clientId string = identity.properties.clientId
output principalId string = identity.properties.principalId
