"""How actions and durable calls execute; knows no event and no store."""
