"""The built-in actions: chats, tools, approval, retrieval, long-term memory, ReAct, sub-agents."""
