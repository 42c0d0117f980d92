"""What several tests share: the real stack and the fakes."""
