# Sends the events of uploads to the app. azd runs it after each deployment of the app, with the outputs
# of main.bicep in the environment; it may be run again at any time.
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

# Event Grid asks the webhook whether it wants events, which a host that is just starting does not answer.
function Add-Subscription {
    az deployment group create --resource-group $env:AZURE_RESOURCE_GROUP --name event-subscription `
        --template-file "$PSScriptRoot/../event-subscription.bicep" --output none `
        --parameters "topicName=$env:EVENT_TOPIC" "appName=$env:FUNCTION_APP" "uploadContainer=$env:UPLOAD_CONTAINER"
    return $LASTEXITCODE -eq 0
}

# A call of the home page starts an instance; the webhook's key is there once its host has loaded the app.
Write-Host "Waiting for the webhook of $env:FUNCTION_APP ..."
while ($true) {
    try { Invoke-WebRequest -Uri "https://$env:FUNCTION_APP_HOST/" -TimeoutSec 30 | Out-Null } catch { }
    if ((Test-Key) -and (Add-Subscription)) { break }
    if ((Get-Date) -ge $deadline) {
        throw "Uploads are not announced to $env:FUNCTION_APP, for the reason above, or for want of its key blobs_extension. See in its log stream that it starts, then run this script again."
    }
    $pause = if ($env:KEY_PAUSE_SECONDS) { $env:KEY_PAUSE_SECONDS } else { 10 }
    Start-Sleep -Seconds $pause
}
Write-Host "Uploads to $env:UPLOAD_CONTAINER are announced to $env:FUNCTION_APP."
