"""`device-importer`, the command line for operators. It uses the storage account directly."""
