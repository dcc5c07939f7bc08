// The function app on Flex Consumption, with all its settings.

param name string
param planName string
param location string
param tags object
param identityId string
param identityClientId string
param hostStorageName string
@description('Container of the host storage that holds the deployed package.')
param packageContainer string
param deviceStorageName string
param componentName string
param pythonVersion string
param instanceMemoryMB int
@description('Subnet from which the app calls out. Empty: none.')
param subnetId string
@description('IPv4 ranges that may call the app. Empty: all.')
param addressRanges array
@description('Settings of the importer, by name; docs/settings.md.')
param settings object

resource hostStorage 'Microsoft.Storage/storageAccounts@2025-06-01' existing = {
  name: hostStorageName
}

resource deviceStorage 'Microsoft.Storage/storageAccounts@2025-06-01' existing = {
  name: deviceStorageName
}

resource component 'Microsoft.Insights/components@2020-02-02' existing = {
  name: componentName
}

// Who the app is, and where its storage and its logs are.
var fixedSettings = {
  AzureWebJobsStorage__blobServiceUri: hostStorage.properties.primaryEndpoints.blob
  AzureWebJobsStorage__queueServiceUri: hostStorage.properties.primaryEndpoints.queue
  AzureWebJobsStorage__tableServiceUri: hostStorage.properties.primaryEndpoints.table
  AzureWebJobsStorage__credential: 'managedidentity'
  AzureWebJobsStorage__clientId: identityClientId
  ImporterStorage__blobServiceUri: deviceStorage.properties.primaryEndpoints.blob
  ImporterStorage__queueServiceUri: deviceStorage.properties.primaryEndpoints.queue
  ImporterStorage__tableServiceUri: deviceStorage.properties.primaryEndpoints.table
  ImporterStorage__credential: 'managedidentity'
  ImporterStorage__clientId: identityClientId
  IOTHUB_CLIENT_ID: identityClientId
  APPLICATIONINSIGHTS_CONNECTION_STRING: component.properties.ConnectionString
  APPLICATIONINSIGHTS_AUTHENTICATION_STRING: 'ClientId=${identityClientId};Authorization=AAD'
  AzureFunctionsJobHost__telemetryMode: 'OpenTelemetry'
  PYTHON_ENABLE_OPENTELEMETRY: 'true'
}

// Event Grid has to reach the trigger's webhook, whoever else is shut out.
var eventGrid = [
  { name: 'event-grid', priority: 100, action: 'Allow', tag: 'ServiceTag', ipAddress: 'AzureEventGrid' }
]
var people = [
  for (addresses, i) in addressRanges: {
    name: 'people-${i}'
    priority: 200 + i
    action: 'Allow'
    ipAddress: addresses
  }
]

resource plan 'Microsoft.Web/serverfarms@2024-11-01' = {
  name: planName
  location: location
  tags: tags
  kind: 'functionapp'
  // checkov:skip=CKV_AZURE_225: work that dies with its zone is taken up by the next instance
  sku: { name: 'FC1', tier: 'FlexConsumption' }
  properties: { reserved: true }
}

resource app 'Microsoft.Web/sites@2024-11-01' = {
  name: name
  location: location
  tags: union(tags, { 'azd-service-name': 'importer' })
  kind: 'functionapp,linux'
  identity: {
    type: 'UserAssigned'
    userAssignedIdentities: { '${identityId}': {} }
  }
  // checkov:skip=CKV_AZURE_17: Event Grid brings no client certificate
  // checkov:skip=CKV_AZURE_212: it scales to zero; a missing tick is an alert
  // checkov:skip=CKV_AZURE_213: Flex Consumption replaces instances by itself
  // checkov:skip=CKV_AZURE_222: Event Grid reaches webhooks over the internet only
  properties: {
    serverFarmId: plan.id
    httpsOnly: true
    keyVaultReferenceIdentity: identityId
    virtualNetworkSubnetId: empty(subnetId) ? null : subnetId
    functionAppConfig: {
      deployment: {
        storage: {
          type: 'blobContainer'
          value: '${hostStorage.properties.primaryEndpoints.blob}${packageContainer}'
          authentication: {
            type: 'UserAssignedIdentity'
            userAssignedIdentityResourceId: identityId
          }
        }
      }
      runtime: { name: 'python', version: pythonVersion }
      scaleAndConcurrency: {
        instanceMemoryMB: instanceMemoryMB
        // Work waits for the hub's one job slot, not for instances.
        maximumInstanceCount: 10
      }
    }
    siteConfig: {
      // checkov:skip=CKV_AZURE_78: Flex Consumption has no FTP, and refuses its settings
      http20Enabled: true
      minTlsVersion: '1.2'
      scmMinTlsVersion: '1.2'
      ipSecurityRestrictionsDefaultAction: empty(addressRanges) ? 'Allow' : 'Deny'
      ipSecurityRestrictions: empty(addressRanges) ? [] : concat(eventGrid, people)
      // Publishing takes an Entra ID token (below), from anywhere.
      scmIpSecurityRestrictionsUseMain: false
    }
  }

  // No passwords for FTP and for publishing.
  resource ftp 'basicPublishingCredentialsPolicies' = {
    name: 'ftp'
    properties: { allow: false }
  }

  resource scm 'basicPublishingCredentialsPolicies' = {
    name: 'scm'
    properties: { allow: false }
  }

  // What follows is asked of every kind of config, and says nothing about app settings.
  resource appSettings 'config' = {
    // checkov:skip=CKV_AZURE_13: keys guard the endpoints; docs/security.md tells of Entra ID in front
    // checkov:skip=CKV_AZURE_63: requests are in Application Insights
    // checkov:skip=CKV_AZURE_65: errors are in Application Insights
    // checkov:skip=CKV_AZURE_66: failures are in Application Insights
    // checkov:skip=CKV_AZURE_80: Python
    // checkov:skip=CKV_AZURE_88: nothing is kept in files
    // checkov:skip=CKV_AZURE_222: see the app
    name: 'appsettings'
    properties: union(fixedSettings, settings)
  }
}

output name string = app.name
output hostName string = app.properties.defaultHostName
