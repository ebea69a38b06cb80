"""Conditions: what of an event is asked in CEL."""
