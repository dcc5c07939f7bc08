// A storage account that accepts Entra ID only.

param name string
param location string
param tags object
@description('Names of the blob containers.')
param containers array
@description('Names of the tables.')
param tables array
@description('Whether to close the account to the internet, except for addressRanges and trusted Azure services.')
param isPrivate bool
param addressRanges array
@description('Workspace for the audit log of blob access. Empty: no audit log.')
param workspaceId string = ''
@description('Redundancy: Standard_LRS, Standard_ZRS, Standard_GRS or Standard_GZRS.')
param sku string

resource account 'Microsoft.Storage/storageAccounts@2025-06-01' = {
  name: name
  location: location
  tags: tags
  kind: 'StorageV2'
  sku: { name: sku }
  // checkov:skip=CKV_AZURE_35: open to the internet unless isPrivate; Entra ID is required in both cases
  // checkov:skip=CKV_AZURE_59: same reason
  // checkov:skip=CKV_AZURE_206: a parameter; the default is Standard_ZRS
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
    }
  }

  resource tableService 'tableServices' = {
    name: 'default'
  }
}

resource blobContainers 'Microsoft.Storage/storageAccounts/blobServices/containers@2025-06-01' = [
  for container in containers: {
    parent: account::blobs
    name: container
    properties: { publicAccess: 'None' }
  }
]

resource rowTables 'Microsoft.Storage/storageAccounts/tableServices/tables@2025-06-01' = [
  for table in tables: {
    parent: account::tableService
    name: table
  }
]

// Records who accessed blobs with device keys (table StorageBlobLogs).
resource audit 'Microsoft.Insights/diagnosticSettings@2021-05-01-preview' = if (!empty(workspaceId)) {
  name: 'audit'
  scope: account::blobs
  properties: {
    workspaceId: workspaceId
    logs: [
      { category: 'StorageRead', enabled: true }
      { category: 'StorageWrite', enabled: true }
      { category: 'StorageDelete', enabled: true }
    ]
  }
}

output name string = account.name
