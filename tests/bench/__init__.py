"""Is it still fast enough?"""
