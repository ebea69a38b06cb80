"""The built-in actions: chats, tool calls, context retrieval."""
