// What hooks/postdeploy.sh deploys after the app.
using '../event-subscription.bicep'

param topicName = 'evgt-uploads'
param appName = 'func-importer'
param uploadContainer = 'device-uploads'
