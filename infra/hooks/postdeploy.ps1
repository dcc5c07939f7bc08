# Sends the events of uploads to the app. azd runs it after each deployment of the app, with the outputs
# of main.bicep in the environment; it may be run again at any time.
$ErrorActionPreference = 'Stop'

foreach ($name in 'AZURE_RESOURCE_GROUP', 'FUNCTION_APP', 'FUNCTION_APP_HOST', 'EVENT_TOPIC', 'UPLOAD_CONTAINER') {
    if (-not [Environment]::GetEnvironmentVariable($name)) { throw "$name is not set." }
}
$seconds = if ($env:KEY_DEADLINE_SECONDS) { $env:KEY_DEADLINE_SECONDS } else { 600 }
$deadline = (Get-Date).AddSeconds($seconds)

# The webhook's key is there once the host has loaded the app; a call of its home page starts an instance.
Write-Host "Waiting for the webhook of $env:FUNCTION_APP ..."
while ($true) {
    $hasKey = az functionapp keys list --resource-group $env:AZURE_RESOURCE_GROUP --name $env:FUNCTION_APP `
        --query "contains(keys(systemKeys), 'blobs_extension')" --output tsv
    if ($hasKey -eq 'true') { break }
    if ((Get-Date) -ge $deadline) {
        throw "$env:FUNCTION_APP has no key blobs_extension yet. See in its log stream that it starts, then run this script again."
    }
    try { Invoke-WebRequest -Uri "https://$env:FUNCTION_APP_HOST/" -TimeoutSec 30 | Out-Null } catch { }
    $pause = if ($env:KEY_PAUSE_SECONDS) { $env:KEY_PAUSE_SECONDS } else { 10 }
    Start-Sleep -Seconds $pause
}

az deployment group create --resource-group $env:AZURE_RESOURCE_GROUP --name event-subscription `
    --template-file "$PSScriptRoot/../event-subscription.bicep" --output none `
    --parameters "topicName=$env:EVENT_TOPIC" "appName=$env:FUNCTION_APP" "uploadContainer=$env:UPLOAD_CONTAINER"
if ($LASTEXITCODE -ne 0) { throw 'The event subscription could not be made; the message above says why.' }
Write-Host "Uploads to $env:UPLOAD_CONTAINER are announced to $env:FUNCTION_APP."
