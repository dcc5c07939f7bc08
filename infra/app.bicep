// The function app on Flex Consumption, with its settings.

import { AppSettings, Tags } from 'types.bicep'

@description('Name of the function app.')
param name string
@description('Name of its plan.')
param planName string
@description('Azure region.')
param location string
@description('Tags of all resources.')
param tags Tags
@description('Resource id of the identity of the app.')
param identityId string
@description('Client id of that identity.')
param identityClientId string
@description('Name of the storage account of the Functions host.')
param hostStorageName string
@description('Container in the host storage account for the deployment package.')
param packageContainer string
@description('Name of the storage account of uploads and imports.')
param deviceStorageName string
@description('Name of the Application Insights resource.')
param componentName string
@description('Python version of the app.')
param pythonVersion string
@description('Memory of an instance in MB.')
param instanceMemoryMB int
@description('Subnet for outbound calls of the app. Empty: no virtual network.')
param subnetId string
@description('IPv4 ranges that can call the app. Empty: all addresses.')
param addressRanges string[]
@description('Client id of the app registration for App Service Authentication. Empty: none.')
param signInClientId string
@description('Settings of the importer by name; see docs/settings.md.')
param settings AppSettings

resource component 'Microsoft.Insights/components@2020-02-02' existing = {
  name: componentName
}

var domain = environment().suffixes.storage

// Identity, storage and telemetry of the app.
var fixedSettings = {
  AzureWebJobsStorage__blobServiceUri: 'https://${hostStorageName}.blob.${domain}'
  AzureWebJobsStorage__queueServiceUri: 'https://${hostStorageName}.queue.${domain}'
  AzureWebJobsStorage__tableServiceUri: 'https://${hostStorageName}.table.${domain}'
  AzureWebJobsStorage__credential: 'managedidentity'
  AzureWebJobsStorage__clientId: identityClientId
  ImporterStorage__blobServiceUri: 'https://${deviceStorageName}.blob.${domain}'
  ImporterStorage__queueServiceUri: 'https://${deviceStorageName}.queue.${domain}'
  ImporterStorage__tableServiceUri: 'https://${deviceStorageName}.table.${domain}'
  ImporterStorage__credential: 'managedidentity'
  ImporterStorage__clientId: identityClientId
  IOTHUB_CLIENT_ID: identityClientId
  APPLICATIONINSIGHTS_CONNECTION_STRING: component.properties.ConnectionString
  APPLICATIONINSIGHTS_AUTHENTICATION_STRING: 'ClientId=${identityClientId};Authorization=AAD'
  AzureFunctionsJobHost__telemetryMode: 'OpenTelemetry'
  PYTHON_ENABLE_OPENTELEMETRY: 'true'
  // Memory: the worker holds a request several times. A file of 100 MB in a request took 550 MB, four at a
  // time 1.1 GB. The app refuses files above 32 MiB with an explanation; above this limit the host answers 500.
  // Bytes; learn: "App settings reference for Azure Functions", FUNCTIONS_REQUEST_BODY_SIZE_LIMIT.
  FUNCTIONS_REQUEST_BODY_SIZE_LIMIT: string(40 * 1024 * 1024)
  // Overrides host.json, extensions.http.maxConcurrentRequests (learn: "host.json reference").
  AzureFunctionsJobHost__extensions__http__maxConcurrentRequests: string(concurrentRequests)
}

// Requests at a time per instance: 32 MiB take 250 MB, four times that 440 MB.
var concurrentRequests = instanceMemoryMB == 512 ? 1 : 4

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

resource plan 'Microsoft.Web/serverfarms@2025-03-01' = {
  name: planName
  location: location
  tags: tags
  kind: 'functionapp'
  sku: { name: 'FC1', tier: 'FlexConsumption' }
  properties: { reserved: true }
}

resource app 'Microsoft.Web/sites@2025-03-01' = {
  name: name
  location: location
  tags: union(tags, { 'azd-service-name': 'importer' })
  kind: 'functionapp,linux'
  identity: {
    type: 'UserAssigned'
    userAssignedIdentities: { '${identityId}': {} }
  }
  properties: {
    serverFarmId: plan.id
    httpsOnly: true
    keyVaultReferenceIdentity: identityId
    virtualNetworkSubnetId: empty(subnetId) ? null : subnetId
    functionAppConfig: {
      deployment: {
        storage: {
          type: 'blobContainer'
          value: 'https://${hostStorageName}.blob.${domain}/${packageContainer}'
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
        // Beyond it, requests go to another instance (learn: "Azure Functions Flex Consumption plan", concurrency).
        triggers: { http: { perInstanceConcurrency: concurrentRequests } }
      }
    }
    siteConfig: {
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

  // Names the users of the dashboard; it replaces no key. Event Grid and programs have none, so they stay anonymous.
  resource signIn 'config' = if (!empty(signInClientId)) {
    name: 'authsettingsV2'
    properties: {
      platform: { enabled: true }
      globalValidation: {
        requireAuthentication: false
        unauthenticatedClientAction: 'AllowAnonymous'
      }
      identityProviders: {
        azureActiveDirectory: {
          enabled: true
          registration: {
            clientId: signInClientId
            openIdIssuer: '${environment().authentication.loginEndpoint}${tenant().tenantId}/v2.0'
          }
        }
      }
      login: { tokenStore: { enabled: false } }
    }
  }

  resource appSettings 'config' = {
    name: 'appsettings'
    properties: union(fixedSettings, settings)
  }
}

@description('Name of the function app.')
output name string = app.name
@description('Host name of the function app.')
output hostName string = app.properties.defaultHostName
