// An existing hub of another subscription in a private network, with all that can be given.
using '../main.bicep'

param environmentName = 'private-network'
param location = 'westeurope'
param existingHubName = 'fleet'
param existingHubResourceGroup = 'rg-fleet'
param existingHubSubscription = '11111111-1111-1111-1111-111111111111'
param instanceMemoryMB = 512
param pythonVersion = '3.14'
param apply = 'changes'
param settings = { VALIDATION_POLICY: 'partial', HTTP_ENDPOINTS: 'api' }
param uploaders = [{ id: '22222222-2222-2222-2222-222222222222', type: 'ServicePrincipal' }]
param operators = [{ id: '33333333-3333-3333-3333-333333333333', type: 'Group' }]
param privateNetwork = true
param storageAddressRanges = ['203.0.113.0/24']
param dashboardAddressRanges = ['198.51.100.7/32']
param alertEmail = 'operators@example.org'
param approval = 'destructive'
param backup = 'destructive'
param signInClientId = '33333333-3333-3333-3333-333333333333'
