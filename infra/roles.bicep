// Role assignments with least privilege. Each comment lists the calls that need the role.

import { Principal } from 'types.bicep'

@description('Name of the storage account of uploads and imports.')
param deviceStorageName string
@description('Name of the storage account of the Functions host.')
param hostStorageName string
@description('Name of the Application Insights resource.')
param componentName string
@description('Name of the container for uploads.')
param uploadContainer string
@description('Name of the table of imports.')
param importsTable string
@description('Resource id of the identity of the app. Names of role assignments contain it instead of the object id, which is known only after the deployment.')
param appIdentityId string
@description('Object id of the identity of the app.')
param appPrincipalId string
@description('Resource id of the identity that the hub uses for the files of a job, or of the hub for its system-assigned one. Empty: the hub uses a SAS.')
param hubIdentityId string
@description('Object id of that identity.')
param hubPrincipalId string
@description('Principals that upload device files, each with id and type.')
param uploaders Principal[]
@description('Principals that use the command line, each with id and type.')
param operators Principal[]

resource deviceStorage 'Microsoft.Storage/storageAccounts@2026-06-01' existing = {
  name: deviceStorageName

  resource blobs 'blobServices' existing = {
    name: 'default'

    resource uploads 'containers' existing = {
      name: uploadContainer
    }
  }

  resource tables 'tableServices' existing = {
    name: 'default'

    resource imports 'tables' existing = {
      name: importsTable
    }
  }
}

resource hostStorage 'Microsoft.Storage/storageAccounts@2026-06-01' existing = {
  name: hostStorageName
}

resource component 'Microsoft.Insights/components@2020-02-02' existing = {
  name: componentName
}

var blobDataOwner = subscriptionResourceId(
  'Microsoft.Authorization/roleDefinitions',
  'b7e6dc6d-f1e8-4753-8033-0f276bb0955b'
)
var blobDataContributor = subscriptionResourceId(
  'Microsoft.Authorization/roleDefinitions',
  'ba92f5b4-2d11-453d-a403-e96b0029c9fe'
)
var queueDataContributor = subscriptionResourceId(
  'Microsoft.Authorization/roleDefinitions',
  '974c5e8b-45b9-4653-ba55-5f855dd0fb88'
)
var tableDataContributor = subscriptionResourceId(
  'Microsoft.Authorization/roleDefinitions',
  '0a9a7e1f-b9d0-4cc4-a60d-0319b160aaa3'
)
var metricsPublisher = subscriptionResourceId(
  'Microsoft.Authorization/roleDefinitions',
  '3913510d-42f4-4e42-8a64-420c390055eb'
)

// App: reads, lists, moves and deletes uploads; creates, fills, lists and deletes containers of imports;
// gets the user delegation key that signs the SAS for the hub.
resource appAtBlobs 'Microsoft.Authorization/roleAssignments@2022-04-01' = {
  name: guid(deviceStorage.id, appIdentityId, blobDataContributor)
  scope: deviceStorage
  properties: {
    principalId: appPrincipalId
    principalType: 'ServicePrincipal'
    roleDefinitionId: blobDataContributor
  }
}

// Blob trigger: reads an upload. Microsoft documents this role for blob triggers. Limited to the upload
// container.
resource appAtUploads 'Microsoft.Authorization/roleAssignments@2022-04-01' = {
  name: guid(deviceStorage::blobs::uploads.id, appIdentityId, blobDataOwner)
  scope: deviceStorage::blobs::uploads
  properties: {
    principalId: appPrincipalId
    principalType: 'ServicePrincipal'
    roleDefinitionId: blobDataOwner
  }
}

// Blob trigger: writes events that failed five times to the queue webjobs-blobtrigger-poison.
resource appAtQueues 'Microsoft.Authorization/roleAssignments@2022-04-01' = {
  name: guid(deviceStorage.id, appIdentityId, queueDataContributor)
  scope: deviceStorage
  properties: {
    principalId: appPrincipalId
    principalType: 'ServicePrincipal'
    roleDefinitionId: queueDataContributor
  }
}

// App: reads and writes the rows of imports. Limited to the table, which this template creates, because
// the app could not.
resource appAtTable 'Microsoft.Authorization/roleAssignments@2022-04-01' = {
  name: guid(deviceStorage::tables::imports.id, appIdentityId, tableDataContributor)
  scope: deviceStorage::tables::imports
  properties: {
    principalId: appPrincipalId
    principalType: 'ServicePrincipal'
    roleDefinitionId: tableDataContributor
  }
}

// Functions host: deployment package, function keys, locks of timers.
resource hostAtBlobs 'Microsoft.Authorization/roleAssignments@2022-04-01' = {
  name: guid(hostStorage.id, appIdentityId, blobDataOwner)
  scope: hostStorage
  properties: {
    principalId: appPrincipalId
    principalType: 'ServicePrincipal'
    roleDefinitionId: blobDataOwner
  }
}

// Functions host: the queue between upload events and the function.
resource hostAtQueues 'Microsoft.Authorization/roleAssignments@2022-04-01' = {
  name: guid(hostStorage.id, appIdentityId, queueDataContributor)
  scope: hostStorage
  properties: {
    principalId: appPrincipalId
    principalType: 'ServicePrincipal'
    roleDefinitionId: queueDataContributor
  }
}

// Functions host: its diagnostic events (table AzureFunctionsDiagnosticEvents).
resource hostAtTables 'Microsoft.Authorization/roleAssignments@2022-04-01' = {
  name: guid(hostStorage.id, appIdentityId, tableDataContributor)
  scope: hostStorage
  properties: {
    principalId: appPrincipalId
    principalType: 'ServicePrincipal'
    roleDefinitionId: tableDataContributor
  }
}

// Functions host and app: send logs, spans and metrics with Entra ID.
resource appAtMonitoring 'Microsoft.Authorization/roleAssignments@2022-04-01' = {
  name: guid(component.id, appIdentityId, metricsPublisher)
  scope: component
  properties: {
    principalId: appPrincipalId
    principalType: 'ServicePrincipal'
    roleDefinitionId: metricsPublisher
  }
}

// Hub: reads the device file of a job; writes, replaces and deletes importErrors.log and exports. IoT Hub
// requires this role; the condition limits it to the containers of imports and of their exports.
resource hubAtImports 'Microsoft.Authorization/roleAssignments@2022-04-01' = if (!empty(hubIdentityId)) {
  name: guid(deviceStorage.id, hubIdentityId, blobDataContributor)
  scope: deviceStorage
  properties: {
    principalId: hubPrincipalId
    principalType: 'ServicePrincipal'
    roleDefinitionId: blobDataContributor
    conditionVersion: '2.0'
    condition: '''
(
 (
  !(ActionMatches{'Microsoft.Storage/storageAccounts/blobServices/containers/blobs/read'})
  AND
  !(ActionMatches{'Microsoft.Storage/storageAccounts/blobServices/containers/blobs/write'})
  AND
  !(ActionMatches{'Microsoft.Storage/storageAccounts/blobServices/containers/blobs/add/action'})
  AND
  !(ActionMatches{'Microsoft.Storage/storageAccounts/blobServices/containers/blobs/delete'})
  AND
  !(ActionMatches{'Microsoft.Storage/storageAccounts/blobServices/containers/blobs/move/action'})
 )
 OR
 (
  @Resource[Microsoft.Storage/storageAccounts/blobServices/containers:name] StringStartsWith 'import-'
 )
)'''
  }
}

// Uploaders: the upload container only. They can also read the uploads of others, including device keys.
resource uploaderAtUploads 'Microsoft.Authorization/roleAssignments@2022-04-01' = [
  for uploader in uploaders: {
    name: guid(deviceStorage::blobs::uploads.id, uploader.id, blobDataContributor)
    scope: deviceStorage::blobs::uploads
    properties: {
      principalId: uploader.id
      principalType: uploader.type
      roleDefinitionId: blobDataContributor
    }
  }
]

// Command line: upload, cancel, retry (copies lines to a new container), download reports.
resource operatorAtBlobs 'Microsoft.Authorization/roleAssignments@2022-04-01' = [
  for operator in operators: {
    name: guid(deviceStorage.id, operator.id, blobDataContributor)
    scope: deviceStorage
    properties: {
      principalId: operator.id
      principalType: operator.type
      roleDefinitionId: blobDataContributor
    }
  }
]

// Command line: list, show and watch read the table; cancel and retry also write.
resource operatorAtTable 'Microsoft.Authorization/roleAssignments@2022-04-01' = [
  for operator in operators: {
    name: guid(deviceStorage::tables::imports.id, operator.id, tableDataContributor)
    scope: deviceStorage::tables::imports
    properties: {
      principalId: operator.id
      principalType: operator.type
      roleDefinitionId: tableDataContributor
    }
  }
]
