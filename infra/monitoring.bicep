// Application Insights (Entra ID only) and its workspace, for logs, spans and metrics.

import { Tags } from 'types.bicep'

@description('Name of the workspace.')
param workspaceName string
@description('Name of the Application Insights resource.')
param componentName string
@description('Azure region.')
param location string
@description('Tags of all resources.')
param tags Tags
@description('Retention of logs in days.')
param retentionDays int

resource workspace 'Microsoft.OperationalInsights/workspaces@2026-03-01' = {
  name: workspaceName
  location: location
  tags: tags
  properties: {
    sku: { name: 'PerGB2018' }
    retentionInDays: retentionDays
    features: { disableLocalAuth: true }
  }
}

resource component 'Microsoft.Insights/components@2020-02-02' = {
  name: componentName
  location: location
  tags: tags
  kind: 'web'
  properties: {
    Application_Type: 'web'
    WorkspaceResourceId: workspace.id
    // The connection string alone gives no write access.
    DisableLocalAuth: true
  }
}
