"""Rewards: programmes as documents, and the awards that purchases earn by them."""
