"""How actions and durable calls execute: an action's loop, continuations, threads, named limits."""
