"""Who may do what: shared access policies, and Entra ID principals with their roles."""
