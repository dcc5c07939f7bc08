// All Azure resources of the importer: a function app on Flex Consumption, its identity, two storage
// accounts, monitoring, and role assignments instead of keys. See docs/deployment.md and docs/security.md.
import { Principal } from 'types.bicep'

targetScope = 'subscription'

@minLength(1)
@maxLength(32)
@description('Name of the environment: used in resource names and in the tag azd-env-name.')
param environmentName string

@minLength(1)
@description('Azure region of all resources.')
@metadata({ azd: { type: 'location' } })
param location string

@description('Name of an existing IoT hub. Empty: a new hub is created.')
param existingHubName string = ''

@description('Resource group of the existing hub. Empty: the resource group of this environment.')
param existingHubResourceGroup string = ''

@description('Subscription of the existing hub. Empty: this subscription.')
param existingHubSubscription string = ''

@allowed(['F1', 'S1', 'S2', 'S3'])
@description('Tier of a new hub. F1 is limited to 500 devices, and to one hub per subscription.')
param hubSku string = 'S1'

@description('Disable the shared access policies of a new hub. Use false to link a Device Provisioning Service, which needs a policy.')
param hubDisableLocalAuth bool = true

@allowed(['service', 'classic'])
@description('Host name that the app calls. service: the one with TLS 1.3, where the hub has it. classic: for a private endpoint of the hub without a DNS record for that one.')
param hubEndpoint string = 'service'

@allowed(['', 'identityBased', 'keyBased'])
@description('How the hub accesses the device file of a job. identityBased: with its managed identity, which an existing hub must have. keyBased: with a SAS for the container of the job (user delegation SAS). Empty: identityBased for a new hub, a private network or a hubIdentityId; otherwise keyBased.')
param jobStorageAuthentication string = ''

@description('Resource id of a user-assigned identity of the existing hub, for identityBased without a private network. Empty: the system-assigned identity.')
param hubIdentityId string = ''

@description('Object id of that user-assigned identity.')
param hubIdentityPrincipalId string = ''

@allowed(['3.11', '3.12', '3.13', '3.14'])
@description('Python version of the app.')
param pythonVersion string = '3.13'

@allowed([512, 2048, 4096])
@description('Memory of an instance in MB. 512 is enough for a million devices, but validation is slower.')
param instanceMemoryMB int = 2048

@description('Name of the container for uploads.')
param uploadContainer string = 'device-uploads'

@allowed(['all', 'changes'])
@description('Which lines of a file the hub gets. changes: the app compares the file with the registry first, and sends only lines that change something.')
param apply string = 'all'

@allowed(['never', 'destructive', 'always'])
@description('Which imports somebody has to approve before their job. destructive: those that delete, disable or give new keys to many devices.')
param approval string = 'never'

@allowed(['never', 'destructive', 'always'])
@description('Which imports keep what they change, so that they can be undone.')
param backup string = 'never'

@description('Client id of an Entra ID app registration by which users of the dashboard sign in (App Service Authentication), so that imports say who approved or cancelled them. Empty: function keys alone.')
param signInClientId string = ''

@description('Settings that differ from their defaults, by name. Use Key Vault references for secrets: parameter values are kept in the deployment history.')
param settings Settings = {}

@description('Entra ID principals that upload device files, each with id (object id) and type (User, Group or ServicePrincipal). An uploader can change every device of the hub.')
param uploaders Principal[] = []

@description('Entra ID principals that use the command line (device-importer), each with id (object id) and type (User, Group or ServicePrincipal).')
param operators Principal[] = []

@allowed(['Standard_LRS', 'Standard_ZRS', 'Standard_GRS', 'Standard_GZRS'])
@description('Redundancy of both storage accounts. Regions without availability zones support LRS and GRS only.')
param storageSku string = 'Standard_ZRS'

@description('Use private endpoints for both storage accounts and close them to the internet.')
param privateNetwork bool = false

@description('Address range of the virtual network, at least a /26.')
param addressPrefix string = '10.97.0.0/24'

@description('Public IPv4 ranges of uploaders and operators, for a private network without a VPN: 203.0.113.0/24; a single address without /32.')
param storageAddressRanges string[] = []

@description('IPv4 ranges that can call dashboard and API (a key is required in any case): 203.0.113.0/24; a single address with /32. Empty: all addresses.')
param dashboardAddressRanges string[] = []

@description('E-mail address for alerts. Empty: alerts are shown in the portal only.')
param alertEmail string = ''

@minValue(30)
@maxValue(730)
@description('Retention of logs in days.')
param logRetentionDays int = 30

// Sealed, so that a misspelled name stops the deployment.
@sealed()
@description('Settings that this template does not set itself, see docs/settings.md. App settings are strings.')
type Settings = {
  APPROVAL_DEADLINE_DAYS: string?
  APPROVAL_FOUR_EYES: string?
  APPROVAL_HUB_SHARE: string?
  BACKOFF_SECONDS: string?
  CSV_DEFAULT_IMPORT_MODE: string?
  CSV_DEFAULT_STATUS: string?
  EVENTS_DEADLINE_HOURS: string?
  EVENTS_KEY: string?
  EVENTS_URL: string?
  HTTP_ENDPOINTS: string?
  HTTP_UPLOADS: string?
  IMPORT_RETENTION_DAYS: string?
  IOTHUB_API_VERSION: string?
  JOB_BYTES: string?
  JOB_DEADLINE_HOURS: string?
  JOB_FILES: string?
  JOB_LINES: string?
  JOB_POLL_SECONDS: string?
  LEASE_SECONDS: string?
  MAX_ATTEMPTS: string?
  MAX_BACKOFF_SECONDS: string?
  MAX_DELETES: string?
  MAX_DELETE_SHARE: string?
  MAX_DEVICES: string?
  MAX_EXPANSION: string?
  MAX_FILE_BYTES: string?
  MAX_LINE_BYTES: string?
  MAX_REPORTED_PROBLEMS: string?
  POLL_SCHEDULE: string?
  RECORD_RETENTION_DAYS: string?
  REFUSAL_DEADLINE_MINUTES: string?
  SAS_LIFETIME_HOURS: string?
  SWEEP_SCHEDULE: string?
  TICK_SECONDS: string?
  UPLOAD_ARCHIVE_CONTAINER: string?
  UPLOAD_RETENTION: string?
  VALIDATION_POLICY: string?
  VERIFY_FAILED_DEVICES: string?
}

var token = toLower(uniqueString(subscription().id, environmentName, location))
// Names are given to modules instead of their outputs, so that a preview can show all resources.
var identityName = 'id-importer-${token}'
var workspaceName = 'log-${token}'
var componentName = 'appi-${token}'
var deviceStorageName = 'stdevices${token}'
var hostStorageName = 'sthost${token}'
var appName = 'func-importer-${token}'
var networkName = 'vnet-${token}'
var hubName = isNewHub ? 'iot-${token}' : existingHubName
var topicName = 'evgt-uploads-${token}'
var tags = { 'azd-env-name': environmentName }
var importsTable = 'DeviceImports'
var isNewHub = empty(existingHubName)
var safestJobStorage = isNewHub || privateNetwork || !empty(hubIdentityId) ? 'identityBased' : 'keyBased'
var chosenJobStorage = empty(jobStorageAuthentication) ? safestJobStorage : jobStorageAuthentication
// By the dashboard.
var takesUploads = (settings.?HTTP_ENDPOINTS ?? 'all') == 'all' && toLower(settings.?HTTP_UPLOADS ?? 'true') != 'false'
var contradictions = filter(
  [
    isNewHub && !empty(hubIdentityId) ? 'hubIdentityId is for an existing hub.' : ''
    empty(hubIdentityId) != empty(hubIdentityPrincipalId) ? 'Set both hubIdentityId and hubIdentityPrincipalId.' : ''
    privateNetwork && !empty(hubIdentityId) ? 'privateNetwork requires the system-assigned identity of the hub.' : ''
    privateNetwork && chosenJobStorage == 'keyBased' ? 'privateNetwork requires identityBased.' : ''
    chosenJobStorage == 'keyBased' && !empty(hubIdentityId) ? 'hubIdentityId requires identityBased.' : ''
    startsWith(uploadContainer, 'import-') ? 'uploadContainer must not start with import-.' : ''
    startsWith(uploadContainer, 'backup-') ? 'uploadContainer must not start with backup-.' : ''
  ],
  problem => !empty(problem)
)
var jobStorage = empty(contradictions) ? chosenJobStorage : fail(join(contradictions, ' '))

resource group 'Microsoft.Resources/resourceGroups@2025-04-01' = {
  name: 'rg-${environmentName}'
  location: location
  tags: tags
}

module identity 'identity.bicep' = {
  scope: group
  params: { name: identityName, location: location, tags: tags }
}

// Not existing resources: Azure Resource Manager would read them before the modules create them.
var appIdentityId = resourceId(
  subscription().subscriptionId,
  group.name,
  'Microsoft.ManagedIdentity/userAssignedIdentities',
  identityName
)
var appSubnetId = resourceId(
  subscription().subscriptionId,
  group.name,
  'Microsoft.Network/virtualNetworks/subnets',
  networkName,
  'app'
)

module monitoring 'monitoring.bicep' = {
  scope: group
  params: {
    workspaceName: workspaceName
    componentName: componentName
    location: location
    tags: tags
    retentionDays: logRetentionDays
  }
}

// Two accounts, so that a role on the uploads gives no access to the code of the app.
module deviceStorage 'storage.bicep' = {
  scope: group
  params: {
    name: deviceStorageName
    location: location
    tags: tags
    containers: [uploadContainer]
    tables: [importsTable]
    sku: storageSku
    isPrivate: privateNetwork
    addressRanges: storageAddressRanges
    workspaceName: workspaceName
    uploadOrigin: takesUploads ? 'https://${appName}.azurewebsites.net' : ''
  }
  dependsOn: [monitoring]
}

module hostStorage 'storage.bicep' = {
  scope: group
  params: {
    name: hostStorageName
    location: location
    tags: tags
    containers: ['app-package']
    tables: []
    sku: storageSku
    isPrivate: privateNetwork
    addressRanges: []
  }
}

module network 'network.bicep' = if (privateNetwork) {
  scope: group
  params: {
    name: networkName
    location: location
    tags: tags
    addressPrefix: addressPrefix
    appPrefix: cidrSubnet(addressPrefix, 27, 0)
    endpointPrefix: cidrSubnet(addressPrefix, 27, 1)
    storageAccounts: [deviceStorageName, hostStorageName]
  }
  dependsOn: [deviceStorage, hostStorage]
}

module newHub 'hub.bicep' = if (isNewHub) {
  scope: group
  params: { name: hubName, location: location, tags: tags, sku: hubSku, disableLocalAuth: hubDisableLocalAuth }
}

var hubGroup = isNewHub || empty(existingHubResourceGroup) ? group.name : existingHubResourceGroup
var hubIsHere = isNewHub || empty(existingHubSubscription)
var hubSubscription = hubIsHere ? subscription().subscriptionId : existingHubSubscription

// The principal of a user-assigned identity of the hub is a parameter.
var readsIdentity = jobStorage == 'identityBased' && empty(hubIdentityPrincipalId)

module hubAccess 'hub-access.bicep' = {
  scope: resourceGroup(hubSubscription, hubGroup)
  params: {
    hubName: hubName
    // The role assignment there outlives this deployment and cannot change its principal: a new identity needs another name.
    #disable-next-line what-if-short-circuiting
    appPrincipalId: identity.outputs.principalId
    readsIdentity: readsIdentity
    endpoint: hubEndpoint
  }
  dependsOn: [newHub]
}

// The identity that the hub uses for the files of a job: its own, or a user-assigned one.
var hubId = resourceId(hubSubscription, hubGroup, 'Microsoft.Devices/IotHubs', hubName)
var jobIdentityId = empty(hubIdentityId) ? hubId : hubIdentityId

module roles 'roles.bicep' = {
  scope: group
  params: {
    deviceStorageName: deviceStorageName
    hostStorageName: hostStorageName
    componentName: componentName
    uploadContainer: uploadContainer
    importsTable: importsTable
    appIdentityId: appIdentityId
    appPrincipalId: identity.outputs.principalId
    hubIdentityId: jobStorage == 'keyBased' ? '' : jobIdentityId
    hubPrincipalId: readsIdentity ? hubAccess.outputs.hubPrincipalId : hubIdentityPrincipalId
    uploaders: uploaders
    operators: operators
  }
  dependsOn: [deviceStorage, hostStorage, monitoring]
}

module app 'app.bicep' = {
  scope: group
  params: {
    name: appName
    planName: 'plan-${token}'
    location: location
    tags: tags
    identityId: appIdentityId
    identityClientId: identity.outputs.clientId
    hostStorageName: hostStorageName
    packageContainer: 'app-package'
    deviceStorageName: deviceStorageName
    componentName: componentName
    pythonVersion: pythonVersion
    instanceMemoryMB: instanceMemoryMB
    subnetId: privateNetwork ? appSubnetId : ''
    addressRanges: dashboardAddressRanges
    signInClientId: signInClientId
    settings: union(
      {
        APPLY: apply
        APPROVAL: approval
        BACKUP: backup
        IMPORTS_TABLE: importsTable
        IOTHUB: hubAccess.outputs.hostName
        JOB_STORAGE_AUTHENTICATION: jobStorage
        JOB_STORAGE_IDENTITY: hubIdentityId
        UPLOAD_CONTAINER: uploadContainer
        UPLOAD_TRIGGER_SOURCE: 'EventGrid'
      },
      settings
    )
  }
  // The app starts immediately and needs its roles.
  dependsOn: [roles, network]
}

module events 'event-topic.bicep' = {
  scope: group
  params: {
    topicName: topicName
    location: location
    tags: tags
    deviceStorageName: deviceStorageName
  }
  dependsOn: [deviceStorage]
}

module alerts 'alerts.bicep' = {
  scope: group
  params: {
    location: location
    tags: tags
    componentName: componentName
    email: alertEmail
  }
  dependsOn: [monitoring]
}

@description('Azure region of all resources.')
output AZURE_LOCATION string = location
@description('Resource group of all resources.')
output AZURE_RESOURCE_GROUP string = group.name
@description('Name of the function app.')
output FUNCTION_APP string = app.outputs.name
@description('Host name of the function app.')
output FUNCTION_APP_HOST string = app.outputs.hostName
@description('Address of the dashboard; it needs a function key.')
output DASHBOARD string = 'https://${app.outputs.hostName}/api/dashboard'
@description('Name of the storage account for uploads.')
output DEVICE_STORAGE string = deviceStorageName
@description('Name of the Event Grid topic.')
output EVENT_TOPIC string = topicName
@description('Host name of the hub.')
output IOT_HUB string = hubAccess.outputs.hostName
@description('Name of the container for uploads.')
output UPLOAD_CONTAINER string = uploadContainer
