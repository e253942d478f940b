"""Who may do what to broker, database and bucket: tables, and what is generated from them. Pure."""
