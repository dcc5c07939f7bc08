// A storage account without keys, reached by Entra ID alone.

param name string
param location string
param tags object
@description('Names of its blob containers.')
param containers array
@description('Names of its tables.')
param tables array
@description('Closed to the internet but for addressRanges and the services that Azure trusts.')
param isPrivate bool
param addressRanges array
@description('Workspace that records who read and wrote which blob. Empty: none does.')
param workspaceId string = ''
@description('How it is kept: Standard_LRS, Standard_ZRS, Standard_GRS or Standard_GZRS.')
param sku string

resource account 'Microsoft.Storage/storageAccounts@2025-06-01' = {
  name: name
  location: location
  tags: tags
  kind: 'StorageV2'
  sku: { name: sku }
  // checkov:skip=CKV_AZURE_35: open to the internet unless isPrivate; Entra ID is asked in both cases
  // checkov:skip=CKV_AZURE_59: as before
  // checkov:skip=CKV_AZURE_206: a parameter, Standard_ZRS unless somebody chooses another
  properties: {
    accessTier: 'Hot'
    allowBlobPublicAccess: false
    allowCrossTenantReplication: false
    // No account key, so no account SAS and no service SAS either: only what Entra ID signs.
    allowSharedKeyAccess: false
    defaultToOAuthAuthentication: true
    minimumTlsVersion: 'TLS1_2'
    supportsHttpsTrafficOnly: true
    isLocalUserEnabled: false
    publicNetworkAccess: isPrivate && empty(addressRanges) ? 'Disabled' : 'Enabled'
    networkAcls: {
      defaultAction: isPrivate ? 'Deny' : 'Allow'
      // The hub comes in so, by its system-assigned identity, and Event Grid to make the topic.
      bypass: 'AzureServices'
      ipRules: [for range in addressRanges: { value: range, action: 'Allow' }]
    }
  }

  resource blobs 'blobServices' = {
    name: 'default'
    properties: {
      // What was deleted by mistake comes back for so long; and so long device keys stay, too.
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

// Who read device keys is in the log: StorageBlobLogs.
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
