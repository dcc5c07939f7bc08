// Alert rules. Each query is a file in alerts/ and is listed in docs/operations.md; every row that a
// query returns fires an alert.

import { Tags } from 'types.bicep'

@description('Azure region.')
param location string
@description('Tags of all resources.')
param tags Tags
@description('Name of the Application Insights resource.')
param componentName string
@description('E-mail address for alerts. Empty: alerts are shown in the portal only.')
param email string

resource component 'Microsoft.Insights/components@2020-02-02' existing = {
  name: componentName
}

var rules = [
  {
    name: 'imports-failed'
    description: 'Imports failed or were rejected. Open the dashboard: it shows the reason of each.'
    severity: 2
    minutes: 15
    query: loadTextContent('alerts/imports-failed.kql')
  }
  {
    name: 'queue-waits'
    description: 'The oldest import of a hub has been waiting for more than 30 minutes. Read its failureReason.'
    severity: 2
    minutes: 15
    query: loadTextContent('alerts/queue-waits.kql')
  }
  {
    name: 'imports-held'
    description: 'Imports wait for approval. Open them on the dashboard, look at their plans, then approve or decline them.'
    severity: 3
    minutes: 15
    query: loadTextContent('alerts/imports-held.kql')
  }
  {
    name: 'no-tick'
    description: 'The timer that starts and follows jobs has not run for 10 minutes. Call GET /api/health.'
    severity: 1
    minutes: 15
    query: loadTextContent('alerts/no-tick.kql')
  }
  {
    name: 'uploads-unreadable'
    description: 'Uploads could not be read. Read the failureReason of their records, then retry the imports.'
    severity: 1
    minutes: 15
    query: loadTextContent('alerts/uploads-unreadable.kql')
  }
  {
    name: 'events-expired'
    description: 'Events could not be delivered before their deadline. Check EVENTS_URL and EVENTS_KEY.'
    severity: 2
    minutes: 15
    query: loadTextContent('alerts/events-expired.kql')
  }
]

resource operators 'Microsoft.Insights/actionGroups@2023-01-01' = if (!empty(email)) {
  name: 'importer-alerts'
  location: 'global'
  tags: tags
  properties: {
    enabled: true
    groupShortName: 'importer'
    emailReceivers: [
      { name: 'operators', emailAddress: email, useCommonAlertSchema: true }
    ]
  }
}

resource alerts 'Microsoft.Insights/scheduledQueryRules@2026-03-01' = [
  for rule in rules: {
    name: 'importer-${rule.name}'
    location: location
    tags: tags
    kind: 'LogAlert'
    properties: {
      displayName: 'Device importer: ${rule.name}'
      description: rule.description
      severity: rule.severity
      enabled: true
      scopes: [component.id]
      evaluationFrequency: 'PT${rule.minutes}M'
      windowSize: 'PT${rule.minutes}M'
      autoMitigate: true
      // The tables exist only after the first telemetry.
      skipQueryValidation: true
      criteria: {
        allOf: [
          {
            query: rule.query
            timeAggregation: 'Count'
            operator: 'GreaterThan'
            threshold: 0
            failingPeriods: { numberOfEvaluationPeriods: 1, minFailingPeriodsToAlert: 1 }
          }
        ]
      }
      actions: { actionGroups: empty(email) ? [] : [operators.id] }
    }
  }
]
