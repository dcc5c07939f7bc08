// The function app on Flex Consumption, with its settings.

param name string
param planName string
param location string
param tags object
param identityId string
param identityClientId string
param hostStorageName string
@description('Container in the host storage account for the deployment package.')
param packageContainer string
param deviceStorageName string
param componentName string
param pythonVersion string
param instanceMemoryMB int
@description('Subnet for outbound calls of the app. Empty: no virtual network.')
param subnetId string
@description('IPv4 ranges that can call the app. Empty: all addresses.')
param addressRanges array
@description('Settings of the importer by name; see docs/settings.md.')
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

// Identity, storage and telemetry of the app.
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

// Event Grid must always reach the webhook of the blob trigger.
var eventGrid = [
  { name: 'event-grid', priority: 100, action: 'Allow', tag: 'ServiceTag', ipAddress: 'AzureEventGrid' }
]
var operators = [
  for (addresses, i) in addressRanges: {
    name: 'operators-${i}'
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
  // checkov:skip=CKV_AZURE_225: another instance resumes work that a zone outage interrupts
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
  // checkov:skip=CKV_AZURE_17: Event Grid sends no client certificate
  // checkov:skip=CKV_AZURE_212: the app scales to zero; a missing timer run fires an alert
  // checkov:skip=CKV_AZURE_213: Flex Consumption replaces unhealthy instances itself
  // checkov:skip=CKV_AZURE_222: Event Grid delivers to public endpoints only
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
        // More instances do not help: a hub runs one job at a time.
        maximumInstanceCount: 10
      }
    }
    siteConfig: {
      // checkov:skip=CKV_AZURE_78: Flex Consumption has no FTP and rejects its settings
      http20Enabled: true
      minTlsVersion: '1.2'
      scmMinTlsVersion: '1.2'
      ipSecurityRestrictionsDefaultAction: empty(addressRanges) ? 'Allow' : 'Deny'
      ipSecurityRestrictions: empty(addressRanges) ? [] : concat(eventGrid, operators)
      // Deployments are possible from any address, with an Entra ID token only (below).
      scmIpSecurityRestrictionsUseMain: false
    }
  }

  // No passwords for FTP and deployments.
  resource ftp 'basicPublishingCredentialsPolicies' = {
    name: 'ftp'
    properties: { allow: false }
  }

  resource scm 'basicPublishingCredentialsPolicies' = {
    name: 'scm'
    properties: { allow: false }
  }

  // checkov applies these rules to every 'config' resource; none of them is about app settings.
  resource appSettings 'config' = {
    // checkov:skip=CKV_AZURE_13: endpoints require function keys; docs/security.md describes Entra ID
    // checkov:skip=CKV_AZURE_63: requests are in Application Insights
    // checkov:skip=CKV_AZURE_65: errors are in Application Insights
    // checkov:skip=CKV_AZURE_66: failures are in Application Insights
    // checkov:skip=CKV_AZURE_80: Python
    // checkov:skip=CKV_AZURE_88: the app stores no files
    // checkov:skip=CKV_AZURE_222: same reason as for the app
    name: 'appsettings'
    properties: union(fixedSettings, settings)
  }
}

output name string = app.name
output hostName string = app.properties.defaultHostName
