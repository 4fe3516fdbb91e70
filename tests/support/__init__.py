"""What tests share: a scripted upstream, real processes, an application served in the test's own loop."""
