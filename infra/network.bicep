// A virtual network with private endpoints for both storage accounts.

import { Tags } from 'types.bicep'

@description('Name of the virtual network.')
param name string
@description('Azure region.')
param location string
@description('Tags of all resources.')
param tags Tags
@description('Address range of the virtual network.')
param addressPrefix string
@description('Address range of the app subnet, at least a /27.')
param appPrefix string
@description('Address range of the private endpoints.')
param endpointPrefix string
@description('Names of the storage accounts in this resource group.')
param storageAccounts string[]

var services = ['blob', 'queue', 'table']
// One per account and service.
var endpointCount = length(storageAccounts) * length(services)

// Outbound access to hub, Entra ID and Application Insights: new subnets have none by default.
resource publicAddress 'Microsoft.Network/publicIPAddresses@2026-03-01' = {
  name: 'pip-${name}'
  location: location
  tags: tags
  sku: { name: 'Standard' }
  properties: { publicIPAllocationMethod: 'Static' }
}

resource gateway 'Microsoft.Network/natGateways@2026-03-01' = {
  name: 'ng-${name}'
  location: location
  tags: tags
  sku: { name: 'Standard' }
  properties: {
    publicIpAddresses: [{ id: publicAddress.id }]
  }
}

resource network 'Microsoft.Network/virtualNetworks@2026-03-01' = {
  name: name
  location: location
  tags: tags
  properties: {
    addressSpace: { addressPrefixes: [addressPrefix] }
    subnets: [
      {
        name: 'app'
        properties: {
          addressPrefix: appPrefix
          natGateway: { id: gateway.id }
          delegations: [
            { name: 'flex', properties: { serviceName: 'Microsoft.App/environments' } }
          ]
        }
      }
      {
        name: 'endpoints'
        properties: {
          addressPrefix: endpointPrefix
        }
      }
    ]
  }

  resource endpointSubnet 'subnets' existing = {
    name: 'endpoints'
  }
}

resource zones 'Microsoft.Network/privateDnsZones@2024-06-01' = [
  for service in services: {
    name: 'privatelink.${service}.${environment().suffixes.storage}'
    location: 'global'
    tags: tags
  }
]

resource links 'Microsoft.Network/privateDnsZones/virtualNetworkLinks@2024-06-01' = [
  for (service, i) in services: {
    parent: zones[i]
    name: name
    location: 'global'
    tags: tags
    properties: {
      registrationEnabled: false
      virtualNetwork: { id: network.id }
    }
  }
]

resource accounts 'Microsoft.Storage/storageAccounts@2026-06-01' existing = [
  for account in storageAccounts: {
    name: account
  }
]

// One at a time: an account rejects concurrent private endpoint connections.
@batchSize(1)
resource privateEndpoints 'Microsoft.Network/privateEndpoints@2026-03-01' = [
  for i in range(0, endpointCount): {
    name: 'pe-${storageAccounts[i / length(services)]}-${services[i % length(services)]}'
    location: location
    tags: tags
    properties: {
      subnet: { id: network::endpointSubnet.id }
      privateLinkServiceConnections: [
        {
          name: services[i % length(services)]
          properties: {
            privateLinkServiceId: accounts[i / length(services)].id
            groupIds: [services[i % length(services)]]
          }
        }
      ]
    }
  }
]

resource zoneGroups 'Microsoft.Network/privateEndpoints/privateDnsZoneGroups@2026-03-01' = [
  for i in range(0, endpointCount): {
    parent: privateEndpoints[i]
    name: 'default'
    properties: {
      privateDnsZoneConfigs: [
        {
          name: services[i % length(services)]
          properties: { privateDnsZoneId: zones[i % length(services)].id }
        }
      ]
    }
  }
]
