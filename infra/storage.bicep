// A storage account that accepts Entra ID only.

import { Tags } from 'types.bicep'

@description('Name of the storage account.')
param name string
@description('Azure region.')
param location string
@description('Tags of all resources.')
param tags Tags
@description('Names of the blob containers.')
param containers string[]
@description('Names of the tables.')
param tables string[]
@description('Whether to close the account to the internet, except for addressRanges and trusted Azure services.')
param isPrivate bool
@description('Public IPv4 ranges that can reach a private account.')
param addressRanges string[]
@description('Workspace for the audit log of blob access. Empty: no audit log.')
param workspaceName string = ''
@description('Origin whose pages upload files from browsers. Empty: none.')
param uploadOrigin string = ''
@description('Redundancy: Standard_LRS, Standard_ZRS, Standard_GRS or Standard_GZRS.')
param sku string

resource account 'Microsoft.Storage/storageAccounts@2026-06-01' = {
  name: name
  location: location
  tags: tags
  kind: 'StorageV2'
  sku: { name: sku }
  properties: {
    accessTier: 'Hot'
    allowBlobPublicAccess: false
    allowCrossTenantReplication: false
    // No account keys, hence no account SAS and no service SAS: user delegation SAS only.
    allowSharedKeyAccess: false
    defaultToOAuthAuthentication: true
    minimumTlsVersion: 'TLS1_2'
    supportsHttpsTrafficOnly: true
    isLocalUserEnabled: false
    publicNetworkAccess: isPrivate && empty(addressRanges) ? 'Disabled' : 'Enabled'
    networkAcls: {
      defaultAction: isPrivate ? 'Deny' : 'Allow'
      // Lets in the hub, with its system-assigned identity, and Event Grid, which creates the topic.
      bypass: 'AzureServices'
      ipRules: [for range in addressRanges: { value: range, action: 'Allow' }]
    }
  }

  resource blobs 'blobServices' = {
    name: 'default'
    properties: {
      // Deleted blobs can be restored for this time. Device keys are kept as long.
      deleteRetentionPolicy: { enabled: true, days: 7 }
      containerDeleteRetentionPolicy: { enabled: true, days: 7 }
      // The requests of the dashboard's uploads; each has a SAS. Nothing can be read.
      cors: {
        corsRules: empty(uploadOrigin)
          ? []
          : [
              {
                allowedOrigins: [uploadOrigin]
                allowedMethods: ['PUT', 'OPTIONS']
                allowedHeaders: ['x-ms-blob-type', 'x-ms-meta-*', 'if-none-match', 'content-type']
                exposedHeaders: []
                maxAgeInSeconds: 600
              }
            ]
      }
    }
  }

  resource tableService 'tableServices' = {
    name: 'default'
  }
}

resource blobContainers 'Microsoft.Storage/storageAccounts/blobServices/containers@2026-06-01' = [
  for container in containers: {
    parent: account::blobs
    name: container
    properties: { publicAccess: 'None' }
  }
]

resource rowTables 'Microsoft.Storage/storageAccounts/tableServices/tables@2026-06-01' = [
  for table in tables: {
    parent: account::tableService
    name: table
  }
]

resource workspace 'Microsoft.OperationalInsights/workspaces@2026-03-01' existing = if (!empty(workspaceName)) {
  name: workspaceName
}

// Records who accessed blobs with device keys (table StorageBlobLogs).
// The only version without preview is of 2016.
#disable-next-line use-recent-api-versions
resource audit 'Microsoft.Insights/diagnosticSettings@2021-05-01-preview' = if (!empty(workspaceName)) {
  name: 'audit'
  scope: account::blobs
  properties: {
    workspaceId: workspace!.id
    logs: [
      { category: 'StorageRead', enabled: true }
      { category: 'StorageWrite', enabled: true }
      { category: 'StorageDelete', enabled: true }
    ]
  }
}
