"""RabbitMQ, by rules that were measured: what counts as published, who acknowledges, and when."""
