"""What only agents with models need: messages, prompts, tools, models, vector stores."""
