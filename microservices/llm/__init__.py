"""The LLM microservice: OpenAI's chat API over the engines that models.json names."""
