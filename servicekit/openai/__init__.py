"""The parts of OpenAI's API that several services speak."""
