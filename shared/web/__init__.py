"""What the app serves over HTTP: the API and the dashboard. Knows nothing of Azure Functions."""
