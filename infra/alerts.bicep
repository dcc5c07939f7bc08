// Alerts on what an operator has to know without looking. Each query is a file of alerts/, and is
// explained in docs/operations.md; a row of its result is an alert.

param location string
param tags object
param componentName string
@description('E-mail address that alerts go to. Empty: they show in the portal only.')
param email string

resource component 'Microsoft.Insights/components@2020-02-02' existing = {
  name: componentName
}

var rules = [
  {
    name: 'imports-failed'
    description: 'Imports failed or were rejected. The dashboard shows each with its reason.'
    severity: 2
    minutes: 15
    query: loadTextContent('alerts/imports-failed.kql')
  }
  {
    name: 'queue-waits'
    description: 'The oldest import of a hub waits for more than 30 minutes. Its failureReason says what for.'
    severity: 2
    minutes: 15
    query: loadTextContent('alerts/queue-waits.kql')
  }
  {
    name: 'no-tick'
    description: 'The timer that follows jobs has not run for ten minutes. GET /api/health says what is wrong.'
    severity: 1
    minutes: 15
    query: loadTextContent('alerts/no-tick.kql')
  }
  {
    name: 'uploads-given-up'
    description: 'Uploads could not be read. Their records say why; their events are in webjobs-blobtrigger-poison.'
    severity: 1
    minutes: 15
    query: loadTextContent('alerts/uploads-given-up.kql')
  }
  {
    name: 'events-expired'
    description: 'Events that nobody accepted were given up. Check EVENTS_URL and EVENTS_KEY.'
    severity: 2
    minutes: 15
    query: loadTextContent('alerts/events-expired.kql')
  }
]

resource people 'Microsoft.Insights/actionGroups@2023-01-01' = if (!empty(email)) {
  name: 'importer-alerts'
  location: 'global'
  tags: tags
  properties: {
    enabled: true
    groupShortName: 'importer'
    emailReceivers: [
      { name: 'people', emailAddress: email, useCommonAlertSchema: true }
    ]
  }
}

resource alerts 'Microsoft.Insights/scheduledQueryRules@2023-12-01' = [
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
      // The tables are there only once something was logged.
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
      actions: { actionGroups: empty(email) ? [] : [people.id] }
    }
  }
]
