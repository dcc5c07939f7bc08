# Subscribes the app to upload events. azd runs it after each deployment of the app, with the outputs of
# main.bicep in the environment. Safe to run again at any time.
$ErrorActionPreference = 'Stop'

foreach ($name in 'AZURE_RESOURCE_GROUP', 'FUNCTION_APP', 'FUNCTION_APP_HOST', 'EVENT_TOPIC', 'UPLOAD_CONTAINER') {
    if (-not [Environment]::GetEnvironmentVariable($name)) { throw "$name is not set." }
}
$seconds = if ($env:KEY_DEADLINE_SECONDS) { $env:KEY_DEADLINE_SECONDS } else { 600 }
$deadline = (Get-Date).AddSeconds($seconds)

function Test-Key {
    $hasKey = az functionapp keys list --resource-group $env:AZURE_RESOURCE_GROUP --name $env:FUNCTION_APP `
        --query "systemKeys.blobs_extension != null" --output tsv
    return $hasKey -eq 'true'
}

# Event Grid validates the webhook, which fails while the host is starting.
function Add-Subscription {
    az deployment group create --resource-group $env:AZURE_RESOURCE_GROUP --name event-subscription `
        --template-file "$PSScriptRoot/../event-subscription.bicep" --output none `
        --parameters "topicName=$env:EVENT_TOPIC" "appName=$env:FUNCTION_APP" "uploadContainer=$env:UPLOAD_CONTAINER"
    return $LASTEXITCODE -eq 0
}

# Requesting the home page starts an instance. The webhook's key exists once the host has loaded the app.
Write-Host "Waiting for the webhook of $env:FUNCTION_APP ..."
while ($true) {
    try { Invoke-WebRequest -Uri "https://$env:FUNCTION_APP_HOST/" -TimeoutSec 30 | Out-Null } catch { }
    if ((Test-Key) -and (Add-Subscription)) { break }
    if ((Get-Date) -ge $deadline) {
        throw "Could not subscribe $env:FUNCTION_APP to upload events. If there is no error above, its key blobs_extension does not exist: the app did not start. Check its log stream, then run this script again."
    }
    $pause = if ($env:KEY_PAUSE_SECONDS) { $env:KEY_PAUSE_SECONDS } else { 10 }
    Start-Sleep -Seconds $pause
}
Write-Host "Subscribed $env:FUNCTION_APP to upload events of $env:UPLOAD_CONTAINER."
