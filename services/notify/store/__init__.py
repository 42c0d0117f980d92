"""Notify's tables: endpoints, the feed from the log, what is queued, replays."""
