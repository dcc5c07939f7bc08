// The app's identity for storage, hub and Application Insights. User-assigned, so that it has its roles
// before the app starts, and keeps them if the app is replaced.

import { Tags } from 'types.bicep'

@description('Name of the identity.')
param name string
@description('Azure region.')
param location string
@description('Tags of all resources.')
param tags Tags

resource identity 'Microsoft.ManagedIdentity/userAssignedIdentities@2024-11-30' = {
  name: name
  location: location
  tags: tags
}

@description('Client id of the identity.')
output clientId string = identity.properties.clientId
@description('Object id of the identity.')
output principalId string = identity.properties.principalId
