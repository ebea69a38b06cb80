"""What is built in: actions for chats, tool calls and retrieval, and what stands on them.

Approval of tools, long-term memory, ReAct and sub-agents are here too. All of it knows its context
and declarations alone, as an action of a user does.
"""
