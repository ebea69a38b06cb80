"""Agent Skills: folders that tell a model how to do something, and what runs their commands."""
