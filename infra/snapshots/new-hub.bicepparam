// A new hub, and defaults for all else.
using '../main.bicep'

param environmentName = 'new-hub'
param location = 'westeurope'
