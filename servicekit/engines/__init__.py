"""What answers behind a model's name: llama.cpp in a child process, or an OpenAI-compatible upstream."""
