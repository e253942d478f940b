"""Takes Replicate's webhooks: believes or refuses each one, and answers 2xx only for what the
broker has confirmed. It never touches Postgres, and never lets our own fault look like the
sender's."""
