// Who may do what, with the least that works. Each comment says which call needs the role.

param deviceStorageName string
param hostStorageName string
param componentName string
param uploadContainer string
param importsTable string
param appPrincipalId string
@description('The identity by which the hub reaches the devices of a job. Empty: it comes with a SAS.')
param hubPrincipalId string
@description('Principals that upload device files, each with id and type.')
param uploaders array
@description('Principals that use the commands, each with id and type.')
param operators array

resource deviceStorage 'Microsoft.Storage/storageAccounts@2025-06-01' existing = {
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

resource hostStorage 'Microsoft.Storage/storageAccounts@2025-06-01' existing = {
  name: hostStorageName
}

resource component 'Microsoft.Insights/components@2020-02-02' existing = {
  name: componentName
}

var blobDataOwner = subscriptionResourceId('Microsoft.Authorization/roleDefinitions', 'b7e6dc6d-f1e8-4753-8033-0f276bb0955b')
var blobDataContributor = subscriptionResourceId('Microsoft.Authorization/roleDefinitions', 'ba92f5b4-2d11-453d-a403-e96b0029c9fe')
var queueDataContributor = subscriptionResourceId('Microsoft.Authorization/roleDefinitions', '974c5e8b-45b9-4653-ba55-5f855dd0fb88')
var tableDataContributor = subscriptionResourceId('Microsoft.Authorization/roleDefinitions', '0a9a7e1f-b9d0-4cc4-a60d-0319b160aaa3')
var metricsPublisher = subscriptionResourceId('Microsoft.Authorization/roleDefinitions', '3913510d-42f4-4e42-8a64-420c390055eb')

// The app's own calls: read, list, move and delete uploads; make, fill, list and delete the containers
// of imports; get the user delegation key that signs the SAS for the hub.
resource appAtBlobs 'Microsoft.Authorization/roleAssignments@2022-04-01' = {
  name: guid(deviceStorage.id, appPrincipalId, blobDataContributor)
  scope: deviceStorage
  properties: {
    principalId: appPrincipalId
    principalType: 'ServicePrincipal'
    roleDefinitionId: blobDataContributor
  }
}

// The blob trigger's look at an upload: Microsoft asks for this role where the trigger reads. On
// that container alone.
resource appAtUploads 'Microsoft.Authorization/roleAssignments@2022-04-01' = {
  name: guid(deviceStorage::blobs::uploads.id, appPrincipalId, blobDataOwner)
  scope: deviceStorage::blobs::uploads
  properties: {
    principalId: appPrincipalId
    principalType: 'ServicePrincipal'
    roleDefinitionId: blobDataOwner
  }
}

// The blob trigger's queue for events that failed five times, webjobs-blobtrigger-poison.
resource appAtQueues 'Microsoft.Authorization/roleAssignments@2022-04-01' = {
  name: guid(deviceStorage.id, appPrincipalId, queueDataContributor)
  scope: deviceStorage
  properties: {
    principalId: appPrincipalId
    principalType: 'ServicePrincipal'
    roleDefinitionId: queueDataContributor
  }
}

// The rows of the imports: read, write, transactions. On that table alone, which is why the app does
// not have to make it.
resource appAtTable 'Microsoft.Authorization/roleAssignments@2022-04-01' = {
  name: guid(deviceStorage::tables::imports.id, appPrincipalId, tableDataContributor)
  scope: deviceStorage::tables::imports
  properties: {
    principalId: appPrincipalId
    principalType: 'ServicePrincipal'
    roleDefinitionId: tableDataContributor
  }
}

// The host: the app's package, keys of functions, locks of the timers.
resource hostAtBlobs 'Microsoft.Authorization/roleAssignments@2022-04-01' = {
  name: guid(hostStorage.id, appPrincipalId, blobDataOwner)
  scope: hostStorage
  properties: {
    principalId: appPrincipalId
    principalType: 'ServicePrincipal'
    roleDefinitionId: blobDataOwner
  }
}

// The host: the queue between the events of uploads and the function.
resource hostAtQueues 'Microsoft.Authorization/roleAssignments@2022-04-01' = {
  name: guid(hostStorage.id, appPrincipalId, queueDataContributor)
  scope: hostStorage
  properties: {
    principalId: appPrincipalId
    principalType: 'ServicePrincipal'
    roleDefinitionId: queueDataContributor
  }
}

// The host: its diagnostic events (AzureFunctionsDiagnosticEvents).
resource hostAtTables 'Microsoft.Authorization/roleAssignments@2022-04-01' = {
  name: guid(hostStorage.id, appPrincipalId, tableDataContributor)
  scope: hostStorage
  properties: {
    principalId: appPrincipalId
    principalType: 'ServicePrincipal'
    roleDefinitionId: tableDataContributor
  }
}

// Host and app: logs, spans and metrics without a key.
resource appAtMonitoring 'Microsoft.Authorization/roleAssignments@2022-04-01' = {
  name: guid(component.id, appPrincipalId, metricsPublisher)
  scope: component
  properties: {
    principalId: appPrincipalId
    principalType: 'ServicePrincipal'
    roleDefinitionId: metricsPublisher
  }
}

// The hub: reads devices.txt, writes, replaces and deletes importErrors.log. The role is that for which
// IoT Hub asks; the condition keeps it out of the uploads and of whatever else is in the account.
resource hubAtImports 'Microsoft.Authorization/roleAssignments@2022-04-01' = if (!empty(hubPrincipalId)) {
  name: guid(deviceStorage.id, hubPrincipalId, blobDataContributor)
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

// People who upload: that container alone. It lets them read what others uploaded, keys included.
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

// The commands: upload, cancel, retry (which copies lines into a new container), download reports.
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

// The commands: list, show and watch; cancel and retry write.
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
